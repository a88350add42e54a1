"""Compares the processor time of commands in two checkouts of this project, in turn.

    python benchmarks/checkouts.py OLD NEW [--rounds 3] [--runs DIR]

Each command is a new process of this interpreter with one of the checkouts first on its path. Prints medians of
user and system time and their ratio, which stays meaningful while other work uses the machine. --runs is the
folder that `compare_runs.py --work` has filled; without it, only commands that need no runs are compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

MOCK = ("run", "--engine", "mock", "--limit", "12", "--tasks")


def seconds(checkout: Path, folder: Path, *args: str | Path) -> float:
    """Runs a command in `folder` and returns its processor time."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
        "SSL4RL_CACHE_DIR": str(folder / "cache"),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "ssl4rl_bench", *map(str, args)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(command[3:])}: {done.stderr[-1000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(folder: Path, runs: Path | None) -> dict[str, Callable[[Path], float]]:
    """Returns functions that run a command in a checkout, by the name of the command."""

    def mock(task: str) -> Callable[[Path], float]:
        return lambda checkout: seconds(checkout, folder, *MOCK, task, "--out", tempfile.mkdtemp(dir=folder))

    out = {
        "--help": lambda checkout: seconds(checkout, folder, "--help"),
        "run, 12 questions of scenes": mock("scenes"),
        "run, 12 images of ssl_rotation_90": mock("ssl_rotation_90"),
    }
    if runs is None:
        return out
    few, many = sorted(runs.glob("run-*")), sorted(runs.glob("many/*"))
    page = folder / "page.html"

    def cold(checkout: Path) -> float:
        for run in few:
            (run / "outcomes.json").unlink(missing_ok=True)
        return seconds(checkout, folder, "compare", *few)

    return {
        **out,
        f"compare, {len(few)} runs, from their journals": cold,
        f"compare, {len(few)} runs": lambda checkout: seconds(checkout, folder, "compare", *few),
        f"report, {len(few)} runs": lambda checkout: seconds(checkout, folder, "report", *few, "-o", page),
        f"compare, {len(many)} runs": lambda checkout: seconds(
            checkout, folder, "compare", *many, "--format", "markdown"
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=Path, help="folder of compare_runs.py --work")
    args = parser.parse_args()
    print("| command | old s | new s | ratio |\n| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name, run in commands(Path(folder), args.runs and args.runs.resolve()).items():
            pairs = [(run(args.old.resolve()), run(args.new.resolve())) for _ in range(args.rounds)]
            old, new = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"| {name} | {old:.2f} | {new:.2f} | {old / new:.2f} |", flush=True)


if __name__ == "__main__":
    main()
