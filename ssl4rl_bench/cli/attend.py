"""`ssl4rl-bench attend`: says whether checkpoints look at what they are asked about."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from ssl4rl_bench.cli.completion import complete_engines, complete_models, complete_tasks
from ssl4rl_bench.cli.options import EngineSettings, Prompt
from ssl4rl_bench.core.output import say

AttendFormat = Literal["table", "json"]


def attend(
    model: Annotated[
        list[str] | None,
        Option(
            "--model",
            "-m",
            autocompletion=complete_models,
            help="Folder, bundled checkpoint or hub id; repeat it. The first is the baseline.",
        ),
    ] = None,
    tasks: Annotated[
        str,
        Option(
            "--tasks",
            "-t",
            metavar="TASK",
            autocompletion=complete_tasks,
            help="One task: scenes (boxes of objects), or a benchmark with options (a grid).",
        ),
    ] = "scenes",
    data: Annotated[str | None, Option(help="The location of the benchmark's data.")] = None,
    questions: Annotated[int, Option("--questions", "-n", min=2, help="Number of questions.")] = 400,
    form: Annotated[
        str,
        Option(
            help="The reply whose likelihood counts: option, letter, thinking, or a text with {letter} or {option}."
        ),
    ] = "option",
    prompt: Prompt = None,
    layers: Annotated[
        bool, Option("--layers/--no-layers", help="Measure attention by layer (scenes, engine hf).")
    ] = True,
    least: Annotated[
        float, Option(min=0, help="Differences of at most this many nats are not claimed.")
    ] = 0.3,
    max_tokens: Annotated[
        int, Option(min=1, help="Maximum tokens in a reply (only with --form thinking).")
    ] = 256,
    engine: Annotated[
        str, Option("--engine", "-e", metavar="NAME", autocompletion=complete_engines, help="hf, or vllm.")
    ] = "hf",
    settings: EngineSettings = None,
    output: Annotated[AttendFormat, Option("--format", help="table or json.")] = "table",
    out: Annotated[
        Path | None,
        Option(
            "--out", "-o", help="Folder for attend.json, the figure, and what is measured, which is resumed."
        ),
    ] = None,
) -> None:
    """Say whether checkpoints look at what they are asked about, and whether one does so more than another.

    Scenes: the margin of the right option if the object asked about is hidden, minus that if another object of the
    picture is hidden; and attention to it by layer, asked about against not asked about. Other benchmarks: the margin
    with a blank picture and with another question's, and a grid of hidden cells (docs/attend.md).

    Examples:
      ssl4rl-bench attend --model tiny-base --model tiny-rotation --out runs/attend
      ssl4rl-bench attend --model BASE --model TRAINED --tasks mmbench_dev_en -n 100

    Exit codes: 0 done, whatever the result; 2 bad input; 4 the engine failed.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.cli.progress import Terminal
    from ssl4rl_bench.cli.report_views import print_views
    from ssl4rl_bench.engines import EngineOptions
    from ssl4rl_bench.signal.attend_tables import layer_table, sight_json, sight_lines, sight_view
    from ssl4rl_bench.signal.attending import AttendSettings, write_sight
    from ssl4rl_bench.signal.attending import attend as measure

    asked = AttendSettings(
        models=tuple(dict.fromkeys(model or ())),
        task=tasks,
        data=data,
        n_questions=questions,
        form=form,
        prompt=prompt,
        least=least,
        max_tokens=max_tokens,
        layers=layers,
        engine=engine,
        options=EngineOptions.from_pairs(settings or []),
        out=out,
    )
    sight = measure(asked, Terminal())
    if out is not None:
        for path in write_sight(sight, out):
            say(f"wrote {path}", stderr=True)
    if output == "json":
        sys.stdout.write(json.dumps(sight_json(sight), indent=1, allow_nan=False) + "\n")
        return
    screen = console()
    print_views([sight_view(sight)], screen)
    table = layer_table(sight)
    if table is not None:
        screen.print()
        screen.print(table)
        screen.print()
    for line in sight_lines(sight):
        screen.sentence(line)
