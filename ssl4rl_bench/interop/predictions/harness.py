"""Reads the samples that lmms-eval and lm-evaluation-harness log, one JSON object per request.

Both write `doc_id`, `target`, `resps` and `filtered_resps`, and the metrics of the row (`save_results_samples` in
loggers/evaluation_tracker.py of both). They differ in this:

- lmms-eval to 0.3: `doc`, `arguments` and `input` (the prompt); responses nested as [[text]].
- lmms-eval 0.4 to 0.6: neither `doc` nor `arguments`; `resps` is left out if filters changed nothing.
- lmms-eval 0.7: the same with the nesting of single responses removed; `filtered_resps` then is a text.
- lm-evaluation-harness 0.4: `doc`, `arguments` as {"gen_args_0": {"arg_0": prompt}}, and one row per filter.

The reply is the response before filters (`resps`) where it is there, since this project reads it itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.interop.lmms.reply import completion
from ssl4rl_bench.interop.predictions.rows import (
    BadRow,
    Faults,
    Prediction,
    finish_cell,
    id_cell,
    limited,
    refuse,
    text_cell,
    verdict_cell,
)
from ssl4rl_bench.interop.predictions.tables import json_lines

_ID_KEYS = ("index", "id", "question_id")
"""Keys of a document, or of a metric's value, with the id of the question."""
_NOT_METRICS = frozenset(
    {
        *(
            "doc_id",
            "doc",
            "target",
            "arguments",
            "resps",
            "filtered_resps",
            "input",
            "input_media",
            "token_counts",
        ),
        *("doc_hash", "prompt_hash", "target_hash", "filter", "metrics", "schema_version", "finish_reason"),
    }
)
"""Keys of a row that hold no metric."""
_NO_DEPTH = 4
"""Nesting below which responses are not searched."""


def is_samples(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a logged sample."""
    return "doc_id" in row and ("resps" in row or "filtered_resps" in row)


def is_lm_eval(row: Mapping[str, Any]) -> bool:
    """Whether a logged sample is from lm-evaluation-harness rather than from lmms-eval."""
    return "input" not in row and ("filter" in row or isinstance(row.get("arguments"), dict))


def read_samples(path: Path) -> list[Prediction]:
    """Reads a JSONL file of logged samples.

    Raises:
        DataError: the file cannot be read or has no rows, or a row is faulty.
    """
    return _read(path, limited(path, json_lines(path)))


def samples_of(path: Path, rows: Iterable[Any]) -> list[Prediction]:
    """Reads the samples of a task in a results file.

    Raises:
        DataError: as `read_samples`.
    """
    return _read(path, ((f"sample {number}", row) for number, row in enumerate(rows, start=1)))


def _read(path: Path, rows: Iterable[tuple[str, Any]]) -> list[Prediction]:
    faults = Faults(path)
    predictions: list[Prediction] = []
    for where, row in rows:
        if isinstance(row, ValueError):
            faults.add(where, f"it is not JSON ({row})")
        elif not isinstance(row, dict):
            faults.add(where, "it is not an object")
        else:
            try:
                predictions.append(_prediction(where, row))
            except BadRow as bad:
                faults.add(where, str(bad))
    faults.check()
    if not predictions:
        refuse(path, "has no rows")
    return predictions


def _prediction(where: str, row: Mapping[str, Any]) -> Prediction:
    number = row.get("doc_id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise BadRow("its doc_id is not a whole number")
    doc = row.get("doc")
    documents = [doc] if isinstance(doc, dict) else []
    metrics = {name: value for name, value in row.items() if name not in _NOT_METRICS}
    documents += [value for value in metrics.values() if isinstance(value, dict)]
    ids = [item[key] for item in documents for key in _ID_KEYS if item.get(key) not in (None, "")]
    ids = [value for value in ids if isinstance(value, str | int | float)]
    questions = [
        item["question"]
        for item in documents[: isinstance(doc, dict)]
        if isinstance(item.get("question"), str)
    ]
    reply = completion(_reply(row))
    finish_reason = finish_cell(row.get("finish_reason"))
    return Prediction(
        where=where,
        id=id_cell(ids[0], "id") if ids else None,
        number=number,
        text=reply.text,
        error=reply.error,
        finish_reason=finish_reason if reply.finish_reason == "stop" else reply.finish_reason,
        reasoning=reply.reasoning,
        question=text_cell(questions[0], "question") if questions else None,
        prompt=_prompt(row),
        target=None if row.get("target") is None else str(row["target"])[:10_000].strip() or None,
        verdict=_verdict(metrics),
    )


def _reply(row: Mapping[str, Any]) -> str:
    """Returns the only response of a row, before filters if the row has it.

    Raises:
        BadRow: there are several responses, or none.
    """
    value = row["resps"] if "resps" in row else row.get("filtered_resps")
    for _ in range(_NO_DEPTH):
        if isinstance(value, str):
            return text_cell(value, "response")
        if not isinstance(value, list) or len(value) != 1:
            break
        (value,) = value
    if isinstance(value, str):
        return text_cell(value, "response")
    count = len(value) if isinstance(value, list) else 0
    raise BadRow(
        f"it has {count} responses instead of one (log-likelihoods of options and repeats are not imported)"
    )


def _prompt(row: Mapping[str, Any]) -> str | None:
    """Returns the prompt's text: `input` of lmms-eval, the first argument in lm-evaluation-harness."""
    if isinstance(row.get("input"), str):
        return text_cell(row["input"], "input") or None
    arguments = row.get("arguments")
    first = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    prompt = first.get("arg_0") if isinstance(first, dict) else None
    return text_cell(prompt, "prompt") or None if isinstance(prompt, str) else None


def _verdict(metrics: Mapping[str, Any]) -> float | None:
    """Returns the score of a row; None if its metrics have none from 0 to 1, or differ."""
    values = set()
    for value in metrics.values():
        inner = value
        if isinstance(value, dict):
            inner = next((value[key] for key in ("score", "value", "correct", "hit") if key in value), None)
        if not isinstance(inner, str) and (score := verdict_cell(inner)) is not None:
            values.add(score)
    return values.pop() if len(values) == 1 else None


def task_of_file(path: Path) -> str:
    """Returns the part of a samples file's name that holds the task, for messages."""
    return clean(path.stem.partition("samples_")[2] or path.stem, 60)
