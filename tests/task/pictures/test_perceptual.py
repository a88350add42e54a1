"""Perceptual hashes: near duplicates are found, different pictures are kept, in seconds for 50,000."""

from __future__ import annotations

from io import BytesIO
from random import Random
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ssl4rl_bench.task import scenes
from ssl4rl_bench.task.pictures import perceptual
from ssl4rl_bench.task.pictures.perceptual import (
    T_BITS,
    Perceptual,
    distance,
    near,
    near_duplicates,
    perceptual_hash,
)

HASHES = st.builds(Perceptual, st.integers(0, 2**64 - 1), st.binary(min_size=48, max_size=48))


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Two photographs, and six sections of each."""
    datasets = pytest.importorskip("sklearn.datasets")
    whole = [Image.fromarray(array) for array in datasets.load_sample_images().images]
    boxes = [(x, y, x + 200, y + 200) for x in (0, 210, 420) for y in (0, 210)]
    return whole + [photo.crop(box) for photo in whole for box in boxes]


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    out = BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(BytesIO(out.getvalue()))


def _resized(image: Image.Image, by: float) -> Image.Image:
    size = round(image.width * by), round(image.height * by)
    return image.resize(size, Image.Resampling.BICUBIC)


def test_reencoded_resized_and_slightly_cropped_photographs_are_near(photos: list[Image.Image]) -> None:
    for photo in photos:
        original = perceptual_hash(photo)
        cut = photo.crop((2, 2, photo.width - 2, photo.height - 2))
        for copy in (_jpeg(photo, 40), _resized(photo, 0.5), _resized(photo, 1.6), cut):
            assert near(original, perceptual_hash(copy)), distance(original, perceptual_hash(copy))


def test_a_draft_decoded_jpeg_is_near_the_whole_one(photos: list[Image.Image]) -> None:
    for photo in photos:
        draft = _jpeg(photo, 90)
        draft.draft("RGB", (64, 64))
        assert near(perceptual_hash(photo), perceptual_hash(draft.convert("RGB")))


def test_different_photographs_and_sections_are_not_near(photos: list[Image.Image]) -> None:
    assert near_duplicates([perceptual_hash(photo) for photo in photos]) == [None] * len(photos)


@pytest.mark.slow
def test_drawn_scenes_that_differ_by_one_object_are_mostly_kept() -> None:
    hashes = [perceptual_hash(q.drawn.image) for q in scenes.questions("dev", 20)]
    assert len(hashes) == 300
    assert sum(found is not None for found in near_duplicates(hashes)) <= 10


def test_flat_images_are_told_apart_by_colour_alone() -> None:
    def flat(*colour: int) -> Perceptual:
        return perceptual_hash(Image.new("RGB", (90, 60), colour))

    noise = np.random.default_rng(0).integers(119, 122, (60, 90, 3)).astype(np.uint8)
    assert flat(120, 120, 120).bits == 0
    assert near(flat(120, 120, 120), perceptual_hash(Image.fromarray(noise)))
    assert near(flat(120, 120, 120), flat(125, 120, 120))
    assert not near(flat(120, 120, 120), flat(140, 120, 120))


def test_colour_counts_where_structure_is_the_same(photos: list[Image.Image]) -> None:
    red, green, blue = photos[0].split()
    swapped = Image.merge("RGB", (blue, green, red))
    assert not near(perceptual_hash(photos[0]), perceptual_hash(swapped))


def test_the_hash_of_a_fixed_picture_never_changes() -> None:
    x, y = np.meshgrid(np.arange(97), np.arange(61))
    picture = np.stack([x * 2, y * 4, (x * y) % 256], axis=2).astype(np.uint8)
    assert perceptual_hash(Image.fromarray(picture)).hex() == GOLDEN


GOLDEN = (
    "0000000004010000"
    "171d4c471d70791d76a91d77175a72475a81795a7ea95a8017967847967d79967ea9968117d37947d37f79d381a9d37f"
)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (31, 33), (2000, 28)])
def test_any_size_has_a_hash(size: tuple[int, int]) -> None:
    assert len(perceptual_hash(Image.new("RGB", size, "red")).thumb) == 48


@given(HASHES, HASHES)
def test_hex_holds_both_parts_and_near_is_symmetric(a: Perceptual, b: Perceptual) -> None:
    assert Perceptual(int(a.hex()[:16], 16), bytes.fromhex(a.hex()[16:])) == a
    assert distance(a, b) == distance(b, a)
    assert near(a, a)


def _one_by_one(hashes: list[Perceptual]) -> list[int | None]:
    found: list[int | None] = []
    for i, item in enumerate(hashes):
        found.append(next((j for j in range(i) if found[j] is None and near(hashes[j], item)), None))
    return found


def _family(random: Random, n: int) -> list[Perceptual]:
    """Hashes in chains: each a few bits and levels from an earlier one, so that near is not transitive."""
    out = [Perceptual(random.getrandbits(64), random.randbytes(48))]
    while len(out) < n:
        if random.random() < 0.3:
            out.append(Perceptual(random.getrandbits(64), random.randbytes(48)))
            continue
        old = random.choice(out)
        bits = old.bits
        for _ in range(random.randrange(T_BITS + 4)):
            bits ^= 1 << random.randrange(64)
        thumb = bytes(min(255, max(0, value + random.randint(-9, 9))) for value in old.thumb)
        out.append(Perceptual(bits, thumb))
    return out


@pytest.mark.slow
def test_the_fast_search_finds_what_a_plain_one_does() -> None:
    hashes = _family(Random(1), 700)
    found = near_duplicates(hashes)
    assert found == _one_by_one(hashes)
    assert 50 < sum(item is not None for item in found) < 650
    assert near_duplicates([]) == []


@pytest.mark.slow
def test_fifty_thousand_take_seconds() -> None:
    random = Random(2)
    hashes = [Perceptual(random.getrandbits(64), random.randbytes(48)) for _ in range(50_000)]
    hashes[49_999] = hashes[3]
    begin = perf_counter()
    found = near_duplicates(hashes)
    assert perf_counter() - begin < 60
    assert found[49_999] == 3
    assert sum(item is not None for item in found) == 1


def test_the_thresholds_are_the_ones_that_were_measured() -> None:
    assert (perceptual.T_BITS, perceptual.T_COLOUR) == (12, 16)
