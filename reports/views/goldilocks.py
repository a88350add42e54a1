"""Difficulty: the baseline above chance at each difficulty of an SSL task, and what training there does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.pairing import Evaluated, pair
from ssl4rl_bench.comparison.result import ALPHA, Difference
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.probes import ProbeRow, probe_row
from ssl4rl_bench.reports.figures.axes import reach, slots
from ssl4rl_bench.reports.figures.palette import INK, MUTED, SIGN
from ssl4rl_bench.reports.figures.sheet import Sheet, width_of, wrapped
from ssl4rl_bench.reports.text.cells import CellEstimate, cell_estimate, dig
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, listed, p_is, percent, points
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.runs import ViewRuns
from ssl4rl_bench.reports.views.training import full, kind_of
from ssl4rl_bench.reports.views.wording import difference_cells, noted
from ssl4rl_bench.score.aggregate import OVERALL
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.task.ssl import KINDS


@dataclass(frozen=True, slots=True)
class Step:
    """One difficulty of a kind of SSL task."""

    probe: ProbeRow
    """The baseline's row of the probe."""
    above: CellEstimate | None
    """The baseline's (accuracy - chance) / (1 - chance)."""
    trained: tuple[tuple[str, Difference], ...] = ()
    """Checkpoints trained at this difficulty: name, and difference from the baseline on Average."""


def goldilocks(runs: ViewRuns) -> View:
    """Makes the view of kinds asked at several difficulties, and of checkpoints trained at one of these.

    Seeds of a training are not averaged. Without a benchmark or candidates, only the baseline's part is made.

    Raises:
        UsageError: the baseline was not asked any kind at two difficulties, or runs must not be compared.
    """
    name = clean(runs.baseline.label)
    placed, astray = _placed(runs)
    steps = _steps(runs, placed)
    if not steps:
        raise UsageError(
            f"--view goldilocks needs an SSL task of {name} at two difficulties: `ssl4rl-bench run --model {name} "
            "--tasks ssl_difficulty` asks all of them"
        )
    notes = [f"{label} is not in the figure: {reason}." for label, reason in astray]
    has_training = any(step.trained for step in steps)
    if not has_training:
        notes.insert(
            0,
            "No checkpoint here was trained at one of these difficulties, so the effect of training on them is "
            "unknown; `ssl4rl-bench train RECIPE` trains one (its [tasks] name the difficulty), --trained LABEL=TASK "
            "names a checkpoint's.",
        )
    return View(
        name="goldilocks",
        title=f"Difficulty: what {name} can do, and what training at it brought",
        sentence=" ".join([*_sentences(runs, steps, name), *notes[:4]]) + noted(_pairing_notes(runs, steps)),
        headers=(
            "SSL task",
            "Difficulty",
            "Chance",
            "Accuracy",
            "n",
            "Above chance",
            "95% interval",
            *(("Trained at it", "Average", "95% interval", "p corr.") if has_training else ()),
        ),
        rows=tuple(row for step in steps for row in _rows(step, has_training)),
        sheet=_draw(steps, name, has_training),
    )


def _placed(runs: ViewRuns) -> tuple[dict[str, list[Evaluated]], list[tuple[str, str]]]:
    """Returns the candidates by the single task that they were trained on, and why others are not in it."""
    placed: dict[str, list[Evaluated]] = {}
    astray = []
    for run in runs.candidates:
        tasks = runs.trained.get(run.label)
        label = clean(run.label)
        if tasks is None:
            astray.append((label, "its training tasks are unknown (give --trained LABEL=TASK)"))
        elif len(tasks) == 1 and tasks[0] in KINDS:
            option = f"--trained {label}=ssl_{tasks[0]}_..."
            astray.append(
                (
                    label,
                    f"at which difficulty of {tasks[0]} it was trained is unknown (give {option} says it)",
                )
            )
        elif len(tasks) == 1 and kind_of(tasks[0]) in KINDS:
            placed.setdefault(full(tasks[0]), []).append(run)
    return placed, astray


