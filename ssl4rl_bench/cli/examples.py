"""`ssl4rl-bench examples`: copies files to start from, which come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.core.output import say


def examples(
    names: Annotated[
        list[str] | None,
        Argument(
            metavar="NAME...",
            help="Examples or folders of examples (`list examples`); all of them by default.",
        ),
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="Folder of the copies.")] = Path("examples"),
    force: Annotated[bool, Option("--force", help="Replace files that you have changed.")] = False,
) -> None:
    """Copy recipes, launch files, Slurm jobs, a policy for `gate` and task files into a folder.

    `ssl4rl-bench list examples` lists them with their purpose and the paths of the installed files. A copy that has
    been changed is not replaced.

    Example:
      ssl4rl-bench examples gate.toml accelerate

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.examples import copy_examples

    for path in copy_examples(names or (), out, force):
        say(path)
