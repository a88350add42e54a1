"""Reads one run again with each extractor, to show how far its numbers depend on the extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import UNSCORED, Status, Task
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import NO_DATA, bracketed, percent
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.aggregate import overall
from ssl4rl_bench.score.outcomes import outcomes_of
from ssl4rl_bench.score.scoring import scored_samples
from ssl4rl_bench.stats.agreement import Kappa, kappa
from ssl4rl_bench.task.extract import EXTRACTORS, check_extractor

REFERENCE = "default"
"""The extractor that the others are compared with."""
PROBE_EXTRACTORS = (REFERENCE, "strict")
"""The extractors that can differ on a probe (see `ssl.SSLTask.score`)."""


@dataclass(frozen=True, slots=True)
class Reread:
    """A task's replies as one extractor reads them."""

    extractor: str
    """The extractor's full name."""
    status: dict[str, int]
    """Number of replies by the status of their answer."""
    accuracy: float | None
    """Share of rows that are right, in [0, 1]."""
    circular: float | None
    """Share of questions that are right in every copy, in [0, 1]; None for a probe."""
    agreement: Kappa
    """Agreement with the answers that `REFERENCE` reads, over all scored replies; no answer is a category."""
    n_changed: int
    """Number of replies whose score differs from that under `REFERENCE`."""


def reread(run: RunDir, task: Task) -> list[Reread]:
    """Scores a task's replies with each known extractor, `REFERENCE` first.

    Raises:
        SpecMismatch, UsageError, StoreError: as for `scoring.scored_samples`.
    """
    is_probe = task.probe is not None
    names = dict.fromkeys(map(check_extractor, PROBE_EXTRACTORS if is_probe else (REFERENCE, *EXTRACTORS)))
    out: list[Reread] = []
    reference: list[tuple[str | None, float | None]] = []
    for name in names:
        scored = scored_samples(run, task, name)
        readings = [(s.score.answer, s.score.value) for s in scored if s.score.status not in UNSCORED]
        reference = reference or readings
        outcomes = outcomes_of(task, scored, name, run.spec.repeats)
        out.append(
            Reread(
                extractor=name,
                status=outcomes.status_counts,
                accuracy=overall(outcomes, "row_micro")["value"],
                circular=None if is_probe else overall(outcomes, "circular_micro")["value"],
                agreement=kappa([answer for answer, _ in reference], [answer for answer, _ in readings]),
                n_changed=sum(a != b for (_, a), (_, b) in zip(reference, readings, strict=True)),
            )
        )
    return out


def reread_table(title: str, read: Sequence[Reread]) -> Table:
    """Makes a table with one row per extractor; percent with two decimals."""
    statuses = [status.value for status in Status if any(status.value in row.status for row in read)]
    circular = any(row.circular is not None for row in read)
    right = ["Rows\nright", *(["Circular"] if circular else [])]
    headers = ["Extractor", *statuses, *right, "Agree\n%", "Kappa", "95%\ninterval", "Other\nscore"]
    table = plain_table(
        f"{clean(title)} · by extractor",
        headers,
        narrowing=Narrowing(drop=("Other score", "95% interval", "Kappa")),
    )
    for row in read:
        kappas = row.agreement
        table.add_row(
            row.extractor,
            *(str(row.status.get(status, 0)) for status in statuses),
            percent(row.accuracy),
            *([percent(row.circular)] if circular else []),
            percent(kappas.observed),
            NO_DATA if kappas.value is None else f"{kappas.value:.3f}",
            bracketed(kappas.ci95, "{:.3f}".format),
            str(row.n_changed),
        )
    return table


def reread_json(read: Sequence[Reread]) -> list[dict[str, Any]]:
    """Returns the content of `reread_table` as JSON values; shares are fractions."""
    return [
        {
            "extractor": row.extractor,
            "status": row.status,
            "accuracy": row.accuracy,
            "circular": row.circular,
            "agreement": row.agreement.observed,
            "kappa": {"value": row.agreement.value, "se": row.agreement.se, "n": row.agreement.n},
            "n_changed": row.n_changed,
        }
        for row in read
    ]
