"""What `watch` does: its parts put together, with one engine kept warm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Terminal
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.core.errors import (
    EXIT_CRASH,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    UsageError,
)
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.engines import resolve_name
from ssl4rl_bench.evaluation import Evaluator, Plan, load_tasks
from ssl4rl_bench.gating import baseline as baseline_file
from ssl4rl_bench.gating.policy import Policy
from ssl4rl_bench.reports.gate.text import STYLES, headline
from ssl4rl_bench.run.rundir import RUNS
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.watch import pages
from ssl4rl_bench.watch.find import Finder
from ssl4rl_bench.watch.history import History, exit_verdict
from ssl4rl_bench.watch.judging import Judged, Terms, family_of
from ssl4rl_bench.watch.loop import Watch

QUIET_S = 5.0
"""At most so long a checkpoint must lie unchanged before it counts as written."""


@dataclass(frozen=True)
class Asked:
    """A `watch` command, parsed; but for what the evaluation needs."""

    checkpoints: Path
    policy: Policy
    baseline: Path | None
    out: Path | None
    once: bool
    interval: float
    keep_best: bool


def watch(plan: Plan, asked: Asked, data: Sequence[str]) -> int:
    """Watches until it is stopped, or once; returns the exit code.

    Raises:
        BenchError: as the command line reports it. What was evaluated and judged is kept.
    """
    check_extractor(plan.extractor)
    _check(plan, asked.policy)
    family = family_of(asked.checkpoints)
    out = asked.out or RUNS / f"watch-{family}"
    finder = Finder(asked.checkpoints, min(asked.interval, QUIET_S))
    finder.look()
    baseline = None
    if asked.baseline is not None:
        from_file = baseline_file.is_baseline(asked.baseline)
        baseline = (
            baseline_file.load(asked.baseline) if from_file else load_evaluated([asked.baseline], data)[0]
        )
        for rule in asked.policy.rule:
            baseline.task(rule.full_task)
    screen = console()

    def say(line: str) -> None:
        screen.print(Text(clean(line, 1000)), soft_wrap=True)

    def told(judged: Judged) -> None:
        _print(judged)
        refresh()

    def refresh() -> None:
        if asked.keep_best:
            pages.link_best(history, asked.checkpoints)
        if pages.stale(history):
            pages.refresh(history, asked.policy, baseline, data, say)

    with History(out) as history, Stop().handling() as stop:
        tasks = load_tasks(plan, Terminal())
        for rule in asked.policy.rule:
            if rule.full_task not in [task.name for task in tasks]:
                raise UsageError(f"the policy has a rule for {rule.task}, which --tasks does not name")
        terms = Terms(asked.policy, baseline, family, out / "series")
        evaluator = Evaluator(plan, tasks, Terminal(), stop)
        watched = Watch(finder, history, terms, evaluator, data, told, say)
        try:
            with stop.deferring():
                watched.recover()
                refresh()
            if not asked.once:
                say(f"watching {asked.checkpoints} into {out}, every {asked.interval:g} s; Ctrl-C ends it")
            with stop.deferring():
                watched.follow(once=asked.once, interval=asked.interval, stop=stop)
        finally:
            evaluator.close()
        say(f"{len(watched.new)} new, {len(history.entries)} in all: {out / pages.PAGE}")
        worst = exit_verdict(watched.new)
        if watched.failed and worst != "fail":
            return EXIT_CRASH  # no verdict on a checkpoint is none that lets it ship
        return {"fail": EXIT_FAILED, "inconclusive": EXIT_INCONCLUSIVE}.get(worst, EXIT_OK)


def _check(plan: Plan, policy: Policy) -> None:
    """What would only show after the first checkpoint was evaluated."""
    if resolve_name(plan.engine) == "openai":
        raise UsageError("watch cannot give a server other weights: use --engine vllm or hf")
    if any(how["limit"] for how in plan.loading.values()) and "partial" not in policy.allow:
        raise UsageError('--limit makes partial runs: allow them in the policy (allow = ["partial"])')


def _print(judged: Judged) -> None:
    entry, screen = judged.entry, console()
    if judged.gate is None:
        screen.print(Text(f"{entry.name}: the baseline of the others"))
        return
    # A number of checkpoints shares one alpha, so the share is part of the verdict.
    screen.print(
        Text(
            f"{headline(judged.gate)}, share {entry.number} of the series", style=STYLES[judged.gate.verdict]
        ),
        soft_wrap=True,
    )
    for reason in entry.reasons:
        screen.print(Text(f"  {reason}"), soft_wrap=True)
    for note in judged.gate.notes:
        screen.print(Text(f"  note: {clean(note, 600)}", style="yellow"), soft_wrap=True)
    if entry.verdict_best is not None:
        screen.print(Text(f"  against the best so far: {entry.verdict_best}"))
    if entry.best:
        screen.print(Text(f"  {clean(entry.name)} is the best accepted so far"))
    if entry.hint is not None:
        screen.print(Text(f"  {clean(entry.hint, 1000)}", style="bold yellow"), soft_wrap=True)
