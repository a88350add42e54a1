"""The readers against hand-labelled replies. A label is what a careful person reads: an answer, or None.

`replies_labelled.jsonl` (multiple choice) and `replies_labelled_ssl.jsonl` (the four SSL tasks) were labelled without
looking at the readers; rows whose `sure` is false are left out. A wrong answer, or one read where there is none, is a
fault; of clear answers a share may stay unread.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.task.extract import read
from ssl4rl_bench.task.registry import load_ssl

DATA = Path(__file__).parents[2] / "data"
SSL = {
    "rotation": ("ssl4rl_ssl_rotation_90", "90"),
    "jigsaw": ("ssl4rl_ssl_jigsaw_2x2", "2,3,1,4"),
    "position": ("ssl4rl_ssl_position", "top-left"),
    "contrastive": ("ssl4rl_ssl_contrastive_weak", "positive"),
}


def rows(name: str) -> list[dict[str, Any]]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [row for row in map(json.loads, text.split("\n")[:-1]) if row["sure"]]


def compare(wanted: str | None, answer: str | None) -> str:
    if wanted == answer:
        return "right"
    return "unread" if answer is None else "invented" if wanted is None else "wrong"


def test_multiple_choice() -> None:
    counts: Counter[str] = Counter()
    faults = []
    labelled = rows("replies_labelled.jsonl")
    for row in labelled:
        kind = compare(row["answer"], read(row["reply"], row["choices"], row["finish_reason"]).answer)
        counts[kind] += 1
        if kind in ("wrong", "invented"):
            faults.append((row["reply"], row["answer"]))
    assert not faults
    n_clear = sum(row["answer"] is not None for row in labelled)
    assert n_clear > 800
    assert counts["unread"] <= 0.10 * n_clear, counts


@pytest.mark.parametrize("kind", SSL)
def test_ssl_tasks(kind: str) -> None:
    name, target = SSL[kind]
    task = load_ssl(name)[1]
    labelled = [row for row in rows("replies_labelled_ssl.jsonl") if row["task"] == kind]
    faults = []
    n_unread = 0
    for row in labelled:
        completion = Completion(text=row["reply"], finish_reason=row["finish_reason"])
        score = task.score(completion, target, "default")
        answer = score.answer
        if kind == "jigsaw" and answer is not None and sorted(answer.split(",")) != list("1234"):
            assert score.value == 0.0  # a list that is no permutation is shown, and worth nothing
            answer = None
        result = compare(row["answer"], answer)
        n_unread += result == "unread"
        if result in ("wrong", "invented"):
            faults.append((row["reply"], row["answer"], score.answer))
    assert not faults
    assert n_unread <= 0.15 * sum(row["answer"] is not None for row in labelled)
