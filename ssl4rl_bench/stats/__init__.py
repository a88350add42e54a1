"""Statistics as pure functions of numbers. The unit is the group (one question).

- `estimates`: estimates for one run.
- `effective`: effective sample sizes for rows, repeats, graded scores and means over leaves.
- `paired`: comparisons of two runs on the same groups.
- `resampling`: permutation tests.
- `multiple`: corrections for multiple tests.
- `means`: unweighted means of independent estimates.
- `power`: detectable effects and required sample sizes.
- `seeds`: several training seeds of a method.
- `agreement`: agreement of two readings of the same replies.
- `clustered`: means of numbers without bounds, over questions that share pictures.
- `alignment`: whether answers depend on the targets (the forced-choice margin).

This package exports only names of `estimates`, as the other modules need scipy or build on modules that do.
"""

from ssl4rl_bench.stats.estimates import (
    Z95,
    Estimate,
    VarianceComponents,
    variance_components,
    wilson,
)

__all__ = [
    "Z95",
    "Estimate",
    "VarianceComponents",
    "variance_components",
    "wilson",
]
