"""`advise` on engines with planted sight and biases, its rules, and its three forms of output."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import commands
import numpy as np
import pytest
from guesser import Guesser

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Completion, Request
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.score.forced_choice import forced_choice
from ssl4rl_bench.signal import Advice, advise, advising
from ssl4rl_bench.signal.asking import AdviseSettings, ask, settings_of
from ssl4rl_bench.signal.rewards import blind_reward, earn
from ssl4rl_bench.signal.tables import advice_json, advice_lines, advice_markdown
from ssl4rl_bench.signal.verdicts import verdict_of
from ssl4rl_bench.stats.alignment import alignment, choices
from ssl4rl_bench.task.registry import load_probe
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.train.rewards import make_reward

TASK = "ssl_rotation_90"


@cache
def probe(task: str, n: int) -> ProbeTask:
    """An SSL task with its samples."""
    return load_probe(task, limit=n)


def measured(monkeypatch: pytest.MonkeyPatch, n: int = 130, task: str = TASK, **planted: Any) -> Advice:
    """The advice for a guesser."""
    loaded: list[ProbeTask] = [probe(task, n)]
    monkeypatch.setattr(advising, "engine_for", lambda *_: Guesser(loaded[0], **planted))
    monkeypatch.setattr(advising, "load_tasks", lambda *_: loaded)
    settings = AdviseSettings("tiny-base", (task,), n_pictures=n, engine="mock")
    return advise(settings)


def test_advise_is_public_and_has_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[ProbeTask] = [probe(TASK, 20)]
    monkeypatch.setattr(advising, "engine_for", lambda *_: Guesser(loaded[0], sight=0.5))
    monkeypatch.setattr(advising, "load_tasks", lambda *_: loaded)
    advice = sb.advise("m", TASK, pictures=20, replies=2, engine="mock", options={"dtype": "float32"})
    assert advice.settings.options.dtype == "float32"
    (row,), (record,) = advice.tasks, advice.table().to_dict("records")
    assert row.choice is not None and row.choice.sight.ci95 is not None
    assert (record["task"], record["verdict"], record["n_pictures"]) == (TASK, "too few to tell", 20)
    assert (record["margin"], record["margin_low"]) == (row.choice.sight.value, row.choice.sight.ci95[0])
    assert (record["by_looking"], record["p_margin"]) == (row.alignment.value, row.p_margin)
    with pytest.raises(UsageError, match="--model is missing"):
        sb.advise(tasks=[TASK])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "verdict"),
    [
        ({}, "guesses"),
        ({"bias": 1.0}, "guesses"),
        ({"sight": 0.3}, "sees a little"),
        ({"unread": 0.5}, "form first"),
        ({"bias": 30.0}, "no signal"),  # every reply is the same
    ],
)
def test_verdicts(monkeypatch: pytest.MonkeyPatch, planted: dict[str, float], verdict: str) -> None:
    (row,) = measured(monkeypatch, **planted).tasks
    assert row.verdict == verdict
    assert row.choice is not None
    assert row.choice.form == "<think>…</think> <answer>…</answer>"
    assert (row.choice.sight.p < 0.01) == ("sight" in planted)


@pytest.mark.slow
def test_few_pictures_are_too_few_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = measured(monkeypatch, n=20, sight=2.0)
    assert advice.tasks[0].verdict == "too few to tell"
    assert advice.n_tests == 2


@pytest.mark.slow
def test_the_outputs_have_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = measured(monkeypatch, n=20)
    row = advice.tasks[0]
    value = json.loads(json.dumps(advice_json(advice)))
    assert value["schema"] == 1
    assert value["tasks"][0]["mean"]["value"] == row.mean.value
    assert value["tasks"][0]["choice"]["sight"]["p"] == pytest.approx(row.choice.sight.p if row.choice else 0)
    text = advice_markdown(advice)
    assert f"| {100 * row.mean.value:.2f} |" in text
    assert "<think>" not in text
    assert any("estimate" in line for line in advice_lines(advice))


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ((127, 0.5, 0.25, 0.25, 0.3, (0.001,)), "too few to tell"),
        ((128, 0.09, 0.5, 0.0, 0.1, (0.001,)), "no signal"),
        ((128, 0.9, 0.5, 0.361, 0.391, (0.16,)), "form first"),  # contrastive of docs/advise.md
        ((128, 0.9, 0.25, 0.219, 0.244, (0.9,)), "guesses"),  # position: less than 1.25 times
        ((128, 0.9, 0.25, 0.19, 0.26, (0.9,)), "guesses"),  # within the interval
        ((128, 0.9, 0.25, 0.3, 0.35, (0.9, 0.049)), "sees a little"),
        ((128, 0.9, 0.25, 0.3, 0.35, (0.05,)), "guesses"),
    ],
)
def test_the_rules(arguments: tuple[Any, ...], verdict: str) -> None:
    assert verdict_of(*arguments) == verdict


class Reader(Guesser):
    """Prefers some words to others, whatever the picture shows."""

    def logits(self, request: Request) -> np.ndarray:
        words = self.task.candidates(request.sample)
        return super().logits(request) + np.array([seed_of(word) % 3 for word in words])


@pytest.mark.slow
@pytest.mark.parametrize("planted", [{}, {"bias": 1.0}, {"sight": 1.0}])
def test_preferring_some_words_of_a_caption_is_not_sight(planted: dict[str, float]) -> None:
    task = load_probe("ssl_caption_easy", data="scenes:advise:130:attribute_recognition")
    engine = Reader(task, **planted)
    asked = ask(task, engine, AdviseSettings("tiny-base", (task.name,), replies=4))
    earned = earn(task, make_reward([task.name]), asked.replies)
    assert {table.shape for table in earned.rewards} == {(4, 6)}
    table = np.array([group.mean(axis=0) for group in earned.rewards])
    choice = forced_choice(task, engine, asked.replies)
    assert choice is not None and choice.n_candidates == 6 and choice.n_failed == 0
    for p in (alignment(choices(table, earned.right, earned.pictures())).p, choice.sight.p):
        assert p < 0.001 if "sight" in planted else p > 0.01


@pytest.mark.parametrize(
    ("task", "scheme", "blind"),
    [
        ("ssl_rotation_90", "exact", 1 / 4),
        ("ssl_contrastive_weak", "exact", 1 / 2),
        ("ssl_position", "scaled", 1 / 4),
        ("ssl_jigsaw_2x2", "exact", 1 / 24),
        ("ssl_jigsaw_2x2", "per_position", 1 / 4),
        ("ssl_jigsaw_2x2", "scaled", 6 / 24 / 3 + 1 / 24),
        ("ssl_jigsaw_2x2", "released", 1 / 4),
        ("ssl_jigsaw_3x3", "exact", 1 / math.factorial(9)),
    ],
)
def test_what_a_blind_reply_earns(task: str, scheme: str, blind: float) -> None:
    assert blind_reward(load_probe(task, limit=2), make_reward([task], scheme)) == pytest.approx(blind)


def test_rewards_for_the_own_target_are_those_of_training() -> None:
    task = load_probe("ssl_jigsaw_2x2", limit=3)
    texts = ["<answer>2,3,1,4</answer>", "<answer>1,2,3,4</answer>", "no idea", "<answer>1,1,1,1</answer>"]
    for scheme in ("exact", "per_position", "scaled", "released"):
        reward = make_reward(["ssl_jigsaw_2x2"], scheme)
        replies = {sample.id: [Completion(text, "stop") for text in texts] for sample in task.samples}
        earned = earn(task, reward, replies)
        for sample, own in zip(earned.samples, earned.by_sample(), strict=True):
            trained = reward(texts, target=[sample.target] * len(texts))
            assert own.tolist() == pytest.approx(trained)
        assert earned.n_unread == 3


def test_spread_by_guessing_is_that_of_pooled_replies() -> None:
    task = load_probe(TASK, limit=8)
    replies = {
        sample.id: [Completion(f"<answer>{label}</answer>", "stop") for label in ("0", "90", "180", "270")]
        for sample in task.samples
    }
    earned = earn(task, make_reward([TASK]), replies)
    assert earned.spread_by_guessing(8) == pytest.approx(1 - 0.75**8 - 0.25**8)


def test_settings_come_from_the_recipe_and_options_take_precedence() -> None:
    settings = settings_of("tiny_rotation")
    assert (settings.model, settings.tasks, settings.replies) == ("tiny-base", (f"ssl4rl_{TASK}",), 8)
    assert (settings.images, settings.max_tokens) == ("scenes:train:300", 24)
    changed = settings_of(
        "tiny_rotation",
        model="tiny-rotation",
        replies=3,
        tasks=["ssl_position"],
        set_options=["batch_size=2"],
    )
    assert (changed.model, changed.replies, changed.tasks) == ("tiny-rotation", 3, ("ssl4rl_ssl_position",))
    assert changed.options == EngineOptions(batch_size=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "--model is missing"),
        ({"model": "tiny-base"}, "--tasks is missing"),
        ({"recipe": "tiny_rotation", "replies": 1}, "--replies 1"),
        ({"recipe": "tiny_rotation", "temperature": 0.0}, "--temperature 0"),
        ({"recipe": "tiny_rotatoin"}, "tiny_rotation"),
    ],
)
def test_settings_that_cannot_be_used(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of(arguments.pop("recipe", None), **arguments)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match="not an SSL task"):
        advise(AdviseSettings("tiny-base", ("ssl4rl_scenes",), engine="mock"))


def test_the_command_without_a_model() -> None:
    done = commands.bench("advise", "-m", "x", "-t", TASK, "-n", "3", "-e", "mock", "--set", "mock=random")
    assert done.code == 0
    assert "too few to tell" in " ".join(done.out.split())
    assert "x (mock)" in done.out
    assert "gives no likelihoods" in done.out


def test_pictures_are_numbered_over_samples() -> None:
    task = load_probe("ssl_contrastive_weak", limit=2)
    replies = {sample.id: [Completion("<answer>positive</answer>", "stop")] for sample in task.samples}
    assert np.unique(earn(task, make_reward(["ssl_contrastive_weak"]), replies).pictures()).tolist() == [0, 1]
