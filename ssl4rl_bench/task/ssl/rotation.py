"""Rotation: by how many degrees was the second image turned?

Both images are cropped alike, inside the picture's own edges, so that only content tells the angle. Steps of 90
degrees move pixels and change none; other steps need interpolation, and then *both* images are resampled with the
same zoom and halved. The zoom makes the blur of interpolation the same at every angle. Halving takes away what is
left of interpolation's periods and of a JPEG's block grid: without it, they told a classifier 23% of the angles in
steps of 45 degrees, where chance is 12.5%.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import answers
from ssl4rl_bench.task.ssl.base import GRID, MIN_SIDE, Convention, Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.content import LEVELS, contrast_under_turns
from ssl4rl_bench.task.ssl.rng import Stream

VERSIONS = ("1", "2")
"""Of steps that are multiples of 90 degrees, and of other steps."""
ZOOM = 1.1
"""Source pixels an interpolated pixel, at every angle: none keeps the pixel grid, so none is sharper than others."""
HALF = 2
"""Interpolated pixels, a side, that are averaged to one of the output."""
MARGIN = 4
"""Pixels that interpolation may look at beyond the crop."""
DISC = 40
"""Pixels: width of the disc in which a picture is compared with its turns, at most twice that."""
SMALLEST = 15
"""Degrees: a smaller turn makes too little of a difference in the disc to tell anything."""
ODD, LITTLE = 0.37, 0.2
"""Share of a step at which nothing repeats, and the share of the difference there that is still no difference."""


@dataclass(frozen=True, slots=True)
class Rotation(SSLTask):
    """Turned counter-clockwise by a multiple of `step` degrees, all multiples below 360 alike."""

    step: int = 90
    """Degrees; a divisor of 360, at most 180."""
    convention: Convention = "ours"

    kind = "rotation"
    parts = ("exact", "closeness")

    def __post_init__(self) -> None:
        if not 1 <= self.step <= 180 or 360 % self.step:
            raise UsageError(
                f"rotation step {self.step} does not divide 360: give 90, 45, 30 or another divisor"
            )

    @property
    def version(self) -> str:
        return VERSIONS[self.step % 90 != 0]

    @property
    def difficulty(self) -> str:
        return f"step {self.step}"

    @property
    def labels(self) -> Sequence[str]:
        return [str(angle) for angle in range(0, 360, self.step)]

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        """Images: the crop, and the same crop turned."""
        angle = Stream(seed).below(360 // self.step) * self.step
        if self.convention == "released":
            return Corrupted((image, _released(image, angle)), str(angle))
        if self.step % 90 == 0:
            pictures = _square_turn(image, angle)
            same = contrast_under_turns(pictures[0]) < 1
        else:
            pictures = _disc_turn(image, angle)
            same = _same_under_steps(image, self.step)
        if same:
            raise Unusable("it looks the same when it is turned")
        return Corrupted(pictures, str(angle))

    def values(self) -> Mapping[str, object]:
        *angles, last = self.labels
        return {"angles": f"{', '.join(angles)} and {last}", "step": self.step, "last": 360 - self.step}

    def parse(self, text: str) -> str | None:
        return answers.angle(text)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Parts: `exact`, and `closeness`, 1 minus the angular distance over 180 degrees."""
        off = abs(float(answer) - float(target)) % 360
        return {"exact": float(off == 0), "closeness": 1 - min(off, 360 - off) / 180}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, f"{target} degrees", f"{target}.0", f"{int(target) - 360}", f"{target}°"


