"""Agreement of two readings of the same replies, with correction for agreement by chance (Cohen's kappa)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from ssl4rl_bench.stats.estimates import Z95


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa of two readings of the same items."""

    n: int
    """The number of items."""
    observed: float | None
    """Share of items on which the readings agree; None without items."""
    value: float | None
    """Kappa, in [-1, 1]; None if the expected agreement is 1 (both readings give all items one label)."""
    se: float | None
    """Standard error of `value` for independent items; None if `value` is None."""

    @property
    def ci95(self) -> tuple[float, float] | None:
        """95% interval: `value` ± 1.96 standard errors, clipped to [-1, 1]."""
        if self.value is None or self.se is None:
            return None
        return max(-1.0, self.value - Z95 * self.se), min(1.0, self.value + Z95 * self.se)


def kappa(first: Iterable[Hashable], second: Iterable[Hashable]) -> Kappa:
    """Computes Cohen's kappa, (p_o - p_e) / (1 - p_e), with its large-sample standard error.

    p_o is the share of items with the same label; p_e is the share expected by chance from the marginal
    shares of the labels (Cohen, Educ. Psychol. Meas. 20 (1960) 37-46). Let p_ij be the share of items that
    `first` labels i and `second` labels j, p_i. and p_.j its margins, and k = kappa. The variance is
    (A + B - C) / (n (1 - p_e)^2):

        A = sum_i p_ii (1 - (p_i. + p_.i) (1 - k))^2
        B = (1 - k)^2 sum_(i != j) p_ij (p_.i + p_j.)^2
        C = (k - p_e (1 - k))^2

    (Fleiss, Cohen and Everitt, Psychol. Bull. 72 (1969) 323-327, equation 13). Items are assumed to be
    independent. The copies of a question are not, so for them the standard error is too small.

    Args:
        first, second: one label per item, in the same order; None is an ordinary label.

    Raises:
        ValueError: the readings have different lengths.
    """
    pairs = Counter(zip(first, second, strict=True))
    n = pairs.total()
    if n == 0:
        return Kappa(0, None, None, None)
    rows: Counter[Hashable] = Counter()
    columns: Counter[Hashable] = Counter()
    for (one, other), count in pairs.items():
        rows[one] += count
        columns[other] += count
    same = sum(count for (one, other), count in pairs.items() if one == other)
    by_chance = sum(count * columns[label] for label, count in rows.items())
    observed = same / n
    if by_chance == n * n:
        return Kappa(n, observed, None, None)
    p_e = by_chance / n**2
    value = (observed - p_e) / (1 - p_e)
    a = b = 0.0
    for (one, other), count in pairs.items():
        if one == other:
            a += count / n * (1 - (rows[one] + columns[one]) / n * (1 - value)) ** 2
        else:
            b += count / n * ((columns[one] + rows[other]) / n) ** 2
    c = (value - p_e * (1 - value)) ** 2
    variance = (a + (1 - value) ** 2 * b - c) / (n * (1 - p_e) ** 2)
    return Kappa(n, observed, value, math.sqrt(max(0.0, variance)))
