"""A gate's judgement as views of the HTML page, with each rule's interval next to its limit."""

from __future__ import annotations

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating.judge import Gate, Tested
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.figures.axes import reach, slots
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, WORSE
from ssl4rl_bench.reports.figures.sheet import Sheet, fit
from ssl4rl_bench.reports.gate.text import (
    CELLS,
    LEGEND,
    describe_test,
    headline,
    lost_lines,
    test_cells,
    worst_first,
)
from ssl4rl_bench.reports.views.base import View

_COLOURS = {"pass": BETTER, "fail": WORSE, "inconclusive": MUTED}
_LEFT, _RIGHT, _ROW = 210.0, 70.0, 18.0


def gate_views(gate: Gate) -> list[View]:
    """Makes the view of the rules with its figure, then those of notes, guards and lost questions, if any."""
    tested = worst_first(gate)
    rules = View(
        name="gate",
        title="Gate",
        sentence=f"{headline(gate)}. {LEGEND}",
        headers=("Rule", "Verdict", *CELLS, "Decides at"),
        rows=tuple(
            (
                f"{clean(str(rule_result.rule), 120)} [{category(rule_result.name)}]",
                rule_result.verdict,
                *test_cells(rule_result),
                "" if rule_result.needed is None else str(rule_result.needed),
            )
            for rule_result in tested
        ),
        sheet=_draw(tested),
    )
    lines = [*(f"{describe_test(rule_result)}." for rule_result in tested if rule_result.why), *gate.notes]
    more = (
        View(
            "notes",
            "Notes",
            "Questions that were left out, settings in which the runs differ, and margins that are too small.",
            ("Note",),
            tuple((clean(line, 600),) for line in lines),
        ),
        View(
            "guards",
            "Guards",
            "Limits on properties other than accuracy: reading, length, answers, training images.",
            ("Guard", "Verdict", "Found", "Limit"),
            tuple(
                (
                    f"{guarded.name}, {clean(guarded.task)}",
                    guarded.verdict,
                    clean(guarded.measured),
                    guarded.limit,
                )
                for guarded in gate.guarded
            ),
        ),
        View(
            "lost",
            "Questions that were lost",
            "Questions of rules that did not pass, the most informative first.",
            ("Question",),
            tuple((line,) for line in lost_lines(gate, 10)),
        ),
    )
    return [rules, *(view for view in more if view.rows)]


def _draw(tested: list[Tested]) -> Sheet:
    """Draws differences with 95% intervals, simultaneous lower bounds (thin lines), and the rules' limits."""
    shown = [rule_result for rule_result in tested if rule_result.rule.kind != "at_least"]
    n = max(1, len(shown))
    height = _ROW * n
    sheet = Sheet(height=height + 46)
    bounds = [rule_result.lower for rule_result in shown] + [
        limit for rule_result in shown if (limit := _limit(rule_result)) is not None
    ]
    box = (_LEFT, 14, sheet.width - _LEFT - _RIGHT, height)
    axes = slots(
        sheet, box, n, [*reach(rule_result.difference for rule_result in shown), *bounds], sideways=True
    )
    for index, rule_result in enumerate(shown):
        colour, cell = _COLOURS[rule_result.verdict], rule_result.difference
        axes.line((index + 0.5, index + 0.5), (rule_result.lower, cell.value), colour, width=0.5)
        axes.whisker(index + 0.5, cell, colour)
        if (limit := _limit(rule_result)) is not None:
            axes.line((index + 0.15, index + 0.85), (limit, limit), INK, width=1.4)
        y = 14 + _ROW * (index + 0.5)
        name = f"{short_name(rule_result.rule.task)}, {category(rule_result.name)}: {rule_result.rule.kind}"
        sheet.text(_LEFT - 8, y, fit(name, _LEFT - 12), side="right")
        x = sheet.width - _RIGHT + 8
        sheet.text(x, y, rule_result.verdict, colour, side="left", bold=rule_result.verdict != "pass")
    note = (
        "Points against the baseline. Thin: down to the simultaneous lower bound. Upright: the rule's limit."
    )
    sheet.text(8, height + 38, note, MUTED, side="left")
    return sheet


def _limit(tested: Tested) -> float | None:
    margin = tested.rule.margin / 100.0
    return {"no_worse_than": -margin, "better_than": margin}.get(tested.rule.kind)
