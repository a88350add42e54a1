"""Measures how well pixels along borders alone solve the SSL tasks that cut a picture into pieces.

Usage: `python benchmarks/ssl_shortcuts.py [--sections N] [--photos FOLDER]`; the photographs are those of
benchmarks/leaks.py. No rule below recognises anything: each compares pixels on two sides of a cut. A rule
"without the picture" sees only the four candidates of a masked patch. Prints a Markdown table with 95%
intervals, clustered by photograph.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from leaks import sections
from numpy.typing import NDArray
from PIL import Image

from ssl4rl_bench.core.images import decode
from ssl4rl_bench.stats import effective
from ssl4rl_bench.task.pictures.making import seed_for
from ssl4rl_bench.task.ssl import Corrupted, SSLTask, Unusable, make_task
from ssl4rl_bench.task.ssl.mirror import Mirror
from ssl4rl_bench.task.ssl.pair import DIRECTIONS
from ssl4rl_bench.task.ssl.rng import Stream

Pixels = NDArray[np.float64]
Rule = Callable[[SSLTask, Corrupted, Image.Image, int], str]
STRIP = 12
"""Pixels: the width of the strip around a black square whose mean colour is compared."""


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, dtype=np.float64)


def gap(one: Pixels, other: Pixels) -> float:
    """Returns the mean difference of two lines of pixels, shortened to the same length."""
    n = min(len(one), len(other))
    return float(np.abs(one[:n] - other[:n]).mean())


def black_square(masked: Pixels, side: int) -> tuple[int, int]:
    """Returns the left and top of the only square of this side that is all black."""
    black = (masked.max(axis=2) == 0).cumsum(axis=0).cumsum(axis=1)
    sums = np.pad(black, ((1, 0), (1, 0)))
    full = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side] == side**2
    top, left = np.argwhere(full)[0]
    return int(left), int(top)


def patch_border(task: SSLTask, made: Corrupted, *_: object) -> str:
    """The candidate whose outermost pixels are nearest to those around the square."""
    picture, *candidates = map(pixels, made.images)
    side = len(candidates[0])
    x, y = black_square(picture, side)
    r, b = x + side, y + side
    costs = [
        gap(c[0], picture[y - 1, x:r])
        + gap(c[-1], picture[b, x:r])
        + gap(c[:, 0], picture[y:b, x - 1])
        + gap(c[:, -1], picture[y:b, r])
        for c in candidates
    ]
    return task.labels[int(np.argmin(costs))]


def patch_colour(task: SSLTask, made: Corrupted, *_: object) -> str:
    """The candidate whose mean colour is nearest to that of a strip around the square."""
    picture, *candidates = map(pixels, made.images)
    side = len(candidates[0])
    x, y = black_square(picture, side)
    around = picture[max(0, y - STRIP) : y + side + STRIP, max(0, x - STRIP) : x + side + STRIP]
    outside = around.sum(axis=(0, 1)) / (around.shape[0] * around.shape[1] - side**2)
    costs = [np.abs(candidate.mean(axis=(0, 1)) - outside).sum() for candidate in candidates]
    return task.labels[int(np.argmin(costs))]


def patch_alone(task: SSLTask, made: Corrupted, *_: object) -> str:
    """The candidate most like the other three, without the picture."""
    small = [pixels(image.resize((8, 8), Image.Resampling.BOX)) for image in made.images[1:]]
    costs = [sum(np.abs(one - other).mean() for other in small) for one in small]
    return task.labels[int(np.argmin(costs))]


def flip_border(task: SSLTask, made: Corrupted, image: Image.Image, seed: int) -> str:
    """The patch that would fit its surroundings better mirrored: both sides, across the frame."""
    picture = pixels(made.images[0])
    costs = []
    assert isinstance(task, Mirror)
    stream = Stream(seed)
    stream.below(len(task.labels))  # the answer, which `Mirror.corrupt` draws before the places
    for x, y, r, b in task.places(image, stream):
        width = round((r - x) * task.frame)
        rows = slice(y + width, b - width)
        inner = picture[rows, x + width : r - width]
        left, right = picture[rows, x - 1], picture[rows, r]
        as_shown = gap(inner[:, 0], left) + gap(inner[:, -1], right)
        costs.append(as_shown - gap(inner[:, -1], left) - gap(inner[:, 0], right))
    return task.labels[int(np.argmax(costs))]


def pair_border(task: SSLTask, made: Corrupted, *_: object) -> str:
    """The direction in which the touching edges, or corners, of the two pieces differ least."""
    first, second = map(pixels, made.images)
    costs = []
    for label in task.labels:
        down, right = DIRECTIONS[label]
        ends = {-1: (slice(-1, None), slice(0, 1)), 0: (slice(None),) * 2, 1: (slice(0, 1), slice(-1, None))}
        costs.append(
            gap(
                first[ends[down][0], ends[right][0]].reshape(-1, 3),
                second[ends[down][1], ends[right][1]].reshape(-1, 3),
            )
        )
    return task.labels[int(np.argmin(costs))]


CASES: Mapping[str, tuple[str, Mapping[str, object], Rule]] = {
    "ssl_pair_1x2, edges": ("pair", {"layout": "1x2"}, pair_border),
    "ssl_pair_2x1, edges": ("pair", {"layout": "2x1"}, pair_border),
    "ssl_pair_3x3, edges": ("pair", {"layout": "3x3"}, pair_border),
    "the same with `gap: 0.2`": ("pair", {"layout": "3x3", "gap": 0.2}, pair_border),
    "ssl_patch_easy, border": ("patch", {"distractors": "easy"}, patch_border),
    "ssl_patch_easy, mean colour around": ("patch", {"distractors": "easy"}, patch_colour),
    "ssl_patch_easy, without the picture": ("patch", {"distractors": "easy"}, patch_alone),
    "ssl_patch_hard, border": ("patch", {"distractors": "hard"}, patch_border),
    "ssl_patch_hard, mean colour around": ("patch", {"distractors": "hard"}, patch_colour),
    "ssl_patch_hard, without the picture": ("patch", {"distractors": "hard"}, patch_alone),
    "ssl_flip, border across the frame": ("mirror", {}, flip_border),
    "the same with `frame: 0`": ("mirror", {"frame": 0.0}, flip_border),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", type=int, default=240)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    pictures, origins = sections(arguments.sections, arguments.photos)
    opened = [(decode(encoded), encoded.sha256) for encoded in pictures]
    print(f"{len(pictures)} sections of {len(set(origins.values()))} photographs")
    print("| task and rule | chance | right | n |\n|---|---|---|---|")
    for name, (kind, params, rule) in CASES.items():
        task = make_task(kind, params)
        right: dict[str, list[float]] = {}
        for image, digest in opened:
            seed = seed_for(task, digest, 0)
            try:
                made = task.corrupt(image, seed)
            except Unusable:
                continue
            right.setdefault(origins[digest], []).append(float(rule(task, made, image, seed) == made.target))
        sums = np.array([sum(values) for values in right.values()])
        sizes = np.array([float(len(values)) for values in right.values()])
        weights = np.full(len(sizes), 1 / sizes.sum())
        low, high = effective.accuracy_interval(effective.accuracy(weights, sums, sizes))
        share = sums.sum() / sizes.sum()
        print(
            f"| {name} | {100 * task.chance:.1f} | {100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}] "
            f"| {int(sizes.sum())} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
