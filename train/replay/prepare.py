"""Prepares a run's replay: loads and audits the questions, and makes the base's replies to those that are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, StoreError
from ssl4rl_bench.core.identity import messages_json, sha256_json
from ssl4rl_bench.core.types import EncodedImage, Sample
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.origin import read_origin
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.task.pictures.perceptual import Perceptual, perceptual_hash
from ssl4rl_bench.task.pictures.selection import REDUCED
from ssl4rl_bench.train import overlap
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.recipe import Recipe
from ssl4rl_bench.train.replay.questions import ReplayPool, load_pool
from ssl4rl_bench.train.replay.replies import REPLIES, Reply, ReplyFile, digest
from ssl4rl_bench.train.replay.schedule import ReplaySchedule
from ssl4rl_bench.train.replay.settings import ReplayPart
from ssl4rl_bench.train.reporting import Reporter

CountTokens = Callable[[Sample], int]
"""Returns the number of tokens of a question's prompt."""


@dataclass(frozen=True)
class Replay:
    """The replay of a run."""

    part: ReplayPart
    pool: ReplayPool
    schedule: ReplaySchedule
    used: tuple[Sample, ...]
    """The distinct samples of all steps, in the order of their first use."""
    facts: Mapping[str, Any]
    """The contents of "replay" in data.json."""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    """The base's replies by the sample's id (kind "self")."""

    def with_replies(self, replies: Mapping[str, Reply]) -> Replay:
        """Returns a copy with the base's replies."""
        known = {"n": len(replies), "sha256": digest(self.used, replies), "file": REPLIES}
        return replace(self, replies=replies, facts={**self.facts, "replies": known})


def prepared_pool(
    recipe: Recipe, part: ReplayPart, count: CountTokens, report: Reporter
) -> tuple[ReplayPool, dict[str, Any]]:
    """Loads a recipe's questions without those that it must not use, and returns them with facts about them.

    Raises:
        UsageError: as `load_pool`; or images of the questions are in an audited set, and the recipe does not
            allow it.
        DataError: the questions cannot be loaded, prompts are too long, or no question is left.
    """
    loaded = load_pool(part, transductive=recipe.data.transductive)
    looks = _looks(loaded) if recipe.data.audit else ()
    overlaps = overlap.find_overlaps(looks, recipe.data.audit, on_progress=report.stage) if looks else ()
    for result in overlaps:
        if shared := len(result.exact) + len(result.near):
            report.note(f"{shared} images of the replay are in {result.set} or look like one that is")
    pool = loaded.without(overlap.enforce(overlaps, recipe.data, "images of the replay"))
    n_left_out = len(loaded.groups) - len(pool.groups)
    limit = recipe.grpo.max_prompt_tokens
    fitting = tuple(group for group in pool.groups if max(map(count, group)) <= limit)
    n_over_long = len(pool.groups) - len(fitting)
    if n_over_long and recipe.data.over_long == "refuse":
        raise DataError(
            f"{n_over_long} of {len(pool.groups)} replay questions have prompts of more than {limit} tokens: raise "
            'grpo.max_prompt_tokens, lower model.max_pixels, or write data.over_long = "drop"'
        )
    if not fitting:
        raise DataError(
            f"no question of {part.questions} can be replayed ({n_left_out} with evaluation images, {n_over_long} "
            "with prompts that are too long): choose other replay.questions"
        )
    facts = {
        "questions": part.questions,
        "kind": part.kind,
        "weight": part.weight,
        "available": len(fitting),
        "left_out": n_left_out,
        "over_long": n_over_long,
        "overlap": [result.as_json() for result in overlaps],
        "overlap_details": [result.details() for result in overlaps],
    }
    return replace(pool, groups=fitting), facts


def plan_replay(
    recipe: Recipe, pool: ReplayPool, facts: Mapping[str, Any], parts: Sizes, steps: int
) -> Replay:
    """Chooses the questions of all steps.

    Args:
        pool, facts: the result of `prepared_pool`.
        parts: the sizes of a step.
        steps: steps of the run.
    """
    part = recipe.replay
    assert part is not None
    schedule = ReplaySchedule(recipe.seed, pool.groups, part.per_step(parts.prompts))
    used = tuple(schedule.first(steps))
    manifest = {
        "seed": recipe.seed,
        "per_step": schedule.per_step,
        "groups": [[[s.id, messages_json(s.messages), s.target] for s in group] for group in pool.groups],
    }
    known = {
        **facts,
        "per_step": schedule.per_step,
        "manifest_sha256": sha256_json(manifest),
        "used": len({sample.group for sample in used}),
        "used_ids": [sample.id for sample in used],
    }
    return Replay(part, pool, schedule, used, known)


def require_same_replay(last: Path, facts: Mapping[str, Any]) -> None:
    """Checks that a resumed run replays the questions that its last checkpoint was trained on.

    Args:
        facts: `Replay.facts` for the questions as they are now.

    Raises:
        StoreError: the questions have changed.
    """
    old = (read_origin(last).get("data") or {}).get("replay") or {}
    if old.get("manifest_sha256") in (None, facts["manifest_sha256"]):
        return
    raise StoreError(
        f"cannot resume from {last}: the questions of {facts['questions']} have changed ({old.get('available')} "
        f"before, {facts['available']} now): restore them, or choose another --out"
    )


def base_replies(
    replay: Replay, recipe: Recipe, base: Model, folder: Path, report: Reporter, main: bool
) -> Replay:
    """Adds the base's replies, which the main process makes once per run folder, on engine `hf`.

    Args:
        main: whether this is the main process; the others wait for its file.

    Raises:
        DataError: the base cannot reply to a question.
    """
    pixels = recipe.model.min_pixels, recipe.model.max_pixels
    file = ReplyFile(folder / REPLIES, base, replay.part.max_reply_tokens, pixels)
    if not main:
        return replay.with_replies(file.wait(replay.used))

    def engine() -> Any:
        from ssl4rl_bench.engines.hf.engine import HfEngine

        return HfEngine(base, EngineOptions(min_pixels=pixels[0], max_pixels=pixels[1]))

    made = file.complete(
        replay.used, engine, lambda done, total: report.stage("replay", done, total, "replies")
    )
    replay = replay.with_replies(made)
    n_cut = sum(not reply.ended for reply in made.values())
    report.note(
        f"replay: {replay.schedule.per_step} questions of {replay.part.questions} per step, {len(made)} replies of "
        "the base" + (f", {n_cut} cut off at {replay.part.max_reply_tokens} tokens" if n_cut else "")
    )
    return replay


@dataclass(frozen=True, slots=True)
class _Look:
    """What the audit compares of an image."""

    sha256: str
    perceptual: Perceptual


def _looks(pool: ReplayPool) -> Sequence[_Look]:
    shown: dict[str, EncodedImage] = {}
    for group in pool.groups:
        for sample in group:
            shown |= {image.sha256: image for image in sample.images}
    return [_Look(sha256, perceptual_hash(images.reduced(image, REDUCED))) for sha256, image in shown.items()]
