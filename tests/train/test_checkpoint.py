"""Checkpoint folders: which are whole, which one is resumed, what a failed save says."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssl4rl_bench.core.errors import StoreError
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
