"""What the rows and columns of a card's table claim to be, and how each such claim is computed.

Numbers are those printed, in exact decimal arithmetic. A printed number agrees with a recomputed one if it is at
most a unit of its last place away: authors derive from numbers with more digits than they print, and round or
truncate, which moves a difference or a mean of printed numbers by so much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from ssl4rl_bench.reports.card_audit.cells import Cell
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS, EDITIONS, L2_OF


class Role(StrEnum):
    """What a row or a column is, by its label."""

    LEVEL = "level"
    """A model's scores, or a benchmark's."""
    BASE = "base"
    """Levels that the others are compared with."""
    IMPROVEMENT = "improvement"
    AVERAGE = "average"
    OTHER = "other"
    """Numbers that are no scores: sizes, steps, counts."""


_CHANGE = re.compile(
    r"\W*(?:(?:max(?:imal|imum|\.)?|best|avg\.?|average|mean|relative|rel\.?|absolute|abs\.?|net|total|our)[\s-]+)*"
    r"(?:improv(?:ements?|\.|e)?|gains?|Δ|delta|diff(?:erences?|\.)?|increase|uplift)(?:\s*[(%↑↓:/].*|\s+(?:over|vs\.?|to|from|in)\b.*)?\W*",
    re.IGNORECASE,
)
_AVERAGE = re.compile(
    r"\W*(?:(?:macro|micro|weighted|grand)[\s-]*)?(?:avg\.?|average|mean|overall)(?:[\s-]+(?:score|acc\w*\.?))?(?:\s*[(%↑↓].*)?\W*",
    re.IGNORECASE,
)
_BASE = re.compile(r"\b(?:base|baseline|vanilla|original|zero-shot|pre-?trained|untrained)\b", re.IGNORECASE)
_COST = (
    r"(?:time|latency|runtime|duration|hours?|memory|mem|vram|[gt]?flops|params?|parameters|tokens?|cost|energy"
    r"|throughput|speed|fps|size|length|rank)"
)
_COUNTED = r"(?:#.*|n|k|steps?|epochs?|year|seeds?|lr|samples?|questions?|images?|count)"
_COUNT = re.compile(rf"\W*{_COUNTED}(?:\s*[(\[].*)?\W*", re.IGNORECASE)
_OTHER = re.compile(
    rf"\W*(?:{_COUNTED}"
    r"|(?:(?:train(?:ing)?|inference|wall|clock|gpu|peak|total|avg\.?|mean|average|max|model|step|run|decod\w+"
    rf"|output|reply|response)[\s-]*)*{_COST}(?:\s*(?:/|per)\s*\w+)?(?:\s*usage)?"
    r"|\w+\s*(?:/|per)\s*(?:s|secs?|seconds?|steps?|iter|iteration|it|tokens?|images?|samples?|query|question|epoch))"
    r"(?:\s*[(\[↑↓].*)?\W*",
    re.IGNORECASE,
)
_LOSS = re.compile(
    r"\b(?:error(?!\s*(?:detect|correct|analy|find|spot))|loss|perplexity|ppl|nll|mse|rmse|mae|[wc]er|fid)\b",
    re.IGNORECASE,
)
_RATE = re.compile(r"\b(?:throughput|speed|fps)\b|\b\w{2,}\s*(?:/|per)\s*s(?:ec(?:ond)?)?\b", re.IGNORECASE)
_UNCLEAR = re.compile(
    rf"\b(?:{_COST}|hallucinations?|toxicity|refusals?|bias|gap|distance|kl|ece|chair)\b", re.IGNORECASE
)
_MAXIMAL = re.compile(r"\b(?:max|best)", re.IGNORECASE)
_RELATIVE = re.compile(r"\brel|%", re.IGNORECASE)

_ALIASES: Mapping[str, Sequence[str]] = {
    "logic_reasoning": ("logical", "logic", "logicalreasoning", "lr"),
    "relation_reasoning": ("relation", "relational", "relationalreasoning", "rr"),
    "attribute_reasoning": ("attribute", "ar"),
    "coarse_perception": ("coarse", "cp"),
    "finegrained_perception (cross-instance)": ("crossinstance", "crossinst", "fpc", "fpcross"),
    "finegrained_perception (instance-level)": (
        "singleinstance",
        "singleinst",
        "instancelevel",
        "fps",
        "fpsingle",
    ),
}
_ABILITY_OF = {
    re.sub(r"[^a-z]", "", name.lower()): ability
    for header, ability in CARD_COLUMNS
    for name in (header, ability, *_ALIASES[ability])
}


def role(label: str) -> Role:
    """By the label alone."""
    if _CHANGE.fullmatch(label):
        return Role.IMPROVEMENT
    if _AVERAGE.fullmatch(label):
        return Role.AVERAGE
    if _OTHER.fullmatch(label):
        return Role.OTHER
    return Role.BASE if _BASE.search(label) else Role.LEVEL


def lower_is_better(header: str) -> bool:
    return best_of(header) == (min,)


def best_of(header: str) -> tuple[Callable[[Iterable[Decimal]], Decimal], ...]:
    """Which end of a column may be its best: `max`, `min`, or both where its header can mean either.

    An arrow or "lower is better" decides. Without one a loss, and a cost with a unit or a ratio ("Time/step",
    "Latency (ms)"), is better if lower; a word that can also name an ability ("Memory", "Time") can mean either.
    """
    if re.search(r"↑|higher is better", header, re.IGNORECASE):
        return (max,)
    if re.search(r"↓|lower is better", header, re.IGNORECASE) or _LOSS.search(header):
        return (min,)
    if _RATE.search(header):
        return (max,)
    if role(header) is not Role.OTHER or is_count(header):
        return (max, min) if _UNCLEAR.search(header) else (max,)
    if re.search(r"\b(?:params?|parameters|size|tokens?|length|rank)\b", header, re.IGNORECASE):
        return (max, min)
    return (min,) if re.search(r"[/(\[]|\bper\b", header) else (max, min)


def is_count(header: str) -> bool:
    """Whether a column is of numbers of which none is better: steps, seeds, years, questions."""
    return bool(_COUNT.fullmatch(header))


def ability(header: str) -> str | None:
    """The ability of MMBench that a column is named after, in any of the usual spellings."""
    return _ABILITY_OF.get(re.sub(r"[^a-z]", "", header.lower()))


def close(printed: Decimal, expected: Decimal, decimals: int, slack: Decimal = Decimal(0)) -> bool:
    """Whether a number with so many digits after the point can be the expected one, rounded or truncated.

    Args:
        slack: what the rounding of its parts adds, beyond a unit of the last place.
    """
    return abs(printed - expected) <= Decimal(1).scaleb(-decimals) + slack


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to compute a row of changes from the rows of levels."""

    what: str
    """In words: "the best of the others minus {base}"."""
    level: Callable[[Sequence[Decimal], bool], Decimal]
    """What is compared with the base, of the levels of the others and whether less is better."""
    relative: bool = False
    """In percent of the base."""
    scale: int = 1
    """100: in points, of levels that are fractions."""

    def of(self, levels: Sequence[Decimal], base: Decimal, lower: bool) -> Decimal | None:
        """The change; None for one in percent of nothing."""
        change = self.level(levels, lower) - base
        if not self.relative:
            return self.scale * change
        return 100 * change / abs(base) if base else None

    def slack(self, base: Decimal, decimals: int) -> Decimal:
        """See `close`: of a quotient or of a difference of fractions, the rounding of both of its parts.

        Args:
            decimals: of the levels.
        """
        if self.scale > 1:
            return self.scale * Decimal(1).scaleb(-decimals)
        return 200 * Decimal(1).scaleb(-decimals) / abs(base) if self.relative and base else Decimal(0)


