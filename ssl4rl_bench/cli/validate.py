"""`ssl4rl-bench validate`: is a task sound?"""

from __future__ import annotations

from typing import Annotated

import typer

SHOWN = 20
"""Failures printed."""


def validate(
    task: Annotated[str, typer.Argument(help="Task name (`list tasks`).")],
    data: Annotated[str | None, typer.Option(help="TSV, parquet file or folder, or hub id.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out questions with bad rows.")] = False,
) -> None:
    """Check a task without a model: gold answers score 1.0, copies complete, ids unique, images readable."""
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.errors import DataError
    from ssl4rl_bench.registry import load_task
    from ssl4rl_bench.reports.tables import clean
    from ssl4rl_bench.validate import validate as check

    loaded = load_task(task, data=data, skip_bad=skip_bad)
    report = check(loaded)
    screen = console()
    screen.print(
        f"{report.task}: {report.n_samples} samples of {report.n_groups} questions with {report.n_images} images"
    )
    for level, counts in loaded.counts().items():
        screen.print(f"{level}: " + ", ".join(f"{clean(k)} {n}" for k, n in counts.items()), markup=False)
    for warning in (*report.warnings, *loaded.partial_reasons):
        screen.print(f"warning: {clean(warning, 300)}", markup=False, style="yellow")
    for failure in report.failures[:SHOWN]:
        screen.print(clean(failure, 300), markup=False, style="red")
    if not report.ok:
        raise DataError(f"{report.task} is not sound: {len(report.failures)} failures, the first are above")
    screen.print("sound: every gold answer scores 1.0")
