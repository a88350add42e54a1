"""The watch itself: look, evaluate, judge, write down; and going on where a killed one was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.comparison.load import load_evaluated, origin_of
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import (
    DataError,
    EngineError,
    Interrupted,
    ModelError,
    StoreError,
    TooManyErrors,
    UsageError,
)
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.evaluation import Evaluator
from ssl4rl_bench.gating import series
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.watch.find import Checkpoint, Finder, Look, place_of
from ssl4rl_bench.watch.history import BASELINE, Entry, History
from ssl4rl_bench.watch.judging import Judged, Terms, judge

PATIENCE = 12
"""Looks that `once` gives a folder that keeps changing."""


@dataclass
class Watch:
    """One folder of checkpoints, watched into one history."""

    finder: Finder
    history: History
    terms: Terms
    evaluator: Evaluator
    data: Sequence[str]
    """`--data` values, for runs whose replies have to be read again."""
    judged: Callable[[Judged], None]
    """Told of each new line, after it was written."""
    say: Callable[[str], None]
    """Prints a line."""
    failed: dict[str, str] = field(default_factory=dict)
    """Checkpoints that could not be evaluated: name to fingerprint. Tried again by the next process."""
    new: list[Entry] = field(default_factory=list)
    """Lines that this process wrote."""
    _runs: dict[str, Evaluated] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def recover(self) -> None:
        """Judges complete runs that the history lacks: a process died between the two, or the file was damaged.

        Raises:
            UsageError: the history was judged by another policy or baseline.
            StoreError: a run cannot be read.
        """
        if any(entry.terms != self.terms.digest for entry in self.history.entries):
            raise UsageError(
                f"{self.history.folder} was judged by another policy or baseline: choose another --out, or "
                "delete its history.jsonl and series/ to judge its runs again (none is evaluated again)"
            )
        if self.history.damaged:
            self.say(f"{self.history.path} was damaged; it is made again from the runs")
        turns = series.order(self.terms.folder, self.terms.family)
        found = []
        for path in sorted((self.history.folder / "runs").glob("*")):
            if not (path / "result.json").exists():
                continue
            run = RunDir.open(path)
            name = path.name.removesuffix(f"-{run.spec.fingerprint[:8]}")
            if not self.history.knows(name, run.spec.fingerprint):
                sha = run.spec.sha256
                turn = turns.index(sha) if sha in turns else len(turns)
                found.append((turn, place_of(name) or (0, 0), name, path))
        for *_, name, path in sorted(found):
            self._judge(name, path)

    def follow(self, *, once: bool, interval: float, stop: threading.Event) -> None:
        """Takes checkpoints as they come, in step order.

        Args:
            once: take what is there, and return.
            interval: seconds between looks.

        Raises:
            Interrupted: `stop` was set.
            DataError: the folder went away.
            BenchError: what the user must set right, as a full disk or another experiment in a run's place.
        """
        patience = PATIENCE
        while not stop.is_set():
            look = self.finder.look()
            checkpoint = next((each for each in look.ready if self._is_new(each)), None)
            if checkpoint is not None:
                self._take(checkpoint)
                continue
            self._tell(look)
            if once:
                if not look.changing:
                    return
                if not patience:
                    self.say(f"left out, as they keep changing: {', '.join(look.changing)}")
                    return
                patience -= 1
                stop.wait(self.finder.quiet_s)
            else:
                stop.wait(min(interval, self.finder.quiet_s) if look.changing else interval)
        raise Interrupted("the watch was stopped; the same command goes on where it was")

    def _is_new(self, checkpoint: Checkpoint) -> bool:
        name, weights = checkpoint.name, checkpoint.fingerprint
        return not self.history.knows(name, weights) and self.failed.get(name) != weights

    def _take(self, checkpoint: Checkpoint) -> None:
        path = self.history.run_path(checkpoint.name, checkpoint.fingerprint)
        try:
            self._evaluate(checkpoint, path)
        except (ModelError, EngineError, TooManyErrors, DataError) as error:
            # One bad checkpoint does not end the watch over a training run.
            self.say(f"{checkpoint.name} was not evaluated: {error}")
            self.failed[checkpoint.name] = checkpoint.fingerprint
            return
        self._judge(checkpoint.name, path)

    def _evaluate(self, checkpoint: Checkpoint, path: Path) -> None:
        model = resolve_model(str(checkpoint.path), chat=self.evaluator.needs_chat)
        if model.fingerprint != checkpoint.fingerprint:
            raise ModelError(
                f"{checkpoint.path} changed while it was about to be evaluated; it is looked at again"
            )
        self.evaluator(model, path)

    def _load(self, path: Path) -> Evaluated:
        (run,) = load_evaluated([path], self.data)
        return run

    def _judge(self, name: str, path: Path) -> None:
        candidate = self._load(path)
        judged = judge(
            self.terms,
            self._baseline(),
            self._best(),
            candidate,
            name,
            str(path.relative_to(self.history.folder)),
            origin_of(candidate),
        )
        self.history.add(judged.entry)
        self.new.append(judged.entry)
        self.judged(judged)

    def _baseline(self) -> Evaluated | None:
        first = next((entry for entry in self.history.entries if entry.verdict == BASELINE), None)
        return self.terms.baseline or (None if first is None else self._run(first))

    def _best(self) -> Evaluated | None:
        best = self.history.best
        return None if best is None or best.verdict == BASELINE else self._run(best)

    def _run(self, entry: Entry) -> Evaluated:
        if entry.run not in self._runs:
            try:
                self._runs[entry.run] = self._load(self.history.folder / entry.run)
            except StoreError as error:
                raise StoreError(
                    f"{error}; {entry.name} is what later checkpoints are compared with"
                ) from None
        return self._runs[entry.run]

    def _tell(self, look: Look) -> None:
        lines = [f"{name} is left out: {reason}" for name, reason in look.broken.items()]
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                self.say(line)
