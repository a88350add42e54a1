"""Masked patch: the right candidate was under the square, and nothing but the picture tells which one it is."""

from __future__ import annotations

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import MIN_SIDE, Unusable, make_task
from ssl4rl_bench.task.ssl.patch import LETTERS, Patch

LEVELS = ("easy", "hard")


def places(small: NDArray[np.uint8], large: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Every left and top at which the picture shows these pixels."""
    height, width = small.shape[:2]
    return [
        (int(x), int(y))
        for y, x in np.argwhere((large == small[0, 0]).all(axis=2))
        if np.array_equal(large[y : y + height, x : x + width], small)
    ]


def blacked_out(masked: Image.Image, image: Image.Image) -> tuple[int, int, int, int]:
    """The box of all pixels that were changed; they must be black."""
    shown, before = np.asarray(masked), np.asarray(image)
    rows, columns = np.nonzero((shown != before).any(axis=2))
    assert (shown[rows, columns] == 0).all()
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@given(st.sampled_from(LEVELS), st.integers(160, 300), st.integers(160, 300), st.integers(0, 10**6))
@settings(max_examples=examples(20), deadline=None)
def test_the_right_candidate_was_under_the_square(level: str, width: int, height: int, seed: int) -> None:
    image = noise(width, height, seed)
    made = make_task("patch", {"distractors": level}).corrupt(image, seed)
    masked, *candidates = made.images
    assert masked.size == image.size and {patch.size for patch in candidates} == {candidates[0].size}
    box = blacked_out(masked, image)
    right = candidates[LETTERS.index(made.target)]
    assert np.array_equal(np.asarray(right), np.asarray(image.crop(box)))
    corners = []
    for patch in candidates:
        (corner,) = places(np.asarray(patch), np.asarray(image))
        corners.append(corner)
        assert corner[0] % 16 == box[0] % 16 == 0 and corner[1] % 16 == box[1] % 16 == 0
    side = right.width
    for index, (x, y) in enumerate(corners):
        assert all(abs(x - u) >= side or abs(y - v) >= side for u, v in corners[:index])


def test_a_gap_cuts_around_the_candidates() -> None:
    image = noise(320, 320)
    masked, *candidates = Patch(gap=0.25).corrupt(image, 1).images
    left, top, right, bottom = blacked_out(masked, image)
    assert (right - left, bottom - top) == (64, 64) and candidates[0].size == (48, 48)
    with pytest.raises(UsageError, match=r"0 to 0\.5"):
        Patch(gap=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_the_candidates_alone_do_not_tell(level: str) -> None:
    """Nearest to the others, or farthest from them, is the right one in a quarter of the samples."""
    image, task = noise(200, 200, 5), make_task("patch", {"distractors": level})
    nearest = farthest = 0
    letters = dict.fromkeys(LETTERS, 0)
    n = 400
    for seed in range(n):
        made = task.corrupt(image, seed)
        small = [np.asarray(patch.resize((8, 8)), dtype=float) for patch in made.images[1:]]
        apart = [sum(np.abs(one - other).mean() for other in small) for one in small]
        nearest += LETTERS[int(np.argmin(apart))] == made.target
        farthest += LETTERS[int(np.argmax(apart))] == made.target
        letters[made.target] += 1
    for count in (nearest, farthest, *letters.values()):
        assert abs(count - n / 4) < 29  # 3.3 standard deviations, p = 0.001


def test_hard_candidates_have_closer_colours() -> None:
    image = noise(240, 240, 3)
    spreads = {}
    for level in LEVELS:
        task = make_task("patch", {"distractors": level})
        means = [
            [
                np.asarray(patch, dtype=float).mean(axis=(0, 1))
                for patch in task.corrupt(image, seed).images[1:]
            ]
            for seed in range(20)
        ]
        spreads[level] = np.mean([np.std(four, axis=0).sum() for four in means])
    assert spreads["hard"] < 0.6 * spreads["easy"]


def test_no_two_candidates_look_the_same() -> None:
    """Half of the places of this picture repeat the other half."""
    image = noise(288, 288)
    image.paste(image.crop((16, 16, 272, 144)), (16, 144))
    for level in LEVELS:
        for seed in range(40):
            patches = [np.asarray(patch) for patch in Patch(level).corrupt(image, seed).images[1:]]  # type: ignore[arg-type]
            assert len({patch.tobytes() for patch in patches}) == 4
    with pytest.raises(Unusable, match="fewer than four"):
        Patch().corrupt(Image.new("RGB", (200, 200), "white"), 0)
    with pytest.raises(Unusable, match=f"under {MIN_SIDE}"):
        Patch().corrupt(noise(100, 300), 0)


@pytest.mark.parametrize(
    ("text", "letter"),
    [("b", "B"), ("(C)", "C"), ("Candidate A.", "A"), ("the correct option is D", "D"), ("**D**", "D")]
    + [(text, None) for text in ("A or B", "E", "a patch", "not A", "AB", "1", "")],
)
def test_letters(text: str, letter: str | None) -> None:
    assert Patch().parse(text) == letter
    if text:
        assert Patch().score(said(text), "A").value == float(letter == "A")
