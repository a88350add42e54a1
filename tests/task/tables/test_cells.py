"""Cells of MMBench's schema: an image that many rows repeat is decoded once, and never confused with another."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench_data import picture

from ssl4rl_bench.core import images
from ssl4rl_bench.task.tables.cells import Images, image_cell, index_of, literal, quoted, text_of

PICTURES = [picture(number) for number in range(3)]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Receives each text that is decoded."""
    decoded: list[str] = []
    decode = images.from_base64

    def from_base64(text: str) -> images.EncodedImage:
        decoded.append(text)
        return decode(text)

    monkeypatch.setattr(images, "from_base64", from_base64)
    return decoded


def test_a_repeated_image_is_decoded_once_and_is_one_object(decoded: list[str]) -> None:
    read = Images().read
    texts = [encoded(data) for data in PICTURES]
    made = [read(text) for text in texts for _ in range(4)]
    assert decoded == texts
    assert [one.data for one in made[::4]] == PICTURES
    assert all(made[index] is made[index // 4 * 4] for index in range(len(made)))


def test_other_forms_of_the_same_image_are_the_same_object(decoded: list[str]) -> None:
    read = Images().read
    text = encoded(PICTURES[0])
    lines = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    forms = [text, lines, f"data:image/png;base64,{text}", PICTURES[0], {"bytes": PICTURES[0]}, [text]]
    made = [read(form) for form in forms]
    assert all(one is made[0] for one in made)
    assert decoded == [text, lines, f"data:image/png;base64,{text}"]


def test_images_that_differ_in_a_few_bytes_are_kept_apart(decoded: list[str]) -> None:
    """The texts have the same length and the same middle; only an exact comparison tells them apart."""
    changed = bytearray(PICTURES[1])
    changed[44] ^= 1  # in the compressed pixels, which are not decoded here
    read = Images().read
    one, other, again = (read(encoded(bytes(data))) for data in (PICTURES[1], changed, PICTURES[1]))
    assert isinstance(one, images.EncodedImage) and isinstance(other, images.EncodedImage)
    assert (one.data, other.data) == (PICTURES[1], bytes(changed))
    assert again is one
    assert len(decoded) == 3


@given(st.binary(min_size=1, max_size=200), st.text(max_size=80))
def test_only_the_text_itself_is_the_base64_of_an_image(data: bytes, text: str) -> None:
    image = images.EncodedImage(data, "")
    assert images.is_base64_of(encoded(data), image)
    assert images.is_base64_of(text, image) == (text == encoded(data))
    assert not images.is_base64_of(encoded(data) + "\udcff", image)


@pytest.mark.parametrize("text", ["!" * 80, encoded(os.urandom(90)), encoded(PICTURES[0])[:-8] + "@" * 8])
def test_a_damaged_image_is_an_error_each_time(decoded: list[str], text: str) -> None:
    read = Images().read
    for _ in range(3):
        with pytest.raises(images.ImageError):
            read(text)
    assert len(decoded) == 3


@pytest.mark.parametrize(
    ("cell", "index"), [("7", 7), (7, 7), (7.0, 7), (" 1000241.0 ", 1_000_241), ("7.5", None), ("x", None)]
)
def test_a_short_cell_is_the_index_of_another_row(cell: object, index: int | None) -> None:
    assert index_of(text_of(cell)) == index
    if index is None:
        with pytest.raises(images.ImageError, match="neither base64 nor the index"):
            image_cell(cell)
    else:
        assert image_cell(cell) == Images().read(cell) == index


@pytest.mark.parametrize("cell", [None, float("nan"), "", " "])
def test_an_empty_cell_has_no_image(cell: object) -> None:
    assert not text_of(cell).strip()
    with pytest.raises(images.ImageError, match="it is missing"):
        image_cell(cell)


def test_a_long_text_is_cut_in_a_message() -> None:
    assert quoted("a\n") == r"'a\n'"
    assert quoted("a" * 41) == f"{'a' * 40!r}..."


def test_literals_of_json_and_python_without_warnings(recwarn: pytest.WarningsRecorder) -> None:
    assert literal('["a", 1]') == literal("['a', 1]") == ["a", 1]
    assert literal("{'subject': 'Angle'}") == {"subject": "Angle"}
    assert literal(r"['\d']") == ["\\d"]
    assert literal("(") is literal("[" * 9999) is literal("__import__('os')") is None
    assert not recwarn.list
