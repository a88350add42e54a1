"""A gate's judgement as views of the HTML page, with each rule's interval next to its limit."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from ssl4rl_bench.comparison.result import HEADERS
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating.judge import Gate, Tested
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.figures.axes import reach, slots
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import Sheet, fit, width_of
from ssl4rl_bench.reports.gate.text import (
    CELLS,
    LEGEND,
    ORDER,
    describe_test,
    lost_flips,
    lost_line,
    test_cells,
)
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.views.base import View

_MARKS = {"pass": ("o", BETTER), "fail": ("X", WORSE), "inconclusive": ("D", MUTED)}
_WIDTH, _ROW, _EDGE, _TOP = 400.0, 31.0, 10.0, 8.0
_SENTENCE = (
    "One row per test, the one that decided first. In the figure, a mark is the candidate minus the baseline in "
    "percentage points, on the questions that both answered."
)


def gate_views(gate: Gate) -> list[View]:
    """Makes the view of the rules with its figure, then those of notes, guards and lost questions, if any."""
    tested = _ordered(gate)
    rules = View(
        name="gate",
        title="Rules",
        sentence=_SENTENCE,
        headers=("Rule", "Verdict", *CELLS, "Decides at"),
        rows=tuple(
            (
                f"{_name(result)}: {_limit_words(result)}",
                _verdict(result.verdict, decided=result is gate.deciding),
                *test_cells(result),
                "" if result.needed is None else f"{result.needed:,}",
            )
            for result in tested
        ),
        sheet=_draw(gate, tested),
        texts=("Verdict",),
        note=LEGEND,
        verdict=gate.verdict,
    )
    more = (_notes(gate, tested), _guards(gate), _lost(gate))
    return [rules, *(view for view in more if view.rows)]


def _notes(gate: Gate, tested: Sequence[Tested]) -> View:
    lines = [*(f"{describe_test(result)}." for result in tested if result.why), *gate.notes]
    return View(
        "notes",
        "Notes",
        "Questions that were left out, settings in which the runs differ, and margins that are too small.",
        ("Note",),
        tuple((clean(line, 600),) for line in lines),
    )


def _guards(gate: Gate) -> View:
    guarded = sorted(gate.guarded, key=lambda guard: (guard is not gate.deciding, ORDER[guard.verdict]))
    return View(
        "guards",
        "Guards",
        "Limits on properties other than accuracy: reading, length, answers, training images.",
        ("Guard", "Verdict", "Found", "Limit"),
        tuple(
            (
                f"{guard.name}, {clean(guard.task)}",
                _verdict(guard.verdict, decided=guard is gate.deciding),
                clean(guard.measured),
                guard.limit,
            )
            for guard in guarded
        ),
        texts=("Verdict", "Found", "Limit"),
    )


def _lost(gate: Gate) -> View:
    flips = list(lost_flips(gate, 10))
    links = (
        {
            "task": short(result.rule.full_task),
            "a": clean(gate.baseline),
            "b": clean(gate.candidate),
            "show": "lost",
            "count": result.rule.how,
            "sample": flip.sample,
        }
        for result, flip in flips
    )
    return View(
        "lost",
        "Questions that were lost",
        "Questions of rules that did not pass, the most informative first.",
        ("Question",),
        tuple((lost_line(result, flip),) for result, flip in flips),
        links=tuple(f"#{urlencode(link)}" for link in links),
    )


def _ordered(gate: Gate) -> list[Tested]:
    """Sorts tests: the deciding one, then by verdict, rule, and the order of abilities in tables."""
    names = list(HEADERS)

    def key(result: Tested) -> tuple[bool, int, int, int]:
        ability = names.index(result.name) if result.name in names else len(names)
        return result is not gate.deciding, ORDER[result.verdict], result.number, ability

    return sorted(gate.tested, key=key)


def _name(result: Tested) -> str:
    """Returns the task and the category of a test: "scenes, Average"."""
    name = "Average" if result.name == "overall" else category(result.name)
    task = f"{short(result.rule.task)}{result.rule.aggregation_note}"
    return task if result.rule.level == "probe" else f"{task}, {name}"


def _limit_words(result: Tested) -> str:
    """Returns what a rule asks for: "at most 3 points worse"."""
    return str(result.rule).rpartition(": ")[2]


def _verdict(verdict: str, *, decided: bool) -> str:
    return f"{verdict}, decided" if decided else verdict


def _draw(gate: Gate, tested: Sequence[Tested]) -> Sheet:
    """Draws differences with 95% intervals, simultaneous lower bounds (thin lines), and the rules' limits."""
    shown = [result for result in tested if result.rule.kind != "at_least"]
    n = max(1, len(shown))
    sheet = Sheet(_WIDTH, _TOP + _ROW * n + 62)
    bounds = [result.lower for result in shown]
    bounds += [limit for result in shown if (limit := _limit(result)) is not None]
    box = (_EDGE, _TOP, _WIDTH - 2 * _EDGE, _ROW * n)
    axes = slots(sheet, box, n, [*reach(result.difference for result in shown), *bounds], sideways=True)
    for index, result in enumerate(shown):
        (marker, colour), cell = _MARKS[result.verdict], result.difference
        place = index + 0.7
        axes.line((place, place), (result.lower, cell.value), colour, width=0.5)
        axes.whisker(place, cell, colour, marker)
        if (limit := _limit(result)) is not None:
            axes.line((index + 0.5, index + 0.9), (limit, limit), INK, width=1.4)
        y, decided = _TOP + _ROW * (index + 0.24), result is gate.deciding
        verdict = _verdict(result.verdict, decided=decided)
        right = _WIDTH - _EDGE
        room = right - _EDGE - width_of(verdict, bold=True) - 8
        name = fit(f"{_name(result)}: {_limit_words(result)}", room, bold=decided)
        sheet.text(_EDGE, y, name, side="left", bold=decided)
        sheet.text(right, y, verdict, colour, side="right", bold=True)
    bottom = _TOP + _ROW * n
    axis = fit(f"Points against {gate.baseline}", _WIDTH - 130)
    sheet.text(_EDGE, bottom + 22, "← worse", MUTED, side="left")
    sheet.text(_WIDTH / 2, bottom + 22, axis, MUTED)
    sheet.text(_WIDTH - _EDGE, bottom + 22, "better →", MUTED, side="right")
    notes = ["Thick: 95% interval. Thin: down to the lower bound that holds for all tests."]
    notes.append("Upright: the rule's limit." if any(_limit(result) is not None for result in shown) else "")
    if len(shown) < len(tested):
        notes[1] = f"{notes[1]} Floors (at least) are in the table only.".strip()
    for index, note in enumerate(notes):
        sheet.text(_EDGE, bottom + 38 + 12 * index, note, MUTED, side="left")
    return sheet


def _limit(tested: Tested) -> float | None:
    margin = tested.rule.margin / 100.0
    return {"no_worse_than": -margin, "better_than": margin}.get(tested.rule.kind)
