"""Checkpoint folders: which are whole, which one is resumed, what a failed save says."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.core.errors import StoreError, TrainingError
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.train.journal import _lines_up_to


def saved(out: Path, name: str, resumable: bool = True) -> Path:
    folder = out / name
    (folder / "trainer").mkdir(parents=True)
    (folder / "model.safetensors").write_text("shipped")
    (folder / "config.json").write_text("{}")
    if resumable:
        (folder / "trainer" / "trainer_state.json").write_text("{}")
        (folder / "trainer" / "model.safetensors").write_text("masters")
    return folder


def saver(out: Path, keep: int = 1) -> checkpoint.Saver:
    return checkpoint.Saver(
        out,
        updates_a_step=4,
        keep=keep,
        dtype="bfloat16",
        base=out,
        origin=lambda n: {},
        on_saved=lambda p: None,
    )


def test_names_say_how_far_a_run_was_and_sort(tmp_path: Path) -> None:
    names = [checkpoint.folder_name(updates, 4) for updates in (4, 1200, 1202, 40_000_000)]
    assert names == ["step-000001", "step-000300", "step-000300.2", "step-10000000"]
    for name in reversed(names):
        saved(tmp_path, name)
    (tmp_path / "step-x").mkdir()
    (tmp_path / ".saving").mkdir()
    assert [path.name for path in checkpoint.complete_checkpoints(tmp_path)] == names
    checkpoint.remove_interrupted(tmp_path)
    assert not (tmp_path / ".saving").exists()


def test_the_newest_that_can_be_resumed(tmp_path: Path) -> None:
    assert checkpoint.last_resumable(tmp_path) is None
    saved(tmp_path, "step-000001")
    saved(tmp_path, "step-000002", resumable=False)
    found = checkpoint.last_resumable(tmp_path)
    assert found is not None
    assert found.name == "step-000001"


def test_the_flat_view_has_the_masters_and_goes_away(tmp_path: Path) -> None:
    folder = saved(tmp_path, "step-000001")
    state = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)
    with checkpoint.as_trainer_wrote(folder, state) as view:
        assert (view / "model.safetensors").read_text() == "masters"
        assert (view / "trainer_state.json").is_file()
        assert not (view / "trainer").exists()
    assert not view.exists()
    assert (folder / "model.safetensors").read_text() == "shipped"


def test_old_checkpoints_lose_only_what_resuming_needs(tmp_path: Path) -> None:
    for number in range(1, 4):
        saved(tmp_path, f"step-00000{number}")
    saver(tmp_path, keep=2)._prune()
    left = [(path / "trainer").is_dir() for path in checkpoint.complete_checkpoints(tmp_path)]
    assert left == [False, True, True]
    assert all((path / "model.safetensors").is_file() for path in checkpoint.complete_checkpoints(tmp_path))


STATE = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "global_step4/shard.pt")


class FakeSaver(checkpoint.Saver):
    """A saver of checkpoints without a model."""

    def _arrange(self, folder: Path, processor: Any, origin: dict[str, Any]) -> None:
        state = folder / "trainer"
        state.mkdir()
        for path in list(folder.iterdir()):
            if path.name in {name.partition("/")[0] for name in STATE}:
                path.rename(state / path.name)
        checkpoint.list_files(state)


def save(out: Path, step: int) -> None:
    """Saves a checkpoint as `Saver` does, from files such as the Trainer writes."""
    scratch = out / ".saving"
    made = scratch / "checkpoint-1"
    (made / "global_step4").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", *STATE):
        (made / name).write_text(name)
    fake = FakeSaver(out, 1, 1, "bfloat16", out, lambda n: {}, lambda path: None)
    fake._finish(scratch, out / f"step-{step:06d}", SimpleNamespace(processing_class=None), step)


def dying(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)

    return counted


def saves_until_killed(out: Path, n_operations: int) -> int:
    """Forks a process that saves four checkpoints, kills it before an operation, and returns its status."""
    pid = os.fork()
    if pid == 0:
        left = [n_operations]
        for name in ("unlink", "rmdir", "rename", "mkdir"):
            setattr(os, name, dying(getattr(os, name), left))
        for step in range(1, 5):
            save(out, step)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


@pytest.mark.slow
def test_kills_at_forty_moments_of_saving_and_pruning_leave_only_whole_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "fingerprint", lambda folder: "")
    monkeypatch.setattr(checkpoint, "non_finite_weights", lambda folder: None)
    pruned = 0
    for moment in range(10, 50):
        out = tmp_path / str(moment)
        out.mkdir()
        assert saves_until_killed(out, moment) == signal.SIGKILL
        done = checkpoint.complete_checkpoints(out)
        for path in done:
            assert (path / "model.safetensors").read_text() == "model.safetensors"
            kept = [name for name in STATE if (path / "trainer" / name).is_file()]
            assert kept in ([], list(STATE)), (moment, path.name, kept)
        if done:
            assert checkpoint.last_resumable(out) == done[-1]
        pruned += any(not (path / "trainer").exists() for path in done)
        checkpoint.remove_interrupted(out)
        assert not list(out.glob(".*"))
        save(out, 9)
        states = [(path / "trainer").exists() for path in checkpoint.complete_checkpoints(out)]
        assert states == [False] * len(done) + [True]
    assert pruned > 10


def test_half_of_a_state_is_not_resumed(tmp_path: Path) -> None:
    """As a copy that was interrupted, or the removal of a version that did not move it first."""
    first, second = saved(tmp_path, "step-000001"), saved(tmp_path, "step-000002")
    for folder in (first, second):
        checkpoint.list_files(folder / "trainer")
    assert checkpoint.last_resumable(tmp_path) == second
    (second / "trainer" / "model.safetensors").write_text("mast")
    assert checkpoint.last_resumable(tmp_path) == first
    (first / "trainer" / "model.safetensors").unlink()
    assert checkpoint.last_resumable(tmp_path) is None


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    saved(tmp_path, "step-000001")
    folder = saved(tmp_path / "other", "made")
    good = {"layer.weight": torch.ones(2, 2), "steps": torch.ones(1, dtype=torch.int64)}
    save_file(good, folder / "model.safetensors")
    save_file(good, folder / "trainer" / "model.safetensors")
    assert checkpoint.non_finite_weights(folder) is None
    good["layer.weight"][0, 1] = float("inf")
    save_file(good, folder / "trainer" / "model.safetensors")
    assert checkpoint.non_finite_weights(folder) == "layer.weight"
    with pytest.raises(TrainingError, match=r"layer.weight is not finite; .*step-000001 is the last good"):
        saver(tmp_path)._require_finite(folder, tmp_path / "step-000002")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "the disk is full"),
        (RuntimeError("Error while serializing: I/O error: No space left on device"), "the disk is full"),
        (OSError(errno.EFBIG, "File too large"), "ulimit -f"),
        (OSError(errno.EACCES, "Permission denied"), "is not writable"),
    ],
)
def test_a_save_that_the_system_refuses_is_one_sentence(tmp_path: Path, error: Exception, said: str) -> None:
    saved(tmp_path, "step-000001")
    told = saver(tmp_path)._explained(error, tmp_path / "step-000002", full=False)
    assert isinstance(told, StoreError)
    assert said in str(told)
    assert "step-000001 is complete" in str(told)
    other = ValueError("something else")
    assert saver(tmp_path)._explained(other, tmp_path / "step-000002", full=False) is other


def test_metrics_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    assert [line["step"] for line in _lines_up_to(path, 2)] == [1, 2]
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert _lines_up_to(tmp_path / "none.jsonl", 5) == []
