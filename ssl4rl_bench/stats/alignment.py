"""Tests whether a model's answers depend on the targets: the forced-choice margin, and the alignment of rewards.

Both statistics compare what a sample gives to its own target with what it gives to other targets. A bias towards
some answers, and a tendency of some pictures towards some answers, are the same for both, so that neither counts
as sight. Targets are permuted among pictures: under the null hypothesis that the answers do not depend on the
target, every assignment of targets to pictures is equally likely, because the tasks draw targets at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl4rl_bench.stats.effective import mean_variance

_Floats = NDArray[np.float64]
_Ints = NDArray[np.intp]

REPLICATES = 10_000
"""The number of permutations of a test."""
_CHUNK = 1_000
"""Permutations that are computed at once. Limits the memory to about 20 MB for a thousand samples."""


@dataclass(frozen=True, eq=False)
class Choices:
    """Samples with the same candidate answers, whose targets can be exchanged."""

    values: _Floats
    """A number for each sample and candidate, such as a log-likelihood; shape (samples, candidates)."""
    targets: _Ints
    """The index of each sample's right answer among the candidates; shape (samples,)."""
    clusters: _Ints
    """The index of each sample's picture, over all blocks; shape (samples,). Samples of one picture are not
    independent."""


@dataclass(frozen=True, slots=True)
class TargetEffect:
    """How much the answers to some pictures depend on their targets."""

    value: float
    """The mean over samples: in nats for a margin, in the unit of the reward for an alignment."""
    ci95: tuple[float, float] | None
    """95% interval, clustered by picture (Student's t). None with fewer than two pictures, or without any
    variation."""
    p: float
    """One-sided mid-p of the permutation test: large values of `value` are evidence of sight. 1 if no permutation
    changes the value."""
    z: float | None
    """The value divided by its standard deviation over the permutations; None if that is 0."""
    n: int
    """The number of samples."""
    n_clusters: int
    """The number of pictures."""


def margin(blocks: Sequence[Choices], *, replicates: int = REPLICATES, seed: int = 0) -> TargetEffect:
    """Computes the forced-choice margin of log-likelihoods, in nats.

    The margin of sample i for answer j is L_ij - mean_i L_ij - mean_j L_ij + mean_ij L_ij: the log-likelihood
    without the answer's mean over the pictures of its block and without the picture's mean over answers. The value
    is the mean margin of the targets. Its expectation over permutations of the targets is exactly 0.

    Args:
        blocks: one block if all samples have the same candidates; for tasks with too many answers, small blocks
            whose candidates are the targets of their samples. Targets are permuted within blocks.
        replicates: the number of permutations.

    Raises:
        ValueError: there is no sample, or a value is not finite.
    """
    return _tested(blocks, [_margins(block) for block in blocks], replicates, seed)


def target_margins(block: Choices) -> _Floats:
    """Computes the margin of each sample's target in nats, shape (samples,). `margin` is their mean.

    Raises:
        ValueError: there is no sample, or a value is not finite.
    """
    return np.asarray(_margins(block)[np.arange(len(block.targets)), block.targets])


def _margins(block: Choices) -> _Floats:
    """Returns the margin of each sample for each answer."""
    return _centred(block, np.full(block.values.shape[1], 1.0))


def alignment(block: Choices, *, replicates: int = REPLICATES, seed: int = 0) -> TargetEffect:
    """Computes the mean reward on the own targets minus that of the same replies on the other samples' targets.

    With A_ij the mean reward of the replies to sample i if the target were that of sample j, the value is
    mean_i A_ii - mean_(i != j) A_ij. The replies are fixed, so a bias of the replies cancels.

    Args:
        block: the mean rewards of the replies to each sample for each distinct target.
        replicates: the number of permutations.

    Raises:
        ValueError: there is no sample, or a value is not finite.
    """
    n, m = block.values.shape
    counts = np.bincount(block.targets, minlength=m).astype(np.float64)
    scale = n / (n - 1.0) if n > 1 else 0.0
    return _tested([block], [_centred(block, counts) * scale], replicates, seed)


