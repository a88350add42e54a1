"""Hidden boxes: nothing outside them changes, and the matched control is equal in size and apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ssl4rl_bench.signal.looked_at import scenes_questions
from ssl4rl_bench.signal.occlusion import (
    background,
    boxes_of,
    grid,
    hidden,
    mean_colour,
    overlap,
)
from ssl4rl_bench.task.scenes.draw import Box

SIDE = 60
sides = st.integers(0, SIDE - 1)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, top = draw(sides), draw(sides)
    return left, top, draw(st.integers(left + 1, SIDE)), draw(st.integers(top + 1, SIDE))


def noise(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return Image.fromarray(pixels)


@given(boxes())
def test_hiding_fills_the_box_and_touches_nothing_else(box: Box) -> None:
    before = noise()
    after = np.asarray(hidden(before, box, (1, 2, 3)))
    left, top, right, bottom = box
    assert (after[top:bottom, left:right] == (1, 2, 3)).all()
    mask = np.ones((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = False
    assert (after[mask] == np.asarray(noise())[mask]).all()
    assert (np.asarray(before) == np.asarray(noise())).all()


@given(boxes(), boxes())
def test_overlap_counts_common_pixels(one: Box, other: Box) -> None:
    count = np.zeros((SIDE, SIDE), int)
    for left, top, right, bottom in (one, other):
        count[top:bottom, left:right] += 1
    assert overlap(one, other) == overlap(other, one) == int((count == 2).sum())


@given(st.lists(boxes(), min_size=2, max_size=4), st.data())
def test_the_boxes_of_a_picture(objects: list[Box], data: st.DataObject) -> None:
    asked = data.draw(st.integers(0, len(objects) - 1))
    result = boxes_of(objects, asked, (SIDE, SIDE))
    if result is None:
        return
    other, chosen = result
    assert other != asked
    hides = [chosen.asked, chosen.other, *([chosen.empty] if chosen.empty else [])]
    extents = {(right - left, bottom - top) for left, top, right, bottom in hides}
    assert len(extents) == 1
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= SIDE and box[3] <= SIDE for box in hides)
    assert not any(overlap(a, b) for i, a in enumerate(hides[:2]) for b in hides[:i])
    for index, box in enumerate(objects):
        area = overlap(box, box)
        assert overlap(chosen.asked, box) == (area if index == asked else 0)
        assert overlap(chosen.other, box) == (area if index == other else 0)
        assert chosen.empty is None or overlap(chosen.empty, box) == 0


@given(st.integers(4, 300), st.integers(4, 300))
def test_the_grid_divides_the_picture(width: int, height: int) -> None:
    cells = grid((width, height))
    assert len(cells) == 16
    count = np.zeros((height, width), int)
    for left, top, right, bottom in cells:
        count[top:bottom, left:right] += 1
    assert (count == 1).all()
    areas = [overlap(cell, cell) for cell in cells]
    assert min(areas) >= (width // 4) * (height // 4)


def test_colours_to_hide_with() -> None:
    image = Image.new("RGB", (10, 10), (10, 20, 30))
    image.paste((250, 0, 0), (0, 0, 5, 9))
    assert background(image) == (10, 20, 30)
    assert mean_colour(image) == (118, 11, 16)


def test_the_pictures_of_a_scene_are_those_of_their_conditions() -> None:
    """Hiding removes the object asked about, another one, or nothing, and leaves the rest as it was."""
    from ssl4rl_bench.core import images

    questions = scenes_questions(6)
    assert questions.has_boxes
    for item in questions.questions:
        shown = {
            name: np.asarray(images.decode(sample.images[0]))
            for name, sample in item.samples(questions.conditions)
        }
        assert tuple(shown) == questions.conditions
        boxes = item.boxes
        assert boxes is not None
        for name, (left, top, right, bottom) in (("asked", boxes.asked), ("other", boxes.other)):
            changed = (shown[name] != shown["seen"]).any(axis=2)
            assert changed[top:bottom, left:right].any()
            changed[top:bottom, left:right] = False
            assert not changed.any()
            inside = shown[name][top:bottom, left:right]
            assert (inside == shown["seen"][0, 0]).all()
        assert (shown["empty"] == shown["seen"]).all()
        assert item.about_other is not None
        assert item.about_other.images == item.sample.images
        assert item.about_other.text() != item.sample.text()
