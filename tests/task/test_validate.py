"""Validation without a model: a sound task passes, and each defect is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mmbench_data import located, questions

from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    ImagePart,
    Sample,
    Score,
    Status,
    TextPart,
)
from ssl4rl_bench.task.mmbench import task as mmbench
from ssl4rl_bench.task.mmbench.task import MMBenchTask
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile
from ssl4rl_bench.task.validate import validate_task


@pytest.fixture
def task() -> MMBenchTask:
    rows = located(questions(3))
    return mmbench.load_mmbench(load_taskfile("scenes"), rows, source="a.tsv", where="a.tsv")


def changed(task: MMBenchTask, at: int, **fields: object) -> MMBenchTask:
    """With one sample's fields replaced."""
    samples = list(task.samples)
    samples[at] = replace(samples[at], **fields)  # type: ignore[arg-type]  # the tests name real fields
    return replace(task, samples=tuple(samples))


def with_image(sample: Sample, data: bytes) -> Sample:
    text = sample.messages[0].content[1]
    image = ImagePart(EncodedImage(data, sha256_hex(data)))
    return replace(sample, messages=(replace(sample.messages[0], content=(image, text)),))


def test_the_built_in_task_is_sound() -> None:
    task = load_task("scenes", limit=60)
    report = validate_task(task)
    assert report.ok
    assert (report.n_samples, report.n_groups) == (len(task.samples), 60)
    assert report.n_images > 40
    assert sum(report.leaves.values()) == 60


@pytest.mark.parametrize(
    "options", [("None", "N/A", "null"), ("A", "B", "C"), ("B", "A", "none of the above"), ("是", "否")]
)
def test_gold_answers_are_read_right_whatever_the_options_say(options: tuple[str, ...]) -> None:
    rows = [row for row in questions(2, options=options) if row]
    report = validate_task(mmbench.load_mmbench(load_taskfile("scenes"), located(rows), source="", where=""))
    assert report.failures == ()


def test_a_scorer_that_gets_gold_answers_wrong(task: MMBenchTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def always_right(self: MMBenchTask, sample: Sample, completion: Completion, extractor: str = "") -> Score:
        return Score(1.0, sample.target, Status.TAG)

    def always_wrong(self: MMBenchTask, sample: Sample, completion: Completion, extractor: str = "") -> Score:
        return Score(0.0, None, Status.NONE)

    monkeypatch.setattr(MMBenchTask, "score", always_wrong)
    assert "Sample 0: gold reply" in validate_task(task).failures[0]
    assert len(validate_task(task).failures) == 3 * len(task.samples)
    monkeypatch.setattr(MMBenchTask, "score", always_right)
    assert "Sample 0: the wrong reply" in validate_task(task).failures[0]


def test_each_defect_is_found(task: MMBenchTask) -> None:
    def failures(broken: MMBenchTask) -> str:
        report = validate_task(broken)
        assert not report.ok
        return "\n".join(report.failures)

    sample = task.samples[1]
    assert "Task ssl4rl_scenes has no samples." in failures(replace(task, samples=()))
    assert "Sample id 0 appears 2 times." in failures(changed(task, 1, id="0"))
    assert "the target 'Z' is none of its choices" in failures(changed(task, 1, target="Z"))
    assert "Group 0: circular copy 1 has another right answer" in failures(changed(task, 1, target="A"))
    assert "Group 0: circular copy 3 is missing." in failures(replace(task, samples=task.samples[:3]))
    assert "Group 0: circular copy 1 is missing." in failures(changed(task, 1, roll=9))
    assert "have different categories" in failures(changed(task, 1, categories=Categories("a", "b", "c")))
    assert "option A is not in the prompt" in failures(
        changed(task, 1, choices={**sample.choices, "A": "mauve"})
    )
    text_only = replace(sample.messages[0], content=(TextPart("Question"),))
    assert "has no image" in failures(changed(task, 1, messages=(text_only,)))
    broken = with_image(sample, b"\x89PNG\r\n\x1a\n")
    assert "Sample 1000000: the image cannot be used, it is cut off." in failures(
        changed(task, 1, messages=broken.messages)
    )


def test_warnings_of_the_task_are_passed_on() -> None:
    rows = located(questions(2))
    task = mmbench.load_mmbench(load_taskfile("mmbench_dev_en"), rows, source="", where="")
    assert validate_task(task).warnings == task.warnings != ()
