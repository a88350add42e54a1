"""Faults that are injected into the real trainer: each ends the run with one sentence, or is reported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

import training_process  # noqa: E402
from train_recipe import lines, masters, recipe, recipe_file  # noqa: E402

from ssl4rl_bench.core.errors import StoreError, TrainingError, UsageError  # noqa: E402
from ssl4rl_bench.engines.checkpoints.weights import resolve_model  # noqa: E402
from ssl4rl_bench.train.checkpoint import complete_checkpoints  # noqa: E402
from ssl4rl_bench.train.reporting import Reporter  # noqa: E402


class Notes(Reporter):
    """Keeps the notes of a run."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def train(*args: Any, **kwargs: Any) -> Path:
    from ssl4rl_bench.train.grpo import train_grpo as start

    return start(*args, **kwargs)


def strict_lines(out: Path) -> list[dict[str, Any]]:
    """Reads the metrics, and fails for NaN and Infinity, which JSON does not have."""
    text = (out / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in text.splitlines()]


def break_loss(monkeypatch: pytest.MonkeyPatch, at_update: int, factor: float) -> None:
    """Multiplies the loss of an update."""
    from ssl4rl_bench.train.trainer import SSLTrainer

    compute = SSLTrainer._compute_loss

    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = compute(self, *args, **kwargs)
        return loss * factor if self.state.global_step == at_update - 1 else loss

    monkeypatch.setattr(SSLTrainer, "_compute_loss", broken)


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = recipe(tmp_path, images, grpo__steps=3, save__every=1)
    with monkeypatch.context() as patched:
        break_loss(patched, 2, float("nan"))
        with pytest.raises(TrainingError) as stopped:
            train(small, tmp_path / "run")
    assert "stopped at step 2: the loss is nan and the gradient norm is nan" in str(stopped.value)
    assert "run/step-000001 is the last good checkpoint" in str(stopped.value)
    assert [path.name for path in complete_checkpoints(tmp_path / "run")] == ["step-000001"]
    told = strict_lines(tmp_path / "run")
    assert [line["step"] for line in told] == [1, 2]
    assert told[1]["loss"] is told[1]["grad_norm"] is None
    assert told[0]["loss"] is not None
    assert not list((tmp_path / "run").glob(".*"))
    train(small, tmp_path / "run", resume=True, max_steps=2)
    assert all(line["loss"] is not None for line in strict_lines(tmp_path / "run"))


