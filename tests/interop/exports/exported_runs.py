"""Small runs of recorded replies for tests of exports: failed requests, cut replies, reasoning alone, odd texts."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark_rows import BENCHMARKS, write_table
from mmbench_data import questions_by_ability

import ssl4rl_bench as sb
from ssl4rl_bench.score.runs import Run

Line = Mapping[str, Any]
PICTURES = Path(__file__).parents[2] / "data" / "golden" / "pictures"


def run_of(
    folder: Path, task: str, replies: Mapping[str, Line], *, limit: int | None = None, **how: Any
) -> Run:
    """Makes folder/run and the data of its task, with a reply for each id; other samples are answered with A."""
    data = write_data(folder, task)
    samples = sb.load_task(task).load(data, limit=limit).samples
    repeats = how.get("repeats", 1)
    if repeats > 1:
        how = {"temperature": 1.0, **how}
    lines = [
        {"text": "A"} | dict(replies.get(sample.id, {})) | {"id": sample.id, "repeat": repeat}
        for sample in samples
        for repeat in range(repeats)
    ]
    file = folder / "replies.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    made = sb.evaluate(
        "my/model",
        task,
        data=data,
        limit=limit,
        engine="replay",
        options={"replies": str(file)},
        out=folder / "run",
        max_error_rate=1.0,
        **how,
    )
    assert isinstance(made, Run)
    return made


def write_data(folder: Path, task: str) -> Path | None:
    """Writes the data of a task, with 7 questions for MMBench; None for built-in data."""
    if task.startswith("mmbench"):
        return write_mmbench(folder, questions_by_ability(7))
    if task in BENCHMARKS:
        return write_table(folder / f"{task}.tsv", BENCHMARKS[task].rows())
    return PICTURES if task.startswith("ssl_") else None


def write_mmbench(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes rows of `mmbench_data` as a TSV file."""
    path = folder / "mmbench.tsv"
    return write_table(path, [{**row, "image": base64.b64encode(row["image"]).decode()} for row in rows])


MIXED: Mapping[str, Line] = {
    "0": {"text": "", "error": "the server is gone"},
    "1": {"text": "So the answer may be", "finish_reason": "length"},
    "2": {"text": "", "reasoning": "I think it is A"},
    "3": {"text": '=HYPERLINK("x")\t"A"\nline two'},
    "1000003": {"text": "<think>x</think> <answer>B</answer>"},
    "2000003": {"text": "<answer>C</answer>", "finish_reason": "length"},
    "3000003": {"text": "+D 汉字 👩 <b>&amp;"},
}
"""A reply of every state for the groups 0 to 3 of MMBench's data."""
