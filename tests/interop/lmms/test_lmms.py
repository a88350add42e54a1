"""What lmms-eval calls: the same samples, prompts, scores and aggregates as here."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
from mmbench_data import COLUMNS, located, picture, questions

from ssl4rl_bench.core.types import Completion, ImagePart, ScoredSample, TextPart
from ssl4rl_bench.interop.lmms import mmbench as lmms
from ssl4rl_bench.score import aggregate as metrics
from ssl4rl_bench.score.scores import arrange
from ssl4rl_bench.task.mmbench import task as mmbench
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile

pytestmark = pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets")


def docs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    import datasets

    return list(lmms.process_docs(datasets.Dataset.from_list(rows)))


@pytest.mark.slow
def test_docs_are_the_samples_of_the_task() -> None:
    task = load_task("scenes")
    table = lmms.scenes_docs(None)
    assert len(table) == len(task.samples)
    for doc, sample in list(zip(table, task.samples, strict=True))[::97]:
        image, text = sample.messages[0].content
        assert isinstance(image, ImagePart)
        assert isinstance(text, TextPart)
        assert lmms.doc_to_text(doc, {"prompt": "ssl4rl"}) == lmms.doc_to_text(doc) == text.text
        assert doc["image"]["bytes"] == image.image.data
        assert lmms.doc_to_target(doc) == sample.target
        (visual,) = lmms.doc_to_visual(doc)
        assert visual.mode == "RGB"


@pytest.mark.parametrize("kind", ["bytes", "struct", "picture", "reference"])
def test_images_in_every_form_that_lmms_eval_loads(kind: str) -> None:
    import datasets

    rows = questions(1)
    table = datasets.Dataset.from_list(
        [row | {"image": {"bytes": row["image"], "path": None}} for row in rows]
    )
    if kind == "bytes":
        table = datasets.Dataset.from_list(rows)
    elif kind == "picture":
        table = table.cast_column("image", datasets.Image())
    elif kind == "reference":
        texts = [base64.b64encode(picture(0)).decode(), "0", "0", "0"]
        table = datasets.Dataset.from_list(
            [row | {"image": text} for row, text in zip(rows, texts, strict=True)]
        )
    processed = lmms.process_docs(table)
    assert [doc["image"]["bytes"] for doc in processed] == [picture(0)] * 4
    assert isinstance(processed.features["image"], datasets.Image)


def test_an_empty_column_is_a_missing_text() -> None:
    rows = [{key: row[key] if row[key] != "" else None for key in COLUMNS} for row in questions(1)]
    assert docs(rows)[0]["hint"] == ""


def test_process_results_is_the_task_s_own_score_and_json() -> None:
    doc = docs(questions(1))[1]
    right = lmms.process_results(doc, ["<think>x</think> <answer>B</answer>"])["circular_micro"]
    assert (right["value"], right["answer"], right["status"], right["copies"]) == (1.0, "B", "tag", 4)
    wrong = lmms.process_results(doc, ["<answer>C</answer>"])["row_micro"]
    assert (wrong["value"], wrong["status"]) == (0.0, "tag")
    assert json.loads(json.dumps(right)) == right


def test_a_request_that_failed_is_no_answer() -> None:
    doc = docs(questions(1))[0]
    text = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] the answer is A"
    item = lmms.process_results(doc, [text])["row_micro"]
    assert (item["value"], item["status"]) == (None, "error")


def test_the_aggregates_are_those_of_a_run() -> None:
    rows = questions(6)
    task = mmbench.load_mmbench(load_taskfile("scenes"), located(rows), source="", where="")
    replies = {
        sample.id: f"<answer>{sample.target if int(sample.id) % 7 else 'D'}</answer>"
        for sample in task.samples
    }
    items = [lmms.process_results(doc, [replies[str(doc["index"])]]) for doc in docs(rows)]
    scored = [
        ScoredSample(
            id=sample.id,
            group=sample.group,
            roll=sample.roll,
            repeat=0,
            categories=sample.categories,
            score=task.score(sample, Completion(text=replies[sample.id], finish_reason="stop")),
        )
        for sample in task.samples
    ]
    expected = metrics.aggregate(arrange(scored))
    for name, function in (("circular_micro", lmms.circular_micro), ("row_micro", lmms.row_micro)):
        value = function(item[name] for item in items)
        assert 0 < value < 1
        assert value == expected[name]["overall"]["value"]


def test_a_question_without_all_its_copies_does_not_count() -> None:
    """lmms-eval's --limit cuts through questions; always "A" must not gain from that."""
    rows = docs(questions(2))
    items = [lmms.process_results(doc, ["A"])["circular_micro"] for doc in rows]
    assert lmms.circular_micro(items) == 0.0
    assert math.isnan(lmms.circular_micro(items[:1]))
    assert lmms.row_micro(items[:5]) == 0.25


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, ssl4rl_bench.interop.lmms.mmbench;"
        "print([name for name in ('torch', 'transformers', 'lmms_eval', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
