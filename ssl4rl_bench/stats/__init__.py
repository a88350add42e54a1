"""Statistics as pure functions of numbers; the unit is the group (one question).

`estimates`: one run. `paired`: two runs on the same groups. `resampling`: bootstrap and permutation.
`multiple`: many tests at once. `power`: what the data could have shown. `seeds`: several training seeds of a
method. `agreement`: two readings of the same replies. This package itself names only what is in `estimates`, as the
others need scipy.
"""

from ssl4rl_bench.stats.estimates import (
    Z95,
    Estimate,
    VarianceComponents,
    cluster_mean_se,
    mean_se,
    variance_components,
    wilson,
)

__all__ = [
    "Z95",
    "Estimate",
    "VarianceComponents",
    "cluster_mean_se",
    "mean_se",
    "variance_components",
    "wilson",
]
