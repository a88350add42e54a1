"""Making samples: seeds, pairs that stay balanced, and bytes that are reused where a picture is shown unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pictures import encoded, picture
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.task.pictures import make, seed_for
from ssl4rl_bench.task.pictures.making import Opened
from ssl4rl_bench.task.ssl.base import Corrupted, Unusable


@dataclass
class Fake:
    """Shows the image and its corner, or both images; says which seed it was given."""

    pairs: bool = False
    refuses: tuple[int, ...] = ()
    """Widths of other images that it does not take."""
    identity: str = "fake/1"
    drawings_only: bool = False

    def corrupt(self, image: Image.Image, seed: int, other: Image.Image | None = None) -> Corrupted:
        if other is not None and other.width in self.refuses:
            raise Unusable("it does not fit")
        return Corrupted((image, image.crop((0, 0, 30, 30)) if other is None else other), str(seed))


def opened(seed: int, format: str = "PNG", width: int = 96) -> Opened:
    return Opened.of(images.from_bytes(encoded(seed, format, (width, 72))))


def test_seeds_are_those_of_the_contract() -> None:
    single: Any = Fake()
    pair: Any = Fake(pairs=True)
    assert seed_for(single, "ab", 3) == seed_of("fake/1", "ab", 3)
    assert seed_for(pair, "ab", 3) == seed_of("fake/1", "ab", 3, "alone")
    assert seed_for(pair, "ab", 3, "other") == seed_of("fake/1", "ab", 3, "other")
    (made,) = make(single, opened(1), 3)
    assert made.target == str(seed_of("fake/1", made.sources[0], 3))
    assert made.id == f"{made.sources[0][:24]}-3"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_an_unchanged_plain_picture_keeps_its_bytes(format: str) -> None:
    task: Any = Fake()
    one = opened(2, format)
    (made,) = make(task, one)
    assert made.images[0] is one.encoded
    assert images.mime(made.images[1]) == "image/png"
    assert images.decode(made.images[1]).tobytes() == one.pixels.crop((0, 0, 30, 30)).tobytes()


def test_a_picture_that_readers_could_read_in_two_ways_is_encoded_again() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    task: Any = Fake()
    for mode, options in (("RGB", {"exif": exif}), ("RGBA", {}), ("P", {}), ("L", {})):
        image = images.from_bytes(_png(picture(3).convert(mode), **options))
        (made,) = make(task, Opened.of(image))
        assert made.images[0].data != image.data
        assert images.decode(made.images[0]).tobytes() == images.decode(image).tobytes()


def _png(image: Image.Image, **options: Any) -> bytes:
    from io import BytesIO

    out = BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def test_a_pair_has_the_first_partner_that_the_task_takes() -> None:
    task: Any = Fake(pairs=True, refuses=(100, 101))
    one = opened(1)
    alone, both = make(task, one, 0, [opened(2, width=100), opened(3, width=101), opened(4, width=102)])
    assert (alone.role, both.role) == ("alone", "other")
    assert alone.sources == (one.encoded.sha256,)
    assert both.sources[1] == opened(4, width=102).encoded.sha256
    assert len({alone.id, both.id}) == 2


def test_a_pair_is_made_whole_or_not_at_all() -> None:
    task: Any = Fake(pairs=True, refuses=(100,))
    with pytest.raises(Unusable, match="no other image"):
        make(task, opened(1))
    with pytest.raises(Unusable, match="does not fit"):
        make(task, opened(1), 0, [opened(2, width=100)] * 20)