def _square_turn(image: Image.Image, angle: int) -> tuple[Image.Image, Image.Image]:
    """The centred square on the JPEG grid, inside the picture's edges, as it is and turned by moving pixels."""
    side = min(image.size)
    if side < MIN_SIDE:
        raise Unusable(f"its shorter side has {side} pixels, {MIN_SIDE} are needed")
    if side >= 4 * GRID:
        # Not up to the edges: they bear traces of how the picture was made, and lie on two sides of a long one only.
        side = (side - 2 * GRID) // GRID * GRID
    left, top = ((length - side) // 2 // GRID * GRID for length in image.size)
    square = image.crop((left, top, left + side, top + side))
    turns = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    return square, square.transpose(turns[angle]) if angle else square.copy()


def _disc_turn(image: Image.Image, angle: int) -> tuple[Image.Image, Image.Image]:
    """A square that stays inside the picture at every angle, zoomed out, as it is and turned by interpolation."""
    pixel = HALF * ZOOM * math.sqrt(2)
    side = int((min(image.size) - MARGIN) / pixel)
    if side < MIN_SIDE:
        needed = math.ceil(MIN_SIDE * pixel) + MARGIN
        raise Unusable(f"its shorter side has {min(image.size)} pixels, {needed} are needed")
    return _turned(image, 0, side), _turned(image, angle, side)


def _same_under_steps(image: Image.Image, step: int) -> bool:
    """Whether a picture looks like its turn by some multiple of a step, in the disc that is seen at every angle.

    It does if it differs from it by less than `LEVELS` on average, or by little beside its turn by an angle at which
    nothing repeats: in a small picture, interpolation alone makes a difference.
    """
    pixel = HALF * ZOOM * math.sqrt(2)
    small = image.reduce(max(1, int(min(image.size) / pixel) // DISC))
    side = int((min(small.size) - MARGIN) / pixel)
    # What looks the same after a turn does so after the opposite one, and after several: 1 degree need not be tried.
    angles = [angle for angle in range(step, 181, step) if angle >= SMALLEST]
    y, x = np.ogrid[1 - side : side : 2, 1 - side : side : 2]
    first, other, *turns = (
        np.asarray(_turned(small, angle, side), dtype=np.float32)[y**2 + x**2 <= side**2]
        for angle in (0, step * ODD, *angles)
    )
    least = min(float(np.abs(turn - first).mean()) for turn in turns)
    return least < max(LEVELS, LITTLE * float(np.abs(other - first).mean()))


def _turned(image: Image.Image, angle: float, side: int) -> Image.Image:
    """`side` x `side` pixels about the centre, turned counter-clockwise, zoomed out by `ZOOM` (bicubic), halved."""
    # Rounded, so that the last bit of a machine's sine makes no difference.
    cos, sin = (round(ZOOM * f(math.radians(angle)), 9) for f in (math.cos, math.sin))
    middle = HALF * side / 2
    x = image.width / 2 - cos * middle + sin * middle
    y = image.height / 2 - sin * middle - cos * middle
    whole = (HALF * side, HALF * side)
    turned = image.transform(
        whole, Image.Transform.AFFINE, (cos, -sin, x, sin, cos, y), Image.Resampling.BICUBIC
    )
    return turned.reduce(HALF)


def _released(image: Image.Image, angle: int) -> Image.Image:
    """Turned on a canvas that grows, then cut to the largest upright rectangle inside: its size leaks the angle."""
    turned = image.rotate(angle, expand=True)
    width, height = largest_rectangle(*image.size, angle)
    if min(width, height, *image.size) < MIN_SIDE:
        raise Unusable(f"a produced image would be under {MIN_SIDE} pixels")
    left, top = (turned.width - width) / 2, (turned.height - height) / 2
    return turned.crop((round(left), round(top), round(left + width), round(top + height)))


def largest_rectangle(width: int, height: int, angle: float) -> tuple[int, int]:
    """Size of the largest upright rectangle inside a rectangle that was turned by `angle` degrees, rounded down.

    A rectangle p x q fits if p cos + q sin <= width and p sin + q cos <= height (its corners, in the turned frame).
    Either both bind, which gives a linear system, or the shorter side alone does: then p sin = q cos = short / 2.
    """
    sin, cos = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    if width < height:
        q, p = largest_rectangle(height, width, angle)
        return p, q
    if height <= 2 * sin * cos * width or abs(sin - cos) < 1e-10:
        long, short = height / (2 * sin), height / (2 * cos)
    else:
        spread = cos * cos - sin * sin
        long, short = (width * cos - height * sin) / spread, (height * cos - width * sin) / spread
    return int(long + 1e-9), int(short + 1e-9)
