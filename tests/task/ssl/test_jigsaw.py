"""Jigsaw: the stated convention, its inverse, and what is no permutation."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Completion, TextPart
from ssl4rl_bench.task.ssl import MIN_SIDE, Unusable, make_task
from ssl4rl_bench.task.ssl.jigsaw import Jigsaw, inverse


@given(st.integers(2, 6), st.integers(180, 260), st.integers(180, 260), st.integers(0, 10**6))
@settings(max_examples=examples(40), deadline=None)
def test_the_answer_puts_the_picture_together(k: int, width: int, height: int, seed: int) -> None:
    image = noise(width, height, seed)
    made = Jigsaw(k).corrupt(image, seed)
    pieces = [np.asarray(piece) for piece in made.images]
    assert len({piece.shape for piece in pieces}) == 1 and min(pieces[0].shape[:2]) >= MIN_SIDE
    order = [int(number) - 1 for number in made.target.split(",")]
    rows = [np.hstack([pieces[p] for p in order[row * k : row * k + k]]) for row in range(k)]
    whole, there = np.vstack(rows), np.asarray(image)
    h, w = whole.shape[:2]
    places = {(x, y) for x in (0, (width - w) // 2 // 16 * 16) for y in (0, (height - h) // 2 // 16 * 16)}
    assert any((whole == there[y : y + h, x : x + w]).all() for x, y in places)


def test_pieces_are_cut_on_the_jpeg_grid() -> None:
    """Cut anywhere, the phase of a JPEG's blocks in a piece would tell its place."""
    for k in (2, 3, 4):
        for piece in Jigsaw(k).corrupt(noise(333, 250), 3).images:
            assert piece.width % 16 == 0 and piece.height % 16 == 0
    released = Jigsaw(2, convention="released").corrupt(noise(333, 250), 3)
    assert released.images[0].size == (166, 125)


def test_the_example_is_not_its_own_inverse() -> None:
    for k in range(2, 7):
        prompt = _prompt(Jigsaw(k))
        example = prompt.split("For example, ")[1].split(" says")[0]
        numbers = [int(number) - 1 for number in example.split(",")]
        assert sorted(numbers) == list(range(k * k))
        assert inverse(numbers) != numbers
        assert "piece 2, the second by piece 3" in prompt
        place = "the first place of the second row" if k == 2 else "the third"
        assert f"and {place} by piece 1" in prompt
    released = _prompt(Jigsaw(2, convention="released"))
    assert "3,2,1,4" in released and inverse([2, 1, 0, 3]) == [2, 1, 0, 3]


@given(st.integers(2, 6), st.integers(0, 10**9))
@settings(max_examples=examples(100), deadline=None)
def test_the_other_convention_is_scored_beside(k: int, seed: int) -> None:
    right = random.Random(seed).sample(range(k * k), k * k)
    target = ",".join(str(n + 1) for n in right)
    other = ",".join(str(n + 1) for n in inverse(right))
    parts = Jigsaw(k).score(said(other), target).parts
    assert parts["other_exact"] == 1.0 and parts["valid"] == 1.0
    assert parts["exact"] == float(inverse(right) == right)
    mine = Jigsaw(k).score(said(target), target)
    assert mine.value == 1.0 and mine.parts["per_position"] == 1.0


@pytest.mark.parametrize(
    "text",
    ["1,1,1,1", "1,2,3", "1,2,3,4,5", "0,1,2,3", "2,3,4,5", "1,2,3,4,1,2,3,4", "1,2,2,4", "", "1,2,3,x"],
)
def test_what_is_no_permutation_earns_nothing(text: str) -> None:
    score = Jigsaw(2).score(said(text), "1,2,3,4")
    assert score.value == 0.0 and set(score.parts.values()) == {0.0}


def test_metrics_are_separate() -> None:
    parts = Jigsaw(2).score(said("1,2,4,3"), "1,2,3,4").parts
    assert parts == {"exact": 0.0, "per_position": 0.5, "valid": 1.0, "other_exact": 0.0}


def test_chance_is_that_of_a_guess_among_all_orders() -> None:
    task = Jigsaw(2)
    orders = [",".join(map(str, order)) for order in itertools.permutations((1, 2, 3, 4))]
    scores = [task.score(said(order), "2,3,1,4") for order in orders]
    assert sum(score.value or 0 for score in scores) / 24 == task.chance == 1 / math.factorial(4)
    assert sum(score.parts["per_position"] for score in scores) / 24 == pytest.approx(1 / 4)


@pytest.mark.slow
def test_all_orders_are_alike() -> None:
    image = noise(64, 64)
    counts: dict[str, int] = {}
    for seed in range(2400):
        target = Jigsaw(2).corrupt(image, seed).target
        counts[target] = counts.get(target, 0) + 1
    assert len(counts) == 24
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 49.7  # chi-square, 23 degrees, p = 0.001


@pytest.mark.parametrize("k", [7, 1, 0, 2.0, True])
def test_a_size_that_there_is_not(k: object) -> None:
    with pytest.raises(UsageError, match=r"2, 3, 4, 5 and 6|must be a whole number"):
        make_task("jigsaw", {"k": k})


def test_a_gap_cuts_the_edges_away() -> None:
    image = noise(224, 224)
    whole, cut = Jigsaw(2).corrupt(image, 5), Jigsaw(2, gap=0.25).corrupt(image, 5)
    assert {piece.size for piece in whole.images} == {(96, 96)}
    assert {piece.size for piece in cut.images} == {(72, 72)}
    with pytest.raises(UsageError, match=r"0 to 0\.5"):
        Jigsaw(2, gap=0.6)


def test_images_that_cannot_be_told_apart_or_are_too_small() -> None:
    with pytest.raises(Unusable, match="look the same"):
        Jigsaw(2).corrupt(Image.new("RGB", (100, 100), "white"), 0)
    with pytest.raises(Unusable, match="under 28"):
        Jigsaw(4).corrupt(noise(111, 200), 0)


def test_pieces_are_compared_without_what_the_gap_cuts_away() -> None:
    """Two pieces that differ in their edges alone are the same when the edges are gone."""
    image = noise(224, 224)
    image.paste(image.crop((16, 16, 112, 112)), (112, 16))
    image.paste("red", (16, 16, 24, 112))
    assert Jigsaw(2).corrupt(image, 0).images
    with pytest.raises(Unusable, match="look the same"):
        Jigsaw(2, gap=0.3).corrupt(image, 0)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_two_equal_pieces_anywhere_drop_the_image(k: int) -> None:
    side = (240 - 32) // k // 16 * 16
    left = (240 - k * side) // 2 // 16 * 16
    corner = (left, left, left + side, left + side)
    for at in range(1, k * k):
        image = noise(240, 240)
        image.paste(image.crop(corner), (left + at % k * side, left + at // k * side))
        with pytest.raises(Unusable, match="look the same"):
            Jigsaw(k).corrupt(image, 0)


def test_a_truncated_list_is_no_answer() -> None:
    score = Jigsaw(2).score(Completion(text="The answer is 2,3,1", finish_reason="length"), "2,3,1,4")
    assert score.value == 0.0 and score.status == "truncated"


def _prompt(task: Jigsaw) -> str:
    (message,) = task.messages(())
    (part,) = message.content
    assert isinstance(part, TextPart)
    return part.text
