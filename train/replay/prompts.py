"""Makes replay questions prompts of GRPO, with the task's right or wrong as reward (kind "reward")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Completion, Sample, Score, Task
from ssl4rl_bench.engines.inputs import chat_messages
from ssl4rl_bench.train.data import Rows
from ssl4rl_bench.train.planning.sizes import Sizes
from ssl4rl_bench.train.replay.schedule import ReplaySchedule, before, is_replayed

TASK = "replay"
"""The name of the replay in the column `task` and in metrics ("reward/replay")."""


@dataclass
class ReplayRows:
    """Converts row indices to TRL's columns, where some rows of each step are replay questions.

    Which rows are, and which question they ask, depends only on the row's index.
    """

    rows: Rows
    """Makes the other rows, which are counted without the replay questions."""
    schedule: ReplaySchedule
    sizes: Sizes

    @property
    def seconds(self) -> float:
        """Time spent making rows since this was last set to 0."""
        return self.rows.seconds

    @seconds.setter
    def seconds(self, value: float) -> None:
        self.rows.seconds = value

    def question(self, row: int) -> Sample | None:
        """Returns the question of a row, or None for a row of an SSL task."""
        step, index = divmod(row, self.sizes.prompts)
        replayed = self.sizes.replayed
        if not is_replayed(index, replayed, self.sizes.prompts):
            return None
        return self.schedule.sample(step * replayed + before(index, replayed, self.sizes.prompts))

    def other(self, row: int) -> int:
        """Returns the index of a row among those of the SSL tasks."""
        step, index = divmod(row, self.sizes.prompts)
        earlier = before(index, self.sizes.replayed, self.sizes.prompts)
        return step * self.sizes.ssl_prompts + index - earlier

    def __call__(self, batch: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        """Returns the columns prompt (a chat), images (PIL), target, task and row."""
        numbers = batch["row"]
        questions = [self.question(row) for row in numbers]
        others = [self.other(row) for row, q in zip(numbers, questions, strict=True) if q is None]
        made = self.rows({"row": others}) if others else {name: [] for name in _COLUMNS}
        of_tasks = iter(zip(*(made[name] for name in _COLUMNS), strict=True))
        columns = zip(*(next(of_tasks) if q is None else _columns(q) for q in questions), strict=True)
        return {
            **{name: list(values) for name, values in zip(_COLUMNS, columns, strict=True)},
            "row": numbers,
        }


@dataclass(frozen=True)
class ReplayReward:
    """The reward of replies to replay questions: the value of the task's score.

    Args:
        samples: the samples by id, which is the target of their rows.
        end_ids: tokens that end a reply; a reply without one was cut off.
    """

    task: Task
    samples: Mapping[str, Sample]
    extractor: str
    end_ids: tuple[int, ...]
    __name__ = TASK

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Returns a reward for each reply, None for rows of other tasks; logs the share of readable answers."""
        rows = zip(completions, columns["task"], columns["target"], columns["completion_ids"], strict=True)
        scores = [
            self._one(reply, target, ids) if task == TASK else None for reply, task, target, ids in rows
        ]
        answered = [score.answer is not None for score in scores if score is not None]
        if answered and (log := columns.get("log_metric")):
            log(f"{TASK}/answered", sum(answered) / len(answered))
        return [None if score is None else score.value for score in scores]

    def _one(self, reply: Any, target: str, ids: Sequence[int]) -> Score:
        ended = bool(ids) and ids[-1] in self.end_ids
        completion = Completion(reply[-1]["content"], "stop" if ended else "length")
        return self.task.score(self.samples[target], completion, self.extractor)


_COLUMNS = ("prompt", "images", "target", "task")


def _columns(sample: Sample) -> tuple[Any, ...]:
    """Returns the values of `_COLUMNS` for a question; its target is the sample's id."""
    shown = [images.decode(image) for image in sample.images]
    return chat_messages(sample.messages), shown, sample.id, TASK
