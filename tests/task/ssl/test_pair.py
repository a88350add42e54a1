"""Pair jigsaw: the pieces lie where the answer says, and directions are read in words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import Unusable, make_task
from ssl4rl_bench.task.ssl.answers import relation
from ssl4rl_bench.task.ssl.pair import LAYOUTS, Pair

STEPS = {"above": (0, -1), "below": (0, 1), "left": (-1, 0), "right": (1, 0)}


def place(piece: Image.Image, image: Image.Image) -> tuple[int, int]:
    """The left and top of a piece, searched for in the picture; it must be there once."""
    small, large = np.asarray(piece), np.asarray(image)
    corners = (large == small[0, 0]).all(axis=2)
    fits = [
        (int(x), int(y))
        for y, x in zip(*np.nonzero(corners), strict=True)
        if np.array_equal(large[y : y + piece.height, x : x + piece.width], small)
    ]
    (only,) = fits
    return only


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(180, 260), st.integers(180, 260), st.integers(0, 10**6))
@settings(max_examples=examples(30), deadline=None)
def test_the_first_piece_lies_where_the_answer_says(layout: str, width: int, height: int, seed: int) -> None:
    image = noise(width, height, seed)
    made = make_task("pair", {"layout": layout}).corrupt(image, seed)
    first, second = made.images
    assert first.size == second.size
    (x1, y1), (x2, y2) = place(first, image), place(second, image)
    step = np.array([(0, 0), *(STEPS[word] for word in made.target.split("-"))]).sum(axis=0)
    assert (x1 - x2, y1 - y2) == (step[0] * first.width, step[1] * first.height)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_all_directions_are_alike(layout: str) -> None:
    image, task = noise(160, 160), make_task("pair", {"layout": layout})
    counts = Counter(task.corrupt(image, seed).target for seed in range(800))
    assert set(counts) == set(task.labels) and task.chance == 1 / len(counts)
    expected = 800 / len(counts)
    limit = {2: 10.83, 8: 24.32}[len(counts)]  # chi-square, p = 0.001
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < limit


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("to the left", "left"),
        ("Piece 1 is to the left of piece 2", "left"),
        ("piece 2 is below and to the right of piece 1", "above-left"),
        ("The second image is below the first image.", "above"),
        ("upper right", "above-right"),
        ("top-left", "above-left"),
        ("左上", "above-left"),
        ("directly above the second piece", "above"),
        ("above or below", None),
        ("not above", None),
        ("piece 1 is left of piece 1", None),
        ("piece 1", None),
        ("", None),
    ],
)
def test_directions_in_words(text: str, direction: str | None) -> None:
    assert relation(text) == direction


@given(st.text(max_size=60), st.sampled_from([*LAYOUTS["3x3"], *"12"]), st.text(max_size=60))
@settings(max_examples=examples(100), deadline=None)
def test_any_text_is_a_direction_or_none(before: str, word: str, after: str) -> None:
    assert relation(f"{before} {word} {after}") in (None, *LAYOUTS["3x3"])


def test_half_of_a_direction_is_a_sub_metric() -> None:
    task = Pair("3x3")
    assert task.score(said("above"), "above-left").parts == {"exact": 0.0, "row": 1.0, "column": 0.0}
    assert task.score(said("above-left"), "above-left").parts == {"exact": 1.0, "row": 1.0, "column": 1.0}
    assert task.score(said("north"), "above-left").parts == {"exact": 0.0, "row": 0.0, "column": 0.0}
    assert Pair("1x2").score(said("above"), "left").answer is None


def test_pictures_and_parameters_that_cannot_be_used() -> None:
    image = noise(224, 224)
    image.paste(image.crop((16, 16, 80, 80)), (144, 144))
    assert Pair("1x2").corrupt(image, 0).images
    with pytest.raises(Unusable, match="look the same"):
        Pair("3x3").corrupt(image, 0)
    with pytest.raises(Unusable, match="under 28"):
        Pair("3x3").corrupt(noise(70, 200), 0)
    with pytest.raises(UsageError, match=r"0 to 0\.5"):
        Pair(gap=0.6)
    with pytest.raises(UsageError, match="4x4"):
        make_task("pair", {"layout": "4x4"})
