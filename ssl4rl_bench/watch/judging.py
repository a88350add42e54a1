"""Judges one evaluated checkpoint by the gate, against the baseline and the best accepted one so far."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating import of_runs
from ssl4rl_bench.gating.judge import Gate, Guarded, Tested
from ssl4rl_bench.gating.policy import Policy
from ssl4rl_bench.reports.gate.text import describe_test, worst_first
from ssl4rl_bench.reports.text.cells import dig
from ssl4rl_bench.reports.text.margins import margin_of
from ssl4rl_bench.watch.hint import find_changes, hint
from ssl4rl_bench.watch.history import BASELINE, Entry, ProbeSight
from ssl4rl_bench.watch.layouts import place_of

BEST = "the best accepted so far"


@dataclass(frozen=True, slots=True)
class Terms:
    """The policy and settings by which all checkpoints of a watch are judged."""

    policy: Policy
    baseline: Evaluated | None
    """The baseline; None if the first checkpoint becomes the baseline."""
    family: str
    """The name of the series over which alpha is spent."""
    folder: Path
    """The folder of the series' files."""

    @property
    def digest(self) -> str:
        """The digest of the policy and the baseline, which is the same for all lines of a history."""
        policy = asdict(self.policy)
        if self.policy.left_out == Policy.left_out:
            del policy["left_out"]  # keeps the digests of histories from before the field existed
        return sha256_json([policy, self.baseline and self.baseline.spec.sha256])


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A checkpoint's line and the judgement behind it."""

    entry: Entry
    gate: Gate | None
    """The gate's result against the baseline; None for the baseline itself."""


def judge_checkpoint(
    terms: Terms,
    baseline: Evaluated | None,
    best: Evaluated | None,
    candidate: Evaluated,
    name: str,
    run: str,
    origin: Mapping[str, Any] | None = None,
) -> Judged:
    """Judges a checkpoint's run.

    A checkpoint is accepted if it passes against the baseline. It becomes the best if it also passes against
    the previous best and is better than that on average over the policy's tests.

    Args:
        baseline: the baseline in `terms`, or the run of the first checkpoint; None if this is the first one.
        best: the best accepted checkpoint so far; None if that is the baseline.
        run: the path of the run directory, relative to the history.
        origin: the checkpoint's ssl4rl.json.

    Raises:
        UsageError: if the runs are not comparable, or the series belongs to another baseline or policy.
        StoreError: if the series cannot be stored.
    """
    step, part = place_of(name) or (0, 0)

    def entry(**values: Any) -> Entry:
        values["margins"] = margins_of(candidate)
        return Entry(name, step, part, candidate.spec.fingerprint, run, terms.digest, **values)

    if baseline is None:
        values = {"verdict": BASELINE, "verdict_best": None, "number": 0, "alpha": 0.0, "best": True}
        return Judged(entry(**values), None)
    policy = terms.policy
    judged, turn = of_runs.judge(policy, baseline, candidate, origin, terms.family, terms.folder)
    assert turn is not None
    against_best = None
    if best is not None:
        family = f"{terms.family}-best"
        against_best, _ = of_runs.judge(policy, best, candidate, origin, family, terms.folder, BEST)
    rival = against_best or judged
    better = fmean(tested.difference.value for tested in rival.tested) > 0.0
    ability_changes = find_changes(baseline, candidate, policy.allow)
    return Judged(
        entry(
            verdict=judged.verdict,
            verdict_best=against_best and against_best.verdict,
            number=turn.number,
            alpha=turn.alpha,
            best=judged.verdict == "pass" and rival.verdict == "pass" and (better or against_best is None),
            reasons=_reasons(judged),
            hint=hint(ability_changes),
            changes=ability_changes,
        ),
        judged,
    )


def margins_of(run: Evaluated) -> tuple[ProbeSight, ...]:
    """Returns the margins of a run's probes, in the order of its tasks."""
    out = []
    for task, scored in dig(run.result, "tasks").items():
        if probe := dig(scored, "probe"):
            margin = margin_of(run.result, task)
            out.append(
                ProbeSight(
                    task=task,
                    accuracy=probe["accuracy"]["value"],
                    chance=float(probe["chance"]),
                    value=margin.value,
                    ci95=margin.ci95,
                    p=margin.p,
                    n=margin.n,
                    form=clean(margin.form),
                    reason=clean(margin.reason, 200),
                )
            )
    return tuple(out)


def family_of(folder: Path) -> str:
    """Returns the name of the series for a folder of checkpoints."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-._")[:80] or "series"


def _reasons(gate: Gate) -> tuple[str, ...]:
    """Describes the tests and guards that did not pass, the one that decided the verdict first."""
    parts: list[Tested | Guarded] = [*worst_first(gate), *gate.guarded]
    parts.sort(key=lambda part: part is not gate.deciding)
    return tuple(
        f"{part.verdict}: {describe_test(part)}"
        if isinstance(part, Tested)
        else f"{part.verdict}: {part.name} of {part.task}: {part.measured}, limit {part.limit}"
        for part in parts
        if part.verdict != "pass"
    )