def test_a_gradient_that_is_not_finite_stops_the_run(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.train.trainer import SSLTrainer

    step = SSLTrainer.training_step

    def broken(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        loss = step(self, model, *args, **kwargs)
        next(p for p in model.parameters() if p.grad is not None).grad.view(-1)[0] = float("inf")
        return loss

    monkeypatch.setattr(SSLTrainer, "training_step", broken)
    with pytest.raises(
        TrainingError, match=r"step 1: the gradient norm is inf; .* there is no checkpoint before"
    ):
        train(recipe(tmp_path, images, save__every=1), tmp_path / "run")
    assert complete_checkpoints(tmp_path / "run") == []


def test_weights_that_are_not_finite_are_not_saved(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second update of the optimizer overflows; its gradients were finite."""
    import torch
    from transformers import TrainerCallback

    from ssl4rl_bench.train.trainer import SSLTrainer

    class Overflow(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
        def on_optimizer_step(
            self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
        ) -> None:
            if state.global_step == 1:
                with torch.no_grad():
                    model.model.language_model.layers[0].mlp.up_proj.weight.view(-1)[0] = float("inf")

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.add_callback(Overflow())
        return original(self, *args, **kwargs)

    original = SSLTrainer.train
    monkeypatch.setattr(SSLTrainer, "train", watched)
    with pytest.raises(
        TrainingError, match=r"cannot save .*step-000002: .*up_proj.* not finite; .*step-000001"
    ):
        train(recipe(tmp_path, images, save__every=1), tmp_path / "run")
    assert [path.name for path in complete_checkpoints(tmp_path / "run")] == ["step-000001"]
    assert not (tmp_path / "run" / ".saving").exists()


def test_rewards_that_teach_nothing_are_reported_once(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.train import guards
    from ssl4rl_bench.train.rewards import SSLReward

    call = SSLReward.__call__

    def constant(self: Any, completions: Any, **columns: Any) -> Any:
        unread = self.__name__ == "ssl_position"
        values = call(self, completions, **columns)
        return [None if value is None or unread else 0.5 for value in values]

    monkeypatch.setattr(SSLReward, "__call__", constant)
    monkeypatch.setattr(guards.RewardWatch.__init__, "__defaults__", (3,))
    notes = Notes()
    small = recipe(
        tmp_path, images, tasks__ssl_position=1, grpo__steps=5, grpo__prompts=8, grpo__micro_batch=32
    )
    train(small, tmp_path / "run", report=notes)
    told = [json.loads(line) for line in (tmp_path / "run" / "warnings.jsonl").read_text().splitlines()]
    by_task = {line["task"]: line["warning"] for line in told}
    assert len(told) == 2
    assert "has a reward" in by_task["ssl_position"]
    assert "every reply to ssl_rotation_90 earned 0.5 in 3 steps" in by_task["ssl_rotation_90"]
    assert sum("is not trained" in note for note in notes.notes) == 2
    assert any(line.get("reward/ssl_position", 0) is None for line in strict_lines(tmp_path / "run"))


def test_resuming_names_what_has_changed_and_a_constant_schedule_can_be_lengthened(
    images: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(resolve_model("tiny-base").path, base)
    own = tmp_path / "pictures"
    shutil.copytree(images, own)
    make = {"model__base": str(base), "optimizer__schedule": "constant"}
    train(recipe(tmp_path, own, grpo__steps=2, **make), tmp_path / "run")
    longer = recipe(tmp_path, own, grpo__steps=4, model__share_prompts=False, **make)
    moved = own / "00.png"
    taken = moved.read_bytes()
    moved.unlink()
    with pytest.raises(StoreError, match=r"data have changed .0 images added and 1 removed"):
        train(longer, tmp_path / "run", resume=True)
    moved.write_bytes(taken)
    config = base / "config.json"
    before = config.read_text()
    config.chmod(0o644)
    config.write_text(before.replace('"tokens_per_second": 4', '"tokens_per_second": 2'))
    assert config.read_text() != before
    with pytest.raises(StoreError, match="it was trained from another base"):
        train(longer, tmp_path / "run", resume=True)
    config.write_text(before)
    done = train(longer, tmp_path / "run", resume=True)
    whole = train(recipe(tmp_path, own, grpo__steps=4, **make), tmp_path / "whole")
    a, b = masters(done), masters(whole)
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 2e-5
    assert [line["reward"] for line in lines(tmp_path / "run")] == [
        line["reward"] for line in lines(tmp_path / "whole")
    ]


def test_a_second_training_in_the_folder_is_refused(images: Path, tmp_path: Path) -> None:
    path = recipe_file(tmp_path, images, grpo__steps=40)
    args = [sys.executable, "-m", "ssl4rl_bench", "train", str(path), "--out", str(tmp_path / "run")]
    with training_process.Popen(args, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        while not (tmp_path / "run" / "metrics.jsonl").is_file() and first.poll() is None:
            first.stderr.readline()
        second = training_process.run([*args, "--resume"], capture_output=True, text=True, timeout=300)
        first.terminate()
        first.communicate(timeout=300)
    assert second.returncode == 2
    errors = [line for line in second.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "is in use by another training run (host " in errors[0]
    assert f"pid {first.pid}, since" in errors[0]
    assert first.returncode == 130
    assert len(complete_checkpoints(tmp_path / "run")) == 1
    assert not list((tmp_path / "run").glob(".*"))


def test_a_bad_target_ends_before_the_model_is_loaded_and_adapters_are_counted(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import LoraLayer

    from ssl4rl_bench.train.grpo import assembly

    lora = {"lora__rank": 2, "lora__alpha": 4.0}
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "load_network", lambda *args, **kwargs: pytest.fail("loaded"))
        with pytest.raises(
            UsageError, match=r"lora.targets: v_prj does not match any matrix.*did you mean v_proj\?"
        ):
            train(recipe(tmp_path, images, lora__targets=["q_proj", "v_prj"], **lora), tmp_path / "bad")
    counted = []

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        names = [name for name, module in self.model.named_modules() if isinstance(module, LoraLayer)]
        counted.append((len(names), sum(".visual." in name for name in names)))
        return original(self, *args, **kwargs)

    from ssl4rl_bench.train.trainer import SSLTrainer

    original = SSLTrainer.train
    monkeypatch.setattr(SSLTrainer, "train", watched)
    notes = Notes()
    done = train(recipe(tmp_path, images, **lora), tmp_path / "run", max_steps=1, report=notes)
    ((total, vision),) = counted
    assert vision > 0
    said = f"adapters on {total - vision} matrices of the language model and {vision} of the vision tower"
    assert said in notes.notes
    assert said in (done / "README.md").read_text()
