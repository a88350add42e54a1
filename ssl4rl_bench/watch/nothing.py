"""Says why a scan has nothing to evaluate: what was looked for, what was there instead, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.engines.checkpoints.tensors import list_names
from ssl4rl_bench.watch.find import Look
from ssl4rl_bench.watch.layouts import LAYOUTS, place_of

_BELOW = ("*/{}", "*/*/{}")
_NAMES = ("global_step_*", "checkpoint-*", "step-*")


def describe_nothing(source: Path, look: Look) -> str:
    """Returns one sentence about a folder or spool file without a complete checkpoint."""
    if source.is_file():
        n = look.listed.n_entries
        looked = (
            f"{source} names no complete checkpoint in its {n} line{'' if n == 1 else 's'} STEP<TAB>FOLDER"
        )
    else:
        n = look.listed.n_entries
        looked = (
            f"{source} has no complete checkpoint among its {n} entr{'y' if n == 1 else 'ies'} "
            f"(looked for {', '.join(LAYOUTS)})"
        )
    return "; ".join([looked, *_unfinished(source), *_reasons(look), *_elsewhere(source)])


def _unfinished(source: Path) -> Iterator[str]:
    """Yields a remark on a spool file that does not end with a line feed."""
    if source.is_file() and (data := source.read_bytes()) and not data.endswith(b"\n"):
        yield "its last line has no line feed, so that it counts as not yet written"


def describe_unmerged(look: Look) -> str:
    """Returns a clause about the folders that must be merged first; empty if there are none."""
    if not look.unmerged:
        return ""
    last = list(look.unmerged.values())[-1]
    n = len(look.unmerged)
    return (
        f"{n} folder{'' if n == 1 else 's'} ({_names(list(look.unmerged))}) hold{'s' if n == 1 else ''} {last}: "
        f"merge {'it' if n == 1 else 'each'}, or let --merge do so (docs/other-tools.md): {last.command()}"
    )


def _reasons(look: Look) -> list[str]:
    parts = []
    if look.unmerged:
        parts.append(describe_unmerged(look))
    if look.changing:
        parts.append(f"{len(look.changing)} being written ({_names(look.changing)})")
    if look.listed.absent:
        name, reason = next(iter(look.listed.absent.items()))
        parts.append(f"{len(look.listed.absent)} absent (first {name}: {reason})")
    if look.broken:
        name, reason = next(iter(look.broken.items()))
        parts.append(f"{len(look.broken)} left out (first {clean(name)}: {reason})")
    return parts


def _elsewhere(source: Path) -> list[str]:
    """Names a folder below that has checkpoints, if the one above it was named."""
    for below in _BELOW:
        for name in _NAMES:
            for path in source.glob(below.format(name)):
                if path.is_dir() and place_of(path.name) is not None and place_of(path.parent.name) is None:
                    return [f"{path.parent} has checkpoints: name that folder"]
    return []


def _names(names: Sequence[str]) -> str:
    return list_names(list(names))
