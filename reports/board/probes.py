"""SSL probes of several runs: accuracy next to chance, sub-metrics, and differences from a baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.margins import MarginDifference, margin_differences
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import Comparison, Difference
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.text.cells import ci95, dig
from ssl4rl_bench.reports.text.margins import MARGIN, Margin, margin_headers, nats, nats_interval
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, listed, p_value, percent

AGGREGATION = "row_micro"
PARTS = ("exact", "per_position", "valid")
PROBE_HEADERS = ("Accuracy", "95% interval", "Chance", "Above chance", "Exact", "Per place", "Valid", "n")
MARGIN_DIFFERENCE_HEADERS = ("Margin diff", "95% of margin diff", "p corr. of margin")


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A run's result on one probe, as fractions."""

    task: str
    kind: str
    difficulty: str
    label: str
    is_baseline: bool
    n: int | None
    """The number of samples."""
    accuracy: float | None
    ci95: tuple[float, float] | None
    chance: float | None
    chance_corrected: float | None
    """(accuracy - chance) / (1 - chance)."""
    parts: dict[str, float]
    """The probe's sub-metrics, by their names in `PARTS`."""
    unread: float | None
    difference: Difference | None
    """The difference from the baseline, corrected over the candidates; None for the baseline's row."""
    margin: Margin = field(default_factory=Margin)
    """The forced-choice margin."""
    margin_difference: MarginDifference | None = None
    """Its difference from the baseline's; None for the baseline's row, and if one is missing or in another form."""
    engine: str = ""
    notes: tuple[str, ...] = ()
    """Caveats for a reader of the difference, one sentence per note."""

    def cells(self) -> list[str]:
        """Returns the cells' texts, in the order of `PROBE_HEADERS`."""
        return [
            percent(self.accuracy),
            interval(self.ci95),
            percent(self.chance),
            percent(self.chance_corrected),
            *(percent(self.parts.get(part)) for part in PARTS),
            NO_DATA if self.n is None else str(self.n),
        ]

    def margin_difference_cells(self) -> list[str]:
        """Returns the cells' texts, in the order of `MARGIN_DIFFERENCE_HEADERS`."""
        difference = self.margin_difference
        if difference is None:
            return ["" if self.is_baseline else NO_DATA] * len(MARGIN_DIFFERENCE_HEADERS)
        return [nats(difference.value), nats_interval(difference.ci95), p_value(difference.p_corrected)]


def probe_notes(rows: Sequence[ProbeRow]) -> list[str]:
    """Returns the distinct notes of all rows; a note that does not apply to every probe names its probes."""
    tasks = dict.fromkeys(row.task for row in rows)
    out = []
    for note in dict.fromkeys(note for row in rows for note in row.notes):
        of = dict.fromkeys(row.task for row in rows if note in row.notes)
        out.append(note if len(of) == len(tasks) else f"{', '.join(map(short_name, of))}: {note}")
    return [*out, *_margin_notes(rows)]


def margin_caption(rows: Sequence[ProbeRow]) -> list[str]:
    """Returns the explanation of margins, if there are any."""
    return [MARGIN] if shown_margins(rows)[1] else []


def shown_margins(rows: Sequence[ProbeRow]) -> tuple[int, int]:
    """Returns how many of `MARGIN_HEADERS` and of `MARGIN_DIFFERENCE_HEADERS` are shown for these rows."""
    shown = len(margin_headers(row.margin for row in rows))
    return shown, len(MARGIN_DIFFERENCE_HEADERS) if shown > 1 else 0


def _margin_notes(rows: Sequence[ProbeRow]) -> Iterator[str]:
    """Yields why margins are missing, and which are not compared."""
    missing: dict[str, list[str]] = {}
    for row in rows:
        if row.margin.value is None and row.margin.reason:
            missing.setdefault(row.margin.reason, []).append(row.label)
    for reason, labels in missing.items():
        if len(set(labels)) == len({row.label for row in rows}):
            yield f"There is no margin: {reason}."
        else:
            yield f"{listed(list(dict.fromkeys(labels)))} without a margin: {reason}."
    baselines = {row.task: row for row in rows if row.is_baseline}
    for row in rows:
        base = baselines.get(row.task, row)
        if None not in (row.margin.value, base.margin.value) and row.margin.form != base.margin.form:
            yield (
                f"{short_name(row.task)}: the margins of {row.label} and {base.label} are not compared, as answers "
                f"were scored in different forms: {row.margin.form}, and {base.margin.form}."
            )


def probe_tasks(runs: Sequence[Evaluated]) -> list[str]:
    """Returns the names of the probes that all runs have, sorted by kind and difficulty."""
    shared = [
        name
        for name, outcomes in runs[0].outcomes.items()
        if outcomes.probe and all(name in run.outcomes for run in runs)
    ]
    return sorted(
        shared, key=lambda name: (_of(runs[0], name, "kind"), _of(runs[0], name, "difficulty"), name)
    )


def probe_rows(
    baseline: Evaluated,
    candidates: Sequence[Evaluated],
    tasks: Sequence[str],
    *,
    correction: str | None = None,
    allow: Collection[str] = (),
) -> list[ProbeRow]:
    """Returns the rows of each probe in turn, the baseline's first.

    Raises:
        UsageError: as for `compare.compare_task`.
    """
    out = []
    for task in tasks:
        how: dict[str, Any] = {"aggregation": AGGREGATION, "correction": correction, "allow": allow}
        comparisons = compare_task(baseline, candidates, task, by="overall", **how)
        out.append(probe_row(baseline, task))
        margins = margin_differences(comparisons)
        out += [
            probe_row(run, task, comparison, margin)
            for run, comparison, margin in zip(candidates, comparisons, margins, strict=True)
        ]
    return out


def probe_row(
    run: Evaluated,
    task: str,
    comparison: Comparison | None = None,
    margin_difference: MarginDifference | None = None,
) -> ProbeRow:
    """Returns a run's row; without a comparison the run is the baseline."""
    probe = dig(run.result, "tasks", task, "probe")
    accuracy = dig(probe, "accuracy")
    parts = {name: number(dig(probe, "parts", name).get("value")) for name in PARTS}
    n = number(accuracy.get("n"))
    return ProbeRow(
        task=task,
        kind=_of(run, task, "kind"),
        difficulty=_of(run, task, "difficulty"),
        label=run.label,
        is_baseline=comparison is None,
        n=None if n is None else int(n),
        accuracy=number(accuracy.get("value")),
        ci95=ci95(accuracy),
        chance=number(probe.get("chance")),
        chance_corrected=number(dig(probe, "chance_corrected").get("value")),
        parts={name: value for name, value in parts.items() if value is not None},
        unread=number(dig(run.result, "tasks", task, "aggregates", AGGREGATION, "overall").get("unread")),
        difference=None if comparison is None else comparison.overall,
        margin=Margin.of(dig(probe, "margin")),
        margin_difference=margin_difference,
        engine=run.spec.mark or run.spec.engine,
        notes=comparison.notes if comparison else (),
    )


def _of(run: Evaluated, task: str, key: str) -> str:
    return str((run.outcomes[task].probe or {}).get(key, ""))
