"""Sorts the runs of a view by their part in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ssl4rl_bench.comparison.pairing import Evaluated, labelled
from ssl4rl_bench.comparison.settings import check_allowed
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.short_names import with_short_labels
from ssl4rl_bench.reports.views.training import parse_trained, trained_on
from ssl4rl_bench.score.aggregate import check_aggregation
from ssl4rl_bench.score.headline import headline_of


@dataclass(frozen=True, slots=True, eq=False)
class ViewRuns:
    """The runs that views are made from, and how they are compared."""

    baseline: Evaluated
    candidates: tuple[Evaluated, ...]
    """Runs other than the baseline that answered the benchmark with its images."""
    benchmark: str
    """The name of the benchmark; empty if the baseline answered none."""
    more: tuple[Evaluated, ...]
    """Other runs of the baseline's weights without the benchmark; they hold its probes."""
    blind: tuple[Evaluated, ...]
    """Runs made with `run --image blank|shuffled|none`."""
    trained: Mapping[str, tuple[str, ...] | None]
    """Training tasks by candidate label; None if they are not known."""
    aggregation: str = "circular_micro"
    allow: frozenset[str] = frozenset()
    others: tuple[Evaluated, ...] = ()
    """Runs that no view uses, because they did not answer the benchmark."""

    @property
    def on_page(self) -> tuple[Evaluated, ...]:
        """The runs that tables list after the baseline."""
        return (*self.candidates, *self.others)

    def need_benchmark(self, view: str) -> str:
        """Returns the benchmark, or raises UsageError if there is none."""
        if not self.benchmark:
            name = clean(self.baseline.label)
            raise UsageError(
                f"--view {view} needs a benchmark, and {name} has none: "
                f"`ssl4rl-bench run --model {name} --tasks scenes` creates one"
            )
        return self.benchmark

    def need_candidates(self, view: str) -> tuple[Evaluated, ...]:
        """Returns the candidates, or raises UsageError if there are none or there is no benchmark."""
        task = self.need_benchmark(view)
        if not self.candidates:
            raise UsageError(
                f"--view {view} needs a second checkpoint in addition to {clean(self.baseline.label)}: "
                f"`ssl4rl-bench run --model CHECKPOINT --tasks {short(task)}` creates its run"
            )
        return self.candidates


def with_short_names(runs: ViewRuns) -> ViewRuns:
    """Returns the runs with the short names that a page gives them (`short_names`)."""
    full = [runs.baseline, *runs.on_page]
    short_runs = with_short_labels(full)
    names = {one.label: other.label for one, other in zip(full, short_runs, strict=True)}
    by_label = {run.label: run for run in short_runs}

    def named(label: str) -> str:
        stem, comma, rest = label.partition(", image ")
        return names.get(stem, stem) + comma + rest

    return replace(
        runs,
        baseline=short_runs[0],
        candidates=tuple(by_label[names[run.label]] for run in runs.candidates),
        others=tuple(by_label[names[run.label]] for run in runs.others),
        more=tuple(replace(run, label=named(run.label)) for run in runs.more),
        blind=tuple(replace(run, label=named(run.label)) for run in runs.blind),
        trained={named(label): tasks for label, tasks in runs.trained.items()},
    )


def by_sight(runs: Sequence[Evaluated]) -> tuple[list[Evaluated], list[Evaluated]]:
    """Splits runs into those that showed their images and those that did not.

    Each part gets new labels, which must differ only within the part.
    """
    by_image: dict[str, list[Evaluated]] = {}
    for run in runs:
        by_image.setdefault(image_of(run), []).append(run)
    if set(by_image) == {"real"}:
        return list(runs), []
    real = _labelled(by_image.pop("real", []))
    return real, [
        replace(run, label=f"{run.label}, image {image}")
        for image, image_runs in by_image.items()
        for run in _labelled(image_runs)
    ]


def gather_runs(
    baseline: Evaluated,
    others: Sequence[Evaluated],
    blind: Sequence[Evaluated] = (),
    *,
    task: str | None = None,
    aggregation: str | None = None,
    trained: Sequence[str] = (),
    allow: Collection[str] = (),
) -> ViewRuns:
    """Sorts runs by their part in a view.

    Args:
        others: runs with images, without the baseline.
        blind: runs without images, as `by_sight` returns them.
        task: the benchmark; by default the baseline's first.
        aggregation: the aggregation; by default the one that the benchmark publishes.
        trained: the values of `--trained`.

    Raises:
        UsageError: unknown names.
    """
    if task is not None and baseline.task(task).probe:
        raise UsageError(
            f"{short(task)} is an SSL task: a view's benchmark is one with abilities, such as scenes"
        )
    benchmark = task or next((name for name, outcomes in baseline.outcomes.items() if not outcomes.probe), "")
    aggregation = check_aggregation(aggregation or headline_of([baseline.result], benchmark))
    same = baseline.spec.fingerprint
    more = tuple(run for run in others if benchmark not in run.outcomes and run.spec.fingerprint == same)
    if more:  # these are not in tables with the rest, so labels need not tell them apart
        baseline, *others = _labelled([baseline, *(run for run in others if run not in more)])
    candidates = tuple(run for run in others if benchmark in run.outcomes)
    declared = parse_trained(trained, [baseline, *others])
    return ViewRuns(
        baseline=baseline,
        candidates=candidates,
        benchmark=benchmark,
        more=more,
        blind=tuple(blind),
        trained={run.label: declared.get(run.label) or trained_on(run) for run in candidates},
        aggregation=aggregation,
        allow=check_allowed(allow),
        others=tuple(run for run in others if run not in candidates),
    )


def image_of(run: Evaluated) -> str:
    """Returns "real", or what a run showed instead of its images."""
    return next((outcomes.image for outcomes in run.outcomes.values()), "real")


def _labelled(runs: Sequence[Evaluated]) -> list[Evaluated]:
    names = labelled([run.spec for run in runs], [run.path for run in runs])
    return [replace(run, label=name) for run, name in zip(runs, names, strict=True)]
