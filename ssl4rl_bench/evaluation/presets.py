"""Presets: the settings with which other projects evaluate, each value with its source (`presets.toml`)."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.engines.base import EngineOptions

PIXELS = ("min_pixels", "max_pixels")
"""The settings that are engine options. The others are fields of `EvaluationPlan`."""
SAMPLED = ("top_p", "top_k")
"""Settings that belong to a preset's temperature, and are not used with another one."""
SETTINGS = ("prompt", *PIXELS, "temperature", *SAMPLED, "max_tokens")
"""The names of all settings."""


@dataclass(frozen=True, slots=True)
class SourcedValue:
    """A value, with its source."""

    value: str | int | float
    source: str


@dataclass(frozen=True, slots=True)
class Preset:
    """The settings of another project's evaluation."""

    title: str
    note: str
    """What is unknown, or cannot be reproduced."""
    settings: Mapping[str, SourcedValue]
    """Maps names of `SETTINGS` to values. A setting that is not here keeps its default."""

    def chosen(
        self, options: EngineOptions, given: Mapping[str, Any]
    ) -> tuple[EngineOptions, dict[str, Any]]:
        """Returns the engine options and the settings of a plan, with the preset's values where none is given.

        Args:
            options: the user's engine options; None is not given.
            given: the user's settings by the names of `EvaluationPlan`'s fields; None is not given.

        Raises:
            UsageError: for pixel limits that exclude each other.
        """
        pixels: dict[str, Any] = {name: self.settings[name].value for name in PIXELS if name in self.settings}
        missing = {name: value for name, value in pixels.items() if getattr(options, name) is None}
        out = dict(given)
        for name, setting in self.settings.items():
            is_sampled_otherwise = name in SAMPLED and given.get("temperature") is not None
            if name not in PIXELS and given.get(name) is None and not is_sampled_otherwise:
                out[name] = setting.value
        return dataclasses.replace(options, **missing), out

    def lines(self, options: EngineOptions, chosen: Mapping[str, Any]) -> Iterator[str]:
        """Yields a line for each setting, with its value and source or the user's value, and the note.

        Args:
            options, chosen: the options and settings in effect (`chosen`).
        """
        for name, setting in self.settings.items():
            value = getattr(options, name) if name in PIXELS else chosen[name]
            if value == setting.value:
                yield f"{name} {setting.value}: {setting.source}"
            elif value is None:
                yield f"{name} of the task, not {setting.value}, since another temperature is given"
            else:
                yield f"{name} {value}, as given, instead of {setting.value}"
        yield f"note: {self.note}"


def preset_names() -> list[str]:
    """Returns the names of the presets, in the order of the file."""
    return list(_presets())


def load_preset(name: str) -> Preset:
    """Returns a preset by its name.

    Raises:
        UsageError: for an unknown name.
    """
    known = _presets()
    if name not in known:
        raise UsageError(f"no preset {name!r}{did_you_mean(name, known)} (there are {', '.join(known)})")
    return known[name]


@cache
def _presets() -> dict[str, Preset]:
    text = files("ssl4rl_bench.evaluation").joinpath("presets.toml").read_text("utf-8")
    presets = {}
    for name, table in tomllib.loads(text).items():
        settings = {key: SourcedValue(**setting) for key, setting in table["settings"].items()}
        presets[name] = Preset(table["title"], table["note"], settings)
    return presets
