"""The end of every command: one sentence on standard error and an exit code, whatever happened.

Every entry point (`ssl4rl-bench`, `python -m ssl4rl_bench.repair`, ...) runs inside `run_command`. Exit code
1 is reserved for a command's negative result; a crash never returns it.
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
"""Environment variable that makes tracebacks appear on standard error."""
_LONGEST = 500
"""Maximum number of characters shown of the message of an unexpected error."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})
"""System errors that the user can fix."""


class Passed(Exception):
    """Carries an error past Typer, which would otherwise exit with code 1 and without a message."""


def run_command(command: Callable[[], object]) -> NoReturn:
    """Runs a command and ends the program.

    Printed text cannot act on a terminal (`output`). A signal (SIGTERM or Ctrl-C) raises KeyboardInterrupt
    unless the command handles it. If the reader of the output has gone (`| head`), further output is dropped,
    and the command continues to its normal exit code.

    Args:
        command: the command; if it returns an integer, that is the exit code.
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
            code = _report(error.__cause__ if isinstance(error, Passed) and error.__cause__ else error)
            if signals.received and code not in (EXIT_OK, EXIT_INTERRUPTED):
                code = EXIT_INTERRUPTED  # a library converted the KeyboardInterrupt into another error
        signals.decided(code)
        _close(sys.stdout)
    sys.exit(code)


def _report(error: BaseException) -> int:
    """Prints the message of an error, if it has one, and returns the exit code."""
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or EXIT_OK
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    code, sentence = outcome(error)
    print(f"error: {one_line(sentence)}", file=sys.stderr)
    return code


def outcome(error: BaseException) -> tuple[int, str]:
    """Returns the exit code and the message of an error that ends a command."""
    if isinstance(error, BenchError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted; the replies so far are kept"
    what = redact("".join(str(error).split("\n", 1)[0])[:_LONGEST])
    if isinstance(error, OSError) and (error.errno in _FULL or (error.errno and error.filename)):
        place = f" {redact(str(error.filename))}" if error.filename else " the output"
        return EXIT_USAGE, f"cannot use{place}: {(error.strerror or what).lower()}"
    if isinstance(error, MemoryError):
        return EXIT_CRASH, "out of memory: use a machine with more memory, or smaller batches"
    kind = type(error).__name__
    return EXIT_CRASH, f"internal error: {kind}{f': {what}' if what else ''}; {_traceback_note(error)}"


def _traceback_note(error: BaseException) -> str:
    """Saves the traceback of an unexpected error and returns a clause that says where it is."""
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
    """Treats SIGTERM like Ctrl-C, from the start of a command to the end of the process."""

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
        # Exit handlers run in reverse order, so this one runs last. Without it, a SIGTERM during the
        # interpreter's shutdown would change the exit code to 143.
        atexit.register(self._ignore)

    def decided(self, code: int) -> None:
        """Sets the final exit code. From now on a signal ends the process at once with this code."""
        self._code = code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child, which its parent ends with this signal
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
    """An open file that drops further output once its reader has gone."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # FileIO's own types differ by version
        except BrokenPipeError:
            return memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer


def _without_reader(stream: TextIO) -> TextIO:
    """Reopens a standard stream on a `_Descriptor`; returns a stream without a file descriptor unchanged."""
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
    """Flushes a stream now. If the interpreter's own flush at exit failed, it would change the exit code."""
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
