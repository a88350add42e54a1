"""The directory of a run: its files, and the order in which they are written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import contents, create_json, reporting, sweep, write_bytes, write_json
from ssl4rl_bench.core.errors import SpecMismatch, StoreError, did_you_mean
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.names import file_stem
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.core.types import EncodedImage, Sample
from ssl4rl_bench.core.versioned import parse_object
from ssl4rl_bench.run.differing import with_other_options
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.journal import BadLine, lock, read_journal
from ssl4rl_bench.run.spec import SPEC_SCHEMA, RunSpec

RESULT_SCHEMA = 1
"""The schema version of result.json."""
RUNS = Path("runs")
"""The default folder in which runs are created and searched."""
EXEC_SCHEMA = 1
"""The schema version of exec.json."""


def slug_of(label: str) -> str:
    """Returns a model's name in the form of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[-60:] or "run"


def default_place(spec: RunSpec) -> Path:
    """Returns the default directory of a whole run: runs/MODEL-HASH."""
    return RUNS / f"{slug_of(spec.model)}-{sha256_json([spec.sha256])[:8]}"


class RunDir:
    """A run on disk. `create` makes this process its only writer; `open` opens it for reading."""

    def __init__(self, path: Path, spec: RunSpec, lock_fd: int = -1) -> None:
        self.path = path
        self.spec = spec
        self._lock_fd = lock_fd

    @classmethod
    def create(cls, path: Path, spec: RunSpec) -> RunDir:
        """Starts a run, or resumes it if the directory contains the same experiment.

        If a run has a fingerprint of an older scheme with an equal digest, its scheme number is updated.

        Raises:
            SpecMismatch: the directory contains another experiment; names the options and keys that differ.
            StoreError: the directory contains something else, is locked by another process, or is not
                writable.
        """
        place = path / "spec.json"
        with reporting(path):
            path.mkdir(parents=True, exist_ok=True)
            if contents(path) and not place.exists():  # in this order: another process may be writing it
                raise StoreError(f"{path} is not empty and contains no run; choose a new directory")
        if not place.exists():
            create_json(place, spec.to_json())
        with reporting(place):
            fd = os.open(place, os.O_RDWR | os.O_CLOEXEC)
        try:
            lock(fd, f"run {path}")
            stored = _read_spec(path)
            if stored.scheme > spec.scheme:
                raise SpecMismatch(f"{path} cannot be resumed: {stored.not_comparable()}")
            if keys := spec.diff(stored):
                moved = "".join(f"; {clause}" for clause in spec.moved(stored))
                raise SpecMismatch(
                    f"{path} contains another experiment{with_other_options(spec, stored)} "
                    f"(other {', '.join(keys)}{moved}); "
                    f"choose another directory or delete this one{', or name that commit' if moved else ''}"
                )
            with reporting(path):
                (path / "journal").mkdir(exist_ok=True)
                renewed = stored.scheme < spec.scheme
                if renewed:  # the same digest under the present scheme: write the present scheme's number
                    write_json(place, spec.to_json())
                    new = os.open(place, os.O_RDWR | os.O_CLOEXEC)
                    os.close(fd)
                    fd = new
                    lock(fd, f"run {path}")
                for folder in (path, *path.glob("images/*")):
                    sweep(folder)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, spec if renewed else spec.recorded_by(stored), fd)

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Opens a run for reading. It may be incomplete, and another process may be writing it.

        Raises:
            StoreError: there is no run, or its spec cannot be read.
        """
        return cls(path, _read_spec(path))

    def journal_path(self, task: str) -> Path:
        """Returns the path of a task's journal."""
        return self.path / "journal" / f"{file_stem(task)}.jsonl"

    def image_path(self, sha256: str) -> Path:
        """Returns the path of an image's bytes."""
        return self.path / "images" / sha256[:2] / sha256

    @property
    def result_path(self) -> Path:
        """The path of result.json, which exists if and only if the run is complete."""
        return self.path / "result.json"

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json; None for an incomplete run.

        Raises:
            StoreError: it cannot be read, has a newer version, or does not belong to this run's spec.json.
        """
        if not self.result_path.exists():
            return None
        value = _read_json(self.result_path, RESULT_SCHEMA)
        _check_result(value, self.spec, self.path)
        return value

    def shown(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a result with the run's engine added, from which tables mark runs without a model."""
        return {"engine": self.spec.engine_json()} | dict(result)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes result.json, which declares the run complete.

        Raises:
            StoreError: full disk, no permission.
        """
        write_json(self.result_path, redact(result))

    def remove_result(self) -> None:
        """Removes result.json, which declares the run incomplete again.

        Raises:
            StoreError: no permission.
        """
        with reporting(self.result_path, "remove"):
            self.result_path.unlink(missing_ok=True)

    def save_image(self, image: EncodedImage) -> None:
        """Saves the bytes of an image unless they exist.

        There is no fsync: a file that a power cut truncated has another length, so the next run rewrites it.

        Raises:
            StoreError: full disk, no permission.
        """
        path = self.image_path(image.sha256)
        with reporting(path):
            if path.exists() and path.stat().st_size == len(image.data):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, image.data, durable=False)

    def save_images(self, samples: Iterable[Sample]) -> None:
        """Saves all images of the samples, each once (`save_image`)."""
        for image in {image.sha256: image for sample in samples for image in sample.images}.values():
            self.save_image(image)

    def record(self, info: ExecInfo) -> None:
        """Adds a sitting (one execution of the command) to exec.json, or updates it once it has ended.

        Raises:
            StoreError: full disk, no permission, or the file is damaged.
        """
        sittings = self.sittings()
        if sittings and sittings[-1]["finished"] is None and sittings[-1]["started"] == info.started:
            sittings.pop()
        self.write_sittings([*sittings, info.to_json()])

    def write_sittings(self, sittings: Sequence[Mapping[str, Any]]) -> None:
        """Writes exec.json with these sittings (`ExecInfo.to_json`), oldest first.

        Raises:
            StoreError: full disk, no permission.
        """
        write_json(self.path / "exec.json", {"schema": EXEC_SCHEMA, "sittings": list(sittings)})

    def sittings(self) -> list[dict[str, Any]]:
        """Returns the sittings in exec.json, oldest first (`ExecInfo.to_json`). Empty without this file.

        Raises:
            StoreError: the file is damaged or of a newer version.
        """
        path = self.path / "exec.json"
        if not path.exists():
            return []
        sittings = _read_json(path, EXEC_SCHEMA).get("sittings")
        if not isinstance(sittings, list) or not all(isinstance(sitting, dict) for sitting in sittings):
            raise StoreError(f"{path} is damaged: it has no list of sittings; restore it or delete it")
        return sittings

    def loading(self) -> dict[str, dict[str, Any]]:
        """Returns how the last sitting loaded each task (`ExecInfo.loading`). Empty without a sitting.

        Raises:
            StoreError: exec.json is damaged or of a newer version.
        """
        sittings = self.sittings()
        loading = sittings[-1].get("loading", {}) if sittings else {}
        types = {"task": str, "data": str | None, "limit": int | None, "skip_bad": bool}
        if not isinstance(loading, dict) or not all(
            isinstance(how, dict)
            and all(isinstance(how[key], kind) for key, kind in types.items() if key in how)
            for how in loading.values()
        ):
            raise StoreError(
                f"{self.path / 'exec.json'} is damaged: it does not say how tasks are loaded; restore it or delete it"
            )
        return loading

    def log(self, text: str) -> None:
        """Appends a line with the time to log.txt. Secrets are removed and control characters escaped.

        Raises:
            StoreError: full disk, no permission.
        """
        line = f"{datetime.now(UTC).isoformat(timespec='seconds')} {one_line(redact(text))}\n"
        path = self.path / "log.txt"
        with reporting(path), path.open("ab") as file:
            file.write(line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Releases the lock, so that another process can write. Safe to call twice."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def __enter__(self) -> RunDir:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_run(path: Path) -> RunDir:
    """Opens a run by its directory, or by its name below runs/.

    Raises:
        StoreError: there is no such run.
    """
    if not path.exists() and (RUNS / path).is_dir():
        path = RUNS / path
    if not path.exists():
        known = [p.name for p in RUNS.iterdir()] if RUNS.is_dir() else []
        raise StoreError(
            f"there is no run {path}; `ssl4rl-bench list runs` lists them{did_you_mean(path.name, known)}"
        )
    return RunDir.open(path)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as `list runs` shows it."""

    path: Path
    spec: RunSpec
    complete: bool
    n_answered: int
    n_total: int
    """The number of requests (samples x repeats) of all tasks."""


