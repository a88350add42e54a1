"""Attention by layer: whether a model looks at an object more if it is asked about it than if it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl4rl_bench.core import images
from ssl4rl_bench.core.capabilities import ShowsAttention
from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Engine, Request
from ssl4rl_bench.signal.looked_at import QuestionSet
from ssl4rl_bench.signal.occlusion import overlap
from ssl4rl_bench.stats.clustered import clustered_mean
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.task.scenes.draw import Box

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayerAttention:
    """The attention of one layer to the object that is asked about."""

    layer: int
    """From 1."""
    ratio: float
    """The share of the attention to the picture that falls on an object if the question is about it, over that share
    if the question is about another object; geometric mean over pictures and over the two objects."""
    ci95: tuple[float, float] | None
    p: float
    p_corrected: float
    """Holm's correction over the layers."""
    raw: float
    """The mean share of attention on the object asked about, over its share of the area. No evidence: objects draw
    attention whether they are asked about or not."""


def measure_shares(
    questions: QuestionSet, engine: Engine, on_done: Callable[[int], None] | None = None
) -> tuple[_Floats, NDArray[np.intp]]:
    """Measures the attention of a prompt's last token to two objects of a picture, asked about each of them.

    Args:
        questions: a set with boxes.
        on_done: is called with the number of prompts done.

    Returns:
        Shares of the attention to the picture, of shape (questions, 2, 2, layers): the object asked about (0: that of
        the question, 1: the other one), and the object looked at; and the indices of these questions in the set.
        Pictures that failed are left out.

    Raises:
        EngineError: the engine does not show attention, or every prompt failed.
    """
    if not isinstance(engine, ShowsAttention):
        raise EngineError(
            f"engine {engine.name} does not show attention: use --engine hf, or add --no-layers"
        )
    maps: dict[str, _Floats] = {}
    errors: list[str] = []
    for number, (request, attention) in enumerate(engine.image_attention(_prompts(questions)), start=1):
        if isinstance(attention, str):
            errors.append(attention)
        else:
            maps[request.sample.id] = attention
        if on_done is not None:
            on_done(number)
    shares, index = [], []
    for place, item in enumerate(questions.questions):
        assert item.boxes is not None and item.about_other is not None
        asked = [maps.get(sample.id) for sample in (item.sample, item.about_other)]
        if asked[0] is None or asked[1] is None:
            continue
        size = images.size(item.sample.images[0])
        boxes = (item.boxes.asked, item.boxes.other)
        shares.append([[share_in(one, box, size) for box in boxes] for one in asked if one is not None])
        index.append(place)
    if not shares:
        raise EngineError(f"the attention failed for every question: {errors[0] if errors else 'no prompt'}")
    return np.array(shares), np.array(index, np.intp)


def share_in(attention: _Floats, box: Box, size: tuple[int, int]) -> _Floats:
    """Returns the share of the attention to a picture that falls into a box, by layer.

    An image token stands for a rectangle of pixels; it counts with the part of this rectangle that is in the box.

    Args:
        attention: array of shape (layers, rows, columns).
        box: in pixels of the picture.
        size: width and height of the picture in pixels.
    """
    _, rows, columns = attention.shape
    xs, ys = np.linspace(0, size[0], columns + 1), np.linspace(0, size[1], rows + 1)
    wide = np.clip(np.minimum(xs[1:], box[2]) - np.maximum(xs[:-1], box[0]), 0, None) / np.diff(xs)
    high = np.clip(np.minimum(ys[1:], box[3]) - np.maximum(ys[:-1], box[1]), 0, None) / np.diff(ys)
    return np.asarray((attention * np.outer(high, wide)).sum(axis=(1, 2)) / attention.sum(axis=(1, 2)))


def by_layer(shares: _Floats, pictures: ArrayLike, areas: ArrayLike) -> list[LayerAttention]:
    """Compares the attention to objects that are asked about with that to the same objects if they are not.

    Args:
        shares: those that `measure_shares` returns.
        pictures: the cluster of each question.
        areas: the share of the picture's area of the box asked about, per question.
    """
    logs = np.log(np.maximum(shares, 1e-12))
    # Both objects: asked about minus not asked about, with the same picture.
    changes = (logs[:, 0, 0] - logs[:, 1, 0] + logs[:, 1, 1] - logs[:, 0, 1]) / 2.0
    raw = (shares[:, 0, 0] / np.asarray(areas, np.float64)[:, None]).mean(axis=0)
    means = [clustered_mean(column, pictures) for column in changes.T]
    corrected = holm([mean.p for mean in means])
    return [
        LayerAttention(
            layer=number + 1,
            ratio=float(np.exp(mean.value)),
            ci95=None if mean.ci95 is None else (float(np.exp(mean.ci95[0])), float(np.exp(mean.ci95[1]))),
            p=mean.p,
            p_corrected=float(corrected[number]),
            raw=float(raw[number]),
        )
        for number, mean in enumerate(means)
    ]


def area_shares(questions: QuestionSet, index: NDArray[np.intp]) -> list[float]:
    """Returns the share of the area of the box asked about, for these questions."""
    out = []
    for place in index:
        item = questions.questions[place]
        assert item.boxes is not None
        wide, high = images.size(item.sample.images[0])
        out.append(overlap(item.boxes.asked, item.boxes.asked) / (wide * high))
    return out


def _prompts(questions: QuestionSet) -> Iterator[Request]:
    for item in questions.questions:
        yield Request(item.sample, task=questions.task)
        if item.about_other is not None:
            yield Request(item.about_other, task=questions.task)
