"""The Python API of comparisons (`ssl4rl_bench.compare`): from runs or their folders to a data frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssl4rl_bench.comparison.across import correct_across, parse_averages
from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.load import choose_baseline, load_evaluated, shared_tasks
from ssl4rl_bench.comparison.margins import margin_differences
from ssl4rl_bench.comparison.result import Comparison
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.score.headline import headline_of
from ssl4rl_bench.score.runs import Data, Run, data_values

if TYPE_CHECKING:
    import pandas as pd

AnyRun = Run | str | Path
"""A run, its folder, or its name below runs/."""


def path_of(run: AnyRun) -> Path:
    """Returns the folder of a run, as it was given."""
    return run.path if isinstance(run, Run) else Path(run)


@dataclass(frozen=True, repr=False)
class Comparisons:
    """The comparisons of each candidate with the baseline, task by task."""

    baseline: str
    """The baseline's label."""
    comparisons: tuple[Comparison, ...]

    def table(self) -> pd.DataFrame:
        """Returns the differences as a data frame, one row per task, candidate and category.

        Columns: `task`, `aggregation`, `candidate`, `baseline` (labels), `level`, `category`, `n` (the number
        of questions that both answered), `candidate_value` and `baseline_value` over these, `difference`,
        `low` and `high` (95% interval), `p`, `p_corrected` (in its family), `correction`, `mark` ("better",
        "worse" or ""), `mde` (smallest difference detected with 80% power), `gained`, `lost` (questions).
        Values are fractions.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "task": short_name(comparison.task),
                "aggregation": comparison.aggregation,
                "candidate": comparison.candidate,
                "baseline": comparison.baseline,
                "level": cell.level,
                "category": cell.name,
                "n": cell.n,
                "candidate_value": cell.candidate,
                "baseline_value": cell.baseline,
                "difference": cell.value,
                "low": cell.ci95[0] if cell.ci95 else None,
                "high": cell.ci95[1] if cell.ci95 else None,
                "p": cell.p,
                "p_corrected": cell.p_corrected,
                "correction": comparison.correction,
                "mark": cell.mark,
                "mde": cell.mde,
                "gained": cell.gained,
                "lost": cell.lost,
            }
            for comparison in self.comparisons
            for cell in comparison.cells
        )

    def across(self, averages: Sequence[str] = (), correction: str = "holm") -> pd.DataFrame:
        """Returns the overall differences of all benchmarks, corrected as one family, as a data frame.

        Columns: `column` (the benchmark, or the name of the average), `candidate`, `baseline` (labels), `n`,
        `candidate_value`, `baseline_value`, `difference`, `se`, `low`, `high` (95% interval), `p`, `p_corrected`,
        `family` (the number of rows), `mark`, `mde`. Values are fractions.

        Args:
            averages: averages over benchmarks, such as "mmstar,mmvp" or "Mean=mmstar,mmvp".
            correction: "holm", "max-t", "bh" or "none".

        Raises:
            UsageError: an average of unknown benchmarks, or an unknown correction.
        """
        import pandas as pd

        benchmarks = [one for one in self.comparisons if not one.pairing.baseline.probe]
        parsed = parse_averages(averages, list(dict.fromkeys(one.task for one in benchmarks)))
        return pd.DataFrame(
            {
                "column": short_name(key.column),
                "candidate": key.candidate,
                "baseline": self.baseline,
                "n": cell.n,
                "candidate_value": cell.candidate,
                "baseline_value": cell.baseline,
                "difference": cell.value,
                "se": cell.se,
                "low": cell.ci95[0] if cell.ci95 else None,
                "high": cell.ci95[1] if cell.ci95 else None,
                "p": cell.p,
                "p_corrected": cell.p_corrected,
                "family": cell.family,
                "mark": cell.mark,
                "mde": cell.mde,
            }
            for key, cell in correct_across(benchmarks, parsed, correction).items()
        )

    def margins(self) -> pd.DataFrame:
        """Returns the differences of the forced-choice margins as a data frame, one row per probe and candidate.

        Columns: `task`, `candidate`, `baseline` (labels), `n` samples, `difference`, `low` and `high` (95% interval)
        in nats, `p`, `p_corrected` (over the candidates of a probe). A probe without a margin in both runs, or with
        margins in different forms, has no row.
        """
        import pandas as pd

        probes = [one for one in self.comparisons if one.pairing.baseline.probe]
        by_task = {one.task: [other for other in probes if other.task == one.task] for one in probes}
        return pd.DataFrame(
            {
                "task": short_name(task),
                "candidate": comparison.candidate,
                "baseline": comparison.baseline,
                "n": difference.n,
                "difference": difference.value,
                "low": difference.ci95[0] if difference.ci95 else None,
                "high": difference.ci95[1] if difference.ci95 else None,
                "p": difference.p,
                "p_corrected": difference.p_corrected,
            }
            for task, comparisons in by_task.items()
            for comparison, difference in zip(comparisons, margin_differences(comparisons), strict=True)
            if difference is not None
        )

    @property
    def notes(self) -> list[str]:
        """Notes for readers, without duplicates: coverage, allowed differences, what is left out."""
        return list(dict.fromkeys(note for comparison in self.comparisons for note in comparison.notes))

    def __getitem__(self, index: int) -> Comparison:
        return self.comparisons[index]

    def __len__(self) -> int:
        return len(self.comparisons)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self.comparisons)

    def __repr__(self) -> str:
        lines = [
            f"  {one.candidate} on {short_name(one.task)}: {100 * one.overall.value:+.2f} points, "
            f"n {one.overall.n}, p {one.overall.p_corrected:.4f}"
            for one in self.comparisons
        ]
        return "\n".join([f"<Comparisons with {self.baseline}", *lines, ">"])


def compare(
    runs: Sequence[AnyRun],
    baseline: str | None = None,
    *,
    tasks: Sequence[str] = (),
    by: str = "l2",
    aggregation: str | None = None,
    correction: str | None = None,
    allow: Collection[str] = (),
    data: Data = None,
) -> Comparisons:
    """Compares runs with one of them, as the command `compare` does, on the questions that both answered.

    Args:
        runs: complete runs, their folders, or their names below runs/.
        baseline: a label, a model's name or a folder; by default the first run.
        tasks: by default, the tasks that all runs have.
        by: the level of the categories of benchmarks: "overall", "l1", "l2" or "l3"; probes are compared
            overall.
        aggregation: the aggregation of benchmarks, by default the one that the benchmark publishes; probes are
            compared by `row_micro`.
        correction: "holm", "max-t", "bh" or "none"; by default Holm, and Benjamini-Hochberg for "l3".
        allow: names of settings in which runs may differ; `notes` then reports the differences.
        data: the location of the data, if it has moved and replies have to be read again.

    Raises:
        UsageError: fewer than two runs, unknown names, or runs that must not be compared; says why.
        StoreError, DataError: as `comparison.load.load_evaluated`.

    Example:
        >>> compared = compare(["runs/base", "runs/rotation"])
        >>> compared.table()[["category", "difference", "low", "high", "p_corrected"]].shape
        (7, 5)
    """
    evaluated = load_evaluated([path_of(run) for run in runs], data_values(data))
    if len(evaluated) < 2:
        raise UsageError("one run cannot be compared: name a second one")
    base, candidates = choose_baseline(evaluated, baseline)
    benchmarks, probes = shared_tasks(evaluated, tasks)
    comparisons: list[Comparison] = []
    for task in [*benchmarks, *probes]:
        published = headline_of((run.result for run in evaluated), task)
        level, how = ("overall", "row_micro") if task in probes else (by, aggregation or published)
        comparisons += compare_task(
            base, candidates, task, by=level, aggregation=how, correction=correction, allow=allow
        )
    return Comparisons(base.label, tuple(comparisons))
