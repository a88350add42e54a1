"""Plots the metrics of a run in small panels, or the rewards of several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any

from ssl4rl_bench.core.atomic import write_bytes
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.parsing import decode_text, parse_json
from ssl4rl_bench.reports.figures.axes import PERCENT, over_steps, ticks
from ssl4rl_bench.reports.figures.palette import MUTED, SERIES
from ssl4rl_bench.reports.figures.sheet import Sheet, fit

REWARD = "reward/"
"""Prefix of the keys of the tasks' mean rewards."""
WIDTH, DPI = 720.0, 160
"""Width in points and resolution in pixels per inch: 1600 pixels; text is readable at half that size."""
COLUMNS = 3
SMOOTHED = 15
"""Runs are smoothed over about steps / SMOOTHED steps; those of fewer than 2 * SMOOTHED are not smoothed."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel below the rewards."""

    title: str
    keys: Mapping[str, str]
    """Legend labels by metric; the label may be empty in a panel of one metric."""
    shares: bool = False
    """Whether the values are fractions, shown as percentages."""
    log: bool = False


PANELS = (
    Panel("Form of replies", {"format": "in form", "cut_off": "cut off"}, shares=True),
    Panel("Reply length, tokens", {"reply_tokens": ""}),
    Panel("Groups without spread", {"flat_groups": ""}, shares=True),
    Panel("KL from the base", {"kl": ""}),
    Panel("Entropy, nats", {"entropy": ""}),
    Panel("Tokens clipped", {"clip": ""}, shares=True),
    Panel("Loss", {"loss": ""}),
    Panel("Replay, nats per token", {"replay_loss": ""}),
    Panel("Gradient norm", {"grad_norm": ""}, log=True),
    Panel("Replies a second", {"replies_per_s": ""}),
)
"""The panels in order; panels without data are omitted."""

Series = tuple[list[float], list[float]]
"""Steps and values."""
_LEFT, _GAP, _DASHES = 44.0, 44.0, (4.0, 3.0)


_Line = tuple[str, str, Series]
"""Name (which may be empty), colour and data of a line."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A panel with its data."""

    panel: Panel
    lines: Sequence[_Line]
    levels: Sequence[tuple[str, float]] = ()
    """Colours and values of dashed lines."""


def draw(metrics: Path, out: Path, title: str, chance: Mapping[str, float] | None = None) -> None:
    """Plots the metrics.jsonl of a run as a PNG file.

    Args:
        chance: the reward of a blind guess by task ("ssl_rotation_90"), drawn as a dashed line.

    Raises:
        DataError: there are no metrics, or a line is invalid.
        StoreError: the disk is full, or permission is denied.
    """
    lines = read_metrics(metrics)
    tasks = {key: key.removeprefix(REWARD) for key in _reward_keys(lines)}
    rewards = _known(lines, Panel(f"{title} · mean reward", tasks))
    levels = [(colour, chance[name]) for name, colour, _ in rewards.lines if chance and name in chance]
    panels = [drawn for panel in PANELS if (drawn := _known(lines, panel)).lines]
    sheet = Sheet(WIDTH)
    y = _rows(sheet, 4.0, [replace(rewards, levels=levels)], 1, 130.0)
    y = _rows(sheet, y, panels, COLUMNS, 88.0)
    _write(sheet, y, out, [lines], "; dashed: reward of a blind guess" if chance else "")


