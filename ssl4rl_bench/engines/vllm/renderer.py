"""The program of a renderer process: turns units of messages into engine inputs (`renderers` starts it).

A message to it is `(number, messages per request)`. A message from it is a msgpack array of the unit's number,
the sizes of the buffers that hold pixels, and the buffer that describes the prompts (`adapter.Wire`). Pixels
follow as the descriptor of an anonymous file in memory, which vanishes with the last process that holds it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing import reduction
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

from ssl4rl_bench.core.types import Message
from ssl4rl_bench.engines.base import reason

FAILED = -1
"""Stands in place of a unit's number if the process cannot start; the rest of the message is the reason."""
ALIGNMENT = 64
"""Each buffer starts at a multiple of this many bytes."""
INLINE_BYTES = 32_768
"""Pixels of fewer bytes are part of the message."""


def serve(connection: Connection) -> None:
    """Receives the configuration, then answers units until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"  # one process per core
    import msgspec

    try:
        render, encode = _start(connection)
    except EOFError:
        return
    except Exception as error:  # told to the main process, which ends the run
        connection.send_bytes(msgspec.msgpack.encode([FAILED, [], reason(error).encode()]))
        return
    work(connection, render, encode)


def work(
    connection: Connection,
    render: Callable[[Sequence[Message]], Any],
    encode: Callable[[Sequence[Any]], Sequence[Any]],
) -> NoReturn:
    """Answers units until the other end of the connection is closed; then the process ends.

    Args:
        render: turns messages into an engine input.
        encode: turns the engine inputs (or errors) of a unit into buffers, as `adapter.Wire.encode`.
    """
    units: SimpleQueue[tuple[int, Sequence[Sequence[Message]]]] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, units), name="receives-units", daemon=True).start()
    while True:
        number, unit = units.get()
        _send(connection, number, encode([_rendered(render, messages) for messages in unit]))


def _start(connection: Connection) -> tuple[Any, Any]:
    from ssl4rl_bench.engines.inputs import Prompter
    from ssl4rl_bench.engines.vllm import adapter
    from ssl4rl_bench.engines.vllm.arguments import quiet

    with quiet():
        config, folder, options = connection.recv()  # imports vLLM
        import torch

        torch.set_num_threads(1)
        return adapter.Renderer.in_own_process(config, Prompter(folder, options)), adapter.Wire().encode


def _receive(connection: Connection, units: SimpleQueue[Any]) -> None:
    """Reads all units at once, so that the main process never waits to send one."""
    try:
        while True:
            units.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # the main process has closed the connection, or has died


def _rendered(render: Any, messages: Sequence[Message]) -> Any:
    try:
        return render(messages)
    except Exception as error:  # fails only its own request
        return error


def _send(connection: Connection, number: int, buffers: Sequence[Any]) -> None:
    import msgspec

    pixels = [memoryview(buffer).cast("B") for buffer in buffers[1:]]
    sizes = [len(view) for view in pixels]
    if sum(sizes) < INLINE_BYTES:
        inline = [bytes(view) for view in pixels]
        connection.send_bytes(msgspec.msgpack.encode([number, inline, bytes(buffers[0])]))
        return
    connection.send_bytes(msgspec.msgpack.encode([number, sizes, bytes(buffers[0])]))
    parts = []
    for view in pixels:
        parts += [view, b"\0" * (-len(view) % ALIGNMENT)]
    handle = os.memfd_create("ssl4rl-pixels", os.MFD_CLOEXEC)
    try:
        _write(handle, parts)
        reduction.send_handle(connection, handle, 0)  # the process id is unused on Linux
    finally:
        os.close(handle)


def _write(handle: int, parts: Sequence[Any]) -> None:
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(handle, view) :]
