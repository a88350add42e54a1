"""Reads tables of predictions: VLMEvalKit's prediction files, and tables with ids and texts of any origin.

VLMEvalKit writes the columns of its data set without the images and adds `prediction` (`infer_data_job` in
vlmeval/inference.py), and `thinking` if it splits reasoning off. The file is xlsx, tsv or json (`dump` in
vlmeval/smp/file.py). One that it has scored also has `hit` (`mcq_vanilla_eval` in
vlmeval/dataset/utils/multiple_choice.py) or `score` (vlmeval/dataset/image_yorn.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.interop.predictions.rows import (
    BadRow,
    Faults,
    Prediction,
    finish_cell,
    id_cell,
    refuse,
    text_cell,
    verdict_cell,
)
from ssl4rl_bench.interop.predictions.tables import IDS, TEXTS, read_rows
from ssl4rl_bench.interop.predictions.xlsx import may_be_cut
from ssl4rl_bench.task.tables.cells import index_of
from ssl4rl_bench.task.taskfile import task_names

FAILED = "Failed to obtain answer"
"""How VLMEvalKit begins the prediction of a request that failed (`INFER_FAIL_MSG` in vlmeval/smp/file.py)."""


_THEIRS = ("index", "prediction")
"""VLMEvalKit's columns of the id and of the reply."""


def is_vlmevalkit(path: Path, columns: Mapping[str, Any]) -> bool:
    """Whether a row has the columns, and its file the type, of VLMEvalKit's prediction files."""
    return path.suffix.lower() in (".xlsx", ".tsv", ".json") and {*_THEIRS, "question"} <= columns.keys()


def read_table(path: Path, *, vlmevalkit: bool, task: str | None = None) -> list[Prediction]:
    """Reads a table of predictions.

    Args:
        vlmevalkit: whether VLMEvalKit wrote the file. Its text for a failed request counts as a failure there, and
            in any table with its names of columns.
        task: the name of a task. Rows whose column `task` names another one are left out.

    Raises:
        DataError: the file lacks a column or has no rows, or a row is faulty.
    """
    faults = Faults(path)
    columns: tuple[str, str] | None = None
    predictions: list[Prediction] = []
    of_tasks: list[str] = []
    is_xlsx = path.suffix.lower() == ".xlsx"
    for where, row in read_rows(path):
        if isinstance(row, str):
            faults.add(where, row)
            continue
        columns = columns or _columns(path, row)
        try:
            theirs = vlmevalkit or columns == _THEIRS
            predictions.append(_prediction(where, row, columns, theirs, is_xlsx))
            of_tasks.append("" if vlmevalkit else text_cell(row.get("task"), "task").strip())
        except BadRow as bad:
            faults.add(where, str(bad))
    faults.check()
    if not predictions:
        refuse(path, "has no rows")
    return predictions if task is None else _of_task(path, predictions, of_tasks, task)


def _of_task(
    path: Path, predictions: Sequence[Prediction], of_tasks: Sequence[str], task: str
) -> list[Prediction]:
    """Returns the rows of a task. A column `task` counts only if it names tasks of this project."""
    asked, known = full_name(task), {full_name(task), *task_names()}
    named = {name for name in of_tasks if name and full_name(name) in known}
    if not named:
        return [*predictions]
    if all(full_name(name) != asked for name in named):
        names = ", ".join(clean(name, 40) for name in sorted(named)[:5])
        refuse(path, f"has rows of {names}, and none of {clean(task, 40)}: name the task of the file")
    return [
        row for row, name in zip(predictions, of_tasks, strict=True) if not name or full_name(name) == asked
    ]


def _columns(path: Path, row: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the columns of the id and of the text."""
    id_column = next((name for name in IDS if name in row), None)
    text_column = next((name for name in TEXTS if name in row), None)
    if id_column is None or text_column is None:
        wanted = f"an id ({', '.join(IDS)})" if id_column is None else f"a reply ({', '.join(TEXTS)})"
        refuse(path, f"has no column with {wanted.replace('-', '_')}: rename the column that has it")
    return id_column, text_column


def _prediction(
    where: str, row: Mapping[str, Any], columns: tuple[str, str], vlmevalkit: bool, cells_are_cut: bool
) -> Prediction:
    """Reads a row; with `cells_are_cut`, a reply that fills its cell counts as truncated."""
    id_column, text_column = columns
    if missing := [name for name in columns if name not in row]:
        raise BadRow(f"it has no {missing[0]}")
    id = id_cell(row[id_column], id_column)
    text = text_cell(row[text_column], text_column)
    error = text_cell(row.get("error"), "error") or None
    if error is None and vlmevalkit and text.startswith(FAILED):
        error = text
    finish_reason = finish_cell(row.get("finish-reason"))
    if finish_reason == "error" and error is None:
        error = "recorded as an error"
    if finish_reason is None and error is None and cells_are_cut and may_be_cut(text):
        finish_reason = "length"
    return Prediction(
        where=where,
        id=id,
        number=index_of(id) if id_column == "doc-id" else None,
        text="" if error is not None else text,
        repeat=_repeat(row.get("repeat")),
        error=error,
        finish_reason=finish_reason,
        reasoning=_optional(row, "reasoning") or _optional(row, "thinking") or "",
        question=_optional(row, "question"),
        options=dict(_options(row)),
        target=_optional(row, "target") or _optional(row, "answer"),
        verdict=next(
            (score for name in ("hit", "score") if (score := verdict_cell(row.get(name))) is not None), None
        ),
    )


def _repeat(value: Any) -> int:
    text = text_cell(value, "repeat")
    repeat = index_of(text) if text.strip() else 0
    if repeat is None or repeat > 1_000:
        raise BadRow(f"its repeat is {clean(text, 20)!r} instead of a number from 0 to 1000")
    return repeat


def _optional(row: Mapping[str, Any], name: str) -> str | None:
    return text_cell(row.get(name), name).strip() or None


def _options(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for letter in ascii_uppercase:
        if text := _optional(row, letter):
            yield letter, text
