"""A drawing of texts, lines and areas, in points, on which all figures of reports and training runs are made.

It is written as SVG or, by matplotlib, as PNG. The SVG can be embedded in an HTML page: it has no style
attributes and no ids. Its colours are classes, which dark mode changes, and attributes for use elsewhere.
"""

from __future__ import annotations

import cmath
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Literal

from markupsafe import Markup, escape

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.figures.palette import HEX, INK, PAPER

TEXT = 8.0
"""The smallest font size, in points: 11 pixels on the page."""
WIDTH = 540.0
"""The default width of a sheet, in points: 7.5 inches, the text width of a page."""
_LONGEST = 300
"""The maximum length of a text, in characters."""
Alignment = Literal["left", "center", "right"]
_Points = Sequence[tuple[float, float]]


def _ring(corners: int, radius: float = 1.0, turn: float = 0.0, inner: float = 1.0) -> list[complex]:
    """Returns a polygon turned by `turn` full turns; every second corner is at `inner` times the radius."""
    places = [cmath.rect(radius, 2.0 * math.pi * (index / corners + turn - 0.25)) for index in range(corners)]
    return [place * (inner if index % 2 else 1.0) for index, place in enumerate(places)]


_PLUS = [1j**side * corner for side in range(4) for corner in (-0.4 - 1.1j, 0.4 - 1.1j, 0.4 - 0.4j)]
MARKERS = {
    "o": _ring(24),
    "s": _ring(4, 1.3, 1 / 8),
    "D": _ring(4, 1.4),
    "P": _PLUS,
    "X": [corner * cmath.rect(1.0, math.pi / 4.0) for corner in _PLUS],
    "h": _ring(6, 1.1),
    "p": _ring(5, 1.15),
    "*": _ring(10, 1.4, 0.0, 0.45),
    "^": _ring(3, 1.2),
    "v": _ring(3, 1.2, 1 / 2),
}
"""The corners of each marker around 0, at a distance of about 1; y grows downwards."""
MODELS = "osDPXhp*"
"""Markers for models: all but the triangles, which mean better and worse."""


@dataclass(frozen=True, slots=True)
class TextItem:
    """A line of text."""

    x: float
    y: float
    """The y of its middle."""
    text: str
    colour: str
    side: Alignment
    """The side of the text that is at `x`."""
    size: float
    bold: bool

    @property
    def baseline(self) -> float:
        """The y coordinate of the baseline, from the vertical alignment."""
        return self.y + 0.36 * self.size

    def svg(self) -> str:
        anchor = {"left": "", "center": ' text-anchor="middle"', "right": ' text-anchor="end"'}[self.side]
        weight = ' font-weight="700"' if self.bold else ""
        return (
            f'<text x="{_short(self.x)}" y="{_short(self.baseline)}" font-size="{self.size:g}"{anchor}{weight}'
            f"{_paint(fill=self.colour)}>{escape(self.text)}</text>"
        )

    def artist(self, transform: Any) -> Any:
        """Returns the text as a matplotlib artist."""
        from matplotlib.text import Text

        return Text(
            self.x,
            self.baseline,
            self.text,
            color=HEX[self.colour],
            horizontalalignment=self.side,
            fontsize=self.size,
            fontweight="bold" if self.bold else "normal",
            transform=transform,
            parse_math=False,  # a name may hold "$"
        )


