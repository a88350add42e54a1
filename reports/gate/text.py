"""A gate's judgement on a terminal: the verdict first, then the tests behind it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.comparison.flips import Flip, flips
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating.judge import Gate, Guarded, Tested
from ssl4rl_bench.gating.policy import Verdict
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.text.cells import plain_table, short
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import interval, p_is, p_value, percent, points

STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
ORDER: dict[Verdict, int] = {"fail": 0, "inconclusive": 1, "pass": 2}


def headline(gate: Gate) -> str:
    """Returns the verdict in one sentence: what decided it, the counts of verdicts, both runs, and alpha.

    Terminal, summary, JUnit, JSON and page show this sentence.
    """
    verdict = gate.verdict.upper()
    if gate.verdict != gate.raw_verdict:
        verdict += f" (inconclusive, which the policy maps to {gate.verdict})"
    parts: list[Tested | Guarded] = [*gate.tested, *gate.guarded]
    verdicts = [part.verdict for part in parts]
    counts = ", ".join(f"{n} {name}" for name in ORDER if (n := verdicts.count(name)))
    runs = f"{clean(gate.candidate)} against {clean(gate.baseline)}"
    return f"{verdict}: {_decided(gate)}; {counts}; {runs}, alpha {gate.alpha:g}"


def _decided(gate: Gate) -> str:
    """Says which rule or guard decided the verdict, and by what number."""
    part = gate.deciding
    if part is None:
        guards = " and every guard" if gate.guarded else ""
        return f"every rule{guards} passes"
    failed = part.verdict == "fail"
    end = "decided" if failed else "is undecided"
    if isinstance(part, Guarded):
        where = f"guard {part.name} on {clean(part.task)}"
        return f"{where}, {end} ({clean(part.measured)}, limit: {part.limit})"
    rule, cell = part.rule, part.difference
    task = f"{short(rule.task)}{rule.aggregation_note}"
    name = category(part.name)
    where = f"rule {part.number}, {rule.kind} on {task if rule.level == 'probe' else f'{name} of {task}'}"
    value = f"{percent(cell.candidate)}%" if rule.kind == "at_least" else f"{points(cell.value)} points"
    if failed:
        return f"{where}, {end} ({value}, corrected {p_is(part.p_fail)})"
    if part.why:
        return f"{where}, {end} ({part.why})"
    would = f"; about {part.needed:,} questions would decide it" if part.needed else ""
    return f"{where}, {end} ({value}, n = {part.n:,}{would})"


def worst_first(gate: Gate) -> list[Tested]:
    """Sorts tests by verdict, failures first; tests with the same verdict stay in the policy's order."""
    return sorted(gate.tested, key=lambda tested: ORDER[tested.verdict])


def describe_test(tested: Tested) -> str:
    """Describes the result of a test in one sentence; it never claims that there is no difference."""
    cell, rule = tested.difference, tested.rule
    if rule.kind == "at_least":
        measured = f"{percent(cell.candidate)}%, lower bound {percent(tested.lower)}%"
    else:
        measured = f"{points(cell.value)} points, lower bound {points(tested.lower)}"
    task = f"{short_name(rule.task)}{rule.aggregation_note}"
    text = f"{task}, {category(tested.name)}: {measured}, n {cell.n}"
    if tested.why:
        text += f"; {tested.why}"
    elif tested.verdict == "inconclusive":
        text += "; cannot tell" + (f": about {tested.needed} questions would" if tested.needed else "")
    elif tested.verdict == "pass" and rule.kind == "not_significantly_worse":
        text += f"; a drop below {percent(tested.mde)} points would rarely be found"
    return text


LEGEND = (
    "Lower: all lower bounds hold together. p fail: of the evidence against the candidate, corrected. MDE: the true "
    "loss that the rule fails with 80% power (below the margin for better_than, below the floor for at_least). "
    "Decides at: number of questions that would decide it."
)


_NARROWING = Narrowing(drop=("p fail", ("Base", "New"), "Decides at", "MDE", "95% interval"))
CELLS = ("n", "Difference", "95% interval", "Lower bound", "MDE", "p fail")
"""Headers of `test_cells`."""


def test_cells(tested: Tested) -> tuple[str, ...]:
    """Returns n, difference, interval, lower bound, MDE and p of failing, as in all tables of rules."""
    cell = tested.difference
    lower = percent(tested.lower) if tested.rule.kind == "at_least" else points(tested.lower)
    shown = (str(cell.n), points(cell.value), interval(cell.ci95, signed=True), lower)
    return *shown, percent(tested.mde), p_value(tested.p_fail)


def gate_table(gate: Gate) -> Table:
    """Makes a table with one row per test."""
    of_rule = ("Verdict", "Rule", "Category", "n", "Base", "New", "Diff", "95% interval", "Lower", "Margin")
    table = plain_table("Rules", (*of_rule, "MDE", "p fail", "Decides at"), "lllr", narrowing=_NARROWING)
    for tested in worst_first(gate):
        cell, rule = tested.difference, tested.rule
        limit = f"{rule.value:g}" if rule.value is not None else f"{rule.margin:g}" if rule.margin else "–"
        n, difference, ends, lower, mde, p = test_cells(tested)
        table.add_row(
            Text(tested.verdict, style=STYLES[tested.verdict]),
            Text(f"{short(rule.task)}{rule.aggregation_note} {rule.kind}"),
            Text(category(tested.name)),
            n,
            percent(cell.baseline),
            percent(cell.candidate),
            difference,
            ends,
            lower,
            limit,
            mde,
            p,
            "" if tested.needed is None else str(tested.needed),
        )
    return table


def guard_table(gate: Gate) -> Table:
    """Makes a table with one row per guard and task."""
    table = plain_table("Guards", ("Verdict", "Guard", "Task", "Found", "Limit"), "l")
    for guarded in sorted(gate.guarded, key=lambda guarded: ORDER[guarded.verdict]):
        table.add_row(
            Text(guarded.verdict, style=STYLES[guarded.verdict]),
            guarded.name,
            Text(clean(guarded.task)),
            Text(clean(guarded.measured)),
            guarded.limit,
        )
    return table


def lost_flips(gate: Gate, limit: int = 3) -> Iterator[tuple[Tested, Flip]]:
    """Yields the questions with the largest losses, for each test that did not pass; each question once."""
    seen: set[tuple[str, str]] = set()
    for tested in worst_first(gate):
        if tested.verdict == "pass":
            continue
        comparison = next(
            match
            for match in gate.comparisons
            if match.task == tested.rule.full_task
            and match.aggregation == tested.rule.how
            and match.find(tested.difference.level, tested.difference.name) is not None
        )
        losses = flips(comparison, tested.difference.name, limit=limit + len(seen))
        new = [flip for flip in losses if (comparison.task, flip.group) not in seen][:limit]
        seen |= {(comparison.task, flip.group) for flip in new}
        yield from ((tested, flip) for flip in new)


def lost_line(tested: Tested, flip: Flip) -> str:
    """Describes a lost question in one line."""
    where = f"{short(tested.rule.task)} {category(tested.name)}: question {clean(flip.group)}"
    became = f"{clean(flip.before, 30)} became {clean(flip.after, 30)}"
    return f"{where} ({clean(flip.leaf)}), sample {clean(flip.sample)}: {became}"


def lost_lines(gate: Gate, limit: int = 3) -> Iterator[str]:
    """Yields a line for each of `lost_flips`."""
    return (lost_line(tested, flip) for tested, flip in lost_flips(gate, limit))
