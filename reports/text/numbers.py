"""Formats numbers for tables and sentences: fractions become percent with two decimals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ssl4rl_bench.core.parsing import number

NO_DATA = "–"
MARKS = {"better": "▲", "worse": "▼", "": ""}


def percent(value: float | None) -> str:
    """Formats a fraction as percent with two decimals; `NO_DATA` if it is not a number, as in some files."""
    value = number(value)
    # Adding 0.0 turns -0.0 into 0.0: else a small negative number that rounds to zero would show as "-0.00".
    return NO_DATA if value is None else f"{round(100.0 * value, 2) + 0.0:.2f}"


def points(value: float | None) -> str:
    """Formats a difference in percentage points, with its sign."""
    return NO_DATA if value is None else f"{round(100.0 * value, 2) + 0.0:+.2f}"  # as in `percent`


def interval(ends: tuple[float, float] | None, signed: bool = False) -> str:
    """Formats an interval of fractions in percent, or in points with a sign: "[69.14, 76.24]"."""
    return bracketed(ends, points if signed else percent)


def bracketed(ends: tuple[float, float] | None, show: Callable[[float], str]) -> str:
    """Formats an interval, as all tables and sentences do: "[0.91, 0.97]"."""
    return NO_DATA if ends is None else f"[{show(ends[0])}, {show(ends[1])}]"


def points_and_interval(value: float, ends: tuple[float, float] | None) -> str:
    """Formats a difference for a sentence: "+2.00 points [-2.00, +6.00]", or without an interval if it has none."""
    return f"{points(value)} points" + (f" {interval(ends, signed=True)}" if ends else "")


def span(values: Sequence[float]) -> str:
    """Formats the range of fractions in percent for a sentence: "5.67 to 20.00"; "5.67" if all are alike."""
    least, most = percent(min(values)), percent(max(values))
    return least if least == most else f"{least} to {most}"


def p_value(p: float) -> str:
    """Formats a p-value with three decimals: "0.012", "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_is(p: float) -> str:
    """Formats a p-value for a sentence: "p = 0.012", "p < 0.001"."""
    return f"p {p_value(p).replace('<', '< ')}" if p < 0.001 else f"p = {p_value(p)}"


def listed(texts: Sequence[str]) -> str:
    """Joins texts for a sentence: "a", "a and b", "a, b and c"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
