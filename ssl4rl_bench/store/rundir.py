"""A run's directory: what lies in it, and the order in which it comes there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ssl4rl_bench.errors import SpecMismatch, StoreError
from ssl4rl_bench.spec import ExecInfo, RunSpec, redact
from ssl4rl_bench.store.atomic import create_json, reporting, write_bytes, write_json
from ssl4rl_bench.store.journal import BadLine, lock, read
from ssl4rl_bench.types import EncodedImage


class RunDir:
    """A run on disk. `create` makes this process its one writer; `open` only reads."""

    def __init__(self, path: Path, spec: RunSpec, lock_fd: int = -1) -> None:
        self.path = path
        self.spec = spec
        self._lock_fd = lock_fd

    @classmethod
    def create(cls, path: Path, spec: RunSpec) -> RunDir:
        """Starts a run, or goes on with it if the directory holds the same experiment.

        A run with a fingerprint of an older scheme gets the present one's number, where the digests are equal.

        Raises:
            SpecMismatch: it holds another one; names the keys that differ.
            StoreError: it holds something else, is written by another process, or cannot be written.
        """
        place = path / "spec.json"
        with reporting(path):
            path.mkdir(parents=True, exist_ok=True)
            strange = [name for name in path.iterdir() if not name.match(".spec.json.*.tmp")]
            if strange and not place.exists():
                raise StoreError(f"{path} is not empty and holds no run; choose a new directory")
        if not place.exists():
            create_json(place, spec.to_json())
        with reporting(place):
            fd = os.open(place, os.O_RDWR | os.O_CLOEXEC)
        try:
            lock(fd, f"run {path}")
            kept = _read_spec(path)
            if kept.scheme > spec.scheme:
                raise SpecMismatch(f"{path} cannot be resumed: {kept.not_comparable()}")
            if keys := spec.diff(kept):
                raise SpecMismatch(
                    f"{path} holds another experiment (other {', '.join(keys)}); "
                    "choose another directory or delete this one"
                )
            with reporting(path):
                (path / "journal").mkdir(exist_ok=True)
                if kept.scheme < spec.scheme:  # the same files by the scheme of today: the run is renewed
                    write_json(place, spec.to_json())
                    renewed = os.open(place, os.O_RDWR | os.O_CLOEXEC)
                    os.close(fd)
                    fd = renewed
                    lock(fd, f"run {path}")
                for scratch in [*path.glob(".[er]*.tmp"), *path.glob("images/*/.*.tmp")]:
                    scratch.unlink(missing_ok=True)  # of a writer that died
        except BaseException:
            os.close(fd)
            raise
        return cls(path, spec, fd)

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """A run to read; it may be incomplete, or being written.

        Raises:
            StoreError: there is none, or its spec cannot be read.
        """
        return cls(path, _read_spec(path))

    def journal_path(self, task: str) -> Path:
        return self.path / "journal" / f"{task}.jsonl"

    def image_path(self, sha256: str) -> Path:
        return self.path / "images" / sha256[:2] / sha256

    @property
    def result_path(self) -> Path:
        """It exists if and only if the run is complete."""
        return self.path / "result.json"

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json; None for an incomplete run.

        Raises:
            StoreError: it cannot be read.
        """
        return _read_json(self.result_path) if self.result_path.exists() else None

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Declares the run complete.

        Raises:
            StoreError: full disk, no permission.
        """
        write_json(self.result_path, redact(result))

    def remove_result(self) -> None:
        """Declares the run incomplete again.

        Raises:
            StoreError: no permission.
        """
        with reporting(self.result_path, "remove"):
            self.result_path.unlink(missing_ok=True)

    def save_image(self, image: EncodedImage) -> None:
        """Keeps an image's bytes, unless they are there.

        Without fsync: what a power cut takes has another length, and the next run writes it anew.

        Raises:
            StoreError: full disk, no permission.
        """
        path = self.image_path(image.sha256)
        with reporting(path):
            if path.exists() and path.stat().st_size == len(image.data):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, image.data, durable=False)

    def record(self, info: ExecInfo) -> None:
        """Adds a sitting to exec.json, or replaces it once it has ended.

        Raises:
            StoreError: full disk, no permission, or the file is damaged.
        """
        sittings = self.sittings()
        if sittings and sittings[-1]["finished"] is None and sittings[-1]["started"] == info.started:
            sittings.pop()
        write_json(self.path / "exec.json", {"schema": 1, "sittings": [*sittings, info.to_json()]})

    def sittings(self) -> list[dict[str, Any]]:
        """What exec.json holds, oldest first (`ExecInfo.to_json`); empty where it is not there.

        Raises:
            StoreError: the file is damaged.
        """
        path = self.path / "exec.json"
        return list(_read_json(path)["sittings"]) if path.exists() else []

    def log(self, text: str) -> None:
        """Adds one line to log.txt, with the time, without secrets or control characters.

        Raises:
            StoreError: full disk, no permission.
        """
        shown = "".join(c if c.isprintable() else " " for c in redact(text))
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {shown}\n"
        path = self.path / "log.txt"
        with reporting(path), path.open("ab") as file:
            file.write(line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Lets another process write. Safe to call twice."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as `list runs` shows it."""

    path: Path
    spec: RunSpec
    complete: bool
    n_answered: int
    n_total: int
    """Samples times repeats, over all tasks."""


def list_runs(root: Path, on_problem: Callable[[StoreError], None] | None = None) -> Iterator[RunSummary]:
    """Runs directly below `root`, and `root` itself if it is one, by name. What is no run is skipped.

    Args:
        on_problem: told of each run that cannot be read, which then does not hide the others.

    Raises:
        StoreError: `root` cannot be read, or a run in it without `on_problem`.
    """
    with reporting(root, "read"):
        places = [root, *sorted(root.iterdir())] if root.is_dir() else []
    for path in places:
        if not (path / "spec.json").is_file():
            continue
        try:
            yield _summary(RunDir.open(path))
        except StoreError as error:
            if on_problem is None:
                raise
            on_problem(error)


def _summary(run: RunDir) -> RunSummary:
    total = sum(task.n_samples for task in run.spec.tasks.values()) * run.spec.repeats
    complete = run.result_path.exists()
    return RunSummary(run.path, run.spec, complete, total if complete else _n_answered(run), total)


def _n_answered(run: RunDir) -> int:
    return sum(
        len(
            {
                (line.id, line.repeat)
                for line in read(run.journal_path(task))
                if not isinstance(line, BadLine) and line.error is None
            }
        )
        for task in run.spec.tasks
    )


def _read_json(path: Path) -> dict[str, Any]:
    with reporting(path, "read"):
        data = path.read_bytes()
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StoreError(f"{path} is damaged: it is not a JSON object; restore it or start a new run")
    return value


def _read_spec(path: Path) -> RunSpec:
    place = path / "spec.json"
    if not place.is_file():
        raise StoreError(f"{path} is not a run: it has no spec.json")
    try:
        return RunSpec.from_json(_read_json(place))
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{place} is damaged or of another version of ssl4rl-bench") from error
