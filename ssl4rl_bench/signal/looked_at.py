"""The questions of `attend`: a multiple-choice question about one picture, and the pictures that replace it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Categories, EncodedImage, ImagePart, Message, Sample, Task, TextPart
from ssl4rl_bench.signal.occlusion import GRID, Boxes, background, boxes_of, grid, hidden, mean_colour
from ssl4rl_bench.task.blinding import blind_task
from ssl4rl_bench.task.prompts import check_style, render
from ssl4rl_bench.task.scenes import LETTERS, Question, asking, png
from ssl4rl_bench.task.scenes.draw import Box

SEEN, ASKED, OTHER, EMPTY, BLANK, SHUFFLED = "seen", "asked", "other", "empty", "blank", "shuffled"
"""What a picture shows: all of it, or all but the object asked about, another object, or an empty place; or a grey
picture or that of another question instead."""
CELLS = tuple(f"cell {row + 1},{column + 1}" for row in range(GRID) for column in range(GRID))
"""All of a picture but one cell of the grid, row by row."""
BOXED = (SEEN, ASKED, OTHER, EMPTY)
GRIDDED = (SEEN, BLANK, SHUFFLED, *CELLS)
STREAM = "attend"
"""The stream of scenes that is asked; it has no question of the benchmark or of the train stream."""


@dataclass(frozen=True, eq=False)
class LookedAt:
    """A question about one picture."""

    sample: Sample
    """With its picture. Its choices map letters to the texts of the options."""
    hides: Mapping[str, Box]
    """The box that is hidden, by condition."""
    instead: Mapping[str, EncodedImage]
    """The picture that is shown instead, by condition."""
    boxes: Boxes | None = None
    """Where objects are drawn; None for photographs."""
    about_other: Sample | None = None
    """The same question about the object in `boxes.other`, with the same picture and options."""

    @property
    def picture(self) -> str:
        """The digest of the picture, by which questions are clustered."""
        return self.sample.images[0].sha256

    def samples(self, conditions: Iterable[str]) -> Iterator[tuple[str, Sample]]:
        """Yields each condition, and the sample with the picture that it shows; pictures are made one at a time."""
        picture = images.decode(self.sample.images[0])
        colour = background(picture) if self.boxes else mean_colour(picture)
        for condition in conditions:
            if condition == SEEN:
                yield condition, self.sample
            elif condition in self.instead:
                yield condition, _with_image(self.sample, self.instead[condition])
            else:
                shown = images.lossless(hidden(picture, self.hides[condition], colour))
                yield condition, _with_image(self.sample, shown)


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """The questions that all checkpoints are asked."""

    task: str
    """The short name of the task."""
    source: str
    prompt: str
    """The prompt style."""
    conditions: tuple[str, ...]
    """`BOXED` or `GRIDDED`, or some of these."""
    questions: Sequence[LookedAt]
    n_left_out: int = 0
    """Questions without exactly one picture or without options."""

    @property
    def has_boxes(self) -> bool:
        """Whether it is known where objects are."""
        return ASKED in self.conditions


def scenes_questions(n: int, prompt: str | None = None) -> QuestionSet:
    """Draws n questions of `scenes` about one of several objects, with boxes around these.

    Raises:
        UsageError: an unknown prompt style.
    """
    style = check_style(prompt or "ssl4rl")
    made: list[LookedAt] = []
    drawn = n
    while len(made) < n:  # objects that are too close to each other give no boxes
        made = [item for question in asking(STREAM, drawn) if (item := _scene(question, style)) is not None]
        drawn += n - len(made)
    return QuestionSet("scenes", f"scenes, stream {STREAM}", style, BOXED, made[:n])


def _scene(question: Question, style: str) -> LookedAt | None:
    drawn = question.drawn
    assert drawn.asked is not None
    chosen = boxes_of([thing.box for thing in drawn.objects], drawn.asked, drawn.image.size)
    if chosen is None or chosen[1].empty is None:
        return None
    other, boxes = chosen
    image = images.from_bytes(png(drawn))
    choices = question.choices()
    target = next(letter for letter in LETTERS if choices.get(letter) == drawn.answer)
    name = f"{question.leaf.name}-{question.number}"

    def sample(text: str, suffix: str = "") -> Sample:
        content = (ImagePart(image), TextPart(render(style, question=text, hint="", choices=choices)))
        place = Categories("", question.leaf.ability, question.leaf.name)
        return Sample(name + suffix, name, (Message("user", content),), target, choices, place)

    hides = {ASKED: boxes.asked, OTHER: boxes.other, EMPTY: chosen[1].empty}
    return LookedAt(sample(drawn.question), hides, {}, boxes, sample(drawn.about(other), "|about other"))


def task_questions(task: Task, n: int) -> QuestionSet:
    """Takes the first n questions of a task that have options and exactly one picture, in their main order.

    The task is loaded with a limit of n, so that its abilities are equally frequent.

    Raises:
        UsageError: the task has no such question.
        DataError: there are not enough questions with other pictures to show instead.
    """
    mains = {sample.group: sample for sample in reversed(task.samples) if sample.roll == 0}
    usable = [
        sample for sample in reversed(mains.values()) if len(sample.images) == 1 and len(sample.choices) > 1
    ]
    if not usable:
        raise UsageError(
            f"{short_name(task.name)} has no question with options and one picture, which `attend` needs: choose "
            "another task, such as scenes or mmbench_dev_en"
        )
    chosen = usable[:n]
    if len({sample.images[0].sha256 for sample in chosen}) < 2:
        raise DataError(
            f"{short_name(task.name)}: its questions share one picture, so that there is no other to show"
        )
    shown = task.showing(chosen, "real")
    swapped = {
        how: {sample.id: sample.images[0] for sample in blind_task(shown, how).samples}
        for how in (BLANK, SHUFFLED)
    }
    made = [
        LookedAt(
            sample,
            dict(zip(CELLS, grid(images.size(sample.images[0])), strict=True)),
            {how: by_id[sample.id] for how, by_id in swapped.items()},
        )
        for sample in chosen
    ]
    return QuestionSet(
        short_name(task.name), task.source, task.prompt, GRIDDED, made, len(mains) - len(usable)
    )


def digest_of(questions: QuestionSet) -> str:
    """Returns a digest of everything that is asked, by which a saved measurement is recognized."""
    texts = [
        f"{item.sample.id}\0{item.picture}\0{item.sample.text()}\0{item.sample.target}\0{sorted(item.hides.items())}"
        for item in questions.questions
    ]
    return sha256_hex("\0".join([*questions.conditions, *texts]).encode())


def _with_image(sample: Sample, image: EncodedImage) -> Sample:
    messages = (
        replace(
            message,
            content=tuple(
                ImagePart(image) if isinstance(part, ImagePart) else part for part in message.content
            ),
        )
        for message in sample.messages
    )
    return replace(sample, messages=tuple(messages))
