"""The training set: which image and task each row has, and how the row's images and target are made.

Row i depends only on the recipe's seed, the images, and i. A resumed run, a run on more processes, and a run
that stops earlier therefore see the same rows in the same order.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import chain, count, islice
from random import Random
from typing import Any

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import seed_of, sha256_json
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.task.pictures import Picture, Selection
from ssl4rl_bench.task.pictures.making import Opened, corrupt, prompt_text, roles
from ssl4rl_bench.task.ssl import Corrupted, SSLTask, Unusable

ATTEMPTS = 8
"""Corruptions to try for a row before falling back to the first epoch's, which is known to be usable."""
STRIDE = 1_000_003
"""Distance between the indices of these attempts; it is larger than any number of epochs."""
CACHE_BYTES = 512 << 20
"""Average size of a process's cache of decoded images."""


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """An SSL task in a training set."""

    name: str
    """The task's name with the prefix, as in the `task` column."""
    task: SSLTask
    weight: float
    style: str
    """The prompt style."""

    def prompt(self, text: str = "") -> str:
        """Returns the text that follows the images, for a sample with this text of its own (`Corrupted.text`)."""
        return prompt_text(self.task, self.style, text)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the samples that each image gives."""
        return roles(self.task)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """The image, task and role of one row."""

    epoch: int
    image: int
    """Index into the set's pictures."""
    task: int
    """Index into the set's tasks."""
    role: str


@dataclass(frozen=True, kw_only=True)
class RowSettings:
    """How rows are made from images and tasks."""

    seed: int
    frozen: bool = False
    """Whether each epoch repeats the samples of the first."""
    shuffled: bool = False
    """Whether targets are those of other samples: a control that no model can learn."""
    tokens: Callable[[TrainingTask, Corrupted], tuple[int, int]] = lambda a, shown: (0, 0)
    """Returns the number of tokens in the prompt of a sample, and how many of them are the images'."""
    max_tokens: int | None = None
    """The maximum length of a prompt. Images with longer prompts are left out and counted."""
    leave_out: frozenset[str] = frozenset()
    """SHA-256 of the images to leave out."""

    def fits(self, n_tokens: int) -> bool:
        """Whether a prompt of this length is used."""
        return self.max_tokens is None or n_tokens <= self.max_tokens


