"""What is asked when: row i of the training set is a function of the recipe's seed, the images, and i alone.

So a resumed run, a run on more processes, and a run that stops earlier see the same rows in the same order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import seed_of, sha256_json
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import TextPart
from ssl4rl_bench.task.pictures import Picture, Selection
from ssl4rl_bench.task.pictures.making import Opened, corrupt, roles
from ssl4rl_bench.task.ssl import SSLTask, Unusable

if TYPE_CHECKING:
    from PIL import Image

ATTEMPTS = 8
"""Corruptions that are tried for a row, before the first epoch's is taken, which is known to be good."""
STRIDE = 1_000_003
"""Between the indices of those attempts: farther than any epoch goes."""
CACHE_BYTES = 512 << 20
"""Of decoded images that a process keeps."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An SSL task in a training set."""

    name: str
    """With the prefix: what the `task` column says."""
    task: SSLTask
    weight: float
    prompt: str
    """The text behind the images."""

    @property
    def roles(self) -> tuple[str, ...]:
        return roles(self.task)


@dataclass(frozen=True, slots=True)
class Row:
    """What a row asks."""

    epoch: int
    image: int
    """Position in the set's pictures."""
    task: int
    """Position in the set's tasks."""
    role: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A row, made."""

    images: tuple[Image.Image, ...]
    target: str


class TrainingSet:
    """Images, tasks, and the rows that they give."""

    def __init__(
        self,
        selection: Selection,
        asked: Sequence[Asked],
        *,
        seed: int,
        frozen: bool = False,
        shuffled: bool = False,
        tokens: Callable[[Asked, Sequence[Image.Image]], tuple[int, int]] | None = None,
        max_tokens: int | None = None,
        leave_out: frozenset[str] = frozenset(),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Makes each image's first sample of each task, to know which images can be used.

        Args:
            frozen: each epoch shows the first one's samples.
            shuffled: targets are of other samples: a control that no model can learn.
            tokens: of a prompt with these images: all, and those of the images.
            max_tokens: images with a longer prompt are left out, and counted.
            leave_out: sha256 of images not to use.
            on_progress: called with images looked at and images in all.
        """
        self.asked, self.seed = tuple(asked), seed
        self.frozen, self.shuffled = frozen, shuffled
        self.n_left_out = sum(picture.sha256 in leave_out for picture in selection.kept)
        self.unusable: dict[str, int] = {}
        """Images that a task can make nothing of, by the reason."""
        self.n_over_long = 0
        """Images left out since their prompts are too long."""
        self.longest = 0
        """Tokens of the longest prompt that was made, too long ones included."""
        self.tokens_seen: list[tuple[int, int]] = []
        """Of the first epoch's prompts that are used: tokens, and tokens of the images."""
        self._selection = selection
        self._tokens, self._max_tokens = tokens, max_tokens
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._held = 0
        self._lock = Lock()
        pictures = [(at, p) for at, p in enumerate(selection.kept) if p.sha256 not in leave_out]
        self._at = [at for at, _ in pictures]
        self.pictures: tuple[Picture, ...] = tuple(p for _, p in pictures)
        self.usable = self._screen(on_progress or (lambda done, total: None))
        self._epochs: dict[int, list[Row]] = {}

    def require_images(self) -> None:
        """Raises DataError if no image is left."""
        if not any(self.usable):
            reasons = "; ".join(f"{n}: {why}" for why, n in self.unusable.items())
            raise DataError(
                f"{self._selection.source}: no image can be trained on ({self.n_over_long} with prompts that are too "
                f"long{'; ' + reasons if reasons else ''}): choose other images, or raise grpo.max_prompt_tokens"
            )

    @property
    def n_images(self) -> int:
        """Images that at least one task can use."""
        return sum(bool(tasks) for tasks in self.usable)

    @cached_property
    def rows_an_epoch(self) -> int:
        """Of the first epoch; with several tasks others differ a little."""
        return len(self._epoch(0))

    def rows(self) -> Iterator[Row]:
        """All rows, epoch after epoch, without end."""
        epoch = 0
        while True:
            yield from self._epoch(epoch)
            epoch += 1

    def first(self, n: int) -> list[Row]:
        """The first `n` rows."""
        return list(islice(self.rows(), n))

    def manifest(self) -> dict[str, Any]:
        """What the rows are made of, as JSON values; equal manifests give equal rows."""
        return {
            "source": self._selection.source,
            "seed": self.seed,
            "frozen": self.frozen,
            "shuffled": self.shuffled,
            "tasks": {a.name: {"identity": a.task.identity, "weight": a.weight} for a in self.asked},
            "prompts_sha256": sha256_json([a.prompt for a in self.asked]),
            "images": [p.sha256 for p, tasks in zip(self.pictures, self.usable, strict=True) if tasks],
        }

    def make(self, row: Row) -> Shown:
        """A row's images and its target.

        Raises:
            DataError: if an image's file has changed.
        """
        a = self.asked[row.task]
        epoch = 0 if self.frozen else row.epoch
        for index in (*(epoch + n * STRIDE for n in range(ATTEMPTS)), 0):
            try:
                shown = self._corrupted(row.image, a, index, row.role)
            except Unusable:
                continue
            if self._fits(a, shown.images)[0]:
                break
        if self.shuffled:
            return Shown(shown.images, self._foreign_target(row, a))
        return shown

    def _foreign_target(self, row: Row, a: Asked) -> str:
        """Of another row of the same task, drawn by lot."""
        dice = Random(seed_of("shuffled", self.seed, row.epoch, row.image, row.role))
        candidates = [at for at, tasks in enumerate(self.usable) if row.task in tasks]
        for _ in range(100):
            try:
                return self._corrupted(
                    dice.choice(candidates), a, dice.randrange(STRIDE), dice.choice(a.roles)
                ).target
            except Unusable:
                continue
        return self._corrupted(row.image, a, 0, row.role).target

    def _corrupted(self, image: int, a: Asked, index: int, role: str) -> Shown:
        others = (self._open(other) for other in self._selection.partners(self._at[image]))
        made, _ = corrupt(a.task, self._open(self.pictures[image]), index, role, others)
        return Shown(made.images, made.target)

    def _fits(self, a: Asked, images: Sequence[Image.Image]) -> tuple[bool, tuple[int, int]]:
        if self._tokens is None:
            return True, (0, 0)
        counts = self._tokens(a, images)
        self.longest = max(self.longest, counts[0])
        return self._max_tokens is None or counts[0] <= self._max_tokens, counts

    def _screen(self, report: Callable[[int, int], None]) -> list[frozenset[int]]:
        """For each image the tasks that can use it."""

        def look(image: int) -> tuple[frozenset[int], list[str], bool]:
            fit, reasons, long = set(), [], False
            for n, a in enumerate(self.asked):
                try:
                    shown = [self._corrupted(image, a, 0, role) for role in a.roles]
                except Unusable as error:
                    reasons.append(f"{short_name(a.name)}: {error}")
                    continue
                fits = [self._fits(a, s.images) for s in shown]
                if all(good for good, _ in fits):
                    fit.add(n)
                    self.tokens_seen += [counts for _, counts in fits]
                else:
                    long = True
            return frozenset(fit), reasons, long

        found = []
        with ThreadPoolExecutor() as pool:
            for done, (fit, reasons, long) in enumerate(pool.map(look, range(len(self.pictures))), start=1):
                found.append(fit)
                self.n_over_long += long
                for reason in reasons:
                    self.unusable[reason] = self.unusable.get(reason, 0) + 1
                report(done, len(self.pictures))
        return found

    def _epoch(self, epoch: int) -> list[Row]:
        if epoch not in self._epochs:
            order = [at for at, tasks in enumerate(self.usable) if tasks]
            Random(seed_of("order", self.seed, epoch)).shuffle(order)
            rows = []
            for image in order:
                tasks = sorted(self.usable[image])
                dice = Random(seed_of("task", self.seed, epoch, self.pictures[image].sha256))
                task = dice.choices(tasks, [self.asked[n].weight for n in tasks])[0]
                rows += [Row(epoch, image, task, role) for role in self.asked[task].roles]
            self._epochs[epoch] = rows
        return self._epochs[epoch]

    def _open(self, picture: Picture) -> Opened:
        with self._lock:
            if picture.sha256 in self._opened:
                self._opened.move_to_end(picture.sha256)
                return self._opened[picture.sha256]
        opened = Opened.of(picture.read())
        with self._lock:
            if picture.sha256 not in self._opened:
                self._opened[picture.sha256] = opened
                self._held += 3 * picture.width * picture.height
            while self._held > CACHE_BYTES and len(self._opened) > 1:
                _, gone = self._opened.popitem(last=False)
                self._held -= 3 * gone.pixels.width * gone.pixels.height
        return opened


