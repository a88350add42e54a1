"""Difficulty: what the base scores above chance on each difficulty of an SSL task, and what training there does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from ssl4rl_bench.comparison.compare import compare
from ssl4rl_bench.comparison.pairing import Evaluated, pair
from ssl4rl_bench.comparison.result import ALPHA, Difference
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.figures.sheet import style, svg_of
from ssl4rl_bench.reports.text.cells import dig
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, interval, percent, points
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.goldilocks_figure import draw
from ssl4rl_bench.reports.views.runs import Runs
from ssl4rl_bench.reports.views.training import full, kind_of
from ssl4rl_bench.reports.views.wording import listed, noted, p_is
from ssl4rl_bench.score.aggregate import OVERALL
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.task.ssl import KINDS


@dataclass(frozen=True, slots=True)
class Step:
    """A difficulty of a kind. Fractions."""

    task: str
    kind: str
    difficulty: str
    chance: float
    accuracy: float | None
    above: float | None
    """(accuracy - chance) / (1 - chance) of the baseline."""
    ci95: tuple[float, float] | None
    """Of `above`."""
    n: int | None
    trained: tuple[tuple[str, Difference], ...]
    """Checkpoints trained at it: name, and difference to the baseline on Average."""


def goldilocks(runs: Runs) -> View:
    """Kinds that the baseline was asked at several difficulties, and the checkpoints trained at one of these.

    Seeds are apart. Works without a benchmark or candidates: then it is the baseline's part alone.

    Raises:
        UsageError: the baseline was asked no kind at two difficulties, or runs must not be compared.
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
    told = any(step.trained for step in steps)
    if not told:
        notes.insert(
            0,
            "No checkpoint here was trained at one of these difficulties, so nothing is said of what training there "
            "brings; `ssl4rl-bench train RECIPE` trains one (its [tasks] name the difficulty), --trained LABEL=TASK "
            "names a checkpoint's.",
        )
    with style():
        sheet = draw(steps, name, told)
        svg = svg_of(sheet)
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
            *(("Trained at it", "Average", "95% interval", "p corr.") if told else ()),
        ),
        rows=tuple(row for step in steps for row in _rows(step, told)),
        svg=svg,
        figure=sheet.figure,
    )


def _placed(runs: Runs) -> tuple[dict[str, list[Evaluated]], list[tuple[str, str]]]:
    """Candidates by the one task that they were trained on, and why others are not among them."""
    placed: dict[str, list[Evaluated]] = {}
    astray = []
    for run in runs.candidates:
        tasks = runs.trained.get(run.label)
        label = clean(run.label)
        if tasks is None:
            astray.append((label, "what it was trained on is not known (--trained LABEL=TASK says it)"))
        elif len(tasks) == 1 and tasks[0] in KINDS:
            said = f"--trained {label}=ssl_{tasks[0]}_..."
            astray.append(
                (label, f"at which difficulty of {tasks[0]} it was trained is not known ({said} says it)")
            )
        elif len(tasks) == 1 and kind_of(tasks[0]) in KINDS:
            placed.setdefault(full(tasks[0]), []).append(run)
    return placed, astray


def _steps(runs: Runs, placed: dict[str, list[Evaluated]]) -> list[Step]:
    """In the order of kinds, each from easy to hard; only kinds with two difficulties."""
    found: dict[str, dict[str, Step]] = {}
    for run in (runs.baseline, *runs.more):
        for task, outcomes in run.outcomes.items():
            if not outcomes.probe or task.endswith("_released"):
                continue
            kind, difficulty = str(outcomes.probe["kind"]), str(outcomes.probe["difficulty"])
            found.setdefault(kind, {}).setdefault(difficulty, _step(run, task, kind, difficulty))
    steps = [
        step
        for kind in (*KINDS, *(found.keys() - set(KINDS)))
        if len(found.get(kind, {})) > 1
        for step in sorted(found[kind].values(), key=_hardness)
    ]
    trained = [(step.task, run) for step in steps for run in placed.get(step.task, [])]
    if not trained:
        return steps
    results = compare(
        runs.baseline,
        [run for _, run in trained],
        runs.benchmark,
        by=OVERALL,
        aggregation=runs.aggregation,
        allow=runs.allow,
    )
    by_task: dict[str, list[tuple[str, Difference]]] = {}
    for (task, run), result in zip(trained, results, strict=True):
        by_task.setdefault(task, []).append((clean(run.label), result.overall))
    return [replace(step, trained=tuple(by_task.get(step.task, ()))) for step in steps]


