"""Pictures of a run's metrics: small panels of its own, or the rewards of several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any

from ssl4rl_bench.core.atomic import write_bytes
from ssl4rl_bench.core.errors import DataError, MissingDependency
from ssl4rl_bench.core.parsing import decode_text, parse_json

REWARD = "reward/"
"""Start of the key of a task's mean reward."""
WIDTH, DPI = 10.0, 160
"""Inches, and pixels an inch: 1600 pixels, text readable at half of that."""
COLUMNS = 3
SMOOTHED = 15
"""Steps in a run of fewer than twice as many are drawn as they are."""

_COLOURS = ("#0a6ebd", "#d1495b", "#2e8b57", "#e08e0b", "#7b4ea3", "#1aa6a6", "#8c564b", "#5b6570")
_INK, _FAINT, _GRID = "#22252b", "#6b7078", "#e3e5e8"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel below the rewards."""

    title: str
    keys: Mapping[str, str]
    """Metric to what the panel calls it; a panel of one metric needs no name for it."""
    shares: bool = False
    """Fractions, shown as percent."""
    log: bool = False


PANELS = (
    Panel("Form of replies", {"format": "in form", "cut_off": "cut off"}, shares=True),
    Panel("Reply length, tokens", {"reply_tokens": ""}),
    Panel("Groups without spread", {"flat_groups": ""}, shares=True),
    Panel("KL from the base", {"kl": ""}),
    Panel("Entropy, nats", {"entropy": ""}),
    Panel("Tokens clipped", {"clip": ""}, shares=True),
    Panel("Loss", {"loss": ""}),
    Panel("Gradient norm", {"grad_norm": ""}, log=True),
    Panel("Replies a second", {"replies_per_s": ""}),
)
"""In their order; those without data are left out."""

Series = tuple[list[float], list[float]]
"""Steps, and a value for each."""


def draw(metrics: Path, out: Path, title: str, chance: Mapping[str, float] | None = None) -> None:
    """Draws a run's metrics.jsonl as a PNG file.

    Args:
        chance: by task ("ssl_rotation_90"), the reward of a blind guess: a dashed line.

    Raises:
        DataError: there are no metrics, or a line is damaged.
        MissingDependency: matplotlib is not installed.
        StoreError: full disk, no permission.
    """
    lines = read(metrics)
    panels = [panel for panel in PANELS if any(series(lines, key)[0] for key in panel.keys)]
    rows = math.ceil(len(panels) / COLUMNS)
    with _figure(2.9 + 1.75 * rows, out) as figure:
        grid = figure.add_gridspec(1 + rows, COLUMNS, height_ratios=[1.35, *[1.0] * rows])
        names = {key: key.removeprefix(REWARD) for key in _reward_keys(lines)}
        top = figure.add_subplot(grid[0, :])
        _title(top, f"{title} · mean reward")
        _lines(top, {name: series(lines, key) for key, name in names.items()}, chance or {}, named=True)
        for at, panel in enumerate(panels):
            axes = figure.add_subplot(grid[1 + at // COLUMNS, at % COLUMNS])
            _title(axes, panel.title)
            found = {name: series(lines, key) for key, name in panel.keys.items()}
            _lines(
                axes, {name: data for name, data in found.items() if data[0]}, {}, named=len(panel.keys) > 1
            )
            _scale(axes, panel, [value for data in found.values() for value in data[1]])
        _foot(figure, [lines], chance)


def draw_many(
    runs: Mapping[str, Path], out: Path, title: str = "", chance: Mapping[str, float] | None = None
) -> None:
    """Draws the rewards of several runs as a PNG file, a panel a task, with the runs that train on it.

    Args:
        runs: name to metrics.jsonl; a run has one colour in all panels, and another than those that share one.
        chance: as `draw`.

    Raises:
        DataError, MissingDependency, StoreError: as `draw`.
    """
    if not runs:
        raise DataError("no runs to draw: name one or more.")
    read_runs = {name: read(path) for name, path in runs.items()}
    tasks = list(dict.fromkeys(key for lines in read_runs.values() for key in _reward_keys(lines)))
    columns = min(2, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    colours = _colours({name: set(_reward_keys(lines)) for name, lines in read_runs.items()})
    with _figure(0.6 + 2.5 * rows, out) as figure:
        for at, key in enumerate(tasks):
            axes = figure.add_subplot(rows, columns, at + 1)
            task = key.removeprefix(REWARD)
            _title(axes, f"{task} · mean reward")
            found = {name: series(lines, key) for name, lines in read_runs.items()}
            found = {name: data for name, data in found.items() if data[0]}
            _lines(axes, found, {}, named=True, colours=colours)
            if chance and task in chance:
                axes.axhline(chance[task], color=_FAINT, linestyle=(0, (4, 3)), linewidth=1)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_INK, parse_math=False)
        _foot(figure, list(read_runs.values()), chance)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl by step; of a step that was repeated after a resume the last one.

    A last line that is cut off (the run still writes it) is left out.

    Raises:
        DataError: it is not there, is empty, or a line is no JSON object with a step.
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
            raise DataError(f"{path}, line {number} is no JSON object with a step.") from None
    if not by_step:
        raise DataError(f"{path} has no metrics yet: the first step writes some.")
    return [by_step[step] for step in sorted(by_step)]


def series(lines: Sequence[Mapping[str, Any]], key: str) -> Series:
    """The steps at which a metric is a finite number, and its values."""
    found = [
        (float(line["step"]), float(line[key]))
        for line in lines
        if isinstance(line.get(key), int | float) and math.isfinite(line[key])
    ]
    return [step for step, _ in found], [value for _, value in found]


def window(n: int) -> int:
    """Over how many of n steps a line is averaged: a fifteenth of them, an odd number."""
    return 1 if n < 2 * SMOOTHED else n // SMOOTHED // 2 * 2 + 1


def smooth(values: Sequence[float], width: int) -> list[float]:
    """Centred means over `width` values, an odd number; at the ends over those of them that there are."""
    reach = width // 2
    return [fmean(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))]


def _colours(tasks: Mapping[str, set[str]]) -> dict[str, str]:
    """A colour for each run: the first that no earlier run with a task in common has, as long as there are any."""
    out: dict[str, str] = {}
    for name, own in tasks.items():
        taken = {out[other] for other in out if own & tasks[other]}
        free = [colour for colour in _COLOURS if colour not in taken]
        out[name] = free[0] if free else _COLOURS[len(out) % len(_COLOURS)]
    return out


def _reward_keys(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for line in lines for key in line if key.startswith(REWARD))
    return sorted(keys) or ["reward"]


@contextmanager
def _figure(height: float, out: Path) -> Iterator[Any]:
    """A figure that is written to `out` at the end, whole."""
    try:
        import matplotlib
    except ImportError:
        raise MissingDependency("drawing curves needs matplotlib: pip install matplotlib") from None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not what a user's own settings say
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        drawn = BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
    write_bytes(out, drawn.getvalue())


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, color=_INK, parse_math=False)
    axes.grid(True, color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(labelsize=8.5, colors=_FAINT, length=3)


def _lines(
    axes: Any,
    data: Mapping[str, Series],
    chance: Mapping[str, float],
    *,
    named: bool,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Faint points for each step, a line for their running mean, and a dashed one for chance."""
    from matplotlib.ticker import MaxNLocator

    handles = []
    for (name, (steps, values)), colour in zip(data.items(), cycle(_COLOURS), strict=False):
        colour = colours[name] if colours else colour
        width = window(len(values))
        if width > 1:
            axes.plot(steps, values, ".", color=colour, alpha=0.22, markersize=3.5, markeredgewidth=0)
        marker = "o" if len(values) == 1 else ""
        handles += axes.plot(
            steps, smooth(values, width), color=colour, linewidth=1.7, marker=marker, markersize=4
        )
        if name in chance:
            axes.axhline(chance[name], color=colour, linestyle=(0, (4, 3)), linewidth=1, alpha=0.8)
    if named and handles:
        legend = axes.legend(
            handles,
            [name.lstrip("_") for name in data],
            loc="best",
            fontsize=8.5,
            labelcolor=_INK,
            frameon=True,
            framealpha=0.85,
            edgecolor="none",
            borderpad=0.2,
            handlelength=1.4,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))


def _scale(axes: Any, panel: Panel, values: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    if panel.log and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
        return
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if panel.shares:
        axes.set_ylim(bottom=-0.03 * (max(values) or 1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _foot(
    figure: Any, runs: Sequence[Sequence[Mapping[str, Any]]], chance: Mapping[str, float] | None
) -> None:
    widths = sorted({window(len(lines)) for lines in runs})
    over = "–".join(str(width) for width in dict.fromkeys((widths[0], widths[-1])))
    how = f"; points: each step, lines: mean over {over} steps" if widths[-1] > 1 else ""
    how += "; dashed: reward of a blind guess" if chance else ""
    figure.supxlabel(f"step{how}", fontsize=8.5, color=_FAINT)
