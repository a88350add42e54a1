"""Prints the judgement of the command `gate`."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating.judge import Gate
from ssl4rl_bench.reports.gate.text import (
    LEGEND,
    STYLES,
    gate_table,
    guard_table,
    headline,
    lost_lines,
    reason,
    worst_first,
)


def print_gate(screen: Console, gate: Gate) -> None:
    """Prints the verdict, each rule, the guards, and the questions that were lost."""
    screen.print(Text(headline(gate), style=STYLES[gate.verdict]), soft_wrap=True)
    for tested in worst_first(gate):
        if tested.verdict != "pass":
            screen.print(Text(f"  {tested.verdict}: {reason(tested)}"), soft_wrap=True)
    screen.print()
    screen.print(gate_table(gate))
    screen.print(LEGEND, style="dim", soft_wrap=True)
    if gate.guarded:
        screen.print()
        screen.print(guard_table(gate))
    lost = list(lost_lines(gate))
    if lost:
        screen.print("\nQuestions that were lost:")
        for line in lost:
            screen.print(Text(f"  {line}"), soft_wrap=True)
    for note in gate.notes:
        screen.print(Text(f"note: {clean(note, 600)}", style="yellow"), soft_wrap=True)
