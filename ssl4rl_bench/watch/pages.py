"""The outputs derived from a history, rebuilt when out of date: curves, leaderboard, link to the best."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.atomic import reporting, scratch_path
from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.gating.policy import Policy
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.watch.history import BASELINE, Entry, History

PAGE = "leaderboard.html"
BEST = "best"


def stale(history: History) -> bool:
    """Whether the page or a curve is missing or older than the history."""
    if not history.entries:
        return False
    made = [history.folder / name for name in (PAGE, "curves.svg", "curves.png")]
    changed = history.path.stat().st_mtime_ns
    return any(not path.exists() or path.stat().st_mtime_ns < changed for path in made)


def refresh(
    history: History,
    policy: Policy,
    baseline: Evaluated | None,
    data: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Draws the curves and writes the page. Errors are only reported, so that they do not end the watch.

    Args:
        baseline: the baseline of the watch, if it is not the first checkpoint.
        data: the `--data` values, for runs whose replies must be parsed again.
        say: a callback that prints a line.
    """
    from ssl4rl_bench.reports.html import assemble, write
    from ssl4rl_bench.reports.views.curves import CurvePoint, curves

    try:
        entries = sorted(history.entries, key=lambda entry: (entry.step, entry.part))
        entries = [entry for entry in entries if (history.folder / entry.run).is_dir()]
        runs = load_evaluated([history.folder / entry.run for entry in entries], data)
        points = [
            CurvePoint(_place(entry, entries), entry.name, entry.verdict, run.result, _reason(entry))
            for entry, run in zip(entries, runs, strict=True)
        ]
        view = curves(points, None if baseline is None else baseline.result)
        if entries[-1].verdict != BASELINE:
            view = replace(view, verdict=entries[-1].verdict)
        if entries[-1].hint:
            view = replace(view, sentence=f"{view.sentence} {entries[-1].name}: {entries[-1].hint}.")
        view.write(history.folder)
        first = next((index for index, entry in enumerate(entries) if entry.verdict == BASELINE), None)
        base = baseline or runs[first or 0]
        page = assemble(
            base,
            [run for run in runs if run is not base],
            lead=[view],
            allow=policy.allow,
            title=headline(entries),
        )
        write(page, history.folder / PAGE)
    except BenchError as error:
        say(f"the leaderboard was not updated: {error}")


def headline(entries: Sequence[Entry]) -> str:
    """Returns the verdict on the last of some checkpoints, what decided it, and the best one that was accepted."""
    last = entries[-1]
    reason = _reason(last)
    verdict = f"{last.verdict.upper()}: {last.name}" + (f", {reason}" if reason else "")
    accepted = [entry.name for entry in entries if entry.best]
    return f"{verdict}; best accepted: {accepted[-1]}" if accepted else f"{verdict}; none accepted"


def _reason(entry: Entry) -> str:
    """Returns the test or guard that decided a verdict; empty for a pass."""
    return entry.reasons[0].partition(": ")[2] if entry.reasons else ""


def _place(entry: Entry, entries: list[Entry]) -> float:
    """Returns an entry's position on the step axis; the parts of a step lie between it and the next step."""
    parts = 1 + max(entry.part for entry in entries)
    return entry.step + entry.part / parts


def link_best(history: History, places: Mapping[str, Path]) -> None:
    """Points `best` at the weights of the best accepted checkpoint, by a relative link that is replaced atomically.

    Args:
        places: maps the names of checkpoints to the folders of their weights, as far as they still exist.

    Raises:
        StoreError: if `best` exists and is not a link, or the folder cannot be written.
    """
    best = history.best
    if best is None:
        return
    place = history.folder / BEST
    weights = places.get(best.name) or Path(RunDir.open(history.folder / best.run).spec.model)
    target = os.path.relpath(weights.resolve(), history.folder.resolve())
    with reporting(place):
        if place.is_symlink() and os.readlink(place) == target:  # noqa: PTH115
            return
        if place.exists() and not place.is_symlink():
            raise FileExistsError(17, "in the way")
        scratch = scratch_path(history.folder / BEST)
        scratch.symlink_to(target)
        scratch.replace(place)
