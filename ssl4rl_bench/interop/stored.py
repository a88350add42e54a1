"""The specification of a run in a file that `export` wrote, with which `import` makes the same run again.

Parquet files have it in the metadata of their schema, samples of lmms-eval and lm-evaluation-harness in the results
file beside them, both under the key `ssl4rl_bench` (`interop.exports`). The digest of the replies shows whether a
reply was changed, added or removed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.interop.predictions.tables import json_file
from ssl4rl_bench.run.spec import RunSpec, TaskSpec

STORED = "ssl4rl_bench"
"""The key of what an export says about its run."""


class _Reply(Protocol):
    """The parts of a record that every format keeps."""

    @property
    def id(self) -> str: ...
    @property
    def repeat(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...


def replies_digest(replies: Iterable[_Reply]) -> str:
    """Computes the digest of replies in any order: their ids, repeats and texts, and which failed or were cut."""
    return sha256_json(sorted([one.id, one.repeat, one.text, one.finish_reason] for one in replies))


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What a file says about the run of a task that it was exported from."""

    spec: RunSpec
    limit: int | None
    skip_bad: bool
    replies_sha256: str

    def of_task(self, name: str) -> TaskSpec | None:
        """Returns the specification of a task; None if the run did not have it."""
        return self.spec.tasks.get(name)

    def restored(self, task: Task, replies: Iterable[_Reply], repeats: int) -> RunSpec | str:
        """Returns the specification of the run of this task alone, or a clause that says why it does not apply.

        Args:
            task: the task as loaded here, with the prompt, the blinding and the limit of the run.
            replies: the replies in the file.
        """
        spec = self.of_task(task.name)
        if spec is None or self.spec.shard is not None:
            return "it belongs to another task or to a part of a run"
        if repeats != self.spec.repeats:
            return f"the run has {self.spec.repeats} replies to each question, and the file has {repeats}"
        if replies_digest(replies) != self.replies_sha256:
            return "replies are not those that were exported, or some were left out"
        if replace(TaskSpec.of(task, spec.sampling), hub=None) != replace(spec, hub=None):
            return "the task or its data is another one here"
        return replace(self.spec, tasks={task.name: spec})


def stored_in(file: Path, results: Path | None, task: str) -> StoredRun | None:
    """Reads what an export says about the run of a task; None for files of other tools.

    Args:
        file: a file of predictions.
        results: the results file beside it.
        task: the full name of the task.

    Raises:
        DataError: the file has a specification of this project that cannot be read.
    """
    place = file if results is None else results
    value = _of_parquet(file) if file.suffix.lower() == ".parquet" else _of_results(results)
    if value is None or "replies_sha256" not in value:
        return None
    try:
        how, digest = value["loading"], value["replies_sha256"]
        how = how.get(task, how)
        limit, skip_bad = how.get("limit"), how.get("skip_bad", False)
        digest = digest.get(task, "") if isinstance(digest, Mapping) else digest
        if not (isinstance(limit, int | None) and isinstance(skip_bad, bool) and isinstance(digest, str)):
            raise TypeError("loading or replies_sha256 has another type")
        return StoredRun(RunSpec.from_json(value["spec"]), limit, skip_bad, digest)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{place} has a specification of a run that cannot be read ({error}): export the run again"
        ) from None


def _of_parquet(path: Path) -> Mapping[str, Any] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        return _object(parse_json(metadata.get(STORED.encode(), b"null")))
    except (pa.ArrowException, OSError, ValueError):  # the reader of the rows says what is wrong with a file
        return None


def _of_results(path: Path | None) -> Mapping[str, Any] | None:
    value = None if path is None else json_file(path)
    return _object(value.get(STORED)) if isinstance(value, Mapping) else None


def _object(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None
