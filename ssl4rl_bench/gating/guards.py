"""Checks the guards of a gate: limits on values that are not accuracies but would invalidate them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.gating.expand import concrete_rules
from ssl4rl_bench.gating.judge import Guarded
from ssl4rl_bench.gating.policy import Guards, Policy
from ssl4rl_bench.score.outcomes import Outcomes

_UNREAD = (Status.NONE, Status.NO_CONTENT, Status.TRUNCATED, Status.REFUSAL)
_FEW = 12
"""Answer sets with more answers than this (the orders of a jigsaw) have no shares worth comparing."""


def check_guards(
    policy: Policy, baseline: Evaluated, candidate: Evaluated, origin: Mapping[str, Any] | None = None
) -> list[Guarded]:
    """Checks every guard that the policy sets, on every task that its rules name.

    Args:
        origin: the candidate's ssl4rl.json, for the overlap with training images; this guard is inconclusive
            without it.
    """
    tasks = _tasks(policy, baseline, candidate)
    return [guarded for task in tasks for guarded in _task(policy.guards, baseline, candidate, task, origin)]


def provenance_notes(
    policy: Policy, baseline: Evaluated, candidate: Evaluated, origin: Mapping[str, Any] | None = None
) -> list[str]:
    """Says, for a policy without the guard `image_overlap`, what is known about training on the tasks' images.

    Returns nothing for tasks of which no image was trained on. With the guard, `check_guards` says it.
    """
    if policy.guards.image_overlap is not None:
        return []
    tasks: dict[str, list[str]] = {}
    for task in _tasks(policy, baseline, candidate):
        overlap = _overlap(candidate, task, origin)
        if overlap.n is None:
            end = f"is unknown ({overlap.text}): the guard image_overlap would be inconclusive"
        elif overlap.n:
            end = f"is certain ({overlap.text}): the guard image_overlap = 0 would fail"
        else:
            continue
        tasks.setdefault(end, []).append(short_name(task))
    return [
        f"Whether {candidate.label} was trained on images of {', '.join(names)} {end}."
        for end, names in tasks.items()
    ]


def _tasks(policy: Policy, baseline: Evaluated, candidate: Evaluated) -> list[str]:
    """Returns the full names of the tasks that the rules test, each once."""
    return list(dict.fromkeys(rule.full_task for rule in concrete_rules(policy.rule, baseline, candidate)))


def _task(
    guards: Guards, baseline: Evaluated, candidate: Evaluated, task: str, origin: Mapping[str, Any] | None
) -> Iterator[Guarded]:
    name = short_name(task)
    candidate_outcomes = candidate.task(task)
    counts = candidate_outcomes.status_counts
    for label, limit, statuses in (
        ("unread replies", guards.unread, _UNREAD),
        ("truncated replies", guards.truncated, (Status.TRUNCATED,)),
        ("failed requests", guards.errors, (Status.ERROR,)),
    ):
        if limit is not None:
            share = (
                100.0 * sum(counts.get(status.value, 0) for status in statuses) / max(1, sum(counts.values()))
            )
            yield Guarded(
                label, name, f"{share:.2f}%", f"at most {limit:g}%", "fail" if share > limit else "pass"
            )
    if guards.reply_length is not None:
        yield _reply_length(guards.reply_length, name, _length(candidate, task), _length(baseline, task))
    if guards.letters is not None and not candidate_outcomes.probe:
        shift = _shift(baseline.task(task), candidate_outcomes)
        if shift is not None:
            answer, points = shift
            yield Guarded(
                "answer shares",
                name,
                f"{answer}: {points:+.2f} points",
                f"within {guards.letters:g} points of the baseline's",
                "fail" if abs(points) > guards.letters else "pass",
            )
    if guards.image_overlap is not None:
        yield _guarded_overlap(guards.image_overlap, name, _overlap(candidate, task, origin))


def _reply_length(limits: Sequence[float], name: str, length: float, before: float) -> Guarded:
    """Compares mean numbers of tokens; inconclusive if the baseline has no token counts, as recorded replies."""
    least, most = limits
    label, allowed = "reply length", f"{least:g} to {most:g} times"
    if not before:
        return Guarded(label, name, "unknown: the baseline has no token counts", allowed, "inconclusive")
    ratio = length / before
    measured = f"{ratio:.2f} times the baseline's ({length:.1f} tokens)"
    return Guarded(label, name, measured, allowed, "pass" if least <= ratio <= most else "fail")


def _length(run: Evaluated, task: str) -> float:
    """Computes the mean number of tokens per reply."""
    task_result = run.result["tasks"][task]
    replies: int = sum(n for status, n in task_result["status"].items() if status != Status.ERROR)
    tokens: float = task_result["tokens"]["completion"]
    return tokens / max(1, replies)


def _shift(baseline: Outcomes, candidate: Outcomes) -> tuple[str, float] | None:
    """Returns the answer whose share changed most, and the change in points; None for too many answers."""
    shares = []
    for outcomes in (baseline, candidate):
        given = Counter(answer for row in outcomes.answers for answer in row if answer is not None)
        total = max(1, given.total())
        shares.append({answer: n / total for answer, n in given.items()})
    answers = sorted(shares[0].keys() | shares[1].keys())
    if not answers or len(answers) > _FEW:
        return None
    moved = {answer: 100.0 * (shares[1].get(answer, 0.0) - shares[0].get(answer, 0.0)) for answer in answers}
    worst = max(moved, key=lambda answer: abs(moved[answer]))
    return worst, moved[worst]


@dataclass(frozen=True, slots=True)
class _Overlap:
    """What is known about training on images of a task."""

    n: int | None
    """The number of images of the task that were trained on; None if it is unknown."""
    text: str
    """The number, or why it is unknown."""


def _overlap(candidate: Evaluated, task: str, origin: Mapping[str, Any] | None) -> _Overlap:
    """Reads the training images of a task from the candidate's ssl4rl.json."""
    if origin is None:
        return _Overlap(None, "the checkpoint has no ssl4rl.json")
    source = str(candidate.result["tasks"][task].get("source"))
    sets = {short_name(task), short_name(source)}
    data = origin.get("data")
    audited = data.get("overlap") or [] if isinstance(data, Mapping) else []
    overlaps = [item for item in audited if short_name(str(item.get("set", "")).partition("=")[0]) in sets]
    if not overlaps:
        return _Overlap(None, "not compared when it was trained")
    assert isinstance(data, Mapping)
    n = sum(int(item.get("exact", 0)) + int(item.get("near", 0)) for item in overlaps)
    if n and not data.get("transductive"):
        return _Overlap(0, f"0 ({n} were found and left out)")
    return _Overlap(n, str(n))


def _guarded_overlap(limit: int, name: str, overlap: _Overlap) -> Guarded:
    label, most = "training images in the set", f"at most {limit}"
    if overlap.n is None:
        return Guarded(label, name, f"unknown: {overlap.text}", most, "inconclusive")
    return Guarded(label, name, overlap.text, most, "fail" if overlap.n > limit else "pass")
