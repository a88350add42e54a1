"""Turns results, verdicts and histories into what trackers receive.

| name | values |
|---|---|
| `TASK/AGGREGATION/overall/...`, `TASK/AGGREGATION/LEVEL/CATEGORY/...` | `value`, `low`, `high`, `n`, `unread` |
| `TASK/margin/...` | `value`, `low`, `high`, `n` and `p` of a probe's forced-choice margin, in nats |
| `TASK/metrics/METRIC/...` | the same of the metrics that lmms-eval computes for its tasks |
| `gate/TASK/AGGREGATION/LEVEL/CATEGORY/...` | `difference`, `low`, `high`, `n` against the baseline |
| `gate/.../RULE/...` | `lower` (simultaneous bound), `limit`, `verdict` |
| `change/TASK/CATEGORY/...` | `difference`, `low`, `high`, `n`, `p` of a watch's checkpoint against its baseline |
| `gate/verdict` | 1 pass, 0 inconclusive, -1 fail; the text `gate/headline` says what decided |

Other values are fractions. A bound is never without its `n`, and a cell without a value has only its `n`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ssl4rl_bench import __version__
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import neutral
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.engines.checkpoints.steps import step_of
from ssl4rl_bench.gating.judge import Gate
from ssl4rl_bench.gating.rule_tests import limit_of
from ssl4rl_bench.reports.dashboards.base import Header, StepRecord
from ssl4rl_bench.reports.gate.text import describe_test, headline, worst_first
from ssl4rl_bench.reports.text.cells import dig
from ssl4rl_bench.run.rundir import slug_of
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.score.aggregate import DEFAULT_AGGREGATION, LEVELS, OVERALL

VERDICTS = {"pass": 1.0, "inconclusive": 0.0, "fail": -1.0}
_NOT_NAME = re.compile(r"[^\w.-]+")


def header_of(spec: RunSpec, result: Mapping[str, Any] | None = None) -> Header:
    """Returns the header of a run. Its id is the digest of the spec, so that a resumed run is the same.

    Args:
        result: the content of result.json, for how replies were read and what is missing.
    """
    scored = (result or {}).get("tasks", {})
    facts: dict[str, Any] = {
        "ssl4rl_bench": __version__,
        **spec.to_json(),
        "spec_sha256": spec.sha256,
        "read_by": {name: [task["extractor"], task.get("reader", 1)] for name, task in scored.items()},
        "partial": list((result or {}).get("partial_reasons", [])),
    }
    if spec.qualifier:
        facts["without_a_model"] = spec.qualifier
    name = f"{slug_of(spec.model)}-{spec.sha256[:8]}"
    if spec.qualifier:
        name = f"{slug_of(spec.qualifier)}-{name}"
    return Header(name, spec.sha256[:32], redact(facts), (spec.qualifier,) if spec.qualifier else ())


def record_of_result(spec: RunSpec, result: Mapping[str, Any], step: int | None = None) -> StepRecord:
    """Returns the figures of a run: of each task the aggregation that it publishes, and `row_micro` overall.

    Args:
        step: the trainer's step; by default that of the model's name or files (`step_of`).
    """
    scalars: dict[str, float] = {}
    for task, scored in result["tasks"].items():
        published = "row_micro" if "probe" in scored else str(scored.get("headline") or DEFAULT_AGGREGATION)
        for aggregation in dict.fromkeys((published, "row_micro")):
            by_level = scored["aggregates"].get(aggregation)
            if by_level is None:
                continue  # a task of another package may have other aggregations
            start = f"{key_of(short_name(task))}/{aggregation}"
            scalars |= _cell(f"{start}/{OVERALL}", by_level[OVERALL])
            for level in LEVELS[1:] if aggregation == published else ():
                names = keys_of(by_level.get(level, {}))
                for name, cell in by_level.get(level, {}).items():
                    scalars |= _cell(f"{start}/{level}/{names[name]}", cell)
        margin = dig(scored, "probe", "margin")
        if margin.get("value") is not None:
            place = f"{key_of(short_name(task))}/margin"
            scalars |= _bounded(place, "value", margin["value"], margin["ci95"], margin["n"])
            scalars[f"{place}/p"] = float(margin["p"])
        metrics = scored.get("metrics", {})  # those of another program, such as lmms-eval's CIDEr
        for name, key in keys_of(metrics).items():
            scalars |= _cell(f"{key_of(short_name(task))}/metrics/{key}", metrics[name])
    return StepRecord(step_of(spec.model) if step is None else step, scalars)


def record_of_gate(gate: Gate, spec: RunSpec) -> StepRecord:
    """Returns the verdict of a gate with its tests, at the step of the candidate.

    Args:
        spec: the spec of the candidate's run.
    """
    scalars: dict[str, float] = {"gate/verdict": VERDICTS[gate.verdict], "gate/alpha": gate.alpha}
    for tested in gate.tested:
        rule, cell = tested.rule, tested.difference
        place = f"gate/{key_of(short_name(rule.full_task))}/{rule.how}/{key_of(cell.level)}"
        place += "" if cell.level == OVERALL else f"/{key_of(cell.name)}"
        scalars |= _bounded(place, "difference", cell.value, cell.ci95, cell.n)
        scalars[f"{place}/{rule.kind}/lower"] = tested.lower
        scalars[f"{place}/{rule.kind}/limit"] = limit_of(rule)
        scalars[f"{place}/{rule.kind}/verdict"] = VERDICTS[tested.verdict]
    lines = [f"{tested.verdict}: {describe_test(tested)}" for tested in worst_first(gate)]
    lines += [
        f"{guard.verdict}: {guard.name} of {guard.task}: {guard.measured}, limit {guard.limit}"
        for guard in gate.guarded
    ]
    texts = {"gate/headline": headline(gate), "gate/tests": "\n".join(lines)}
    return StepRecord(step_of(spec.model), scalars, clean_texts(texts))


def clean_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Removes secrets and control characters from texts."""
    return {name: neutral(redact(text)) for name, text in texts.items() if text}


def key_of(name: str) -> str:
    """Returns a name as a part of a scalar's name: letters and digits of any script, ".", "_" and "-"."""
    return _NOT_NAME.sub("_", name).strip("_") or f"_{sha256_hex(name.encode())[:8]}"


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """Maps names to different keys (`key_of`): those that would be equal get a digest."""
    keys = {name: key_of(name) for name in names}
    several = {key for key in keys.values() if list(keys.values()).count(key) > 1}
    return {
        name: f"{key}_{sha256_hex(name.encode())[:8]}" if key in several else key
        for name, key in keys.items()
    }


def _cell(place: str, cell: Mapping[str, Any]) -> dict[str, float]:
    if cell["value"] is None:
        return {f"{place}/n": float(cell["n"])}
    out = _bounded(place, "value", cell["value"], cell["ci95"], cell["n"])
    if cell.get("unread") is not None:
        out[f"{place}/unread"] = cell["unread"]
    return out


def _bounded(
    place: str, what: str, value: float, ci95: Iterable[float] | None, n: int | float
) -> dict[str, float]:
    low_high = dict(zip((f"{place}/low", f"{place}/high"), ci95 or (), strict=False))
    return {f"{place}/{what}": float(value), **low_high, f"{place}/n": float(n)}


def change_scalars(
    place: str, value: float, ci95: Iterable[float] | None, n: int, p: float
) -> dict[str, float]:
    """Returns the scalars of a change against a baseline."""
    return {**_bounded(place, "difference", value, ci95, n), f"{place}/p": p}
