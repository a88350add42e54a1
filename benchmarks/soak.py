"""Runs a million made-up requests through `runner.execute`, and prints what grows and what a resume costs.

    python benchmarks/soak.py [--samples 1000000] [--work DIR]

Each request has a text of 400 characters, and four share an image of 1 kB. The mock engine answers them, the
progress is shown as in a run without a terminal (a line for every 5%), and each reply is journaled. Prints, at
every tenth of the requests, the resident memory, the open descriptors and the processor time per request; then
the processor time and peak memory of a second execution in a new process, which finds all requests answered.
The memory of the samples themselves, which the caller loads, is printed first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.cli.progress import Terminal
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    ImagePart,
    Message,
    Sample,
    Sampling,
    Score,
    Status,
    TextPart,
)
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import Event, execute
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.task.base import LoadedTask

CHOICES = {"A": "red", "B": "green", "C": "blue", "D": "none of these"}
PLACE = Categories("perception", "coarse_perception", "image_style")
N_IMAGES = 1000
"""The number of different images, so that the time of writing them to the run does not dominate."""


@dataclass(frozen=True, kw_only=True)
class SoakTask(LoadedTask):
    """Questions whose replies are not read, so that the time is that of the runner."""

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        return Score(1.0, sample.target, Status.TAG)

    def content(self, sample: Sample) -> list[Any]:
        return [sample.id]


def make_task(n: int) -> SoakTask:
    """Returns a task of n samples in groups of four."""
    images = [ImagePart(EncodedImage(os.urandom(1000), f"{index:064x}")) for index in range(N_IMAGES)]
    words = "Which colour has the object in the picture? " * 8
    samples = tuple(
        Sample(
            id=str(index),
            group=str(index // 4),
            messages=(
                Message("user", (images[index // 4 % N_IMAGES], TextPart(f"{words} Question {index}."))),
            ),
            target="ABCD"[index % 4],
            choices=CHOICES,
            categories=PLACE,
            roll=index % 4,
        )
        for index in range(n)
    )
    return SoakTask(
        name="ssl4rl_soak",
        version="1",
        prompt="plain",
        source="made up",
        samples=samples,
        sampling=Sampling(max_tokens=64),
        data_sha256="0" * 64,
    )


def resident() -> float:
    """Returns the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu() -> float:
    """Returns the processor time of this process in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_once(n: int, place: Path) -> dict[str, float]:
    """Executes the run, or finds that it is done; prints a row at every tenth of the requests."""
    task = make_task(n)
    loaded = resident()
    engine = MockEngine(None, EngineOptions())
    spec = RunSpec("mock:gold", "0" * 64, {task.name: TaskSpec.of(task)}, "mock", engine.version)
    start, seconds = cpu(), time.perf_counter()
    last = [start]

    with RunDir.create(place, spec) as run, Terminal().running([task], "default") as show:

        def on_event(event: Event) -> None:
            if show is not None:
                show(event)
            done = event.n_done
            if event.record is not None and done % max(1, n // 10) == 0:
                n_open = len(list(Path("/proc/self/fd").iterdir()))
                cost = 1e6 * (cpu() - last[0]) / (n // 10)
                print(f"| {done:,} | {resident():,.0f} | {n_open} | {cost:.1f} |", flush=True)
                last[0] = cpu()

        execute([task], engine, run, spec, on_event=on_event)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"loaded": loaded, "cpu": cpu() - start, "seconds": time.perf_counter() - seconds, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="folder for the run (default: a temporary folder)")
    parser.add_argument("--again", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.again:
        print(json.dumps(run_once(args.samples, args.again)))
        return
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        place = Path(temporary) / "run"
        print("| requests | resident MiB | descriptors | processor us a request |")
        print("| ---: | ---: | ---: | ---: |")
        first = run_once(args.samples, place)
        size = sum(path.stat().st_size for path in place.glob("journal/*")) / 1e6
        print(
            f"\n{args.samples:,} requests: {first['cpu']:.1f} s of processor time, {first['seconds']:.1f} s in all; "
            f"{first['loaded']:.0f} MiB with the samples alone, {first['peak']:.0f} MiB at most; a journal of "
            f"{size:.0f} MB"
        )
        command = [sys.executable, __file__, "--samples", str(args.samples), "--again", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        again = json.loads(done.stdout.splitlines()[-1])
        print(
            f"resume, all answered: {again['cpu']:.1f} s of processor time, {again['seconds']:.1f} s in all; "
            f"{again['loaded']:.0f} MiB with the samples alone, {again['peak']:.0f} MiB at most"
        )


if __name__ == "__main__":
    main()
