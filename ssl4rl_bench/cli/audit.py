"""`ssl4rl-bench audit`: recomputes the derived numbers of a model card, or compares extractors on a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ssl4rl_bench.cli.options import OptionValues, ShownTasks

AuditFormat = Literal["table", "json"]


def audit(
    what: Annotated[Literal["card", "reading"], Argument(help="card: a file. reading: a run.")],
    target: Annotated[
        Path,
        Argument(help="A model card, Markdown or plain text; or a run directory or its name below runs/."),
    ],
    form: Annotated[AuditFormat, Option("--format", help="table or json.")] = "table",
    tasks: ShownTasks = None,
    data: Annotated[
        OptionValues,
        Option(
            metavar="[TASK=]PATH",
            help="reading: the location of the data, if it has moved; TASK=PATH for several tasks.",
        ),
    ] = None,
) -> None:
    """Recompute what a model card's tables derive, or re-read a run with each extractor.

    card: improvement rows, averages under each known aggregation, arrows and signs, bold marks.

    reading: status counts, accuracy, and agreement of each extractor with the default (Cohen's kappa). Besides
    default and strict, these are VLMEvalKit's rules by date: vlmevalkit-2025-09, which is `vlmevalkit` elsewhere, and
    vlmevalkit-2026-06, the newest.

    Examples:
      ssl4rl-bench audit card README.md
      ssl4rl-bench audit reading runs/mine --tasks scenes

    Exit codes: 0 nothing wrong; 1 a finding; 3 no finding, but tables that were not read; 2 bad input; 4
    internal failure.
    """
    from ssl4rl_bench.core.errors import UsageError

    if what == "reading":
        _reading(target, form, tasks or [], data or [])
        return
    if tasks or data:
        raise UsageError("--tasks and --data are for `audit reading`; `audit card` reads one file")
    _card(target, form)


def _card(path: Path, form: AuditFormat) -> None:
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.core.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, DataError, UsageError
    from ssl4rl_bench.reports.card_audit.audit import audit_card, unread
    from ssl4rl_bench.reports.card_audit.report import audit_json, audit_lines

    try:
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"cannot read the card {path}: {reason}") from None
    try:
        audits, others = audit_card(text), unread(text)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if form == "json":
        sys.stdout.write(json.dumps(audit_json(audits, str(path), others), indent=1) + "\n")
    else:
        screen = console()
        for line in audit_lines(audits, others):
            if isinstance(line, str):
                screen.sentence(line)
            else:
                screen.print(line)
    if any(card.findings for card in audits):
        raise typer.Exit(EXIT_FAILED)
    if others:
        raise typer.Exit(EXIT_INCONCLUSIVE)


def _reading(path: Path, form: AuditFormat, wanted: list[str], data: list[str]) -> None:
    from ssl4rl_bench.cli.common import console, split_names
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.comparison.pairing import marked
    from ssl4rl_bench.core.errors import UsageError, did_you_mean
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.reports.result.rereading import reread, reread_json, reread_table
    from ssl4rl_bench.run.rundir import open_run
    from ssl4rl_bench.score.reload import reload_tasks
    from ssl4rl_bench.task.registry import per_task

    run = open_run(path)
    known = list(run.spec.tasks)
    names = [full_name(name) for name in split_names(wanted)] or known
    for name in names:
        if name not in known:
            raise UsageError(
                f"run {run.path} has no task {name} (it has {', '.join(known)}){did_you_mean(name, known)}"
            )
    tasks = [
        task for task in reload_tasks(run, per_task(data, known), observer=Terminal()) if task.name in names
    ]
    read = {task.name: reread(run, task) for task in tasks}
    if form == "json":
        tables = {name: reread_json(rows) for name, rows in read.items()}
        value = {
            "schema": 1,
            "run": str(run.path),
            "engine": run.spec.mark or run.spec.engine,
            "tasks": tables,
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    screen = console()
    for name, rows in read.items():
        screen.print()
        screen.print(reread_table(f"{marked(run.spec.model, run.spec)} · {name}", rows))
    screen.print(
        "Other score: replies that are right by this extractor and wrong by the default, or the other way round. "
        "Kappa's interval treats replies as independent, which the copies of a question are not.",
        markup=False,
    )
