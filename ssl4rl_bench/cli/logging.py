"""The trackers of the option `--log`, whose messages go to standard error."""

from __future__ import annotations

from collections.abc import Sequence

from ssl4rl_bench.core.output import say
from ssl4rl_bench.reports.dashboards.sending import Dashboards, parse_targets


def open_dashboards(values: Sequence[str] | None) -> Dashboards:
    """Returns the trackers of `--log`, none of which is open yet.

    Raises:
        UsageError, MissingDependency: as `parse_targets`.
    """
    return Dashboards(parse_targets(values or ()), lambda line: say(line, stderr=True))
