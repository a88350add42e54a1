"""Prepares a run's training set: audits the recipe's images against evaluation sets and counts tokens."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.types import Sample
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.inputs import chat_messages, load_processor
from ssl4rl_bench.task.pictures import Selection
from ssl4rl_bench.task.ssl import Corrupted
from ssl4rl_bench.train import overlap
from ssl4rl_bench.train.data import RowSettings, TrainingSet, TrainingTask, training_tasks
from ssl4rl_bench.train.grpo.job import TrainingJob
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.replay.prepare import (
    Replay,
    base_replies,
    plan_replay,
    prepared_pool,
    require_same_replay,
)
from ssl4rl_bench.train.reporting import Reporter


@dataclass(frozen=True)
class Dataset:
    """A training set and the contents of its data.json."""

    training_set: TrainingSet
    facts: dict[str, Any]
    replay: Replay | None = None


def load_training_processor(recipe: Recipe, base: Model) -> Any:
    """Loads the base's processor and sets the recipe's pixel limits."""
    processor = load_processor(base.path)
    size = processor.image_processor.size
    low, high = recipe.model.min_pixels, recipe.model.max_pixels
    processor.image_processor.size = {
        "shortest_edge": low or size["shortest_edge"],
        "longest_edge": high or size["longest_edge"],
    }
    processor.tokenizer.padding_side = "left"
    return processor


def prepared(recipe: Recipe, selection: Selection, processor: Any, report: Reporter) -> Dataset:
    """Makes the training set and reports notes about it.

    Raises:
        UsageError: training images are in an audited set, and the recipe does not allow it.
        DataError: prompts are too long, or no image is left.
    """
    selection = _of_split(selection, recipe.data.split)
    overlaps = overlap.find_overlaps(selection.pictures, recipe.data.audit, on_progress=report.stage)
    for result in overlaps:
        if shared := len(result.exact) + len(result.near):
            report.note(f"{shared} training images are in {result.set} or look like one that is")
        else:
            report.note(f"no training image is in {result.set} ({result.images} images compared)")
    leave_out = overlap.enforce(overlaps, recipe.data)
    made = TrainingSet(
        selection,
        training_tasks(recipe.tasks, recipe.data.prompt),
        RowSettings(
            seed=recipe.seed,
            frozen=recipe.data.frozen,
            shuffled=recipe.reward.shuffled,
            tokens=_Tokens(processor),
            max_tokens=recipe.grpo.max_prompt_tokens,
            leave_out=leave_out,
        ),
        on_progress=lambda done, total: report.stage("looking at", done, total),
    )
    limit = recipe.grpo.max_prompt_tokens
    if made.n_over_long and recipe.data.over_long == "refuse":
        raise DataError(
            f"{made.n_over_long} of {len(made.pictures)} images have prompts of more than {limit} tokens, the "
            f"longest {made.longest}: raise grpo.max_prompt_tokens, lower model.max_pixels, or write "
            'data.over_long = "drop"'
        )
    made.require_images()
    _announce(made, selection.source, report)
    return Dataset(made, _facts(recipe, selection, made, overlaps))


def with_replay(data: Dataset, job: TrainingJob, processor: Any, last: Path | None) -> Dataset:
    """Returns the data set with the questions of the recipe's replay, if there is one.

    Args:
        last: the checkpoint to resume from.

    Raises:
        UsageError, DataError: as `replay.prepare.prepared_pool`.
        StoreError: the questions are not those that `last` was trained on.
    """
    recipe = job.recipe
    if recipe.replay is None:
        return data
    count = _Tokens(processor).of_question
    pool, facts = prepared_pool(recipe, recipe.replay, count, job.report)
    replay = plan_replay(recipe, pool, facts, job.parts, job.steps)
    if last is not None:
        require_same_replay(last, replay.facts)
    if recipe.replay.kind == "reward":
        job.report.note(
            f"replay: {job.parts.replayed} of {job.parts.prompts} prompts per step are questions of "
            f"{recipe.replay.questions}, rewarded if answered right"
        )
    return _replaying(data, replay)


def with_base_replies(data: Dataset, job: TrainingJob, *, main: bool) -> Dataset:
    """Returns the data set with the base's replies to the replay questions, if it needs them.

    Args:
        main: whether this process makes them and writes them to the run's folder; the others wait.

    Raises:
        DataError: the base cannot reply to a question.
    """
    if data.replay is None or data.replay.part.kind != "self":
        return data
    return _replaying(data, base_replies(data.replay, job.recipe, job.base, job.out, job.report, main=main))


def _replaying(data: Dataset, replay: Replay) -> Dataset:
    return dataclasses.replace(data, replay=replay, facts={**data.facts, "replay": dict(replay.facts)})


def _announce(made: TrainingSet, source: str, report: Reporter) -> None:
    report.note(
        f"{made.n_images} training images from {source}; prompts of at most {made.longest} tokens"
        + (f"; {made.n_over_long} left out as too long" if made.n_over_long else "")
        + (f"; {made.n_left_out} left out as evaluation images" if made.n_left_out else "")
    )
    for reason, n in sorted(made.unusable.items()):
        report.note(f"not used for {n} images: {reason}")


def _facts(
    recipe: Recipe, selection: Selection, made: TrainingSet, overlaps: Sequence[overlap.Overlap]
) -> dict[str, Any]:
    manifest = made.manifest()
    return {
        "source": selection.source,
        "images": made.n_images,
        "manifest_sha256": sha256_json(manifest),
        "over_long": made.n_over_long,
        "left_out": made.n_left_out,
        "unusable": sum(made.unusable.values()),
        "tokens": {
            "longest": made.longest,
            "mean": statistics.mean(n for n, _ in made.tokens_seen),
            "mean_of_images": statistics.mean(n for _, n in made.tokens_seen),
        },
        "unusable_by_reason": made.unusable,
        "counts": selection.counts(),
        "overlap": [overlap.as_json() for overlap in overlaps],
        "overlap_details": [overlap.details() for overlap in overlaps],
        "transductive": recipe.data.transductive,
        "manifest": manifest,
    }


def _of_split(selection: Selection, split: float | None) -> Selection:
    """Returns the part of a selection that is used for training."""
    if split is None:
        return selection
    pictures = tuple(picture for picture in selection.pictures if picture.split == "train")
    if not pictures:
        raise DataError(f"{selection.source}: data.split = {split:g} leaves no training images: raise it")
    return dataclasses.replace(selection, pictures=pictures)


class _Tokens:
    """Counts a prompt's tokens without making pixel values."""

    def __init__(self, processor: Any) -> None:
        self.image_processor = processor.image_processor
        self.merged = processor.image_processor.merge_size**2
        self.text: dict[tuple[str, int, str], int] = {}
        self.processor = processor

    def __call__(self, a: TrainingTask, sample: Corrupted) -> tuple[int, int]:
        """Returns the number of tokens in a sample's prompt, and in its images alone."""
        shown = sample.images
        key = (a.name, len(shown), sample.text)
        if key not in self.text:
            content = [*({"type": "image"} for _ in shown), {"type": "text", "text": a.prompt(sample.text)}]
            chat = self.processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            self.text[key] = len(self.processor.tokenizer(chat)["input_ids"]) - len(shown)
        of_images = self._of_images((image.width, image.height) for image in shown)
        return self.text[key] + of_images, of_images

    def of_question(self, sample: Sample) -> int:
        """Returns the number of tokens of a question's prompt."""
        shown = sample.images
        chat = self.processor.apply_chat_template(
            chat_messages(sample.messages), tokenize=False, add_generation_prompt=True
        )
        of_text = len(self.processor.tokenizer(chat)["input_ids"]) - len(shown)
        return of_text + self._of_images(map(images.size, shown))

    def _of_images(self, sizes: Iterable[tuple[int, int]]) -> int:
        patches = sum(self.image_processor.get_number_of_image_patches(h, w, {}) for w, h in sizes)
        return int(patches // self.merged)
