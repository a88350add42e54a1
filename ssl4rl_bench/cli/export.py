"""`ssl4rl-bench export`: a task's data in another project's format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    """Formats to write."""

    TSV = "tsv"


def export(
    task: Annotated[str, typer.Argument(help="Task name (`list tasks`).")],
    to: Annotated[Target, typer.Option(help="tsv: the file that VLMEvalKit reads.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write (default: TASK.tsv).")
    ] = None,
    data: Annotated[str | None, typer.Option(help="TSV, parquet file or folder, or hub id.")] = None,
) -> None:
    """Write a task's data in another project's format.

    Example: ssl4rl-bench export scenes --to tsv
    """
    from ssl4rl_bench.cli.common import PREFIX, full_name
    from ssl4rl_bench.interop.vlmevalkit import export_tsv
    from ssl4rl_bench.registry import load_benchmark

    loaded = load_benchmark(task, data=data)
    path = out or Path(f"{full_name(loaded.name).removeprefix(PREFIX)}.{to}")
    print(f"{path}: {export_tsv(loaded.rows, path)} rows")
