"""Finds complete checkpoints, in the order of training, in a folder to which a trainer writes.

A checkpoint is complete if its weights are as long as their headers say, every shard in the index exists, no
file has a temporary name, and nothing changed between two scans (or during the minute before the first scan).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.watch.layouts import TEMPORARY, Candidate, Candidates, list_candidates, run_of_swift

OLD_S = 60.0
"""A folder that has not changed for this many seconds needs no second scan, and shards count as written."""
_COUNTED = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""The endings of the files that make up a model. Other files, such as a trainer's state, may change at any time."""

_Signature = tuple[tuple[str, int, int, int], ...]
"""The name, size, modification time and inode of each counted file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    name: str
    """The name of its folder, such as "step-000050"."""
    path: Path
    """The folder of its weights, or of what must be merged."""
    step: int
    part: int
    """The number of updates into the next step: 2 for "step-000050.2", else 0."""
    fingerprint: str
    """The fingerprint of its weights, as in a run's spec; that of the files if they must be merged first."""
    unmerged: Unmerged | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one scan."""

    ready: tuple[Checkpoint, ...]
    """The complete checkpoints in step order, up to the first one that is being written."""
    changing: tuple[str, ...]
    """The names of folders that are new or have changed since the last scan."""
    broken: Mapping[str, str]
    """Maps folders that have not changed but are not complete checkpoints to the reason."""
    unmerged: Mapping[str, Unmerged] = field(default_factory=dict)
    """Maps folders that cannot be evaluated before they are merged, which nobody asked for."""
    listed: Candidates = field(default_factory=Candidates, compare=False)
    """What the scan listed, complete or not."""


@dataclass
class Finder:
    """Scans a folder, or the folders of a spool file, repeatedly for checkpoints."""

    folder: Path
    """The folder or the file."""
    quiet_s: float
    """The time without changes, in seconds, after which a checkpoint counts as written."""
    merges: bool = False
    """Whether checkpoints that must be merged first are complete ones too."""
    listed: Candidates = field(default_factory=Candidates)
    """The folder's content at the last scan."""
    _before: dict[Path, tuple[_Signature, float]] = field(default_factory=dict)
    """Each folder's signature at the last scan, and since when (monotonic) it has not changed."""
    _known: dict[Path, tuple[_Signature, str]] = field(default_factory=dict)
    """A cache of fingerprints, so that unchanged weights are not read again."""

    def look(self) -> Look:
        """Scans the folder once.

        Raises:
            DataError: if the folder does not exist or cannot be read, or has several runs of ms-swift.
        """
        self.folder = run_of_swift(self.folder)
        listed = self.listed = list_candidates(self.folder)
        before, self._before = self._before, {}
        ready: list[Checkpoint] = []
        changing: list[str] = []
        broken = dict(listed.unreadable)
        unmerged: dict[str, Unmerged] = {}
        for candidate in listed.candidates:
            try:
                signature, being_written, newest = _sign(candidate)
                if not signature:
                    continue  # not a checkpoint at all
                if being_written or not self._is_settled(candidate, signature, newest, before):
                    changing.append(candidate.name)
                    continue
                if candidate.unmerged is not None and not self.merges:
                    unmerged[candidate.name] = candidate.unmerged
                    continue
                checkpoint = self._checkpoint(candidate, signature)
                if _sign(candidate)[0] != signature:
                    changing.append(candidate.name)
                    continue
            except ModelError as error:
                broken[candidate.name] = str(error)
                continue
            except OSError:
                continue  # the folder was deleted during the scan
            if not changing:
                ready.append(checkpoint)
        return Look(tuple(ready), tuple(changing), broken, unmerged, listed)

    def _is_settled(
        self,
        candidate: Candidate,
        signature: _Signature,
        newest: float,
        before: Mapping[Path, tuple[_Signature, float]],
    ) -> bool:
        """Whether the trainer has finished writing, as far as times and its own note tell."""
        now = time.monotonic()
        same, since = before.get(candidate.path, (None, now))
        since = since if same == signature else now
        self._before[candidate.path] = (signature, since)
        if candidate.marked is not None and candidate.marked >= newest:
            return True
        if same != signature:
            return newest < time.time() - OLD_S
        # verl writes its shards before whole weights, if it writes both.
        return now - since >= (self.quiet_s if candidate.unmerged is None else OLD_S)

    def _checkpoint(self, candidate: Candidate, signature: _Signature) -> Checkpoint:
        if candidate.unmerged is None:
            known = self._known.get(candidate.path)
            if known is None or known[0] != signature:
                known = self._known[candidate.path] = (signature, fingerprint(candidate.path))
            digest = known[1]
        else:
            candidate.unmerged.check()
            digest = sha256_json(signature)
        return Checkpoint(
            candidate.name, candidate.path, candidate.step, candidate.part, digest, candidate.unmerged
        )


def _sign(candidate: Candidate) -> tuple[_Signature, bool, float]:
    """Returns the signature of a folder, whether a file in it has a temporary name, and its newest ctime."""
    counted, being_written, newest = [], False, candidate.path.stat().st_ctime
    parts = candidate.unmerged
    for entry in sorted(candidate.path.iterdir()) if parts is None else parts.files():
        if entry.is_dir():
            continue
        if TEMPORARY.fullmatch(entry.name) and parts is None:
            # Dot files such as .gitattributes are permanent and do not indicate writing.
            being_written |= not entry.name.startswith(".") or ".safetensors" in entry.name
        elif parts is not None or entry.name.lower().endswith(_COUNTED):
            about = entry.stat()
            counted.append((entry.name, about.st_size, about.st_mtime_ns, about.st_ino))
            newest = max(newest, about.st_ctime)
    return tuple(counted), being_written, newest
