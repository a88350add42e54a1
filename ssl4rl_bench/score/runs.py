"""Runs in notebooks: tables and samples as pandas data frames (`ssl4rl_bench.open_run`, `load_runs`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.run import rundir
from ssl4rl_bench.run.rundir import RUNS, RunDir
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.score.aggregate import DEFAULT_AGGREGATION, LEVELS, OVERALL, check_aggregation
from ssl4rl_bench.score.consistency import finished
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.scoring import replies, score_and_write
from ssl4rl_bench.task.registry import per_task

if TYPE_CHECKING:
    import pandas as pd

Data = str | Path | Mapping[str, str | Path] | None
"""The location of data: a path or name for all tasks, or a mapping from task to path or name."""


def data_values(data: Data) -> list[str]:
    """Converts `data` to values of the command-line option `--data`."""
    if data is None:
        return []
    if isinstance(data, Mapping):
        return [f"{task}={place}" for task, place in data.items()]
    return [str(data)]


@dataclass(frozen=True, repr=False)
class Run:
    """A run: one model's replies to some tasks, and the figures computed from them."""

    path: Path
    spec: RunSpec

    @property
    def model(self) -> str:
        """The model's name that the run was started with.

        Runs without a model and shards have a mark: "gold (mock)", "tiny-base (shard 2/4)".
        """
        return f"{self.spec.model} ({self.spec.qualifier})" if self.spec.qualifier else self.spec.model

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks, without the prefix."""
        return [short_name(name) for name in self.spec.tasks]

    @property
    def complete(self) -> bool:
        """Whether all samples are answered and scored."""
        return RunDir(self.path, self.spec).result_path.exists()

    @property
    def result(self) -> dict[str, Any]:
        """The content of result.json (`score.scoring.score_run` describes it).

        Raises:
            StoreError: the run is not complete, or its files contradict each other.
        """
        return finished(RunDir(self.path, self.spec))

    def table(self, aggregation: str | None = None) -> pd.DataFrame:
        """Returns the run's figures, one row per task and category.

        Columns: `model`, `task`, `aggregation`, `level` ("overall", "l1", "l2", "l3"), `category`, `value`, `low` and
        `high` (95% interval), `se`, `n`, `n_groups`, `unread`. Values are fractions; `n` counts what the aggregation
        counts (`score.aggregate.UNITS`).

        Args:
            aggregation: the aggregation of benchmarks, by default the one that the benchmark publishes
                (`circular_micro` for most). Probes always use `row_micro`.

        Raises:
            StoreError: as `result`.
            UsageError: an unknown aggregation.
        """
        import pandas as pd

        how = None if aggregation is None else check_aggregation(aggregation)
        records = []
        for name, task in self.result["tasks"].items():
            of_task = "row_micro" if "probe" in task else how or task.get("headline", DEFAULT_AGGREGATION)
            by_level = task["aggregates"][of_task]
            for level in LEVELS:
                cells = {OVERALL: by_level[OVERALL]} if level == OVERALL else by_level[level]
                for category, cell in cells.items():
                    low, high = cell["ci95"] or (None, None)
                    records.append(
                        {
                            "model": self.model,
                            "task": short_name(name),
                            "aggregation": of_task,
                            "level": level,
                            "category": category,
                            "value": cell["value"],
                            "low": low,
                            "high": high,
                            "se": cell["se"],
                            "n": cell["n"],
                            "n_groups": cell["n_groups"],
                            "unread": cell["unread"],
                        }
                    )
        return pd.DataFrame(records)

    def margins(self) -> pd.DataFrame:
        """Returns the forced-choice margins of the run's probes, one row per probe.

        Columns: `model`, `task`, `margin`, `low` and `high` (95% interval) in nats, `p` (one-sided), `n` samples,
        `form` (the form in which answers were scored) and `reason` (why there is no margin). NaN or None where
        there is no value.

        Raises:
            StoreError: as `result`.
        """
        import pandas as pd

        records = []
        for name, task in self.result["tasks"].items():
            if "probe" in task:
                margin = task["probe"].get("margin", {"value": None, "n": 0})
                low, high = margin.get("ci95") or (None, None)
                records.append(
                    {
                        "model": self.model,
                        "task": short_name(name),
                        "margin": margin["value"],
                        "low": low,
                        "high": high,
                        "p": margin.get("p"),
                        "n": margin["n"],
                        "form": margin.get("form"),
                        "reason": margin.get("reason"),
                    }
                )
        return pd.DataFrame(records)

    def samples(
        self, task: str | None = None, *, data: Data = None, extractor: str | None = None
    ) -> pd.DataFrame:
        """Returns all replies with their scores, one row per sample and repeat.

        Columns: `model`, `task`, `id`, `group`, `roll`, `repeat`, `l1`, `l2`, `l3`, `target`, `reply`,
        `finish_reason`, `answer` (None if none was found), `status`, `score` (NaN if there is no value),
        `n_prompt_tokens`, `n_completion_tokens`, `latency_s`, `error`.

        Args:
            task: return only this task.
            data: the new location of the data, if it has moved.
            extractor: the extractor; by default that of the run's result, or `default` if there is no result
                yet.

        Raises:
            UsageError, DataError: the tasks cannot be loaded again, or differ from those that the run asked.
            StoreError: the journal cannot be read.
        """
        run = RunDir(self.path, self.spec)
        names = [full_name(task)] if task is not None else list(self.spec.tasks)
        known = (run.result or {}).get("tasks", {})
        records = []
        for loaded in reload_tasks(run, per_task(data_values(data), list(self.spec.tasks)), names):
            how = extractor or known.get(loaded.name, {}).get("extractor", "default")
            for sample, record, score in replies(run, loaded, how):
                records.append(
                    {
                        "model": self.model,
                        "task": short_name(loaded.name),
                        "id": sample.id,
                        "group": sample.group,
                        "roll": sample.roll,
                        "repeat": record.repeat,
                        **asdict(sample.categories),
                        "target": sample.target,
                        "reply": record.text,
                        "finish_reason": record.finish_reason,
                        "answer": score.answer,
                        "status": score.status.value,
                        "score": score.value,
                        "n_prompt_tokens": record.n_prompt_tokens,
                        "n_completion_tokens": record.n_completion_tokens,
                        "latency_s": record.latency_s,
                        "error": record.error,
                    }
                )
        return _frame(records)

    def rescore(self, extractor: str = "default", *, data: Data = None) -> Run:
        """Scores the replies again with another extractor and rewrites result.json, without a model.

        Raises:
            UsageError, DataError, StoreError: as `samples`.
        """
        run = RunDir(self.path, self.spec)
        tasks = reload_tasks(run, per_task(data_values(data), list(self.spec.tasks)))
        with RunDir.create(self.path, self.spec) as writable:
            score_and_write(writable, tasks, extractor)
        return self

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        return f"<Run {self.path}: {self.model} on {', '.join(self.tasks)}{state}>"


def _frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Makes a table of records with the same keys.

    The texts of pandas 3 are UTF-8, which cannot hold lone surrogates. A column with one has the type `object`.
    """
    import pandas as pd

    columns: dict[str, pd.Series[Any]] = {}
    for name in records[0] if records else ():
        values = [record[name] for record in records]
        try:
            columns[name] = pd.Series(values)
        except UnicodeEncodeError:
            columns[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(columns)


class Runs(Sequence[Run]):
    """A sequence of runs."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = tuple(runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def table(self, aggregation: str | None = None) -> pd.DataFrame:
        """Returns the concatenated tables of all complete runs (`Run.table`).

        The first column, `run`, is the name of the run's folder.

        Raises:
            StoreError: the files of a run contradict each other.
            UsageError: an unknown aggregation.
        """
        import pandas as pd

        tables = []
        for run in self._runs:
            if run.complete:
                table = run.table(aggregation)
                table.insert(0, "run", run.path.name)
                tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def __repr__(self) -> str:
        return "\n".join(["<Runs", *(f"  {run!r}" for run in self._runs), ">"])


def open_run(path: str | Path) -> Run:
    """Opens a run by its directory, or by its name below runs/.

    Raises:
        StoreError: there is no such run, or its spec cannot be read.

    Example:
        >>> run = open_run("runs/base")
        >>> run.table().query("level == 'overall'").n.item()
        600
    """
    opened = rundir.open_run(Path(path))
    return Run(opened.path, opened.spec)


def load_runs(root: str | Path = RUNS) -> Runs:
    """Opens all runs directly below a folder, sorted by name. Other entries are skipped.

    Raises:
        StoreError: the folder does not exist, or a run in it cannot be read.

    Example:
        >>> table = load_runs("runs").table()
        >>> table.run.unique().tolist()
        ['base', 'rotation']
    """
    folder = Path(root)
    if not folder.is_dir():
        raise StoreError(f"there is no folder {folder}: name the one that holds the runs")
    return Runs(Run(summary.path, summary.spec) for summary in rundir.list_runs(folder))
