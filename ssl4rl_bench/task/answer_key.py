"""What is needed to score a reply without its task: the right answer, and how replies are read.

`datasets.validation` writes a key into each row of a validation file, and `train.validation` scores with it. A
key scores as the task's own `score`, since both call `questions.task.score_row`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import Categories, Completion, Sample, Score, ScoredSample, Task
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.mmbench.task import MMBenchTask
from ssl4rl_bench.task.questions.schema import CHOICE
from ssl4rl_bench.task.questions.task import QuestionsTask, score_row


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The key of one sample of a benchmark."""

    task: str
    """The task's name with the prefix."""
    id: str
    group: str
    roll: int
    l1: str
    l2: str
    l3: str
    kind: str
    """The kind of answer (`questions.schema.KINDS`)."""
    target: str
    choices: Mapping[str, str]
    """Maps each letter to the text of the option, in order; empty for an open answer."""
    unit: str = ""
    decimals: int | None = None
    tolerance: float | None = None
    extractor: str = "default"

    def score(self, completion: Completion) -> Score:
        """Scores a reply as the task does. Pure."""
        return score_row(self, self.tolerance, completion, self.extractor)

    def scored(self, score: Score) -> ScoredSample:
        """Returns a score with the sample's group and categories, for `score.scores.arrange`."""
        place = Categories(self.l1, self.l2, self.l3)
        return ScoredSample(self.id, self.group, self.roll, 0, place, score)

    def to_json(self) -> str:
        """Returns the key as a JSON text, which keeps the order of the choices in every table format."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> AnswerKey:
        """Reads `to_json`.

        Raises:
            DataError: the text is no key.
        """
        try:
            value: dict[str, Any] = parse_json(text.encode())
            return fill(cls, value, "answer_key")
        except (ValueError, TypeError, KeyError, AttributeError, UsageError) as error:
            raise DataError(
                f"a row's answer_key cannot be read ({error}): build the validation file again"
            ) from None


def answer_keys(task: Task, extractor: str = "default") -> list[AnswerKey]:
    """Returns the key of each sample of a benchmark, in order.

    Raises:
        UsageError: an unknown extractor, or a task whose scorer needs more than a key.
    """
    extractor = check_extractor(extractor)
    if isinstance(task, QuestionsTask):
        rows = {row.id: row for row in task.rows}
        return [
            _key(
                task,
                sample,
                extractor,
                kind=rows[sample.id].kind,
                unit=rows[sample.id].unit,
                decimals=rows[sample.id].decimals,
                tolerance=task.schema.tolerance,
            )
            for sample in task.samples
        ]
    if isinstance(task, MMBenchTask):
        return [_key(task, sample, extractor, kind=CHOICE) for sample in task.samples]
    raise UsageError(
        f"{task.name} cannot be a validation file, since its scorer is not of the kind mmbench or questions: "
        "name a benchmark such as scenes or mmbench_dev_en"
    )


def _key(task: Task, sample: Sample, extractor: str, **values: Any) -> AnswerKey:
    place = sample.categories
    return AnswerKey(
        task=task.name,
        id=sample.id,
        group=sample.group,
        roll=sample.roll,
        l1=place.l1,
        l2=place.l2,
        l3=place.l3,
        target=sample.target,
        choices=dict(sample.choices),
        extractor=extractor,
        **values,
    )
