"""What trackers receive, and what each of them implements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ssl4rl_bench.core.identity import sha256_json


@dataclass(frozen=True, slots=True)
class StepRecord:
    """Numbers and texts at one step of a training."""

    step: int | None
    """The trainer's step; None if the checkpoint's name and files do not have one."""
    scalars: Mapping[str, float]
    """Fractions and counts by their names (`records`)."""
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A digest of the content, by which a record is sent only once."""
        return sha256_json(asdict(self))


@dataclass(frozen=True, slots=True)
class Header:
    """The run of a tracker that records belong to. The same header continues the same run."""

    name: str
    """Its name for people; unique for its id."""
    id: str
    """Its id: letters, digits, dashes and underscores."""
    facts: Mapping[str, Any]
    """Provenance, as JSON values, without secrets."""
    tags: tuple[str, ...] = ()


class Log(Protocol):
    """An open run of a tracker."""

    @property
    def place(self) -> str:
        """Where it can be seen, or what to do to see it."""
        ...

    def write(self, record: StepRecord) -> None:
        """Writes a record."""
        ...

    def close(self) -> None:
        """Writes everything that is pending. It may take a while; `sending` limits the time."""
        ...
