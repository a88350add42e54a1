"""Is a task sound? Its gold answers must score 1.0 through the real reader, and its data must be whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Completion, EncodedImage, Sample, Task
from ssl4rl_bench.task.mmbench.circular import Copy, defect
from ssl4rl_bench.task.ssl import MIN_SIDE
from ssl4rl_bench.task.ssl.probe import ProbeTask

GOLD_REPLIES = (
    "<think>I look at the image.</think> <answer>{letter}</answer>",
    "The answer is {letter}.",
    "{letter}",
)
"""Right replies as models write them; `{letter}` stands for the sample's target."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `validate` found."""

    task: str
    n_samples: int
    n_groups: int
    n_images: int
    """Distinct images, all decoded."""
    leaves: dict[str, int]
    """Groups by leaf (L3)."""
    failures: tuple[str, ...]
    """One sentence each, naming the sample or group; empty if the task is sound."""
    warnings: tuple[str, ...]
    """Those of the loaded task."""

    @property
    def ok(self) -> bool:
        return not self.failures


def validate(task: Task) -> Report:
    """Checks every sample, group and image of a loaded task without a model. Takes about 4 ms an image."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    pictures: dict[str, tuple[str, EncodedImage]] = {}
    for sample in task.samples:
        groups[sample.group].append(sample)
        for image in sample.images:
            pictures.setdefault(image.sha256, (sample.id, image))
    if isinstance(task, ProbeTask):
        failures = [failure for sample in task.samples for failure in _probe_failures(task, sample)]
        failures += _image_failures(pictures, MIN_SIDE)
    else:
        failures = [failure for sample in task.samples for failure in _sample_failures(task, sample)]
        failures += [*_group_failures(groups), *_image_failures(pictures, 1)]
    failures = [*_identity_failures(task), *failures]
    return Report(
        task=task.name,
        n_samples=len(task.samples),
        n_groups=len(groups),
        n_images=len(pictures),
        leaves=dict(Counter(group[0].categories.l3 for group in groups.values())),
        failures=tuple(failures),
        warnings=tuple(task.warnings),
    )


def _identity_failures(task: Task) -> Iterator[str]:
    if not task.samples:
        yield f"Task {task.name} has no samples."
    for id, n in Counter(sample.id for sample in task.samples).items():
        if n > 1:
            yield f"Sample id {id} is there {n} times."


def _sample_failures(task: Task, sample: Sample) -> Iterator[str]:
    if sample.target not in sample.choices:
        yield f"Sample {sample.id}: the target {sample.target!r} is none of its choices."
        return
    for reply in GOLD_REPLIES:
        text = reply.format(letter=sample.target)
        score = task.score(sample, Completion(text=text, finish_reason="stop"))
        if score.value != 1.0:
            yield f"Sample {sample.id}: gold reply {text!r} scores {score.value}, read as {score.answer!r}."
    wrong = next((letter for letter in sample.choices if letter != sample.target), None)
    if wrong is not None:
        text = GOLD_REPLIES[0].format(letter=wrong)
        value = task.score(sample, Completion(text=text, finish_reason="stop")).value
        if value != 0.0:
            yield f"Sample {sample.id}: the wrong reply {text!r} scores {value}."
    prompt = sample.text()
    for letter, option in sample.choices.items():
        if f"{letter}. {option}" not in prompt:
            yield f"Sample {sample.id}: option {letter} is not in the prompt."
    if not sample.images:
        yield f"Sample {sample.id} has no image."


def _probe_failures(task: ProbeTask, sample: Sample) -> Iterator[str]:
    """Every form of the right answer must score 1, also after thinking that quotes another; a wrong one 0."""
    gold, wrong = task.ssl.gold(sample.target), task.ssl.wrong(sample.target)
    texts = [template.format(letter=answer) for answer in gold for template in GOLD_REPLIES]
    texts.append(f"<think>Is it <answer>{wrong}</answer>? No.</think> <answer>{gold[0]}</answer>")
    for text in texts:
        score = task.score(sample, Completion(text=text, finish_reason="stop"))
        if score.value != 1.0 or score.answer != sample.target:
            yield f"Sample {sample.id}: gold reply {text!r} scores {score.value}, read as {score.answer!r}."
    text = GOLD_REPLIES[0].format(letter=wrong)
    value = task.score(sample, Completion(text=text, finish_reason="stop")).value
    if value != 0.0:
        yield f"Sample {sample.id}: the wrong reply {text!r} scores {value}."
    prompt = sample.text()
    score = task.score(sample, Completion(text=prompt, finish_reason="stop"))
    if score.answer is not None:
        yield f"Sample {sample.id}: its own prompt, sent back, is read as {score.answer!r}."
    if not sample.images:
        yield f"Sample {sample.id} has no image."


def _group_failures(groups: dict[str, list[Sample]]) -> Iterator[str]:
    for name, group in groups.items():
        if any(sample.target not in sample.choices for sample in group):
            continue
        reason = defect([Copy(sample.roll, sample.choices, sample.target) for sample in group])
        if reason:
            yield f"Group {name}: {reason}."
        if len({sample.categories for sample in group}) > 1:
            yield f"Group {name}: its copies are in different categories."


def _image_failures(pictures: dict[str, tuple[str, EncodedImage]], min_side: int) -> Iterator[str]:
    for id, image in pictures.values():
        try:
            size = images.decode(image).size
            if min(size) < min_side:
                yield f"Sample {id}: an image has {size[0]} x {size[1]} pixels, {min_side} a side are needed."
        except images.ImageError as error:
            yield f"Sample {id}: the image cannot be used, {error}."