def _best(levels: Sequence[Decimal], lower: bool) -> Decimal:
    return min(levels) if lower else max(levels)


def _last(levels: Sequence[Decimal], lower: bool) -> Decimal:
    return levels[-1]


def _mean(levels: Sequence[Decimal], lower: bool) -> Decimal:
    return sum(levels, Decimal()) / len(levels)


MAXIMUM = Reading("the best of the others minus {base}", _best)
LAST = Reading("the one before minus {base}", _last)
MEAN = Reading("the mean of the others minus {base}", _mean)
RELATIVE = Reading("the best of the others minus {base}, in percent of {base}", _best, relative=True)
LAST_RELATIVE = Reading("the one before minus {base}, in percent of {base}", _last, relative=True)


def maximal(label: str) -> bool:
    """Whether a row of changes says that it is of the best."""
    return bool(_MAXIMAL.search(label))


def readings(label: str, fractions: bool = False) -> tuple[Reading, ...]:
    """The ways to read a row of changes of this label, the likeliest first.

    Args:
        fractions: whether all levels are fractions, so that changes may be in points.
    """
    ways = _readings(label)
    if not fractions:
        return ways
    points = [replace(way, scale=100) for way in ways if not way.relative]
    return (*ways, *points, *(way for way in (RELATIVE, LAST_RELATIVE) if way not in ways))


def _readings(label: str) -> tuple[Reading, ...]:
    if maximal(label):
        return (RELATIVE, MAXIMUM) if _RELATIVE.search(label) else (MAXIMUM,)
    if _RELATIVE.search(label):
        return (LAST_RELATIVE, RELATIVE, LAST, MAXIMUM)
    return (MAXIMUM, LAST, MEAN)


@dataclass(frozen=True, slots=True)
class Weighting:
    """One way to average columns."""

    what: str
    weights: tuple[int, ...]

    def of(self, cells: Sequence[Cell]) -> Decimal | None:
        """The weighted mean of the cells' values; None if one is missing."""
        total = Decimal()
        for weight, cell in zip(self.weights, cells, strict=True):
            if cell.value is None:
                return None
            total += weight * cell.value
        return total / sum(self.weights)


def weightings(headers: Sequence[str]) -> list[Weighting]:
    """The plain mean, and for MMBench's six abilities those weighted by the questions of each known dev edition."""
    found = [Weighting(f"the plain mean of the {len(headers)} columns", (1,) * len(headers))]
    abilities = [ability(header) for header in headers]
    if set(abilities) == {name for _, name in CARD_COLUMNS} and len(abilities) == len(CARD_COLUMNS):
        for edition in EDITIONS.values():
            if edition.leaves is not None:
                counts = {
                    name: sum(n for leaf, n in edition.leaves.items() if L2_OF[leaf] == name)
                    for name in abilities
                    if name
                }
                weights = tuple(counts[name] for name in abilities if name)
                found.append(Weighting(f"the question-weighted mean of {edition.title}", weights))
    return found
