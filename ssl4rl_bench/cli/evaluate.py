"""Runs an evaluation for the commands `run` and `demo` and prints its results."""

from __future__ import annotations

from collections.abc import Sequence

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Terminal
from ssl4rl_bench.cli.tables import print_tables
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.types import ImagePart, Task, TextPart
from ssl4rl_bench.evaluation import (
    EvaluationPlan,
    engine_for,
    evaluate_plan,
    load_tasks,
    narrowed,
    spec_of,
    subjects_of,
)
from ssl4rl_bench.reports.dashboards.runs import log_run
from ssl4rl_bench.reports.dashboards.sending import Dashboards


def run_and_print(plan: EvaluationPlan, dashboards: Dashboards | None = None) -> None:
    """Runs the plan, prints its tables, and sends the results to the trackers.

    Raises:
        BenchError: as `evaluate_plan`. The replies of other models are kept.
    """
    with Stop().handling() as stop:
        done = evaluate_plan(plan, Terminal(), stop)
    print_tables([one.result for one in done], list(done[0].result["tasks"]))
    screen = console()
    for one in done:
        screen.print(one_line(one.path / "result.json"), soft_wrap=True)
    if dashboards is not None:
        with dashboards:
            for one in done:
                log_run(dashboards, one.path, one.result)
    if plan.shard is not None:
        screen.print(
            f"shard {plan.shard}: join all {plan.shard.count} with `ssl4rl-bench merge` once they are complete"
        )


def print_plan(plan: EvaluationPlan) -> None:
    """Prints the resolved spec, counts and one rendered prompt per task. Uses no model and no server."""
    name, subjects = subjects_of(plan)
    tasks = load_tasks(plan, Terminal())
    parts: Sequence[Task] = ()
    screen = console()
    for subject in subjects:
        version = "asked when it runs" if name == "openai" else engine_for(name, subject, plan).version
        spec, parts = narrowed(plan, spec_of(plan, subject, name, version, tasks), tasks)
        screen.print_json(data=spec.to_json(), ensure_ascii=not screen.encoding.startswith("utf"))
    if plan.preset is not None:
        screen.rule(one_line(f"preset {plan.preset}"))
        for line in plan.preset_lines():
            screen.print(one_line(line))
    for task in parts:
        screen.rule(one_line(task.name))
        screen.print(one_line(f"{len(task.samples)} samples of {task.n_groups} groups from {task.source}"))
        for level, counts in task.counts().items():
            screen.print(one_line(f"{level}: " + ", ".join(f"{key} {n}" for key, n in counts.items())))
        sample = task.samples[0]
        screen.print()
        screen.print(one_line(f"sample {sample.id}, target {sample.target}:"))
        for message in sample.messages:
            for part in message.content:
                if isinstance(part, TextPart):
                    screen.print(part.text)
                elif isinstance(part, ImagePart):
                    screen.print(f"<image {part.image.sha256[:12]}, {len(part.image.data)} bytes>")
        for warning in task.warnings:
            screen.print(one_line(f"warning: {warning}"))
