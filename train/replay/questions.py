"""Loads the questions that a recipe replays, and refuses those of evaluation sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import HubName, full_name, is_task_file
from ssl4rl_bench.core.types import (
    Categories,
    ImagePart,
    Message,
    Sample,
    Task,
    TextPart,
    VideoPart,
    parts_of,
)
from ssl4rl_bench.datasets.validation import refuse_validation
from ssl4rl_bench.task.mmbench.task import load_mmbench
from ssl4rl_bench.task.pictures.drawn import DrawnSet
from ssl4rl_bench.task.registry import load_task, select_images
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.train.replay.settings import ReplayPart

SCENES = "scenes"
DESCRIBE = "Describe the image."
"""What is asked about the images of a source without questions."""
"""The stream of scenes that is evaluated."""


@dataclass(frozen=True)
class ReplayPool:
    """The questions to choose from."""

    source: str
    """The value of `replay.questions`."""
    groups: tuple[tuple[Sample, ...], ...]
    """The samples of each question: its circular copies, or the roles of an SSL task."""
    task: Task | None
    """Scores replies; None for images without questions."""

    def without(self, images: frozenset[str]) -> ReplayPool:
        """Returns the pool without the questions that show one of these images, given by SHA-256."""
        remaining = (
            group
            for group in self.groups
            if not any(image.sha256 in images for sample in group for image in sample.images)
        )
        return dataclasses.replace(self, groups=tuple(remaining))


def load_pool(part: ReplayPart, *, transductive: bool) -> ReplayPool:
    """Loads the questions of a recipe.

    Args:
        transductive: whether evaluation sets are allowed.

    Raises:
        UsageError: the questions are those of an evaluation set or a validation file; the prompt style is unknown; a
            prompt has no single user message, or a video; there are no such questions.
        DataError: the questions cannot be loaded.
    """
    name, _, data = part.questions.partition("=")
    refuse_validation(data or part.questions)
    if (drawn := DrawnSet.parse(part.questions)) is not None:
        if drawn.is_benchmark and not transductive:
            raise _evaluated(part.questions, f'"{SCENES}:train"')
        pool = _of_task(part, _drawn_questions(part, drawn))
    elif not Path(part.questions).expanduser().exists() and (data or full_name(name) in task_names()):
        if not transductive and _is_evaluation(name, data):
            raise _evaluated(part.questions, f'"{name}=DATA" with other data')
        pool = _of_task(part, load_task(name, data=data or None, prompt=part.prompt, limit=part.limit))
    elif is_task_file(part.questions):
        pool = _of_task(part, load_task(part.questions, prompt=part.prompt, limit=part.limit))
    else:
        pool = _of_images(part)
    _check_messages(pool)
    return pool


def _drawn_questions(part: ReplayPart, drawn: DrawnSet) -> Task:
    """Returns the questions of a stream of `scenes`."""
    from ssl4rl_bench.task import scenes  # here, because drawing needs Pillow and the rest does not

    rows = enumerate(scenes.rows(drawn.stream, None, drawn.per_leaf, drawn.leaf), start=1)
    return load_mmbench(
        dataclasses.replace(load_taskfile(SCENES), split=drawn.stream),
        [(f"row {number}", row) for number, row in rows],
        source=part.questions,
        where=part.questions,
        prompt=part.prompt,
        limit=part.limit,
    )


def _is_evaluation(name: str, data: str) -> bool:
    """Whether data are those that a task of this package evaluates."""
    task = load_taskfile(name)
    if not data:
        return True
    if task.kind == "ssl":
        drawn = DrawnSet.parse(data)
        return drawn is not None and drawn.is_benchmark
    hub = None if Path(data).expanduser().exists() else HubName.parse(data)
    return hub is not None and hub.repo == task.dataset_path


def _evaluated(questions: str, instead: str) -> UsageError:
    return UsageError(
        f"replay.questions = {questions!r} are evaluation questions: replay {instead}, or set data.transductive = "
        "true to train on them on purpose, which the model card then states"
    )


def _of_task(part: ReplayPart, task: Task) -> ReplayPool:
    groups = tuple(tuple(group) for _, group in groupby(task.samples, key=lambda sample: sample.group))
    return ReplayPool(part.questions, groups, task)


def _of_images(part: ReplayPart) -> ReplayPool:
    """Returns a question for each image, which asks for `part.prompt`."""
    if part.kind == "reward":
        raise UsageError(
            f'replay.questions = {part.questions!r} are images without right answers: set replay.kind = "self", or '
            'name questions such as "scenes:train" or "task=data"'
        )
    text = TextPart(part.prompt or DESCRIBE)
    place = Categories("", "", "")
    with select_images(part.questions, limit=part.limit) as selection:
        samples = [
            Sample(p.sha256, p.sha256, (Message("user", (ImagePart(p.read()), text)),), "", {}, place)
            for p in selection.pictures
        ]
    return ReplayPool(part.questions, tuple((sample,) for sample in samples), None)


def _check_messages(pool: ReplayPool) -> None:
    for sample in _samples(pool.groups):
        if len(sample.messages) != 1 or sample.messages[0].role != "user":
            raise UsageError(f"{pool.source}: question {sample.id} is not one user message: replay others")
        if next(parts_of(sample.messages, VideoPart), None):
            raise UsageError(f"{pool.source}: question {sample.id} shows a video: replay questions on images")


def _samples(groups: Sequence[Sequence[Sample]]) -> Iterator[Sample]:
    return (sample for group in groups for sample in group)
