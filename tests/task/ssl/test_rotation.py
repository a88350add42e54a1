"""Rotation: the turn is right, and nothing but content tells it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.task.ssl import MIN_SIDE, Unusable, make_task
from ssl4rl_bench.task.ssl.rotation import Rotation, largest_rectangle


@given(st.integers(28, 90), st.integers(28, 90), st.integers(0, 10**6))
@settings(max_examples=examples(60), deadline=None)
def test_quarter_turns_move_pixels_and_change_none(width: int, height: int, seed: int) -> None:
    made = Rotation(90).corrupt(noise(width, height), seed)
    first, second = (np.asarray(image) for image in made.images)
    assert first.shape == second.shape and first.shape[0] == first.shape[1] >= MIN_SIDE
    # numpy turns counter-clockwise, as the prompt says.
    assert (np.rot90(first, int(made.target) // 90) == second).all()


@pytest.mark.slow
@pytest.mark.parametrize("step", [180, 120, 72, 60, 45, 30, 15, 1])
def test_other_steps_turn_counter_clockwise_by_the_target(step: int) -> None:
    image = noise(190, 160)
    seen = set()
    for seed in range(12):
        made = Rotation(step).corrupt(image, seed)
        angle = int(made.target)
        seen.add(angle)
        assert angle % step == 0 and 0 <= angle < 360
        first, second = made.images
        assert first.size == second.size
        # Turned back by Pillow, the middle of the second image is the middle of the first.
        back = np.asarray(second.rotate(-angle, Image.Resampling.BICUBIC), dtype=float)
        side = first.width
        middle = slice(side // 3, side - side // 3)
        apart = np.abs(back - np.asarray(first, dtype=float))[middle, middle].mean()
        assert apart < 6
    assert len(seen) > 1


@pytest.mark.slow
@pytest.mark.parametrize("step", [90, 45, 30])
@pytest.mark.parametrize("size", [(150, 100), (100, 150), (128, 128), (131, 97)])
def test_size_and_shape_tell_nothing(step: int, size: tuple[int, int]) -> None:
    sizes = {tuple(i.size for i in Rotation(step).corrupt(noise(*size), seed).images) for seed in range(30)}
    assert len(sizes) == 1
    (pair,) = sizes
    assert pair[0] == pair[1] and pair[0][0] == pair[0][1]


@pytest.mark.slow
@pytest.mark.parametrize("step", [45, 30])
def test_no_angle_is_sharper_than_another(step: int) -> None:
    """Interpolation blurs: were the first image, or quarter turns, left alone, sharpness would tell the angle."""

    def sharpness(image: Image.Image) -> float:
        grey = np.asarray(image.convert("L"), dtype=float)
        across = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
        return float(across)

    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (150, 150, 3), dtype=np.uint8))
    by_angle: dict[str, float] = {}
    for seed in range(60):
        made = Rotation(step).corrupt(image, seed)
        first, second = map(sharpness, made.images)
        by_angle[made.target] = second / first
    assert len(by_angle) == 360 // step
    assert max(by_angle.values()) / min(by_angle.values()) < 1.06
    plain = image.rotate(45, Image.Resampling.BICUBIC).crop((40, 40, 110, 110))
    assert sharpness(plain) / sharpness(image.crop((40, 40, 110, 110))) < 0.9


def test_no_black_corner_appears() -> None:
    white = Image.new("RGB", (100, 140), (255, 255, 255))
    white.paste((210, 210, 205), (40, 55, 70, 75))
    for seed in range(20):
        for image in Rotation(30).corrupt(white, seed).images:
            assert np.asarray(image).min() > 150


def test_jpeg_blocks_keep_their_phase() -> None:
    """The crop lies on the blocks' grid and is whole blocks wide: a turn maps the grid onto itself."""
    buffer = io.BytesIO()
    noise(333, 214).save(buffer, "JPEG", quality=30)
    image = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    square = Rotation(90).corrupt(image, 0).images[0]
    assert square.width % 16 == 0
    whole, part = np.asarray(image), np.asarray(square)
    places = [
        (x, y)
        for x in range(0, image.width - square.width + 1)
        for y in range(0, image.height - square.height + 1)
        if (whole[y : y + 8, x : x + 8] == part[:8, :8]).all()
    ]
    assert places and all(x % 16 == 0 and y % 16 == 0 for x, y in places)


def test_released_leaks_by_its_shape() -> None:
    task = Rotation(90, convention="released")
    image = noise(160, 100)
    for seed in range(20):
        made = task.corrupt(image, seed)
        assert made.images[0] is image
        turned = made.images[1].size
        assert turned == ((160, 100) if made.target in ("0", "180") else (100, 160))
    sizes = {Rotation(45, convention="released").corrupt(image, seed).images[1].size for seed in range(40)}
    assert len(sizes) == 3