def _steps(runs: ViewRuns, placed: dict[str, list[Evaluated]]) -> list[Step]:
    """Returns the steps by kind, from easy to hard, of kinds with at least two difficulties."""
    by_kind: dict[str, dict[str, Step]] = {}
    for run in (runs.baseline, *runs.more):
        for task, outcomes in run.outcomes.items():
            if not outcomes.probe or task.endswith("_released"):
                continue
            row = probe_row(run, task)
            above = cell_estimate(dig(run.result, "tasks", task, "probe", "chance_corrected"))
            by_kind.setdefault(row.kind, {}).setdefault(row.difficulty, Step(row, above))
    steps = [
        step
        for kind in (*KINDS, *(by_kind.keys() - set(KINDS)))
        if len(by_kind.get(kind, {})) > 1
        for step in sorted(by_kind[kind].values(), key=_hardness)
    ]
    trained = [(step.probe.task, run) for step in steps for run in placed.get(step.probe.task, [])]
    if not trained:
        return steps
    differences = _on_average(runs, runs.baseline, [run for _, run in trained])
    by_task: dict[str, list[tuple[str, Difference]]] = {}
    for (task, run), difference in zip(trained, differences, strict=True):
        by_task.setdefault(task, []).append((clean(run.label), difference))
    return [replace(step, trained=tuple(by_task.get(step.probe.task, ()))) for step in steps]


def _on_average(runs: ViewRuns, baseline: Evaluated, candidates: Sequence[Evaluated]) -> list[Difference]:
    comparisons = compare_task(
        baseline, candidates, runs.benchmark, by=OVERALL, aggregation=runs.aggregation, allow=runs.allow
    )
    return [comparison.overall for comparison in comparisons]


def _hardness(step: Step) -> tuple[float, bool, bool, str]:
    """Returns a sort key: more choices are harder, then augmentation is, and strong more than weak."""
    difficulty = step.probe.difficulty
    return -(step.probe.chance or 0.0), "," in difficulty, "strong" in difficulty, difficulty


def _sentences(runs: ViewRuns, steps: Sequence[Step], name: str) -> list[str]:
    out = []
    for kind in dict.fromkeys(step.probe.kind for step in steps):
        kind_steps = [step for step in steps if step.probe.kind == kind]
        above = [step for step in kind_steps if step.above and step.above.ci95 and step.above.ci95[0] > 0.0]
        # An interval that includes 0 does not prove chance, so the rest is "not shown" to be above.
        easy = [step.probe.difficulty for step in above]
        rest = [step.probe.difficulty for step in kind_steps if step not in above]
        if not rest:
            result = f"above chance at each of {listed(easy)}"
        elif easy:
            result = f"above chance at {listed(easy)}, not shown to be at {listed(rest)}"
        else:
            result = f"not shown to be above chance at any of {listed(rest)}"
        text = f"On {kind} {name} is {result}"
        trained = [(step, difference) for step in kind_steps for difference in step.trained]
        if trained:
            effects = [
                f"{label} (trained at {step.probe.difficulty}) {difference_cells(difference)[0]} points on Average"
                for step, (label, difference) in trained
            ]
            text += f"; against {name}, {listed(effects)}"
        out.append(f"{text}.{_told_apart(runs, kind_steps)}")
    return out


def _told_apart(runs: ViewRuns, steps: Sequence[Step]) -> str:
    """Compares each two checkpoints trained at different difficulties of a kind, with Holm over the pairs."""
    labels = {clean(run.label): run for run in runs.candidates}
    trained = [(step, label) for step in steps for label, _ in step.trained]
    pairs = [(one, two) for one, two in combinations(trained, 2) if one[0] is not two[0]]
    if not pairs:
        return ""
    differences = [_on_average(runs, labels[one[1]], [labels[two[1]]])[0] for one, two in pairs]
    p = holm([difference.p for difference in differences])
    shown = [
        f"{two[1]} {points(difference.value)} points from {one[1]} ({p_is(float(corrected))})"
        for (one, two), difference, corrected in zip(pairs, differences, p, strict=True)
        if corrected < ALPHA
    ]
    if shown:
        return f" Between difficulties, {listed(shown)}."
    least = max(difference.mde for difference in differences)
    return (
        f" The difficulties are not told apart downstream; differences below {percent(least)} points would rarely be "
        "found."
    )


def _pairing_notes(runs: ViewRuns, steps: Sequence[Step]) -> list[str]:
    reasons = [
        str(reason)
        for run in (runs.baseline, *runs.more)
        for reason in run.result.get("partial_reasons", ())
        if any(str(reason).startswith(f"{step.probe.task}:") for step in steps)
    ]
    part = [
        f"{clean(runs.baseline.label)} answered only a part ({clean(reason, 120)})." for reason in reasons[:1]
    ]
    trained = {label for step in steps for label, _ in step.trained}
    return part + [
        note
        for run in runs.candidates
        if clean(run.label) in trained
        for note in pair(runs.baseline, run, runs.benchmark, runs.allow).notes
    ]


