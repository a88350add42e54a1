"""VLMEvalKit's own verdicts on recorded replies, compared with this project's scores.

`benchmarks/vlmevalkit_agreement.py CHECKOUT --rows 40 --record tests/data/vlmevalkit_vectors.jsonl` recorded them
with VLMEvalKit's code, without a judge model. The extractor `vlmevalkit-2026-06` must agree in every row. The default
extractor reads more and less, on purpose; how often is pinned in docs/other-tools.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from benchmark_rows import encoded, write_table

import ssl4rl_bench as sb
from ssl4rl_bench.core.types import Completion, Score
from ssl4rl_bench.interop.exports.predictions import FAILED
from ssl4rl_bench.task.answers import score_answer
from ssl4rl_bench.task.mmbench.task import score_choice

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "data" / "vlmevalkit_vectors.jsonl"
Vector = Mapping[str, Any]


@cache
def lines() -> tuple[Vector, ...]:
    return tuple(json.loads(line) for line in VECTORS.read_text("utf-8").splitlines())


def vectors() -> list[Vector]:
    """The rows with a reply; a failed request is 0 for VLMEvalKit and has no score here."""
    return [line for line in lines()[1:] if line["finish_reason"] != "error"]


def ours(row: Vector, extractor: str = "default") -> Score:
    completion = Completion(text=row["reply"], finish_reason=row["finish_reason"])
    if row["choices"]:
        return score_choice(row["choices"], row["target"], completion, extractor)
    return score_answer("yes_no", row["target"], completion, extractor=extractor)


def theirs(row: Vector) -> float:
    return float(row["vlmevalkit"].casefold() == row["target"].casefold())


def kind(row: Vector) -> str:
    """How the reading of a reply by `default` relates to VLMEvalKit's."""
    here, there = ours(row).answer, row["vlmevalkit"]
    if there in ("Z", "Unknown"):
        return "neither reads" if here is None else "only here"
    if here is None:
        return "only there"
    return "equal" if here.casefold() == there.casefold() else "otherwise"


def test_the_vectors_name_a_commit_and_cover_the_benchmarks() -> None:
    assert lines()[0] == {"vlmevalkit": "e8e78f05f3080fe28154f2130321f17951c3be94"}
    counts = Counter(row["task"] for row in lines()[1:])
    assert len(counts) == 9 and min(counts.values()) >= 33


def test_every_verdict_is_the_score_of_the_row() -> None:
    """`hit` is VLMEvalKit's evaluation of the file, and `vlmevalkit` what it extracts from the reply."""
    rows = [row for row in lines()[1:] if row["task"] != "mmbench_dev_en"]
    assert [row["hit"] for row in rows] == [bool(theirs(row)) for row in rows]


def test_the_compatible_extractor_agrees_in_every_row() -> None:
    rows = [row for row in vectors() if row["choices"]]
    assert len(rows) > 250
    assert not [row for row in rows if ours(row, "vlmevalkit-2026-06").value != theirs(row)]


@pytest.mark.parametrize("extractor", ["vlmevalkit-2025-07", "vlmevalkit-2025-09", "strict"])
def test_the_vectors_tell_extractors_apart(extractor: str) -> None:
    assert [row for row in vectors() if row["choices"] and ours(row, extractor).value != theirs(row)]


def test_circular_groups_agree() -> None:
    groups: dict[str, list[Vector]] = {}
    for row in lines()[1:]:
        if row["task"] == "mmbench_dev_en":
            groups.setdefault(str(int(row["id"]) % 1_000_000), []).append(row)
    scored = [group for group in groups.values() if all(row["finish_reason"] != "error" for row in group)]
    assert len(scored) >= 8
    for group in scored:
        (hit,) = (row["hit"] for row in group if row["hit"] is not None)
        assert hit == all(ours(row, "vlmevalkit-2026-06").value == 1 for row in group)


def test_the_differences_of_the_default_extractor_are_those_that_are_documented() -> None:
    counted = {
        task: Counter(kind(row) for row in vectors() if row["task"] == task)
        for task in dict.fromkeys(row["task"] for row in vectors())
    }
    columns = ("equal", "neither reads", "only here", "only there", "otherwise")
    table = [
        f"| {task} | {sum(counts.values())} | {' | '.join(str(counts[column]) for column in columns)} |"
        for task, counts in counted.items()
    ]
    assert "\n".join(table) in (ROOT / "docs" / "other-tools.md").read_text("utf-8")


def test_where_both_differ_a_person_reads_as_the_default_extractor() -> None:
    rows = [
        row
        for row in vectors()
        if row["label"] is not None and kind(row) in ("only here", "only there", "otherwise")
    ]
    here = sum((ours(row).answer or "") == row["label"] for row in rows)
    there = sum(row["vlmevalkit"].replace("Z", "") == row["label"] for row in rows)
    assert (len(rows), here, there) == (68, 65, 3)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mmstar", "realworldqa", "ai2d_test", "seedbench_img"])
def test_an_imported_prediction_file_is_scored_as_vlmevalkit_scores_it(task: str, tmp_path: Path) -> None:
    recorded = [row for row in lines()[1:] if row["task"] == task]
    asked = [
        {"index": row["id"], "question": f"Question {row['id']}?", **row["choices"], "answer": row["target"]}
        for row in recorded
    ]
    data = write_table(tmp_path / "data.tsv", [{**row, "image": encoded(1)} for row in asked])
    texts = [FAILED if row["finish_reason"] == "error" else row["reply"] for row in recorded]
    with_replies = [{**row, "prediction": text} for row, text in zip(asked, texts, strict=True)]
    file = write_table(tmp_path / "theirs.tsv", with_replies)
    run = sb.import_predictions(file, task, data=data, out=tmp_path / "run", extractor="vlmevalkit-2026-06")
    samples = run.samples()
    expected = {row["id"]: theirs(row) for row in recorded if row["finish_reason"] != "error"}
    assert dict(zip(samples.id, samples.score, strict=True)).keys() == {row["id"] for row in recorded}
    scored = samples[samples.score.notna()]
    assert dict(zip(scored.id, scored.score, strict=True)) == expected
