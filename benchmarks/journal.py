"""Times the journal: the cost of appending a record with and without fsync, and of reading a record.

    python benchmarks/journal.py [--records 10000] [--rounds 5] [--chars 800] [--directory DIR]

Each figure is the minimum over the rounds, since other work on the machine only adds time. Figures with fsync
depend on the disk of DIR, so name one on the same kind of disk as the runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.run.journal import Journal, answers

TARGET_US = 50.0
Cost = tuple[float, float]
"""Microseconds per record, in wall-clock and in CPU time."""


def make_records(count: int, chars: int) -> list[SampleRecord]:
    """Makes records with texts of about `chars` characters, the length of a short chain of thought."""
    thought = ("The image shows a street, and the sign to the left points north. " * (chars // 60 + 1))[
        :chars
    ]
    return [
        SampleRecord(
            id=str(number),
            repeat=0,
            group=str(number % 1164),
            key=sha256_hex(str(number).encode()),
            text=f"<think>{thought}</think> <answer>{'ABCD'[number % 4]}</answer>",
            finish_reason="stop",
            n_prompt_tokens=412,
            n_completion_tokens=chars // 4,
            latency_s=1.234567 + number,
            error=None,
        )
        for number in range(count)
    ]


def cost(work: Callable[[], object], count: int) -> Cost:
    """Returns the cost of `work` per record, given that it handles `count` records."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - clock) / count * 1e6, (time.process_time() - processor) / count * 1e6


def append_all(path: Path, records: list[SampleRecord], every: int, interval_s: float) -> None:
    """Writes the records to a new journal."""
    with Journal(path, every=every, interval_s=interval_s) as journal:
        for record in records:
            journal.append(record)


def measure(directory: Path, records: list[SampleRecord]) -> list[Cost]:
    """Measures appending with the default fsyncs, one at the end, and one per record; then reading."""
    keys = {(record.id, record.repeat): record.key for record in records}
    grouped, bare, single = (directory / name for name in ("grouped", "bare", "each"))
    few = records[:200]
    costs = [
        cost(lambda: append_all(grouped, records, 256, 0.5), len(records)),
        cost(lambda: append_all(bare, records, 1 << 60, 1e9), len(records)),
        cost(lambda: append_all(single, few, 1, 1e9), len(few)),
        cost(lambda: answers(grouped, keys), len(records)),
    ]
    assert len(answers(grouped, keys).records) == len(records)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chars", type=int, default=800, help="length of a reply")
    parser.add_argument(
        "--directory", type=Path, default=None, help="folder of the journals (default: the current one)"
    )
    args = parser.parse_args()
    records = make_records(args.records, args.chars)
    rounds = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory(dir=args.directory or Path.cwd()) as directory:
            rounds.append(measure(Path(directory), records))
    names = (
        "append, fsync in groups (default)",
        "append, one fsync at the end",
        "append, fsync after each",
        "read, check, match by key",
    )
    print(f"{len(records)} records; microseconds a record; target for the default: below {TARGET_US:.0f}")
    print(f"{'':36}{'clock':>10}{'processor':>12}")
    least = [tuple(map(min, zip(*costs, strict=True))) for costs in zip(*rounds, strict=True)]
    for name, (clock, processor) in zip(names, least, strict=True):
        print(f"{name:36}{clock:10.1f}{processor:12.1f}")
    print(f"share of the fsyncs in groups: {max(0.0, 1 - least[1][0] / least[0][0]):.0%}")


if __name__ == "__main__":
    main()