def _centred(block: Choices, weights: _Floats) -> _Floats:
    """Returns the values without the weighted means of rows and the means of columns."""
    values = block.values
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("the values of a test must be finite numbers, at least one")
    rows = values - (values @ (weights / weights.sum()))[:, None]
    return np.asarray(rows - rows.mean(axis=0))


def _tested(
    blocks: Sequence[Choices], centred: Sequence[_Floats], replicates: int, seed: int
) -> TargetEffect:
    if not blocks:
        raise ValueError("a test needs at least one sample")
    right = np.concatenate([c[np.arange(len(c)), b.targets] for b, c in zip(blocks, centred, strict=True)])
    clusters = np.unique(np.concatenate([block.clusters for block in blocks]), return_inverse=True)[1]
    value, n, n_clusters = float(right.mean()), len(right), int(clusters.max()) + 1
    totals = _permuted(blocks, centred, replicates, seed)
    tie = 1e-9 * max(1.0, float(np.abs(np.concatenate([c.ravel() for c in centred])).sum()))
    excess = totals - right.sum()
    above, ties = np.count_nonzero(excess > tie), np.count_nonzero(np.abs(excess) <= tie)
    spread = float(totals.std()) / n
    is_constant = ties == replicates
    return TargetEffect(
        value=value,
        ci95=clustered_interval(right, clusters),
        p=1.0 if is_constant else float((above + 0.5 * ties + 0.5) / (replicates + 1.0)),
        z=None if is_constant else value / spread,
        n=n,
        n_clusters=n_clusters,
    )


def clustered_interval(values: _Floats, clusters: _Ints) -> tuple[float, float] | None:
    """Computes the 95% interval of a mean over samples, clustered by picture (Student's t).

    Args:
        values: shape (samples,).
        clusters: the number of each sample's picture, from 0 without gaps, shape (samples,).

    Returns:
        The interval; None with fewer than two pictures, or without any variation.
    """
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters).astype(np.float64)
    if len(sums) < 2:
        return None
    variance = mean_variance(np.full(len(sums), 1.0 / len(values)), sums, sizes)
    if variance.value <= 1e-24:
        return None
    from ssl4rl_bench.stats.paired import t_interval

    return t_interval(float(values.mean()), math.sqrt(variance.value), variance.df)


def _permuted(blocks: Sequence[Choices], centred: Sequence[_Floats], replicates: int, seed: int) -> _Floats:
    """Returns the sums of the values under permuted targets, shape (replicates,).

    Pictures with equally many samples exchange the targets of all their samples, which are then shuffled among
    these samples. With one sample per picture this is a plain permutation.
    """
    rng = np.random.default_rng(seed)
    totals = np.zeros(replicates)
    for block, values in zip(blocks, centred, strict=True):
        for samples in _by_size(block.clusters):
            targets = block.targets[samples]
            for start in range(0, replicates, _CHUNK):
                count = min(_CHUNK, replicates - start)
                order = rng.random((count, len(samples))).argsort(axis=1)
                drawn = targets[order]
                if samples.shape[1] > 1:
                    within = rng.random(drawn.shape).argsort(axis=2)
                    drawn = np.take_along_axis(drawn, within, axis=2)
                totals[start : start + count] += values[samples, drawn].sum(axis=(1, 2))
    return totals


def _by_size(clusters: _Ints) -> list[_Ints]:
    """Returns the samples of the pictures with one sample, two samples and so on; shapes (pictures, samples)."""
    order = np.argsort(clusters, kind="stable")
    index = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(index)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return [
        order[starts[sizes == size][:, None] + np.arange(size)].astype(np.intp) for size in np.unique(sizes)
    ]


def choices(values: ArrayLike, targets: ArrayLike, clusters: ArrayLike) -> Choices:
    """Creates a block from arrays.

    Raises:
        ValueError: the lengths differ, or a target is not the index of a candidate.
    """
    table, right = np.asarray(values, np.float64), np.asarray(targets, np.intp)
    pictures = np.asarray(clusters, np.intp)
    if table.ndim != 2 or not len(table) == len(right) == len(pictures):
        raise ValueError("values, targets and clusters must have one row per sample")
    if right.size and not (right.min() >= 0 and right.max() < table.shape[1]):
        raise ValueError("a target is not the index of a candidate")
    return Choices(table, right, pictures)
