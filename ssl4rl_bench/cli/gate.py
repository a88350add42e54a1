"""`ssl4rl-bench gate`: judges a checkpoint against an accepted one by a policy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from ssl4rl_bench.cli.options import LogTo, MovedData
from ssl4rl_bench.core.output import say, say_command


def gate(
    baseline: Annotated[
        Path | None,
        Option(
            "--baseline",
            "-b",
            help="The accepted run: its directory, a saved baseline file, or a `watch` folder (its best so far).",
        ),
    ] = None,
    candidate: Annotated[
        Path | None, Option("--candidate", "-c", help="The new checkpoint's run directory.")
    ] = None,
    policy: Annotated[
        Path | None, Option("--policy", "-p", help="The requirements: a TOML file (docs/gate.md).")
    ] = None,
    save_baseline: Annotated[
        Path | None,
        Option(help="Write --candidate as a baseline file (.json or .json.gz) and judge nothing."),
    ] = None,
    family: Annotated[
        str | None,
        Option(
            help="A series of checkpoints that share alpha, such as a training run's name; one per policy."
        ),
    ] = None,
    family_dir: Annotated[Path, Option(help="Folder of the series.")] = Path(".ssl4rl-gate"),
    junit: Annotated[Path | None, Option(help="Write JUnit XML.")] = None,
    summary: Annotated[
        Path | None, Option(help="Write a Markdown summary; under GitHub Actions one is always added.")
    ] = None,
    json_file: Annotated[Path | None, Option("--json", help="Write everything as JSON.")] = None,
    html: Annotated[
        Path | None, Option(help="Write the leaderboard page of both runs, with the judgement.")
    ] = None,
    data: MovedData = None,
    log: LogTo = None,
) -> None:
    """Judge a checkpoint against an accepted one by a policy: pass, fail, or inconclusive.

    Examples:
      ssl4rl-bench gate --baseline runs/base --candidate runs/new --policy gate.toml
      ssl4rl-bench gate --candidate runs/base --save-baseline baseline.json.gz

    Exit codes: 0 pass; 1 fail; 3 inconclusive (the policy may map it); 2 bad input; 4 internal failure, no
    verdict.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.cli.gate_print import print_gate
    from ssl4rl_bench.cli.logging import open_dashboards
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.comparison.load import load_evaluated, origin_of
    from ssl4rl_bench.core.atomic import write_text
    from ssl4rl_bench.core.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK, UsageError
    from ssl4rl_bench.gating.baseline import save_baseline_file
    from ssl4rl_bench.gating.of_runs import judge, load_baseline
    from ssl4rl_bench.gating.policy import read_policy
    from ssl4rl_bench.reports.gate.files import to_json, to_junit, to_summary, workflow_commands
    from ssl4rl_bench.task.registry import per_task
    from ssl4rl_bench.watch.history import best_run

    dashboards = open_dashboards(log)
    if candidate is None:
        raise UsageError("--candidate is missing: name the run directory of the new checkpoint")
    if save_baseline is not None and dashboards.targets:
        raise UsageError("--log has no verdict to log with --save-baseline: leave one of them out")
    (new,) = load_evaluated([candidate], data or [], Terminal())
    if save_baseline is not None:
        save_baseline_file(new, save_baseline)
        say(f"wrote {save_baseline}: {new.label}, {', '.join(new.outcomes)}")
        return
    if baseline is None or policy is None:
        missing = "--baseline" if baseline is None else "--policy"
        raise UsageError(f"{missing} is missing: the gate needs --baseline, --candidate and --policy")
    rules = read_policy(policy)
    old = load_baseline(best_run(baseline) or baseline, data or [], Terminal())
    judged, turn = judge(rules, old, new, origin_of(new), family, family_dir)
    print_gate(console(), judged)
    if turn is not None:
        say(f"number {turn.number} of series {family}: alpha {turn.alpha:.4g} of {rules.alpha:g}")
    for path, text in (
        (junit, to_junit),
        (summary, to_summary),
        (json_file, to_json),
    ):
        if path is not None:
            write_text(path, text(judged))
    if html is not None:
        from ssl4rl_bench.comparison.load import loaded_tasks
        from ssl4rl_bench.reports.gate.text import headline
        from ssl4rl_bench.reports.gate.view import gate_views
        from ssl4rl_bench.reports.html import assemble, write

        moved = per_task(data or [], list(new.spec.tasks))
        tasks = loaded_tasks([old, new], moved, Terminal())[0] if old.path.is_dir() else None
        views = gate_views(judged)
        write(assemble(old, [new], tasks, lead=views, allow=rules.allow, title=headline(judged)), html)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in workflow_commands(judged):
            say_command(line)
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(to_summary(judged))
    if dashboards.targets:
        from ssl4rl_bench.reports.dashboards.runs import log_gate

        with dashboards:
            log_gate(dashboards, judged, new)
    sys.exit({"pass": EXIT_OK, "fail": EXIT_FAILED, "inconclusive": EXIT_INCONCLUSIVE}[judged.verdict])
