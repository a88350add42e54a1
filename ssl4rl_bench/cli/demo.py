"""`ssl4rl-bench demo`: evaluates the bundled checkpoint on the built-in benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Option


def demo(
    engine: Annotated[str, Option("--engine", "-e", help="auto, vllm or hf.")] = "auto",
    out: Annotated[
        Path | None, Option("--out", "-o", help="Run directory (default: runs/tiny-base-HASH).")
    ] = None,
) -> None:
    """Evaluate the bundled checkpoint on the built-in benchmark with a real engine, and print the table.

    Example:
      ssl4rl-bench demo

    Exit codes: 0 done; 1 more failed requests than allowed; 2 bad input; 4 the engine failed; 130 interrupted,
    resumable.
    """
    from ssl4rl_bench.cli.evaluate import run_and_print
    from ssl4rl_bench.core.output import say
    from ssl4rl_bench.evaluation import EvaluationPlan

    run_and_print(
        EvaluationPlan.of(["tiny-base"], ["scenes"], engine=engine, out=out, command=tuple(sys.argv))
    )
    say(
        "scenes is drawn by this package; its numbers are not comparable with MMBench's. "
        "Next: ssl4rl-bench run --model FOLDER_OR_HUB_ID --tasks mmbench_dev_en --data FILE"
    )
