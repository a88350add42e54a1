"""Sends the history of a watch to trackers: one run for all checkpoints, with a record per checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.reports.dashboards.base import Header, StepRecord
from ssl4rl_bench.reports.dashboards.records import (
    VERDICTS,
    change_scalars,
    clean_texts,
    header_of,
    key_of,
    record_of_result,
)
from ssl4rl_bench.reports.dashboards.sending import Dashboards
from ssl4rl_bench.run.rundir import slug_of
from ssl4rl_bench.watch.history import BASELINE, Entry


def send_history(
    dashboards: Dashboards, folder: Path, entries: Sequence[Entry], runs: Sequence[Evaluated]
) -> None:
    """Sends the checkpoints that were not sent before, in the order of the history.

    Args:
        folder: the folder of the watch.
        runs: the run of each entry.
    """
    if not entries:
        return
    first = header_of(runs[0].spec)
    terms, place = entries[0].terms, folder.resolve().name
    id = sha256_json([terms, place, first.id])[:32]
    name = f"{slug_of(place)}-{id[:8]}"
    shared = {key: value for key, value in first.facts.items() if key not in ("model", "spec_sha256")}
    if first.tags:
        name = f"{slug_of(first.tags[0])}-{name}"
    header = Header(name, id, {**shared, "terms": terms}, first.tags)
    records = [record_of_entry(entry, run) for entry, run in zip(entries, runs, strict=True)]
    dashboards.send(folder, header, records)


def record_of_entry(entry: Entry, run: Evaluated) -> StepRecord:
    """Returns the figures of a checkpoint, its verdict, and its changes from the baseline."""
    scalars = dict(record_of_result(run.spec, run.result, entry.step).scalars)
    for change in entry.changes:
        place = f"change/{key_of(short_name(change.task))}/{key_of(change.name)}"
        scalars |= change_scalars(place, change.value, change.ci95, change.n, change.p_corrected)
    if entry.verdict != BASELINE:
        scalars |= {"gate/verdict": VERDICTS[entry.verdict], "gate/alpha": entry.alpha}
        scalars["gate/accepted_as_best"] = float(entry.best)
    if entry.verdict_best is not None:
        scalars["gate/verdict_against_best"] = VERDICTS[entry.verdict_best]
    texts = {
        "gate/headline": f"{entry.verdict.upper()}: {entry.name}"
        + (f"; decided by {entry.reasons[0]}" if entry.reasons else ""),
        "gate/tests": "\n".join(entry.reasons),
        "gate/hint": entry.hint or "",
        "model/fingerprint": entry.fingerprint,
    }
    return StepRecord(entry.step, scalars, clean_texts(texts))