def draw_many(runs: Mapping[str, Path], out: Path) -> None:
    """Plots the rewards of several runs as a PNG file, with one panel per task for the runs trained on it.

    Args:
        runs: paths of metrics.jsonl by name of the run. A run has the same colour in all panels, and runs in
            the same panel have different colours as far as there are enough.

    Raises:
        DataError, StoreError: as for `draw`.
    """
    if not runs:
        raise DataError("no runs to draw: name one or more.")
    read_runs = {name: read_metrics(path) for name, path in runs.items()}
    tasks = list(dict.fromkeys(key for lines in read_runs.values() for key in _reward_keys(lines)))
    colours = _colours({name: set(_reward_keys(lines)) for name, lines in read_runs.items()})
    panels = []
    for key in tasks:
        every = [(name, colours[name], series(lines, key)) for name, lines in read_runs.items()]
        panel = Panel(f"{key.removeprefix(REWARD)} · mean reward", {})
        panels.append(_Drawn(panel, [line for line in every if line[2][0]]))
    sheet = Sheet(WIDTH)
    y = _rows(sheet, 4.0, panels, min(2, len(tasks)), 140.0)
    _write(sheet, y, out, list(read_runs.values()))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads a metrics.jsonl in the order of steps; of a step repeated after a resume, the last line counts.

    A truncated last line (which the run is still writing) is ignored.

    Raises:
        DataError: the file is missing or empty, or a line is not a JSON object with a step.
    """
    try:
        rows = decode_text(path.read_bytes()).splitlines(keepends=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as metrics ({error}).") from None
    by_step: dict[float, dict[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            line = parse_json(row)
            by_step[float(line["step"])] = line
        except (ValueError, TypeError, KeyError):
            if number == len(rows) and not row.endswith("\n"):
                break
            raise DataError(f"{path}, line {number} is not a JSON object with a step.") from None
    if not by_step:
        raise DataError(f"{path} has no metrics yet: they appear after the first step.")
    return [by_step[step] for step in sorted(by_step)]


def series(lines: Sequence[Mapping[str, Any]], key: str) -> Series:
    """Returns the steps at which a metric is a finite number, and its values at these steps."""
    points = [
        (float(line["step"]), float(line[key]))
        for line in lines
        if isinstance(line.get(key), int | float) and math.isfinite(line[key])
    ]
    return [step for step, _ in points], [value for _, value in points]


def window(n: int) -> int:
    """Returns the width of the moving average over n steps: an odd number near a fifteenth of n."""
    return 1 if n < 2 * SMOOTHED else n // SMOOTHED // 2 * 2 + 1


def smooth(values: Sequence[float], width: int) -> list[float]:
    """Returns centred means over `width` values (an odd number); the window is cut off at both ends."""
    reach = width // 2
    return [fmean(values[max(0, index - reach) : index + reach + 1]) for index in range(len(values))]


def _colours(tasks: Mapping[str, set[str]]) -> dict[str, str]:
    """Returns a colour for each run: if possible, one that no earlier run with a common task has."""
    out: dict[str, str] = {}
    for name, task_set in tasks.items():
        taken = {out[other] for other in out if task_set & tasks[other]}
        free = [colour for colour in SERIES if colour not in taken]
        out[name] = free[0] if free else SERIES[len(out) % len(SERIES)]
    return out


def _reward_keys(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for line in lines for key in line if key.startswith(REWARD))
    return sorted(keys) or ["reward"]


def _known(lines: Sequence[Mapping[str, Any]], panel: Panel) -> _Drawn:
    """Returns a panel with those of its metrics that have data."""
    every = [
        (name, colour, series(lines, key))
        for (key, name), colour in zip(panel.keys.items(), cycle(SERIES), strict=False)
    ]
    return _Drawn(panel, [line for line in every if line[2][0]])


def _rows(sheet: Sheet, y: float, panels: Sequence[_Drawn], columns: int, height: float) -> float:
    """Draws panels in rows, starting at `y`, and returns the y coordinate where they end.

    Args:
        height: height of the axes, without titles and legends.
    """
    wide = (WIDTH - _LEFT - 8.0 + _GAP) / columns - _GAP
    for start in range(0, len(panels), columns):
        row = [
            (_LEFT + index * (wide + _GAP), drawn)
            for index, drawn in enumerate(panels[start : start + columns])
        ]
        tops = []
        for left, drawn in row:
            title = fit(drawn.panel.title, wide, 10.0)
            sheet.text(left, y + 8, title, side="left", size=10.0)
            named = [(name, colour, "line") for name, colour, _ in drawn.lines if name]
            tops.append(sheet.legend(y + 23, named, left, left + wide) - 4 if named else y + 19)
        bottom = max(tops) + height
        for (left, drawn), top in zip(row, tops, strict=True):
            _fill(sheet, (left, top, wide, bottom - top), drawn)
        y = bottom + 22
    return y


def _fill(sheet: Sheet, box: tuple[float, float, float, float], drawn: _Drawn) -> None:
    """Draws a faint point for each step, a line for their moving average, and the dashed lines."""
    steps = [step for _, _, (steps, _) in drawn.lines for step in steps]
    seen = [value for _, _, (_, values) in drawn.lines for value in values]
    log = drawn.panel.log and min(seen) > 0 and max(seen) > 20 * min(seen)
    place = math.log10 if log else float
    seen += [level for _, level in drawn.levels] + [0.0] * drawn.panel.shares
    low, high = place(min(seen, default=0.0)), place(max(seen, default=1.0))
    air = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    low, high = low - air, high + air
    if log:
        labels = [(float(power), f"{10.0**power:g}") for power in range(math.ceil(low), math.floor(high) + 1)]
    else:
        labels = ticks(low, high, 7, *((PERCENT, "%") if drawn.panel.shares else ()))
    axes = over_steps(sheet, box, steps, (low, high), labels)
    for _, colour, (steps, values) in drawn.lines:
        width = window(len(values))
        if width > 1:
            axes.marks(steps, map(place, values), "o", colour, size=2.0, opacity=0.3)
        axes.line(steps, map(place, smooth(values, width)), colour, width=1.7)
        if len(values) == 1:
            axes.marks(steps, map(place, values), "o", colour)
    for colour, level in drawn.levels:
        axes.level(level, colour, width=1.0, dashes=_DASHES)


def _write(
    sheet: Sheet, y: float, out: Path, runs: Sequence[Sequence[Mapping[str, Any]]], more: str = ""
) -> None:
    """Adds a line at the bottom that explains the marks, and writes the file."""
    widths = sorted({window(len(lines)) for lines in runs})
    over = "–".join(str(width) for width in dict.fromkeys((widths[0], widths[-1])))
    how = f"; points: each step, lines: mean over {over} steps" if widths[-1] > 1 else ""
    sheet.text(WIDTH / 2, y + 4, f"step{how}{more}", MUTED, size=8.5)
    sheet.height = y + 14
    write_bytes(out, sheet.png(DPI))
