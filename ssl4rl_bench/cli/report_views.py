"""Chooses, creates and prints the views of `ssl4rl-bench report`, and writes them as figures."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.text import Text

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.comparison.load import choose_baseline
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.atomic import reporting
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.output import say
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.reports.views import VIEWS, View, ViewRuns, allowed, by_sight, gather_runs

_NUMBER = re.compile(r"[+±-]?\d+(\.\d+)?(?![\w-])")


def choose_runs(
    evaluated: Sequence[Evaluated],
    baseline: str | None,
    tasks: Sequence[str],
    aggregation: str | None,
    trained: Sequence[str],
    allow: Collection[str],
) -> ViewRuns:
    """Sorts runs by their role in the report. ViewRuns that were shown no real images are `ViewRuns.blind`.

    Args:
        tasks: task names with the prefix. The first benchmark among them is the task of the views.

    Raises:
        UsageError: a name is unknown.
    """
    real, blind = by_sight(evaluated)
    if not real:  # blind runs can be compared with each other
        real, blind = list(evaluated), []
    base, others = choose_baseline(real, baseline)
    scored = [name for name in tasks if name not in base.without_scores]
    benchmarks = [name for name in scored if not base.task(name).probe]
    return gather_runs(
        base,
        others,
        blind,
        task=benchmarks[0] if benchmarks else None,
        aggregation=aggregation,
        trained=trained,
        allow=allow,
    )


def make_views(names: Sequence[str], runs: ViewRuns) -> list[View]:
    """Creates the named views, or without names all views that the runs allow.

    Raises:
        UsageError: a name is unknown, or the runs do not allow the view.
    """
    for name in names:
        if name not in VIEWS:
            raise UsageError(f"no --view {name} (known: {', '.join(VIEWS)}){did_you_mean(name, VIEWS)}")
    return [VIEWS[name](runs) for name in names] if names else allowed(runs)


def print_views(views: Sequence[View], screen: Screen | None = None) -> None:
    """Prints the table and the sentence of each view, by default on the terminal."""
    screen = screen or console()
    for view in views:
        table = plain_table(clean(view.title, 200), list(map(clean, view.headers)), n_keys=_n_keys(view))
        table.padding = (0, 1)
        for row in view.rows:
            table.add_row(*(Text("\n".join(clean(line) for line in text.split("\n"))) for text in row))
        if not screen.is_terminal:  # a file can be as wide as needed, so that no number is wrapped
            needed = screen.measure(table, options=screen.options.update(max_width=1000)).maximum
            screen.width = max(screen.width, needed)
        screen.print()
        screen.print(table)
        screen.print()
        screen.sentence(clean(view.sentence, 4000))


def _n_keys(view: View) -> int:
    """Returns the number of columns before the first one with numbers; at least 1."""
    columns = list(zip(*view.rows, strict=True))
    numbers = (index for index, cells in enumerate(columns) if any(map(_NUMBER.match, cells)))
    return max(1, next(numbers, 1))


def write_views(views: Sequence[View], folder: Path) -> None:
    """Writes NAME.svg and NAME.png of each view to a folder, which is created if it does not exist.

    Raises:
        StoreError: a file cannot be written.
    """
    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        for path in view.write(folder):
            say(f"wrote {path}")
