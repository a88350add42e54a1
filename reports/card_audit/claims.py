"""What the rows and columns of a card's table claim to be, and how each such claim is computed.

Numbers are those printed, in exact decimal arithmetic. A printed number agrees with a recomputed one if it is at
most a unit of its last place away: authors derive from numbers with more digits than they print, and round or
truncate, which moves a difference or a mean of printed numbers by so much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS


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

_ALIASES = {
    "Logical": "logic logicalreasoning lr",
    "Relation": "relational relationalreasoning rr",
    "Attribute": "ar",
    "Coarse": "cp",
    "Cross-Inst.": "crossinstance fpc fpcross",
    "Single-Inst.": "singleinstance instancelevel fps fpsingle",
}
"""Spellings beside the header and the ability's own name, letters only."""
_ABILITY_OF = {
    re.sub(r"[^a-z]", "", name.lower()): ability
    for header, ability in CARD_COLUMNS
    for name in (header, ability, *_ALIASES[header].split())
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


class Unit(StrEnum):
    """What changes are printed in; the value is how a note says so."""

    POINTS = ""
    PERCENT = ", in percent of it"
    FRACTIONS = ", in points"
    """Points, of levels that are fractions."""

    def change(self, level: Decimal, base: Decimal) -> Decimal | None:
        """None for percent of nothing."""
        if self is Unit.PERCENT:
            return 100 * (level - base) / abs(base) if base else None
        return (100 if self is Unit.FRACTIONS else 1) * (level - base)

    def agrees(self, printed: Decimal, change: Decimal, base: Decimal, decimals: int, places: int) -> bool:
        """Whether a printed change can be this one.

        Args:
            decimals: of the printed change.
            places: of the levels, whose rounding a quotient or a difference of fractions multiplies.
        """
        if self is Unit.POINTS:
            return close(printed, change, min(decimals, places))
        slack = Decimal(100).scaleb(-places)
        return close(printed, change, decimals, 2 * slack / abs(base) if self is Unit.PERCENT else slack)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to compute a row of changes from the rows of levels."""

    level_name: str
    level: Callable[[Sequence[Decimal], bool], Decimal]
    """What is compared with the base, of the levels of the others and whether less is better."""
    unit: Unit = Unit.POINTS

    @property
    def what(self) -> str:
        """In words: "the best of the others minus {base}"."""
        return f"{self.level_name} minus {{base}}" + (
            ", in percent of {base}" if self.unit is Unit.PERCENT else ""
        )


_BEST = Reading("the best of the others", lambda levels, lower: min(levels) if lower else max(levels))
_LAST = Reading("the one before", lambda levels, lower: levels[-1])
_MEAN = Reading("the mean of the others", lambda levels, lower: sum(levels, Decimal()) / len(levels))
_BEST_PERCENT, _LAST_PERCENT = replace(_BEST, unit=Unit.PERCENT), replace(_LAST, unit=Unit.PERCENT)
_READINGS = {
    (True, True): (_BEST_PERCENT, _BEST),
    (True, False): (_BEST,),
    (False, True): (_LAST_PERCENT, _BEST_PERCENT, _LAST, _BEST),
    (False, False): (_BEST, _LAST, _MEAN),
}
"""By whether a label says that it is of the best, and that it is relative; the likeliest first."""


def maximal(label: str) -> bool:
    """Whether a row of changes says that it is of the best."""
    return bool(_MAXIMAL.search(label))


def readings(label: str, fractions: bool = False) -> tuple[Reading, ...]:
    """The ways to read a row of changes of this label.

    Args:
        fractions: whether all levels are fractions, so that changes may be in points.
    """
    ways = _READINGS[maximal(label), bool(_RELATIVE.search(label))]
    if not fractions:
        return ways
    points = [replace(way, unit=Unit.FRACTIONS) for way in ways if way.unit is Unit.POINTS]
    return (*ways, *points, *(way for way in (_BEST_PERCENT, _LAST_PERCENT) if way not in ways))
