"""What lmms-eval calls for tasks of the kind `questions`: the same samples, prompts and scores as in a run."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmark_rows import BENCHMARKS, write_table

from ssl4rl_bench.core.types import Completion, ImagePart, TextPart
from ssl4rl_bench.interop.lmms import question_docs
from ssl4rl_bench.interop.lmms import questions as lmms
from ssl4rl_bench.task.registry import load_task

pytestmark = pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets")


def docs(name: str) -> list[dict[str, Any]]:
    """Returns the documents of a benchmark's example, which lmms-eval reads with pandas from its TSV."""
    import datasets

    rows = BENCHMARKS[name].rows()
    names = list(dict.fromkeys(key for row in rows for key in row))
    table = datasets.Dataset.from_list([{key: str(row.get(key, "")) for key in names} for row in rows])
    return list(getattr(question_docs, name)(table))


@pytest.mark.parametrize("name", ["hrbench_4k", "mmmu_val", "mathvista_mini", "mathverse_mini_vision_only"])
def test_docs_are_the_samples_of_the_task(name: str, tmp_path: Path) -> None:
    task = load_task(name, data=str(write_table(tmp_path / "x.tsv", BENCHMARKS[name].rows())))
    made = docs(name)
    assert [doc["id"] for doc in made] == [sample.id for sample in task.samples]
    for doc, sample in zip(made, task.samples, strict=True):
        assert (doc["group"], doc["roll"], doc["data_sha256"]) == (
            sample.group,
            sample.roll,
            task.data_sha256,
        )
        assert lmms.doc_to_target(doc) == sample.target
        content = lmms.doc_to_messages(doc, {"prompt": "ssl4rl"})[0]["content"]
        parts = sample.messages[0].content
        assert [part["type"] for part in content] == [
            "image" if isinstance(part, ImagePart) else "text" for part in parts
        ]
        texts = [part.text for part in parts if isinstance(part, TextPart)]
        assert [part["text"] for part in content if part["type"] == "text"] == texts
        for reply in (*task.replies(sample)[0], *task.replies(sample)[1], "", "<answer>7</answer>"):
            item = lmms.process_results(doc, [reply])["row_micro"]
            score = task.score(sample, Completion(text=reply, finish_reason="stop"))
            assert (item["value"], item["answer"], item["status"]) == (
                score.value,
                score.answer,
                score.status,
            )
            assert json.loads(json.dumps(item)) == item


def test_every_task_has_its_function_and_others_have_none() -> None:
    for name in BENCHMARKS:
        assert callable(getattr(question_docs, name))
    with pytest.raises(AttributeError, match="has no attribute unknown_benchmark"):
        question_docs.unknown_benchmark  # noqa: B018


def test_images_in_the_order_of_the_data() -> None:
    doc = docs("mmmu_val")[0]
    first, second = lmms.doc_to_visual(doc)
    content = lmms.doc_to_messages(doc)[0]["content"]
    assert [part["url"] for part in content if part["type"] == "image"] == [second, first]
    assert "Compare <image 2> with <image 1>." in lmms.doc_to_text(doc)
