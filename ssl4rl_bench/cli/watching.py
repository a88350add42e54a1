"""Runs the loop of the command `watch`, prints its verdicts, and determines the exit code."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Terminal
from ssl4rl_bench.core.errors import EXIT_CRASH, EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.evaluation import EvaluationPlan
from ssl4rl_bench.reports.gate.text import STYLES, headline
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.margins import nats, nats_interval
from ssl4rl_bench.reports.text.numbers import p_value, percent
from ssl4rl_bench.watch import loop
from ssl4rl_bench.watch.history import Entry, exit_verdict
from ssl4rl_bench.watch.judging import Judged


def watch_and_print(plan: EvaluationPlan, asked: loop.WatchSettings, data: Sequence[str]) -> int:
    """Runs `loop.watch` and returns the exit code."""

    def say(line: str) -> None:
        console().sentence(clean(line, 1000))

    watched = loop.watch(plan, asked, data, _print, say, Terminal())
    worst = exit_verdict(watched.new)
    if watched.failed and worst != "fail":
        return EXIT_CRASH  # a checkpoint without a verdict must not ship
    return {"fail": EXIT_FAILED, "inconclusive": EXIT_INCONCLUSIVE}.get(worst, EXIT_OK)


def _print(judged: Judged) -> None:
    entry, screen = judged.entry, console()
    if judged.gate is None:
        screen.print(Text(f"{entry.name}: the baseline of the others"))
        _print_margins(entry)
        return
    # The checkpoints of a series share one alpha, so the number of the share is part of the verdict.
    verdict = f"{headline(judged.gate)}, share {entry.number} of the series"
    screen.sentence(verdict, STYLES[judged.gate.verdict])
    for reason in entry.reasons:
        screen.sentence(f"  {reason}")
    for note in judged.gate.notes:
        screen.sentence(f"  note: {clean(note, 600)}", "yellow")
    if entry.verdict_best is not None:
        screen.print(Text(f"  against the best so far: {entry.verdict_best}"))
    if entry.best:
        screen.print(Text(f"  {clean(entry.name)} is the best accepted so far"))
    if entry.hint is not None:
        screen.sentence(f"  {clean(entry.hint, 1000)}", "bold yellow")
    _print_margins(entry)


def _print_margins(entry: Entry) -> None:
    """Prints the margin of each probe beside its accuracy; of those without a margin, only one reason."""
    screen = console()
    for sight in entry.margins:
        if sight.value is not None and sight.p is not None:
            ends = sight.ci95
            screen.sentence(
                f"  {short(sight.task)}: margin {nats(sight.value)} "
                f"{nats_interval((ends[0], ends[1]) if ends else None)} nats, p {p_value(sight.p)}, n {sight.n}; "
                f"accuracy {percent(sight.accuracy)}%, chance {percent(sight.chance)}%"
            )
    for reason in dict.fromkeys(sight.reason for sight in entry.margins if sight.value is None):
        screen.sentence(f"  no margin: {clean(reason, 200)}", "dim")
