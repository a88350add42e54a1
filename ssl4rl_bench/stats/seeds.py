"""Several training seeds of one method on the same questions: an interval that has the seed's share in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ssl4rl_bench.stats.paired import t_interval


@dataclass(frozen=True, slots=True)
class Crossed:
    """The mean of a groups-by-seeds table, and what makes it uncertain. Fractions."""

    value: float
    se: float | None
    """Of a new seed and new questions. None with a single seed or a single group."""
    ci95: tuple[float, float] | None
    between_seeds: float | None
    """Standard deviation of the seeds' true means; 0 where the estimate of its square is negative."""
    n_groups: int
    n_seeds: int


def crossed(table: ArrayLike) -> Crossed:
    """Mean of scores x_gs with questions and seeds both random: x = mean + question + seed + rest.

    Var(mean) = (MS_g + MS_s - MS_gs) / (G S), from the mean squares of a two-way layout without replication, with
    Satterthwaite's degrees of freedom (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4;
    Satterthwaite, Biometrics Bull. 2 (1946) 110-114). Where the sum is below MS_g or MS_s, which it must hold, the
    larger of them takes its place, which is conservative.

    Args:
        table: shape (groups, seeds), without gaps.

    Raises:
        ValueError: for an empty table.
    """
    x = np.asarray(table, np.float64)
    n_groups, n_seeds = x.shape
    if x.size == 0:
        raise ValueError("no scores to average")
    value = float(x.mean())
    if n_groups < 2 or n_seeds < 2:
        return Crossed(value, None, None, None, n_groups, n_seeds)
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    rest = x - rows[:, None] - columns[None, :] + value
    df_g, df_s = n_groups - 1, n_seeds - 1
    ms_g = n_seeds * float(((rows - value) ** 2).sum()) / df_g
    ms_s = n_groups * float(((columns - value) ** 2).sum()) / df_s
    ms_gs = float((rest**2).sum()) / (df_g * df_s)
    between = max(0.0, (ms_s - ms_gs) / n_groups) ** 0.5
    total = ms_g + ms_s - ms_gs
    if total >= max(ms_g, ms_s):
        spread = ms_g**2 / df_g + ms_s**2 / df_s + ms_gs**2 / (df_g * df_s)
        df = total**2 / spread if spread > 0.0 else float(df_g)
    else:
        total, df = max((ms_g, float(df_g)), (ms_s, float(df_s)))
    se = (total / x.size) ** 0.5
    return Crossed(value, se, t_interval(value, se, df), between, n_groups, n_seeds)
