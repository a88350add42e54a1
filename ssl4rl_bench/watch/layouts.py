"""Lists the checkpoints of a trainer's folder or of a spool file, complete or not.

docs/other-tools.md has a table of the layouts, with the trainers' source files from which they are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged, locate
from ssl4rl_bench.watch.spool import parse_spool

LAYOUTS = (
    "step-N",
    "checkpoint-N",
    "checkpoint-N-merged",
    "global_step_N/actor/huggingface",
    "global_step_N/huggingface",
    "vX-DATE/checkpoint-N",
)
"""The folders that are looked for, in messages. Any other name that ends in a number counts too."""
_NUMBERED = re.compile(r"(?:.*?\D)??(?P<step>\d+)(?:\.(?P<part>\d+))?")
_OF_SWIFT = re.compile(r"v\d+-\d{8}-\d{6}")
"""The folder that ms-swift makes for each of its runs."""
TEMPORARY = re.compile(
    r"\..*|.*(\.tmp|\.temp|\.part|\.partial|\.incomplete|\.lock|\.saving|\.swp|~)|tmp.*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A folder that may be a checkpoint."""

    name: str
    """The name of its folder; "step-000050" for a line of a spool file."""
    step: int
    part: int
    folder: Path
    """The folder of the checkpoint, in which a trainer may put more than the weights."""
    path: Path
    """The folder of its weights, shards or adapter."""
    unmerged: Unmerged | None = None
    """What must be merged before it can be evaluated."""
    marked: float | None = None
    """When the trainer noted that this step, or a later one, is saved. Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The content of a folder or a spool file."""

    candidates: Sequence[Candidate] = ()
    """In step order."""
    n_entries: int = 0
    """The number of entries of the folder, or of lines of the file."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Maps lines of a spool file to what is wrong with them."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Maps the names of a spool file's checkpoints without a folder to a reason."""


def place_of(name: str) -> tuple[int, int] | None:
    """Parses the step and part at the end of a folder's name; None without a number or for a temporary name.

    Examples of names are "step-000050", "step-000050.2", "checkpoint-500" and "global_step_100".
    """
    if TEMPORARY.fullmatch(name) or _OF_SWIFT.fullmatch(name):
        return None
    match = _NUMBERED.fullmatch(name)
    return None if match is None else (int(match["step"]), int(match["part"] or 0))


def list_candidates(source: Path) -> Candidates:
    """Lists a folder, or the folders that a spool file names.

    Raises:
        DataError: if there is no such folder or file, or it cannot be read.
    """
    try:
        return _of_spool(source) if source.is_file() else _of_folder(source)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise DataError(
            f"{source} cannot be watched: {reason}; name the trainer's folder, or a file of lines STEP<TAB>FOLDER"
        ) from None


def run_of_swift(folder: Path) -> Path:
    """Returns the folder of ms-swift's run if a folder has one and no checkpoints of its own; else the folder.

    Raises:
        DataError: if it has several.
    """
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    runs = sorted(
        (name for name in names if _OF_SWIFT.fullmatch(name)), key=lambda name: int(name[1:].split("-")[0])
    )
    if not runs or any(place_of(name) for name in names):
        return folder
    if len(runs) > 1:
        raise DataError(f"{folder} has {len(runs)} runs of ms-swift; name one, such as {folder / runs[-1]}")
    return folder / runs[0]


def _of_folder(folder: Path) -> Candidates:
    entries = list(folder.iterdir())
    marker = _last_saved(folder)
    candidates = [
        _candidate(path.name, *place, path, marker)
        for path in entries
        if (place := place_of(path.name)) is not None and path.is_dir()
    ]
    return Candidates(_sorted(candidates), len(entries))


def _of_spool(file: Path) -> Candidates:
    lines, bad = parse_spool(file.read_bytes())
    # A folder that several lines name holds the weights of the last of them.
    last = {file.parent / line.folder: line.step for line in lines}
    candidates, absent = [], {}
    for folder, step in last.items():
        name = f"step-{step:06d}"
        if folder.is_dir():
            candidates.append(_candidate(name, step, 0, folder, _last_saved(folder.parent)))
        else:
            absent[name] = f"{folder} does not exist"
    unreadable = {f"line {number} of {file.name}": reason for number, reason in bad.items()}
    return Candidates(_sorted(candidates), len(lines) + len(bad), unreadable, absent)


def _sorted(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    return sorted(candidates, key=lambda one: (one.step, one.part, one.name, one.folder))


def _candidate(name: str, step: int, part: int, folder: Path, saved: tuple[int, float] | None) -> Candidate:
    marked = saved[1] if saved is not None and step <= saved[0] else None
    try:
        located = locate(folder)
    except OSError:  # the trainer is deleting it
        located = None
    match located:
        case Unmerged() as unmerged:
            return Candidate(name, step, part, folder, unmerged.folder, unmerged, marked)
        case place:
            return Candidate(name, step, part, folder, place or folder, None, marked)


def _last_saved(folder: Path) -> tuple[int, float] | None:
    """Returns the last step that verl or EasyR1 noted as saved, and when it did; None if there is no such note."""
    for name in ("latest_checkpointed_iteration.txt", "checkpoint_tracker.json"):
        try:
            value = parse_json((folder / name).read_bytes())
            return int(value["last_global_step"] if isinstance(value, dict) else value), (
                folder / name
            ).stat().st_mtime
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return None
