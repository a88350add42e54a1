"""Drawing in unit coordinates: a canvas with antialiasing, and a pen that is placed and sized on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[int, int, int, int]
"""A rectangle of pixels: left, top, right, bottom; the right column and the bottom row are not part of it."""

SIZE = 224
"""The side of a finished picture in pixels."""
_SUPER = 2
"""Pictures are drawn this many times larger and then averaged down."""

INK: Colour = (45, 45, 55)
WHITE: Colour = (252, 252, 250)
GREY: Colour = (150, 155, 165)

COLOURS: dict[str, Colour] = {
    "red": (216, 40, 40),
    "blue": (40, 90, 215),
    "green": (40, 150, 65),
    "yellow": (248, 210, 30),
    "purple": (140, 60, 175),
    "orange": (242, 130, 25),
}
PAPERS: tuple[Colour, ...] = (
    (250, 248, 240),
    (232, 240, 248),
    (240, 247, 234),
    (248, 236, 236),
    (238, 236, 247),
    (236, 236, 236),
)
"""Background colours: pale, so that all of `COLOURS` contrast with them."""

QUADRANTS: dict[str, Point] = {
    "top left": (0.27, 0.27),
    "top right": (0.73, 0.27),
    "bottom left": (0.27, 0.73),
    "bottom right": (0.73, 0.73),
}
"""The name of each quarter of the picture to its centre, as fractions of the side."""


class Canvas:
    """A square picture; coordinates are fractions of its side, y downwards."""

    def __init__(self, paper: Colour) -> None:
        self._image = Image.new("RGB", (SIZE * _SUPER, SIZE * _SUPER), paper)
        self._draw = ImageDraw.Draw(self._image)

    def pen(self, x: float, y: float, radius: float, turn: float = 0.0, mirror: bool = False) -> Pen:
        """Returns a pen with origin (x, y) and unit `radius`, turned clockwise by `turn` degrees."""
        return Pen(self._draw, x, y, radius, turn, mirror)

    def finish(self) -> Image.Image:
        """Returns the RGB picture, SIZE x SIZE pixels."""
        return self._image.reduce(_SUPER)


class Pen:
    """Draws in local coordinates: -1 to 1 on both axes, y downwards."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, turn: float, mirror: bool
    ) -> None:
        self._draw, self._flip = draw, -1 if mirror else 1
        self._x, self._y, self._r = (length * SIZE * _SUPER for length in (x, y, radius))
        self._cos, self._sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self._corners: list[Point] = []

    @property
    def box(self) -> Box:
        """The smallest box of the finished picture that holds all that was drawn; raises ValueError before that."""
        if not self._corners:
            raise ValueError("nothing was drawn with this pen")
        xs, ys = zip(*self._corners, strict=True)
        low, high = (
            (math.floor(min(v) / _SUPER) for v in (xs, ys)),
            (math.ceil(max(v) / _SUPER) for v in (xs, ys)),
        )
        left, top = (min(max(v, 0), SIZE) for v in low)
        right, bottom = (min(max(v, 0), SIZE) for v in high)
        return left, top, right, bottom

    def _covers(self, spots: Sequence[Point], reach: float) -> None:
        """Records that pixels up to `reach` from these points may have been drawn."""
        self._corners += [(x + sign * reach, y + sign * reach) for x, y in spots for sign in (-1, 1)]

    def _to(self, point: Point) -> Point:
        x, y = point[0] * self._flip, point[1]
        return (
            self._x + self._r * (x * self._cos - y * self._sin),
            self._y + self._r * (x * self._sin + y * self._cos),
        )

    def polygon(
        self, points: Sequence[Point], fill: Colour | None, line: Colour | None = None, width: float = 0.08
    ) -> None:
        """Draws a polygon, filled, outlined or both."""
        spots = [self._to(point) for point in points]
        if fill is not None:
            self._draw.polygon(spots, fill=fill)
            self._covers(spots, 1)
        if line is not None:
            self.path([*points, points[0]], line, width)

    def path(self, points: Sequence[Point], colour: Colour, width: float = 0.1) -> None:
        """Draws an open line with round corners and ends."""
        spots = [self._to(point) for point in points]
        thick = max(1, round(width * self._r))
        self._draw.line(spots, fill=colour, width=thick, joint="curve")
        half = thick / 2
        self._covers(spots, half + 1)
        for x, y in (spots[0], spots[-1]):
            self._draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)


def disc(x: float, y: float, radius: float) -> list[Point]:
    """Returns points on a circle."""
    return arc(x, y, radius, 0, 360)


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Returns the corners of an upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def arc(x: float, y: float, radius: float, start: float, end: float, squash: float = 1.0) -> list[Point]:
    """Returns points on an ellipse from `start` to `end` degrees, clockwise from the right."""
    steps = max(8, round(abs(end - start) / 7.5))
    angles = (math.radians(start + (end - start) * i / steps) for i in range(steps + 1))
    return [(x + radius * math.cos(a), y + radius * squash * math.sin(a)) for a in angles]


def _heart() -> list[Point]:
    out = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        out.append((x / 17, -(y + 2.5) / 16))
    return out


_ARM = 0.33
SHAPES: dict[str, list[Point]] = {
    "circle": disc(0, 0, 0.9),
    "square": rectangle(-0.82, -0.82, 0.82, 0.82),
    "triangle": [(0, -0.95), (0.98, 0.78), (-0.98, 0.78)],
    "star": [(r * math.sin(math.pi * i / 5), -r * math.cos(math.pi * i / 5)) for i, r in enumerate([1.0, 0.42] * 5)],
    "cross": [
        (-_ARM, -0.95), (_ARM, -0.95), (_ARM, -_ARM), (0.95, -_ARM), (0.95, _ARM), (_ARM, _ARM),
        (_ARM, 0.95), (-_ARM, 0.95), (-_ARM, _ARM), (-0.95, _ARM), (-0.95, -_ARM), (-_ARM, -_ARM),
    ],
    "heart": _heart(),
}  # fmt: skip
"""The outline of each shape in pen coordinates."""


def paper(rng: Random) -> Canvas:
    """Returns an empty canvas with one of `PAPERS` as its background."""
    return Canvas(shade(rng, rng.choice(PAPERS), 6))


def jitter(rng: Random, amount: float = 0.03) -> float:
    """Returns a small random offset, uniform in [-amount, amount]."""
    return rng.uniform(-amount, amount)


def shade(rng: Random, colour: Colour, amount: int = 14) -> Colour:
    """Returns the colour with small random changes, so that pictures with the same content differ."""
    shift = [rng.randint(-amount, amount) for _ in colour]
    return tuple(max(0, min(255, c + s)) for c, s in zip(colour, shift, strict=True))  # type: ignore[return-value]  # three in, three out
