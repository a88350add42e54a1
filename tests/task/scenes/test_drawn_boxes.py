"""The boxes of drawn objects, against the pixels of the finished pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ssl4rl_bench.task.scenes import Question, asking
from ssl4rl_bench.task.scenes.draw import COLOURS, SIZE, Canvas, rectangle
from ssl4rl_bench.task.scenes.question import NONE_OF_THESE


@cache
def drawn() -> list[Question]:
    """Questions about one of several objects."""
    return list(asking("boxes", 40))


def test_all_that_is_drawn_is_in_a_box_and_each_box_is_tight() -> None:
    for question in drawn():
        pixels = np.asarray(question.drawn.image).astype(int)
        is_drawn = (pixels != pixels[0, 0]).any(axis=2)
        outside = is_drawn.copy()
        for thing in question.drawn.objects:
            left, top, right, bottom = thing.box
            outside[top:bottom, left:right] = False
            ys, xs = np.nonzero(is_drawn[top:bottom, left:right])
            slack = (xs.min(), ys.min(), right - left - 1 - xs.max(), bottom - top - 1 - ys.max())
            assert max(slack) <= 4, (question.drawn.question, thing, slack)
        assert not outside.any(), question.drawn.question


def test_a_box_holds_the_object_of_its_name() -> None:
    """The colour of the most frequent pixels in the box is the one that the caption gives to the object."""
    for question in drawn():
        pixels = np.asarray(question.drawn.image).astype(int)
        for thing, phrase in zip(question.drawn.objects, question.drawn.caption.split(", "), strict=True):
            left, top, right, bottom = thing.box
            inside = pixels[top:bottom, left:right].reshape(-1, 3)
            inside = inside[np.abs(inside - pixels[0, 0]).sum(axis=1) > 60]
            colours, counts = np.unique(inside, axis=0, return_counts=True)
            fill = colours[counts.argmax()]
            nearest = min(COLOURS, key=lambda name: np.abs(fill - COLOURS[name]).sum())
            assert phrase.startswith(f"{nearest} "), (phrase, fill)
            assert thing.name.removesuffix(" object") in phrase.split()


def test_the_question_names_the_object_and_can_name_another() -> None:
    for question in drawn():
        one = question.drawn
        assert one.asked is not None
        assert one.objects[one.asked].name in one.question
        assert one.about(one.asked) == one.question
        others = [one.about(index) for index in range(len(one.objects)) if index != one.asked]
        assert len({one.question, *others}) == len(one.objects)
        assert one.answer != NONE_OF_THESE


def test_a_question_about_no_object_has_no_other() -> None:
    one = drawn()[0].drawn
    with pytest.raises(ValueError, match="is not about one of several objects"):
        type(one)(one.image, "Why?", "a", ("b",)).about(0)


def test_the_box_of_a_pen() -> None:
    canvas = Canvas((250, 250, 250))
    pen = canvas.pen(0.5, 0.5, 0.25)
    with pytest.raises(ValueError, match="nothing was drawn"):
        _ = pen.box
    pen.polygon(rectangle(-1, -1, 1, 1), (0, 0, 0))
    left, top, right, bottom = pen.box
    assert SIZE // 4 - 1 <= left <= SIZE // 4
    assert SIZE * 3 // 4 <= bottom <= SIZE * 3 // 4 + 1
    assert (left, right) == (top, bottom)
    pen.polygon(rectangle(-9, -9, 9, 9), (0, 0, 0))  # what is outside the picture does not count
    assert pen.box == (0, 0, SIZE, SIZE)
