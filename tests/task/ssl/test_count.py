"""Counting drawn shapes: components of their colour, told apart by area, are as many as the answer says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from ssl_pictures import noise, said

from ssl4rl_bench.task.ssl import Unusable
from ssl4rl_bench.task.ssl.answers import named_counts
from ssl4rl_bench.task.ssl.count import Count

NAMES = ("circle", "square", "triangle")


def seen(picture: Image.Image) -> str:
    """The number of components by the share of their bounding box that they fill: 0.79, 1 and 0.5."""
    pixels = np.asarray(picture).astype(int)
    magenta = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] > 200)
    labels, _ = ndimage.label(magenta)
    shares = [(labels[box] > 0).mean() for box in ndimage.find_objects(labels)]
    kinds = Counter(
        "square" if share > 0.93 else "circle" if share > 0.66 else "triangle" for share in shares
    )
    return ",".join(str(kinds[name]) for name in NAMES)


def paper(width: int, height: int, seed: int) -> Image.Image:
    """Smooth noise without anything as saturated as the shapes."""
    return noise(width, height, seed).point(lambda value: 60 + value // 2)


@given(st.integers(200, 400), st.integers(200, 400), st.integers(0, 10**6))
@settings(max_examples=examples(40), deadline=None)
def test_the_numbers_are_those_of_the_picture(width: int, height: int, seed: int) -> None:
    (picture,) = (made := Count().corrupt(paper(width, height, seed), seed)).images
    assert seen(picture) == made.target


@pytest.mark.slow
def test_all_numbers_are_alike_and_independent() -> None:
    image = paper(112, 112, 0)
    counts = Counter(Count().corrupt(image, seed).target for seed in range(1350))
    assert set(counts) == set(Count().labels) and len(counts) == 27 and Count().chance == 1 / 27
    assert sum((n - 50) ** 2 / 50 for n in counts.values()) < 54.05  # chi-square, 26 degrees, p = 0.001


def test_the_picture_is_unchanged_outside_the_shapes() -> None:
    image = paper(240, 320, 2)
    (picture,) = Count().corrupt(image, 3).images
    changed = (np.asarray(picture) != np.asarray(image)).any(axis=2)
    _, n = ndimage.label(changed)
    assert n == sum(map(int, Count().corrupt(image, 3).target.split(",")))
    assert changed.mean() < 0.3


def test_pictures_that_cannot_be_used() -> None:
    image = noise(224, 224)
    image.paste((230, 20, 240), (40, 40, 60, 60))
    with pytest.raises(Unusable, match="colour of the shapes"):
        Count().corrupt(image, 0)
    with pytest.raises(Unusable, match="112 are needed"):
        Count().corrupt(noise(111, 300), 0)


def test_metrics_are_separate() -> None:
    assert Count().score(said("3,1,2"), "3,1,2").parts == {"exact": 1.0, "per_position": 1.0}
    parts = Count().score(said("3,2,2"), "3,1,2").parts
    assert parts["exact"] == 0.0 and parts["per_position"] == pytest.approx(2 / 3)
    assert Count().score(said("3,1"), "3,1,2").answer is None
    assert [Count().released_value(answer, "3,1,2") for answer in ("3,1,2", "3", "1")] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("3 circles, 1 square and 2 triangles", "3,1,2"),
        ("2 triangles, 3 circles, 1 square", "3,1,2"),
        ("Circles: 3, squares: 1, triangles: 2.", "3,1,2"),
        ("There are 3 circles, 1 square, and 2 triangles.", "3,1,2"),
        ("3 circles and 1 square", None),
        ("3 circles, 1 square, 2 triangles, 1 star", None),
        ("3 circles, 1 square, 2 circles", None),
        ("not 3 circles, 1 square and 2 triangles", None),
        ("3,1,2", None),
    ],
)
def test_named_counts(text: str, counts: str | None) -> None:
    assert named_counts(text, NAMES) == counts


@given(st.permutations(NAMES), st.lists(st.integers(0, 99), min_size=3, max_size=3), st.text(max_size=20))
@settings(max_examples=examples(60), deadline=None)
def test_named_counts_in_any_order(order: list[str], numbers: list[int], more: str) -> None:
    text = ", ".join(f"{number} {name}s" for number, name in zip(numbers, order, strict=True))
    right = ",".join(str(numbers[order.index(name)]) for name in NAMES)
    assert named_counts(text, NAMES) == right
    assert named_counts(more, NAMES) in (None, right)
