"""The verdicts of `advise`, and what to change. None of them says that a model will learn."""

from __future__ import annotations

from typing import Literal

from ssl4rl_bench.reports.text.numbers import percent, points

Verdict = Literal["too few to tell", "no signal", "form first", "sees a little", "guesses"]

LEAST_PICTURES = 128
"""With fewer pictures, only large effects can be seen (docs/advise.md, power)."""
LEAST_SPREAD = 0.1
"""If fewer groups than this have unequal rewards, most of a training step teaches nothing."""
BLIND_RATIO = 1.25
"""A blind reply is worth training for if it earns this many times the mean reward."""
ALPHA = 0.05


def verdict_of(
    n_pictures: int,
    spread_high: float,
    blind: float,
    mean: float,
    mean_high: float,
    p_values: tuple[float, ...],
) -> Verdict:
    """Returns the first verdict whose rule holds.

    - too few to tell: fewer than `LEAST_PICTURES` pictures.
    - no signal: the interval of the share of groups with unequal rewards ends below `LEAST_SPREAD`.
    - form first: the best blind reply earns more than the upper end of the interval of the mean reward, and at least
      `BLIND_RATIO` times the mean.
    - sees a little: a p-value is below `ALPHA`.
    - guesses: none of these.

    Args:
        spread_high: upper end of the interval of the share of groups with unequal rewards.
        blind: what the best constant readable answer earns.
        mean, mean_high: the mean reward, and the upper end of its interval.
        p_values: p of the margin and of the alignment, corrected for all tests of the table.
    """
    if n_pictures < LEAST_PICTURES:
        return "too few to tell"
    if spread_high < LEAST_SPREAD:
        return "no signal"
    if blind > mean_high and blind >= BLIND_RATIO * mean:
        return "form first"
    return "sees a little" if any(p < ALPHA for p in p_values) else "guesses"


def advice_for(verdict: Verdict, blind: float, mean: float, unread: float, sees: bool) -> str:
    """Returns one sentence that says what to change.

    Args:
        blind, mean: what the best blind reply earns, and the mean reward, as fractions.
        unread: the share of replies from which no answer was read.
        sees: whether a test is significant.
    """
    if verdict == "too few to tell":
        return f"Ask about at least {LEAST_PICTURES} pictures (--pictures)."
    if verdict == "no signal":
        return "Lower the difficulty or choose another reward scheme: hardly any group has unequal rewards."
    if verdict == "form first":
        also = " (it also sees a little)" if sees else ""
        return (
            f"Train the form first (SFT): a reply that never looks would earn {points(blind - mean)} points, and "
            f"training takes that first; {percent(unread)}% of the replies are unreadable{also}."
        )
    if verdict == "sees a little":
        return "Train: rewards differ, and some of the difference is sight."
    return "Train, and look again at step 25 to 50: rewards differ, but by luck."
