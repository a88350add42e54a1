"""Puts the settings of both sides side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.explaining.explanation import SettingLine
from ssl4rl_bench.comparison.explaining.kinds import AGGREGATION, EXTRACTOR, kind_of
from ssl4rl_bench.comparison.explaining.published_side import PublishedSide
from ssl4rl_bench.comparison.explaining.sides import RunSide
from ssl4rl_bench.comparison.explaining.visual_tokens import mean_visual_tokens
from ssl4rl_bench.comparison.settings import Setting, setting_differences, software
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.scheme import WITHOUT_WEIGHTS
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.task.extract import check_extractor

NOT_STATED = "not stated"
_ABSENT = "none"
_DIGITS = 12
"""The number of digits that are shown of a fingerprint."""
_SAMPLED = ("temperature", "top_p", "top_k")
_FIRST = (
    *("weights", "task", "version", "questions", AGGREGATION, EXTRACTOR, "prompt", "image", "chat_template"),
    *(
        "min_pixels",
        "max_pixels",
        "visual tokens",
        "prompt tokens",
        "max_tokens",
        *_SAMPLED,
        "repeats",
        "seed",
        "engine",
        "dtype",
    ),
)
"""The order of the lines; others follow."""


@dataclass(frozen=True, slots=True)
class _Shown:
    text: str
    value: Any
    """None if it is not recorded, so that it differs from nothing."""


def lines_of_runs(one: RunSide, two: RunSide, aggregations: tuple[str, str]) -> tuple[SettingLine, ...]:
    """Returns the lines of two runs. Settings that neither run uses are left out."""
    mine, theirs = _of_run(one, aggregations[0]), _of_run(two, aggregations[1])
    recorded = dict(setting_differences(one.settings, two.settings))
    if _is_greedy(_values(one.settings)) and _is_greedy(_values(two.settings)):
        recorded = {name: text for name, text in recorded.items() if name not in _SAMPLED}
    out = []
    for name in _ordered({**mine, **theirs}):
        left, right = mine.get(name, _Shown(_ABSENT, None)), theirs.get(name, _Shown(_ABSENT, None))
        differs: bool | None = left.value != right.value
        if name in one.settings or name in two.settings:
            defaults = [side.settings[name] for side in (one, two) if name in side.settings]
            unknown = any(
                setting.is_unknown or (setting.is_default and setting.value is None) for setting in defaults
            )
            differs = True if name in recorded else None if unknown else False
        elif None in (left.value, right.value) or (name == "weights" and not _comparable(one, two)):
            differs = None
        out.append(SettingLine(name, kind_of(name), left.text, right.text, differs))
    return tuple(line for line in out if (line.run, line.against) != (_ABSENT, _ABSENT))


def lines_of_published(one: RunSide, published: PublishedSide, aggregation: str) -> tuple[SettingLine, ...]:
    """Returns the lines of a run and of what a published source states."""
    mine, stated = _of_run(one, aggregation), dict(published.settings)
    greedy = _is_greedy(_values(one.settings)) and _is_greedy({"temperature": 1.0, **stated})
    out = []
    for name in _ordered({**mine, **stated}):
        left = mine.get(name, _Shown(_ABSENT, None))
        differs: bool | None = None
        text = NOT_STATED
        if name == "task" and published.benchmark:
            text = ", ".join(clean(short_name(task)) for task in published.benchmark)
            differs = one.task not in published.benchmark
        elif name == "weights" and published.benchmark:
            text = clean(published.row.model)  # a name, which may stand for other weights today
        elif name in stated:
            text = clean(stated[name])
            if left.value is not None:  # None: the run did not record it
                differs = not _equal(name, left.value, stated[name]) and not (greedy and name in _SAMPLED)
        elif name == "visual tokens":
            text = _tokens(one, stated.get("min_pixels"), stated.get("max_pixels")).text
        elif kind_of(name) is None and name != "seed":
            text = "–"
        if left.text != _ABSENT or name in stated:
            out.append(SettingLine(name, kind_of(name), left.text, text, differs))
    return tuple(out)


def _of_run(side: RunSide, aggregation: str) -> dict[str, _Shown]:
    spec, outcomes, facts = side.evaluated.spec, side.outcomes, side.facts
    counted, asked = int(outcomes.counted.sum()), len(outcomes.groups)
    content = frozenset(
        text for text, counts in zip(outcomes.content, outcomes.counted, strict=True) if counts
    )
    counts = outcomes.status_counts
    n = sum(counts.values())
    unread = sum(counts.get(status, 0) for status in (Status.NONE, Status.REFUSAL))
    tokens = facts.prompt_tokens
    out = {
        name: _Shown("not recorded" if setting.text == "None" else setting.text, setting.value)
        for name, setting in side.settings.items()
    }
    return out | {
        "weights": _Shown(clean(spec.fingerprint[:_DIGITS]), spec.fingerprint),
        "task": _Shown(short_name(side.task), side.task),
        "version": _Shown(outcomes.version, (side.task, outcomes.version)),
        "questions": _Shown(str(counted) if counted == asked else f"{counted} of {asked}", content),
        AGGREGATION: _Shown(aggregation, aggregation),
        "engine": _Shown(software(spec), None if spec.imported else software(spec)),
        "seed": _Shown(str(spec.seed), spec.seed) if spec.imported is None else _Shown("unknown", None),
        "visual tokens": _tokens(side, side.settings["min_pixels"].value, side.settings["max_pixels"].value),
        "prompt tokens": _Shown("not counted" if tokens is None else f"{tokens:.1f}", tokens),
        "unread replies": _Shown(_share(unread, n), unread),
        "truncated replies": _Shown(
            _share(counts.get(Status.TRUNCATED, 0), n), counts.get(Status.TRUNCATED, 0)
        ),
        "repeating replies": _Shown(_share(len(facts.repeating), n), len(facts.repeating)),
    }


def _tokens(side: RunSide, low: object, high: object) -> _Shown:
    """Returns the mean number of visual tokens of a run's images under pixel limits."""
    mean = mean_visual_tokens(side.image_sizes, low, high)
    return _Shown("not known", None) if mean is None else _Shown(f"about {mean:.1f}", round(mean, 1))


def _share(count: int, n: int) -> str:
    return f"{count} ({100.0 * count / n:.2f}%)" if n else "0"


def _ordered(names: Mapping[str, Any]) -> Iterator[str]:
    yield from (name for name in _FIRST if name in names)
    yield from (name for name in names if name not in _FIRST)


def _comparable(one: RunSide, two: RunSide) -> bool:
    """Checks whether both fingerprints are of the same sort: of weights, or names of one engine."""
    engines = [side.evaluated.spec.engine for side in (one, two)]
    return engines[0] == engines[1] or not set(engines) & set(WITHOUT_WEIGHTS)


def _values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: setting.value for name, setting in settings.items()}


def _is_greedy(values: Mapping[str, Any]) -> bool:
    """Checks whether each token is the most likely one."""
    return values.get("temperature") == 0.0 or values.get("top_k") == 1


def _equal(name: str, mine: Any, stated: Any) -> bool:
    if name == EXTRACTOR:
        return str(mine).partition(" ")[0] == check_extractor(str(stated))
    if name == "version":
        return str(mine[1]) == str(stated)
    if name == "engine" and " " not in str(stated):  # a name without a version
        return str(mine).partition(" ")[0] == str(stated)
    if isinstance(mine, int | float) and isinstance(stated, int | float):
        return float(mine) == float(stated)
    return str(mine) == str(stated)
