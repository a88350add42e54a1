"""The loop of a watch: scan, evaluate, judge and record, with recovery after a killed process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.comparison.load import load_evaluated, origin_of
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import (
    BenchError,
    DataError,
    EngineError,
    Interrupted,
    ModelError,
    StoreError,
    TooManyErrors,
    UsageError,
)
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.engines import resolve_name
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.evaluation import EvaluationPlan, Evaluator, load_tasks
from ssl4rl_bench.gating import series
from ssl4rl_bench.gating.expand import concrete_rules
from ssl4rl_bench.gating.of_runs import load_baseline
from ssl4rl_bench.gating.policy import ALL_TASKS, Policy
from ssl4rl_bench.reports.dashboards.sending import Dashboards
from ssl4rl_bench.run.observing import Observer
from ssl4rl_bench.run.rundir import RUNS, RunDir
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.watch import pages
from ssl4rl_bench.watch.dashboards import send_history
from ssl4rl_bench.watch.find import Checkpoint, Finder, Look
from ssl4rl_bench.watch.history import BASELINE, Entry, History
from ssl4rl_bench.watch.judging import Judged, Terms, family_of, judge_checkpoint
from ssl4rl_bench.watch.layouts import place_of
from ssl4rl_bench.watch.merging import Merger, check_command
from ssl4rl_bench.watch.nothing import describe_nothing, describe_unmerged
from ssl4rl_bench.watch.stopfile import StopFile

PATIENCE = 12
"""The number of scans that `once` waits for a folder that keeps changing."""
QUIET_S = 5.0
"""The maximum time without changes, in seconds, that is required before a checkpoint counts as written."""


@dataclass(frozen=True)
class WatchSettings:
    """The settings of a watch; `evaluation.EvaluationPlan` has those of each evaluation."""

    checkpoints: Path
    """The folder of checkpoints, or a spool file (`spool.parse_spool`)."""
    policy: Policy
    baseline: Path | None
    """A run or a baseline file; None uses the first checkpoint."""
    out: Path | None
    """The folder of the watch; None uses a folder in runs/ named after `checkpoints`."""
    once: bool
    """Whether to process the existing checkpoints and return."""
    interval: float
    """The time between scans, in seconds."""
    keep_best: bool
    """Whether `best` links to the best accepted checkpoint."""
    merge: str | None = None
    """The command that merges shards and adapters, or "auto"; None leaves them out."""
    stop_file: Path | None = None
    """A file that is written when a checkpoint shows negative transfer."""
    dashboards: Dashboards = field(default_factory=lambda: Dashboards((), print))
    """The trackers that get each checkpoint; none by default."""


def watch(
    plan: EvaluationPlan,
    asked: WatchSettings,
    data: Sequence[str],
    judged: Callable[[Judged], None],
    say: Callable[[str], None],
    observer: Observer,
) -> Watch:
    """Watches until it is stopped, or once, with one engine that stays loaded.

    Args:
        data: the `--data` values, for runs whose replies must be parsed again.
        judged: a callback for each new line, called after it is written.
        say: a callback that prints a line.

    Raises:
        BenchError: for any error that ends the watch. Evaluations and judgements so far are kept.
    """
    _check(plan, asked)
    stop_file = None if asked.stop_file is None else StopFile(asked.stop_file)
    if stop_file is not None and stop_file.check():
        say(f"{stop_file.path} exists already, and stays as it is: remove it before you train on")
    family = family_of(asked.checkpoints)
    out = asked.out or RUNS / f"watch-{family}"
    finder = Finder(asked.checkpoints, min(asked.interval, QUIET_S), merges=asked.merge is not None)
    finder.look()
    baseline = None
    if asked.baseline is not None:
        baseline = load_baseline(asked.baseline, data)
        concrete_rules(asked.policy.rule, baseline, baseline)  # checks that it has their tasks
    with History(out) as history, Stop().handling() as stop:
        tasks = load_tasks(plan, observer)
        for rule in asked.policy.rule:
            if rule.task != ALL_TASKS and rule.full_task not in [task.name for task in tasks]:
                raise UsageError(f"the policy has a rule for {rule.task}, which --tasks does not name")
        terms = Terms(asked.policy, baseline, family, out / "series")
        evaluator = Evaluator(plan, tasks, observer, stop)
        merger = None if asked.merge is None else Merger(out / "merged", asked.merge, say, stop)
        watched = Watch(
            *(finder, history, terms, evaluator, data, judged, say, asked.keep_best, asked.dashboards),
            merger=merger,
            stop_file=stop_file,
        )
        try:
            with stop.deferring():
                watched.recover()
                watched.refresh()
            if not asked.once:
                say(f"watching {asked.checkpoints} into {out}, every {asked.interval:g} s; Ctrl-C stops it")
            with stop.deferring():
                watched.follow(once=asked.once, interval=asked.interval, stop=stop)
        finally:
            evaluator.close()
            asked.dashboards.close()
    say(f"{len(watched.new)} new, {len(history.entries)} in all: {out / pages.PAGE}")
    return watched


def _check(plan: EvaluationPlan, asked: WatchSettings) -> None:
    """Checks what would otherwise fail only after the first checkpoint was evaluated."""
    check_extractor(plan.extractor)
    if resolve_name(plan.engine) == "openai":
        raise UsageError("watch cannot load other weights into a server: use --engine vllm or hf")
    if any(how["limit"] for how in plan.loading.values()) and "partial" not in asked.policy.allow:
        raise UsageError('--limit makes partial runs: allow them in the policy (allow = ["partial"])')
    if asked.merge is not None:
        check_command(asked.merge)


@dataclass
class Watch:
    """Watches one folder of checkpoints and writes one history. Fields are described at `watch`."""

    finder: Finder
    history: History
    terms: Terms
    evaluator: Evaluator
    data: Sequence[str]
    judged: Callable[[Judged], None]
    say: Callable[[str], None]
    keep_best: bool
    dashboards: Dashboards
    merger: Merger | None = None
    """What merges shards and adapters; None leaves them out."""
    stop_file: StopFile | None = None
    failed: set[tuple[str, str]] = field(default_factory=set)
    """Names and fingerprints of checkpoints that could not be evaluated. The next process tries them again."""
    new: list[Entry] = field(default_factory=list)
    """The lines that this process wrote."""
    _runs: dict[str, Evaluated] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)

    def refresh(self) -> None:
        """Updates the link to the best checkpoint, the curves, the page and the trackers."""
        if self.keep_best:
            places = {one.name: one.path for one in self.finder.listed.candidates if one.unmerged is None}
            merged = {} if self.merger is None else self.merger.places()
            pages.link_best(self.history, places | merged)
        if pages.stale(self.history):
            pages.refresh(self.history, self.terms.policy, self.terms.baseline, self.data, self.say)
        self._log()

    def _log(self) -> None:
        """Sends the checkpoints of the history that the trackers do not have yet."""
        if not self.dashboards.targets:
            return
        entries = [entry for entry in self.history.entries if (self.history.folder / entry.run).is_dir()]
        try:
            send_history(self.dashboards, self.history.folder, entries, list(map(self._run, entries)))
        except BenchError as error:
            self.say(f"warning: not logged: {error}")

    def recover(self) -> None:
        """Judges complete runs that are not in the history, after a crash or if the file was damaged.

        Raises:
            UsageError: if the history was judged by another policy or baseline.
            StoreError: if a run cannot be read.
        """
        if any(entry.terms != self.terms.digest for entry in self.history.entries):
            raise UsageError(
                f"{self.history.folder} was judged by another policy or baseline: choose another --out, or "
                "delete its history.jsonl and series/ to judge its runs again (none is evaluated again)"
            )
        if self.history.damaged:
            self.say(f"{self.history.path} was damaged; it is rebuilt from the runs")
        turns = series.order(self.terms.folder, self.terms.family)
        unjudged = []
        for path in sorted((self.history.folder / "runs").glob("*")):
            if not (path / "result.json").exists():
                continue
            run = RunDir.open(path)
            name = path.name.removesuffix(f"-{run.spec.fingerprint[:8]}")
            if not self.history.knows(name, run.spec.fingerprint):
                sha = run.spec.sha256
                turn = turns.index(sha) if sha in turns else len(turns)
                unjudged.append((turn, place_of(name) or (0, 0), name, path))
        for *_, name, path in sorted(unjudged):
            self._judge(name, path)

    def follow(self, *, once: bool, interval: float, stop: threading.Event) -> None:
        """Evaluates and judges checkpoints as they appear, in step order.

        Args:
            once: process the existing checkpoints and return.
            interval: the time between scans, in seconds.

        Raises:
            Interrupted: if `stop` was set.
            DataError: if the folder no longer exists, or `once` is set and no checkpoint was ever judged.
            BenchError: for problems that the user must fix, such as a full disk or a run directory that holds
                another experiment.
        """
        patience = PATIENCE
        while not stop.is_set():
            look = self.finder.look()
            checkpoint = next((candidate for candidate in look.ready if self._is_new(candidate)), None)
            if checkpoint is not None:
                self._take(checkpoint)
                continue
            self._report(look)
            if once:
                if not look.changing or not patience:
                    self._end_once(look)
                    return
                patience -= 1
                stop.wait(self.finder.quiet_s)
            else:
                stop.wait(min(interval, self.finder.quiet_s) if look.changing else interval)
        raise Interrupted("the watch was stopped; the same command continues it")

    def _report(self, look: Look) -> None:
        """Says once what is left out, and why."""
        judged = {entry.name for entry in self.history.entries}
        absent = {name: reason for name, reason in look.listed.absent.items() if name not in judged}
        lines = [f"{name} is left out: {reason}" for name, reason in {**look.broken, **absent}.items()]
        if look.unmerged:
            lines.append(describe_unmerged(look))
        for line in lines:
            if line not in self._reported:
                self.say(line)
        self._reported.update(lines)

    def _end_once(self, look: Look) -> None:
        if not self.history.entries and not self.failed:
            raise DataError(describe_nothing(self.finder.folder, look))
        if look.changing:
            self.say(f"left out, as they keep changing: {', '.join(look.changing)}")

    def _is_new(self, checkpoint: Checkpoint) -> bool:
        name, weights = checkpoint.name, checkpoint.fingerprint
        if checkpoint.unmerged is not None and self.merger is not None:
            weights = self.merger.known(checkpoint) or weights
        return not self.history.knows(name, weights) and (name, checkpoint.fingerprint) not in self.failed

    def _take(self, checkpoint: Checkpoint) -> None:
        """Evaluates and judges a checkpoint. One that cannot be evaluated must not end the watch."""
        try:
            model = self._resolve(checkpoint)
            path = self.history.run_path(checkpoint.name, model.fingerprint)
            # Other files may have been merged to weights that are in the history.
            is_new = not self.history.knows(checkpoint.name, model.fingerprint)
            if is_new:
                self.evaluator(model, path)
        except (ModelError, EngineError, TooManyErrors, DataError) as error:
            reason = str(error)
            if not checkpoint.path.is_dir():
                reason = (
                    "the trainer deleted it; let it keep more checkpoints (save_total_limit and the like)"
                )
            self.say(f"{checkpoint.name} was not evaluated: {reason}")
            self.failed.add((checkpoint.name, checkpoint.fingerprint))
            return
        if is_new:
            self._judge(checkpoint.name, path)
        if self.merger is not None:
            best = self.history.best
            self.merger.tidy(best.name if best is not None and self.keep_best else None)

    def _resolve(self, checkpoint: Checkpoint) -> Model:
        """Returns a checkpoint's weights, which are merged first if necessary."""
        place, digest = checkpoint.path, checkpoint.fingerprint
        if checkpoint.unmerged is not None and self.merger is not None:
            place = self.merger.merge(checkpoint)
            digest = self.merger.known(checkpoint) or digest
        model = resolve_model(str(place), chat=self.evaluator.needs_chat)
        if model.fingerprint != digest:
            raise ModelError(f"{place} changed just before its evaluation; it is checked again")
        return model

    def _judge(self, name: str, path: Path) -> None:
        (candidate,) = load_evaluated([path], self.data)
        baseline = self._baseline()
        judged = judge_checkpoint(
            self.terms,
            baseline,
            self._best(),
            candidate,
            name,
            str(path.relative_to(self.history.folder)),
            origin_of(candidate),
        )
        # The stop file comes before the history, so that a process that is killed between them writes both.
        stops = self.stop_file is not None and self.stop_file.write(
            judged.entry, candidate, baseline, self.terms
        )
        self.history.add(judged.entry)
        self.new.append(judged.entry)
        self.judged(judged)
        if stops and self.stop_file is not None:
            self.say(f"wrote {self.stop_file.path}, which tells the trainer to stop")
        self.refresh()

    def _baseline(self) -> Evaluated | None:
        first = next((entry for entry in self.history.entries if entry.verdict == BASELINE), None)
        return self.terms.baseline or (None if first is None else self._run(first))

    def _best(self) -> Evaluated | None:
        best = self.history.best
        return None if best is None or best.verdict == BASELINE else self._run(best)

    def _run(self, entry: Entry) -> Evaluated:
        if entry.run not in self._runs:
            try:
                (self._runs[entry.run],) = load_evaluated([self.history.folder / entry.run], self.data)
            except StoreError as error:
                raise StoreError(f"{error}; {entry.name} is the baseline of later checkpoints") from None
        return self._runs[entry.run]
