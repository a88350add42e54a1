"""A task of lmms-eval as a task of this project: lmms-eval scores each reply and computes its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import Completion, Sample, Score, Status
from ssl4rl_bench.task.base import LoadedTask
from ssl4rl_bench.task.lmms.captions import caption_metrics
from ssl4rl_bench.task.lmms.configured import Configured
from ssl4rl_bench.task.lmms.layout import Layout

Reply = tuple[Sample, int, Completion]
"""A sample, the number of the repeat, and the reply."""
_NEAR = 1e-9


@dataclass(frozen=True, kw_only=True)
class LmmsTask(LoadedTask):
    """A loaded task of lmms-eval.

    The score of a reply is what `process_results` gives it under the first metric that scores every document
    with a number from 0 to 1. A task without such a metric has no scores, only `metrics` of the whole corpus.
    """

    configured: Configured = field(repr=False, compare=False)
    layout: Layout
    contents: Mapping[str, list[Any]] = field(repr=False)
    """The document and the digests of the images of each sample, before any blinding."""

    @property
    def headline(self) -> str:
        """The aggregation of this project that equals the task's first metric."""
        return "row_l3_macro" if self.layout.leaf else "row_micro"

    @property
    def corpus_only(self) -> bool:
        """Whether no reply has a score of its own."""
        return self.layout.metric is None

    def content(self, sample: Sample) -> list[Any]:
        """Returns the document without its images, and the digests of these."""
        return self.contents[sample.id]

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Returns the right answer, unless replies have no scores; lmms-eval names no wrong answer."""
        return () if self.corpus_only else (sample.target,), ()

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Returns lmms-eval's score of a reply, whatever the extractor: lmms-eval reads replies in its own way.

        The status is "none" for an empty reply, "truncated" for one that reached the token limit and scores 0,
        and "external" for all others, as lmms-eval does not say whether it found an answer.

        Raises:
            DataError: if lmms-eval's code fails on the reply, or gives a score outside of 0 to 1.
        """
        if completion.finish_reason == "error":
            return Score(None, None, Status.ERROR)
        if completion.has_no_content:
            return Score(None, None, Status.NO_CONTENT)
        if self.corpus_only:
            return Score(None, None, _status(completion, None))
        result = self.configured.score(int(sample.id), completion.text)
        value = self.layout.score(result)
        if value is None:
            raise DataError(
                f"{self.name}: process_results gives document {sample.id} no {self.layout.metric} from 0 to 1 for "
                "this reply, but did for the right answer; leave the task out, or report it to lmms-eval"
            )
        return Score(value, None, _status(completion, value))

    def metrics(self, replies: Sequence[Reply], aggregates: Mapping[str, Any]) -> dict[str, Any]:
        """Computes the metrics that lmms-eval prints for the task (`capabilities.HasMetrics`)."""
        if self.corpus_only:
            return caption_metrics(self.configured, replies)
        by_repeat = [list(items) for items in self._results(replies)]
        out = {}
        for name in self.configured.metrics:
            columns = [[result[name] for result in results if name in result] for results in by_repeat]
            if not all(columns) or not columns:
                continue
            values = [number(self.configured.aggregate(name, column)) for column in columns]
            known = [value for value in values if value is not None]
            value = math.fsum(known) / len(known) if known and len(known) == len(values) else None
            out[name] = {
                "value": value,
                "n": len(columns[0]),
                "higher_is_better": self.configured.higher_is_better(name),
                "of": "samples",
                **self._cell(name, value, aggregates),
            }
        return out

    def _results(self, replies: Sequence[Reply]) -> Iterator[list[dict[str, Any]]]:
        """Yields the results of each repeat in the order of the documents, of groups with all their replies."""
        complete = complete_replies(replies)
        for repeat in sorted({repeat for _, repeat, _ in complete}):
            of_repeat = [
                (int(sample.id), completion.text) for sample, other, completion in complete if other == repeat
            ]
            yield [self.configured.score(number, text) for number, text in sorted(of_repeat)]

    def _cell(self, metric: str, value: float | None, aggregates: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the interval of the cell in the aggregates that is the same mean as a metric."""
        where: tuple[str, str, str] | None = None
        if metric == self.layout.metric:
            where = self.headline, "overall", "overall"
        elif metric == self.layout.group_metric:
            where = "circular_micro", "overall", "overall"
        elif metric in self.layout.parts:
            where = self.headline, "l2", metric
        if where is None or value is None:
            return {"ci95": None}
        aggregation, level, name = where
        cells = aggregates[aggregation][level]
        cell = cells if level == "overall" else cells.get(name)
        if cell is None or cell["value"] is None or abs(cell["value"] - value) > _NEAR:
            return {"ci95": None}
        return {"ci95": cell["ci95"], "cell": list(where)}


def complete_replies(replies: Sequence[Reply]) -> list[Reply]:
    """Leaves out the groups of which a reply failed or has no content, as all aggregates do."""
    bad = {
        sample.group
        for sample, _, completion in replies
        if completion.finish_reason == "error" or completion.has_no_content
    }
    return [reply for reply in replies if reply[0].group not in bad]


def number(value: Any) -> float | None:
    """Returns a finite number as it is, and None for anything else."""
    try:
        converted = float(value)
    except (TypeError, ValueError):
        return None
    return converted if math.isfinite(converted) else None


def _status(completion: Completion, value: float | None) -> Status:
    if not completion.text.strip():
        return Status.NONE
    if completion.finish_reason == "length" and not value and value is not None:
        return Status.TRUNCATED
    return Status.EXTERNAL
