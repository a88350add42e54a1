"""How well do workers on Ray scale, and what does a dead or slow one cost?

Real Ray on this machine, with workers whose engine is the mock: it waits instead of computing, so that 64 of them
fit on two cores. What is measured is this project's part: scheduling, messages and Ray. Prints one JSON line per
measurement, then a summary.

    python benchmarks/workers.py                                   # all parts, up to 64 workers
    python benchmarks/workers.py --workers 1 2 4 8 --parts scaling

scaling: k workers answer k times as many requests as one; efficiency is the throughput over k times that of one.
kills: a worker is killed by SIGKILL every 10 seconds, another one each time; counts replies, errors and duplicates.
slow: one worker is five times slower; compares the time of a run with the least possible.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.types import (
    Categories,
    EncodedImage,
    ImagePart,
    Message,
    Request,
    Sample,
    Sampling,
    TextPart,
)
from ssl4rl_bench.engines import create
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.workers import pool
from ssl4rl_bench.engines.workers.engine import WorkersEngine

N_COPIES = 4
"""The number of requests that show the same image."""
SLOWDOWN = 5
PARTS = ("scaling", "kills", "slow")


def requests(n: int, image_bytes: int, first: int = 0) -> list[Request]:
    """Makes requests with random bytes as images, which the mock does not decode."""
    made: list[Request] = []
    for question in range(first, first + -(-n // N_COPIES)):
        data = random.Random(question).randbytes(image_bytes)
        image = ImagePart(EncodedImage(data, sha256(data).hexdigest()))
        for copy in range(N_COPIES):
            text = TextPart(
                f"Question {question}, copy {copy}: which option is right?\nA. one\nB. two\nC. three"
            )
            sample = Sample(
                id=f"{question}-{copy}",
                group=str(question),
                messages=(Message("user", (image, text)),),
                target="A",
                choices={letter: letter for letter in "ABC"},
                categories=Categories("", "", ""),
            )
            made.append(Request(sample))
    return made[:n]


@contextmanager
def engine_of(k: int, options: EngineOptions) -> Iterator[WorkersEngine]:
    """Starts k workers, each of which has answered once."""
    engine = create("mock", None, replace(options, workers=k, ray_address=options.ray_address))
    if not isinstance(
        engine, WorkersEngine
    ):  # one worker is one engine in this process, unless there is a Ray
        engine = WorkersEngine(engine, None, options)
    try:
        begin = time.perf_counter()
        while not all(slot.n_answered for slot in engine._scheduler.slots):
            list(engine.run(iter(requests(4 * k * options.concurrency, 1000)), Sampling()))
        show(start_s=round(time.perf_counter() - begin, 1), workers=k)
        yield engine
    finally:
        engine.close()


def timed(engine: WorkersEngine, asked: Sequence[Request]) -> dict[str, Any]:
    """Runs requests and returns time, CPU time of this process, and counts."""
    begin, cpu = time.perf_counter(), time.process_time()
    ids: Counter[str] = Counter()
    n_errors = 0
    for request, completion in engine.run(iter(asked), Sampling()):
        ids[request.sample.id] += 1
        n_errors += completion.error is not None
    seconds = time.perf_counter() - begin
    return {
        "seconds": round(seconds, 2),
        "replies_s": round(len(asked) / seconds, 1),
        "driver_cpu_ms": round(1e3 * (time.process_time() - cpu) / len(asked), 3),
        "asked": len(asked),
        "answered": len(ids),
        "twice": sum(n > 1 for n in ids.values()),
        "errors": n_errors,
    }


def scaling(asked: argparse.Namespace, options: EngineOptions) -> dict[str, Any]:
    """Measures the throughput of each number of workers."""
    rate = options.concurrency / options.mock_latency
    per_worker: dict[int, float] = {}
    for k in asked.workers:
        with engine_of(k, options) as engine:
            result = timed(engine, requests(round(k * rate * asked.seconds), asked.image_bytes, 1_000_000))
        per_worker[k] = result["replies_s"] / k
        show(part="scaling", workers=k, of_ideal=round(per_worker[k] / rate, 3), **result)
    first = per_worker[min(per_worker)]
    return {f"efficiency_{k}": round(rate / first, 3) for k, rate in per_worker.items()}


def kills(asked: argparse.Namespace, options: EngineOptions) -> dict[str, Any]:
    """Kills a worker every `--kill-every` seconds during a run of `--kill-seconds`."""
    k = asked.kill_workers
    rate = k * options.concurrency / options.mock_latency
    n_killed = 0
    over = threading.Event()
    with engine_of(k, options) as engine:

        def kill() -> None:
            nonlocal n_killed
            while not over.wait(asked.kill_every):
                facts = engine._pool.facts() if engine._pool else {}
                if n_killed % k in facts:
                    os.kill(facts[n_killed % k].pid, signal.SIGKILL)
                    n_killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            result = timed(engine, requests(round(rate * asked.kill_seconds), asked.image_bytes, 2_000_000))
        finally:
            over.set()
            killer.join()
        deaths = sum(slot.n_deaths for slot in engine._scheduler.slots)
        result |= {"killed": n_killed, "deaths": deaths, "sent_again": engine._scheduler.n_resent}
    show(part="kills", workers=k, of_ideal=round(result["replies_s"] / rate, 3), **result)
    return {f"kills_{key}": result[key] for key in ("killed", "asked", "answered", "twice", "errors")}


class _OneSlow(pool.RayPool):
    """Workers of which the first is slower than the others."""

    def arguments(self, worker: int) -> Any:
        name, model, options = super().arguments(worker)
        factor = SLOWDOWN if worker == 0 else 1
        return name, model, replace(options, mock_latency=factor * options.mock_latency)


def slow(asked: argparse.Namespace, options: EngineOptions) -> dict[str, Any]:
    """Compares a run in which one worker is slow with the least possible time."""
    k = asked.slow_workers
    rate = options.concurrency / options.mock_latency * (k - 1 + 1 / SLOWDOWN)
    fast_pool, pool.RayPool = pool.RayPool, _OneSlow  # type: ignore[misc]  # a stand-in
    try:
        with engine_of(k, options) as engine:
            before = [slot.n_answered for slot in engine._scheduler.slots]
            result = timed(engine, requests(round(rate * asked.seconds), asked.image_bytes, 3_000_000))
            after = [slot.n_answered for slot in engine._scheduler.slots]
    finally:
        pool.RayPool = fast_pool  # type: ignore[misc]  # a stand-in
    shares = [b - a for a, b in zip(before, after, strict=True)]
    ratio = result["seconds"] * rate / result["asked"]
    show(part="slow", workers=k, time_over_ideal=round(ratio, 3), answered_by=shares, **result)
    return {"slow_time_over_ideal": round(ratio, 3), "slow_share": round(shares[0] * k / sum(shares), 3)}


OUT: list[Path] = []


def show(**values: Any) -> None:
    line = json.dumps(values)
    print(line, flush=True)
    for path in OUT:
        with path.open("a") as file:
            file.write(line + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run, if workers were ideal")
    parser.add_argument("--latency", type=float, default=2.0, help="mean seconds of a reply")
    parser.add_argument("--concurrency", type=int, default=32, help="requests in flight per worker")
    parser.add_argument("--image-bytes", type=int, default=60_000)
    parser.add_argument("--kill-workers", type=int, default=4)
    parser.add_argument("--kill-every", type=float, default=10.0, help="seconds")
    parser.add_argument("--kill-seconds", type=float, default=120.0)
    parser.add_argument("--slow-workers", type=int, default=4)
    parser.add_argument("--ray-address", help="an existing cluster, HOST:PORT")
    parser.add_argument("--out", type=Path, help="file to append the results to")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    if asked.out:
        OUT.append(asked.out)
    options = EngineOptions(
        mock_latency=asked.latency, concurrency=asked.concurrency, ray_address=asked.ray_address
    )
    summary: dict[str, Any] = {"latency_s": asked.latency, "concurrency": asked.concurrency}
    for part, measure in (("scaling", scaling), ("kills", kills), ("slow", slow)):
        if part in asked.parts:
            summary |= measure(asked, options)
    show(summary=summary)


if __name__ == "__main__":
    main()
