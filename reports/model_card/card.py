"""The data of a model card: a checkpoint, its origin, and its finished evaluation runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import hub_id, short_name
from ssl4rl_bench.engines.checkpoints.files import read_config
from ssl4rl_bench.engines.checkpoints.origin import read_origin
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.reports.text.cells import Result, dig
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.score.consistency import finished
from ssl4rl_bench.task.taskfile import load_taskfile

UNSEEN = ("imported", "openai", "replay")
"""Engines without access to the weights: whether a run is of this checkpoint cannot be checked."""


@dataclass(frozen=True, slots=True)
class CardRun:
    """A finished run of the checkpoint."""

    spec: RunSpec
    result: Result
    date: str | None
    """The time at which the run ended, in UTC as ISO 8601."""

    def tasks(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields each task's name, with the prefix, and its part of result.json."""
        for name in dig(self.result, "tasks"):
            yield name, dig(self.result, "tasks", name)


@dataclass(frozen=True, slots=True)
class Card:
    """A checkpoint and its runs."""

    name: str
    fingerprint: str
    config: Mapping[str, Any]
    """The content of config.json."""
    origin: Mapping[str, Any]
    """The content of ssl4rl.json; empty for a checkpoint that was not trained with this program."""
    runs: tuple[CardRun, ...]

    @property
    def is_grpo(self) -> bool:
        """Whether the checkpoint was trained with GRPO by this package."""
        return self.origin.get("kind") == "grpo"

    @property
    def base(self) -> str | None:
        """The model that training started from: a hub id, or the last part of a folder's path."""
        name = dig(self.origin, "base").get("name") or dig(self.origin, "recipe").get("init")
        return self.base_on_hub or (None if name is None else Path(str(name)).name)

    @property
    def base_on_hub(self) -> str | None:
        """The base's hub id without its revision; None if it was not taken from the hub at a commit."""
        base = dig(self.origin, "base")
        return str(base["name"]).partition("@")[0] if base.get("revision") else None

    def seen(self, task: str, task_result: Mapping[str, Any]) -> int:
        """Counts images of the training and its replay that are in a task's data set, by the audit at the start.

        Args:
            task_result: the task's part of result.json.
        """
        data = dig(self.origin, "data")
        names = {short_name(task), str(task_result.get("source"))}
        return sum(
            int(item.get("exact", 0)) + int(item.get("near", 0))
            for item in (*self.overlap(), *self.replay_overlap())
            if data.get("transductive") and short_name(str(item.get("set", "")).partition("=")[0]) in names
        )

    def results(self) -> Iterator[tuple[CardRun, str, Mapping[str, Any]]]:
        """Yields the run, name and result of each task, for all runs that are not partial."""
        for run in self.runs:
            if not run.result.get("partial"):
                for name, task_result in run.tasks():
                    yield run, name, task_result

    def overlap(self) -> list[Mapping[str, Any]]:
        """Returns the counts of the audit of training images, one mapping per evaluation set."""
        return list(dig(self.origin, "data").get("overlap") or [])

    def replay_overlap(self) -> list[Mapping[str, Any]]:
        """Returns the counts of the audit of the images of replay questions, as `overlap`."""
        return list(dig(self.origin, "data", "replay").get("overlap") or [])


def load_card(checkpoint: Path, runs: Sequence[RunDir] = ()) -> Card:
    """Reads the folder of a checkpoint and its runs.

    Raises:
        ModelError: the folder does not hold a complete checkpoint, or ssl4rl.json is damaged.
        StoreError: a run is not complete, or its parts contradict each other.
        UsageError: a run is of another checkpoint, of the mock engine, or without the real images.
    """
    digest = fingerprint(checkpoint)
    origin = read_origin(checkpoint)
    step = origin.get("step")
    name = str(origin.get("name") or checkpoint.resolve().name)
    return Card(
        name=f"{name}-step-{step}" if step is not None else name,
        fingerprint=digest,
        config=read_config(checkpoint),
        origin=origin,
        runs=tuple(_evaluation(run, checkpoint, digest) for run in runs),
    )


def on_hub(name: str) -> bool:
    """Whether a model's name can only be a hub id."""
    return hub_id(name) is not None and not Path(name).exists()


def without_path(name: str) -> str:
    """Returns a name that a card may show: of a path on the trainer's machine, only the last part is kept.

    A set's name may precede the path, as in "mmbench_dev_en=data/a.tsv"; "=" may also be part of the path.
    """
    head, equals, path = name.partition("=")
    if "/" in head or not equals:
        head, equals, path = "", "", name
    if "/" in path and not on_hub(path):
        path = Path(path).name
    return f"{head}{equals}{path}"


def hub_data(task: str, task_result: Mapping[str, Any]) -> tuple[str, str | None, str, str | None] | None:
    """Returns id, configuration, split and revision of a task's data set on the hub; None if not known.

    A local file counts as the task's data set if it has the question counts of the task's edition of MMBench.

    Args:
        task_result: the task's part of result.json.
    """
    from ssl4rl_bench.task.mmbench.taxonomy import edition_warning

    try:
        file = load_taskfile(task)
    except UsageError:
        return None
    source = str(task_result.get("source", ""))
    if file.kind == "ssl" or file.builtin is not None:
        return None
    if on_hub(source):
        repo, _, revision = source.partition("@")
        return repo, file.dataset_name, file.split, revision or None
    leaves = dig(task_result, "aggregates", "circular_micro", "l3")
    counts = {leaf: int(dig(leaves, leaf).get("n") or 0) for leaf in leaves}
    if file.edition is None or edition_warning(file.edition, counts, int(task_result.get("n_samples") or 0)):
        return None
    return (file.dataset_path, file.dataset_name, file.split, None) if on_hub(file.dataset_path) else None


def _evaluation(run: RunDir, checkpoint: Path, digest: str) -> CardRun:
    if run.spec.mocked:
        raise UsageError(f"run {run.path} used the mock engine, whose replies say nothing about a checkpoint")
    for name, task in run.spec.tasks.items():
        if task.image != "real":
            raise UsageError(
                f"run {run.path} asked {name} with --image {task.image}, which is not a result of the checkpoint: "
                "name a run with the real images"
            )
    result = finished(run)
    asked = run.spec.fingerprint
    if (
        run.spec.engine not in UNSEEN
        and asked != digest
        and asked != fingerprint(checkpoint, full_digest=True)
    ):
        raise UsageError(
            f"run {run.path} evaluated other weights ({asked[:12]}) than {checkpoint} holds "
            f"({digest[:12]}): evaluate this checkpoint, or name the one that the run evaluated with --model"
        )
    sittings = run.sittings()
    return CardRun(run.spec, result, sittings[-1].get("finished") if sittings else None)
