"""Checkpoints in a folder that a trainer writes: which are whole, and in what order they were trained.

A folder counts once its weights are as long as their headers say, every shard that the index names is there, no
name in it is a temporary one, and nothing in it changed between two looks (or for a minute before the first).
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
"""Seconds. A folder that has not changed for so long needs no second look."""
_NUMBERED = re.compile(r"(?:.*?\D)??(?P<step>\d+)(?:\.(?P<part>\d+))?")
_TEMPORARY = re.compile(
    r"\..*|.*(\.tmp|\.temp|\.part|\.partial|\.incomplete|\.lock|\.saving|\.swp|~)|tmp.*", re.IGNORECASE
)
_COUNTED = re.compile(r".*\.(safetensors|json|jinja|model|txt)", re.IGNORECASE)
"""Files that a model is made of. A trainer's state may come and go."""

_Signature = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and inode of each counted file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint."""

    name: str
    """Of its folder: "step-000050"."""
    path: Path
    step: int
    part: int
    """Updates into the next step: 2 of "step-000050.2", else 0."""
    fingerprint: str
    """Of its weights, as in a run's spec."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found."""

    ready: tuple[Checkpoint, ...]
    """In step order, up to the first that is being written."""
    changing: tuple[str, ...]
    """Names of folders that changed since the last look, or that were not seen before."""
    broken: Mapping[str, str]
    """Folders that have not changed and are no whole checkpoint: name to reason."""


def place_of(name: str) -> tuple[int, int] | None:
    """Step and part that a folder's name ends in; None for a name without a number, or a temporary one.

    "step-000050", "step-000050.2", "checkpoint-500", "global_step_100".
    """
    if _TEMPORARY.fullmatch(name):
        return None
    match = _NUMBERED.fullmatch(name)
    return None if match is None else (int(match["step"]), int(match["part"] or 0))


@dataclass
class Finder:
    """Looks into a folder, again and again."""

    folder: Path
    quiet_s: float
    """Two looks must be this far apart to show that nothing changes."""
    _before: dict[str, tuple[_Signature, float]] = field(default_factory=dict)
    """Since when (monotonic) each folder looks as it does."""
    _known: dict[str, tuple[_Signature, str]] = field(default_factory=dict)
    """Fingerprints, so that unchanged weights are not read again."""

    def look(self) -> Look:
        """One look.

        Raises:
            DataError: the folder is not there or cannot be read.
        """
        try:
            inside = [path for path in self.folder.iterdir() if path.is_dir()]
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise DataError(f"{self.folder} cannot be watched: {reason}; name the trainer's folder") from None
        found = sorted((place, path.name, path) for path in inside if (place := place_of(path.name)))
        before, self._before = self._before, {}
        ready: list[Checkpoint] = []
        changing: list[str] = []
        broken: dict[str, str] = {}
        for (step, part), name, path in found:
            try:
                signature, being_written, newest = _sign(path)
                if not signature:
                    continue  # no checkpoint at all
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
                continue  # it went away while it was looked at
            if not changing:
                ready.append(Checkpoint(name, path, step, part, weights))
        return Look(tuple(ready), tuple(changing), broken)

    def _fingerprint(self, path: Path, signature: _Signature) -> str:
        known = self._known.get(path.name)
        if known is None or known[0] != signature:
            known = self._known[path.name] = (signature, fingerprint(path))
        return known[1]


def _sign(path: Path) -> tuple[_Signature, bool, float]:
    """A folder's counted files, whether one has a temporary name, and when the newest changed (seconds)."""
    counted, being_written, newest = [], False, path.stat().st_ctime
    for each in sorted(path.iterdir()):
        if each.is_dir():
            continue
        if _TEMPORARY.fullmatch(each.name):
            # Dot files such as .gitattributes stay for ever and are no sign of writing.
            being_written |= not each.name.startswith(".") or ".safetensors" in each.name
        elif _COUNTED.fullmatch(each.name):
            about = each.stat()
            counted.append((each.name, about.st_size, about.st_mtime_ns, about.st_ino))
            newest = max(newest, about.st_ctime)
    return tuple(counted), being_written, newest
