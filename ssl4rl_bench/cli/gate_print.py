"""Prints the judgement of the command `gate`."""

from __future__ import annotations

from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating.judge import Gate
from ssl4rl_bench.reports.gate.text import (
    LEGEND,
    STYLES,
    describe_test,
    gate_table,
    guard_table,
    headline,
    lost_lines,
    worst_first,
)


def print_gate(screen: Screen, gate: Gate) -> None:
    """Prints the verdict, each rule, the guards, and the questions that were lost."""
    screen.sentence(headline(gate), STYLES[gate.verdict])
    for tested in worst_first(gate):
        if tested.verdict != "pass":
            screen.sentence(f"  {tested.verdict}: {describe_test(tested)}")
    screen.print()
    screen.print(gate_table(gate))
    screen.sentence(LEGEND, "dim")
    if gate.guarded:
        screen.print()
        screen.print(guard_table(gate))
    lost = list(lost_lines(gate))
    if lost:
        screen.print("\nQuestions that were lost:")
        for line in lost:
            screen.sentence(f"  {line}")
    for note in gate.notes:
        screen.sentence(f"note: {clean(note, 600)}", "yellow")
