"""Prints the tables of the command `explain`."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from ssl4rl_bench.cli.compare_print import output
from ssl4rl_bench.comparison.explaining.explanation import Explanation
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.result.explanation_tables import (
    LEGEND,
    advice_lines,
    closing_lines,
    explanation_tables,
)


def print_explanation(explanation: Explanation, out: Path | None) -> None:
    """Prints an explanation to the terminal or to a file.

    Raises:
        StoreError: the file cannot be written.
    """
    numbers, *others = explanation_tables(explanation)
    with output(out) as screen:
        screen.print()
        screen.print(numbers)
        screen.print()
        screen.sentence(clean(explanation.verdict, 1000))
        if explanation.causes:
            screen.print()
            screen.print(others.pop(0))
            screen.sentence(LEGEND, "dim")
        for text, command in advice_lines(explanation):
            screen.print()
            screen.sentence(text)
            screen.print(Text(f"  {command}", "bold"), soft_wrap=True)
        for table in others:
            screen.print()
            screen.print(table)
        for line in closing_lines(explanation):
            screen.sentence(f"note: {line}", "yellow")
