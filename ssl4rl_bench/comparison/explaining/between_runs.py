"""Ranks the causes of a gap between two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssl4rl_bench.comparison.explaining import kinds
from ssl4rl_bench.comparison.explaining.commands import advice_for
from ssl4rl_bench.comparison.explaining.effects import NEGLIGIBLE, effects_of, make_pair, narrowing
from ssl4rl_bench.comparison.explaining.explanation import Cause, Effect, Gap, SettingLine
from ssl4rl_bench.comparison.explaining.sides import RunSide
from ssl4rl_bench.comparison.pairing import shared_groups
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.score.outcomes import Outcomes

_TOKENS = 0.5
"""Prompts whose mean lengths differ by less, in tokens, are taken to be equally long."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The result of ranking."""

    gap: Gap
    effects: tuple[Effect, ...]
    causes: tuple[Cause, ...]
    remaining: Gap
    notes: tuple[str, ...]
    n_tried: int = 0
    n_near: int = 0
    equal: bool = False
    """Whether the run gives the published numbers to their last digit, so that nothing is to be explained."""


def rank_between_runs(
    one: RunSide, two: RunSide, aggregations: tuple[str, str], lines: Sequence[SettingLine]
) -> Ranked:
    """Finds and ranks the causes.

    Raises:
        UsageError: one of the numbers does not exist under its aggregation.
    """
    shared = shared_groups(one.outcomes, two.outcomes)
    reread, notes = _reread(one, two)
    repeating = (one.facts.repeating, two.facts.repeating)
    pair = make_pair(one.outcomes, reread, two.outcomes, aggregations, shared, repeating)
    start = pair.gap(())
    if start is None:
        raise UsageError(
            f"a run has no question that counts under {' and '.join(dict.fromkeys(aggregations))}: name another "
            "aggregation"
        )
    what = _descriptions(lines, len(shared))
    effects = effects_of(pair, what, start)
    by_kind = {effect.kind: effect for effect in effects}
    causes = []
    steps = narrowing(pair)
    for switch, gap in steps:
        kind = _behind(switch, lines)
        value = two.outcomes.extractor if switch == kinds.EXTRACTOR else aggregations[1]
        advice = advice_for(kind, one, two, lines, value)
        text = what[switch] if kind == switch else f"{_differences(kind, lines)}; {what[switch]}"
        causes.append(Cause(kind, "computed", text, by_kind.get(switch), gap, *advice))
    remaining = steps[-1][1] if steps else start
    if abs(remaining.value) > NEGLIGIBLE:
        taken = {*pair.switches, *(cause.kind for cause in causes)}
        others = _others(one, two, lines, taken, n_shared=len(shared))
        first = [cause for cause in others if cause.kind in kinds.INCOMPARABLE]
        causes = [*first, *causes, *(cause for cause in others if cause not in first)]
    return Ranked(start, tuple(effects), tuple(causes), remaining, tuple(notes))


def _reread(one: RunSide, two: RunSide) -> tuple[Outcomes | None, list[str]]:
    """Reads the run by the other one's extractor if they differ; else, or if it cannot be read, None."""
    mine, theirs = one.outcomes, two.outcomes
    if (mine.extractor, mine.reader) == (theirs.extractor, theirs.reader):
        return None, []
    if one.unreadable is not None:
        return None, [
            f"the replies of {one.label} cannot be read again by {theirs.extractor}: {one.unreadable}"
        ]
    return one.reread(theirs.extractor), []


def _descriptions(lines: Sequence[SettingLine], n_shared: int) -> dict[str, str]:
    """Describes what each switch does."""
    shown = {line.name: f"{line.run} and {line.against}" for line in lines}
    limit = next((f", at most {_pair(line)} tokens" for line in lines if line.name == "max_tokens"), "")
    return {
        kinds.EXTRACTOR: f"replies read by {shown[kinds.EXTRACTOR]}",
        kinds.AGGREGATION: f"scores combined by {shown[kinds.AGGREGATION]}",
        kinds.SPLIT: f"{shown['questions']} questions answered, {n_shared} asked in both",
        kinds.REPETITION: f"{shown['repeating replies']} replies repeat themselves up to the token limit",
        kinds.TRUNCATION: f"{shown['truncated replies']} replies are cut off{limit}",
        kinds.UNREAD: f"{shown['unread replies']} replies have no answer that can be read",
    }


def _pair(line: SettingLine) -> str:
    return line.run if line.run == line.against else f"{line.run} and {line.against}"


def _behind(switch: str, lines: Sequence[SettingLine]) -> str:
    """Returns the kind of the setting that a symptom is attributed to, or the switch itself.

    Replies become unreadable where they are asked for in another form.
    """
    differing = {line.kind for line in lines if line.differs}
    if switch == kinds.UNREAD:
        return next((kind for kind in (kinds.PROMPT, kinds.TEMPLATE) if kind in differing), switch)
    return switch


def _differences(kind: str, lines: Sequence[SettingLine]) -> str:
    return ", ".join(
        f"{line.name} {line.run} and {line.against}" for line in lines if line.differs and line.kind == kind
    )


def _others(
    one: RunSide, two: RunSide, lines: Sequence[SettingLine], taken: set[str], n_shared: int
) -> list[Cause]:
    """Returns the recorded differences whose effects cannot be computed, in the order of `kinds.KINDS`."""
    texts: dict[str, str] = {}
    for kind in kinds.KINDS:
        text = _differences(kind, lines)
        if not text or kind in taken or _cannot_matter(kind, one, two, n_shared):
            continue
        texts[kind] = text
    if kinds.PIXELS in texts:
        texts[kinds.PIXELS] += _tokens(lines)
    longer = _longer_prompts(one, two, lines)
    if longer is not None and kinds.PIXELS not in taken:
        texts.setdefault(kinds.PIXELS, longer)
    return [
        Cause(kind, "differs", texts[kind], None, None, *advice_for(kind, one, two, lines))
        for kind in kinds.KINDS
        if kind in texts
    ]


def _tokens(lines: Sequence[SettingLine]) -> str:
    """Describes how many tokens the images take on both sides, as far as it is known and differs."""
    return "".join(
        f", {line.name} {line.run} and {line.against}"
        for line in lines
        if line.name in ("visual tokens", "prompt tokens") and line.differs
    )


def _cannot_matter(kind: str, one: RunSide, two: RunSide, n_shared: int) -> bool:
    """Checks whether a difference is without effect on these replies."""
    if kind == kinds.TRUNCATION:  # no reply reached either limit
        return not one.facts.n_cut and not two.facts.n_cut and one.facts.n > 0 and two.facts.n > 0
    if kind == kinds.SPLIT:  # computed, or the same questions under another name
        return n_shared > 0
    return False


def _longer_prompts(one: RunSide, two: RunSide, lines: Sequence[SettingLine]) -> str | None:
    """Describes a difference in the length of prompts that can only come from the images."""
    mine, theirs = one.facts.prompt_tokens, two.facts.prompt_tokens
    by_name: Mapping[str, bool | None] = {line.name: line.differs for line in lines}
    same = ("weights", "task", "questions", "prompt", "image")
    if mine is None or theirs is None or any(by_name.get(name) for name in (*same, "chat_template")):
        return None
    if abs(mine - theirs) <= _TOKENS:
        return None
    return (
        f"prompts of {mine:.1f} and {theirs:.1f} tokens on average for the same prompt style and questions, so the "
        "images take another number of tokens"
    )
