"""`ssl4rl-bench watch`: judges the checkpoints of a training run as they come."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ssl4rl_bench.cli.wording import READERS

Names = list[str]


def watch(
    checkpoints: Annotated[
        Path, typer.Argument(help="The folder that a trainer writes checkpoints into.", metavar="DIR")
    ],
    policy: Annotated[
        Path, typer.Option("--policy", "-p", help="What each must show: a TOML file (docs/gate.md).")
    ],
    tasks: Annotated[
        Names, typer.Option("--tasks", "-t", help="Tasks, by comma or repeated (`list tasks`).")
    ],
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", "-b", help="The accepted run, or a baseline file (default: the first checkpoint)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where runs, history and leaderboard go (default: runs/watch-DIR)."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Judge what is there, and exit with the worst new verdict.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between looks.")] = 30.0,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="Keep OUT/best, a link to the best accepted checkpoint.")
    ] = False,
    engine: Annotated[str, typer.Option("--engine", "-e", help="auto, vllm, hf, replay or mock.")] = "auto",
    settings: Annotated[
        Names | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Engine option, as in `run`. Repeatable."),
    ] = None,
    data: Annotated[
        Names | None,
        typer.Option("--data", "--images", help="As in `run`; TASK=PATH for several tasks."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Prompt style: direct, cot or ssl4rl (default: the task's).")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only this many questions; the policy must allow partial runs.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="0 is greedy (default: the task's).")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in a reply (default: the task's).")
    ] = None,
    extractor: Annotated[str, typer.Option(help=f"How answers are read: {READERS}")] = "default",
    max_error_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of requests that may fail.")
    ] = 0.01,
) -> None:
    """Evaluate and judge each new checkpoint of a training run; started again, it goes on where it was.

    Exit codes with --once: 0 pass, 1 a new one fails, 3 inconclusive, 4 a new one was not evaluated. 130 stopped,
    2 misuse.

    Example: ssl4rl-bench watch out/ --policy gate.toml --tasks scenes,ssl_rotation_90 --keep-best
    """
    from ssl4rl_bench.cli import watching
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.evaluation import Plan
    from ssl4rl_bench.gating import policy as policies
    from ssl4rl_bench.task.registry import per_task
    from ssl4rl_bench.task.taskfile import expand

    names = expand(split_names(tasks))
    sources = per_task(data or [], names)
    plan = Plan(
        models=(),
        loading={full_name(name): {"data": sources.get(full_name(name)), "limit": limit} for name in names},
        engine=engine,
        options=EngineOptions.from_pairs(settings or []),
        prompt=prompt,
        temperature=temperature,
        max_tokens=max_tokens,
        extractor=extractor,
        max_error_rate=max_error_rate,
        command=tuple(sys.argv),
    )
    asked = watching.Asked(
        checkpoints=checkpoints,
        policy=policies.read(policy),
        baseline=baseline,
        out=out,
        once=once,
        interval=interval,
        keep_best=keep_best,
    )
    sys.exit(watching.watch(plan, asked, data or []))
