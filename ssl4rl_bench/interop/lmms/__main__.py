"""Runs lmms-eval and fails if its evaluation failed: `python -m ssl4rl_bench.lmms ARGUMENTS OF lmms-eval`.

lmms-eval exits with status 0 even when an evaluation crashed, with the reason only in its log. This module
runs the same command in a child process and checks the result files that it wrote.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import BenchError, EngineError, MissingDependency, UsageError
from ssl4rl_bench.core.scratch import ScratchFolder

_INFORMS = frozenset({"-h", "--help", "--version"})


def main(arguments: Sequence[str]) -> int:
    """Runs lmms-eval and returns its exit status, or 4 if its results are missing or incomplete."""
    try:
        if find_spec("lmms_eval") is None:
            raise MissingDependency.of("lmms-eval is not installed", "lmms")
        with _output(arguments) as (out, more):
            before = set(out.rglob("*_results.json"))
            status = _run([*arguments, *more])
            if status == 0 and not _INFORMS & set(arguments):
                check_results(sorted(set(out.rglob("*_results.json")) - before), _value(arguments, "--tasks"))
            return status
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def check_results(results: Sequence[Path], tasks: str | None) -> None:
    """Checks that an evaluation left results in which every requested task has samples.

    Args:
        results: the `*_results.json` files that it wrote.
        tasks: the value of `--tasks`. For the name of a group or tag, results of any of its tasks suffice.

    Raises:
        EngineError: if there are no results, or a task has no samples.
    """
    if not results:
        raise EngineError(
            "lmms-eval ended with status 0 and left no results, so the evaluation failed; its log above says why"
        )
    counts: dict[str, int] = {}
    scored: set[str] = set()
    for path in results:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        scored |= set(content.get("results", {})) | set(content.get("group_subtasks", {}))
        for name, samples in content.get("n-samples", {}).items():
            counts[name] = counts.get(name, 0) + int(samples.get("effective", 0))
    empty = sorted(name for name, n in counts.items() if n < 1)
    if empty or not counts:
        raise EngineError(
            f"lmms-eval evaluated no sample of {', '.join(empty) or 'any task'}; its log above says why"
        )
    known = counts.keys() | scored
    missing = [name for name in (tasks or "").split(",") if name.startswith("ssl4rl_") and name not in known]
    if missing:
        raise EngineError(f"lmms-eval left no results of {', '.join(missing)}; its log above says why")


@contextlib.contextmanager
def _output(arguments: Sequence[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yields the output folder, and the arguments that set it if the user's arguments do not."""
    given = _value(arguments, "--output_path")
    if given is not None:
        if given.endswith(".json"):
            raise UsageError(f"--output_path {given} must be a folder, where the results are expected")
        yield Path(given), []
        return
    with ScratchFolder("lmms") as folder:
        yield Path(folder), ["--output_path", folder]


def _value(arguments: Sequence[str], name: str) -> str | None:
    """Returns the value of an option as parsed by argparse, which lmms-eval uses."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(name, nargs="?", dest="value")
    value: str | None = parser.parse_known_args(arguments)[0].value
    return value


def _run(arguments: Sequence[str]) -> int:
    with subprocess.Popen([sys.executable, "-m", "lmms_eval", *arguments]) as process:
        while True:
            try:
                status = process.wait()
                return status if status >= 0 else 128 - status
            except KeyboardInterrupt:  # the child gets the signal too and ends by itself
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
