"""Flipped patch: the answer names the patch whose pixels are those of the picture mirrored."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import Unusable
from ssl4rl_bench.task.ssl.mirror import Mirror


@given(
    st.sampled_from([0.0, 0.125, 0.3]), st.integers(128, 300), st.integers(128, 300), st.integers(0, 10**6)
)
@settings(max_examples=examples(30), deadline=None)
def test_only_the_patch_that_is_named_is_mirrored(frame: float, width: int, height: int, seed: int) -> None:
    image = noise(width, height, seed)
    try:
        made = Mirror(frame).corrupt(image, seed)
    except Unusable:
        return
    (picture,) = made.images
    shown, before = np.asarray(picture), np.asarray(image)
    changed = (shown != before).any(axis=2) & (shown.max(axis=2) > 0)
    rows, columns = np.nonzero(changed)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    assert np.array_equal(shown[top:bottom, left:right][:, ::-1], before[top:bottom, left:right])
    quarter = 2 * int(top + bottom > height) + int(left + right > width)
    assert made.target == str(quarter + 1)


def test_four_patches_are_framed_and_start_on_the_jpeg_grid() -> None:
    image = noise(320, 256, 1).point(lambda value: max(value, 1))
    (picture,) = Mirror().corrupt(image, 0).images
    black = np.asarray(picture).max(axis=2) == 0
    for half_rows in (slice(0, 128), slice(128, 256)):
        for half_columns in (slice(0, 160), slice(160, 320)):
            rows, columns = np.nonzero(black[half_rows, half_columns])
            for lines in (rows, columns):
                assert lines.min() % 16 == 0 and (lines.max() + 1) % 16 == 0
                assert lines.max() + 1 - lines.min() == 80


def test_all_patches_are_alike() -> None:
    image = noise(200, 200)
    counts = Counter(Mirror().corrupt(image, seed).target for seed in range(400))
    assert sum((counts[number] - 100) ** 2 / 100 for number in "1234") < 16.27  # chi-square, p = 0.001


def test_what_looks_like_its_mirror_image_is_not_asked_about() -> None:
    """One quarter without a patch is enough, whichever would be mirrored."""
    image = noise(224, 224)
    assert Mirror().corrupt(image, 0).images
    image.paste("red", (112, 0, 224, 112))
    for seed in range(8):
        with pytest.raises(Unusable, match="mirror images"):
            Mirror().corrupt(image, seed)
    with pytest.raises(Unusable, match="128 are needed"):
        Mirror().corrupt(noise(127, 300), 0)
    with pytest.raises(UsageError, match=r"0 to 0\.3"):
        Mirror(0.5)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        ("Patch 3.", "3"),
        ("the top right patch", "2"),
        ("patch number 4", "4"),
        ("bottom-left", "3"),
    ]
    + [(text, None) for text in ("5", "0", "1 or 2", "top", "", "12")],
)
def test_numbers_and_places(text: str, number: str | None) -> None:
    assert Mirror().parse(text) == number
    if text:
        assert Mirror().score(said(text), "2").value == float(number == "2")
