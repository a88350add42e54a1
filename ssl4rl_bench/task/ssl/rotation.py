"""Rotation: by how many degrees was the second image turned?

Both images are cropped in the same way, inside the picture's edges, so that only the content reveals the
angle. Turns by multiples of 90 degrees move pixels without changing them. Other turns need interpolation,
and then *both* images are resampled with the same zoom and halved. The zoom makes the blur of the
interpolation the same at every angle. Halving removes the remaining periods of the interpolation and of a
JPEG's block grid: without it, a classifier guessed 23% of the angles in steps of 45 degrees from them,
where chance is 12.5%.
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
"""The versions for steps that are multiples of 90 degrees, and for other steps."""
ZOOM = 1.1
"""Source pixels per interpolated pixel. It is not 1, so that no angle keeps the pixel grid and is sharper."""
HALF = 2
"""Interpolated pixels per side that are averaged to one output pixel."""
MARGIN = 4
"""Pixels beyond the crop that the interpolation may read."""
DISC = 40
"""Pixels: minimum width of the disc in which a large picture is compared with its turns; under twice that."""
SMALLEST = 15
"""Degrees: a smaller turn changes too little in the disc to be compared."""
ODD, LITTLE = 0.37, 0.2
"""The share of a step at which nothing repeats, and the share of the difference there that counts as none."""


@dataclass(frozen=True, slots=True)
class Rotation(SSLTask):
    """Turns an image counter-clockwise by a multiple of `step` degrees below 360, all equally likely."""

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
        """Makes a sample with two images: the crop, and the same crop turned."""
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
            raise Unusable("it looks the same when it is rotated")
        return Corrupted(pictures, str(angle))

    def values(self) -> Mapping[str, object]:
        *angles, last = self.labels
        return {"angles": f"{', '.join(angles)} and {last}", "step": self.step, "last": 360 - self.step}

    def parse(self, text: str) -> str | None:
        return answers.angle(text)

    def grade(self, answer: str, target: str) -> Mapping[str, float]:
        """Returns `exact`, and `closeness`, which is 1 minus the angular distance divided by 180 degrees."""
        off = abs(float(answer) - float(target)) % 360
        return {"exact": float(off == 0), "closeness": 1 - min(off, 360 - off) / 180}

    def gold(self, target: str) -> tuple[str, ...]:
        return target, f"{target} degrees", f"{target}.0", f"{int(target) - 360}", f"{target}°"


def _square_turn(image: Image.Image, angle: int) -> tuple[Image.Image, Image.Image]:
    """Returns the centred square on the JPEG grid, inside the picture's edges, and the same square turned."""
    side = min(image.size)
    if side < MIN_SIDE:
        raise Unusable(f"its shorter side has {side} pixels, {MIN_SIDE} are needed")
    if side >= 4 * GRID:
        # Leave out the edges: they have traces of how the picture was made, and without this a square crop of an
        # oblong picture would have them on two sides only.
        side = (side - 2 * GRID) // GRID * GRID
    left, top = ((length - side) // 2 // GRID * GRID for length in image.size)
    square = image.crop((left, top, left + side, top + side))
    turns = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    return square, square.transpose(turns[angle]) if angle else square.copy()


def _disc_turn(image: Image.Image, angle: int) -> tuple[Image.Image, Image.Image]:
    """Returns a square that stays inside the picture at every angle, zoomed out, unturned and turned."""
    pixel = HALF * ZOOM * math.sqrt(2)
    side = int((min(image.size) - MARGIN) / pixel)
    if side < MIN_SIDE:
        needed = math.ceil(MIN_SIDE * pixel) + MARGIN
        raise Unusable(f"its shorter side has {min(image.size)} pixels, {needed} are needed")
    return _turned(image, 0, side), _turned(image, angle, side)


def _same_under_steps(image: Image.Image, step: int) -> bool:
    """Whether a picture looks like its turn by a multiple of a step, in the disc visible at every angle.

    It does if the mean difference is less than `LEVELS`, or small relative to the difference to its turn by
    an angle at which no picture repeats: in a small picture, the interpolation alone makes a difference.
    """
    pixel = HALF * ZOOM * math.sqrt(2)
    small = image.reduce(max(1, int(min(image.size) / pixel) // DISC))
    side = int((min(small.size) - MARGIN) / pixel)
    # A picture that looks the same after a turn does so after the opposite turn, and after several such turns. So
    # angles above 180 and below `SMALLEST` need not be tried.
    angles = [angle for angle in range(step, 181, step) if angle >= SMALLEST]
    y, x = np.ogrid[1 - side : side : 2, 1 - side : side : 2]
    first, other, *turns = (
        np.asarray(_turned(small, angle, side), dtype=np.float32)[y**2 + x**2 <= side**2]
        for angle in (0, step * ODD, *angles)
    )
    least = min(float(np.abs(turn - first).mean()) for turn in turns)
    return least < max(LEVELS, LITTLE * float(np.abs(other - first).mean()))


def _turned(image: Image.Image, angle: float, side: int) -> Image.Image:
    """Returns the central `side` x `side` pixels, turned counter-clockwise, zoomed out (bicubic), halved."""
    # Rounded, so that differences between machines in the last bit of a sine have no effect.
    cos, sin = (round(ZOOM * f(math.radians(angle)), 9) for f in (math.cos, math.sin))
    middle = HALF * side / 2
    x = image.width / 2 - cos * middle + sin * middle
    y = image.height / 2 - sin * middle - cos * middle
    size = (HALF * side, HALF * side)
    turned = image.transform(
        size, Image.Transform.AFFINE, (cos, -sin, x, sin, cos, y), Image.Resampling.BICUBIC
    )
    return turned.reduce(HALF)


def _released(image: Image.Image, angle: int) -> Image.Image:
    """Turns an image and crops the largest upright rectangle without borders; its size leaks the angle."""
    turned = image.rotate(angle, expand=True)
    width, height = largest_rectangle(*image.size, angle)
    if min(width, height, *image.size) < MIN_SIDE:
        raise Unusable(f"a produced image would be under {MIN_SIDE} pixels")
    left, top = (turned.width - width) / 2, (turned.height - height) / 2
    return turned.crop((round(left), round(top), round(left + width), round(top + height)))


def largest_rectangle(width: int, height: int, angle: float) -> tuple[int, int]:
    """Returns the size, rounded down, of the largest upright rectangle in one turned by `angle` degrees.

    A rectangle p x q fits if p cos + q sin <= width and p sin + q cos <= height (its corners, in the turned
    frame). Either both constraints are active, which gives a linear system, or only that of the shorter
    side is: then p sin = q cos = short / 2.
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
