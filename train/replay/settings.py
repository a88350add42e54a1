"""`[replay]` of a recipe, and the rules for its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ReplayPart:
    """`[replay]`: questions of other abilities in each step. Without this table nothing is replayed."""

    questions: str
    """"scenes:train", "scenes:train:N" (N questions of each leaf), "task=data" (a TSV, a hub id, images of an
    SSL task), the path of a task file, or an image source (`build --images`), of which each image is shown
    with `prompt`. Questions of an evaluation set are refused, unless `data.transductive`."""
    share: float
    """Questions per step, as a share of `grpo.prompts` and rounded to a whole number. With kind "self" they
    are asked in addition to these prompts; with kind "reward" they take the place of some of them."""
    kind: Literal["self", "reward"] = "self"
    """"self" adds the negative log-likelihood of the base's own greedy replies to the loss and needs no
    labels. "reward" asks the questions as prompts of GRPO, with the task's right or wrong as reward."""
    weight: float = 1.0
    """Kind "self": the factor of the added loss, a mean over the tokens of all replies; with 0, it is only
    measured. Kind "reward": the factor of the advantages of these prompts' replies."""
    prompt: str | None = None
    """Prompt style of a task's questions (None: the task's), or the text that is asked about each image of an
    image source (None: "Describe the image.")."""
    limit: int | None = None
    """The maximum number of questions. None uses all."""
    max_reply_tokens: int = 128
    """The maximum length of the base's replies (kind "self"). With kind "reward", `grpo.max_reply_tokens`."""

    def per_step(self, prompts: int) -> int:
        """Returns the number of questions in a step of this many prompts."""
        return round(self.share * prompts)


def replay_rules(
    part: ReplayPart, prompts: int, updates: int, *, dynamic: bool
) -> Iterator[tuple[bool, str]]:
    """Yields whether each rule holds, with the sentence for a recipe that violates it.

    Args:
        prompts, updates, dynamic: `grpo.prompts`, `grpo.updates` and `grpo.dynamic`.
    """
    n = part.per_step(prompts)
    yield part.share > 0, "replay.share must be above 0: remove [replay] to replay nothing"
    yield n >= 1, f"replay.share = {part.share:g} of {prompts} prompts is less than one question: raise it"
    yield part.weight >= 0, "replay.weight must not be negative"
    yield part.limit is None or part.limit >= 1, "replay.limit must be 1 or more"
    yield part.max_reply_tokens >= 1, "replay.max_reply_tokens must be 1 or more"
    if part.kind == "reward":
        yield n < prompts, f"replay.share = {part.share:g} leaves no prompts for [tasks]: lower it"
        yield not dynamic, 'replay.kind = "reward" does not work with grpo.dynamic: set replay.kind = "self"'
        yield part.weight > 0, 'replay.weight must be above 0 for kind = "reward": remove [replay] instead'
    else:
        yield (
            n >= updates,
            f"replay.share gives {n} questions a step, fewer than its {updates} updates: raise it",
        )
