"""Names that other people's files and scripts hold keep working, whatever room the code stands in."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import forked
import pytest

DATA = Path(__file__).parents[1] / "data"
REWARD = """from ssl4rl_bench.train.rewards import compute_score

__all__ = ["compute_score"]
"""
"""What `build --format verl` of version 0.1 wrote beside its data."""


def functions(text: str) -> list[str]:
    return re.findall(r"!function (ssl4rl_bench\.[\w.]+)", text)


@pytest.mark.parametrize("file", ["_ssl.yaml", "_mmbench.yaml", "scenes.yaml"])
def test_task_files_of_before_the_move_name_the_same_functions(file: str) -> None:
    tasks = importlib.import_module("ssl4rl_bench.tasks").__path__[0]
    old = functions((DATA / "tasks_before_the_move" / file).read_text())
    new = functions((Path(tasks) / file).read_text())
    assert len(old) == len(new) > 0
    for before, now in zip(old, new, strict=True):
        found = []
        for name in (before, now):
            module, _, function = name.rpartition(".")
            found.append(getattr(importlib.import_module(module), function))
        assert found[0] is found[1] and callable(found[0])


def test_a_reward_file_of_before_the_move_rewards(tmp_path: Path) -> None:
    (tmp_path / "reward.py").write_text(REWARD)
    spec = importlib.util.spec_from_file_location("reward", tmp_path / "reward.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name = "ssl4rl_ssl_rotation_90"
    assert module.compute_score(name, "<answer>90</answer>", "90") == 1.0
    assert module.compute_score(name, "<answer>180</answer>", "90") == 0.0


def test_chat_and_rewards_have_their_names() -> None:
    from ssl4rl_bench.chat import Chat
    from ssl4rl_bench.engines.chat import Chat as same
    from ssl4rl_bench.train.rewards import SSLReward, compute_score

    assert Chat is same and callable(SSLReward) and callable(compute_score)


def test_lmms_eval_finds_the_model_by_its_old_and_new_entry() -> None:
    (entry,) = [
        e for e in importlib.metadata.entry_points(group="lmms_eval.models") if e.name == "ssl4rl_vllm"
    ]
    assert entry.value in ("ssl4rl_bench.interop.lmms:MANIFEST", "ssl4rl_bench.lmms:MANIFEST")
    with pytest.raises(AttributeError, match="no attribute"):
        _ = importlib.import_module("ssl4rl_bench.lmms").absent


@pytest.mark.parametrize("module", ["ssl4rl_bench", "ssl4rl_bench.repair", "ssl4rl_bench.train.sft"])
def test_modules_that_are_run_by_name(module: str) -> None:
    done = forked.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
    assert (done.returncode, "usage" in done.stdout.lower()) == (0, True), done.stderr
