"""Makes supervised examples that teach the form of the SSL tasks' answers, but not which answers are correct.

Pictures and prompts are those of the tasks. The answer in the reply is drawn uniformly from the valid ones,
independently of the pictures, so that correct answers remain to be learnt by reinforcement learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.task.pictures.making import prompt_text
from ssl4rl_bench.task.registry import load_ssl
from ssl4rl_bench.task.ssl import Corrupted, SSLTask, Unusable
from ssl4rl_bench.task.ssl.jigsaw import Jigsaw
from ssl4rl_bench.train.tiny.scenes_sft import Example, ExamplePool, styled

TRIES = 100
"""Pictures to try until a task can use one."""


class FormSample(NamedTuple):
    """A sample without its answer."""

    pictures: tuple[int, ...]
    """Indices into the trainer's list."""
    text: str
    """`Corrupted.text`."""


@dataclass(frozen=True)
class Form:
    """An SSL task with the pictures of its samples."""

    task: SSLTask
    weight: float
    """Weight of the task; tasks are drawn in proportion to their weights."""
    samples: tuple[FormSample, ...]


@dataclass(frozen=True)
class Forms:
    """The tasks and styles from which SSL examples are made. Example i depends on i alone.

    A batch has a single task, because prompts of different tasks differ in length by up to a factor of four
    and would need padding.
    """

    seed: int
    batch_size: int
    forms: tuple[Form, ...]
    styles: tuple[str, ...]
    """Prompt styles, drawn uniformly."""

    def example(self, i: int) -> Example:
        """Returns example `i`, which depends only on the seed and `i`."""
        rng = Random(seed_of("ssl sft", self.seed, i))
        dice = Random(seed_of("ssl sft batch", self.seed, i // self.batch_size))
        form = dice.choices(self.forms, [form.weight for form in self.forms])[0]
        style = rng.choice(self.styles)
        pictures, text = rng.choice(form.samples)
        answer = any_answer(form.task, rng, text)
        return Example(pictures, prompt_text(form.task, style, text), styled(answer, answer, style))


def any_answer(task: SSLTask, rng: Random, text: str = "") -> str:
    """Draws one of the valid answers to a sample with this text, all with the same probability."""
    if isinstance(task, Jigsaw):
        n = task.k**2
        return ",".join(map(str, rng.sample(range(1, n + 1), n)))
    return rng.choice(task.candidates(text))


def make_forms(
    tasks: Mapping[str, float],
    styles: Sequence[str],
    pool: ExamplePool,
    *,
    per_task: int,
    batch_size: int,
    seed: int,
) -> tuple[Forms, list[Any]]:
    """Makes samples of SSL tasks from the pool, and returns them and their pictures.

    In the trainer's list, these pictures follow those of the pool.

    Args:
        tasks: weights of the SSL tasks, by name.
        per_task: samples per task.

    Raises:
        UsageError: a name is not that of an SSL task.
        DataError: a task can use hardly any of the pictures.
    """
    forms: list[Form] = []
    pictures: list[Any] = []
    for name, weight in tasks.items():
        _, task = load_ssl(name)
        samples = []
        for n in range(per_task):
            made = _made(task, pool, seed_of("ssl sft pictures", seed, task.identity, n))
            start = len(pool.questions) + len(pictures)
            samples.append(FormSample(tuple(range(start, start + len(made.images))), made.text))
            pictures += made.images
        forms.append(Form(task, weight, tuple(samples)))
    return Forms(seed, batch_size, tuple(forms), tuple(styles)), pictures


def _made(task: SSLTask, pool: ExamplePool, seed: int) -> Corrupted:
    rng = Random(seed)
    for _ in range(TRIES):
        first, second = (rng.choice(pool.questions).drawn for _ in range(2))
        image, other = first.image.convert("RGB"), second.image.convert("RGB")
        alone = not task.pairs or rng.random() < 0.5
        try:
            bits = rng.getrandbits(63)
            return task.corrupt_drawing(image, first.shapes, bits, None if alone else other)
        except Unusable:
            continue
    raise DataError(
        f"{task.identity}: none of {TRIES} pictures can be used; leave the task out of the recipe"
    )
