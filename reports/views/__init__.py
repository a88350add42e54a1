"""Views: questions that a set of runs can answer, each with a figure, a small table and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.reports.views.additivity import additivity
from ssl4rl_bench.reports.views.attend import attend
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.bias import bias
from ssl4rl_bench.reports.views.goldilocks import goldilocks
from ssl4rl_bench.reports.views.runs import ViewRuns, by_sight, gather_runs, with_short_names
from ssl4rl_bench.reports.views.transfer import transfer

__all__ = ["VIEWS", "View", "ViewRuns", "allowed", "by_sight", "gather_runs", "with_short_names"]

VIEWS: dict[str, Callable[[ViewRuns], View]] = {
    "transfer": transfer,
    "goldilocks": goldilocks,
    "additivity": additivity,
    "bias": bias,
    "attend": attend,
}
"""The views by name, in the order of the page. Each raises UsageError if the runs do not allow it."""


def allowed(runs: ViewRuns) -> list[View]:
    """Returns the views that the runs allow."""
    out = []
    for make in VIEWS.values():
        with suppress(UsageError):
            out.append(make(runs))
    return out
