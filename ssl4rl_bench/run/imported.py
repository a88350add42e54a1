"""What is known about an imported run: its source, and which of its settings the source does not state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

IMPORTED = "imported"
"""The engine of a run whose replies come from another tool's file, and the key of `Imported` in its options."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The source of imported replies. It is part of the identity of a run."""

    format: str
    """The name of the file's format (`interop.predictions.reading.FORMATS`)."""
    sha256: str
    """The hex digest of the file."""
    tool: str = ""
    """The program that wrote the file; empty if that is not known."""
    tool_version: str = ""
    """Empty if the file does not state it."""
    unknown: tuple[str, ...] = ()
    """The settings that nobody states, by their names in `comparison.settings.NAMES`."""
    stated: Mapping[str, str] = field(default_factory=dict)
    """Maps each known setting to who states it: "file", "results file" or "user"."""
    recorded_by: str = ""
    """ "mock" if the file was exported from a run of made-up replies; not written if it is empty."""

    @property
    def origin(self) -> str:
        """The tool with its version, or "a table of replies" if the tool is unknown."""
        return f"{self.tool} {self.tool_version}".strip() or "a table of replies"

    def to_json(self) -> dict[str, Any]:
        """Returns the entry of the engine's options in spec.json."""
        entry = {**asdict(self), "unknown": list(self.unknown), "stated": dict(self.stated)}
        return entry if self.recorded_by else {k: v for k, v in entry.items() if k != "recorded_by"}


def imported_of(engine: str, options: Mapping[str, Any]) -> Imported | None:
    """Returns the source of an imported run; None for another engine.

    Raises:
        TypeError: the options do not have the form that `Imported.to_json` returns.
    """
    if engine != IMPORTED:
        return None
    entry = options.get(IMPORTED)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("unknown"), list):
        raise TypeError(f"engine.options.{IMPORTED} is not an object with a list of unknown settings")
    texts = {
        name: entry.get(name, "") for name in ("format", "sha256", "tool", "tool_version", "recorded_by")
    }
    stated = entry.get("stated", {})
    if not isinstance(stated, Mapping) or not all(
        isinstance(text, str) for text in (*texts.values(), *entry["unknown"], *stated, *stated.values())
    ):
        raise TypeError(f"engine.options.{IMPORTED} has values of a wrong type")
    return Imported(**texts, unknown=tuple(entry["unknown"]), stated=dict(stated))
