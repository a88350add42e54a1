"""Views of an image as in SimCLR: random crop, colour jitter, greyscale, blur, solarize, equalize, flip.

The parameters are those that SSL4RL published; distributions and order are those of torchvision's
transforms. Colour factors are rounded to 1/256, so that Pillow's blending in single precision is exact and
a view has the same bytes on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ssl4rl_bench.task.ssl.rng import Stream

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""

CROP_TRIES = 10
_STEPS = 256
"""The number of steps of a colour factor between 0 and 1."""
_SECTOR = 65536 / 6
"""A sixth of the colour circle. The full circle is 65536, so that 16-bit hues wrap around by overflow."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The parameters of one family of views."""

    scale: tuple[float, float] | None
    """The area of a crop as a share of the image's, drawn uniformly. None: no crop, and the size is kept."""
    grey_p: float
    solarize_p: float
    equalize_p: float
    blur_p: float
    flip_p: float
    """The probability of a horizontal flip."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """The ratio of a crop's width to its height, drawn uniformly on a logarithmic scale."""
    size: int = 224
    """Pixels: the side of the square to which a crop is resized (bicubic)."""
    jitter_p: float = 0.8
    """The probability that brightness, contrast, saturation and hue are changed (in random order)."""
    brightness: float = 0.8
    """The factor is drawn from 1 minus this to 1 plus this, as for `contrast` and `saturation`."""
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    """The largest shift, in turns of the colour circle."""
    sigma: tuple[float, float] = (0.1, 2.0)
    """Pixels: the range of the blur's standard deviation."""
    threshold: int = 128
    """Solarizing inverts values from this one on."""

    def without_crop_and_flip(self) -> Augmentation:
        """Returns the changes that keep place and size: for Position, whose answer a flip would change."""
        return replace(self, scale=None, flip_p=0.0)


WEAK = Augmentation(scale=(0.08, 1.0), grey_p=0.2, blur_p=0.5, solarize_p=0.0, equalize_p=0.0, flip_p=0.5)
STRONG = Augmentation(scale=(0.08, 0.3), grey_p=0.8, blur_p=0.8, solarize_p=0.8, equalize_p=0.8, flip_p=0.8)


def random_crop(width: int, height: int, augmentation: Augmentation, stream: Stream) -> Box:
    """Draws a crop of an image of this size, with the distribution of torchvision's RandomResizedCrop.

    Its place is uniform, or the centre if none of the drawn sizes fits. Without a crop it is the full image.
    """
    crop_width, crop_height, fits = crop_size(width, height, augmentation, stream)
    if fits:
        left, top = stream.between(0, width - crop_width), stream.between(0, height - crop_height)
    else:
        left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def crop_size(width: int, height: int, augmentation: Augmentation, stream: Stream) -> tuple[int, int, bool]:
    """Returns the width and height of such a crop, and whether one that fits was drawn in `CROP_TRIES` tries.

    If not, it is the largest crop whose ratio is the allowed one nearest to the image's.
    """
    if augmentation.scale is None:
        return width, height, True
    low, high = augmentation.ratio
    for _ in range(CROP_TRIES):
        area = width * height * stream.uniform(*augmentation.scale)
        ratio = math.exp(stream.uniform(math.log(low), math.log(high)))
        crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            return crop_width, crop_height, True
    if width < height * low:
        return width, min(height, round(width / low)), False
    return min(width, round(height * high)), height, False


def augment_view(
    image: Image.Image, augmentation: Augmentation, stream: Stream, box: Box | None = None
) -> Image.Image:
    """Returns a view of an RGB image, always as a new RGB image.

    Args:
        stream: the source of all random numbers; the crop is drawn first (unless `box` is given).
        box: the crop to use, from `random_crop`.
    """
    return apply_and_report(image, augmentation, stream, box)[0]


def apply_and_report(
    image: Image.Image, augmentation: Augmentation, stream: Stream, box: Box | None = None
) -> tuple[Image.Image, bool]:
    """Returns the view that `augment_view` makes, and whether it is flipped."""
    if augmentation.scale is not None:
        if box is None:
            box = random_crop(*image.size, augmentation, stream)
        side = (augmentation.size, augmentation.size)
        image = image.crop(box).resize(side, Image.Resampling.BICUBIC)
    if stream.chance(augmentation.jitter_p):
        image = _jitter(image, augmentation, stream)
    # A grey view has one channel until it is done: the same pixels in a third of the time.
    if stream.chance(augmentation.grey_p):
        image = image.convert("L")
    if stream.chance(augmentation.blur_p):
        image = _blurred(image, stream.uniform(*augmentation.sigma))
    if stream.chance(augmentation.solarize_p):
        image = ImageOps.solarize(image, augmentation.threshold)
    if stream.chance(augmentation.equalize_p):
        image = ImageOps.equalize(image)
    mirrored = stream.chance(augmentation.flip_p)
    if mirrored:
        image = ImageOps.mirror(image)
    return image.convert("RGB") if image.mode == "L" else image.copy(), mirrored