def asked(tasks: Mapping[str, float], style: str) -> list[Asked]:
    """The tasks of a recipe, with their prompts.

    Raises:
        UsageError: for a name that is no SSL task's.
    """
    from ssl4rl_bench.task.registry import load_ssl

    out = []
    for name, weight in tasks.items():
        file, task = load_ssl(name)
        text = task.messages((), style)[0].content[-1]
        assert isinstance(text, TextPart)
        out.append(Asked(file.name, task, weight, text.text))
    return out


class Rows:
    """From row numbers to what TRL's trainer takes, each row made once though a group asks for it many times."""

    def __init__(self, training_set: TrainingSet, rows: Sequence[Row], keep: int) -> None:
        """
        Args:
            keep: rows that are kept, made: as many as a process needs for a step.
        """
        self.training_set, self.rows, self.keep = training_set, rows, keep
        self.seconds = 0.0
        """Spent making rows since the last reading."""
        self._made: OrderedDict[int, Shown] = OrderedDict()
        self._pool = ThreadPoolExecutor()

    def __call__(self, batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        """Columns prompt (a chat), images (PIL), target, task, row."""
        import time

        start = time.perf_counter()
        wanted = dict.fromkeys(batch["row"])
        new = [i for i in wanted if i not in self._made]
        for i, shown in zip(new, self._pool.map(self._make, new), strict=True):
            self._made[i] = shown
        made = {i: self._made[i] for i in wanted}
        for i in wanted:
            self._made.move_to_end(i)
        while len(self._made) > max(self.keep, len(wanted)):
            self._made.popitem(last=False)
        self.seconds += time.perf_counter() - start
        asked = self.training_set.asked
        of = [asked[self.rows[i].task] for i in batch["row"]]
        return {
            "prompt": [[{"role": "user", "content": a.prompt}] for a in of],
            "images": [list(made[i].images) for i in batch["row"]],
            "target": [made[i].target for i in batch["row"]],
            "task": [a.name for a in of],
            "row": list(batch["row"]),
        }

    def _make(self, i: int) -> Shown:
        return self.training_set.make(self.rows[i])
