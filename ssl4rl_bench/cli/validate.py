"""`ssl4rl-bench validate`: checks whether a task is sound and whether its images leak the answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_tasks
from ssl4rl_bench.cli.options import SkipBad

if TYPE_CHECKING:
    from rich.console import Console

    from ssl4rl_bench.task.leaks import LeakBaseline

SHOWN = 20
"""Maximum number of printed failures."""


def validate(
    task: Annotated[str, Argument(help="Task name or file (`list tasks`).", autocompletion=complete_tasks)],
    data: Annotated[
        str | None,
        Option(
            "--data",
            "--images",
            help="TSV, parquet file or folder, or hub id; for an SSL task also a folder of images, or a task.",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    samples: Annotated[
        int, Option(min=0, help="SSL tasks: samples for the blind baselines; 0 for none.")
    ] = 2000,
    sheet: Annotated[
        Path | None, Option(help="SSL tasks: write a contact sheet of samples to this PNG.")
    ] = None,
) -> None:
    """Check a task without a model: gold answers score 1.0, copies complete, ids unique, images readable.

    For an SSL task it also prints what blind guesses earn: a constant answer, image sizes, borders, statistics.

    Examples:
      ssl4rl-bench validate scenes
      ssl4rl-bench validate ssl_rotation_90 --images photos --sheet rotation.png

    Exit codes: 0 valid; 2 not valid, or bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.cli.progress import LoadProgress
    from ssl4rl_bench.core.errors import DataError, UsageError
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.reports.result.tables import clean
    from ssl4rl_bench.task.registry import load_probe, load_task
    from ssl4rl_bench.task.taskfile import load_taskfile
    from ssl4rl_bench.task.validate import validate_task

    ssl = load_taskfile(task).kind == "ssl"
    if sheet is not None and not ssl:
        raise UsageError(f"--sheet draws SSL tasks, and {full_name(task)} is not one")
    with LoadProgress(console(stderr=True), task) as on_share:
        loaded = load_task(task, data=data, skip_bad=skip_bad, on_share=on_share)
    report = validate_task(loaded)
    screen = console()
    unit = "images" if ssl else "questions"
    screen.print(
        f"{report.task}: {report.n_samples} samples of {report.n_groups} {unit}, {report.n_images} pictures shown"
    )
    for level, counts in loaded.counts().items():
        screen.print(f"{level}: " + ", ".join(f"{clean(k)} {n}" for k, n in counts.items()))
    for warning in (*report.warnings, *loaded.partial_reasons):
        screen.print(f"warning: {clean(warning, 300)}", style="yellow")
    for failure in report.failures[:SHOWN]:
        screen.print(clean(failure, 300), style="red")
    if not report.ok:
        raise DataError(f"{report.task} is not valid: {len(report.failures)} failures, the first are above")
    screen.print("valid: every gold answer scores 1.0")
    if ssl:
        if sheet is not None:
            from ssl4rl_bench.core.atomic import reporting
            from ssl4rl_bench.reports.result.probe_sheet import probe_sheet

            with reporting(sheet):
                probe_sheet([load_probe(task, data=data)], n=12).save(sheet, "PNG")
            screen.print(f"{sheet}: samples with their answers")
        if samples:
            _baselines(screen, task, data, samples)


def _baselines(screen: Console, task: str, data: str | None, n: int) -> None:
    from ssl4rl_bench.core.errors import MissingDependency
    from ssl4rl_bench.task.leaks import baselines
    from ssl4rl_bench.task.pictures.making import Opened
    from ssl4rl_bench.task.registry import DRAWN, load_ssl, select_images
    from ssl4rl_bench.task.text_leaks import text_baselines

    taskfile, ssl = load_ssl(task)
    try:
        with select_images(data or taskfile.images or DRAWN, split=taskfile.split) as pictures:
            if ssl.texts:
                opened = [Opened.of(picture.read(), picture.located.name) for picture in pictures.pictures]
                results = text_baselines(ssl, opened, n)
            else:
                results = baselines(ssl, [picture.read() for picture in pictures.pictures], n)
    except MissingDependency as error:
        screen.print(f"no blind baselines: {error}", style="yellow")
        return
    screen.print(_table(results))
    measured = "words, their places and their pairs" if ssl.texts else "sizes, borders and traces"
    for line, style in _verdicts(results, measured):
        screen.print(line, markup=False, style=style)


def _verdicts(
    baselines: list[LeakBaseline], measured: str = "sizes, borders and traces"
) -> Iterator[tuple[str, str | None]]:
    """Yields sentences that interpret the baselines, each with its style."""
    leaking = [one.name for one in baselines if one.leak == "yes"]
    unclear = [one for one in baselines if one.leak == "unclear"]
    if leaking:
        yield f"leaks: {', '.join(leaking)} reveal the answer without the content", "red"
    for one in unclear:
        assert one.control is not None
        yield (
            f"undecided: {one.name} are right in {100 * one.accuracy:.2f}% of guesses and their control, which "
            f"uses parts without traces, in {100 * one.control:.2f}%: these measures detect content, or a leak that "
            "covers the whole picture; inspect --sheet, and validate on other images",
            "yellow",
        )
    if not leaking and not unclear:
        yield f"no leak found: {measured} predict the answer no better than chance", None
    for one in baselines:
        if not one.leak and one.differs:
            yield (
                f"{one.name} of the pictures predict the answer in {100 * one.accuracy:.2f}% of guesses: a model can "
                "learn these instead of the task",
                None,
            )


def _table(baselines: list[LeakBaseline]) -> object:
    from ssl4rl_bench.reports.text.cells import plain_table
    from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, percent

    guess = (
        f"chance {100 * baselines[0].chance:.2f}%, {baselines[0].n} guesses on {baselines[0].n_images} images"
    )
    headers = ("From", "Right %", "95% interval", "Control %", "Leak")
    table = plain_table(f"blind baselines ({guess})", headers)
    for one in baselines:
        table.add_row(
            one.name, percent(one.accuracy), interval(one.ci95), percent(one.control), one.leak or NO_DATA
        )
    return table
