"""Position: the crop lies in its part, and parts differ in nothing but content."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.ssl import MIN_SIDE, Unusable, make_task
from ssl4rl_bench.task.ssl.position import LABELS, Position, _span


@pytest.mark.slow
@pytest.mark.parametrize("grid", [2, 3])
def test_the_crop_lies_in_its_part(grid: int) -> None:
    rng = np.random.default_rng(0)
    width, height = 211, 253
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    pixels = np.asarray(image)
    for seed in range(60):
        made = Position(grid).corrupt(image, seed)
        assert made.images[0] is image
        crop = np.asarray(made.images[1])
        h, w = crop.shape[:2]
        assert min(h, w) >= MIN_SIDE
        ys, xs = np.where((pixels[: height - h + 1, : width - w + 1] == crop[0, 0]).all(axis=2))
        (place,) = [
            (x, y) for x, y in zip(xs, ys, strict=True) if (pixels[y : y + h, x : x + w] == crop).all()
        ]
        at = LABELS[grid].index(made.target)
        column, row = at % grid, at // grid
        assert column * width / grid <= place[0] and place[0] + w <= (column + 1) * width / grid
        assert row * height / grid <= place[1] and place[1] + h <= (row + 1) * height / grid


@given(st.integers(60, 900), st.integers(2, 3))
def test_parts_are_of_one_length_on_the_jpeg_grid(length: int, grid: int) -> None:
    spans = [_span(length, at, grid) for at in range(grid)]
    assert len({size for _, size in spans}) == 1
    if length // grid >= 96:
        for at, (begin, size) in enumerate(spans):
            assert begin % 16 == 0 and size % 16 == 0
            assert at * length / grid <= begin and begin + size <= (at + 1) * length / grid
            assert begin >= 16 and begin + size <= length - 16


def test_sizes_do_not_tell_the_part() -> None:
    """Of an odd side, released gives the last part the pixel that is left over."""
    image = noise(77, 77)  # its crops are 28 to 30 pixels wide, so that each width comes often
    largest: dict[str, Counter[int]] = {"ours": Counter(), "released": Counter()}
    for convention, found in largest.items():
        for seed in range(60):
            made = Position(convention=convention).corrupt(image, seed)
            side = "left" if "left" in made.target else "right"
            found[side] = max(found[side], made.images[1].width)
    assert largest["ours"]["left"] == largest["ours"]["right"]
    assert largest["released"]["left"] < largest["released"]["right"]


@pytest.mark.slow
def test_parts_are_even() -> None:
    image = noise(112, 112)
    for grid in (2, 3):
        n = grid**2
        counts = Counter(Position(grid).corrupt(image, seed).target for seed in range(60 * n))
        assert set(counts) == set(LABELS[grid])
        assert sum((count - 60) ** 2 / 60 for count in counts.values()) < 26.2  # p = 0.001 with 8 degrees


def test_an_empty_part_drops_the_image_whatever_is_asked() -> None:
    """Were it dropped only when the empty part is asked about, the full parts would be asked about more often."""
    image = noise(200, 200)
    image.paste("white", (0, 0, 100, 100))
    for seed in range(20):
        with pytest.raises(Unusable, match="empty"):
            Position().corrupt(image, seed)


def tiled(tile: Image.Image, columns: int, rows: int) -> Image.Image:
    out = Image.new("RGB", (tile.width * columns, tile.height * rows))
    for column in range(columns):
        for row in range(rows):
            out.paste(tile, (column * tile.width, row * tile.height))
    return out


def grain(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def gradient(width: int, height: int) -> Image.Image:
    """A sky: lighter from top to bottom, the same from left to right."""
    rows = np.linspace(60, 220, height)[:, None, None] + np.zeros((1, width, 3))
    return Image.fromarray(rows.astype(np.uint8))


def stripes(width: int, height: int) -> Image.Image:
    columns = ((np.arange(width) // 13) % 2 * 200 + 20)[None, :, None] + np.zeros((height, 1, 3))
    return Image.fromarray(columns.astype(np.uint8))


TWICE = {
    "four equal quadrants": tiled(noise(150, 130), 2, 2),
    "two equal halves, side by side": tiled(noise(201, 333), 2, 1),
    "two equal halves, one above the other": tiled(noise(333, 190), 1, 2),
    "a small tile": tiled(noise(53, 71), 4, 4),
    "grain": tiled(grain(160, 140), 2, 2),
    "large": tiled(noise(700, 500), 2, 2),
    "sky": gradient(400, 300),
    "stripes": stripes(400, 300),
}


@pytest.mark.parametrize("params", [{}, {"augment": "weak"}, {"augment": "strong"}])
@pytest.mark.parametrize("what", TWICE)
@pytest.mark.parametrize("seeds", [[0], pytest.param([1, 2], marks=pytest.mark.slow)], ids=["", "more"])
def test_a_crop_that_fits_in_two_parts_is_never_asked_about(
    what: str, params: dict[str, str], seeds: list[int]
) -> None:
    for seed in seeds:
        with pytest.raises(Unusable, match="looks like another part"):
            make_task("position", params).corrupt(TWICE[what], seed)


def test_a_crop_of_one_lightness_and_another_fits_in_two_parts_when_brightness_changes() -> None:
    dark = noise(200, 300).point([value // 2 for value in range(256)] * 3)
    light = dark.point([value + 60 for value in range(256)] * 3)
    image = Image.new("RGB", (400, 300))
    image.paste(dark, (0, 0))
    image.paste(light, (200, 0))
    Position().corrupt(image, 0)
    with pytest.raises(Unusable, match="looks like another part"):
        Position(augment="weak").corrupt(image, 0)


@pytest.mark.slow
def test_a_crop_never_lies_where_nothing_is_to_be_seen() -> None:
    """One object a quadrant, small: a crop beside it shows the background, which is everywhere."""
    image = Image.new("RGB", (320, 320), "white")
    for at, (x, y) in enumerate([(40, 40), (210, 60), (60, 220), (230, 230)]):
        image.paste(noise(50, 50, at), (x, y))
    made = 0
    for seed in range(40):
        try:
            crop = Position().corrupt(image, seed).images[1]
        except Unusable:
            continue
        made += 1
        assert np.asarray(crop).std() > 2
    assert made > 20


@pytest.mark.parametrize("augment", ["weak", "strong"])
@pytest.mark.slow
def test_a_changed_crop_still_shows_something(augment: str) -> None:
    """Faint detail in a light picture goes when brightness rises: another change is drawn."""
    fine = grain(20, 20).resize((240, 240), Image.Resampling.BICUBIC)
    faint = fine.point([205 + value // 6 for value in range(256)] * 3)
    for seed in range(60):
        crop = Position(augment=augment).corrupt(faint, seed).images[1]
        assert np.asarray(crop).std(axis=(0, 1)).max() >= 2


@pytest.mark.parametrize("augment", ["weak", "strong"])
def test_augmentation_changes_the_crop_alone(augment: str) -> None:
    image = noise(200, 150)
    same = 0
    for seed in range(10):
        plain, changed = Position().corrupt(image, seed), Position(augment=augment).corrupt(image, seed)
        assert changed.images[0] is image
        assert changed.images[1].size == plain.images[1].size and changed.target == plain.target
        same += changed.images[1].tobytes() == plain.images[1].tobytes()
    assert same <= 3


@pytest.mark.parametrize(
    "text", ["top-left", "Top Left", "TOP_LEFT.", "upper left", "the top-left quadrant", "**top-left**"]
)
def test_ways_to_say_it(text: str) -> None:
    assert Position().score(said(text), "top-left").value == 1.0


def test_parts_of_the_score() -> None:
    assert Position().score(said("top-right"), "top-left").parts == {"exact": 0.0, "row": 1.0, "column": 0.0}
    assert Position().score(said("top-left or top-right"), "top-left").value == 0.0
    assert Position(3).score(said("center"), "center").value == 1.0
    assert Position().score(said("center"), "top-left").status == "none"


@pytest.mark.parametrize("params", [{"grid": 4}, {"augment": "week"}, {"convention": "theirs"}, {"size": 3}])
def test_parameters_that_there_are_not(params: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        make_task("position", params)


def test_an_image_that_is_too_small() -> None:
    with pytest.raises(Unusable, match="under 28"):
        Position().corrupt(noise(60, 200), 0)