def _step(run: Evaluated, task: str, kind: str, difficulty: str) -> Step:
    probe = dig(run.result, "tasks", task, "probe")
    above, accuracy = dig(probe, "chance_corrected"), dig(probe, "accuracy")
    ends = [end for end in map(number, above.get("ci95") or ()) if end is not None]
    n = number(accuracy.get("n"))
    return Step(
        task=task,
        kind=kind,
        difficulty=difficulty,
        chance=float((run.outcomes[task].probe or {}).get("chance", 0.0)),
        accuracy=number(accuracy.get("value")),
        above=number(above.get("value")),
        ci95=(ends[0], ends[1]) if len(ends) == 2 else None,
        n=None if n is None else int(n),
        trained=(),
    )


def _hardness(step: Step) -> tuple[float, bool, bool, str]:
    """More answers to choose from are harder; then augmentation is, and strong more than weak."""
    return (-step.chance, "," in step.difficulty, "strong" in step.difficulty, step.difficulty)


def _sentences(runs: Runs, steps: Sequence[Step], name: str) -> list[str]:
    out = []
    for kind in dict.fromkeys(step.kind for step in steps):
        own = [step for step in steps if step.kind == kind]
        above = [step for step in own if step.ci95 and step.ci95[0] > 0.0]
        # An interval that touches 0 is no proof of chance.
        if len(above) == len(own):
            said = f"above chance at each of {listed([step.difficulty for step in own])}"
        elif above:
            rest = [step.difficulty for step in own if step not in above]
            said = f"above chance at {listed([step.difficulty for step in above])}, not shown to be at {listed(rest)}"
        else:
            said = f"not shown to be above chance at any of {listed([step.difficulty for step in own])}"
        text = f"On {kind} {name} is {said}"
        trained = [(step, each) for step in own for each in step.trained]
        if trained:
            told = [
                f"{label} (trained at {step.difficulty}) {points(each.value)}{MARKS[each.mark]} points on Average"
                for step, (label, each) in trained
            ]
            text += f"; against {name}, {listed(told)}"
        out.append(f"{text}.{_told_apart(runs, own)}")
    return out


def _told_apart(runs: Runs, steps: Sequence[Step]) -> str:
    """Checkpoints trained at different difficulties of a kind, each two compared; Holm over the pairs."""
    labels = {clean(run.label): run for run in runs.candidates}
    trained = [(step, label) for step in steps for label, _ in step.trained]
    pairs = [(one, two) for one, two in combinations(trained, 2) if one[0] is not two[0]]
    if not pairs:
        return ""
    found = [
        compare(
            labels[one[1]],
            [labels[two[1]]],
            runs.benchmark,
            by=OVERALL,
            aggregation=runs.aggregation,
            allow=runs.allow,
        )[0].overall
        for one, two in pairs
    ]
    p = holm([each.p for each in found])
    shown = [
        f"{two[1]} {points(each.value)} points from {one[1]} ({p_is(float(corrected))})"
        for (one, two), each, corrected in zip(pairs, found, p, strict=True)
        if corrected < ALPHA
    ]
    if shown:
        return f" Between difficulties, {listed(shown)}."
    least = max(each.mde for each in found)
    return (
        f" The difficulties are not told apart downstream; differences below {percent(least)} points would rarely be "
        "found."
    )


def _pairing_notes(runs: Runs, steps: Sequence[Step]) -> list[str]:
    reasons = [
        str(reason)
        for run in (runs.baseline, *runs.more)
        for reason in run.result.get("partial_reasons", ())
        if any(str(reason).startswith(f"{step.task}:") for step in steps)
    ]
    part = [
        f"{clean(runs.baseline.label)} was asked a part only ({clean(reason, 120)})."
        for reason in reasons[:1]
    ]
    trained = {label for step in steps for label, _ in step.trained}
    return part + [
        note
        for run in runs.candidates
        if clean(run.label) in trained
        for note in pair(runs.baseline, run, runs.benchmark, runs.allow).notes
    ]


def _rows(step: Step, told: bool) -> list[tuple[str, ...]]:
    base = (
        step.kind,
        step.difficulty,
        percent(step.chance),
        percent(step.accuracy),
        NO_DATA if step.n is None else str(step.n),
        percent(_flat(step.above)),
        interval(None if step.ci95 is None else (_flat(step.ci95[0]), _flat(step.ci95[1]))),
    )
    if not told:
        return [base]
    if not step.trained:
        return [(*base, NO_DATA, "", "", "")]
    out = []
    for at, (label, each) in enumerate(step.trained):
        own = base if not at else ("",) * len(base)
        p = p_is(each.p_corrected).removeprefix("p ").removeprefix("= ")
        out.append((*own, label, points(each.value) + MARKS[each.mark], interval(each.ci95, True), p))
    return out


def _flat(value: float | None) -> Any:
    """Without what two decimals of a percent do not show, so that no "-0.00" is printed."""
    return None if value is None else round(value, 4) + 0.0
