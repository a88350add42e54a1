"""The content of the page, and how it is assembled from runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ssl4rl_bench import __version__
from ssl4rl_bench.comparison.across import parse_averages
from ssl4rl_bench.comparison.corpus import shared_corpus
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.published import PublishedTable, check_benchmarks
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.reports.board.board import Board
from ssl4rl_bench.reports.board.overview import (
    Overview,
    answered_benchmarks,
    build_boards,
    build_overview,
)
from ssl4rl_bench.reports.board.probes import ProbeRow, probe_rows, probe_tasks
from ssl4rl_bench.reports.html.provenance import RunFacts, run_facts
from ssl4rl_bench.reports.html.samples import Samples, collect, thumbnails_of
from ssl4rl_bench.reports.text.short_names import with_short_labels
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.corpus import corpus_differences, corpus_view
from ssl4rl_bench.reports.views.training import trained_on
from ssl4rl_bench.score.aggregate import AGGREGATIONS
from ssl4rl_bench.score.headline import distinct_aggregations, group_kind, headline_of

TITLE = "Which checkpoint is better, and by how much"


@dataclass(frozen=True, slots=True)
class ReportContent:
    """The page's content."""

    title: str
    boards: tuple[tuple[Board, ...], ...]
    """One board per aggregation, for each benchmark; the first one is visible when the page opens."""
    probes: tuple[ProbeRow, ...]
    lead: tuple[View, ...]
    """The main subject of the page, shown before everything else."""
    views: tuple[View, ...]
    runs: tuple[RunFacts, ...]
    """The facts of each run, the baseline first."""
    samples: Samples | None = field(repr=False)
    """None for a page without replies."""
    overview: Overview | None = None
    """The table of all benchmarks; None if there are fewer than two."""
    trained: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    """The training tasks of runs by label, as `ViewRuns.trained`."""
    other_probes: tuple[ProbeRow, ...] = ()
    """Rows of probes that only some runs answered; they count as own probes, and have no table."""
    full_names: Mapping[str, str] = field(default_factory=dict)
    """The full label of each run by the short label that the page shows."""
    version: str = __version__
    """The version of the program that made the page."""


def assemble(
    baseline: Evaluated,
    candidates: Sequence[Evaluated],
    loaded: Sequence[Mapping[str, Task]] | None = None,
    *,
    tasks: Sequence[str] = (),
    aggregations: Sequence[str] = (),
    averages: Sequence[str] = (),
    published: Sequence[PublishedTable] = (),
    lead: Sequence[View] = (),
    views: Sequence[View] = (),
    trained: Mapping[str, Sequence[str] | None] | None = None,
    allow: Collection[str] = (),
    title: str = TITLE,
) -> ReportContent:
    """Assembles the report of runs.

    Args:
        loaded: for each run, the baseline first, its tasks as it asked them; None for a page without replies.
        tasks: the tasks to include; by default the probes that every run has, and the benchmarks that the baseline
            and another run have.
        aggregations: the aggregations to include; the first is visible when the page opens. By default those
            that differ for a benchmark, beginning with the one that it publishes.
        averages: averages for the overview of several benchmarks, as `across.parse_averages` reads them.
        trained: the training tasks of candidates by label; by default, what `training.trained_on` knows.

    Raises:
        UsageError: the runs must not be compared or share no task; a published table is of another benchmark.
        StoreError: a journal cannot be read.
    """
    full = [baseline, *candidates]
    runs = with_short_labels(full)
    baseline, candidates = runs[0], runs[1:]
    shared = _shared_tasks(full)
    only_corpus = shared_corpus(runs, tasks)
    wanted = [name for name in tasks if name not in only_corpus] if tasks else shared
    for name in wanted:
        for run in full:
            run.task(name)
    probes = [name for name in probe_tasks(runs) if name in wanted]
    benchmarks = [name for name in wanted if name not in probes]
    if not tasks and candidates:
        benchmarks = answered_benchmarks(baseline, candidates)
    check_benchmarks(published, benchmarks)
    shown = [name for name in (*benchmarks, *probes) if name in shared]  # only these have samples
    asked = parse_averages(averages, benchmarks)
    how: dict[str, Any] = {"published": published, "allow": allow}
    with ExitStack() as stack:
        thumbnails = None if loaded is None else stack.enter_context(thumbnails_of(loaded, shown))
        boards = tuple(
            tuple(
                build_boards(baseline, candidates, [name], aggregation=aggregation, **how)[0]
                for aggregation in aggregations or _published_first(runs, name)
            )
            for name in benchmarks
        )
        return ReportContent(
            title=title,
            boards=boards,
            overview=build_overview([same[0] for same in boards], asked),
            probes=tuple(probe_rows(baseline, candidates, probes, allow=allow)),
            lead=tuple(lead),
            views=(
                *views,
                *(corpus_view(*one) for one in corpus_differences(baseline, candidates, tasks, allow)),
            ),
            runs=tuple(run_facts(run) for run in runs),
            trained={
                run.label: trained_on(named) if trained is None else trained.get(named.label)
                for run, named in zip(runs[1:], full[1:], strict=True)
            },
            other_probes=() if tasks else tuple(_other_probes(baseline, candidates, probes, allow)),
            full_names={run.label: named.label for run, named in zip(runs, full, strict=True)},
            samples=None
            if loaded is None or thumbnails is None
            else collect(runs, loaded, shown, thumbnails, [run.label for run in full]),
        )


def _shared_tasks(runs: Sequence[Evaluated]) -> list[str]:
    """Returns the tasks with scores that all runs answered. Raises UsageError if they share no task at all."""
    shared = [name for name in runs[0].outcomes if all(name in run.outcomes for run in runs)]
    if not shared and not shared_corpus(runs):
        raise UsageError(
            "the runs have no task in common: "
            + "; ".join(f"{run.label} has {', '.join(run.outcomes)}" for run in runs)
        )
    return shared


def _other_probes(
    baseline: Evaluated, candidates: Sequence[Evaluated], shared: Collection[str], allow: Collection[str]
) -> Iterator[ProbeRow]:
    """Yields the rows of the probes that the baseline and only some of the candidates answered."""
    for name, outcomes in baseline.outcomes.items():
        answered = [run for run in candidates if name in run.outcomes]
        if outcomes.probe and name not in shared and answered:
            yield from probe_rows(baseline, answered, [name], allow=allow)


def _published_first(runs: Sequence[Evaluated], task: str) -> list[str]:
    """Returns the aggregations that differ for a benchmark, beginning with the one that it publishes."""
    published = headline_of((run.result for run in runs), task)
    return distinct_aggregations((published, *AGGREGATIONS), group_kind(runs[0].task(task)))
