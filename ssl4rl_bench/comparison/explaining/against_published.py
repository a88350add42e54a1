"""Ranks the causes of a gap between a run and a published number."""

from __future__ import annotations

from collections.abc import Sequence

from ssl4rl_bench.comparison.explaining import kinds
from ssl4rl_bench.comparison.explaining.between_runs import Ranked
from ssl4rl_bench.comparison.explaining.commands import advice_for
from ssl4rl_bench.comparison.explaining.effects import NEGLIGIBLE, rereading_interval
from ssl4rl_bench.comparison.explaining.explanation import Cause, Effect, SettingLine, Standing
from ssl4rl_bench.comparison.explaining.published_side import PublishedSide
from ssl4rl_bench.comparison.explaining.readings import Departure, PublishedPair, Rescoring
from ssl4rl_bench.comparison.explaining.sides import RunSide
from ssl4rl_bench.core.errors import UsageError


def rank_against_published(
    side: RunSide, published: PublishedSide, aggregation: str, lines: Sequence[SettingLine]
) -> Ranked:
    """Finds and ranks the causes.

    Raises:
        UsageError: the run has no number in any published column.
    """
    pair = PublishedPair(side, published, aggregation, side.facts.repeating)
    start = pair.reading(())
    if start is None:
        raise UsageError(
            f"run {side.evaluated.path} has no number in the columns of {published.label}: name another row or task"
        )
    if start.exact:
        return Ranked(start.gap, (), (), start.gap, (), pair.n_tried, pair.n_near, equal=True)
    known, effects = _known(pair, side, start)
    steps = pair.explaining() if abs((known or [start])[-1].gap.value) > NEGLIGIBLE else []
    near = [reading for reading in steps if steps[-1].near or steps[-1].exact]
    causes = [_cause(side, published, reading, "computed", lines, pair) for reading in known]
    standing: Standing = "reproduced" if near and near[-1].exact else "possible"
    causes += [_cause(side, published, reading, standing, lines, pair) for reading in near]
    effects += [cause.effect for cause in causes if cause.effect and cause.standing == standing]
    remaining = (steps or known or [start])[-1].gap
    if abs(remaining.value) > NEGLIGIBLE:
        others = _others(side, published, lines, {cause.kind for cause in causes})
        first = [cause for cause in others if cause.kind in kinds.INCOMPARABLE]
        causes = [*first, *causes, *(cause for cause in others if cause not in first)]
        if not near:
            far = [_cause(side, published, reading, "possible", lines, pair) for reading in steps]
            causes += far
            effects += [cause.effect for cause in far if cause.effect]
    notes = [] if side.unreadable is None else [f"the replies cannot be read again: {side.unreadable}"]
    return Ranked(
        start.gap, tuple(effects), tuple(causes), remaining, tuple(notes), pair.n_tried, pair.n_near
    )


def _known(pair: PublishedPair, side: RunSide, start: Rescoring) -> tuple[list[Rescoring], list[Effect]]:
    """Applies what the source states, as long as it narrows the gap; returns the steps and all effects."""
    alone = [reading for departure in pair.known if (reading := pair.reading((departure,)))]
    alone.sort(key=lambda reading: abs(reading.gap.value))
    effects = [_effect(side, reading, start, pair) for reading in alone]
    steps: list[Rescoring] = []
    current = start
    for reading in alone:
        made = pair.reading((*(d for step in steps[-1:] for d in step.departures), *reading.departures))
        if made and abs(current.gap.value) - abs(made.gap.value) > NEGLIGIBLE:
            steps.append(made)
            current = made
    return steps, effects


def _effect(side: RunSide, reading: Rescoring, start: Rescoring, pair: PublishedPair) -> Effect:
    kind, value = reading.departures[-1]
    alone = pair.reading((reading.departures[-1],)) or reading
    ends = None
    if kind == kinds.EXTRACTOR:
        ends = rereading_interval(side.outcomes, side.reread(value), pair.aggregation)
    return Effect(
        kind, _what(side, reading.departures[-1]), alone.gap, alone.gap.value - start.gap.value, ends
    )


def _cause(
    side: RunSide,
    published: PublishedSide,
    reading: Rescoring,
    standing: Standing,
    lines: Sequence[SettingLine],
    pair: PublishedPair,
) -> Cause:
    departure = reading.departures[-1]
    start = pair.reading(())
    effect = None if start is None else _effect(side, reading, start, pair)
    advice = advice_for(departure[0], side, published, lines, departure[1])
    return Cause(departure[0], standing, _what(side, departure), effect, reading.gap, *advice)


def _what(side: RunSide, departure: Departure) -> str:
    kind, value = departure
    flagged = {line: side.outcomes.status_counts.get(line, 0) for line in ("truncated", "none", "refusal")}
    texts = {
        kinds.EXTRACTOR: f"replies read by {value} instead of {side.outcomes.extractor}",
        kinds.AGGREGATION: f"scores combined by {value}",
        kinds.REPETITION: f"without the questions of {len(side.facts.repeating)} replies that repeat themselves up "
        "to the token limit",
        kinds.TRUNCATION: f"without the questions of replies that are cut off ({flagged['truncated']} truncated)",
        kinds.UNREAD: "without the questions of "
        f"{flagged['none'] + flagged['refusal']} replies that cannot be read",
    }
    return texts[kind]


def _others(
    side: RunSide, published: PublishedSide, lines: Sequence[SettingLine], taken: set[str]
) -> list[Cause]:
    """Returns the stated differences whose effects cannot be computed, in the order of `kinds.KINDS`."""
    texts: dict[str, str] = {}
    for kind in kinds.KINDS:
        differing = [line for line in lines if line.differs and line.kind == kind]
        if differing and kind not in taken and kind != kinds.AGGREGATION:
            texts[kind] = ", ".join(f"{line.name} {line.run} and {line.against}" for line in differing)
    if kinds.TRUNCATION in texts and not side.facts.n_cut and _is_longer(side, published):
        del texts[kinds.TRUNCATION]  # no reply reached the run's limit, so a higher one changes none
    if kinds.EXTRACTOR in texts and side.unreadable is None:
        del texts[kinds.EXTRACTOR]  # computed, and it does not narrow the gap
    if side.partial_reasons and published.benchmark:
        reasons = "the run is partial: " + ", ".join(side.partial_reasons)
        texts[kinds.SPLIT] = f"{texts[kinds.SPLIT]}; {reasons}" if kinds.SPLIT in texts else reasons
    return [
        Cause(kind, "differs", texts[kind], None, None, *advice_for(kind, side, published, lines))
        for kind in kinds.KINDS
        if kind in texts
    ]


def _is_longer(side: RunSide, published: PublishedSide) -> bool:
    stated = published.settings.get("max_tokens")
    return isinstance(stated, int) and stated >= side.evaluated.spec.tasks[side.task].sampling.max_tokens
