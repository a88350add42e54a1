"""A run's replies as a parquet file: one row per sample and repeat, with its score and the run's settings."""

from __future__ import annotations

import io
import json
from typing import Any

import ssl4rl_bench
from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.interop.exports.replies import ScoredReply, TaskReplies
from ssl4rl_bench.interop.exports.sheets import check_utf8
from ssl4rl_bench.interop.stored import STORED

METADATA = STORED.encode()
"""The key of the run's settings in the metadata of the file's schema: an object as JSON (`run_metadata`)."""
TABLE_SCHEMA = 1
_TEXTS = ("id", "group", "question", "hint", "target", "reply", "reasoning", "error", "answer")


def parquet_bytes(name: str, replies: TaskReplies) -> bytes:
    """Returns a parquet file with all replies of a task.

    Columns: `id`, `group`, `roll`, `repeat`, `question`, `hint`, `target`, `choices` (letter to option), `reply`,
    `reasoning`, `finish_reason`, `error`, `answer`, `status`, `score` (null if there is none), `l1`, `l2`, `l3`,
    `images` (digests of the images as sent), `n_prompt_tokens`, `n_completion_tokens`, `latency_s`.

    Raises:
        DataError: a text with a lone surrogate; names the row and the column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(replies, reply) for reply in replies.replies]
    check_utf8(name, _TEXTS, ([row[column] for column in _TEXTS] for row in rows))
    text, number, real = pa.string(), pa.int64(), pa.float64()
    schema = pa.schema(
        {
            **dict.fromkeys(("id", "group"), text),
            **dict.fromkeys(("roll", "repeat"), number),
            **dict.fromkeys(("question", "hint", "target"), text),
            "choices": pa.map_(text, text),
            **dict.fromkeys(("reply", "reasoning", "finish_reason", "error", "answer", "status"), text),
            "score": real,
            **dict.fromkeys(("l1", "l2", "l3"), text),
            "images": pa.list_(text),
            **dict.fromkeys(("n_prompt_tokens", "n_completion_tokens"), number),
            "latency_s": real,
        },
        metadata={METADATA: json.dumps(run_metadata(replies)).encode()},
    )
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream)
    return stream.getvalue()


def run_metadata(replies: TaskReplies) -> dict[str, Any]:
    """Returns what the file says about the run: its specification, and how the task was loaded and scored."""
    run, result = replies.run, replies.result
    return {
        "schema": TABLE_SCHEMA,
        "version": ssl4rl_bench.__version__,
        "task": replies.task.name,
        "model": run.spec.model,
        "mark": run.spec.qualifier,
        "partial_reasons": list(replies.partial_reasons),
        **{key: result[key] for key in ("extractor", "reader", "n_samples", "n_missing") if key in result},
        "spec_sha256": run.spec.sha256,
        "spec": run.spec.to_json(),
        "loading": replies.loading,
        "replies_sha256": replies.digest,
    }


def _row(replies: TaskReplies, reply: ScoredReply) -> dict[str, Any]:
    sample, record, score = reply
    question, hint = replies.task.question(sample)
    return {
        "id": sample.id,
        "group": sample.group,
        "roll": sample.roll,
        "question": question,
        "hint": hint,
        "target": sample.target,
        "choices": list(sample.choices.items()),
        **_recorded(record),
        "answer": score.answer,
        "status": score.status.value,
        "score": score.value,
        "l1": sample.categories.l1,
        "l2": sample.categories.l2,
        "l3": sample.categories.l3,
        "images": [image.sha256 for image in sample.images],
    }


def _recorded(record: SampleRecord) -> dict[str, Any]:
    names = ("repeat", "reasoning", "finish_reason", "error")
    counts = ("n_prompt_tokens", "n_completion_tokens", "latency_s")
    return {"reply": record.text, **{name: getattr(record, name) for name in (*names, *counts)}}
