"""Supervised examples that teach the form of the SSL tasks' answers, and nothing about what is right.

Pictures and prompts are the tasks' own; the answer in the reply is drawn evenly from the valid ones, whatever the
pictures show. What is right is left to reinforcement learning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.task.pictures.making import prompt_text
from ssl4rl_bench.task.registry import load_ssl
from ssl4rl_bench.task.ssl import SSLTask, Unusable
from ssl4rl_bench.task.ssl.jigsaw import Jigsaw
from ssl4rl_bench.train.tiny.scenes_sft import Example, Pool, styled

TRIES = 100
"""Pictures that are tried for one that a task can use."""


@dataclass(frozen=True)
class Form:
    """An SSL task with pictures that it made."""

    task: SSLTask
    weight: float
    """How often it is drawn, beside the weights of others."""
    samples: tuple[tuple[int, ...], ...]
    """Each sample's pictures, as positions in the trainer's list."""


@dataclass(frozen=True)
class Forms:
    """What SSL examples are made of. Example i is a function of i alone.

    A batch is all of one task: prompts of others are up to four times as long, and would be padded for.
    """

    seed: int
    batch_size: int
    forms: tuple[Form, ...]
    styles: tuple[str, ...]
    """Prompt styles, drawn evenly."""

    def example(self, i: int) -> Example:
        rng = Random(seed_of("ssl sft", self.seed, i))
        dice = Random(seed_of("ssl sft batch", self.seed, i // self.batch_size))
        form = dice.choices(self.forms, [form.weight for form in self.forms])[0]
        style = rng.choice(self.styles)
        prompt = prompt_text(form.task, style)
        pictures, answer = rng.choice(form.samples), any_answer(form.task, rng)
        return Example(pictures, prompt, styled(answer, answer, style))


def any_answer(task: SSLTask, rng: Random) -> str:
    """One of the task's valid answers, all alike."""
    if isinstance(task, Jigsaw):
        n = task.k**2
        return ",".join(map(str, rng.sample(range(1, n + 1), n)))
    return rng.choice(task.labels)


def make_forms(
    tasks: Mapping[str, float],
    styles: Sequence[str],
    pool: Pool,
    *,
    per_task: int,
    batch_size: int,
    seed: int,
) -> tuple[Forms, list[Any]]:
    """Corrupts pictures of the pool, and returns them too: they follow the pool's in the trainer's list.

    Args:
        tasks: SSL tasks by name, with their weights.
        per_task: samples of each.

    Raises:
        UsageError: for a name that is no SSL task's.
        DataError: if a task can use hardly any picture.
    """
    forms: list[Form] = []
    pictures: list[Any] = []
    for name, weight in tasks.items():
        _, task = load_ssl(name)
        samples = []
        for n in range(per_task):
            made = _made(task, pool, seed_of("ssl sft pictures", seed, task.identity, n))
            start = len(pool.questions) + len(pictures)
            samples.append(tuple(range(start, start + len(made))))
            pictures += made
        forms.append(Form(task, weight, tuple(samples)))
    return Forms(seed, batch_size, tuple(forms), tuple(styles)), pictures


def _made(task: SSLTask, pool: Pool, seed: int) -> tuple[Any, ...]:
    rng = Random(seed)
    for _ in range(TRIES):
        image, other = (rng.choice(pool.questions).drawn.image.convert("RGB") for _ in range(2))
        alone = not task.pairs or rng.random() < 0.5
        try:
            return task.corrupt(image, rng.getrandbits(63), None if alone else other).images
        except Unusable:
            continue
    raise DataError(
        f"{task.identity}: none of {TRIES} pictures can be used; leave the task out of the recipe"
    )
