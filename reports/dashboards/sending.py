"""Opens the trackers that `--log` names and sends records to them, once each.

A folder's `logged.json` has the digests of what was sent, so that a command that is started again sends nothing
twice.
A tracker that fails is a warning: the results are in the folder, and the same command sends them later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import write_json
from ssl4rl_bench.core.errors import BenchError, MissingDependency, UsageError, did_you_mean
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.reports.dashboards.base import Header, Log, StepRecord

TRACKERS = ("tensorboard", "trackio", "wandb")
"""The trackers; the extra that installs each has its name."""
FILE = "logged.json"
SCHEMA = 1
CLOSE_S = 60.0
"""The time in seconds after which a tracker that is still sending is left alone."""


@dataclass(frozen=True, slots=True)
class Target:
    """A tracker, and where it writes."""

    tracker: str
    destination: str = ""
    """A folder (tensorboard), a project (trackio), or [ENTITY/]PROJECT (wandb); empty for the default."""

    def __str__(self) -> str:
        return f"{self.tracker}:{self.destination}" if self.destination else self.tracker


def parse_targets(values: Iterable[str]) -> tuple[Target, ...]:
    """Parses the values of `--log`: TRACKER or TRACKER:DESTINATION.

    Raises:
        UsageError: an unknown tracker.
        MissingDependency: its package is not installed. It is not imported yet.
    """
    targets = []
    for value in values:
        tracker, _, destination = value.partition(":")
        if tracker not in TRACKERS:
            raise UsageError(
                f"--log {value} names no tracker{did_you_mean(tracker, TRACKERS)} ({', '.join(TRACKERS)})"
            )
        if find_spec(tracker) is None:
            raise MissingDependency.of(f"--log {tracker} needs the package {tracker}", tracker)
        targets.append(Target(tracker, destination))
    return tuple(dict.fromkeys(targets))


@dataclass
class Dashboards:
    """The trackers of one command. A tracker's run is opened by the first record that was not sent before."""

    targets: Sequence[Target]
    say: Callable[[str], None]
    """A callback that prints a line."""
    _open: dict[tuple[Target, str], Log] = field(default_factory=dict)
    _failed: set[Target] = field(default_factory=set)
    _without_step: set[str] = field(default_factory=set)
    """The ids of the headers whose missing step was reported."""

    def send(self, folder: Path, header: Header, records: Sequence[StepRecord]) -> None:
        """Sends the records that were not sent from this folder before. Never raises an error of a tracker.

        Args:
            folder: the folder of the run or the watch, which has the results.
        """
        for target in self.targets:
            if target not in self._failed:
                try:
                    self._send(target, folder, header, records)
                except Exception as error:  # a tracker may raise anything, and must not cost a result
                    self._fail(target, folder, error)

    def close(self) -> None:
        """Closes all runs that are open, and waits for each for up to `CLOSE_S` seconds."""
        for (target, _), log in self._open.items():
            try:
                place = log.place
                if within(CLOSE_S, log.close):
                    self.say(f"logged to {target}: {clean(redact(place), 300)}")
                else:
                    self.say(f"warning: {target} is still sending after {CLOSE_S:g} s, and is left alone")
            except Exception as error:  # as in `send`
                self.say(f"warning: {target} was not closed: {_reason(error)}")
        self._open.clear()

    def __enter__(self) -> Dashboards:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _send(self, target: Target, folder: Path, header: Header, records: Sequence[StepRecord]) -> None:
        key = f"{target} {header.id}"
        sent = _read(folder / FILE)
        known = sent.get(key, [])
        new = [record for record in records if record.digest not in known]
        for record in new:
            log = self._open.get((target, header.id))
            if log is None:
                opened: Any = import_module(f"{__package__}.{target.tracker}_log")
                open_log = getattr(opened, f"open_{target.tracker}")
                log = self._open[target, header.id] = open_log(header, folder, target.destination)
            log.write(record)
            known = [*known, record.digest]
            write_json(folder / FILE, {"schema": SCHEMA, "sent": {**sent, key: known}})
        if any(record.step is None for record in new) and header.id not in self._without_step:
            self._without_step.add(header.id)
            self.say(f"{header.name} has no step in its name or its files, so it is logged without one")

    def _fail(self, target: Target, folder: Path, error: Exception) -> None:
        self._failed.add(target)
        self.say(
            f"warning: not logged to {target}: {_reason(error)}; the results are in {folder}, and the same command "
            "logs them later"
        )


def within(seconds: float, function: Callable[[], None]) -> bool:
    """Calls a function in a thread; returns False if it has not ended in time. Raises what it raised."""
    errors: list[Exception] = []

    def call() -> None:
        try:
            function()
        except Exception as error:  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return not thread.is_alive()


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
    return clean(redact(text), 300)


def _read(path: Path) -> dict[str, list[str]]:
    """Reads what was sent; nothing if the file is missing, damaged or of a newer version."""
    try:
        value = parse_json(path.read_bytes())
        if value["schema"] != SCHEMA:
            return {}
        return {str(key): [str(digest) for digest in digests] for key, digests in value["sent"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
