"""Prepares prompts in processes of their own, since one process renders too slowly for a GPU (`renderer`)."""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import os
import selectors
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Request
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.vllm.feed import Prepared
from ssl4rl_bench.engines.vllm.renderer import ALIGNMENT, FAILED, serve

_AHEAD = 16
"""The number of requests that each process has, so that it never waits for the next one."""
_TRIES = 2
"""A unit whose process dies is sent again this many times in all."""
_LAST_CORES = 3
"""The cores that are left for this process, the engine's and the driver of the GPU."""
_MAX_PROCESSES = 8

log = logging.getLogger(__name__)


def default_processes(on_cpu: bool) -> int:
    """Returns the number of renderer processes if the user does not set it: none if the model runs on CPUs."""
    cores = len(os.sched_getaffinity(0))
    return 0 if on_cpu else max(0, min(_MAX_PROCESSES, cores - _LAST_CORES))


class _Unit:
    def __init__(self, number: int, requests: Sequence[Request]) -> None:
        self.number, self.requests = number, requests
        self.n_deaths = 0
        self.dropped = False


class _Process:
    """A renderer process and the units that it has not answered, oldest first."""

    def __init__(self, setup: Any, program: Callable[[Connection], None]) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process with threads is unsafe
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=program, args=(theirs,), name="vllm-renderer", daemon=True)
        self.process.start()
        theirs.close()
        self.units: dict[int, _Unit] = {}
        with suppress(OSError):  # if it is dead already, `collect` notices
            self.connection.send(setup)

    def send(self, unit: _Unit) -> None:
        self.units[unit.number] = unit
        with suppress(OSError):
            self.connection.send((unit.number, [request.sample.messages for request in unit.requests]))

    def close(self) -> None:
        self.connection.close()

    def join(self) -> None:
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class ProcessFeed:
    """Implements `Feed` with processes. A process that dies is replaced, and its units are sent again once.

    Args:
        n_processes: the number of processes.
        setup: vLLM's configuration, the checkpoint's folder and the engine's options.
        decode: `adapter.Wire.decode`.
        ahead: as `Feed.ahead`, but at least 16 for each process.
        program: what the processes run.

    Raises:
        EngineError: from `collect`, if a process cannot start, or processes keep dying.
    """

    unit_size = 32

    def __init__(
        self,
        n_processes: int,
        setup: tuple[Any, Path, EngineOptions],
        decode: Callable[[Sequence[Any]], list[Prepared]],
        ahead: int = 0,
        program: Callable[[Connection], None] = serve,
    ) -> None:
        self._setup = setup
        self._program = program
        self._decode = decode
        self._numbers = count()
        self._selector = selectors.DefaultSelector()
        self._failed: list[tuple[Request, Prepared]] = []
        self._n_deaths = 0
        self.processes: list[_Process] = []
        self.ahead = max(ahead, n_processes * _AHEAD)
        for _ in range(n_processes):
            self._add_process()

    @property
    def pending(self) -> int:
        """Implements `Feed.pending`."""
        units = (unit for process in self.processes for unit in process.units.values())
        return len(self._failed) + sum(len(unit.requests) for unit in units if not unit.dropped)

    def submit(self, requests: Sequence[Request]) -> None:
        """Implements `Feed.submit`: sends the unit to the process with the fewest."""
        process = min(self.processes, key=lambda process: len(process.units))
        process.send(_Unit(next(self._numbers), requests))

    def collect(self, wait: bool) -> list[tuple[Request, Prepared]]:
        """Implements `Feed.collect`."""
        out, self._failed = self._failed, []
        while self.pending:
            for key, _ in self._selector.select(None if wait and not out else 0):
                out += self._read(key.data)
            if out or self._failed or not wait:
                break
        out += self._failed
        self._failed = []
        return out

    def drop(self) -> None:
        """Implements `Feed.drop`."""
        self._failed = []
        for process in self.processes:
            for unit in process.units.values():
                unit.dropped = True

    def close(self) -> None:
        """Implements `Feed.close`."""
        self._selector.close()
        for process in self.processes:
            process.close()
        for process in self.processes:
            process.join()
        self.processes = []

    def _add_process(self) -> _Process:
        process = _Process(self._setup, self._program)
        self.processes.append(process)
        self._selector.register(process.connection, selectors.EVENT_READ, process)
        return process

    def _read(self, process: _Process) -> list[tuple[Request, Prepared]]:
        """Reads one message of a process, or replaces the process if it is dead."""
        try:
            number, buffers = _receive(process.connection)
        except (EOFError, OSError, RuntimeError):
            self._replace(process)
            return []
        if number == FAILED:
            raise EngineError(f"the process that prepares prompts cannot start: {buffers[0].decode()}")
        unit = process.units.pop(number)
        if unit.dropped:
            return []
        return list(zip(unit.requests, self._decode(buffers), strict=True))

    def _replace(self, dead: _Process) -> None:
        self._selector.unregister(dead.connection)
        self.processes.remove(dead)
        dead.close()
        dead.join()
        self._n_deaths += 1
        status = dead.process.exitcode
        log.warning("a process that prepares prompts died (exit status %s)", status)
        if self._n_deaths > max(2, 2 * (len(self.processes) + 1)):
            raise EngineError(
                f"{self._n_deaths} processes that prepare prompts died (exit status {status}); if memory ran "
                "out, use fewer of them: --set renderers=N"
            )
        process = self._add_process()
        for place, unit in enumerate(dead.units.values()):
            unit.n_deaths += place == 0  # the process was working on the first
            if unit.n_deaths < _TRIES and not unit.dropped:
                process.send(unit)
            elif not unit.dropped:
                message = f"the process that prepares its prompt died twice (exit status {status})"
                self._failed += [(request, message) for request in unit.requests]


def _receive(connection: Connection) -> tuple[int, list[Any]]:
    """Receives a message of `renderer`: the number of a unit, and its buffers."""
    import msgspec

    number, sizes, first = msgspec.msgpack.decode(connection.recv_bytes())
    first = bytearray(first)  # torch warns about memory that is not writable
    if not sizes or isinstance(sizes[0], bytes):
        return number, [first, *map(bytearray, sizes)]
    handle = reduction.recv_handle(connection)
    try:
        memory = memoryview(mmap.mmap(handle, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
    finally:
        os.close(handle)
    buffers: list[Any] = [first]
    start = 0
    for size in sizes:
        buffers.append(memory[start : start + size])
        start += size + -size % ALIGNMENT
    return number, buffers
