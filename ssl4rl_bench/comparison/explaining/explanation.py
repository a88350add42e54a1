"""The result of `explain`: settings side by side, computed effects, and ranked causes. Values are fractions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Standing = Literal["computed", "reproduced", "differs", "possible"]
"""How a cause is known.

- `computed`: it is a recorded difference, and re-scoring the replies without it narrows the gap.
- `reproduced`: the published side does not state it, but re-scoring the replies in this way gives all published
  numbers to the last digit.
- `differs`: it is a recorded difference that can change replies; its effect needs another run.
- `possible`: the published side does not state it, and re-scoring the replies in this way comes within chance of
  its numbers, or closes at least half of the gap. Other causes can have the same effect.
"""


@dataclass(frozen=True, slots=True)
class Estimated:
    """The number of one side."""

    value: float
    n: int | None
    """The number of units that the aggregation counts; None for a published number."""
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Gap:
    """The number of the run minus the number that it is held against."""

    run: Estimated
    against: Estimated
    ci95: tuple[float, float] | None
    """The 95% interval of the gap: paired if both numbers have the same questions and the same aggregation
    (Tango's, as in `compare`), otherwise that of two independent numbers. A published number has no interval, so
    that of the run alone is used. None if it cannot be computed."""

    @property
    def value(self) -> float:
        """The size of the gap, with its sign."""
        return self.run.value - self.against.value

    @property
    def within_chance(self) -> bool:
        """Whether the interval contains 0; without an interval, whether the gap is 0."""
        if self.ci95 is None:
            return self.value == 0.0
        return self.ci95[0] <= 0.0 <= self.ci95[1]


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting on both sides."""

    name: str
    kind: str | None
    """The kind of cause that it belongs to (`kinds.KINDS`); None for a setting that is only shown."""
    run: str
    against: str
    differs: bool | None
    """None if one side did not record it or does not state it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What re-scoring the replies in one other way does to the gap. No other change is applied with it."""

    kind: str
    what: str
    """What is done, as in "RUN read by strict"."""
    gap: Gap
    """The gap after it."""
    change: float
    """The gap after it minus the gap before it."""
    change_ci95: tuple[float, float] | None
    """For another extractor, the paired 95% interval of `change` over questions; None for the other kinds,
    which change the questions or the quantity."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that may explain the gap or a part of it."""

    kind: str
    standing: Standing
    what: str
    """The difference, with the run's value first."""
    effect: Effect | None
    """None for causes whose effect cannot be computed."""
    remaining: Gap | None
    """The gap after this cause and all computed ones before it; None without an effect."""
    advice: str
    """What to do, in one sentence."""
    command: str
    """The command that does it."""


@dataclass(frozen=True, slots=True)
class AbilityNumbers:
    """One ability on both sides."""

    name: str
    run: float | None
    against: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """Something to try about a setting that the published source does not state. It is not named as a cause."""

    kind: str
    advice: str
    command: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the number of a run may differ from another number."""

    task: str
    run: str
    """The label of the run."""
    against: str
    aggregation: str
    against_aggregation: str | None
    """None if a published source does not state it."""
    gap: Gap
    settings: tuple[SettingLine, ...]
    effects: tuple[Effect, ...]
    """All computed effects, also those that do not narrow the gap."""
    causes: tuple[Cause, ...]
    """The ranked causes, the first one first (docs/explain.md has the rule)."""
    remaining: Gap
    """The gap that is left after all computed causes."""
    columns: tuple[AbilityNumbers, ...]
    trials: tuple[Trial, ...]
    n_tried: int
    """The number of combinations of readings that were compared with a published number; 0 for a run."""
    n_near: int
    """How many of them came within chance of the published numbers."""
    verdict: str
    """The result in one sentence."""
    notes: tuple[str, ...]

    @property
    def named(self) -> tuple[str, ...]:
        """The kinds of the causes, in their order (`kinds.KINDS`)."""
        return tuple(cause.kind for cause in self.causes)

    @property
    def differing(self) -> Mapping[str, tuple[str, str]]:
        """The settings that differ, by name, each with the run's value and the other one."""
        return {line.name: (line.run, line.against) for line in self.settings if line.differs}

    def __repr__(self) -> str:
        return f"<Explanation of {self.run} against {self.against}: {', '.join(self.named) or 'no cause'}>"
