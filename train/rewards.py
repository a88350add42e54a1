"""Rewards for RL from the scorers of the SSL tasks: a picklable callable for TRL, `compute_score` for verl.

The reward schemes are listed below. In the first three, a reply without an answer (for Jigsaw, without a
permutation; for Count, without three numbers) earns 0.

| scheme | reward of a reply |
|---|---|
| `exact` | the value of the score: 1 or 0 |
| `per_position` | Jigsaw and Count: the share x of correct positions; other tasks: as `exact` |
| `scaled` | these two: max(0, (x - c) / (1 - c)), where a blind guess has c = 1 / k^2 or 1 / 3; others: as `exact` |
| `released` | the reward of SSL4RL's released code, with its faults; for comparison only (docs/rewards.md) |
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.core.types import Completion, FinishReason, Score
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.ssl import SSLTask
from ssl4rl_bench.train.columns import completion_text, finish_reasons, without_end_marks
from ssl4rl_bench.train.task_names import column_task_names
from ssl4rl_bench.train.validation import KEY, verl_score

SCHEMES = ("exact", "per_position", "scaled", "released")
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_WELL_FORMED = re.compile(r"\s*<think>.*</think>\s*<answer>(.*)</answer>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SSLReward:
    """A reward function for TRL's trainers: `reward(completions, **columns)` returns one value per row.

    The reward of a row is weight * (value of the scheme) + format_weight * `well_formed`. It is None for a
    task that is not in `tasks` and for a failed request; TRL excludes None from the means.
    """

    tasks: Mapping[str, SSLTask] = field(hash=False)
    """Tasks by their name in the `task` column, with or without the prefix: "ssl4rl_ssl_rotation_90"."""
    scheme: str = "exact"
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Weights by task name; the default is 1.0."""
    format_weight: float = 0.0
    extractor: str = "default"
    """How answers are extracted. With "strict", only a tag with the canonical answer is rewarded. The scheme
    `released` does not use the extractor."""
    end_ids: tuple[int, ...] = ()
    """Tokens that end a reply. If given, a reply whose `completion_ids` end in none of them was truncated."""
    other_tasks: tuple[str, ...] = ()
    """Names in the `task` column that other reward functions handle, in addition to this project's tasks."""

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            hint = did_you_mean(str(self.scheme), SCHEMES)
            raise UsageError(f"no reward scheme {self.scheme!r} (there are {', '.join(SCHEMES)}){hint}")
        if not self.tasks:
            raise UsageError("a reward needs at least one SSL task: name some, such as ssl_rotation_90")
        for name in self.weights:
            if name not in self.tasks:
                raise UsageError(
                    f"a weight is given for {name!r}, which is not one of the tasks{did_you_mean(name, self.tasks)}"
                )
        check_extractor(self.extractor)

    @property
    def __name__(self) -> str:
        """The name under which TRL logs the reward: that of the only task, or "ssl" for several tasks."""
        return short_name(next(iter(self.tasks))) if len(self.tasks) == 1 else "ssl"

    def by_task(self) -> list[SSLReward]:
        """Returns one reward per task, which TRL logs by its name. Their sum per row is this reward."""
        return [
            replace(
                self,
                tasks={name: task},
                weights={n: w for n, w in self.weights.items() if n == name},
                other_tasks=(*self.other_tasks, *(other for other in self.tasks if other != name)),
            )
            for name, task in self.tasks.items()
        ]

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Returns the rewards of the replies, in order.

        Args:
            completions: texts, or chats in TRL's format.
            columns: columns of the data set with one value per reply. `target` is required, and `task` if
                there are several tasks. Optional columns are `finish_reason` ("length": truncated, "error":
                failed) and `truncated`. TRL adds `completion_ids`, and `log_metric`, which logs metrics such
                as "ssl_jigsaw_2x2/valid".

        Raises:
            UsageError: a required column is missing or its length differs from that of `completions`.
            DataError: a target is not valid for the row's task; a `task` looks like a misspelt name; or no
                row has a `task` of this reward, of this project, or of `other_tasks`.
        """
        n = len(completions)
        if "task" not in columns and len(self.tasks) > 1:
            raise UsageError("the data have no column 'task', which names the SSL task of each row")
        if "target" not in columns:
            raise UsageError(
                "the data have no column 'target' with the right answers: use a set made by `build`"
            )
        if "task" in columns:
            names = column_task_names(columns["task"], self.tasks, self.other_tasks)
        else:
            names = [next(iter(self.tasks))] * n
        try:
            finishes = finish_reasons(n, columns, self.end_ids)
            rows = list(zip(completions, names, columns["target"], finishes, strict=True))
        except ValueError:
            raise UsageError(
                f"the columns 'task' and 'target' do not have {n} rows as the replies do"
            ) from None
        rewards: list[float | None] = []
        metrics: dict[str, list[float]] = defaultdict(list)
        for completion, name, target, finish in rows:
            if name is None:
                rewards.append(None)
                continue
            text, short = completion_text(completion), short_name(name)
            value, score = self._one(name, text, target, finish)
            rewards.append(value)
            if score.value is not None:
                metrics[f"{short}/answered"].append(score.answer is not None)
                for part, share in score.parts.items():
                    metrics[f"{short}/{part}"].append(share)
            metrics[f"{short}/format"].append(well_formed(text))
        if log := columns.get("log_metric"):
            for metric, values in metrics.items():
                log(metric, sum(values) / len(values))
        return rewards

    def one(self, name: str, text: str, target: str, finish_reason: FinishReason = "stop") -> float | None:
        """Returns the reward of one reply to a sample of a task, or None for a failed request.

        Raises:
            DataError: the name is not in `tasks`, or the target is not valid for the task.
        """
        (known,) = column_task_names([name], self.tasks, self.other_tasks)
        if known is None:
            raise DataError(f"task {name!r} is not one of this reward's: {', '.join(self.tasks)}")
        return self._one(known, text, target, finish_reason)[0]

    def _one(self, name: str, text: str, target: str, finish: FinishReason) -> tuple[float | None, Score]:
        task = self.tasks[name]
        if not task.has_answer(target):
            raise DataError(
                f"{name} has no answer {target!r}: give each row the target that it was built with"
            )
        score = task.score(Completion(text=text, finish_reason=finish), target, self.extractor)
        if score.value is None:
            return None, score
        value = _released(task, text, target) if self.scheme == "released" else self.worth(task, score.parts)
        value *= self.weights.get(name, 1.0)
        if self.format_weight:
            value += self.format_weight * well_formed(text)
        return value, score

    def worth(self, task: SSLTask, parts: Mapping[str, float]) -> float:
        """Returns the value of the scheme, without weights and format, for the sub-metrics of an answer.

        Args:
            parts: the result of `SSLTask.grade`; empty for a reply that earns nothing.

        Raises:
            UsageError: the scheme is `released`, which depends on the text of the reply.
        """
        if self.scheme == "released":
            raise UsageError("the scheme released rewards texts, not answers: use `one`")
        exact = parts.get("exact", 0.0)
        if self.scheme == "exact" or "per_position" not in parts:
            return exact
        value = parts["per_position"]
        if self.scheme == "scaled":
            blind = task.part_chance
            value = max(0.0, (value - blind) / (1 - blind))
        return value


def make_reward(
    tasks: Sequence[str],
    scheme: str = "exact",
    *,
    weights: Mapping[str, float] | None = None,
    format_weight: float = 0.0,
    extractor: str = "default",
) -> SSLReward:
    """Makes a reward function from the scorers of SSL tasks, for TRL's `reward_funcs=[make_reward(...)]`.

    Args:
        tasks: names with or without the prefix, or paths of task files.
        scheme: one of `SCHEMES`, which the module's docstring describes.
        weights: weights by task name; the default is 1.0.
        format_weight: additional reward of a well-formed reply.
        extractor: how answers are extracted.

    Raises:
        UsageError: an unknown task, scheme or extractor, or a task that is not an SSL task.

    Example:
        >>> reward = make_reward(["ssl_rotation_90"])
        >>> reward(["<think>upright</think> <answer>0</answer>"], target=["0"])
        [1.0]
    """
    from ssl4rl_bench.task.registry import load_ssl

    loaded = {taskfile.name: task for taskfile, task in map(load_ssl, tasks)}
    full = {full_name(name): weight for name, weight in (weights or {}).items()}
    return SSLReward(loaded, scheme, full, format_weight=format_weight, extractor=extractor)


def well_formed(text: str) -> bool:
    """Whether a reply is one <think>...</think>, one non-empty <answer>...</answer>, and white space."""
    match = _WELL_FORMED.fullmatch(text) if all(text.count(tag) == 1 for tag in _TAGS) else None
    return match is not None and bool(match[1].strip())


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    *,
    scheme: str = "exact",
    format_weight: float = 0.0,
    extractor: str = "default",
    details: bool = False,
) -> float | dict[str, Any]:
    """Computes the reward of a reply for verl; the keyword arguments come from its `reward_kwargs`.

    Args:
        data_source: the task's name, such as "ssl4rl_ssl_rotation_90".
        solution_str: the reply, with or without its end token.
        ground_truth: the sample's target.
        extra_info: of a row of a validation file, with the answer key by which it is scored, whatever the
            scheme (`validation.verl_score`). Otherwise not used: verl does not report truncation, so that each
            reply counts as complete.
        details: for rows of a validation file, return a mapping with the row's id and whether it was read.

    Raises:
        UsageError: an unknown task, scheme or extractor.
        DataError: the target is not valid for the task.
    """
    if extra_info is not None and extra_info.get(KEY):
        return verl_score(data_source, solution_str, ground_truth, extra_info, details=details)
    text = without_end_marks(solution_str)  # `released` searches for "assistant" followed by a line feed
    value = _loaded(data_source, scheme, format_weight, extractor).one(data_source, text, ground_truth)
    return 0.0 if value is None else value


@lru_cache(maxsize=64)
def _loaded(name: str, scheme: str, format_weight: float, extractor: str) -> SSLReward:
    from ssl4rl_bench.task.registry import load_ssl

    task = load_ssl(name)[1]
    return SSLReward({name: task}, scheme, format_weight=format_weight, extractor=extractor)


def _released(task: SSLTask, text: str, target: str) -> float:
    """Returns the released reward, for which the first tag counts (`ssl.SSLTask.released_value`)."""
    text = text[text.rfind("assistant\n") + len("assistant\n") if "assistant\n" in text else 0 :]
    _, opened, rest = text.partition("<answer>")
    answer, closed, _ = rest.partition("</answer>")
    if not (opened and closed):
        return 0.0
    return task.released_value(answer.strip(), target)
