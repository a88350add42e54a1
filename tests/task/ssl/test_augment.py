"""Augmentations: the published parameters, torchvision's laws, and the same bytes everywhere."""

from __future__ import annotations

import colorsys
import math
from hashlib import sha256
from random import Random

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from ssl4rl_bench.task.ssl import augment
from ssl4rl_bench.task.ssl.augment import STRONG, WEAK, augment_view, random_crop
from ssl4rl_bench.task.ssl.rng import Stream


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Smooth colours with some noise and a sharp edge, 120 x 90."""
    x, y = np.meshgrid(np.linspace(0, 1, 120), np.linspace(0, 1, 90))
    noise = np.random.default_rng(0).normal(0, 12, (90, 120, 3))
    colours = np.stack([255 * x, 255 * y, 120 + 100 * np.sin(9 * x * y)], axis=2)
    colours[40:60, 30:50] = (250, 20, 20)
    return Image.fromarray((colours + noise).clip(0, 255).astype(np.uint8))


def _levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_parameters_are_the_published_ones() -> None:
    assert WEAK.scale == (0.08, 1.0) and STRONG.scale == (0.08, 0.3)
    for a in (WEAK, STRONG):
        assert (a.size, a.ratio) == (224, (3 / 4, 4 / 3))
        assert (a.jitter_p, a.brightness, a.contrast, a.saturation, a.hue) == (0.8, 0.8, 0.8, 0.8, 0.2)
        assert a.sigma == (0.1, 2.0)
    assert (WEAK.grey_p, WEAK.blur_p, WEAK.solarize_p, WEAK.equalize_p, WEAK.flip_p) == (0.2, 0.5, 0, 0, 0.5)
    assert {STRONG.grey_p, STRONG.blur_p, STRONG.solarize_p, STRONG.equalize_p, STRONG.flip_p} == {0.8}


def test_crops_follow_the_law() -> None:
    stream = Stream(1)
    boxes = np.array([random_crop(500, 400, WEAK, stream) for _ in range(20_000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    # Means and a deviation of torchvision 0.28's RandomResizedCrop for 500 x 400, 100,000 draws of it.
    assert width.mean() == pytest.approx(297.5, abs=2.5)
    assert height.mean() == pytest.approx(286.1, abs=2.5)
    assert width.std() == pytest.approx(91, abs=2)
    assert (width * height).mean() / 200_000 == pytest.approx(0.4545, abs=0.008)


@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 2**63 - 1), st.sampled_from([WEAK, STRONG]))
def test_crops_lie_inside(width: int, height: int, seed: int, kind: augment.Augmentation) -> None:
    left, top, right, bottom = random_crop(width, height, kind, Stream(seed))
    assert 0 <= left < right <= width and 0 <= top < bottom <= height


def test_a_crop_that_never_fits_lies_in_the_middle() -> None:
    assert random_crop(28, 2800, WEAK, Stream(1)) == (0, 1381, 28, 1418)
    assert random_crop(2800, 28, WEAK, Stream(1)) == (1381, 0, 1418, 28)


def test_the_same_seed_gives_the_same_bytes_and_views_differ(picture: Image.Image) -> None:
    for kind in (WEAK, STRONG):
        views = [augment_view(picture, kind, Stream(seed)) for seed in range(20)]
        assert all(view.size == (224, 224) and view.mode == "RGB" for view in views)
        assert [augment_view(picture, kind, Stream(s)).tobytes() for s in range(20)] == [
            v.tobytes() for v in views
        ]
        assert len({view.tobytes() for view in views}) == 20


def test_views_of_a_fixed_picture_never_change() -> None:
    x, y = np.meshgrid(np.arange(97), np.arange(61))
    fixed = Image.fromarray(np.stack([x * 2, y * 4, (x * y) % 256], axis=2).astype(np.uint8))
    digest = sha256()
    for seed in range(40):
        digest.update(augment_view(fixed, (WEAK, STRONG)[seed % 2], Stream(seed)).tobytes())
    assert digest.hexdigest()[:16] == GOLDEN


GOLDEN = "d7064a177f1d77d2"


def test_for_position_place_size_and_sides_stay(picture: Image.Image) -> None:
    before = picture.tobytes()
    for kind in (WEAK, STRONG):
        kept = kind.without_crop_and_flip()
        assert (kept.scale, kept.flip_p) == (None, 0.0)
        for seed in range(10):
            view = augment_view(picture, kept, Stream(seed))
            assert view.size == picture.size and view is not picture
    assert picture.tobytes() == before


@settings(max_examples=examples(40))
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_the_smallest_images_can_be_changed(width: int, height: int, seed: int) -> None:
    image = Image.frombytes("RGB", (width, height), Random(seed).randbytes(3 * width * height))
    assert augment_view(image, STRONG.without_crop_and_flip(), Stream(seed)).size == (width, height)
    assert augment_view(image, STRONG, Stream(seed)).size == (224, 224)


def test_a_given_box_is_used(picture: Image.Image) -> None:
    plain = augment.replace(WEAK.without_crop_and_flip(), scale=(0.5, 1), jitter_p=0, grey_p=0, blur_p=0)
    view = augment_view(picture, plain, Stream(1), (10, 20, 60, 80))
    wanted = picture.crop((10, 20, 60, 80)).resize((224, 224), Image.Resampling.BICUBIC)
    assert view.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("turn", [-0.2, -0.07, 0.0, 0.1, 0.2, 0.5, 1.0])
def test_hue_is_the_exact_hsv_rotation(picture: Image.Image, turn: float) -> None:
    got = np.asarray(augment._hue_turned(picture, turn)).reshape(-1, 3)[::37]
    for pixel, new in zip(np.asarray(picture).reshape(-1, 3)[::37].tolist(), got.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
        wanted = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert max(abs(255 * a - b) for a, b in zip(wanted, new, strict=True)) <= 0.55


def test_hue_of_every_pure_colour_wraps_and_grey_stays() -> None:
    edge = range(0, 256, 5)
    colours = [(255, v, 0) for v in edge] + [(v, 255, 0) for v in edge] + [(0, 255, v) for v in edge]
    colours += [(0, v, 255) for v in edge] + [(v, 0, 255) for v in edge] + [(255, 0, v) for v in edge]
    ring = Image.new("RGB", (len(colours), 1))
    ring.putdata(colours)
    assert augment._hue_turned(ring, 0.0).tobytes() == ring.tobytes()
    third = augment._hue_turned(ring, 1 / 3)
    red, green, blue = ring.split()
    assert np.abs(_levels(third) - _levels(Image.merge("RGB", (blue, red, green)))).max() <= 1
    grey = Image.linear_gradient("L").convert("RGB")
    assert augment._hue_turned(grey, 0.17).tobytes() == grey.tobytes()


@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.8, 1.3, 2.0])
def test_blur_is_gaussian(picture: Image.Image, sigma: float) -> None:
    from scipy.ndimage import gaussian_filter

    exact = gaussian_filter(_levels(picture).astype(float), (sigma, sigma, 0), mode="nearest")
    blurred = augment._blurred(picture, sigma)
    assert np.abs(_levels(blurred) - exact).mean() < 0.5
    grey = picture.convert("L")
    each = [augment._blurred(grey, sigma)] * 3
    assert (
        augment._blurred(Image.merge("RGB", [grey] * 3), sigma).tobytes()
        == Image.merge("RGB", each).tobytes()
    )


@given(st.floats(0.1, 2.0))
def test_weights_of_the_blur_add_up_and_fit_in_16_bits(sigma: float) -> None:
    middle, *sides = augment._gaussian(sigma)
    assert middle + 2 * sum(sides) == 256
    assert middle >= max(sides, default=0) and all(weight > 0 for weight in sides)
    assert 2 * 255 * max(sides, default=0) < 65536


def test_white_stays_white_under_blur() -> None:
    white = Image.new("RGB", (30, 20), "white")
    assert all(augment._blurred(white, s / 10).tobytes() == white.tobytes() for s in range(1, 21))


def test_a_grey_view_is_grey_and_the_same_as_in_three_channels(picture: Image.Image) -> None:
    grey = augment.replace(STRONG, grey_p=1.0)
    for seed in range(10):
        red, green, blue = augment_view(picture, grey, Stream(seed)).split()
        assert red.tobytes() == green.tobytes() == blue.tobytes()


def test_probabilities_are_kept(picture: Image.Image) -> None:
    """Greyscale is seen from outside; each other change alone, by whether it changed anything."""
    off = dict.fromkeys(("jitter_p", "grey_p", "blur_p", "solarize_p", "equalize_p", "flip_p"), 0.0)
    small = picture.resize((40, 30))
    for name in off:
        alone = augment.replace(WEAK, scale=None, sigma=(1.0, 2.0), **{**off, name: 0.8})
        n = 400
        stream = Stream(7)
        changed = sum(
            ImageChops.difference(augment_view(small, alone, stream), small).getbbox() is not None
            for _ in range(n)
        )
        assert abs(changed / n - 0.8) < 4 * math.sqrt(0.16 / n), name


@pytest.mark.engine
def test_views_are_distributed_as_torchvisions(picture: Image.Image) -> None:
    pytest.importorskip("torchvision")
    import torch
    from PIL import ImageFilter
    from torchvision import transforms

    torch.manual_seed(0)
    random = Random(0)
    big = picture.resize((500, 400))
    for kind in (WEAK, STRONG):
        reference = transforms.Compose(
            [
                transforms.RandomResizedCrop(
                    224, kind.scale, interpolation=transforms.InterpolationMode.BICUBIC
                ),
                transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
                transforms.RandomGrayscale(kind.grey_p),
                transforms.RandomApply(
                    [lambda x: x.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2)))], kind.blur_p
                ),
                transforms.RandomSolarize(128, kind.solarize_p),
                transforms.RandomEqualize(kind.equalize_p),
                transforms.RandomHorizontalFlip(kind.flip_p),
            ]
        )
        stream = Stream(5)
        ours = np.array([_statistics(augment_view(big, kind, stream)) for _ in range(300)])
        theirs = np.array([_statistics(reference(big)) for _ in range(300)])
        error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 300)
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4 * error).all()
        assert (np.abs(np.log(ours.std(axis=0) / theirs.std(axis=0))) < 0.3).all()


def _statistics(image: Image.Image) -> list[float]:
    pixels = np.asarray(image).astype(float)
    sharpness = np.abs(np.diff(pixels.mean(axis=2), axis=1)).mean()
    return [
        *pixels.mean(axis=(0, 1)),
        *pixels.std(axis=(0, 1)),
        sharpness,
        np.abs(np.ptp(pixels, axis=2)).mean(),
    ]
