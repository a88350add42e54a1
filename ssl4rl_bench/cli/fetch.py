"""`ssl4rl-bench fetch`: downloads the files of benchmarks and checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_tasks
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.output import say


def fetch(
    tasks: Annotated[
        list[str] | None,
        Argument(
            metavar="TASK...",
            help="Names of tasks (`fetch --list`) or task files.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Folder (default: $SSL4RL_DATA or ~/.cache/ssl4rl-bench/data)."),
    ] = None,
    allow_md5: Annotated[
        bool, Option("--allow-md5", help="Accept a file with another MD5, with a warning.")
    ] = False,
    show: Annotated[bool, Option("--list", help="List the files, with MD5 and licence, and stop.")] = False,
) -> None:
    """Download the file of a benchmark and check its MD5; `run` then finds it without --data.

    Ctrl-C keeps what was downloaded, and the same command continues. A file that is there is only checked.

    Examples:
      ssl4rl-bench fetch mmstar
      ssl4rl-bench fetch --list

    Exit codes: 0 done; 2 the download or its check failed; 130 interrupted, resumable.
    """
    from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    from ssl4rl_bench.cli.common import console, split_names
    from ssl4rl_bench.cli.progress import Bars
    from ssl4rl_bench.core.errors import Interrupted, UsageError
    from ssl4rl_bench.datasets import fetching

    if show:
        _list()
        return
    if not tasks:
        raise UsageError("name a task: `ssl4rl-bench fetch --list` shows those that can be downloaded")
    for task in split_names(tasks):
        columns = DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()
        try:
            with Bars(console(stderr=True), *columns) as bars:

                def report(n_done: int, n_total: int | None, name: str = task, bars: Bars = bars) -> None:
                    n_mib, share = n_done >> 20, f"{100 * n_done // n_total}%" if n_total else "size unknown"
                    bars.show(name, n_done, n_total, f"{name}: {n_mib} MiB ({share})")

                fetched = fetching.fetch(task, out=out, allow_md5=allow_md5, on_progress=report)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted: the part of {task} that was downloaded is kept, and the same command continues"
            ) from None
        for warning in fetched.warnings:
            say(f"warning: {warning}", stderr=True)
        state = "downloaded" if fetched.n_received else "already there, nothing was downloaded"
        say(f"{fetched.path}: {state} ({fetched.size >> 20} MiB, MD5 {fetched.md5})")
        if out is not None:
            say(f"give it to `run` with --data {short_name(fetched.task)}={fetched.path}")


def _list() -> None:
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.core.neutral import clean
    from ssl4rl_bench.datasets.fetching import fetchable
    from ssl4rl_bench.reports.text.fitting import FittingTable, Narrowing

    narrowing = Narrowing(drop=("licence", "MiB", "MD5"))
    headers = ("task", "file", "MiB", "MD5", "licence")
    table = FittingTable(*headers, n_keys=1, narrowing=narrowing, box=None, pad_edge=False)
    for row in fetchable():
        size = f"{row.path.stat().st_size >> 20}" if row.path else "–"
        md5, licence = row.source.md5 or "unverified", row.source.licence or "unverified"
        table.add_row(short_name(row.task), clean(row.source.file or ""), size, md5, clean(licence))
    console().print(table)
    say("MiB: the size of a file that is already downloaded")
