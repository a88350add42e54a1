"""Compares the forced-choice margins of runs on a probe, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ssl4rl_bench.comparison.compare import paired_rows
from ssl4rl_bench.comparison.pairing import Pairing
from ssl4rl_bench.comparison.result import Comparison
from ssl4rl_bench.stats.clustered import clustered_mean
from ssl4rl_bench.stats.multiple import benjamini_hochberg, holm


@dataclass(frozen=True, slots=True)
class MarginDifference:
    """The margin of a candidate minus that of the baseline, over the samples that have one in both runs."""

    value: float
    """In nats."""
    ci95: tuple[float, float] | None
    """95% interval, clustered by picture (Student's t)."""
    p: float
    """Two-sided: the sign-flip permutation test of pictures (`stats.resampling.sign_flip`)."""
    p_corrected: float
    """Corrected over the candidates of the probe."""
    n: int
    """The number of samples."""
    n_pictures: int


def margin_differences(comparisons: Sequence[Comparison]) -> list[MarginDifference | None]:
    """Returns the difference of the margins for each candidate of one probe.

    The result is None if a run has no margin, or if the two margins are in different forms, which are not
    comparable. p-values are corrected over the candidates as those of the accuracies are; instead of max-T, whose
    family has other tests, by Holm's method.
    """
    differences = [_difference(comparison.pairing) for comparison in comparisons]
    p_values = [difference.p for difference in differences if difference is not None]
    if not p_values:
        return differences
    correction = comparisons[0].correction
    if correction != "none":
        p_values = list((benjamini_hochberg if correction == "bh" else holm)(p_values))
    corrected = iter(map(float, p_values))
    return [one and replace(one, p_corrected=next(corrected)) for one in differences]


def _difference(pairing: Pairing) -> MarginDifference | None:
    one, two = pairing.baseline, pairing.candidate
    if one.margins is None or two.margins is None or one.margin_form != two.margin_form:
        return None
    left, right, starts = paired_rows(pairing)
    pictures = np.repeat(np.arange(len(starts)), one.sizes[pairing.left])
    values = two.margins[right] - one.margins[left]
    known = ~np.isnan(values)
    return paired_difference(values[known], pictures[known]) if known.any() else None


def paired_difference(values: ArrayLike, pictures: ArrayLike) -> MarginDifference:
    """Computes the difference of two margins from the differences of samples; `p_corrected` is the uncorrected p.

    Args:
        values: the candidate's margin minus the baseline's in nats, shape (samples,), at least one.
        pictures: a number for each sample's picture, shape (samples,).
    """
    mean = clustered_mean(values, pictures)
    return MarginDifference(mean.value, mean.ci95, mean.p, mean.p, mean.n, mean.n_clusters)