def list_runs(root: Path, on_problem: Callable[[StoreError], None] | None = None) -> Iterator[RunSummary]:
    """Yields `root` if it is a run, then the runs directly below it by name. Other entries are skipped.

    Args:
        on_problem: called with the error of each unreadable run, which is then skipped.

    Raises:
        StoreError: `root` cannot be read, or without `on_problem` a run in it.
    """
    with reporting(root, "read"):
        places = [root, *sorted(contents(root))] if root.is_dir() else []
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
    if run.result_path.exists():
        return RunSummary(run.path, run.spec, True, total, total)
    answered = {
        (task, line.id, line.repeat)
        for task in run.spec.tasks
        for line in read_journal(run.journal_path(task))
        if not isinstance(line, BadLine) and line.error is None
    }
    return RunSummary(run.path, run.spec, False, len(answered), total)


def _read_json(path: Path, newest: int) -> dict[str, Any]:
    with reporting(path, "read"):
        data = path.read_bytes()
    return parse_object(data, path, newest, fix="restore it or start a new run")


def _check_result(value: Mapping[str, Any], spec: RunSpec, path: Path) -> None:
    """Raises StoreError if result.json does not belong to the run's spec.json."""
    asked = spec.fingerprint
    model, tasks = ({} if not isinstance(value.get(key), dict) else value[key] for key in ("model", "tasks"))
    differ = [
        *(["spec_sha256"] if "spec_sha256" in value and value["spec_sha256"] != spec.sha256 else []),
        *(["model.fingerprint"] if model.get("fingerprint", asked) != asked else []),
        *(f"tasks.{name}" for name in tasks if name not in spec.tasks),
    ]
    if differ:
        raise StoreError(
            f"{path} contradicts itself: result.json and spec.json differ ({', '.join(differ)}), so one of them was "
            "edited or belongs to another run; restore it, or start a new run"
        )


def _read_spec(path: Path) -> RunSpec:
    place = path / "spec.json"
    if not place.is_file():
        raise StoreError(f"{path} is not a run: it has no spec.json")
    try:
        return RunSpec.from_json(_read_json(place, SPEC_SCHEMA))
    except (KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StoreError(
            f"{place} is damaged or of another version of ssl4rl-bench ({why}); restore it or start a new run"
        ) from None
