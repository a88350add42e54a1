"""The prediction file that VLMEvalKit's inference writes, from the replies of a run.

VLMEvalKit (e8e78f0, `vlmeval/inference.py`, `infer_data_job`) writes the data set's columns without `image`, and
`prediction`. It evaluates such a file with `run.py --mode eval` or `dataset.evaluate(file)`, which read the columns
`index`, `question`, the options, and those that a benchmark's table is grouped by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Categories, Sample
from ssl4rl_bench.interop import vlmevalkit
from ssl4rl_bench.interop.exports.replies import TaskReplies
from ssl4rl_bench.interop.exports.sheets import Cell
from ssl4rl_bench.task.answers.yes_no import parse_yes_no
from ssl4rl_bench.task.mmbench.rows import MMBenchRow
from ssl4rl_bench.task.mmbench.task import MMBenchTask
from ssl4rl_bench.task.questions.rows import QuestionRow
from ssl4rl_bench.task.questions.schema import CHOICE
from ssl4rl_bench.task.questions.task import QuestionsTask
from ssl4rl_bench.task.tables.cells import index_of

FAILED = "Failed to obtain answer via API."
"""VLMEvalKit's text for a failed request (`inference.py`, `FAIL_MSG`). It asks such rows again, and scores them 0."""
YES_NO = "yes_no"
_DATASETS = {"hr_bench_4k": "HRBench4K", "hr_bench_8k": "HRBench8K"}
"""VLMEvalKit's names of data sets whose files have another name (`image_mcq.py`, `HRBenchDataset`)."""
_CONSTANTS = {"CV-Bench-2D": {"split": "2D"}, "CV-Bench-3D": {"split": "3D"}}
"""Columns with one value that VLMEvalKit's evaluation needs (`image_mcq.py`, `CVBench.evaluate`)."""
_ELSEWHERE = "choose other tasks with --tasks, or --to lm-eval, lmms-eval or parquet"

Columns = dict[str, Cell]


def dataset_name(replies: TaskReplies) -> str:
    """Returns VLMEvalKit's name of the task's data set, or the one under which it scores the exported data."""
    source = replies.declared.source
    if source is not None and source.file is not None and source.file.endswith(".tsv"):
        stem = source.file.removesuffix(".tsv")
        return _DATASETS.get(stem, stem)
    circular = any(sample.roll for sample in replies.task.samples)
    return vlmevalkit.file_name(short_name(replies.task.name), circular=circular).removesuffix(".tsv")


def prediction_table(replies: TaskReplies) -> tuple[list[str], list[list[Cell]]]:
    """Returns the columns of the prediction file and its rows, in the order of the task's samples.

    A failed request has VLMEvalKit's own text. Reasoning that a server returned separately is in the column
    `thinking`, which VLMEvalKit writes with SPLIT_THINK. `finish_reason` is this project's column; it is only there
    if some reply was cut off, since such a reply is read differently. A column that is empty in all rows is left
    out.

    Raises:
        UsageError: VLMEvalKit has no such file for the task.
    """
    made = _maker(replies)
    rows: list[Columns] = []
    for sample, record, _ in replies.replies:
        failed = record.finish_reason == "error"
        rows.append(
            {
                **made(sample),
                "prediction": FAILED if failed else record.text,
                "thinking": record.reasoning or None,
                "finish_reason": None if failed else record.finish_reason,
            }
        )
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if _is_used(name, rows)]
    return columns, [[row.get(name) for name in columns] for row in rows]


def result_path(folder: Path, replies: TaskReplies, suffix: str) -> Path:
    """Returns the path that VLMEvalKit's inference would write (`smp/file.py`, `get_pred_file_path`)."""
    return folder / f"{replies.label}_{dataset_name(replies)}{suffix}"


def notes(replies: TaskReplies) -> Iterator[str]:
    """Yields what VLMEvalKit scores in another way than this project, one sentence per kind."""
    records = [record for _, record, _ in replies.replies]
    kinds = [row.kind for row in replies.task.rows] if isinstance(replies.task, QuestionsTask) else []
    if n := sum(kind != CHOICE for kind in kinds if set(kinds) != {YES_NO}):
        yield f"{n} questions have no options: VLMEvalKit cannot score their answers without a judge model"
    if n := sum(record.finish_reason == "error" for record in records):
        yield (
            f"{n} failed requests have the text {FAILED!r}: VLMEvalKit asks them again, or scores them 0 where "
            "this project leaves their questions out"
        )
    if n := sum(record.completion.has_no_content for record in records):
        yield f"{n} replies are reasoning alone (column thinking): VLMEvalKit scores them 0, this project not at all"


def _is_used(name: str, rows: Sequence[Columns]) -> bool:
    if name == "finish_reason":
        return any(row.get(name) == "length" for row in rows)
    return name == "prediction" or any(row.get(name) not in (None, "") for row in rows)


class _Maker:
    """Makes the columns of a sample that come from the data."""

    def __init__(self, letters: Sequence[str]) -> None:
        self._letters = letters

    def __call__(self, sample: Sample) -> Columns:
        raise NotImplementedError

    def _common(self, sample: Sample, question: str, hint: str, answer: str) -> Columns:
        index = index_of(sample.id)
        return {
            "index": sample.id if index is None else index,
            "question": question,
            "hint": hint or None,
            **{letter: sample.choices.get(letter) for letter in self._letters},
            "answer": answer,
        }


class _MMBenchMaker(_Maker):
    def __init__(self, task: MMBenchTask, letters: Sequence[str]) -> None:
        super().__init__(letters)
        self._rows: Mapping[str, MMBenchRow] = {str(row.index): row for row in task.rows}

    def __call__(self, sample: Sample) -> Columns:
        row = self._rows[sample.id]
        return {
            **self._common(sample, row.question, row.hint, row.answer),
            "category": row.category,
            "l2-category": row.l2,
            "split": row.split,
        }


class _QuestionsMaker(_Maker):
    def __init__(self, task: QuestionsTask, letters: Sequence[str], constants: Mapping[str, str]) -> None:
        super().__init__(letters)
        self._rows: Mapping[str, QuestionRow] = {row.id: row for row in task.rows}
        self._levels = [(level, names[0]) for level, names in sorted(task.schema.levels.items())]
        self._cycle = task.schema.group.cycle
        self._constants = constants

    def __call__(self, sample: Sample) -> Columns:
        row = self._rows[sample.id]
        answer = str(parse_yes_no(row.target)).capitalize() if row.kind == YES_NO else row.target
        return {
            **self._common(sample, row.question, row.hint, answer),
            **{name: _category(row.categories, level) for level, name in self._levels},
            **({self._cycle: row.cycle} if self._cycle else {}),
            **self._constants,
        }


def _category(categories: Categories, level: str) -> str:
    value: str = getattr(categories, level)
    return value


def _maker(replies: TaskReplies) -> _Maker:
    task = replies.task
    letters = sorted({letter for sample in task.samples for letter in sample.choices})
    if isinstance(task, MMBenchTask):
        return _MMBenchMaker(task, letters)
    if not isinstance(task, QuestionsTask):
        kind = "a probe" if task.probe is not None else f"a task of the kind {replies.declared.kind}"
        raise UsageError(
            f"{short_name(task.name)} is {kind}, which is not written for VLMEvalKit: {_ELSEWHERE}"
        )
    if task.schema.options.source != "letters":
        raise UsageError(
            f"VLMEvalKit evaluates {short_name(task.name)} with columns of its file that a run does not have: "
            f"{_ELSEWHERE}"
        )
    return _QuestionsMaker(task, letters, _CONSTANTS.get(dataset_name(replies), {}))
