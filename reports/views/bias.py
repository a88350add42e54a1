"""What each checkpoint gains from seeing the images, and whether it gains more than the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.columns import Column
from ssl4rl_bench.reports.figures.axes import reach, slots
from ssl4rl_bench.reports.figures.palette import INK, MUTED, RULE, SERIES, SIGN
from ssl4rl_bench.reports.figures.sheet import MODELS, Sheet, wrapped
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.numbers import MARKS, interval, listed, p_is, percent, points
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.contrasts import Contrast, correct, scores
from ssl4rl_bench.reports.views.runs import ViewRuns, image_of
from ssl4rl_bench.reports.views.wording import difference_cells, noted
from ssl4rl_bench.run.spec import REPLAY
from ssl4rl_bench.score.aggregate import OVERALL

SHOWN = {
    "blank": "grey images in their place",
    "shuffled": "other questions' images",
    "none": "no images",
}

_LEFT, _GAP = 66.0, 22.0
_INSTEAD = {"blank": "blank images", "shuffled": "another's images", "none": "no images"}


@dataclass(frozen=True, slots=True)
class Sight:
    """A checkpoint's scores with and without its images in one column, as fractions."""

    column: Column
    seeing: float
    blind: float
    gain: Contrast
    """The score with images minus the score without."""
    more: Contrast | None
    """This gain minus the baseline's (a difference in differences); None for the baseline."""
    seeing_change: float
    """The difference from the baseline with images."""
    blind_change: float
    """The difference from the baseline without images."""


@dataclass(frozen=True, slots=True)
class Blinding:
    """A replacement of the images, and the models that were asked with and without it."""

    image: str
    models: tuple[tuple[str, tuple[Sight, ...]], ...]
    """The label and the columns of each model, the baseline first."""


def bias(runs: ViewRuns) -> View:
    """Makes the view of all blindings that the baseline has a run of.

    Differences in differences are computed for one candidate at a time, over the questions that all four runs
    answered. Per blinding, Holm's correction is over all candidates' abilities, and over their Averages.

    Raises:
        UsageError: the baseline has no run without its images, or the runs must not be compared.
    """
    task, name = runs.need_benchmark("bias"), clean(runs.baseline.label)
    blind_runs = {image_of(run): run for run in runs.blind if _same(run, runs.baseline, task)}
    if not blind_runs:
        made_by = f"--model {clean(runs.baseline.spec.model)} --tasks {short(task)} --image blank"
        if runs.baseline.spec.engine == REPLAY:
            made_by += " --engine replay --replies FILE"
        raise UsageError(
            f"--view bias needs a run of {name} on {short(task)} without its images: "
            f"`ssl4rl-bench run {made_by}` creates one"
        )
    notes: list[str] = []
    blindings = tuple(
        _blinding(runs, task, image, blind_runs[image], notes) for image in SHOWN if image in blind_runs
    )
    return View(
        name="bias",
        title="Sight or language: what the images are worth, in points",
        sentence=" ".join(_sentence(blinding, name) for blinding in blindings) + noted(notes),
        headers=(
            "Checkpoint",
            "Instead",
            "Ability",
            "n",
            "With images",
            "Without",
            "Gain from sight",
            "95% interval",
            "More than baseline's",
            "95% interval",
            "p corr.",
        ),
        rows=tuple(
            _row(blinding.image, label, cell)
            for blinding in blindings
            for label, cells in blinding.models
            for cell in cells
        ),
        sheet=_draw(blindings, name),
    )


def _same(blind: Evaluated, seeing: Evaluated, task: str) -> bool:
    return blind.spec.fingerprint == seeing.spec.fingerprint and task in blind.outcomes


def _blinding(runs: ViewRuns, task: str, image: str, blind_run: Evaluated, notes: list[str]) -> Blinding:
    allow = runs.allow | {"image"}
    base = scores([runs.baseline, blind_run], task, runs.aggregation, allow)
    notes += base.notes
    seeing, blind = base.table.T
    first = []
    for column in base.columns:
        values = base.mean(seeing, column), base.mean(blind, column)
        first.append(Sight(column, *values, base.contrast(seeing - blind, column), None, 0.0, 0.0))
    models = [(clean(runs.baseline.label), tuple(first))]
    drafts: list[tuple[str, Sight, Contrast]] = []
    for run in runs.candidates:
        without = [other for other in runs.blind if image_of(other) == image and _same(other, run, task)]
        if not without:
            notes.append(f"{clean(run.label)} has no run with --image {image} and is left out there.")
            continue
        table = scores([runs.baseline, blind_run, run, without[0]], task, runs.aggregation, allow)
        notes += table.notes
        saw, was_blind, sees, is_blind = table.table.T
        for column in table.columns:
            values = table.mean(sees, column), table.mean(is_blind, column)
            gain = table.contrast(sees - is_blind, column)
            changes = table.mean(sees - saw, column), table.mean(is_blind - was_blind, column)
            more = table.contrast((sees - is_blind) - (saw - was_blind), column)
            drafts.append((clean(run.label), Sight(column, *values, gain, None, *changes), more))
    corrected = correct([(cell.column, more) for _, cell, more in drafts])
    by_label: dict[str, list[Sight]] = {}
    for (label, cell, _), more in zip(drafts, corrected, strict=True):
        by_label.setdefault(label, []).append(replace(cell, more=more))
    models += [(label, tuple(cells)) for label, cells in by_label.items()]
    return Blinding(image, tuple(models))


