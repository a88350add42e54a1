"""Times the second pass: scoring and tabulating a run's recorded replies to a synthetic MMBench dev set.

    python benchmarks/score_replies.py [--rounds 5] [--extractor default]

The set has the size of MMBench dev v1.0: 1,164 questions in 4,329 rows (926 with four copies, 149 with three,
89 with two). Prints the seconds of the first round and the minimum over all rounds, without imports and without
loading the set. On a busy machine, CPU time is more informative than wall time.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Sample, SampleRecord
from ssl4rl_bench.reports.result import tables
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score.scoring import score_run
from ssl4rl_bench.task.mmbench.task import MMBenchTask, load_mmbench
from ssl4rl_bench.task.mmbench.taxonomy import EDITIONS, L2_OF
from ssl4rl_bench.task.taskfile import load_taskfile

TASK = "ssl4rl_mmbench_dev_en"
SIZES = [4] * 926 + [3] * 149 + [2] * 89
"""The number of copies of each question."""
TARGET_S = 2.0
WORDS = ["the", "picture", "shows", "a", "so", "option", "A", "or", "B", "seems", "right", "because", "I"]
ENDINGS = ["<answer>{}</answer>", "The answer is {}.", "Answer: {}", "\\boxed{{{}}}", "{}", "I cannot tell."]
WEIGHTS = [80, 5, 5, 3, 4, 3]


def make_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields rows in MMBench's schema with small, valid images."""
    pictures = [
        images.from_pil(Image.new("RGB", (16, 16), (shade, 255 - shade, shade))).data
        for shade in range(0, 256, 8)
    ]
    leaves = [leaf for leaf, count in (EDITIONS["dev_v1.0"].leaves or {}).items() for _ in range(count)]
    random.Random(0).shuffle(leaves)
    for question, (size, leaf) in enumerate(zip(SIZES, leaves, strict=True)):
        options = [f"thing {number} of question {question}" for number in range(size)]
        for roll in range(size):
            turned = options[-roll:] + options[:-roll] if roll else options
            row = dict(zip("ABCD", [*turned, "", ""][:4], strict=True))
            yield (
                f"row {question}.{roll}",
                {
                    "index": question + roll * 1_000_000,
                    "question": f"What is shown in picture {question}?",
                    "hint": "",
                    **row,
                    "answer": "ABCD"[roll],
                    "category": leaf,
                    "l2-category": L2_OF[leaf],
                    "image": pictures[question % len(pictures)],
                    "split": "dev",
                },
            )


def make_reply(sample: Sample, rng: random.Random) -> str:
    """Returns a chain of thought of 20 to 400 words with an ending, which is usually well-formed."""
    words = " ".join(rng.choices(WORDS, k=rng.randint(20, 400)))
    letter = sample.target if rng.random() < 0.73 else rng.choice(list(sample.choices))
    return f"<think>{words}</think> {rng.choices(ENDINGS, WEIGHTS)[0].format(letter)}"


def record_replies(directory: Path, task: MMBenchTask) -> RunDir:
    """Makes a run directory with a reply to every sample."""
    spec = RunSpec("recorded", "0" * 64, {task.name: TaskSpec.of(task)}, "mock", "1")
    rng = random.Random(0)
    keys = spec.keys(task)
    with RunDir.create(directory, spec) as rundir, Journal(rundir.journal_path(task.name)) as journal:
        for sample in task.samples:
            text = make_reply(sample, rng)
            key = keys[sample.id, 0]
            journal.append(
                SampleRecord(sample.id, 0, sample.group, key, text, "stop", 400, len(text) // 4, 1.0, None)
            )
    return RunDir.open(directory)


def tabulate(result: dict[str, Any]) -> str:
    """Returns the card's table and the table of all categories as text."""
    console = Console(file=StringIO(), width=100)
    console.print(tables.card_table([result], TASK))
    console.print(tables.leaf_table(result, TASK))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--extractor", default="default")
    args = parser.parse_args()
    task = load_mmbench(load_taskfile(TASK), make_rows(), source="made up", where="made up")
    assert (len(task.samples), task.n_groups) == (4329, 1164)
    rounds = []
    with tempfile.TemporaryDirectory() as directory:
        rundir = record_replies(Path(directory) / "run", task)
        size = rundir.journal_path(task.name).stat().st_size
        for _ in range(args.rounds):
            clock, processor = time.perf_counter(), time.process_time()
            result = score_run(rundir, [task], args.extractor)
            shown = tabulate(result)
            rundir.write_result(result)
            rounds.append((time.perf_counter() - clock, time.process_time() - processor))
    print(shown)
    print(f"status {json.dumps(result['tasks'][TASK]['status'])}")
    print(f"{len(task.samples)} replies, {size / 1e6:.1f} MB; target: below {TARGET_S:.0f} s")
    for name, (clock, processor) in {"first": rounds[0], "least": min(rounds)}.items():
        print(f"{name}  {clock:6.2f} s by the clock, {processor:6.2f} s of the processor")


if __name__ == "__main__":
    main()