def _rows(step: Step, has_training: bool) -> list[tuple[str, ...]]:
    above = step.above
    base = (
        step.probe.kind,
        step.probe.difficulty,
        percent(step.probe.chance),
        percent(step.probe.accuracy),
        NO_DATA if step.probe.n is None else str(step.probe.n),
        percent(_flat(above.value) if above else None),
        interval((_flat(above.ci95[0]), _flat(above.ci95[1])) if above and above.ci95 else None),
    )
    if not has_training:
        return [base]
    trained = [(label, *difference_cells(cell)) for label, cell in step.trained]
    first, *more = trained or [(NO_DATA, "", "", "")]
    return [(*base, *first), *((*("",) * len(base), *line) for line in more)]


def _flat(value: float) -> float:
    """Rounds a fraction to two decimals of a percent, so that "-0.00" is never printed."""
    return round(value, 4) + 0.0


def _draw(steps: Sequence[Step], name: str, has_training: bool) -> Sheet:
    left, tall, gap = 34.0, 150.0, 26.0
    sheet = Sheet()
    wide = sheet.width - left - 6
    n_kinds = len({step.probe.kind for step in steps})
    n = len(steps) + 0.6 * (n_kinds - 1)
    places, position = [], 0.5
    for number, step in enumerate(steps):
        position += 0.6 if number and steps[number - 1].probe.kind != step.probe.kind else 0.0
        places.append(position)
        position += 1.0
    # Six points of margin: bold text may be drawn a little wider than `width_of` computes.
    title = wrapped(f"{name}: accuracy above chance, percent of what is possible", wide - 6.0, bold=True)
    for index, line in enumerate(title):
        sheet.text(left, 12 + 11 * index, line, bold=True, side="left")
    top = 13.0 + 11.0 * len(title)
    axes = slots(sheet, (left, top, wide, tall), n, reach(step.above for step in steps))
    for place, step in zip(places, steps, strict=True):
        if step.above is not None:
            axes.whisker(place, step.above, INK)
    y = top + tall
    if has_training:
        words = (
            "Checkpoints trained at it: difference on Average, points (▲ better, ▼ worse after correction)"
        )
        sheet.text(left, y + gap - 12, words, bold=True, side="left")
        ends = reach(cell for step in steps for _, cell in step.trained)
        lower = slots(sheet, (left, y + gap, wide, tall), n, ends)
        for place, step in zip(places, steps, strict=True):
            for number, (_, cell) in enumerate(step.trained):
                x = place + (number - (len(step.trained) - 1) / 2) * min(0.22, 0.7 / len(step.trained))
                marker = {"better": "^", "worse": "v", "": "o"}[cell.mark]
                lower.whisker(x, cell, SIGN[cell.mark], marker, size=6.0)
        y += gap + tall
    sheet.height = _difficulties(sheet, y, [left + place * wide / n for place in places], wide / n, steps) + 5
    return sheet


def _difficulties(sheet: Sheet, y: float, xs: Sequence[float], slot: float, steps: Sequence[Step]) -> float:
    """Draws difficulties and kinds below the axes, and returns where they end.

    Every second difficulty is below the others if they would touch; longer ones are broken into lines.
    """
    tight = any(width_of(text) > slot - 2 for step in steps for text in _words_of(step))
    drawn = []
    for x, step in zip(xs, steps, strict=True):
        room = 2 * min(0.85 * slot if tight else 0.5 * slot, x, sheet.width - x)
        lines = [line for text in _words_of(step) for line in wrapped(text, room)]
        drawn.append((x, lines))
    first = max(len(lines) for _, lines in (drawn[::2] if tight else drawn))
    second = max((len(lines) for _, lines in drawn[1::2]), default=0) if tight else 0
    for number, (x, lines) in enumerate(drawn):
        top = y + 10 * (1 + (first if tight and number % 2 else 0))
        for line, text in enumerate(lines):
            sheet.text(x, top + 10 * line, text, MUTED)
    below = y + 9 + 10 * (first + second)
    kinds = [step.probe.kind for step in steps]
    deepest = 0
    for kind in dict.fromkeys(kinds):
        mine = [x for x, name in zip(xs, kinds, strict=True) if name == kind]
        from_, to = mine[0] - 0.45 * slot, mine[-1] + 0.45 * slot
        sheet.line([(from_, below), (to, below)], MUTED, 0.7)
        lines = wrapped(kind, to - from_)
        for line, text in enumerate(lines):
            sheet.text((from_ + to) / 2, below + 9 + 10 * line, text)
        deepest = max(deepest, len(lines))
    return below + 4 + 10 * deepest


def _words_of(step: Step) -> list[str]:
    return step.probe.difficulty.split(", ")[:2]
