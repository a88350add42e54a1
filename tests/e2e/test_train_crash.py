"""GRPO runs that die: in the middle of a save, on a full disk, by SIGTERM, by kill -9. What is kept resumes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

import training_process  # noqa: E402
from train_recipe import lines, masters, pictures, recipe_file  # noqa: E402

from ssl4rl_bench.engines.checkpoints.weights import resolve_model  # noqa: E402
from ssl4rl_bench.train import checkpoint  # noqa: E402

DIES = """
import os, resource, signal, sys
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.cli import main

moment, saves = sys.argv.pop(1), int(sys.argv.pop(1))

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def on_save(original):
    def call(self, *args, **kwargs):
        global saves
        saves -= 1
        if saves == 0:
            if moment == "before the rename":
                checkpoint.sync = die
            elif moment == "while casting":
                checkpoint.Saver._cast = die
            elif moment == "while the trainer writes":
                from transformers import Trainer
                Trainer._save_rng_state = die
            elif moment == "after the rename":
                checkpoint.Saver._prune = die
            elif moment == "full disk":
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, resource.RLIM_INFINITY))
        return original(self, *args, **kwargs)
    return call

if __name__ == "__main__":
    checkpoint.Saver.__call__ = on_save(checkpoint.Saver.__call__)
    main()
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that saves after each step."""
    folder = tmp_path_factory.mktemp("recipe")
    return recipe_file(folder, pictures(folder / "pictures"), save__every=1, grpo__steps=4)


def command(small: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "ssl4rl_bench", "train", str(small), "--out", str(out), *more]


def call(args: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = training_process.run(
        args, capture_output=True, text=True, timeout=600, **options
    )
    return done


@pytest.fixture(scope="module")
def undisturbed(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    done = call(command(small, out))
    assert done.returncode == 0, done.stderr
    return out


def test_a_killed_save_leaves_no_half_checkpoint_and_the_run_goes_on(
    small: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """One run is killed at four moments, each time in the save of a further step, and then finishes."""
    out, script = tmp_path / "run", tmp_path / "dies.py"
    script.write_text(DIES)
    train = ["train", str(small), "--out", str(out)]
    for moment, number, complete in (
        ("while the trainer writes", 2, 1),
        ("while casting", 1, 1),
        ("before the rename", 1, 1),
        ("after the rename", 1, 2),
    ):
        resume = ["--resume"] if out.exists() else []
        died = call([sys.executable, str(script), moment, str(number), *train, *resume])
        assert died.returncode == -signal.SIGKILL, died.stderr
        checkpoints = checkpoint.complete_checkpoints(out)
        assert [path.name for path in checkpoints] == [f"step-{n + 1:06d}" for n in range(complete)], moment
        for path in checkpoints:
            resolve_model(str(path))
            json.loads((path / "ssl4rl.json").read_text())
    done = call(command(small, out, "--resume"))
    assert done.returncode == 0, done.stderr
    assert not list(out.glob(".*"))
    a, b = masters(out / "step-000004"), masters(undisturbed / "step-000004")
    assert all(float((a[name] - b[name]).abs().max()) < 1e-6 for name in a)
    assert [line["step"] for line in lines(out)] == [1, 2, 3, 4]


def test_a_full_disk_is_one_line_and_the_last_checkpoint_survives(small: Path, tmp_path: Path) -> None:
    """The system refuses files over 5 MB at the second save: the nearest to a full disk that a test can have."""
    out, script = tmp_path / "run", tmp_path / "dies.py"
    script.write_text(DIES)
    full = call([sys.executable, str(script), "full disk", "2", "train", str(small), "--out", str(out)])
    assert full.returncode == 2, full.stderr
    errors = [line for line in full.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "cannot save" in errors[0]
    assert "step-000001 is complete" in errors[0]
    assert "Traceback" not in full.stderr
    assert [path.name for path in checkpoint.complete_checkpoints(out)] == ["step-000001"]
    assert not (out / ".saving").exists()
    resolve_model(str(out / "step-000001"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pre_empted_run_saves_exits_130_and_goes_on(
    small: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    args = command(small, out, "--set", "save.every=100")
    with training_process.Popen(args, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 300
        while not (out / "metrics.jsonl").is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(number)
        _, told = running.communicate(timeout=300)
    assert running.returncode == 130, told
    assert "--resume" in told.splitlines()[-1]
    stopped = checkpoint.last_resumable(out)
    assert stopped is not None
    assert stopped.name < "step-000004"
    done = call([*args, "--resume"])
    assert done.returncode == 0, done.stderr
    a, b = masters(out / "step-000004"), masters(undisturbed / "step-000004")
    assert all(float((a[name] - b[name]).abs().max()) < 1e-6 for name in a)


def test_errors_of_a_user_are_one_line(small: Path, undisturbed: Path, tmp_path: Path) -> None:
    for args, said in (
        (["train", "tiny_rotatoin"], "did you mean tiny_rotation"),
        (["train", str(small), "--set", "grpo.groups=2"], "did you mean group"),
        (["train", str(small), "--set", "grpo.prompts=0", "--out", str(tmp_path / "x")], "1 or more"),
        (["train", str(small), "--set", "model.base=./nowhere", "--out", str(tmp_path / "y")], "nowhere"),
        (["train", str(small), "--out", str(undisturbed)], "--resume continues"),
        (
            ["train", str(small), "--set", "rollout.engine=vllm_colocate", "--out", str(tmp_path / "z")],
            "--set rollout.engine=transformers",
        ),
    ):
        done = call([sys.executable, "-m", "ssl4rl_bench", *args], env=os.environ | {"HF_HUB_OFFLINE": "1"})
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ") or "\nerror: " in done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


SIGNALLED = """
import os, signal, sys, time

moment = sys.argv.pop(1)

def signalled(original):
    def call(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        if moment == "before the first step":
            time.sleep(300)
        return original(*args, **kwargs)
    return call

if __name__ == "__main__":
    from ssl4rl_bench.cli import main
    if moment == "while importing":
        from ssl4rl_bench.train import recipe
        recipe.read_recipe = signalled(recipe.read_recipe)
    else:
        from ssl4rl_bench.train.grpo import run
        name = {"before the first step": "prepared", "after the last save": "_draw"}[moment]
        setattr(run, name, signalled(getattr(run, name)))
    main()
"""


@pytest.mark.parametrize(
    ("moment", "code"), [("while importing", 130), ("before the first step", 130), ("after the last save", 0)]
)
def test_sigterm_before_the_first_step_and_after_the_last_save(
    small: Path, tmp_path: Path, moment: str, code: int
) -> None:
    out, script = tmp_path / "run", tmp_path / "signalled.py"
    script.write_text(SIGNALLED)
    done = call(
        [sys.executable, str(script), moment, "train", str(small), "--out", str(out), "--max-steps", "1"]
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in checkpoint.complete_checkpoints(out)] == (
        ["step-000001"] if code == 0 else []
    )
