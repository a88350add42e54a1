"""How a command ends: one sentence on standard error and an exit code, whatever happened.

Every entry point (`ssl4rl-bench`, `python -m ssl4rl_bench.repair`, ...) runs inside `run_command`. Exit code 1 is
left to what a command finds out; a crash never gives it.
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TextIO

from ssl4rl_bench.core.errors import EXIT_CRASH, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, BenchError
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.output import guarded
from ssl4rl_bench.core.redaction import redact

DEBUG = "SSL4RL_DEBUG"
"""Environment variable; where it is set, tracebacks are shown."""
_LONGEST = 500
"""Characters of an unexpected error's message that are shown."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})
"""What the system refuses, and the user can set right."""


class Passed(Exception):
    """Carries an error past Typer, which would end the program with exit code 1 and no word of it."""


def run_command(command: Callable[[], object]) -> NoReturn:
    """Runs a command and ends the program.

    Nothing that is printed can act on a terminal (`output`). A signal (SIGTERM as well as Ctrl-C) raises
    KeyboardInterrupt unless the command handles it. Output whose reader has gone (`| head`) is dropped, and the
    command goes on to its own exit code.

    Args:
        command: what it returns is the exit code if it is a whole number.
    """
    sys.stdout, sys.stderr = _without_reader(sys.stdout), _without_reader(sys.stderr)
    signals = _Signals()
    code = EXIT_OK
    with guarded():
        try:
            result = command()
            code = result if type(result) is int else EXIT_OK
            sys.stdout.flush()
        except BaseException as error:
            code = _told(error.__cause__ if isinstance(error, Passed) and error.__cause__ else error)
            if signals.received and code not in (EXIT_OK, EXIT_INTERRUPTED):
                code = EXIT_INTERRUPTED  # a library made another error of the KeyboardInterrupt
        signals.decided(code)
        _close(sys.stdout)
    sys.exit(code)


def _told(error: BaseException) -> int:
    """Prints the sentence of an error, if there is one to print, and returns the exit code."""
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or EXIT_OK
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    code, sentence = outcome(error)
    print(f"error: {one_line(sentence)}", file=sys.stderr)
    return code


def outcome(error: BaseException) -> tuple[int, str]:
    """The exit code and the sentence of an error that ends a command."""
    if isinstance(error, BenchError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted; what was answered is kept"
    what = redact("".join(str(error).split("\n", 1)[0])[:_LONGEST])
    if isinstance(error, OSError) and (error.errno in _FULL or (error.errno and error.filename)):
        place = f" {redact(str(error.filename))}" if error.filename else " the output"
        return EXIT_USAGE, f"cannot use{place}: {(error.strerror or what).lower()}"
    if isinstance(error, MemoryError):
        return EXIT_CRASH, "out of memory: give the machine more, or ask for less at a time"
    kind = type(error).__name__
    return EXIT_CRASH, f"internal error: {kind}{f': {what}' if what else ''}; {_kept(error)}"


def _kept(error: BaseException) -> str:
    """Says where the traceback of an unexpected error is."""
    if os.environ.get(DEBUG):
        return "its traceback is above"
    try:
        fd, name = tempfile.mkstemp(prefix="ssl4rl-bench-", suffix=".traceback.txt")
        with open(fd, "w", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # mkstemp's descriptor
            file.write(redact("".join(traceback.format_exception(error))))
    except OSError:
        return f"{DEBUG}=1 shows its traceback"
    return f"its traceback is in {name} ({DEBUG}=1 shows it here)"


class _Signals:
    """SIGTERM as Ctrl-C, from the start of a command to the end of the process."""

    def __init__(self) -> None:
        self.received = False
        self._process = os.getpid()
        self._code: int | None = None
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._handle)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
        # Registered first, so run last: after it, the interpreter would answer SIGTERM with exit code 143.
        atexit.register(self._ignore)

    def decided(self, code: int) -> None:
        """From now on a signal ends the process at once, with this code."""
        self._code = code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child, which is ended by its parent in this way
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._code is not None:
            os._exit(self._code)
        self.received = True
        raise KeyboardInterrupt

    def _ignore(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_IGN)


class _Descriptor(io.FileIO):
    """An open file that drops what is written after its reader has gone."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # FileIO's own types differ by version
        except BrokenPipeError:
            return memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer


def _without_reader(stream: TextIO) -> TextIO:
    """The same standard stream on a `_Descriptor`; a stream that is no file of the system's stays as it is."""
    try:
        stream.flush()
        raw = _Descriptor(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError, AttributeError):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering if isinstance(stream, io.TextIOWrapper) else True,
        write_through=stream is sys.stderr,
    )


def _close(stream: TextIO) -> None:
    """Leaves nothing for the interpreter to write, which would change the exit code if it failed."""
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
