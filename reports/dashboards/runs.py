"""Sends a run, or a gate's verdict on one, to trackers. Both belong to the tracker's run of the same spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.gating.judge import Gate
from ssl4rl_bench.reports.dashboards.records import header_of, record_of_gate, record_of_result
from ssl4rl_bench.reports.dashboards.sending import Dashboards
from ssl4rl_bench.run.rundir import RunDir


def log_run(dashboards: Dashboards, folder: Path, result: Mapping[str, Any]) -> None:
    """Sends the figures of a complete run at the step of its checkpoint.

    Args:
        folder: the run directory.
        result: the content of its result.json.

    Raises:
        StoreError: the run cannot be read. An error of a tracker is a warning.
    """
    if dashboards.targets:
        spec = RunDir.open(folder).spec
        dashboards.send(folder, header_of(spec, result), [record_of_result(spec, result)])


def log_gate(dashboards: Dashboards, judged: Gate, candidate: Evaluated) -> None:
    """Sends a verdict with its tests at the step of the candidate. An error of a tracker is a warning."""
    spec, result = candidate.spec, candidate.result
    records = [record_of_result(spec, result), record_of_gate(judged, spec)]
    dashboards.send(candidate.path, header_of(spec, result), records)
