"""The history of a watch: one JSON line a judged checkpoint, and the lock that keeps it one process's."""

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
"""Verdict of a first checkpoint that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a checkpoint did to one ability or probe, against the baseline. Fractions."""

    task: str
    name: str
    """Of the category; "overall" for a probe."""
    probe: bool
    n: int
    baseline: float
    candidate: float
    value: float
    ci95: tuple[float, ...] | None
    p_corrected: float
    """Two-sided, Holm over all changes of the checkpoint."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: what was found of one checkpoint."""

    name: str
    """Of the checkpoint's folder."""
    step: int
    part: int
    fingerprint: str
    run: str
    """Its run directory, relative to the history."""
    terms: str
    """Digest of the policy and the baseline that it was judged by."""
    verdict: str
    """Against the baseline: pass, fail or inconclusive; "baseline" for a first checkpoint that is one."""
    verdict_best: str | None
    """Against the best accepted before it; None where there was none."""
    number: int
    """Its place in the series; 0 for the baseline."""
    alpha: float
    """What was spent on it."""
    best: bool
    """Whether it became the best accepted so far."""
    reasons: tuple[str, ...] = ()
    """What did not pass, a sentence each."""
    hint: str | None = None
    """Why to think of stopping."""
    changes: tuple[Change, ...] = field(default=())


class History:
    """The one writer of a watch's folder."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder's lock and reads what is there.

        Raises:
            StoreError: another process watches into this folder, or it cannot be written.
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
        """Lines could not be read: all have to be made again from the runs."""
        self.entries = [] if self.damaged else [entry for entry in entries if entry is not None]

    def add(self, entry: Entry) -> None:
        """Adds a line; a reader, or a crash, finds the old file or the new one.

        Raises:
            StoreError: full disk, no permission.
        """
        write_text(self.path, "".join(encode(each) for each in (*self.entries, entry)))
        self.entries.append(entry)

    def knows(self, name: str, fingerprint: str) -> bool:
        """Whether a checkpoint was judged."""
        return any((entry.name, entry.fingerprint) == (name, fingerprint) for entry in self.entries)

    @property
    def best(self) -> Entry | None:
        """The best accepted so far."""
        return next((entry for entry in reversed(self.entries) if entry.best), None)

    def run_path(self, name: str, fingerprint: str) -> Path:
        """Where a checkpoint's run belongs: named as it is, with a digest if other weights had that name."""
        place = self.folder / "runs" / name
        try:
            other = (place / "spec.json").exists() and RunDir.open(place).spec.fingerprint != fingerprint
        except StoreError:
            other = False  # the run itself will say what is wrong with it
        return place.with_name(f"{name}-{fingerprint[:8]}") if other else place

    def close(self) -> None:
        """Lets another process watch."""
        os.close(self._fd)

    def __enter__(self) -> History:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def best_run(folder: Path) -> Path | None:
    """The run of the best checkpoint that a watch accepted so far; None if the folder is no watch's.

    Raises:
        StoreError: nothing was accepted yet, or the history cannot be read.
    """
    place = folder / FILE
    if not place.is_file():
        return None
    entries = _read(place)
    if None in entries:
        raise StoreError(f"{place} is damaged: start its `watch` again, which makes it anew from the runs")
    best = next((entry for entry in reversed(entries) if entry and entry.best), None)
    if best is None:
        raise StoreError(f"{folder} has accepted no checkpoint yet: name a run as --baseline")
    return folder / best.run


def _read(path: Path) -> list[Entry | None]:
    """The entries of a history, None for a damaged one; no file has none."""
    if not path.exists():
        return []
    with reporting(path, "read"):
        return [decode(line, path) for line in path.read_bytes().splitlines()]


def encode(entry: Entry) -> str:
    """An entry's line: its fields, `schema`, and last a CRC-32 of the line without it."""
    body = json.dumps({"schema": SCHEMA, **asdict(entry)}, allow_nan=False)
    return f'{body[:-1]}, "crc": "{zlib.crc32(body.encode("ascii")):08x}"}}\n'


def decode(line: bytes, where: Path | str = "the history") -> Entry | None:
    """The entry of a line; None if it is damaged.

    Args:
        where: the file, for messages.

    Raises:
        StoreError: it is of a newer version.
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
    """The worst verdict: fail, then inconclusive, then pass."""
    verdicts = {entry.verdict for entry in entries}
    return next((each for each in ("fail", "inconclusive") if each in verdicts), "pass")
