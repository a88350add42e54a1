"""Makes runs of three models on three benchmarks: questions, pairs of pictures, and cycles of options.

The third model did not answer the pairs. A run's replies are right for a share of the groups that each model knows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmark_rows import Row, choice, encoded, write_table
from commands import bench

MODELS = {"base": 0.5, "rotation": 0.9, "jigsaw": 0.4}
"""The share of groups that each model knows."""
TASKS = ("mmstar", "mmvp", "hrbench_4k")
LACKING = ("jigsaw", "mmvp")
"""A model, and the benchmark that it did not answer."""
SHARED = [task for task in TASKS if task != LACKING[1]]
LABELS = [f"{model} (replay)" for model in MODELS]


def mmstar_rows(n: int = 40) -> list[Row]:
    """Returns questions of two categories."""
    names = ("math", "coarse perception")
    return [choice(i, "ABCD"[i % 4], category=names[i % 2], l2_category=f"leaf {i % 2}") for i in range(n)]


def mmvp_rows(n: int = 24) -> list[Row]:
    """Returns pairs of rows that ask the same question of two pictures."""
    return [choice(i, "AB"[i % 2], "AB", question=f"Pair {(i - 1) // 2}?") for i in range(1, n + 1)]


def hrbench_rows(n: int = 10) -> list[Row]:
    """Returns questions in four cycles, with rotated options."""
    rows = []
    for question in range(n):
        for cycle in range(4):
            options = {letter: f"colour {(k - cycle) % 4}" for k, letter in enumerate("ABCD")}
            row = choice(question * 4 + cycle, "ABCD"[cycle], image=encoded(question)) | options
            place = {"category": ("single", "cross")[question % 2], "cycle_category": cycle}
            rows.append(row | place | {"question": f"Which colour is thing {question}?"})
    return rows


def make(folder: Path) -> list[Path]:
    """Writes the files and the runs below the folder, and returns the runs' folders."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        for task, rows in zip(TASKS, (mmstar_rows(), mmvp_rows(), hrbench_rows()), strict=True):
            write_table(Path(f"{task}.tsv"), rows)
        _run("gold", TASKS, "--engine", "mock")
        for model in MODELS:
            lines = [json.dumps(reply) + "\n" for reply in _replies(Path("gold/journal"), model)]
            Path(f"{model}.jsonl").write_text("".join(lines))
            tasks = tuple(task for task in TASKS if (model, task) != LACKING)
            _run(model, tasks, "--engine", "replay", "--replies", f"{model}.jsonl")
    return [folder / model for model in MODELS]


def _run(model: str, tasks: tuple[str, ...], *how: str) -> None:
    asked = [word for task in tasks for word in ("--tasks", task, "--data", f"{task}={task}.tsv")]
    done = bench("run", "--model", model, *asked, *how, "--out", model)
    assert done.code == 0, done.text


def _replies(right: Path, model: str) -> Iterator[dict[str, Any]]:
    """Yields a reply to each sample: right, or that of a sample with another answer."""
    for path in sorted(right.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            knows = Random(f"{model} {path.stem} {row['group']}").random() < MODELS[model]
            wrong = next(other["text"] for other in rows if other["text"] != row["text"])
            yield {"task": path.stem, "id": row["id"], "text": row["text"] if knows else wrong}
