"""Faults under accelerate with two processes: both end, with the same sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

import training_process  # noqa: E402
from train_recipe import pictures, recipe_file  # noqa: E402

from ssl4rl_bench.train import lock  # noqa: E402
from ssl4rl_bench.train.checkpoint import complete_checkpoints  # noqa: E402

BREAKS = """
import os
from ssl4rl_bench.cli import main

if __name__ == "__main__":
    from ssl4rl_bench.train.trainer import SSLTrainer
    compute = SSLTrainer._compute_loss
    def broken(self, *args, **kwargs):
        loss = compute(self, *args, **kwargs)
        return loss * float("nan") if os.environ["RANK"] == "1" and self.state.global_step == 1 else loss
    SSLTrainer._compute_loss = broken
    main()
"""


def launch(tmp_path: Path, program: list[str], out: Path) -> tuple[int, list[str]]:
    """Trains with two processes; returns the exit code and the lines with errors, sorted."""
    recipe = recipe_file(
        tmp_path,
        pictures(tmp_path / "pictures"),
        grpo__prompts=2,
        grpo__micro_batch=4,
        grpo__steps=3,
        save__every=1,
        hardware__threads=1,
    )
    done = training_process.launch([*program, "train", str(recipe), "--out", str(out)], 2, grace=30)
    return done.returncode, sorted({line for line in done.stderr.splitlines() if line.startswith("error:")})


def test_a_loss_that_is_not_finite_on_one_process_stops_both(tmp_path: Path) -> None:
    script = tmp_path / "breaks.py"
    script.write_text(BREAKS)
    code, errors = launch(tmp_path, [str(script)], tmp_path / "run")
    assert code != 0
    assert len(errors) == 1, errors
    assert "stopped at step 2: the loss is nan" in errors[0]
    assert "step-000001 is the last good checkpoint" in errors[0]
    assert [path.name for path in complete_checkpoints(tmp_path / "run")] == ["step-000001"]
    assert not list((tmp_path / "run").glob(".*"))


def test_all_processes_learn_that_the_folder_is_locked(tmp_path: Path) -> None:
    held = lock.acquire(tmp_path / "run")
    code, errors = launch(tmp_path, ["-m", "ssl4rl_bench"], tmp_path / "run")
    held.release()
    assert code != 0
    assert len(errors) == 1, errors
    assert f"pid {os.getpid()}, since" in errors[0]
    assert list((tmp_path / "run").iterdir()) == []
