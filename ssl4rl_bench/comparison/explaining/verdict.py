"""Puts the result of an explanation into one sentence. It never claims more than "may"."""

from __future__ import annotations

from ssl4rl_bench.comparison.explaining.between_runs import Ranked
from ssl4rl_bench.comparison.explaining.effects import NEGLIGIBLE
from ssl4rl_bench.comparison.explaining.explanation import Cause, Gap
from ssl4rl_bench.comparison.explaining.kinds import KINDS


def verdict(ranked: Ranked, published: bool) -> str:
    """Returns the result in one sentence.

    Args:
        published: whether the other number is a published one.
    """
    if ranked.equal:
        return "The run gives the published numbers to their last digit: there is nothing to explain."
    if abs(ranked.gap.value) <= NEGLIGIBLE and not ranked.causes:
        return "The numbers are equal: there is nothing to explain."
    gap = f"The gap of {_points(ranked.gap)}"
    if ranked.causes:
        parts = [_part(cause) for cause in ranked.causes]
        doubt = (
            ", but other causes can have the same effect" if ranked.causes[0].standing == "possible" else ""
        )
        return f"{gap} may come from {_listed(parts)}; {_rest(ranked)}{doubt}."
    nothing = (
        "no stated difference and no re-scoring of the replies accounts for it"
        if published
        else "no recorded setting differs"
    )
    if ranked.gap.within_chance:
        return f"{gap} is within chance{_interval(ranked.gap)}, and {nothing}: no cause is named."
    where = "what the source does not state" if published else "what the runs do not record"
    return f"{gap} is beyond chance{_interval(ranked.gap)}, and {nothing}: look at {where}."


def _part(cause: Cause) -> str:
    text = f"{cause.kind} ({KINDS[cause.kind]})"
    if cause.remaining is None:
        return f"{text}, effect unknown"
    return f"{text}, which leaves {_points(cause.remaining)}"


def _rest(ranked: Ranked) -> str:
    if abs(ranked.remaining.value) <= NEGLIGIBLE:
        return "nothing of it remains"
    what = "it" if ranked.remaining is ranked.gap else f"what remains, {_points(ranked.remaining)},"
    if ranked.remaining.ci95 is None:
        return f"{what} has no interval"
    chance = "within" if ranked.remaining.within_chance else "beyond"
    return f"{what} is {chance} chance{_interval(ranked.remaining)}"


def _points(gap: Gap) -> str:
    return f"{100.0 * gap.value + 0.0:+.2f} points"


def _interval(gap: Gap) -> str:
    if gap.ci95 is None:
        return ""
    return f" [{100.0 * gap.ci95[0]:+.2f}, {100.0 * gap.ci95[1]:+.2f}]"


def _listed(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
