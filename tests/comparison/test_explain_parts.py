"""The parts of `explain`: visual tokens, repeating replies, switches, and the order of kinds."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import CUT, LOOP

from ssl4rl_bench.comparison.explaining.effects import (
    SYMPTOMS,
    effects_of,
    make_pair,
    narrowing,
    symptom_flags,
)
from ssl4rl_bench.comparison.explaining.kinds import KINDS, LIKELY, ORDER, STATED, kind_of
from ssl4rl_bench.comparison.explaining.reply_facts import repeats_itself
from ssl4rl_bench.comparison.explaining.visual_tokens import UNIT, mean_visual_tokens, visual_tokens
from ssl4rl_bench.comparison.pairing import shared_groups
from ssl4rl_bench.comparison.settings import NAMES
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.score.outcomes import Outcomes
from ssl4rl_bench.score.scores import STATUSES

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("size", "limits", "tokens"),
    [
        ((512, 512), (3136, 12845056), 18 * 18),
        ((106, 56), (3136, 12845056), 4 * 2),
        ((106, 56), (35840, 12845056), 10 * 5),
        ((512, 384), (3136, 50176), 9 * 6),
        ((28, 28), (1, 784), 1),
    ],
)
def test_visual_tokens_of_known_sizes(size: tuple[int, int], limits: tuple[int, int], tokens: int) -> None:
    """The values of transformers' smart_resize with a factor of 28, computed by hand from its rule."""
    assert visual_tokens(*size, *limits) == tokens


@given(
    st.integers(200, 4000),
    st.integers(200, 4000),
    st.sampled_from([784, 3136, 35840]),
    st.sampled_from([1003520, 12845056]),
)
def test_visual_tokens_stay_within_the_limits(width: int, height: int, low: int, high: int) -> None:
    tokens = visual_tokens(width, height, low, high)
    assert low <= tokens * UNIT * UNIT <= high
    assert tokens == visual_tokens(height, width, low, high)


@pytest.mark.engine
def test_visual_tokens_are_those_of_transformers() -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    rng = np.random.default_rng(0)
    for width, height in rng.integers(28, 1500, (500, 2)).tolist():
        if max(width, height) < 150 * min(width, height):
            for low, high in ((3136, 50176), (3136, 12845056), (1003520, 12845056)):
                down, across = smart_resize(height, width, UNIT, low, high)
                assert visual_tokens(width, height, low, high) == down * across // UNIT**2


def test_a_mean_needs_images_and_limits() -> None:
    assert mean_visual_tokens([(56, 56), (28, 28)], 784, 10**6) == 2.5
    assert mean_visual_tokens([], 784, 10**6) is None
    assert mean_visual_tokens([(56, 56)], None, 10**6) is None


def test_prose_does_not_repeat_itself_and_loops_do() -> None:
    texts = [
        json.loads(line)
        for name in ("replies_natural", "replies_prose")
        for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()
    ]
    replies = [text for row in texts for text in row.values() if isinstance(text, str)]
    assert len(replies) > 100
    assert [reply for reply in replies if repeats_itself(reply)] == []
    assert not repeats_itself(CUT)
    assert not repeats_itself("")
    assert repeats_itself(LOOP)
    assert repeats_itself(CUT * 3 + "no " * 400)
    numbered = "".join(f"{n}. There is a red ball next to the blue cube. " for n in range(60))
    assert repeats_itself(numbered)


def test_kinds_and_settings_agree() -> None:
    assert {kind_of(name) for name in STATED} <= {*KINDS}
    assert {kind_of(name) for name in NAMES if name not in ("partial", "data")} <= {*KINDS}
    assert {kind_of(field.name) for field in fields(EngineOptions) if field.name != "seed"} <= {*KINDS}
    assert kind_of("vllm.max_num_seqs") == "engine"
    assert kind_of("seed") is None
    assert {*LIKELY, *SYMPTOMS} <= {*KINDS}
    assert [*ORDER] == [*KINDS]


def test_a_cut_reply_counts_once() -> None:
    outcomes = simulated.run("a", np.zeros(6)).task(simulated.TASK)
    outcomes.status[1:4, 0] = STATUSES.index(Status.TRUNCATED)
    outcomes.status[4, 0] = STATUSES.index(Status.NONE)
    flags = symptom_flags(outcomes, {("1", 0), ("5", 0), ("9", 0), ("2", 7)})
    where = {kind: np.flatnonzero(mask).tolist() for kind, mask in flags.items()}
    assert where == {"repetition": [1], "truncation": [2, 3], "unread": [4]}


scores = st.lists(st.sampled_from([0.0, 1.0]), min_size=24, max_size=24)


@st.composite
def outcomes_of_two(draw: st.DrawFn) -> tuple[Outcomes, Outcomes, Outcomes]:
    """Outcomes of a run, of the same run read in another way, and of another run with other questions."""
    one, reread, two = (simulated.run(name, draw(scores), copies=2).task(simulated.TASK) for name in "abc")
    content = [str(number) for number in draw(st.permutations(range(2, 14)))]
    two = simulated.run("c", two.values, copies=2, content=content).task(simulated.TASK)
    for outcomes in (one, reread, two):
        cut = np.array(draw(st.lists(st.booleans(), min_size=24, max_size=24)))
        outcomes.status[cut & (outcomes.values[:, 0] == 0.0), 0] = STATUSES.index(Status.TRUNCATED)
    return one, reread, two


@settings(deadline=None, max_examples=25)
@given(outcomes_of_two(), st.sampled_from([("circular_micro", "row_micro"), ("row_micro", "row_micro")]))
@pytest.mark.slow
def test_what_is_chosen_narrows_the_gap(
    made: tuple[Outcomes, Outcomes, Outcomes], aggregations: tuple[str, str]
) -> None:
    one, reread, two = made
    pair = make_pair(one, reread, two, aggregations, shared_groups(one, two), ((), ()))
    start = pair.gap(())
    assert start is not None
    assert {"extractor", "split"} <= {*pair.switches}
    steps = narrowing(pair)
    assert len({kind for kind, _ in steps}) == len(steps)
    if steps:
        last = steps[-1][1]
        assert abs(last.value) < abs(start.value)
        assert last == pair.gap([kind for kind, _ in steps])
    for effect in effects_of(pair, dict.fromkeys(KINDS, ""), start):
        assert effect.gap == pair.gap({effect.kind})
        assert effect.change == pytest.approx(effect.gap.value - start.value)
