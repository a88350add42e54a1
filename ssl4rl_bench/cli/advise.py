"""`ssl4rl-bench advise`: says before a training whether there is a signal, and whether the model sees."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from ssl4rl_bench.cli.completion import complete_engines, complete_models
from ssl4rl_bench.cli.options import EngineSettings, Prompt, Tasks

AdviseFormat = Literal["table", "markdown", "json"]


def advise(
    model: Annotated[
        str | None,
        Option(
            "--model",
            "-m",
            autocompletion=complete_models,
            help="Folder, bundled checkpoint or hub id (default: the recipe's base).",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        Option("--recipe", help="Recipe of `train`, whose tasks, images, sampling and reward are used."),
    ] = None,
    tasks: Tasks = None,
    images: Annotated[
        str | None,
        Option(
            "--images",
            "--data",
            help="Folder of images, TSV, parquet, hub id, scenes, or a task (default: the recipe's).",
        ),
    ] = None,
    pictures: Annotated[int, Option("--pictures", "-n", min=1, help="Number of pictures per task.")] = 256,
    replies: Annotated[
        int | None, Option("--replies", "-k", help="Replies per sample (default: the recipe's group; 8).")
    ] = None,
    scheme: Annotated[
        str | None,
        Option(help="Reward: exact, per_position, scaled or released (default: the recipe's; exact)."),
    ] = None,
    prompt: Prompt = None,
    temperature: Annotated[float | None, Option(help="Default: the recipe's; 1.")] = None,
    max_tokens: Annotated[
        int | None, Option(min=1, help="Maximum tokens in a reply (default: the recipe's or the task's).")
    ] = None,
    seed: Annotated[int, Option(min=0, help="Seed of the replies.")] = 0,
    engine: Annotated[
        str,
        Option(
            "--engine",
            "-e",
            metavar="NAME",
            autocompletion=complete_engines,
            help="auto, vllm, hf or openai. Only hf and vllm give the margin.",
        ),
    ] = "auto",
    settings: EngineSettings = None,
    form: Annotated[AdviseFormat, Option("--format", help="table, markdown or json.")] = "table",
    out: Annotated[
        Path | None, Option("--out", "-o", help="Write to this file; a table as Markdown.")
    ] = None,
) -> None:
    """Say before a training whether its rewards differ, whether the model sees, and what to change first.

    Verdicts: no signal, form first, sees a little, guesses; too few to tell below 128 pictures. None of them says
    that a model will learn (docs/advise.md).

    Examples:
      ssl4rl-bench advise --recipe tiny_rotation
      ssl4rl-bench advise --model Qwen/Qwen2.5-VL-3B-Instruct --tasks ssl_probes --images photos

    Exit codes: 0 done, whatever the verdicts; 2 bad input; 4 the engine failed.
    """
    from ssl4rl_bench.cli.common import console, split_names
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.core.atomic import write_text
    from ssl4rl_bench.signal.advising import advise as measure
    from ssl4rl_bench.signal.asking import settings_of
    from ssl4rl_bench.signal.tables import advice_json, advice_lines, advice_markdown, advice_tables

    asked = settings_of(
        recipe,
        model=model,
        tasks=split_names(tasks or []),
        images=images,
        n_pictures=pictures,
        replies=replies,
        scheme=scheme,
        prompt=prompt,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        engine=engine,
        set_options=settings or [],
    )
    advice = measure(asked, Terminal())
    if form == "table" and out is None:
        screen = console()
        for table in advice_tables(advice):
            screen.print(table)
            screen.print()
        for line in advice_lines(advice):
            screen.sentence(line)
        return
    text = json.dumps(advice_json(advice), indent=1) + "\n" if form == "json" else advice_markdown(advice)
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
