"""Leaks through the text of a sample: planted ones are found, and the captions have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from PIL import Image

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.leaks import CONSTANT
from ssl4rl_bench.task.pictures import open_source, select
from ssl4rl_bench.task.pictures.making import Opened
from ssl4rl_bench.task.scenes.draw import COLOURS
from ssl4rl_bench.task.scenes.question import PlacedShape
from ssl4rl_bench.task.ssl.base import Corrupted, Unusable
from ssl4rl_bench.task.ssl.caption import Caption
from ssl4rl_bench.task.text_leaks import PAIRS, WORDS, text_baselines


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Opened]:
    spool = tmp_path_factory.mktemp("drawings")
    chosen = select(open_source("scenes:text-leaks:60:attribute_recognition", spool=spool)).pictures
    return [Opened.of(picture.read(), picture.located.name) for picture in chosen]


@dataclass(frozen=True, slots=True)
class Planted(Caption):
    """Captions of which only some words can be false."""

    how: str = ""

    def corrupt_drawing(
        self, image: Image.Image, shapes: Sequence[PlacedShape], seed: int, other: Image.Image | None = None
    ) -> Corrupted:
        for number in range(seed, seed + 400):
            made = Caption.corrupt_drawing(self, image, shapes, number)
            if self._possible(made):
                return made
        raise Unusable("it has no such caption")

    def _possible(self, made: Corrupted) -> bool:
        words = self.candidates(made.text)
        place = list(words).index(made.target)
        if self.how == "first":
            return place < 3
        if self.how == "colours":
            return made.target in COLOURS
        # The false word comes before the true word of its kind in the alphabet, which pairs of words tell.
        return made.target < words[(place + 3) % 6]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "names"), [("first", {CONSTANT, PAIRS}), ("colours", {WORDS, PAIRS}), ("alphabet", {PAIRS})]
)
def test_a_planted_leak_is_found(how: str, names: set[str], pictures: list[Opened]) -> None:
    leaking = {one.name for one in text_baselines(Planted(how=how), pictures, 240) if one.leak == "yes"}
    assert names <= leaking


@pytest.mark.slow
def test_captions_give_nothing_away(pictures: list[Opened]) -> None:
    for one in text_baselines(Caption(), pictures, 240):
        assert one.leak == "no" and one.n == 240 and one.chance == 1 / 6
    with pytest.raises(DataError, match="two usable images"):
        text_baselines(Caption(), pictures[:1], 10)
