"""The forced-choice margin and the alignment of rewards: what cancels, and the permutation test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.stats import alignment as module
from ssl4rl_bench.stats.alignment import Choices, alignment, margin


def choices(values: object, targets: object, clusters: object = None) -> Choices:
    """A block; without clusters, each sample has another picture."""
    n = len(np.asarray(targets))
    return module.choices(values, targets, np.arange(n) if clusters is None else clusters)  # type: ignore[arg-type]


def table(seed: int, n: int = 12, m: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, m)), rng.integers(0, m, n)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_biases_of_answers_and_of_pictures_cancel(seed: int) -> None:
    values, targets = table(seed)
    rng = np.random.default_rng(seed + 1)
    biased = values + 5 * rng.normal(size=4) + 5 * rng.normal(size=(12, 1))
    one = margin([choices(values, targets)], replicates=500)
    two = margin([choices(biased, targets)], replicates=500)
    assert two.value == pytest.approx(one.value, abs=1e-9)
    assert two.p == one.p
    assert two.ci95 == pytest.approx(one.ci95)


def test_the_margin_is_the_formula() -> None:
    values = np.array([[1.0, 3.0], [2.0, 0.0], [0.0, 0.0]])
    targets = [1, 0, 0]
    centred = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    result = margin([choices(values, targets)], replicates=100)
    assert result.value == pytest.approx((centred[0, 1] + centred[1, 0] + centred[2, 0]) / 3)
    assert (result.n, result.n_clusters) == (3, 3)


def test_the_alignment_is_the_reward_on_own_minus_other_targets() -> None:
    rewards, targets = table(3)
    mine = rewards[np.arange(12), targets]
    others = [np.mean([rewards[i, targets[j]] for j in range(12) if j != i]) for i in range(12)]
    assert alignment(choices(rewards, targets), replicates=100).value == pytest.approx(np.mean(mine - others))


def test_p_is_that_of_all_permutations() -> None:
    values, targets = table(5, n=6, m=3)
    sums = np.array(
        [values[np.arange(6), targets[list(order)]].sum() for order in itertools.permutations(range(6))]
    )
    of_targets = values[np.arange(6), targets].sum()
    exact = (sums > of_targets + 1e-9).mean() + (np.abs(sums - of_targets) <= 1e-9).mean() / 2
    assert margin([choices(values, targets)], replicates=20_000).p == pytest.approx(exact, abs=0.015)


def test_the_two_samples_of_a_picture_exchange_their_targets_only() -> None:
    # All pictures have a sample of each answer, so that a picture's tendency to one answer is no sight.
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(6, 2)), 2, axis=0)
    result = margin([choices(values, [0, 1] * 6, np.repeat(np.arange(6), 2))], replicates=300)
    assert (result.p, result.z, result.n_clusters) == (1.0, None, 6)
    assert result.value == pytest.approx(0)


def test_a_constant_guesser_has_no_alignment() -> None:
    rewards = np.tile([1.0, 0.0, 0.0, 0.0], (40, 1))
    result = alignment(choices(rewards, np.arange(40) % 4), replicates=200)
    assert result.value == pytest.approx(0)
    assert (result.p, result.z, result.ci95) == (1.0, None, None)


def test_blocks_exchange_targets_within() -> None:
    # Without sight the candidates of a block are its own targets, and other blocks have other candidates.
    rng = np.random.default_rng(1)
    blind = [choices(rng.normal(size=(6, 6)), np.arange(6), np.arange(6) + 6 * b) for b in range(20)]
    seen = [choices(block.values + np.eye(6), np.arange(6), block.clusters) for block in blind]
    assert margin(blind, replicates=1_000).p > 0.05
    result = margin(seen, replicates=1_000)
    assert result.p < 0.002
    assert result.z is not None
    assert result.z > 5
    assert (result.n, result.n_clusters) == (120, 120)


def test_sight_is_seen_and_the_interval_contains_it() -> None:
    rng = np.random.default_rng(2)
    targets = rng.integers(0, 4, 400)
    values = rng.normal(size=(400, 4)) + 0.5 * np.eye(4)[targets] + np.array([3.0, 0, 0, -1])
    result = margin([choices(values, targets)], replicates=1_000)
    assert result.p < 0.002
    assert result.ci95 is not None
    assert result.ci95[0] < 0.5 * 0.75 < result.ci95[1]


@pytest.mark.parametrize(("values", "targets"), [([[0.0, 1.0]], [2]), ([[0.0]], [0, 0]), ([0.0], [0])])
def test_shapes_are_checked(values: list[object], targets: list[int]) -> None:
    with pytest.raises(ValueError, match="target"):
        choices(values, targets)


@pytest.mark.parametrize("values", [[[float("-inf"), 0.0]], [[float("nan"), 0.0]], np.zeros((0, 2))])
def test_values_must_be_finite(values: object) -> None:
    with pytest.raises(ValueError, match="finite"):
        margin([choices(values, [0] * len(np.asarray(values)))])
