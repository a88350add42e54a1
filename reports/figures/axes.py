"""Axes on a sheet: a value axis, an axis of runs or training steps across it, ticks, whiskers and bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ssl4rl_bench.reports.figures.palette import INK, MUTED, RULE
from ssl4rl_bench.reports.figures.sheet import Sheet, minus, width_of

Range = tuple[float, float]
PERCENT = 0.01
"""The unit of ticks in percent on a scale of fractions."""


class Valued(Protocol):
    """A value with its interval: a `Difference`, a `Contrast`, a `CellEstimate`."""

    @property
    def value(self) -> float:
        """The estimate."""
        ...

    @property
    def ci95(self) -> Range | None:
        """Its 95% interval; None where there are too few data."""
        ...


class Axes:
    """A rectangle of a sheet whose values increase upwards, or to the right if `sideways`.

    Args:
        box: left, top, width and height in points.
        across: the range of the other axis, which starts at the left, or at the top if `sideways`.
        values: the range of the value axis.
    """

    def __init__(
        self,
        sheet: Sheet,
        box: tuple[float, float, float, float],
        across: Range,
        values: Range,
        *,
        sideways: bool = False,
    ) -> None:
        self.sheet, self.box, self.across, self.values, self.sideways = sheet, box, across, values, sideways

    def place(self, position: float, value: float) -> tuple[float, float]:
        """Returns the x and y of a point on the sheet."""
        left, top, width, height = self.box
        beside = (position - self.across[0]) / (self.across[1] - self.across[0])
        along = (value - self.values[0]) / (self.values[1] - self.values[0])
        if self.sideways:
            return left + width * along, top + height * beside
        return left + width * beside, top + height * (1.0 - along)

    def line(self, positions: Iterable[float], values: Iterable[float], colour: str, **how: Any) -> None:
        """Draws a line; `how` is passed to `Sheet.line`."""
        self.sheet.line([self.place(*point) for point in zip(positions, values, strict=True)], colour, **how)

    def level(self, value: float, colour: str, **how: Any) -> None:
        """Draws a line at a value over the whole width of the axes."""
        self.line(self.across, (value, value), colour, **how)

    def band(self, positions: Range, values: Range, fill: str | None, **how: Any) -> None:
        """Draws a rectangle; `how` is passed to `Sheet.area`."""
        corners = (
            (positions[0], values[0]),
            (positions[1], values[0]),
            (positions[1], values[1]),
            (positions[0], values[1]),
        )
        self.sheet.area([self.place(*corner) for corner in corners], fill, **how)

    def marks(
        self, positions: Iterable[float], values: Iterable[float], marker: str, colour: str, **how: float
    ) -> None:
        """Draws markers; `how` is passed to `Sheet.marks`."""
        self.sheet.marks(
            [self.place(*point) for point in zip(positions, values, strict=True)], marker, colour, **how
        )

    def whisker(
        self, position: float, cell: Valued, colour: str, marker: str | None = "o", size: float = 4.5
    ) -> None:
        """Draws a value's interval and, if there is a marker, the value."""
        if cell.ci95 is not None:
            self.line((position, position), cell.ci95, colour, width=1.1)
        if marker is not None:
            self.marks([position], [cell.value], marker, colour, size=size)

    def ticks(self, ticks: Sequence[tuple[float, str]]) -> None:
        """Draws light lines at values, and their labels next to the axes."""
        for value, label in ticks:
            self.level(value, RULE, width=0.6)
            x, y = self.place(self.across[1] if self.sideways else self.across[0], value)
            if self.sideways:
                self.sheet.text(x, y + 9, label, MUTED)
            else:
                self.sheet.text(x - 5, y, label, MUTED, side="right")


def slots(
    sheet: Sheet,
    box: tuple[float, float, float, float],
    n: float,
    values: Sequence[float],
    *,
    sideways: bool = False,
) -> Axes:
    """Draws axes with `n` slots and a scale in percent that includes 0 and the values (fractions)."""
    low, high = min(0.0, *values, -0.01), max(0.0, *values, 0.05)
    air = 0.06 * (high - low)
    axes = Axes(sheet, box, (0.0, n), (low - air, high + air), sideways=sideways)
    axes.ticks(ticks(*axes.values, 5 if sideways else 6, PERCENT))
    axes.level(0.0, INK, width=0.8)
    return axes


def over_steps(
    sheet: Sheet,
    box: tuple[float, float, float, float],
    steps: Sequence[float],
    values: Range,
    labels: Sequence[tuple[float, str]],
    *,
    only_steps: bool = False,
) -> Axes:
    """Draws axes over training steps.

    Args:
        steps: the training steps that the axis must include.
        labels: the ticks of the value axis, as `ticks` returns them.
        only_steps: put ticks at `steps` only, as many as have space, and not at round numbers between them.
    """
    first, last = min(steps, default=0.0), max(steps, default=1.0)
    air = 0.04 * (last - first) or 1.0
    axes = Axes(sheet, box, (first - air, last + air), values)
    scale = box[2] / (axes.across[1] - axes.across[0])
    for step, label in step_ticks(steps, scale) if only_steps else ticks(*axes.across, 6, integers=True):
        axes.line((step, step), values, RULE, width=0.6)
        x, y = axes.place(step, values[0])
        sheet.text(x, y + 9, label, MUTED)
    axes.ticks(labels)
    return axes


def step_ticks(steps: Iterable[float], scale: float) -> list[tuple[float, str]]:
    """Returns the steps whose labels have space on an axis, and these labels; the first always has one.

    Args:
        scale: points per step.
    """
    distinct = sorted(set(steps))
    chosen: list[float] = []
    for step in (
        *distinct[:1],
        *reversed(distinct[1:]),
    ):  # the last one takes precedence over those before it
        gaps = (
            abs(step - other) * scale - (width_of(f"{step:g}") + width_of(f"{other:g}")) / 2
            for other in chosen
        )
        if all(gap >= 6.0 for gap in gaps):
            chosen.append(step)
    return [(step, f"{step:g}") for step in sorted(chosen)]


def reach(cells: Iterable[Valued | None]) -> list[float]:
    """Returns the values and the ends of their intervals, which axes must include."""
    return [end for cell in cells if cell is not None for end in (cell.value, *(cell.ci95 or ()))]


def ticks(
    low: float, high: float, most: int, unit: float = 1.0, mark: str = "", integers: bool = False
) -> list[tuple[float, str]]:
    """Returns round values between two numbers, and their labels.

    Args:
        most: the maximum number of intervals.
        unit: the unit of the labels.
        mark: a suffix of each label, such as "%".
        integers: whether only integers are allowed.
    """
    low, high = low / unit, high / unit
    least = max((high - low) / most, 1.0 if integers else 0.0)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if power * factor >= 0.999 * least)
    step = math.ceil(step) if integers else step
    decimals = max(0, 1 - math.floor(math.log10(step)))
    # The quotient of an end by a step such as 0.1 can be slightly off an integer.
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    values = [round(number * step, decimals) for number in numbers]
    shown = next(n for n in range(decimals + 1) if values == [round(value, n) for value in values])
    return [(value * unit, f"{minus(f'{value:.{shown}f}')}{mark}") for value in values]
