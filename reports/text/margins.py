"""The forced-choice margin in tables and sentences: values in nats, and where a margin comes from or is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.text.cells import Result, ci95, dig, model_name, short
from ssl4rl_bench.reports.text.numbers import NO_DATA, bracketed, listed, p_value

MARGIN = (
    "Margin: how much likelier the right answer is than others, in nats; 0 is a guess. p is one-sided, from permuted "
    "targets."
)
"""The explanation of a margin below tables."""
MARGIN_HEADERS = ("Margin", "95% of margin", "p of margin")
"""Headers of a margin. If no row has a margin, only the first one is shown."""
_FORM = 120
"""The maximum length of a form in a sentence."""


@dataclass(frozen=True, slots=True)
class Margin:
    """A run's margin on a probe, in nats."""

    value: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None
    n: int = 0
    """The number of samples."""
    form: str = ""
    """The form in which answers were scored. Model text, not yet safe to print."""
    reason: str = ""
    """Why there is no margin; empty if there is one. Not yet safe to print."""

    @classmethod
    def of(cls, margin: Mapping[str, Any]) -> Margin:
        """Reads the entry "margin" of a probe in result.json; older results have none."""
        value = number(margin.get("value"))
        older = "the run was scored by a version without margins"
        return cls(
            value,
            ci95(margin),
            None if value is None else number(margin.get("p")),
            int(number(margin.get("n")) or 0),
            str(margin.get("form", "")) if value is not None else "",
            "" if value is not None else str(margin.get("reason") or older),
        )

    def cells(self) -> list[str]:
        """Returns the cells' texts, in the order of `MARGIN_HEADERS`."""
        return [nats(self.value), nats_interval(self.ci95), NO_DATA if self.p is None else p_value(self.p)]


def margin_of(result: Result, task: str) -> Margin:
    """Returns the margin of a run on a probe."""
    return Margin.of(dig(result, "tasks", task, "probe", "margin"))


def margin_headers(margins: Iterable[Margin]) -> tuple[str, ...]:
    """Returns the headers to show for these margins."""
    return MARGIN_HEADERS if any(margin.value is not None for margin in margins) else MARGIN_HEADERS[:1]


def nats(value: float | None) -> str:
    """Formats a margin with its sign: "+0.011"."""
    return NO_DATA if value is None else f"{round(value, 3) + 0.0:+.3f}"


def nats_interval(ends: tuple[float, float] | None) -> str:
    """Formats an interval of margins: "[-0.016, +0.007]"."""
    return bracketed(ends, nats)


def margin_lines(results: Sequence[Result], tasks: Sequence[str]) -> list[str]:
    """Explains margins, and says in which form they were measured and why some are missing.

    Tasks and models of which the same is to be said share a line.
    """
    by_text: dict[str, list[tuple[str, str]]] = {}
    for task in tasks:
        for result in results:
            entry = dig(result, "tasks", task, "probe", "margin")
            if dig(result, "tasks", task, "probe"):
                text = _described(Margin.of(entry), entry)
                by_text.setdefault(text, []).append((short(task), model_name(result)))
    margins = (margin_of(result, task) for task in tasks for result in results)
    lines = [MARGIN] if len(margin_headers(margins)) > 1 else []
    for text, places in by_text.items():
        of = listed(list(dict.fromkeys(task for task, _ in places)))
        models = listed(list(dict.fromkeys(model for _, model in places)))
        lines.append(f"{of}{f' of {models}' if len(results) > 1 else ''}: {text}.")
    return lines


def _described(margin: Margin, entry: Mapping[str, Any]) -> str:
    if margin.value is None:
        return f"no margin, as {clean(margin.reason, 200)}"
    left_out = number(entry.get("n_left_out"))
    without = f"; {left_out:.0f} samples are left out" if left_out else ""
    return (
        f"margin of {margin.n} samples over at most {number(entry.get('n_candidates')) or 0:.0f} answers in the form "
        f"{clean(margin.form, _FORM)}{without}"
    )
