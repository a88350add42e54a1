"""Replay on the real trainer: its loss is that of plain transformers, and it changes nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

from test_train import close, train  # noqa: E402
from test_train_processes import launch  # noqa: E402
from train_recipe import lines, masters, recipe, recipe_file  # noqa: E402

from ssl4rl_bench.engines.inputs import chat_messages, load_processor  # noqa: E402
from ssl4rl_bench.train.replay.questions import load_pool  # noqa: E402
from ssl4rl_bench.train.replay.settings import ReplayPart  # noqa: E402

REPLAY: dict[str, Any] = {"replay__questions": "scenes:train:1", "replay__share": 0.75}
STEPS = 2


@pytest.fixture(scope="module")
def replayed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with three replayed questions each."""
    folder = tmp_path_factory.mktemp("replayed")
    return train(recipe(folder, images, grpo__steps=STEPS, **REPLAY), folder / "run")


def plain_nll(used: list[str], replies: dict[str, Any]) -> float:
    """Mean negative log-likelihood per token of replies, by plain transformers, one question at a time."""
    import torch
    from transformers import AutoModelForImageTextToText

    from ssl4rl_bench.core.images import decode
    from ssl4rl_bench.engines.checkpoints.weights import resolve_model

    folder = resolve_model("tiny-base").path
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = load_processor(folder)
    samples = {
        sample.id: sample
        for group in load_pool(ReplayPart("scenes:train:1", 1.0), transductive=False).groups
        for sample in group
    }
    total, n_tokens = 0.0, 0
    for id in used:
        prompt = processor.apply_chat_template(
            chat_messages(samples[id].messages), add_generation_prompt=True, tokenize=False
        )
        assert replies[id]["ended"]
        text = prompt + replies[id]["reply"] + processor.tokenizer.eos_token
        given = {"images": [decode(image) for image in samples[id].images], "return_tensors": "pt"}
        n_prompt = processor(text=[prompt], **given)["input_ids"].shape[1]
        inputs = processor(text=[text], **given)
        labels = inputs["input_ids"].clone()
        labels[:, :n_prompt] = -100
        n = int((labels >= 0).sum())
        with torch.no_grad():
            total += n * float(model(**inputs, labels=labels).loss)
        n_tokens += n
    return total / n_tokens


def test_the_loss_is_the_likelihood_of_the_bases_replies_in_plain_transformers(replayed: Path) -> None:
    rows = (replayed.parent / "replay.jsonl").read_text().splitlines()
    replies = {line["id"]: line for line in map(json.loads, rows) if "id" in line}
    facts = json.loads((replayed.parent / "data.json").read_text())["replay"]
    first = lines(replayed.parent)[0]
    assert first["replay_loss"] == pytest.approx(plain_nll(facts["used_ids"][:3], replies), rel=1e-3)
    origin = json.loads((replayed / "ssl4rl.json").read_text())["data"]["replay"]
    assert (origin["per_step"], origin["kind"], origin["replies"]["n"]) == (3, "self", 6)
    assert "used_ids" not in origin and len(facts["used_ids"]) == 6
    assert "own replies to 3 questions of `scenes:train:1`" in (replayed / "README.md").read_text()


def test_weight_0_measures_without_changing_the_updates(images: Path, replayed: Path, tmp_path: Path) -> None:
    without = train(recipe(tmp_path, images, grpo__steps=STEPS), tmp_path / "without")
    measured = train(
        recipe(tmp_path, images, grpo__steps=STEPS, **REPLAY, replay__weight=0.0), tmp_path / "zero"
    )
    assert close(masters(without), masters(measured), atol=0.0)
    assert not close(masters(without), masters(replayed), atol=1e-5)
    a, b = lines(tmp_path / "without"), lines(tmp_path / "zero")
    assert [line["loss"] for line in a] == [line["loss"] for line in b]
    assert "replay_loss" not in a[0]
    assert b[0]["replay_loss"] == lines(replayed.parent)[0]["replay_loss"]
    first = lines(replayed.parent)[0]
    assert first["loss"] == pytest.approx(a[0]["loss"] + first["replay_loss"], rel=1e-3, abs=1e-6)


def test_a_stopped_and_resumed_replay_equals_an_unbroken_one(
    images: Path, replayed: Path, tmp_path: Path
) -> None:
    small = recipe(tmp_path, images, grpo__steps=STEPS, **REPLAY)
    train(small, tmp_path / "parts", max_steps=1)
    made = (tmp_path / "parts" / "replay.jsonl").read_text()
    resumed = train(small, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts" / "replay.jsonl").read_text() == made
    assert close(masters(replayed), masters(resumed), atol=1e-6)
    a, b = lines(replayed.parent), lines(tmp_path / "parts")
    assert [line["replay_loss"] for line in a] == [line["replay_loss"] for line in b]


def test_a_run_that_is_stopped_while_the_base_replies_starts_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.train.grpo import dataset

    small = recipe(tmp_path, images, grpo__steps=1, **REPLAY)
    with monkeypatch.context() as stopped:
        stopped.setattr(dataset, "base_replies", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(small, tmp_path / "run")
    assert (tmp_path / "run" / "replay.jsonl").exists()
    assert train(small, tmp_path / "run").name == "step-000001"


def _interrupted(replay: Any, recipe: Any, base: Any, folder: Path, *args: Any, **kwargs: Any) -> None:
    (folder / "replay.jsonl").write_text('{"id": "torn')
    raise KeyboardInterrupt


def test_micro_batches_and_processes_do_not_change_the_updates(
    images: Path, replayed: Path, tmp_path: Path
) -> None:
    """Three questions over one micro-batch of 16, four of 4, and two processes with two of 4 each."""
    four = train(
        recipe(tmp_path, images, grpo__steps=STEPS, grpo__micro_batch=4, **REPLAY), tmp_path / "four"
    )
    file = recipe_file(tmp_path, images, grpo__steps=STEPS, grpo__micro_batch=4, **REPLAY)
    two = launch(file, tmp_path / "two", 2) / four.name
    for other in (four, two):
        worst = max(float((a - masters(other)[name]).abs().max()) for name, a in masters(replayed).items())
        assert worst < 2e-5
        for a, b in zip(lines(replayed.parent), lines(other.parent), strict=True):
            assert a["replay_loss"] == pytest.approx(b["replay_loss"], rel=1e-3)
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-3, abs=1e-5)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_rewarded_questions_train_beside_the_ssl_task_and_both_are_reported(
    images: Path, tmp_path: Path
) -> None:
    keys = {"replay__questions": "scenes:train:1", "replay__share": 0.5, "replay__kind": "reward"}
    done = train(
        recipe(tmp_path, images, grpo__steps=STEPS, grpo__max_reply_tokens=48, **keys), tmp_path / "run"
    )
    written = lines(tmp_path / "run")
    for line in written:
        assert {"reward/replay", "reward/ssl_rotation_90"} <= line.keys()
        assert line["reward"] == pytest.approx((line["reward/replay"] + line["reward/ssl_rotation_90"]) / 2)
    assert any(line["reward/replay"] > 0 for line in written)
    origin = json.loads((done / "ssl4rl.json").read_text())
    assert origin["data"]["replay"]["kind"] == "reward"
    assert origin["epochs"] == round(STEPS * 2 / 12, 4)
    assert "Replay with labels" in (done / "README.md").read_text()
    assert not (tmp_path / "run" / "replay.jsonl").exists()
