"""What the rows and columns of a card's table claim to be, and how each such claim is computed.

The printed numbers are used, in exact decimal arithmetic. A printed number agrees with a recomputed one if
they differ by at most one unit in its last place. Authors compute from numbers with more digits than they
print, and round or truncate, which can move a difference or a mean of printed numbers by that much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from enum import StrEnum

from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS


class LabelRole(StrEnum):
    """The role of a row or a column, by its label."""

    LEVEL = "level"
    """Scores of a model or of a benchmark."""
    BASE = "base"
    """Levels that the other levels are compared with."""
    IMPROVEMENT = "improvement"
    AVERAGE = "average"
    OTHER = "other"
    """Numbers that are not scores: sizes, steps, counts."""


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
_MORE = re.compile(r"↑|higher is better", re.IGNORECASE)
_LESS = re.compile(
    r"↓|lower is better"
    r"|\b(?:error(?!\s*(?:detect|correct|analy|find|spot))|loss|perplexity|ppl|nll|mse|rmse|mae|[wc]er|fid)\b",
    re.IGNORECASE,
)
_RATE = re.compile(r"\b(?:throughput|speed|fps)\b|\b\w{2,}\s*(?:/|per)\s*s(?:ec(?:ond)?)?\b", re.IGNORECASE)
_SIZE = re.compile(r"\b(?:params?|parameters|size|tokens?|length|rank)\b", re.IGNORECASE)
_UNCLEAR = re.compile(
    rf"\b(?:{_COST}|hallucinations?|toxicity|refusals?|bias|gap|distance|kl|ece|chair)\b", re.IGNORECASE
)
_ABILITIES = (
    r"logic(?:al)?(?:reasoning)?|lr",
    r"relation(?:al)?(?:reasoning)?|rr",
    r"attribute(?:reasoning)?|ar",
    r"coarse(?:perception)?|cp",
    r"(?:finegrainedperception)?crossinst(?:ance)?|fpc(?:ross)?",
    r"singleinst(?:ance)?|(?:finegrainedperception)?instancelevel|fps(?:ingle)?",
)
"""Spellings of the abilities of `CARD_COLUMNS`, letters only."""


def role(label: str) -> LabelRole:
    """Returns the role of a row or a column from its label alone."""
    if _CHANGE.fullmatch(label):
        return LabelRole.IMPROVEMENT
    if _AVERAGE.fullmatch(label):
        return LabelRole.AVERAGE
    if _OTHER.fullmatch(label):
        return LabelRole.OTHER
    return LabelRole.BASE if _BASE.search(label) else LabelRole.LEVEL


Extremum = Callable[[Iterable[Decimal]], Decimal]
"""`max` or `min`."""


def better_ends(header: str) -> tuple[Extremum, ...]:
    """Returns which end of a column may be its best: `max`, `min`, or both if its header can mean either.

    An arrow or "lower is better" decides. Without one, losses are better if lower, and so are costs with a
    unit or a ratio ("Time/step", "Latency (ms)"). A word that can also name an ability ("Memory", "Time") can
    mean either.
    """
    if _MORE.search(header):
        return (max,)
    if _LESS.search(header):
        return (min,)
    if _RATE.search(header):
        return (max,)
    if role(header) is not LabelRole.OTHER or is_count(header):
        return (max, min) if _UNCLEAR.search(header) else (max,)
    return (min,) if re.search(r"[/(\[]|\bper\b", header) and not _SIZE.search(header) else (max, min)


def is_count(header: str) -> bool:
    """Whether a column holds numbers that are neither better nor worse: steps, seeds, years, questions."""
    return bool(_COUNT.fullmatch(header))


def ability(header: str) -> str | None:
    """Returns the MMBench ability that a header names in any of the usual spellings, or None."""
    letters = re.sub(r"[^a-z]", "", header.lower())
    spellings = zip(_ABILITIES, CARD_COLUMNS, strict=True)
    return next((name for pattern, (_, name) in spellings if re.fullmatch(pattern, letters)), None)


class Unit(StrEnum):
    """The unit in which changes are printed; the value is its text in a note."""

    POINTS = ""
    PERCENT = ", in percent of it"
    FRACTIONS = ", in points"
    """Percentage points, for levels that are fractions."""

    def change(self, level: Decimal, base: Decimal) -> Decimal | None:
        """Returns the change from `base` to `level` in this unit; None for percent of a base of 0."""
        if self is Unit.PERCENT:
            return 100 * (level - base) / abs(base) if base else None
        return (100 if self is Unit.FRACTIONS else 1) * (level - base)

    def agrees(self, printed: Decimal, change: Decimal, base: Decimal, decimals: int, places: int) -> bool:
        """Whether a printed change can be this one, rounded or truncated.

        Args:
            decimals: the decimals of the printed change.
            places: the decimals of the levels, whose rounding error other units than points multiply.
        """
        if self is Unit.POINTS:
            return abs(printed - change) <= Decimal(1).scaleb(-min(decimals, places))
        slack = Decimal(100).scaleb(-places) * (2 / abs(base) if self is Unit.PERCENT else 1)
        return abs(printed - change) <= Decimal(1).scaleb(-decimals) + slack


ComparedLevel = Callable[[Sequence[Decimal], Extremum], Decimal]
"""Computes what a row of changes compares with the base, from the other levels and the better end."""
_BEST: tuple[str, ComparedLevel] = ("the best of the others", lambda levels, best: best(levels))
_LAST: tuple[str, ComparedLevel] = ("the one before", lambda levels, best: levels[-1])
_MEAN: tuple[str, ComparedLevel] = (
    "the mean of the others",
    lambda levels, best: sum(levels, Decimal()) / len(levels),
)


def maximal(label: str) -> bool:
    """Whether the label of a row of changes says that it refers to the best."""
    return bool(re.search(r"\b(?:max|best)", label, re.IGNORECASE))


def readings(label: str, fractions: bool) -> Iterator[tuple[Unit, str, ComparedLevel]]:
    """Yields ways to read a row of changes, the likeliest first: unit, description, and what is compared.

    Args:
        fractions: whether all levels are fractions, so that changes may be in points or percent too.
    """
    relative = bool(re.search(r"\brel|%", label, re.IGNORECASE))
    levels = (_BEST,) if maximal(label) else (_LAST, _BEST) if relative else (_BEST, _LAST, _MEAN)
    units = (Unit.PERCENT, Unit.POINTS) if relative else (Unit.POINTS,)
    for unit in (*units, Unit.FRACTIONS) if fractions else units:
        for what, level in levels:
            yield unit, what, level
    for what, level in (_BEST, _LAST) if fractions else ():
        yield Unit.PERCENT, what, level
