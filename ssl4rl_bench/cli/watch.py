"""`ssl4rl-bench watch`: judges the checkpoints of a training run as they appear."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.options import (
    EngineSettings,
    Extractor,
    LogTo,
    MaxErrorRate,
    MaxTokens,
    OptionValues,
    Prompt,
    Tasks,
    Temperature,
    Workers,
)


def watch(
    checkpoints: Annotated[
        Path,
        Argument(
            help="The folder that a trainer writes checkpoints into, or a file of lines STEP<TAB>FOLDER.",
            metavar="DIR",
        ),
    ],
    policy: Annotated[
        Path,
        Option("--policy", "-p", help="The requirements for each checkpoint: a TOML file (docs/gate.md)."),
    ],
    tasks: Tasks,
    baseline: Annotated[
        Path | None,
        Option(
            "--baseline", "-b", help="The accepted run, or a baseline file (default: the first checkpoint)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="Folder of runs, history and leaderboard (default: runs/watch-DIR)."),
    ] = None,
    once: Annotated[
        bool, Option("--once", help="Judge the existing checkpoints, and exit with the worst new verdict.")
    ] = False,
    interval: Annotated[float, Option(min=0.01, help="Seconds between scans.")] = 30.0,
    keep_best: Annotated[
        bool, Option("--keep-best", help="Keep OUT/best, a link to the best accepted checkpoint.")
    ] = False,
    merge: Annotated[
        str | None,
        Option(
            metavar="auto|COMMAND",
            help="Merge shards (verl) and adapters first; COMMAND has {source} and {target}.",
        ),
    ] = None,
    stop_file: Annotated[
        Path | None,
        Option(
            help="Write this file when negative transfer is shown, for the trainer to stop (docs/watch.md)."
        ),
    ] = None,
    engine: Annotated[str, Option("--engine", "-e", help="auto, vllm, hf, replay or mock.")] = "auto",
    settings: EngineSettings = None,
    workers: Workers = 1,
    data: Annotated[
        OptionValues,
        Option("--data", "--images", metavar="[TASK=]PATH", help="As in `run`; TASK=PATH for several tasks."),
    ] = None,
    prompt: Prompt = None,
    limit: Annotated[
        int | None, Option(min=1, help="Only this many questions; the policy must allow partial runs.")
    ] = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    extractor: Extractor = "default",
    max_error_rate: MaxErrorRate = 0.01,
    log: LogTo = None,
) -> None:
    """Evaluate and judge each new checkpoint of a training run; started again, it continues.

    Finds checkpoints of this project, verl, EasyR1, ms-swift, LLaMA-Factory and TRL (docs/other-tools.md).

    Example:
      ssl4rl-bench watch out --policy gate.toml --tasks scenes,ssl_rotation_90 --keep-best

    Exit codes: 0 pass; 1 a new checkpoint fails; 3 inconclusive; 4 a checkpoint was not evaluated; 2 bad input, or
    nothing to judge with --once; 130 stopped.
    """
    from ssl4rl_bench.cli import watching
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.logging import open_dashboards
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.evaluation import EvaluationPlan
    from ssl4rl_bench.gating.policy import read_policy
    from ssl4rl_bench.watch.loop import WatchSettings

    dashboards = open_dashboards(log)

    plan = EvaluationPlan.of(
        [],
        split_names(tasks or []),
        data or [],
        limit=limit,
        engine=engine,
        options=EngineOptions.from_pairs(settings or [], EngineOptions(workers=workers)),
        prompt=prompt,
        temperature=temperature,
        max_tokens=max_tokens,
        extractor=extractor,
        max_error_rate=max_error_rate,
        command=tuple(sys.argv),
    )
    asked = WatchSettings(
        checkpoints=checkpoints,
        policy=read_policy(policy),
        baseline=baseline,
        out=out,
        once=once,
        interval=interval,
        keep_best=keep_best,
        dashboards=dashboards,
        merge=merge,
        stop_file=stop_file,
    )
    sys.exit(watching.watch_and_print(plan, asked, data or []))
