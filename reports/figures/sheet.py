"""What the views' figures share: sheets measured in points, the project's colours, names that fit their place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.atomic import write_bytes, write_text
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.figures.palette import BETTER, INK, MUTED, PAPER, RULE, WORSE

if TYPE_CHECKING:
    from ssl4rl_bench.reports.views.base import View

TEXT = 8.0
"""Points: the smallest type."""
WIDTH = 540.0
"""Points: 7.5 inches, a page between its margins."""
STRONGEST = 0.55
"""Opacity of a map's strongest colour: the numbers on it stay readable."""
MARKERS = "osDPXhp*"
"""Of models; without the triangles that mean better and worse."""
DPI = 200
"""Of a PNG."""
SIGN = {"better": BETTER, "worse": WORSE, "": MUTED}


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's settings for a figure, from its making to its writing. A "$" in a name is no formula here."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False, "font.size": TEXT}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script that the font lacks
        yield


class Sheet:
    """A figure of a size in points; places are points from its left and its top."""

    def __init__(self, height: float, width: float = WIDTH) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = INK,
        *,
        ha: str = "center",
        size: float = TEXT,
        bold: bool = False,
    ) -> None:
        """Writes a line whose middle is at the height `y`."""
        self.figure.text(
            x / self.width,
            1.0 - y / self.height,
            text,
            color=colour,
            ha=ha,
            va="center_baseline",
            fontsize=size,
            fontweight="bold" if bold else "normal",
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "none",
        alpha: float | None = None,
        edge: str | None = None,
        line: float = 0.8,
    ) -> None:
        from matplotlib.patches import Rectangle

        self.figure.add_artist(
            Rectangle(
                (x / self.width, 1.0 - (y + height) / self.height),
                width / self.width,
                height / self.height,
                transform=self.figure.transFigure,
                facecolor=fill,
                alpha=alpha,
                edgecolor=edge or "none",
                linewidth=line if edge else 0.0,
            )
        )

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str = INK, **how: Any) -> None:
        from matplotlib.lines import Line2D

        self.figure.add_artist(
            Line2D(
                [x / self.width for x in xs],
                [1.0 - y / self.height for y in ys],
                transform=self.figure.transFigure,
                color=colour,
                **({"linewidth": 0.9} | how),
            )
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes with a light grid and no frame."""
        made = self.figure.add_axes(
            (left / self.width, 1.0 - (top + height) / self.height, width / self.width, height / self.height)
        )
        made.patch.set_visible(False)
        for spine in made.spines.values():
            spine.set_visible(False)
        made.tick_params(length=0, labelsize=TEXT, labelcolor=MUTED)
        made.set_axisbelow(True)
        return made

    def legend(self, y: float, entries: Sequence[tuple[str, str, str]], left: float = 8.0) -> float:
        """Markers with names in lines across the sheet.

        Args:
            entries: name, colour, and marker: one of `MARKERS`, "bar", or "empty" for a bar that is only an edge.

        Returns:
            Where it ends.
        """
        x = left
        for name, colour, marker in entries:
            name = fit(name, 170.0)
            wide = 12.0 + width_of(name) + 14.0
            if x > left and x + wide > self.width:
                x, y = left, y + 13.0
            if marker == "bar":
                self.box(x, y - 4, 8, 8, fill=colour, alpha=0.75)
            elif marker == "empty":
                self.box(x, y - 4, 8, 8, edge=colour)
            else:
                self.line([x + 4], [y], colour, marker=marker, markersize=4.5, linewidth=0)
            self.text(x + 12, y, name, ha="left")
            x += wide
        return y + 13.0


def whisker(
    axes: Any,
    at: float,
    value: float,
    ends: tuple[float, float] | None,
    colour: str,
    *,
    marker: str | None = "o",
    horizontal: bool = False,
    size: float = 4.5,
) -> None:
    """A value with its interval, in percent or points."""
    if ends is not None:
        span, place = [100.0 * end for end in ends], [at, at]
        axes.plot(*((span, place) if horizontal else (place, span)), color=colour, linewidth=1.1, zorder=3)
    if marker is not None:
        point = (100.0 * value, at) if horizontal else (at, 100.0 * value)
        axes.plot(
            [point[0]], [point[1]], marker=marker, markersize=size, color=colour, markeredgewidth=0, zorder=4
        )


def frame(axes: Any, slots: float, values: Sequence[float], horizontal: bool = False) -> None:
    """Sets axes up for `slots` places side by side (`horizontal`: from the top) and a range with 0 and `values`.

    Args:
        values: fractions; the axis is in percent.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    own = axes.xaxis if horizontal else axes.yaxis
    (axes.set_xlim if horizontal else axes.set_ylim)(*limits(values))
    if horizontal:
        axes.set_ylim(slots, 0)
        axes.set_yticks([])
    else:
        axes.set_xlim(0, slots)
        axes.set_xticks([])
    own.set_major_locator(MaxNLocator(5 if horizontal else 6))
    own.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
    axes.grid(True, axis="x" if horizontal else "y", color=RULE, linewidth=0.6)
    (axes.axvline if horizontal else axes.axhline)(0.0, color=INK, linewidth=0.8, zorder=2)


def width_of(text: str, size: float = TEXT, bold: bool = False) -> float:
    """Points that a line takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def fit(text: str, width: float, size: float = TEXT, bold: bool = False) -> str:
    """A name safe to print, cut to at most so many points; its end, which tells seeds apart, is kept."""
    whole = clean(text, 200)
    if width_of(whole, size, bold) <= width:
        return whole
    for kept in range(len(whole) - 1, 1, -1):
        tail = kept // 2
        short = f"{whole[: kept - tail]}…{whole[len(whole) - tail :]}"
        if width_of(short, size, bold) <= width:
            return short
    return "…"


def minus(text: str) -> str:
    """With true minus signs."""
    return text.replace("-", "−")


def limits(values: Sequence[float], least: float = 0.05) -> tuple[float, float]:
    """A range in percent that holds 0 and all the values (fractions), with some air."""
    low, high = min(0.0, *values, -least / 5), max(0.0, *values, least)
    air = 0.06 * (high - low)
    return 100.0 * (low - air), 100.0 * (high + air)


def svg_of(sheet: Sheet) -> str:
    """An SVG document; its colours are the palette's, which the HTML page knows by name."""
    from ssl4rl_bench.reports.figures.svg import to_svg

    return to_svg(sheet.figure)


def write_figures(view: View, folder: Path) -> list[Path]:
    """Writes NAME.svg and NAME.png.

    Raises:
        StoreError: they cannot be written.
    """
    out = []
    if view.svg:
        out.append(folder / f"{view.name}.svg")
        write_text(out[-1], view.svg)
    if view.figure is not None:
        made = BytesIO()
        with style():
            view.figure.savefig(made, format="png", dpi=DPI, facecolor=PAPER, metadata={"Software": None})
        out.append(folder / f"{view.name}.png")
        write_bytes(out[-1], made.getvalue())
    return out
