"""Prints the tables of the command `compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.text import Text

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import ALPHA, Difference
from ssl4rl_bench.comparison.seeds import Method, compare_method
from ssl4rl_bench.core.atomic import write_text
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board
from ssl4rl_bench.reports.board.export import NOTE
from ssl4rl_bench.reports.board.overview import Overview
from ssl4rl_bench.reports.board.overview_text import OverviewView, column_lines
from ssl4rl_bench.reports.board.probes import ProbeRow, margin_caption, probe_notes
from ssl4rl_bench.reports.board.text import (
    LEGEND,
    board_table,
    difference_table,
    probe_difference_table,
    sentence,
    winners,
)
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import interval, percent, points
from ssl4rl_bench.score.headline import headline_of

WIDTH = 150
"""The width in columns of a file."""


DISAGREE = (
    "A 95% interval here excludes 0 although its uncorrected p is 0.05 or more: few questions changed, and the two "
    "are computed differently. Rely on the p-value."
)


@contextmanager
def output(path: Path | None) -> Iterator[Screen]:
    """Yields a console for the terminal, or for a file that is written atomically at the end.

    Raises:
        StoreError: the file cannot be written.
    """
    if path is None:
        yield console()
        return
    screen = Screen(width=WIDTH, color_system=None)
    with screen.capture() as capture:
        yield screen
    write_text(path, "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def print_overview(screen: Screen, overview: Overview, intervals: bool) -> None:
    """Prints the table of all benchmarks, what its columns are, and its notes."""
    screen.print()
    screen.print(OverviewView(overview, intervals))
    screen.sentence(LEGEND, "dim")
    for line in column_lines(overview):
        screen.sentence(line, "dim")
    _print_notes(screen, overview.notes)


def print_boards(
    screen: Screen, boards: Sequence[Board], probes: Sequence[ProbeRow], intervals: bool
) -> None:
    """Prints for each board the card's table, the tables of differences, and one sentence per candidate."""
    for board in boards:
        screen.print()
        screen.print(board_table(board, intervals))
        screen.sentence(LEGEND, "dim")
        if line := winners(board):
            screen.sentence(line, "dim")
        for comparison in board.comparisons:
            screen.print()
            screen.print(difference_table(comparison))
        if any(_disagree(cell) for comparison in board.comparisons for cell in comparison.cells):
            screen.sentence(DISAGREE, "dim")
        screen.print()
        for comparison in board.comparisons:
            what = f"{short_name(board.task)} ({board.aggregation})"
            screen.sentence(sentence(comparison.overall, comparison.candidate, comparison.baseline, what))
        _print_notes(screen, board.notes)
    if probes:
        screen.print()
        screen.print(probe_difference_table(probes))
        for line in margin_caption(probes):
            screen.sentence(line, "dim")
        _print_notes(screen, probe_notes(probes))


def _disagree(cell: Difference) -> bool:
    """Checks whether the interval of a difference excludes 0 although its test is not significant."""
    return cell.ci95 is not None and not cell.ci95[0] <= 0.0 <= cell.ci95[1] and cell.p >= ALPHA


def _print_notes(screen: Screen, notes: Sequence[str]) -> None:
    for note in notes:
        screen.sentence(f"note: {clean(note, NOTE)}", "yellow")


def print_methods(
    screen: Screen,
    baseline: Evaluated,
    methods: Sequence[Method],
    tasks: Sequence[str],
    by: str,
    aggregation: str | None,
    allow: Sequence[str],
) -> None:
    """Prints mean differences of methods over their seeds, with intervals of the mean and one more seed."""
    for task in tasks:
        probe = baseline.task(task).probe is not None
        published = headline_of([baseline.result], task)
        task_aggregation = "row_micro" if probe else aggregation or published
        seeds = ("95% of the mean", "95% of one more seed", "SD of seeds", "each run")
        table = plain_table(
            f"{clean(task)} · {task_aggregation} · against {clean(baseline.label)}",
            ("Method", "Category", "runs", "n", "Mean diff", *seeds),
            "llr",
            narrowing=Narrowing(drop=("SD of seeds", "each run", "95% of one more seed"), names=("Method",)),
        )
        notes: list[str] = []
        for method in methods:
            for cell in compare_method(
                baseline,
                method,
                task,
                by="overall" if probe else by,
                aggregation=task_aggregation,
                allow=allow,
            ):
                notes += cell.notes
                table.add_row(
                    Text(clean(method.name)),
                    Text(clean(cell.name)),
                    str(cell.mean.n_seeds),
                    str(cell.mean.n_groups),
                    points(cell.mean.value),
                    interval(cell.mean.ci95, signed=True),
                    interval(cell.mean.next_seed, signed=True),
                    percent(cell.mean.between_seeds),
                    " ".join(points(value) for value in cell.by_run),
                )
        screen.print()
        screen.print(table)
        _print_notes(screen, list(dict.fromkeys(notes)))
    screen.sentence(
        "95% of the mean: the interval of the mean over all seeds and questions. 95% of one more seed: the interval "
        "for another training seed of the method on these questions. A single run has neither, and two seeds show "
        "little about how seeds differ: both intervals are then wide.",
        "dim",
    )
