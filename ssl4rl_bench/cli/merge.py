"""`ssl4rl-bench merge`: joins the shards of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.options import MovedData


def merge(
    shards: Annotated[
        list[Path],
        Argument(metavar="SHARD...", help="Run directories of all shards, or their names below runs/."),
    ],
    out: Annotated[
        Path | None, Option("--out", "-o", help="Run directory (default: runs/MODEL-HASH).")
    ] = None,
    data: MovedData = None,
) -> None:
    """Join the shards of a run (`run --shard I/N`) into the run that one machine would have made.

    The shards must be complete. They are not changed, and can be deleted afterwards.

    Example:
      ssl4rl-bench merge runs/base.shard-* --out runs/base

    Exit codes: 0 done; 2 a shard is missing, incomplete or of another run; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.cli.tables import print_tables
    from ssl4rl_bench.core.neutral import one_line
    from ssl4rl_bench.score.consistency import finished
    from ssl4rl_bench.score.merging import merge_shards

    run = merge_shards(shards, out, data or [], sys.argv, Terminal())
    print_tables([finished(run)], list(run.spec.tasks))
    console().print(one_line(run.result_path), soft_wrap=True)
