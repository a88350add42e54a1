"""SSL probes of several runs: accuracy beside chance, by parts, and against a baseline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.compare import compare
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import Comparison, Difference
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.text.cells import ci95, dig
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, percent

AGGREGATION = "row_micro"
PARTS = ("exact", "per_position", "valid")
HEADERS = ("Accuracy", "95% interval", "Chance", "Above chance", "Exact", "Per place", "Valid", "n")


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A run on a probe. Fractions."""

    task: str
    kind: str
    difficulty: str
    label: str
    is_baseline: bool
    n: int | None
    """Samples."""
    accuracy: float | None
    ci95: tuple[float, float] | None
    chance: float | None
    chance_corrected: float | None
    """(accuracy - chance) / (1 - chance)."""
    parts: dict[str, float]
    """Those of `PARTS` that the probe has."""
    unread: float | None
    difference: Difference | None
    """To the baseline; corrected over the candidates."""
    engine: str = ""
    notes: tuple[str, ...] = ()
    """What a reader of the difference must know, a sentence each."""

    def cells(self) -> list[str]:
        """The texts under `HEADERS`."""
        return [
            percent(self.accuracy),
            interval(self.ci95),
            percent(self.chance),
            percent(self.chance_corrected),
            *(percent(self.parts.get(part)) for part in PARTS),
            NO_DATA if self.n is None else str(self.n),
        ]


def probe_notes(rows: Sequence[ProbeRow]) -> list[str]:
    """The notes of all rows, each once, with the probe that it is of where it is not of all."""
    tasks = dict.fromkeys(row.task for row in rows)
    out = []
    for note in dict.fromkeys(note for row in rows for note in row.notes):
        of = dict.fromkeys(row.task for row in rows if note in row.notes)
        out.append(note if len(of) == len(tasks) else f"{', '.join(map(short_name, of))}: {note}")
    return out


def probe_tasks(runs: Sequence[Evaluated]) -> list[str]:
    """Probes that all runs have, by kind and difficulty."""
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
    """Each probe's rows, the baseline's first.

    Raises:
        UsageError: as `compare.compare`.
    """
    out = []
    for task in tasks:
        how: dict[str, Any] = {"aggregation": AGGREGATION, "correction": correction, "allow": allow}
        found = compare(baseline, candidates, task, by="overall", **how)
        out.append(probe_row(baseline, task))
        out += [probe_row(run, task, each) for run, each in zip(candidates, found, strict=True)]
    return out


def probe_row(run: Evaluated, task: str, found: Comparison | None = None) -> ProbeRow:
    """A run's row; the baseline's without a comparison."""
    probe = dig(run.result, "tasks", task, "probe")
    accuracy = dig(probe, "accuracy")
    parts = {name: number(dig(probe, "parts", name).get("value")) for name in PARTS}
    n = number(accuracy.get("n"))
    return ProbeRow(
        task=task,
        kind=_of(run, task, "kind"),
        difficulty=_of(run, task, "difficulty"),
        label=run.label,
        is_baseline=found is None,
        n=None if n is None else int(n),
        accuracy=number(accuracy.get("value")),
        ci95=ci95(accuracy),
        chance=number(probe.get("chance")),
        chance_corrected=number(dig(probe, "chance_corrected").get("value")),
        parts={name: value for name, value in parts.items() if value is not None},
        unread=number(dig(run.result, "tasks", task, "aggregates", AGGREGATION, "overall").get("unread")),
        difference=None if found is None else found.overall,
        engine=run.spec.mark or run.spec.engine,
        notes=found.notes if found else (),
    )


def _of(run: Evaluated, task: str, key: str) -> str:
    return str((run.outcomes[task].probe or {}).get(key, ""))