class TrainingSet:
    """Images and tasks, and the rows made from them."""

    def __init__(
        self,
        selection: Selection,
        tasks: Sequence[TrainingTask],
        settings: RowSettings,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Makes the first sample of each image and task to find out which images can be used.

        Args:
            on_progress: called with the number of images checked and the number of all images.
        """
        self.tasks, self.settings = tuple(tasks), settings
        self.unusable: Counter[str] = Counter()
        """Number of images that a task cannot use, by reason."""
        self.n_over_long = 0
        """Images left out because their prompts are too long."""
        self.longest = 0
        """Tokens in the longest prompt of the first epoch, including prompts that are too long."""
        self.tokens_seen: list[tuple[int, int]] = []
        """For each prompt used in the first epoch: its tokens, and the tokens of its images."""
        self._selection = selection
        self._indices = [
            index for index, p in enumerate(selection.pictures) if p.sha256 not in settings.leave_out
        ]
        self.pictures: tuple[Picture, ...] = tuple(selection.pictures[index] for index in self._indices)
        self.n_left_out = len(selection.pictures) - len(self.pictures)
        n_bytes = sum(3 * picture.width * picture.height for picture in selection.pictures)
        n_opened = CACHE_BYTES * len(selection.pictures) // n_bytes
        self._open = lru_cache(maxsize=max(2, n_opened))(
            lambda picture: Opened.of(picture.read(), picture.located.name)
        )
        self.usable: list[frozenset[int]] = []
        """For each image, the indices of the tasks that can use it."""
        with ThreadPoolExecutor() as pool:
            for screened in pool.map(self._screen, range(len(self.pictures))):
                self.usable.append(screened.tasks)
                self.unusable.update(screened.reasons)
                self.n_over_long += screened.over_long
                self.longest = max(self.longest, screened.longest)
                self.tokens_seen += screened.tokens
                if on_progress:
                    on_progress(len(self.usable), len(self.pictures))
        self._epoch = cache(self._rows_of_epoch)

    def require_images(self) -> None:
        """Raises DataError if no image is left."""
        if not any(self.usable):
            reasons = "; ".join(f"{n}: {why}" for why, n in self.unusable.items())
            raise DataError(
                f"{self._selection.source}: no image can be used for training ({self.n_over_long} with prompts that "
                f"are too long{'; ' + reasons if reasons else ''}): choose other images, "
                "or raise grpo.max_prompt_tokens"
            )

    @property
    def n_images(self) -> int:
        """Images that at least one task can use."""
        return sum(bool(tasks) for tasks in self.usable)

    @cached_property
    def rows_an_epoch(self) -> int:
        """The number of rows in the first epoch. With several tasks, other epochs differ slightly."""
        return len(self._epoch(0))

    def rows(self) -> Iterator[TrainingRow]:
        """Yields the rows, epoch after epoch, without end."""
        return chain.from_iterable(map(self._epoch, count()))

    def first(self, n: int) -> list[TrainingRow]:
        """Returns the first `n` rows."""
        return list(islice(self.rows(), n))

    def manifest(self) -> dict[str, Any]:
        """Returns everything that determines the rows, as JSON values; equal manifests give equal rows."""
        return {
            "source": self._selection.source,
            "seed": self.settings.seed,
            "frozen": self.settings.frozen,
            "shuffled": self.settings.shuffled,
            "tasks": {a.name: {"identity": a.task.identity, "weight": a.weight} for a in self.tasks},
            "prompts_sha256": sha256_json([a.prompt() for a in self.tasks]),
            "images": [p.sha256 for p, tasks in zip(self.pictures, self.usable, strict=True) if tasks],
        }

    def make(self, row: TrainingRow) -> Corrupted:
        """Makes the images and the target of a row.

        Raises:
            DataError: an image's file has changed.
        """
        a = self.tasks[row.task]
        epoch = 0 if self.settings.frozen else row.epoch
        for index in (*(epoch + n * STRIDE for n in range(ATTEMPTS)), 0):
            try:
                shown = self._corrupted(row.image, a, index, row.role)
            except Unusable:
                continue
            if self.settings.fits(self.settings.tokens(a, shown)[0]):
                break
        if self.settings.shuffled:
            return replace(shown, target=self._foreign_target(row, a, shown.text))
        return shown

    def _foreign_target(self, row: TrainingRow, a: TrainingTask, text: str) -> str:
        """Returns the target of a randomly drawn row of the same task, or a random answer from a sample's text."""
        dice = Random(seed_of("shuffled", self.settings.seed, row.epoch, row.image, row.role))
        if a.task.texts:
            return dice.choice(a.task.candidates(text))
        candidates = [index for index, tasks in enumerate(self.usable) if row.task in tasks]
        for _ in range(100):
            try:
                return self._corrupted(
                    dice.choice(candidates), a, dice.randrange(STRIDE), dice.choice(a.roles)
                ).target
            except Unusable:
                continue
        return self._corrupted(row.image, a, 0, row.role).target

    def _corrupted(self, image: int, a: TrainingTask, index: int, role: str) -> Corrupted:
        others = (self._open(other) for other in self._selection.partners(self._indices[image]))
        return corrupt(a.task, self._open(self.pictures[image]), index, role, others)[0]

    def _screen(self, image: int) -> _Screened:
        """Makes the prompts of an image in the first epoch."""
        screened = _Screened()
        for n, a in enumerate(self.tasks):
            try:
                shown = [self._corrupted(image, a, 0, role) for role in a.roles]
            except Unusable as error:
                screened.reasons.append(f"{short_name(a.name)}: {error}")
                continue
            counts = [self.settings.tokens(a, one) for one in shown]
            longest = max(n_tokens for n_tokens, _ in counts)
            screened.longest = max(screened.longest, longest)
            if self.settings.fits(longest):
                screened.tasks |= {n}
                screened.tokens += counts
            else:
                screened.over_long = True
        return screened

    def _rows_of_epoch(self, epoch: int) -> list[TrainingRow]:
        seed = self.settings.seed
        order = [index for index, tasks in enumerate(self.usable) if tasks]
        Random(seed_of("order", seed, epoch)).shuffle(order)
        rows = []
        for image in order:
            tasks = sorted(self.usable[image])
            dice = Random(seed_of("task", seed, epoch, self.pictures[image].sha256))
            task = dice.choices(tasks, [self.tasks[n].weight for n in tasks])[0]
            rows += [TrainingRow(epoch, image, task, role) for role in self.tasks[task].roles]
        return rows


@dataclass(slots=True)
class _Screened:
    """The result of checking an image for the first epoch."""

    tasks: frozenset[int] = frozenset()
    reasons: list[str] = field(default_factory=list)
    """The reasons why tasks cannot use the image."""
    over_long: bool = False
    longest: int = 0
    tokens: list[tuple[int, int]] = field(default_factory=list)


def training_tasks(tasks: Mapping[str, float], style: str) -> list[TrainingTask]:
    """Returns the tasks of a recipe with their prompts.

    Raises:
        UsageError: a name is not that of an SSL task.
    """
    from ssl4rl_bench.task.registry import load_ssl

    loaded = [(weight, *load_ssl(name)) for name, weight in tasks.items()]
    made = [TrainingTask(file.name, task, weight, style) for weight, file, task in loaded]
    for a in made:
        a.prompt()  # fail early for an unknown style
    return made


class Rows:
    """Converts row indices to the columns that TRL's trainer expects.

    A row is made once, although a group requests it many times.
    """

    def __init__(self, training_set: TrainingSet, rows: Sequence[TrainingRow], keep: int) -> None:
        """Makes no row yet.

        Args:
            rows: the first rows of the training set; further ones are added when their indices are requested.
            keep: number of finished rows to cache: as many as a process needs for a step.
        """
        self.training_set, self.rows = training_set, list(rows)
        self._more = islice(training_set.rows(), len(rows), None)
        self.seconds = 0.0
        """Time spent making rows since this was last reset to 0."""
        self._make = lru_cache(maxsize=keep)(lambda i: training_set.make(self.rows[i]))
        self._pool = ThreadPoolExecutor()

    def __call__(self, batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        """Returns the columns prompt (a chat), images (PIL), target, task and row."""
        start = time.perf_counter()
        numbers = batch["row"]
        self.rows += islice(self._more, max(0, max(numbers) + 1 - len(self.rows)))
        distinct = list(dict.fromkeys(numbers))
        made = dict(zip(distinct, self._pool.map(self._make, distinct), strict=True))
        self.seconds += time.perf_counter() - start
        of = [self.training_set.tasks[self.rows[i].task] for i in numbers]
        return {
            "prompt": [
                [{"role": "user", "content": a.prompt(made[i].text)}]
                for a, i in zip(of, numbers, strict=True)
            ],
            "images": [list(made[i].images) for i in numbers],
            "target": [made[i].target for i in numbers],
            "task": [a.name for a in of],
            "row": list(numbers),
        }
