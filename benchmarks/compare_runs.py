"""Times `compare` and `report` on eight runs of the size of MMBench dev, and a leaderboard of a hundred runs.

    python benchmarks/compare_runs.py [--work DIR]

Eight runs: 1,164 questions in 4,329 rows, one image of 300 x 225 pixels per question, replies of 300
characters, models of eight skills. Each command is a new process; `compare` runs a second time, when the
outcomes of each run are already stored. A hundred runs: outcomes and results without replies. Prints the wall
time, the CPU time and the peak memory of each command, and the size of the page.
"""

from __future__ import annotations

import argparse
import base64
import csv
import dataclasses
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from score_replies import TASK, WORDS, make_rows

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import SampleRecord, Score, Status, Task
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score import outcomes
from ssl4rl_bench.score.aggregate import aggregate
from ssl4rl_bench.score.scoring import scored_samples
from ssl4rl_bench.task.registry import load_task

TARGETS = {"compare and report of 8 runs": (20.0, 1024.0), "table of 100 runs": (10.0, None)}
"""Maximum seconds and MiB."""


def write_data(path: Path) -> None:
    """Writes a TSV file with a different picture for each question."""
    rng = np.random.default_rng(0)
    pictures: dict[int, str] = {}
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = None
        for _, row in make_rows():
            question = row["index"] % 1_000_000
            if question not in pictures:
                coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((300, 225))
                pictures[question] = base64.b64encode(images.from_pil(coarse).data).decode()
            if lines is None:
                lines = csv.DictWriter(file, row, delimiter="\t")
                lines.writeheader()
            lines.writerow({**row, "image": pictures[question]})


def record(place: Path, task: Task, data: Path, skill: float, seed: int) -> None:
    """Records a complete run of a model that is right with a probability of about `skill`."""
    spec = RunSpec(f"model-{seed}", f"{seed:064d}", {task.name: TaskSpec.of(task)}, "mock", "1")
    rng, keys = random.Random(seed), spec.keys(task)
    easy = random.Random(0)
    ease = {sample.group: easy.gauss(0, 0.25) for sample in task.samples}
    from ssl4rl_bench.score.scoring import score_and_write

    with RunDir.create(place, spec) as run:
        with Journal(run.journal_path(task.name)) as journal:
            for sample in task.samples:
                right = rng.random() < skill + ease[sample.group]
                letter = sample.target if right else rng.choice(list(sample.choices))
                words = " ".join(rng.choices(WORDS, k=70))[:250]
                text = f"<think>{words}</think> <answer>{letter}</answer>"
                journal.append(
                    SampleRecord(
                        sample.id, 0, sample.group, keys[sample.id, 0], text, "stop", 400, 80, 1.0, None
                    )
                )
        loading = {task.name: {"task": task.name, "data": str(data), "limit": None, "skip_bad": False}}
        run.record(ExecInfo.capture(["ssl4rl-bench", "run"], {}, loading).ended("complete"))
        for sample in task.samples:
            for part in sample.messages[0].content:
                if hasattr(part, "image"):
                    run.save_image(part.image)
        score_and_write(run, [task])


def record_many(root: Path, model: RunDir, task: Task, count: int) -> list[Path]:
    """Writes runs that differ in random rows, with only the files that a table needs."""
    scored, result = scored_samples(model, task), model.result
    assert result is not None
    places = []
    for seed in range(count):
        rng = random.Random(1000 + seed)
        changed = [
            dataclasses.replace(item, score=Score(float(rng.random() < 0.6), "A", Status.TAG))
            if rng.random() < 0.2
            else item
            for item in scored
        ]
        spec = dataclasses.replace(model.spec, model=f"many-{seed}", fingerprint=f"{seed + 500:064d}")
        with RunDir.create(root / f"many-{seed:03d}", spec) as run:
            stored = outcomes.outcomes_of(task, changed, "default", 1)
            outcomes.write_outcomes(run, [stored])
            task_result = {**result["tasks"][task.name], "aggregates": aggregate(stored)}
            run.write_result(
                {
                    **result,
                    "model": spec.to_json()["model"],
                    "spec_sha256": spec.sha256,
                    "tasks": {task.name: task_result},
                }
            )
            places.append(run.path)
    return places


def measure(name: str, *args: str | Path) -> tuple[float, float]:
    """Runs a command, prints its time and memory, and returns seconds and MiB."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    script = (
        "import json, resource, sys\n"
        "from ssl4rl_bench.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "finally:\n    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{name}: exit {done.returncode}: {done.stderr[-2000:]}")
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    mib = int(done.stderr.strip().splitlines()[-1]) / 1024
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {mib:.0f} |", flush=True)
    return seconds, mib


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder for all files (default: a temporary folder)")
    parser.add_argument("--many", type=int, default=100)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        data = work / "dev.tsv"
        write_data(data)
        task = load_task(TASK, data=str(data))
        runs = []
        for seed in range(8):
            runs.append(work / f"run-{seed}")
            if not (runs[-1] / "result.json").exists():
                record(runs[-1], task, data, 0.6 + 0.02 * seed, seed)
        many = record_many(work / "many", RunDir.open(runs[0]), task, args.many)
        print("| command | seconds | processor seconds | MiB |\n| --- | ---: | ---: | ---: |")
        both = [measure("compare, 8 runs", "compare", *runs)]
        page = work / "leaderboard.html"
        both.append(measure("report, 8 runs", "report", *runs, "-o", page))
        for run in runs:
            (run / outcomes.FILE).unlink()
        measure("compare, 8 runs, from their journals", "compare", *runs)
        wide = measure(f"compare, {args.many} runs, Markdown", "compare", *many, "--format", "markdown")
        print(f"\npage {page.stat().st_size / 1e6:.2f} MB")
        print(
            f"compare and report of 8 runs: {sum(s for s, _ in both):.1f} s, {max(m for _, m in both):.0f} MiB "
            f"(targets {json.dumps(TARGETS)}); table of {args.many} runs: {wide[0]:.1f} s"
        )


if __name__ == "__main__":
    main()
