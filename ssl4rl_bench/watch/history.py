"""The history of a watch: one JSON line per judged checkpoint, and a lock that allows only one process."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import reporting, sweep, write_text
from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.versioned import check_schema
from ssl4rl_bench.run.journal import lock
from ssl4rl_bench.run.rundir import RunDir

SCHEMA = 1
FILE = "history.jsonl"
BASELINE = "baseline"
"""The verdict of a first checkpoint that serves as the baseline for the others."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one ability or probe from the baseline to a checkpoint. Values are fractions."""

    task: str
    name: str
    """The name of the category; "overall" for a probe."""
    probe: bool
    n: int
    baseline: float
    candidate: float
    value: float
    ci95: tuple[float, ...] | None
    p_corrected: float
    """The two-sided p-value, with Holm's correction over all changes of the checkpoint."""


@dataclass(frozen=True, slots=True)
class ProbeSight:
    """The forced-choice margin of a checkpoint on a probe, in nats, beside its accuracy."""

    task: str
    accuracy: float | None
    chance: float
    value: float | None
    """The margin; None without one."""
    ci95: tuple[float, ...] | None
    p: float | None
    n: int
    form: str = ""
    """The form in which answers were scored."""
    reason: str = ""
    """Why there is no margin."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the history: the judgement of one checkpoint."""

    name: str
    """The name of the checkpoint's folder."""
    step: int
    part: int
    fingerprint: str
    run: str
    """The path of its run directory, relative to the history."""
    terms: str
    """The digest of the policy and the baseline by which it was judged."""
    verdict: str
    """The verdict against the baseline: pass, fail or inconclusive; "baseline" for the baseline itself."""
    verdict_best: str | None
    """The verdict against the best accepted checkpoint before it; None if there was none."""
    number: int
    """Its number in the series; 0 for the baseline."""
    alpha: float
    """The share of alpha that was spent on it."""
    best: bool
    """Whether it became the best accepted checkpoint so far."""
    reasons: tuple[str, ...] = ()
    """The tests and guards that did not pass, one sentence per item."""
    hint: str | None = None
    """A reason to consider stopping the training."""
    changes: tuple[Change, ...] = field(default=())
    margins: tuple[ProbeSight, ...] = field(default=())
    """The margins of the probes; empty in histories from before they existed."""


class History:
    """The history in a watch's folder, of which only one process at a time can be the writer."""

    def __init__(self, folder: Path) -> None:
        """Acquires the folder's lock and reads the existing history.

        Raises:
            StoreError: if another process holds the lock, or the folder cannot be written.
        """
        self.folder = folder
        self.path = folder / FILE
        with reporting(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            lock(self._fd, f"watch {folder}")
            sweep(folder)
            entries = _read(self.path)
        except BaseException:
            os.close(self._fd)
            raise
        self.damaged = None in entries
        """Whether a line could not be read; then all lines must be rebuilt from the runs."""
        self.entries = [] if self.damaged else [entry for entry in entries if entry is not None]

    def add(self, entry: Entry) -> None:
        """Appends a line by replacing the file atomically.

        Raises:
            StoreError: if the disk is full or permission is denied.
        """
        write_text(self.path, "".join(encode_entry(known) for known in (*self.entries, entry)))
        self.entries.append(entry)

    def knows(self, name: str, fingerprint: str) -> bool:
        """Whether a checkpoint has been judged."""
        return any((entry.name, entry.fingerprint) == (name, fingerprint) for entry in self.entries)

    @property
    def best(self) -> Entry | None:
        """The best accepted checkpoint so far."""
        return next((entry for entry in reversed(self.entries) if entry.best), None)

    def run_path(self, name: str, fingerprint: str) -> Path:
        """Returns a checkpoint's run directory: its name, with a digest if other weights have that name."""
        place = self.folder / "runs" / name
        try:
            other = (place / "spec.json").exists() and RunDir.open(place).spec.fingerprint != fingerprint
        except StoreError:
            other = False  # opening the run will report what is wrong
        return place.with_name(f"{name}-{fingerprint[:8]}") if other else place

    def close(self) -> None:
        """Releases the lock."""
        os.close(self._fd)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def best_run(folder: Path) -> Path | None:
    """Returns the run of the best checkpoint that a watch has accepted; None if the folder has no history.

    Raises:
        StoreError: if no checkpoint was accepted yet, or the history cannot be read.
    """
    place = folder / FILE
    if not place.is_file():
        return None
    entries = _read(place)
    if None in entries:
        raise StoreError(f"{place} is damaged: start its `watch` again, which rebuilds it from the runs")
    best = next((entry for entry in reversed(entries) if entry and entry.best), None)
    if best is None:
        raise StoreError(f"{folder} has accepted no checkpoint yet: name a run as --baseline")
    return folder / best.run


def _read(path: Path) -> list[Entry | None]:
    """Reads the entries of a history, with None for each damaged line; an absent file has no entries."""
    if not path.exists():
        return []
    with reporting(path, "read"):
        return [decode_entry(line, path) for line in path.read_bytes().splitlines()]


def encode_entry(entry: Entry) -> str:
    """Encodes an entry as a line: `schema`, its fields, and at the end a CRC-32 of the line without it."""
    body = json.dumps({"schema": SCHEMA, **asdict(entry)}, allow_nan=False)
    return f'{body[:-1]}, "crc": "{zlib.crc32(body.encode("ascii")):08x}"}}\n'


def decode_entry(line: bytes, where: Path | str = "the history") -> Entry | None:
    """Decodes a line; returns None if it is damaged.

    Args:
        where: the file, for messages.

    Raises:
        StoreError: if the line was written by a newer version.
    """
    body, mark, crc = line.rpartition(b', "crc": "')
    body += b"}"
    if not mark or crc != b'%08x"}' % zlib.crc32(body):
        return None
    try:
        value: dict[str, Any] = parse_json(body)
        check_schema(value, where, SCHEMA)
        del value["schema"]
        return fill(Entry, value, str(where))
    except (ValueError, TypeError, KeyError, AttributeError, UsageError):
        return None


def exit_verdict(entries: Sequence[Entry]) -> str:
    """Returns the worst verdict: fail, then inconclusive, then pass."""
    verdicts = {entry.verdict for entry in entries}
    return next((verdict for verdict in ("fail", "inconclusive") if verdict in verdicts), "pass")