@dataclass(frozen=True, slots=True)
class PathItem:
    """A line or a closed area, or several with the same look."""

    parts: Sequence[_Points]
    closed: bool
    fill: str | None
    edge: str | None
    width: float
    opacity: float
    dashes: tuple[float, float] | None

    def svg(self) -> str:
        parts = ("L".join(f"{_short(x)} {_short(y)}" for x, y in part) for part in self.parts)
        places = "".join(f"M{part}{'Z' if self.closed else ''}" for part in parts)
        paint = _paint(fill=self.fill, stroke=self.edge)
        if self.edge:
            paint += f' stroke-width="{self.width:g}"'
        if self.opacity < 1.0:
            paint += f' opacity="{self.opacity:.3g}"'
        if self.dashes:
            paint += f' stroke-dasharray="{self.dashes[0]:g} {self.dashes[1]:g}"'
        return f'<path d="{places}"{paint}/>'

    def artist(self, transform: Any) -> Any:
        """Returns the path as a matplotlib artist."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        corners = [[*part, part[0]] if self.closed else part for part in self.parts]
        return PathPatch(
            Path.make_compound_path(*(Path(part, closed=self.closed) for part in corners)),
            facecolor=HEX[self.fill] if self.fill else "none",
            edgecolor=HEX[self.edge] if self.edge else "none",
            linewidth=self.width if self.edge else 0.0,
            linestyle=(0, self.dashes) if self.dashes else "solid",
            alpha=self.opacity,
            capstyle="butt",
            transform=transform,
        )


class Sheet:
    """A drawing with coordinates in points from its left and its top. Later shapes cover earlier ones.

    Attributes:
        height: the height in points, which must be set before the sheet is written.
    """

    def __init__(self, width: float = WIDTH, height: float = 0.0) -> None:
        self.width, self.height = width, height
        self.shapes: list[TextItem | PathItem] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = INK,
        *,
        side: Alignment = "center",
        size: float = TEXT,
        bold: bool = False,
    ) -> None:
        """Writes a line of text whose middle is at `y`; an empty text writes nothing."""
        if text:
            self.shapes.append(TextItem(x, y, clean(text, _LONGEST), colour, side, size, bold))

    def line(
        self,
        points: _Points,
        colour: str = INK,
        width: float = 0.9,
        *,
        opacity: float = 1.0,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        """Adds a line through points, in the sheet's units."""
        self.shapes.append(PathItem([points], False, None, colour, width, opacity, dashes))

    def area(
        self,
        points: _Points,
        fill: str | None = None,
        opacity: float = 1.0,
        edge: str | None = None,
        width: float = 0.8,
    ) -> None:
        """Adds a filled polygon."""
        self.shapes.append(PathItem([points], True, fill, edge, width, opacity, None))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str | None = None,
        opacity: float = 1.0,
        edge: str | None = None,
    ) -> None:
        """Adds a rectangle from its upper left corner."""
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        self.area(corners, fill, opacity, edge)

    def marks(
        self, places: _Points, marker: str, colour: str, size: float = 4.5, opacity: float = 1.0
    ) -> None:
        """Draws one of `MARKERS`, `size` points wide, at each place."""
        corners = [size / 2.0 * corner for corner in MARKERS[marker]]
        parts = [[(x + corner.real, y + corner.imag) for corner in corners] for x, y in places]
        self.shapes.append(PathItem(parts, True, colour, None, 0.0, opacity, None))

    def legend(
        self, y: float, entries: Sequence[tuple[str, str, str]], left: float = 8.0, right: float | None = None
    ) -> float:
        """Draws markers with names, in lines from `left` to `right` (by default the sheet's right edge).

        Args:
            entries: name, colour, and marker: one of `MARKERS`, "bar", "line", or "empty" for a bar that is
                only an edge.

        Returns:
            The lower end of the legend.
        """
        x, right, deepest = left, self.width if right is None else right, 1
        for label, colour, marker in entries:
            lines = wrapped(label, right - left - 12.0)
            wide = 12.0 + max(map(width_of, lines)) + 14.0
            if x > left and x + wide > right:
                x, y, deepest = left, y + 10.0 * deepest + 3.0, 1
            deepest = max(deepest, len(lines))
            if marker == "bar":
                self.box(x, y - 4, 8, 8, colour, 0.75)
            elif marker == "empty":
                self.box(x, y - 4, 8, 8, edge=colour)
            elif marker == "line":
                self.line([(x, y), (x + 9, y)], colour, 1.7)
            else:
                self.marks([(x + 4, y)], marker, colour)
            for index, line in enumerate(lines):
                self.text(x + 12, y + 10.0 * index, line, side="left")
            x += wide
        return y + 10.0 * deepest + 3.0

    def svg(self, label: str) -> Markup:
        """Returns an SVG element for an HTML page; a separate SVG file also needs the namespace.

        Args:
            label: a description of the figure for readers who cannot see it.
        """
        pixels = 4.0 / 3.0  # per point
        return Markup(
            f'<svg class="figure" role="img" aria-label="{escape(clean(label, 600))}"'
            f' viewBox="0 0 {_short(self.width)} {_short(self.height)}" width="{pixels * self.width:.0f}"'
            f' height="{pixels * self.height:.0f}" font-family="sans-serif" stroke-linejoin="round">\n'
            + "\n".join(shape.svg() for shape in self.shapes)
            + "\n</svg>"
        )

    def png(self, dpi: float = 200) -> bytes:
        """Returns a PNG file; the same drawing gives the same bytes."""
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.transforms import Affine2D

        out = BytesIO()
        with matplotlib.rc_context(), warnings.catch_warnings():
            matplotlib.rcdefaults()  # ignore the user's settings
            matplotlib.rcParams["lines.scale_dashes"] = False
            warnings.filterwarnings("ignore", "Glyph")  # a name in a script that the font lacks
            figure = Figure((self.width / 72, self.height / 72), facecolor=HEX[PAPER])
            inches = Affine2D().scale(1 / 72, -1 / 72).translate(0, self.height / 72)
            for number, shape in enumerate(self.shapes):
                artist = shape.artist(inches + figure.dpi_scale_trans)
                artist.set_zorder(number)
                figure.add_artist(artist)
            figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
        return out.getvalue()


