"""The rewards of a validation file (`datasets.validation`): the scores that `run` gives to the same replies.

Their mean over the rows is the benchmark's `row_micro`. `aggregate_replies` computes all aggregations.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import BenchError, DataError, UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.output import say
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.score.aggregate import AGGREGATIONS, OVERALL, aggregate
from ssl4rl_bench.score.scores import UNREAD, arrange
from ssl4rl_bench.task.answer_key import AnswerKey
from ssl4rl_bench.train.columns import completion_text, finish_reasons, without_end_marks

KEY = "answer_key"
"""The column, or the key of verl's `extra_info`, with the answer key of a row."""


@dataclass(frozen=True, slots=True)
class ValidationReward:
    """A reward function for TRL's `reward_funcs`. It gives None for rows without an answer key."""

    name: str = "validation"
    end_ids: tuple[int, ...] = ()
    """Tokens that end a reply. If given, a reply whose `completion_ids` end in none of them was truncated, and is
    read as `run` reads truncated replies."""

    @property
    def __name__(self) -> str:
        """The name under which TRL logs the reward."""
        return self.name

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Returns the score of each reply, in order.

        Args:
            completions: texts, or chats in TRL's format.
            columns: `answer_key`, which `build --format trl` writes; rows of other files have None or none. As for
                `SSLReward`, `finish_reason`, `truncated` and `completion_ids` say which replies were truncated.

        Raises:
            DataError: an answer key is damaged.
        """
        n = len(completions)
        keys = columns.get(KEY) or [None] * n
        finishes = finish_reasons(n, columns, self.end_ids)
        return [
            None
            if key is None
            else _parsed(key).score(Completion(without_end_marks(completion_text(completion)), finish)).value
            for completion, key, finish in zip(completions, keys, finishes, strict=True)
        ]


def verl_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any],
    *,
    details: bool = False,
) -> float | dict[str, Any]:
    """Computes the reward of a reply to a row of a validation file for verl.

    verl does not report truncation. If `extra_info` has a `finish_reason`, it is used; otherwise the reply counts as
    complete.

    Args:
        details: return {"score", "id", "unread"}, which verl writes to its validation dumps and curves.

    Raises:
        DataError: the row's answer key is damaged, or belongs to another row.
    """
    key = _parsed(extra_info[KEY])
    if (key.task, key.target) != (data_source, ground_truth):
        raise DataError(
            f"a row of {data_source} has the answer key of {key.task}, row {key.id}: build the validation file again"
        )
    (finish,) = finish_reasons(1, {"finish_reason": [extra_info.get("finish_reason")]})
    score = key.score(Completion(without_end_marks(solution_str), finish))
    value = 0.0 if score.value is None else score.value
    if not details:
        return value
    return {"score": value, "id": key.id, "unread": float(score.status in UNREAD)}


def aggregate_replies(
    keys: Iterable[AnswerKey], replies: Mapping[str, str | Completion]
) -> dict[str, dict[str, Any]]:
    """Computes all aggregations of a benchmark from replies, as in result.json (`score.aggregate.aggregate`).

    A question with a copy that has no reply is left out of every figure, as in a run.

    Args:
        keys: the answer keys of the file's rows.
        replies: maps a row's id to its reply.

    Raises:
        DataError: a reply to a row that is not in the file, or no reply at all.
    """
    by_id = {key.id: key for key in keys}
    if unknown := [id for id in replies if id not in by_id]:
        raise DataError(f"there is a reply to row {unknown[0]}, which the validation file does not have")
    copies: dict[str, int] = {}
    for key in by_id.values():
        copies[key.group] = copies.get(key.group, 0) + 1
    scored = []
    for id, reply in replies.items():
        completion = Completion(without_end_marks(reply), "stop") if isinstance(reply, str) else reply
        scored.append(by_id[id].scored(by_id[id].score(completion)))
    if not scored:
        raise DataError("there are no replies to the rows of the validation file")
    return aggregate(arrange(scored, copies))


def read_keys(path: Path) -> list[AnswerKey]:
    """Reads the answer keys of a validation file, of either format.

    Raises:
        DataError: the file cannot be read, or is not one of `build`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        column = KEY if KEY in names else "extra_info"
        values = pq.read_table(path, columns=[column]).column(column).to_pylist()
        return [AnswerKey.from_json(value if isinstance(value, str) else value[KEY]) for value in values]
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as a validation file of `build` ({type(error).__name__})"
        ) from None


def read_replies(path: Path) -> dict[str, str]:
    """Reads JSONL lines with "id" and "output", such as verl's validation dumps.

    Raises:
        DataError: a line has neither, or an id occurs twice.
    """
    out: dict[str, str] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or 'unreadable').lower()}") from None
    for number, line in enumerate(lines, start=1):
        try:
            value = parse_json(line)
            id, text = str(value["id"]), value["output"]
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}, line {number} has no id and output: set reward_kwargs.details=true, so that verl writes ids"
            ) from None
        if id in out:
            raise DataError(
                f"{path}, line {number} is a second reply to row {id}: give one reply to each row"
            )
        out[id] = str(text)
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the overall figures of replies to a validation file; `reward.py` calls it."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        if len(arguments) != 2:
            raise UsageError("give the validation file and a JSONL file of replies")
        keys = read_keys(Path(arguments[0]))
        replies = read_replies(Path(arguments[1]))
        cells = aggregate_replies(keys, replies)
    except BenchError as error:
        raise SystemExit(str(error)) from None
    say(f"{short_name(keys[0].task)}: {len(replies)} of {len(keys)} rows have a reply")
    for name in AGGREGATIONS:
        cell = cells[name][OVERALL]
        value = "no question counts" if cell["value"] is None else f"{100 * cell['value']:.2f}%"
        bounds = "" if cell["ci95"] is None else " [{:.2f}, {:.2f}]".format(*(100 * x for x in cell["ci95"]))
        say(f"{name}: {value}{bounds}, n {cell['n']}, {cell['n_unread']} unread")


@lru_cache(maxsize=1 << 16)
def _parsed(text: str) -> AnswerKey:
    return AnswerKey.from_json(text)
