"""Probes: an SSL task with a set of images as a `types.Task`, which is sent and scored like any benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    ProbeInfo,
    Sample,
    Score,
)
from ssl4rl_bench.task.base import GOLD_REPLIES, LoadedTask
from ssl4rl_bench.task.pictures import Made, Selection, make
from ssl4rl_bench.task.pictures.making import ALONE, Opened
from ssl4rl_bench.task.prompts import check_style
from ssl4rl_bench.task.ssl import MIN_SIDE, SSLTask, Unusable, make_task
from ssl4rl_bench.task.taskfile import TaskFile

V = TypeVar("V")

SHOWN = 3
"""The maximum number of reasons for dropped images that a warning lists."""


@dataclass(frozen=True, kw_only=True)
class ProbeTask(LoadedTask):
    """An SSL task with its samples; the samples of one image are a group.

    `data_sha256` covers the task's parameters and the ids, targets, image contents and texts of all samples.
    """

    ssl: SSLTask
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The text of each sample, by id, for a task with texts (`Corrupted.text`)."""

    @property
    def probe(self) -> ProbeInfo:
        """The kind, difficulty, chance and `few_targets` of the SSL task."""
        return ProbeInfo(self.ssl.kind, self.ssl.difficulty, self.ssl.chance, self.ssl.few_targets)

    def candidates(self, sample: Sample) -> Sequence[str]:
        """Returns the possible answers to a sample: all answers of the task, or those of the sample's text."""
        return self.ssl.candidates(self.texts.get(sample.id, ""))

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns {"target": samples per right answer}; with too many answers, samples per difficulty."""
        if not self.ssl.few_targets:
            return {"difficulty": {self.ssl.difficulty: len(self.samples)}}
        return {"target": in_order(Counter(sample.target for sample in self.samples))}

    def content(self, sample: Sample) -> list[Any]:
        """Returns the sample's id (made of its image's hash, index and role), its group and its answer."""
        return [sample.id, sample.group, sample.target]

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Returns all forms of the right answer, one also after a quoted wrong answer, and a wrong answer."""
        gold, wrong = self.ssl.gold(sample.target), self.ssl.wrong(sample.target)
        right = [form.format(answer=answer) for answer in gold for form in GOLD_REPLIES]
        right.append(f"<think>Is it <answer>{wrong}</answer>? No.</think> <answer>{gold[0]}</answer>")
        return right, (GOLD_REPLIES[0].format(answer=wrong),)

    def defects(self) -> Iterator[str]:
        """Yields prompts that are read as an answer, answers read in another form, and too small images."""
        for sample in self.samples:
            if not sample.images:
                yield f"Sample {sample.id} has no image."
            for reply in self.replies(sample)[0]:
                read = self.score(sample, Completion(text=reply, finish_reason="stop"))
                if read.value == 1.0 and read.answer != sample.target:
                    yield f"Sample {sample.id}: gold reply {reply!r} is read as {read.answer!r}."
            read = self.score(sample, Completion(text=sample.text(), finish_reason="stop"))
            if read.answer is not None:
                yield f"Sample {sample.id}: its own prompt, sent back, is read as {read.answer!r}."
        for image, id in {image: sample.id for sample in self.samples for image in sample.images}.items():
            with suppress(images.ImageError):
                if min(size := images.size(image)) < MIN_SIDE:
                    yield f"Sample {id}: an image has {size[0]} x {size[1]} pixels, {MIN_SIDE} a side are needed."

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Scores the reply with the SSL task (`ssl.SSLTask.score`)."""
        return self.ssl.score(completion, sample.target, extractor)


def ssl_task(task: TaskFile) -> SSLTask:
    """Returns the SSL task that a task file declares.

    Raises:
        UsageError: if it declares none, or one with invalid parameters.
    """
    if task.ssl is None:
        raise UsageError(f"{task.name} is not an SSL task: name one such as ssl_rotation_90.")
    params = dict(task.ssl)
    kind = params.pop("kind", None)
    if not isinstance(kind, str):
        raise UsageError(f"{task.name}: metadata.ssl needs a kind, such as rotation.")
    try:
        return make_task(kind, params)
    except UsageError as error:
        raise UsageError(f"{task.name}: {error}") from None


def load(
    task: TaskFile,
    pictures: Selection,
    *,
    prompt: str | None = None,
    limit: int | None = None,
    index: int = 0,
) -> ProbeTask:
    """Makes the samples of a probe from the kept images of a selection, in its order.

    Args:
        prompt: a prompt style instead of the task file's.
        limit: ask about this many images only.
        index: the index of the sample of each image; there is one sample per index and role.

    Raises:
        UsageError: for an unknown prompt style, a file that declares no SSL task, a limit below 1, or an image
            that is not a built-in drawing, where the task needs one.
        DataError: if no image can be used.
    """
    style = check_style(prompt or task.prompt)
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} leaves nothing to ask: give 1 or more images.")
    ssl = ssl_task(task)
    n_full = min(task.n_images or len(pictures.pictures), len(pictures.pictures))
    wanted = min(limit or n_full, n_full)
    dropped: Counter[str] = Counter()
    samples: list[Sample] = []
    texts: dict[str, str] = {}
    n_images = 0
    for number in range(len(pictures.pictures)):
        if n_images == wanted:
            break
        try:
            made = _made(ssl, pictures, number, index)
        except UsageError as error:
            raise UsageError(f"{task.name}: {error}") from None
        except (Unusable, images.ImageError) as error:
            dropped[str(error)] += 1
            continue
        samples += (_sample(ssl, one, style) for one in made)
        texts |= {one.id: one.text for one in made if one.text}
        n_images += 1
    shown = "; ".join(f"{reason} ({n})" for reason, n in dropped.most_common(SHOWN))
    if not samples:
        raise DataError(
            f"{task.name} can make no sample of the {len(pictures.pictures)} images of {pictures.source}: {shown}; "
            "give larger or other images with --images."
        )
    warnings = []
    if dropped:
        warnings.append(f"{dropped.total()} of {n_images + dropped.total()} images were left out: {shown}.")
    if unread := pictures.counts()["unreadable"]:
        warnings.append(
            f"{unread} images of {pictures.source} cannot be read, {pictures.dropped[0].name} for one."
        )
    return ProbeTask(
        name=task.name,
        version=task.version,
        prompt=style,
        source=pictures.source,
        ssl=ssl,
        texts=texts,
        samples=tuple(samples),
        sampling=task.sampling,
        warnings=tuple(warnings),
        partial_reasons=(f"limited to {limit} of {n_full} images",) if wanted < n_full else (),
        data_sha256=sha256_json([ssl.identity, _content(samples, texts)]),
        hub=pictures.hub,
    )


def in_order(by_target: Mapping[str, V]) -> dict[str, V]:
    """Sorts a mapping by right answer: angles by number, names by length and then alphabetically."""
    return dict(sorted(by_target.items(), key=lambda item: (not item[0].isdigit(), len(item[0]), item[0])))


def _made(ssl: SSLTask, pictures: Selection, number: int, index: int) -> list[Made]:
    """Returns the samples of one picture of a selection."""
    picture = pictures.pictures[number]
    partners = (Opened.of(other.read()) for other in pictures.partners(number)) if ssl.pairs else ()
    return make(ssl, Opened.of(picture.read(), picture.located.name), index, partners)


def _content(samples: Sequence[Sample], texts: Mapping[str, str]) -> list[list[Any]]:
    """Returns what the samples ask and show, as JSON values. Without texts it is that of earlier versions."""
    content: list[list[Any]] = [
        [sample.id, sample.target, [image.sha256 for image in sample.images]] for sample in samples
    ]
    return [*content, [texts[sample.id] for sample in samples]] if texts else content


def _sample(ssl: SSLTask, made: Made, style: str) -> Sample:
    return Sample(
        id=made.id,
        group=made.sources[0][:24],
        messages=ssl.messages(made.images, style, made.text),
        target=made.target,
        choices={},
        categories=Categories("ssl", ssl.kind, ssl.difficulty),
        roll=int(made.role != ALONE),
    )