@lru_cache(maxsize=4096)
def width_of(text: str, size: float = TEXT, bold: bool = False) -> float:
    """Returns the width of a line of text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def fit(text: str, width: float, size: float = TEXT, bold: bool = False) -> str:
    """Makes a name safe to print and cuts it to `width` points; its end is kept, as it tells seeds apart."""
    name = clean(text, 200)
    if width_of(name, size, bold) <= width:
        return name
    for length in range(len(name) - 1, 1, -1):
        tail = length // 2
        short = f"{name[: length - tail]}…{name[len(name) - tail :]}"
        if width_of(short, size, bold) <= width:
            return short
    return "…"


def wrapped(text: str, width: float, size: float = TEXT, bold: bool = False) -> list[str]:
    """Makes a name safe to print and breaks it into lines of at most `width` points, at separators if it has them."""
    lines = [""]
    for part in re.findall(r"[^\s/_.-]*[\s/_.-]*", clean(text, 200)):
        for piece in _pieces(part, width, size, bold):
            if lines[-1] and width_of((lines[-1] + piece).rstrip(), size, bold) > width:
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def _pieces(part: str, width: float, size: float, bold: bool) -> list[str]:
    """Returns a part of a name, cut where it is wider than a line."""
    if width_of(part.rstrip(), size, bold) <= width:
        return [part]
    pieces = [""]
    for character in part:
        if pieces[-1] and width_of(pieces[-1] + character, size, bold) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


def minus(text: str) -> str:
    """Replaces hyphens by minus signs."""
    return text.replace("-", "−")


def _short(number: float) -> str:
    return f"{round(number, 2) + 0.0:g}"


def _paint(**colours: str | None) -> str:
    """Returns colour attributes for any reader, and a class that overrides them on the page."""
    named = {what: name for what, name in colours.items() if name}
    attributes = "".join(
        f' {what}="{HEX[name] if name else "none"}"'
        for what, name in colours.items()
        if name or what == "fill"
    )
    classes = " ".join(f"{what[0]}-{name}" for what, name in named.items())
    return f'{attributes} class="{classes}"'
