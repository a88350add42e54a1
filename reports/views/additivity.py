"""Compares a mix of tasks with its best single task, and with the sum of the gains of its single tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.result import ALPHA
from ssl4rl_bench.comparison.seeds import Method
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.columns import Column
from ssl4rl_bench.reports.figures.axes import Axes, reach, slots
from ssl4rl_bench.reports.figures.palette import INK, MUTED, SERIES, SIGN
from ssl4rl_bench.reports.figures.sheet import Sheet, minus
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, interval, listed, p_is, percent, points
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.contrasts import Contrast, ScoreTable, correct, scores
from ssl4rl_bench.reports.views.runs import ViewRuns
from ssl4rl_bench.reports.views.training import MIX, methods, same_task, words
from ssl4rl_bench.reports.views.wording import difference_cells, noted
from ssl4rl_bench.score.aggregate import OVERALL

_Floats = NDArray[np.float64]

_LEFT, _TALL = 62.0, 190.0


@dataclass(frozen=True, slots=True)
class Sums:
    """The contrasts of one column, as fractions."""

    column: Column
    base: float
    singles: tuple[Contrast, ...]
    """The gain of each single task over the baseline."""
    mix: Contrast
    """The gain of the mix over the baseline."""
    best: int
    """Index in `singles` of the task that gained most."""
    mix_minus_best: Contrast
    total: Contrast | None
    """The sum of the gains of `singles`; None if a task of the mix was not trained alone."""
    mix_minus_sum: Contrast | None

    @property
    def out_of_reach(self) -> bool:
        """Whether no model could reach the sum, because it is below 0% or above 100%."""
        return self.total is not None and not 0.0 <= self.base + self.total.value <= 1.0


def additivity(runs: ViewRuns) -> View:
    """Makes the view of the first mix among the candidates.

    The seeds of a training are first averaged question by question. All intervals are over questions: they
    hold for these checkpoints, not for a new seed.

    Raises:
        UsageError: no mix, fewer than two of its tasks trained alone, several checkpoints of one task, or
            runs that must not be compared.
    """
    candidates = runs.need_candidates("additivity")
    name = clean(runs.baseline.label)
    mix, singles, missing = _chosen(runs, methods(candidates))
    every = [runs.baseline, *mix.runs, *(run for single in singles for run in single.runs)]
    table = scores(every, runs.benchmark, runs.aggregation, runs.allow)
    ends = np.cumsum([1, *(len(method.runs) for method in (mix, *singles))])[:-1]
    base, *means = (part.mean(axis=1) for part in np.split(table.table, ends, axis=1))
    columns = sums(table, base, means[0], means[1:], has_sum=not missing)
    names = [words(runs.trained[single.runs[0].label]) for single in singles]
    missing_text = (
        f" {listed(missing)} of the mix {'has' if len(missing) == 1 else 'have'} no checkpoint among the runs that "
        "was trained on it alone, so there is no sum."
        if missing
        else ""
    )
    seeds = max(len(method.runs) for method in (mix, *singles))
    averaged = (
        " Seeds are averaged; the intervals are of these checkpoints, not of new seeds." if seeds > 1 else ""
    )
    return View(
        name="additivity",
        title=f"Additivity: {clean(mix.name)} against its tasks trained alone, gains over {name} in points",
        sentence=_sentence(columns, clean(mix.name), name, names)
        + missing_text
        + averaged
        + noted(table.notes),
        headers=(
            "Ability",
            "n",
            *names,
            "Mix",
            "Best single",
            "Mix − best",
            "95% interval",
            "p corr.",
            "Sum",
            "Mix − sum",
            "95% interval",
            "p corr.",
        ),
        rows=tuple(_row(result, names) for result in columns),
        sheet=_draw(columns, names, clean(mix.name)),
    )


def sums(
    table: ScoreTable, base: _Floats, mix: _Floats, singles: Sequence[_Floats], has_sum: bool = True
) -> list[Sums]:
    """Computes the contrasts of each column, with Holm's correction over the abilities per kind of contrast.

    Args:
        base, mix, singles: scores of shape (groups,).
        has_sum: whether every task of the mix is in `singles`, so that there is a sum.
    """
    gains = [single - base for single in singles]
    rest = (mix - base) - np.sum(gains, axis=0)
    versus = correct([(column, _versus_best(table, mix, singles, column)) for column in table.columns])
    from_sum = correct([(column, table.contrast(rest, column)) for column in table.columns])
    out = []
    for index, column in enumerate(table.columns):
        contrasts = tuple(table.contrast(gain, column) for gain in gains)
        out.append(
            Sums(
                column=column,
                base=table.mean(base, column),
                singles=contrasts,
                mix=table.contrast(mix - base, column),
                best=max(range(len(contrasts)), key=lambda number: (contrasts[number].value, -number)),
                mix_minus_best=versus[index],
                total=table.contrast(np.sum(gains, axis=0), column) if has_sum else None,
                mix_minus_sum=from_sum[index] if has_sum else None,
            )
        )
    return out


def _versus_best(table: ScoreTable, mix: _Floats, singles: Sequence[_Floats], column: Column) -> Contrast:
    """Computes theta = min theta_i: mix minus the best of k singles, which is chosen by the same data.

    The lower end is the minimum of the differences' lower ends. It needs no correction, as one of them is
    theta's (intersection-union test: Berger, Technometrics 24 (1982) 295-300). The upper end is the minimum
    of their upper ends at a level corrected for k, as each theta_i is at least theta (Bonferroni). p is from
    the corresponding two-sided test.
    """
    k = len(singles)
    plain = [table.contrast(mix - single, column) for single in singles]
    wide = [table.contrast(mix - single, column, 1.0 - ALPHA / k) for single in singles]
    least = min(plain, key=lambda contrast: contrast.value)
    above = max(contrast.p / 2 if contrast.value > 0 else 1 - contrast.p / 2 for contrast in plain)
    below = min(
        1.0, k * min(contrast.p / 2 if contrast.value < 0 else 1 - contrast.p / 2 for contrast in plain)
    )
    lows = [contrast.ci95[0] for contrast in plain if contrast.ci95]
    highs = [contrast.ci95[1] for contrast in wide if contrast.ci95]
    p = min(1.0, 2.0 * min(above, below))
    ends = (min(lows), min(highs)) if len(lows) == len(highs) == k else None
    return Contrast(least.value, ends, p, least.n, least.mde, p)


def _chosen(runs: ViewRuns, methods: Sequence[Method]) -> tuple[Method, list[Method], list[str]]:
    """Returns the mix, the methods trained on one of its tasks, and the tasks without such a method."""
    asked: Mapping[str, tuple[str, ...]] = {
        method.name: runs.trained.get(method.runs[0].label) or () for method in methods
    }
    mixes = [m for m in methods if len(asked[m.name]) > 1 or asked[m.name] == (MIX,)]
    if not mixes:
        raise UsageError(
            "--view additivity needs a checkpoint that was trained on several tasks: name its run, and if its name "
            "does not show them, give --trained LABEL=TASK+TASK"
        )
    mix, tasks = mixes[0], asked[mixes[0].name]
    alone = [m for m in methods if len(asked[m.name]) == 1 and asked[m.name] != (MIX,)]
    if tasks == (MIX,):  # the tasks are not known: take those of all singles
        tasks = tuple(dict.fromkeys(asked[m.name][0] for m in alone))
    singles, missing = [], []
    for task in tasks:
        same = [m for m in alone if same_task(asked[m.name][0], task)]
        if len(same) > 1:
            raise UsageError(
                f"{' and '.join(clean(m.name) for m in same)} were both trained on {words([task])} alone: "
                "name only one of them for --view additivity"
            )
        singles += same
        missing += [] if same else [words([task])]
    if len(singles) < 2:
        lacking = (
            f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} none"
            if missing
            else "there are fewer"
        )
        raise UsageError(
            f"--view additivity needs two checkpoints or more, each trained on one task of {clean(mix.name)}, and "
            f"{lacking}: name their runs, or give --trained LABEL=TASK"
        )
    return mix, singles, missing


def _sentence(columns: Sequence[Sums], mix: str, baseline: str, names: Sequence[str]) -> str:
    all_ = next((result for result in columns if result.column.level == OVERALL), columns[-1])
    text = (
        f"On {all_.column.header} {mix} gains {points(all_.mix.value)} points over {baseline}, its best single task "
        f"({names[all_.best]}) {points(all_.singles[all_.best].value)}"
    )
    if all_.total is not None:
        text += f", and the gains of its {len(names)} tasks add up to {points(all_.total.value)}"
    text += f". {_contrast_text(all_.mix_minus_best, 'its best single task', mix)}"
    if all_.mix_minus_sum is not None:
        text += f" {_contrast_text(all_.mix_minus_sum, 'the sum', mix)}"
        if all_.mix_minus_sum.mark:
            text += " The gains do not add up."
        if all_.total is not None and all_.out_of_reach:
            text += (
                f" But no model could reach the sum, as it lies at {percent(all_.base + all_.total.value)}%: "
                "that part of the difference is due to the scale."
            )
    return text


def _contrast_text(contrast: Contrast, what: str, mix: str) -> str:
    word = {"better": "above", "worse": "below", "": "not told apart from"}[contrast.mark]
    size = f"{points(contrast.value)} {interval(contrast.ci95, True)}"
    text = f"{mix} is {word} {what} ({size}, {p_is(contrast.p_corrected)})"
    return (
        f"{text}."
        if contrast.mark
        else f"{text}; a difference below {percent(contrast.mde)} points would rarely be found."
    )


def _row(result: Sums, names: Sequence[str]) -> tuple[str, ...]:
    return (
        result.column.header,
        str(result.mix.n),
        *(points(single.value) for single in result.singles),
        points(result.mix.value),
        names[result.best],
        *difference_cells(result.mix_minus_best),
        points(result.total.value if result.total else None)
        + (" (out of reach)" if result.out_of_reach else ""),
        *difference_cells(result.mix_minus_sum),
    )


def _draw(columns: Sequence[Sums], names: Sequence[str], mix: str) -> Sheet:
    """Draws the gains as bars, with the differences from best single and sum below.

    Args:
        names: the names of the single tasks.
    """
    has_sum = columns[0].total is not None
    sheet = Sheet()
    looks = [
        *((SERIES[index % len(SERIES)], "bar") for index in range(len(names))),
        (INK, "bar"),
        (INK, "empty"),
    ]
    labels = [*names, mix, *(["sum of the single tasks"] if has_sum else [])]
    entries = [(label, *look) for label, look in zip(labels, looks, strict=False)]
    y = sheet.legend(10, entries, _LEFT) + 4
    wide = sheet.width - _LEFT - 6
    ends = reach(cell for result in columns for cell in (*result.singles, result.mix, result.total))
    axes = slots(sheet, (_LEFT, y, wide, _TALL), len(columns), ends)
    sheet.text(_LEFT - 6, y - 5, "points", MUTED, side="right")
    for index, result in enumerate(columns):
        _bars(axes, index, result, looks)
    y += _TALL + 10
    for index, result in enumerate(columns):
        sheet.text(_LEFT + (index + 0.5) * wide / len(columns), y, result.column.header, bold=True)
    parts: list[tuple[str, list[Contrast | None]]] = [
        ("mix − best", [result.mix_minus_best for result in columns])
    ]
    parts += [("mix − sum", [result.mix_minus_sum for result in columns])] if has_sum else []
    for label, cells in parts:
        y += 13
        sheet.text(4, y, label, MUTED, side="left")
        for index, cell in enumerate(cells):
            x = _LEFT + (index + 0.5) * wide / len(columns)
            if cell is None:
                sheet.text(x, y, NO_DATA, MUTED)
                continue
            text = f"{minus(f'{100 * cell.value:+.1f}')} {MARKS[cell.mark]}".rstrip()
            sheet.text(x, y, text, SIGN[cell.mark] if cell.mark else INK, bold=bool(cell.mark))
    note = "whiskers: 95% intervals; ▲ ▼ beyond chance after correction"
    sheet.text(_LEFT, y + 13, note, MUTED, side="left")
    sheet.height = y + 20
    return sheet


def _bars(axes: Axes, index: int, result: Sums, looks: Sequence[tuple[str, str]]) -> None:
    cells = [*result.singles, result.mix, *([result.total] if result.total else [])]
    wide = 0.84 / len(cells)
    for number, (cell, (colour, look)) in enumerate(zip(cells, looks, strict=False)):
        x = index + 0.08 + (number + 0.5) * wide
        sides = x - 0.43 * wide, x + 0.43 * wide
        if look == "bar":
            axes.band(sides, (0.0, cell.value), colour, opacity=0.75)
        else:
            axes.band(sides, (0.0, cell.value), None, edge=colour)
        axes.whisker(x, cell, INK, marker=None)
