"""Dynamic sampling: groups with equal rewards are replaced, whatever the processes, and also after a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

from test_train_processes import launch  # noqa: E402
from train_recipe import lines, masters, recipe, recipe_file  # noqa: E402

SETTINGS: dict[str, Any] = {
    "grpo__dynamic": True,
    "grpo__prompts": 4,
    "grpo__group": 4,
    "grpo__micro_batch": 8,
    "grpo__steps": 4,
    "grpo__temperature": 1.3,
    "optimizer__learning_rate": 2e-4,
}
"""Four replies to a prompt often earn the same reward."""


@pytest.fixture(scope="module")
def whole(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps on one process."""
    from ssl4rl_bench.train.grpo import train_grpo

    folder = tmp_path_factory.mktemp("whole")
    train_grpo(recipe(folder, images, **SETTINGS), folder / "run")
    return folder / "run"


def test_flat_groups_are_replaced_and_counted(whole: Path) -> None:
    told = lines(whole)
    assert any(line["dropped_groups"] > 0 for line in told)
    for line in told:
        assert 4 <= line["prompts_drawn"] <= 4 * 4
        assert line["dropped_groups"] <= line["prompts_drawn"] - 4
        # Flat groups are used only after the last round.
        assert line["flat_groups"] == 0 or line["prompts_drawn"] > 4
        assert 0 <= line["reward_drawn"] <= 1
    assert sum(line["flat_groups"] == 0 for line in told) >= 2
    state = json.loads((whole / "step-000004" / "trainer" / "trainer_state.json").read_text())
    drawn = state["stateful_callbacks"]["DynamicSampling"]["attributes"]["drawn"]
    assert drawn == sum(line["prompts_drawn"] for line in told)


def test_a_step_takes_flat_groups_after_the_last_round(images: Path, tmp_path: Path) -> None:
    from ssl4rl_bench.train.grpo import train_grpo

    settings = SETTINGS | {"grpo__dynamic_rounds": 1, "grpo__steps": 2}
    train_grpo(recipe(tmp_path, images, **settings), tmp_path / "run")
    told = lines(tmp_path / "run")
    assert [line["prompts_drawn"] for line in told] == [4, 4]
    assert [line["dropped_groups"] for line in told] == [0, 0]
    assert any(line["flat_groups"] > 0 for line in told)


def test_two_processes_stopped_and_resumed_draw_and_learn_the_same(
    images: Path, whole: Path, tmp_path: Path
) -> None:
    file = recipe_file(tmp_path, images, **SETTINGS)
    launch(file, tmp_path / "run", 2, "--max-steps", "2")
    launch(file, tmp_path / "run", 2, "--resume")
    a, b = lines(whole), lines(tmp_path / "run")
    for key in ("prompts_drawn", "dropped_groups", "reward", "reward_drawn", "reply_tokens"):
        assert [line[key] for line in a] == pytest.approx([line[key] for line in b]), key
    one, two = masters(whole / "step-000004"), masters(tmp_path / "run" / "step-000004")
    # Four updates of Adam move a weight by up to 8e-4; where gradients are nearly 0, rounding decides their sign.
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
