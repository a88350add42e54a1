"""What the SSL tasks' files name for lmms-eval: the samples, prompts, scores and aggregates of a run."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Completion, ImagePart, ScoredSample, TextPart
from ssl4rl_bench.interop.lmms import probes
from ssl4rl_bench.interop.lmms.reply import CUT_OFF
from ssl4rl_bench.score.outcomes import outcomes_of
from ssl4rl_bench.score.probes import probe_summary
from ssl4rl_bench.task import scenes
from ssl4rl_bench.task.registry import load_task

pytestmark = pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets")

TASKS = Path(__file__).parents[3] / "tasks"
KINDS = {
    "rotation": "step: 90",
    "jigsaw": "k: 2",
    "contrastive": "strength: weak",
    "position": "grid: 2",
    "pair": "layout: 3x3",
    "patch": "distractors: hard",
    "mirror": "frame: 0.2",
    "count": "",
    "caption": "distractors: hard",
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn scenes in a folder."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, leaf in enumerate(scenes.LEAVES[:12]):
        scenes.question("dev", leaf, number).drawn.image.save(folder / f"{number}.png")
    return folder


def task_text(kind: str, pictures: Path) -> str:
    """A task file of the user's own, which includes the shipped `_ssl.yaml`."""
    shown = "scenes:lmms:12:attribute_recognition" if kind == "caption" else pictures
    return (
        f"task: ssl4rl_mine_{kind}\n"
        "include: _ssl.yaml\n"
        "dataset_kwargs:\n"
        "  data_files:\n"
        f"    dev: mine_{kind}.yaml\n"
        "\n"
        "metadata:\n"
        f"  version: 1\n  title: My own\n  images: {shown}\n  ssl: {{kind: {kind}, {KINDS[kind]}}}\n"
    )


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Any:
    """The task as a run loads it, and the documents as lmms-eval gets them from the same file's lines."""
    kind = request.param
    folder = tmp_path_factory.mktemp("tasks")
    shutil.copy(TASKS / "_ssl.yaml", folder)
    path = folder / f"mine_{kind}.yaml"
    path.write_text(task_text(kind, pictures))
    loaded = {"text": path.read_text().splitlines()}
    return SimpleNamespace(task=load_task(str(path)), docs=probes.process_docs(loaded), kind=kind)


def test_docs_are_the_samples_of_the_task(both: Any) -> None:
    assert len(both.docs) == len(both.task.samples) > 0
    for doc, sample in zip(both.docs, both.task.samples, strict=True):
        *parts, text = sample.messages[0].content
        assert isinstance(text, TextPart)
        assert (doc["id"], doc["group"], probes.doc_to_target(doc)) == (
            sample.id,
            sample.group,
            sample.target,
        )
        assert probes.doc_to_text(doc, {"prompt": both.task.prompt}) == probes.doc_to_text(doc) == text.text
        assert [item["bytes"] for item in doc["images"]] == [
            part.image.data for part in parts if isinstance(part, ImagePart)
        ]
        assert [visual.mode for visual in probes.doc_to_visual(doc)] == ["RGB"] * len(parts)
        assert doc["data_sha256"] == both.task.data_sha256


def test_the_prompt_needs_no_images(both: Any) -> None:
    """lmms-eval builds its requests from documents without them."""
    doc = both.docs.remove_columns("images")[0]
    assert probes.doc_to_text(doc, {"prompt": "ssl4rl"}) == probes.doc_to_text(both.docs[0])


REPLIES = (
    "<think>x</think> <answer>{target}</answer>",
    "<answer>{wrong}</answer>",
    "The answer is {target}.",
    "<think>I would write <answer>{wrong}</answer></think> <answer>{target}</answer>",
    "<answer>{target}</answer> <answer>{wrong}</answer>",
    "<answer>$ANSWER</answer>",
    "I cannot see any image.",
    "",
    "1,1,1,1",
    "  <answer> {target} </answer>\n\n",
)


def test_every_reply_is_scored_as_in_a_run(both: Any) -> None:
    for doc, sample in list(zip(both.docs, both.task.samples, strict=True))[:4]:
        wrong = both.task.ssl.wrong(sample.target)
        for template in REPLIES:
            text = template.format(target=sample.target, wrong=wrong)
            for reason, through in (("stop", text), ("length", text + CUT_OFF)):
                expected = both.task.score(sample, Completion(text, reason))  # type: ignore[arg-type]
                item = probes.process_results(doc, [through.strip()])["accuracy"]
                assert (item["value"], item["answer"], item["status"], item["parts"]) == (
                    expected.value,
                    expected.answer,
                    str(expected.status),
                    dict(expected.parts),
                ), (text, reason)
                assert json.loads(json.dumps(item)) == item


def test_the_aggregates_are_those_of_a_run(both: Any) -> None:
    ssl, samples = both.task.ssl, both.task.samples
    replies = [
        f"<answer>{sample.target if number % 3 else ssl.wrong(sample.target)}</answer>"
        for number, sample in enumerate(samples)
    ]
    items = [
        probes.process_results(doc, [text])["accuracy"] for doc, text in zip(both.docs, replies, strict=True)
    ]
    scored = [
        ScoredSample(
            id=sample.id,
            group=sample.group,
            roll=sample.roll,
            repeat=0,
            categories=sample.categories,
            score=both.task.score(sample, Completion(text, "stop")),
        )
        for sample, text in zip(samples, replies, strict=True)
    ]
    expected = probe_summary(both.task, both.task.probe, outcomes_of(both.task, scored, "default", 1), scored)
    assert 0 < probes.accuracy(items) < 1
    assert probes.accuracy(items) == expected["accuracy"]["value"]
    assert probes.chance_corrected(items) == pytest.approx(expected["chance_corrected"]["value"])


def test_half_a_group_does_not_count(both: Any) -> None:
    """lmms-eval's --limit may cut between the two samples of a contrastive image."""
    items = [probes.process_results(doc, ["x"])["accuracy"] for doc in both.docs]
    halves = [item for item in items if item["roll"] == 0]
    assert math.isnan(probes.accuracy([])) and math.isnan(probes.chance_corrected([]))
    assert math.isnan(probes.accuracy(halves)) == (both.kind == "contrastive")


def test_a_request_that_failed_is_no_answer(both: Any) -> None:
    text = f"[LMMS_EVAL_REQUEST_FAILED after 5 retries] the answer is {both.docs[0]['target']}"
    item = probes.process_results(both.docs[0], [text])["accuracy"]
    assert (item["value"], item["status"]) == (None, "error")


def test_bad_parameters_are_refused() -> None:
    lines = task_text("rotation", Path("pictures")).replace("step: 90", "step: 77").splitlines()
    with pytest.raises(UsageError, match="step 77"):
        probes.process_docs({"text": lines})


def test_a_file_of_no_ssl_task_is_refused() -> None:
    lines = (TASKS / "scenes.yaml").read_text().splitlines()
    with pytest.raises(UsageError, match="ssl4rl_scenes is not an SSL task"):
        probes.process_docs({"text": lines})


@pytest.mark.slow
def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, ssl4rl_bench.interop.lmms.probes, ssl4rl_bench.interop.lmms.requests;"
        "print([name for name in ('torch', 'transformers', 'lmms_eval', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
