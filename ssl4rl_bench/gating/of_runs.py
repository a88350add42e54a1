"""The Python API of the gate (`ssl4rl_bench.gate`): from runs or their folders and a policy to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.load import load_evaluated, origin_of
from ssl4rl_bench.comparison.of_runs import AnyRun, path_of
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.gating import guards, series
from ssl4rl_bench.gating.baseline import load_baseline_file
from ssl4rl_bench.gating.judge import Gate, apply_policy
from ssl4rl_bench.gating.policy import Policy, parse_policy, read_policy
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.score.runs import Data, data_values

SERIES = Path(".ssl4rl-gate")
"""The default folder of series."""


def gate(
    baseline: AnyRun,
    candidate: AnyRun,
    policy: str | Path | Mapping[str, Any] | Policy,
    *,
    family: str | None = None,
    family_dir: str | Path = SERIES,
    data: Data = None,
) -> Gate:
    """Judges a checkpoint against an accepted one by a policy, as the command `gate` does.

    Args:
        baseline: a complete run, its folder, its name below runs/, or a baseline file.
        candidate: the run of the checkpoint that is judged.
        policy: a TOML file, its content as a mapping, or a `Policy`.
        family: the name of a series of checkpoints that share alpha; judging charges the candidate's share.
        family_dir: the folder of series.
        data: the location of the data, if it has moved and replies have to be read again.

    Returns:
        The judgement: its `verdict` is "pass", "fail" or "inconclusive", its `table()` has a row per test.

    Raises:
        UsageError: a wrong policy, or runs that must not be compared; the message says why.
        StoreError, DataError: as `comparison.load.load_evaluated`.

    Example:
        >>> judged = gate("runs/base", "runs/rotation", "gate.toml")
        >>> judged.verdict
        'fail'
    """
    if isinstance(policy, Policy):
        rules = policy
    else:
        rules = parse_policy(policy) if isinstance(policy, Mapping) else read_policy(Path(policy))
    old = load_baseline(path_of(baseline), data_values(data))
    (new,) = load_evaluated([path_of(candidate)], data_values(data))
    return judge(rules, old, new, origin_of(new), family, Path(family_dir))[0]


def judge(
    policy: Policy,
    baseline: Evaluated,
    candidate: Evaluated,
    origin: Mapping[str, Any] | None,
    family: str | None = None,
    family_dir: Path = SERIES,
    against: str | None = None,
) -> tuple[Gate, series.Turn | None]:
    """Judges a candidate by a policy's rules and guards, with its share of the alpha of a series.

    Args:
        origin: the candidate's ssl4rl.json, for guards that need it.
        family: the name of the series, which is charged after judging; None for no series.
        family_dir: the folder of series.
        against: the fingerprint of the baseline in the series; by default the digest of its spec.

    Returns:
        The judgement, and the candidate's turn in the series.

    Raises:
        UsageError: as `judge.apply_policy` and `series.turn`.
        StoreError: the series cannot be stored.
    """
    turn: AbstractContextManager[series.Turn | None] = nullcontext()
    if family is not None:
        turn = series.turn(family_dir, family, against or baseline.spec.sha256, candidate.spec.sha256, policy)
    with turn as share:
        judged = apply_policy(
            policy,
            baseline,
            candidate,
            alpha=share.alpha if share else None,
            guarded=guards.check_guards(policy, baseline, candidate, origin),
            notes=guards.provenance_notes(policy, baseline, candidate, origin),
        )
    return judged, share


def load_baseline(path: Path, data: Sequence[str], observer: Observer = SILENT) -> Evaluated:
    """Loads a baseline file or a complete run.

    Raises:
        StoreError, DataError, UsageError: as `baseline.load_baseline_file` and `comparison.load.load_evaluated`.
    """
    if path.is_file():
        return load_baseline_file(path)
    return load_evaluated([path], data, observer)[0]
