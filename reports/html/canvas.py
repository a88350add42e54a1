"""Drawing with matplotlib in points from the upper left corner.

Without axes, which would take most of a small figure's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ssl4rl_bench.reports.figures.svg import inline, to_svg

TEXT = 8.0
"""Points; 11 pixels on the page."""
Side = Literal["left", "center", "right"]


class Canvas:
    """A figure of `width` by `height` points."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._figure: Any = Figure(figsize=(width / 72, height / 72), dpi=72)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: str,
        width: float = 0.8,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.transforms import IdentityTransform

        made = Line2D(xs, [self.height - y for y in ys], color=colour, linewidth=width)
        if dashes:
            made.set_dashes(dashes)
        made.set_transform(IdentityTransform())  # 72 dots an inch, so that dots are points
        self._figure.add_artist(made)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        opacity: float = 1.0,
        edge: str | None = None,
    ) -> None:
        self.area([x, x + width, x + width, x], [y, y, y + height, y + height], fill, opacity, edge)

    def area(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        fill: str,
        opacity: float = 1.0,
        edge: str | None = None,
    ) -> None:
        from matplotlib.patches import Polygon
        from matplotlib.transforms import IdentityTransform

        points = [(x, self.height - y) for x, y in zip(xs, ys, strict=True)]
        made = Polygon(
            points,
            closed=True,
            facecolor=fill,
            edgecolor=edge,
            linewidth=0.7 if edge else 0.0,
            alpha=None if edge else opacity,
        )
        made.set_transform(IdentityTransform())
        self._figure.add_artist(made)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str,
        side: Side = "center",
        size: float = TEXT,
        bold: bool = False,
    ) -> None:
        self._figure.text(
            x / self.width,
            1.0 - y / self.height,
            text,
            color=colour,
            ha=side,
            va="center_baseline",
            fontsize=size,
            fontweight="bold" if bold else "normal",
            parse_math=False,  # a name may hold "$"
        )

    def svg(self, prefix: str, label: str) -> str:
        """As `svg.inline`."""
        return inline(to_svg(self._figure), prefix, label)
