"""Errors that a user can cause or must know about. Each message is one sentence with a cause and a fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILED = 1
"""A negative verdict, or more failed requests than allowed. Never a crash."""
EXIT_USAGE = 2
"""Wrong usage or bad input."""
EXIT_INCONCLUSIVE = 3
EXIT_CRASH = 4
"""The engine or the program itself failed."""
EXIT_INTERRUPTED = 130


class BenchError(Exception):
    """Base class of errors that the command line prints as one line, without a traceback."""

    exit_code: int = EXIT_USAGE


class UsageError(BenchError):
    """An invalid flag, name or combination of options."""


class DataError(BenchError):
    """A data set that cannot be used as it is. The message names the file, the row and the fix."""


class ModelError(BenchError):
    """A checkpoint that does not exist or is incomplete."""


class SpecMismatch(BenchError):
    """The run directory belongs to another experiment."""


class StoreError(BenchError):
    """A run could not be written or read (full disk, no permission)."""


class MissingDependency(BenchError):
    """An optional package is missing. The message ends with the command that installs it."""

    @classmethod
    def of(cls, need: str, extra: str, note: str = "") -> MissingDependency:
        """Returns the error whose message is what needs a package, and the command that installs the extra.

        Args:
            need: such as "videos need PyAV".
            note: what follows the command, in parentheses.
        """
        from ssl4rl_bench.core.installing import installer

        return cls(f"{need}: {installer().extra(extra)}" + (f" ({note})" if note else ""))


class EngineError(BenchError):
    """The engine cannot answer any request."""

    exit_code = EXIT_CRASH


class TrainingError(BenchError):
    """The training failed: a loss, a gradient or a weight is not finite. Earlier checkpoints are kept."""

    exit_code = EXIT_CRASH


class TooManyErrors(BenchError):
    """More requests failed than `--max-error-rate` allows. The replies received so far are kept."""

    exit_code = EXIT_FAILED


class Interrupted(BenchError):
    """Stopped by the user or by SIGTERM; the same command resumes."""

    exit_code = EXIT_INTERRUPTED


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean X?" with the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
