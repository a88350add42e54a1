"""Statistics as pure functions of numbers; the unit is the group (one question).

`estimates`: one run. `effective`: rows, repeats, graded scores and means over leaves as counts. `paired`: two runs on
the same groups. `resampling`: permutation.
`multiple`: many tests at once. `power`: what the data could have shown. `seeds`: several training seeds of a
method. `agreement`: two readings of the same replies. This package itself names only what is in `estimates`, as the
others need scipy or build on it.
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