def _jitter(image: Image.Image, augmentation: Augmentation, stream: Stream) -> Image.Image:
    """Changes brightness, contrast, saturation and hue in random order."""
    order = stream.permutation(4)
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    factors = [round(stream.uniform(max(0.0, 1 - strength), 1 + strength) * _STEPS) for strength in strengths]
    turn = stream.uniform(-augmentation.hue, augmentation.hue)
    for change in order:
        if change == 0:
            image = _looked_up(image, 0, factors[0])
        elif change == 1:
            image = _looked_up(image, _mean_grey(image), factors[1])
        elif change == 2:
            image = Image.blend(image.convert("L").convert("RGB"), image, factors[2] / _STEPS)
        else:
            image = _hue_turned(image, turn)
    return image


def _looked_up(image: Image.Image, centre: int, factor: int) -> Image.Image:
    """Multiplies each value's distance from `centre` by factor / 256, rounds down and clips."""
    table = (centre * _STEPS + factor * (np.arange(256) - centre)) // _STEPS
    values = image.tobytes().translate(table.clip(0, 255).astype(np.uint8).tobytes())
    return Image.frombytes(image.mode, image.size, values)


def _mean_grey(image: Image.Image) -> int:
    grey = np.asarray(image.convert("L"))
    total = grey.size
    return (2 * int(grey.sum(dtype=np.int64)) + total) // (2 * total)


def _hue_turned(image: Image.Image, turn: float) -> Image.Image:
    """Shifts hues by `turn` turns of the HSV hexagon; value and saturation are kept.

    In HSV a channel with its peak at hue p is V - V S clip(2 - |hue - p|, 0, 1), with hues in sixths of a
    turn. The conversion through Pillow's 8-bit HSV takes three times as long, and rounds hues to 1.4
    degrees.
    """
    red, green, blue = (np.asarray(band).astype(np.int16) for band in image.split())
    top = np.maximum(np.maximum(red, green), blue)
    spread = top - np.minimum(np.minimum(red, green), blue)
    is_red = (top == red).astype(np.int16)
    is_green = (top == green).astype(np.int16) & ~is_red
    is_blue = 1 - is_red - is_green
    ahead = (green - blue) * is_red + (blue - red) * is_green + (red - green) * is_blue
    sixths = ahead / np.maximum(spread, 1).astype(np.float32) + (2 * is_green + 4 * is_blue)
    hue = (sixths * np.float32(_SECTOR)).astype(np.int32).astype(np.int16)
    depth = spread * np.float32(1 / int(_SECTOR))
    bands = []
    for peak in (0, 2, 4):
        off = (round((turn * 6 - peak) * _SECTOR) + 32768) % 65536 - 32768
        # The negative distance on the circle. The positive one would overflow: abs(-32768) is -32768 in 16 bits.
        away = -np.abs(hue + np.int16(off))
        lack = np.minimum(np.maximum(np.int16(-_SECTOR) - away, np.int16(0)), np.int16(_SECTOR))
        bands.append((top - depth * lack + np.float32(0.5)).astype(np.uint8))
    return Image.merge("RGB", [Image.fromarray(band) for band in bands])


def _blurred(image: Image.Image, sigma: float) -> Image.Image:
    """Applies a Gaussian blur with weights in units of 1/256; edge pixels are repeated outside the image.

    Pillow's blur (three box blurs per direction) is less exact and takes three times as long.
    """
    weights = _gaussian(sigma)
    reach = len(weights) - 1
    if reach == 0:
        return image
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1).astype(np.uint16)
    bands = rows.shape[1] // width
    wide = np.hstack([*[rows[:, :bands]] * reach, rows, *[rows[:, -bands:]] * reach])
    end = width * bands
    rows = _weighted(
        [wide[:, offset * bands : offset * bands + end] for offset in range(2 * reach + 1)], weights
    )
    tall = np.vstack([*[rows[:1]] * reach, rows, *[rows[-1:]] * reach])
    rows = _weighted([tall[offset : offset + height] for offset in range(2 * reach + 1)], weights)
    return Image.fromarray(rows.astype(np.uint8).reshape(pixels.shape))


def _weighted(shifted: list[NDArray[np.uint16]], weights: list[int]) -> NDArray[np.uint16]:
    """Returns the weighted mean of an odd number of arrays in 16 bits. `weights` starts at the middle."""
    middle = len(weights) - 1
    total = shifted[middle] * np.uint16(weights[0])
    total += np.uint16(_STEPS // 2)
    for off, weight in enumerate(weights[1:], 1):
        both = shifted[middle - off] + shifted[middle + off]
        both *= np.uint16(weight)
        total += both
    total >>= 8
    return total


def _gaussian(sigma: float) -> list[int]:
    """Returns the weights of the middle and of one side's pixels; the middle and both sides sum to 256."""
    heights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(math.ceil(3 * sigma) + 1)]
    total = heights[0] + 2 * sum(heights[1:])
    sides = [round(_STEPS * height / total) for height in heights[1:]]
    while sides and not sides[-1]:
        sides.pop()
    return [_STEPS - 2 * sum(sides), *sides]