def _sentence(blinding: Blinding, baseline: str) -> str:
    (_, cell), *others = [
        (label, next((cell for cell in cells if cell.column.level == OVERALL), cells[-1]))
        for label, cells in blinding.models
    ]
    low, high = cell.gain.ci95 or (0.0, 0.0)
    text = (
        f"With {SHOWN[blinding.image]} {baseline} scores {percent(cell.blind)}% instead of {percent(cell.seeing)}%: "
        f"sight is worth {points(cell.gain.value)} points {interval(cell.gain.ci95, True)}"
    )
    text += "." if low > 0.0 or high < 0.0 else ", which may be chance."
    for label, other in others:
        if other.more is None or not other.more.mark:
            continue
        word = "more" if other.more.value > 0 else "less"
        text += (
            f" {label} gains {word} from sight, {points(other.more.value)} points {interval(other.more.ci95, True)} "
            f"({p_is(other.more.p_corrected)}): {points(other.seeing_change)} with its images and "
            f"{points(other.blind_change)} without."
        )
    rest = [(label, other.more) for label, other in others if other.more and not other.more.mark]
    if rest:
        least = max(more.mde for _, more in rest)
        numbers = [f"{label} ({points(more.value)} {interval(more.ci95, True)})" for label, more in rest]
        verb = "is" if len(rest) == 1 else "are"
        text += (
            f" {listed(numbers)} {verb} not shown to rely on the images more or less than {baseline} does; "
            f"differences below {percent(least)} points would rarely be found."
        )
    return text


def _row(image: str, label: str, cell: Sight) -> tuple[str, ...]:
    return (
        label,
        image,
        cell.column.header,
        str(cell.gain.n),
        percent(cell.seeing),
        percent(cell.blind),
        points(cell.gain.value),
        interval(cell.gain.ci95, True),
        *difference_cells(cell.more),
    )


def _draw(blindings: Sequence[Blinding], baseline: str) -> Sheet:
    labels = list(dict.fromkeys(label for blinding in blindings for label, _ in blinding.models))
    colours = [INK, *(SERIES[index % len(SERIES)] for index in range(len(labels) - 1))]
    looks = {
        label: (colour, MODELS[index % len(MODELS)])
        for index, (label, colour) in enumerate(zip(labels, colours, strict=True))
    }
    sheet = Sheet()
    y = sheet.legend(10, [(label, *look) for label, look in looks.items()], _LEFT) + 4
    for blinding in blindings:
        models = blinding.models
        gains: list[list[Contrast | None]] = [[cell.gain for cell in cells] for _, cells in models]
        more = [[cell.more for cell in cells] for _, cells in models]
        panels = [(f"Gain from sight: real minus {_INSTEAD[blinding.image]}", "points", gains)]
        if len(models) > 1:
            note = "points; ▲ ▼ beyond chance after correction"
            panels.append((f"… minus {baseline}'s gain", note, more))
        headers = [cell.column.header for cell in models[0][1]]
        y = _panels(sheet, y, headers, panels, [looks[label] for label, _ in models])
    sheet.height = y
    return sheet


def _panels(
    sheet: Sheet,
    y: float,
    headers: Sequence[str],
    panels: Sequence[tuple[str, str, Sequence[Sequence[Contrast | None]]]],
    looks: Sequence[tuple[str, str]],
) -> float:
    """Draws panels side by side and returns their lower end.

    Args:
        panels: title, note, and contrasts of shape (models, columns).
    """
    slot = 9.0 * len(looks) + 9.0
    height = len(headers) * slot
    wide = (sheet.width - _LEFT - 16 + _GAP) / len(panels) - _GAP
    titles = [wrapped(title, wide, bold=True) for title, _, _ in panels]
    y += 11.0 * (max(map(len, titles)) - 1)
    for index, header in enumerate(headers):
        sheet.text(_LEFT - 8, y + 18 + (index + 0.5) * slot, header, side="right")
    for number, (_, note, cells) in enumerate(panels):
        left = _LEFT + number * (wide + _GAP)
        for up, words in enumerate(reversed(titles[number])):
            sheet.text(left, y + 8 - 11.0 * up, words, side="left", bold=True)
        ends = reach(cell for line in cells for cell in line)
        axes = slots(sheet, (left, y + 18, wide, height), len(headers), ends, sideways=True)
        for index in range(1, len(headers)):
            axes.line((index, index), axes.values, RULE, width=0.6)
        for index, (line, (colour, marker)) in enumerate(zip(cells, looks, strict=True)):
            for column, cell in enumerate(line):
                if cell is None:
                    continue
                # Candidates whose labels are equal once shortened are one model with more cells than headers.
                place = column % len(headers) + (index + 1) / (len(looks) + 1)
                axes.whisker(place, cell, colour, marker)
                if cell.mark and number:
                    y_mark = axes.place(place, 0.0)[1]
                    sheet.text(left + wide + 3, y_mark, MARKS[cell.mark], SIGN[cell.mark], side="left")
        sheet.text(left + wide / 2, y + height + 38, note, MUTED)
    return y + height + 50