@given(st.integers(40, 400), st.integers(40, 400), st.floats(0, 360))
@settings(max_examples=examples(200), deadline=None)
def test_the_largest_rectangle_fits(width: int, height: int, angle: float) -> None:
    p, q = largest_rectangle(width, height, angle)
    sin, cos = abs(np.sin(np.radians(angle))), abs(np.cos(np.radians(angle)))
    assert p * cos + q * sin <= width + 1e-6 and p * sin + q * cos <= height + 1e-6
    # No rectangle of either form that must bind is larger, up to rounding down.
    for x in np.linspace(1, np.hypot(width, height), 200):
        best = min((width - x * cos) / max(sin, 1e-9), (height - x * sin) / max(cos, 1e-9))
        assert x * best <= (p + 1) * (q + 1) + 1e-6


@pytest.mark.parametrize(
    "text",
    ["90", "90.0", "+90", "-270", "450", "90°", "90 degrees", "90 degrees counter-clockwise", "**90**."],
)
def test_answers_are_modulo_360_with_units_and_signs(text: str) -> None:
    score = Rotation().score(said(text), "90")
    assert (score.value, score.answer) == (1.0, "90")


def test_parts() -> None:
    task = Rotation(30)
    assert task.score(said("0"), "330").parts == {"exact": 0.0, "closeness": pytest.approx(1 - 30 / 180)}
    assert task.score(said("150"), "330").parts["closeness"] == 0
    assert task.score(said("ninety"), "90").parts == {"exact": 0.0, "closeness": 0.0}
    failed = task.score(Completion(text="", finish_reason="error", error="x"), "90")
    assert failed.value is None and not failed.parts


@pytest.mark.parametrize("step", [77, 0, -90, 360, 90.0, True, "90"])
def test_a_step_that_does_not_divide(step: Any) -> None:
    with pytest.raises(UsageError, match=r"77 does not divide 360|step|must be a whole number"):
        make_task("rotation", {"step": step})


@pytest.mark.parametrize(
    ("step", "size", "ok"), [(90, (28, 40), 1), (90, (27, 40), 0), (45, (92, 99), 1), (45, (91, 99), 0)]
)
def test_small_images(step: int, size: tuple[int, int], ok: bool) -> None:
    if ok:
        assert min(Rotation(step).corrupt(noise(*size), 1).images[0].size) >= MIN_SIDE
    else:
        with pytest.raises(Unusable, match="shorter side"):
            Rotation(step).corrupt(noise(*size), 1)


def test_an_image_that_looks_the_same_when_turned_asks_nothing() -> None:
    with pytest.raises(Unusable, match="looks the same"):
        Rotation().corrupt(Image.new("RGB", (64, 64), "red"), 0)


def wheel(n: int, size: int, shape: str) -> Image.Image:
    """A picture that looks the same when it is turned by a 1/n turn, and else not."""
    whole = 4 * size
    image = Image.new("RGB", (whole, whole), "white")
    draw = ImageDraw.Draw(image)
    middle = whole / 2
    for at in range(n):
        angle = 360 * at / n
        if shape == "pie":
            box = (whole * 0.1, whole * 0.1, whole * 0.9, whole * 0.9)
            draw.pieslice(box, angle, angle + 180 / n, fill="red")
        else:
            x, y = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            end = (middle + whole * 0.3 * x, middle + whole * 0.3 * y)
            draw.line((middle, middle, *end), fill="black", width=whole // 30)
    return image.resize((size, size), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("step", [30, 45, 60, 72, 120, 10])
@pytest.mark.parametrize("n", [3, 5, 6, 8, 12])
@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (160, "pie"),
        *(
            pytest.param(n, k, marks=pytest.mark.slow)
            for n, k in ((300, "spokes"), (300, "pie"), (600, "pie"))
        ),
    ],
)
def test_a_picture_that_repeats_asks_nothing_where_a_turn_repeats_it(
    step: int, n: int, size: int, shape: str
) -> None:
    """A six-spoked wheel has two right answers in steps of 60 and 30 degrees, and in steps of 45 too (180)."""
    repeats = any(angle * n % 360 == 0 for angle in range(step, 360, step))
    if repeats:
        with pytest.raises(Unusable, match="looks the same"):
            Rotation(step).corrupt(wheel(n, size, shape), 0)
    else:
        Rotation(step).corrupt(wheel(n, size, shape), 0)


@pytest.mark.slow
@pytest.mark.parametrize("step", [90, 45, 30, 15, 5, 1])
def test_a_picture_that_does_not_repeat_is_asked_about_in_every_step(step: int) -> None:
    targets = [Rotation(step).corrupt(noise(200, 260, seed), seed).target for seed in range(5)]
    assert all(int(target) % step == 0 for target in targets)


@pytest.mark.slow
def test_angles_are_even() -> None:
    image = noise(92, 92)
    targets = [Rotation(45).corrupt(image, seed).target for seed in range(800)]
    counts = [targets.count(str(angle)) for angle in range(0, 360, 45)]
    assert sum((n - 100) ** 2 / 100 for n in counts) < 24.3  # chi-square, 7 degrees of freedom, p = 0.001
