"""What the guards of a run say about failed updates and about rewards that teach nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.train.guards import CONSTANT_STEPS, RewardWatch, by_task, failed_update
from ssl4rl_bench.train.journal import Metrics, renamed
from ssl4rl_bench.train.planning.sizes import sizes
from ssl4rl_bench.train.recipe import find_recipe, read_recipe
from ssl4rl_bench.train.reporting import Reporter

Told = list[tuple[int, str, str]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def watch(told: Told) -> RewardWatch:
    return RewardWatch(lambda step, task, sentence: told.append((step, task, sentence)))


def test_rewards_that_differ_within_a_group_are_no_finding(watch: RewardWatch, told: Told) -> None:
    for step in range(1, 60):
        watch.add(step, "ssl_position", [[0.0, 0.0], [0.0, 1.0]])
    assert told == []


def test_a_task_without_any_reward_is_reported_at_once_and_once(watch: RewardWatch, told: Told) -> None:
    for step in range(1, 6):
        watch.add(step, "ssl_position", [[None, None], [None, math.nan]])
        watch.add(step, "ssl_rotation_90", [[0.0, 1.0]])
    ((step, task, sentence),) = told
    assert (step, task) == (1, "ssl_position")
    assert sentence.startswith("none of the 4 replies to ssl_position has a reward")
    assert "replies.jsonl" in sentence


def test_constant_rewards_are_reported_after_twenty_steps(watch: RewardWatch, told: Told) -> None:
    for step in range(1, CONSTANT_STEPS):
        watch.add(step, "ssl_position", [[0.0, 0.0]], n_answered=1)
    assert told == []
    for step in range(CONSTANT_STEPS, CONSTANT_STEPS + 30):
        watch.add(step, "ssl_position", [[0.0, None]], n_answered=1)
    ((step, _, sentence),) = told
    assert step == CONSTANT_STEPS == 20
    assert "every reply to ssl_position earned 0 in 20 steps" in sentence
    assert "readable" not in sentence


def test_unread_replies_are_named(watch: RewardWatch, told: Told) -> None:
    for step in range(1, 21):
        watch.add(step, "ssl_position", [[0.0, 0.0]])
    assert "none contained a readable answer" in told[0][2]


def test_groups_without_spread_are_reported_although_their_rewards_differ(
    watch: RewardWatch, told: Told
) -> None:
    for step in range(1, 21):
        watch.add(step, "ssl_position", [[0.0, 0.0], [1.0, 1.0]], n_answered=4)
    assert "no two replies to the same prompt of ssl_position" in told[0][2]


def test_a_finding_is_repeated_only_after_a_change(watch: RewardWatch, told: Told) -> None:
    step = 0

    def steps(n: int, group: list[float | None]) -> None:
        nonlocal step
        for _ in range(n):
            step += 1
            watch.add(step, "ssl_position", [group], n_answered=1)

    steps(50, [0.0, 0.0])
    steps(1, [0.0, 1.0])
    steps(19, [0.0, 0.0])
    assert len(told) == 1
    steps(1, [0.0, 0.0])
    assert len(told) == 2
    steps(3, [None, None])
    steps(3, [None, None])
    assert len(told) == 3


def test_several_rounds_of_one_step_count_once(watch: RewardWatch, told: Told) -> None:
    for step in range(1, 20):
        for _ in range(3):
            watch.add(step, "ssl_position", [[0.0, 0.0]], n_answered=1)
    assert told == []


def test_rewards_are_grouped_by_task() -> None:
    rows = [(0, 0.0), (0, 1.0), (1, math.nan), (1, 0.5), (0, 1.0), (0, 1.0)]
    assert by_task(["a", "b"], rows, 2) == {"a": [[0.0, 1.0], [1.0, 1.0]], "b": [[None, 0.5]]}


def test_a_failed_update_is_one_sentence_with_step_and_checkpoint() -> None:
    values = {"loss": math.nan, "gradient norm": math.inf}
    said = str(failed_update(7, values, Path("run/step-000005"), made=False))
    assert "stopped at step 7: the loss is nan and the gradient norm is inf; the update was not made" in said
    assert "run/step-000005 is the last good checkpoint" in said
    first = failed_update(1, {"loss": 0.5, "gradient norm": math.inf}, None, made=True)
    assert "the gradient norm is inf" in str(first)
    assert "the loss" not in str(first)
    assert "no checkpoint before it" in str(first)
    assert first.exit_code == 4


def metrics(out: Path, notes: list[str]) -> Metrics:
    class Told(Reporter):
        def note(self, text: str) -> None:
            notes.append(text)

    parts = sizes(read_recipe(find_recipe("tiny_rotation")), 1)
    made = Metrics(out, parts, 10, from_step=0, main=True, report=Told())
    logs: Any = {"prompt": [], "completion": [], "rewards": {}}
    made.watch(SimpleNamespace(state=SimpleNamespace(global_step=parts.updates_a_step), _logs=logs), 0)
    return made


def test_metrics_hold_null_for_values_that_are_not_finite(tmp_path: Path) -> None:
    made = metrics(tmp_path, [])
    made.log(renamed({"loss": math.nan, "grad_norm": math.inf, "reward": 0.5}, {}))
    text = (tmp_path / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert line["loss"] is line["grad_norm"] is None
    assert (line["step"], line["reward"]) == (1, 0.5)


def test_warnings_are_noted_and_kept_in_a_file(tmp_path: Path) -> None:
    notes: list[str] = []
    metrics(tmp_path, notes).warn(3, "ssl_position", "nothing is learned")
    assert notes == ["step 3: nothing is learned"]
    line = json.loads((tmp_path / "warnings.jsonl").read_text())
    assert line == {"step": 3, "task": "ssl_position", "warning": "nothing is learned"}
