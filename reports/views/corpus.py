"""Differences in metrics that exist only for a whole corpus, such as CIDEr, as views for `compare` and the page."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ssl4rl_bench.comparison.corpus import MetricDifference, compare_metrics, shared_corpus
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.result.metrics import metric_interval, metric_value
from ssl4rl_bench.reports.text.cells import escape, markdown_table, short
from ssl4rl_bench.reports.text.numbers import NO_DATA
from ssl4rl_bench.reports.views.base import View

HEADERS = ("Metric", "Model", "n", "Baseline", "Value", "Difference", "95% interval")
NOTE = (
    "Percentile bootstrap of documents (1,000 resamples, seed 0), the same in both runs; CIDEr keeps the document "
    "frequencies of all documents. The intervals are not corrected for the number of metrics. These metrics have no "
    "score per question, so that a gate refuses them."
)


def corpus_differences(
    baseline: Evaluated,
    candidates: Sequence[Evaluated],
    tasks: Sequence[str] = (),
    allow: Collection[str] = (),
) -> list[tuple[list[MetricDifference], list[str]]]:
    """Compares the metrics of each task that all runs have, or of the given ones, with notes for readers.

    Raises:
        UsageError: the runs must not be compared.
    """
    names = shared_corpus([baseline, *candidates], tasks) if candidates else []
    return [compare_metrics(baseline, candidates, name, allow) for name in names]


def corpus_view(differences: Sequence[MetricDifference], notes: Sequence[str] = ()) -> View:
    """Returns the differences of the metrics of one task as a view without a figure."""
    one = differences[0]
    return View(
        name="corpus",
        title=f"{short(one.task)}: metrics of the corpus, against {clean(one.baseline)}",
        sentence=" ".join([NOTE, *notes]),
        headers=HEADERS,
        rows=tuple(tuple(_row(difference)) for difference in differences),
        texts=("Metric", "Model"),
    )


def view_markdown(view: View) -> str:
    """Formats such a view as titled Markdown that ends in a line break."""
    rows = ([escape(text) for text in row] for row in view.rows)
    table = markdown_table(view.headers, rows, "llrrrrr")
    return f"**{escape(view.title)}**\n\n{table}\n{escape(clean(view.sentence, 4000))}\n"


def _row(difference: MetricDifference) -> Iterator[str]:
    yield clean(difference.metric) + ("" if difference.higher_is_better else " (lower is better)")
    yield clean(difference.candidate)
    yield str(difference.n)
    yield metric_value(difference.baseline_value)
    yield metric_value(difference.candidate_value)
    yield NO_DATA if difference.value is None else f"{difference.value:+.4f}"
    yield difference.why or metric_interval(difference.ci95, signed=True)
