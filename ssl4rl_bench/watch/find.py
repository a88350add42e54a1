"""Finds complete checkpoints, in the order of training, in a folder to which a trainer writes.

A checkpoint is complete if its weights are as long as their headers say, every shard in the index exists, no
file has a temporary name, and nothing changed between two scans (or during the minute before the first scan).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.core.errors import DataError, ModelError
from ssl4rl_bench.engines.checkpoints.weights import fingerprint

OLD_S = 60.0
"""A folder that has not changed for this many seconds needs no second scan."""
_NUMBERED = re.compile(r"(?:.*?\D)??(?P<step>\d+)(?:\.(?P<part>\d+))?")
_TEMPORARY = re.compile(
    r"\..*|.*(\.tmp|\.temp|\.part|\.partial|\.incomplete|\.lock|\.saving|\.swp|~)|tmp.*", re.IGNORECASE
)
_COUNTED = re.compile(r".*\.(safetensors|json|jinja|model|txt)", re.IGNORECASE)
"""The files that make up a model. Other files, such as a trainer's state, may change at any time."""

_Signature = tuple[tuple[str, int, int, int], ...]
"""The name, size, modification time and inode of each counted file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    name: str
    """The name of its folder, such as "step-000050"."""
    path: Path
    step: int
    part: int
    """The number of updates into the next step: 2 for "step-000050.2", else 0."""
    fingerprint: str
    """The fingerprint of its weights, as in a run's spec."""


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one scan."""

    ready: tuple[Checkpoint, ...]
    """The complete checkpoints in step order, up to the first one that is being written."""
    changing: tuple[str, ...]
    """The names of folders that are new or have changed since the last scan."""
    broken: Mapping[str, str]
    """Maps folders that have not changed but are not complete checkpoints to the reason."""


def place_of(name: str) -> tuple[int, int] | None:
    """Parses the step and part at the end of a folder's name; None without a number or for a temporary name.

    Examples of names are "step-000050", "step-000050.2", "checkpoint-500" and "global_step_100".
    """
    if _TEMPORARY.fullmatch(name):
        return None
    match = _NUMBERED.fullmatch(name)
    return None if match is None else (int(match["step"]), int(match["part"] or 0))


@dataclass
class Finder:
    """Scans a folder repeatedly for checkpoints."""

    folder: Path
    quiet_s: float
    """The time without changes, in seconds, after which a checkpoint counts as written."""
    _before: dict[str, tuple[_Signature, float]] = field(default_factory=dict)
    """Each folder's signature at the last scan, and since when (monotonic) it has not changed."""
    _known: dict[str, tuple[_Signature, str]] = field(default_factory=dict)
    """A cache of fingerprints, so that unchanged weights are not read again."""

    def look(self) -> Look:
        """Scans the folder once.

        Raises:
            DataError: if the folder does not exist or cannot be read.
        """
        try:
            inside = [path for path in self.folder.iterdir() if path.is_dir()]
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise DataError(f"{self.folder} cannot be watched: {reason}; name the trainer's folder") from None
        checkpoints = sorted((place, path.name, path) for path in inside if (place := place_of(path.name)))
        before, self._before = self._before, {}
        ready: list[Checkpoint] = []
        changing: list[str] = []
        broken: dict[str, str] = {}
        for (step, part), name, path in checkpoints:
            try:
                signature, being_written, newest = _sign(path)
                if not signature:
                    continue  # not a checkpoint at all
                now = time.monotonic()
                same, since = before.get(name, (None, now))
                since = since if same == signature else now
                self._before[name] = (signature, since)
                settled = now - since >= self.quiet_s if same == signature else newest < time.time() - OLD_S
                if being_written or not settled:
                    changing.append(name)
                    continue
                weights = self._fingerprint(path, signature)
                if _sign(path)[0] != signature:
                    changing.append(name)
                    continue
            except ModelError as error:
                broken[name] = str(error)
                continue
            except OSError:
                continue  # the folder was deleted during the scan
            if not changing:
                ready.append(Checkpoint(name, path, step, part, weights))
        return Look(tuple(ready), tuple(changing), broken)

    def _fingerprint(self, path: Path, signature: _Signature) -> str:
        known = self._known.get(path.name)
        if known is None or known[0] != signature:
            known = self._known[path.name] = (signature, fingerprint(path))
        return known[1]


def _sign(path: Path) -> tuple[_Signature, bool, float]:
    """Returns the signature of a folder, whether a file in it has a temporary name, and its newest ctime."""
    counted, being_written, newest = [], False, path.stat().st_ctime
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            continue
        if _TEMPORARY.fullmatch(entry.name):
            # Dot files such as .gitattributes are permanent and do not indicate writing.
            being_written |= not entry.name.startswith(".") or ".safetensors" in entry.name
        elif _COUNTED.fullmatch(entry.name):
            about = entry.stat()
            counted.append((entry.name, about.st_size, about.st_mtime_ns, about.st_ino))
            newest = max(newest, about.st_ctime)
    return tuple(counted), being_written, newest
