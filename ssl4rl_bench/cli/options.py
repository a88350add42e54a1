"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_aggregations, complete_runs, complete_tasks

OptionValues = list[str] | None
"""The values of a repeatable option."""
READERS = (
    "default, strict, vlmevalkit (VLMEvalKit's rules of September 2025, vlmevalkit-2025-09) or vlmevalkit-2026-06 "
    "(its newest)."
)
"""The names of the extractors. A test compares them with `extract.EXTRACTORS`."""

# Runs
RunPaths = Annotated[
    list[Path],
    Argument(
        help="Run directories, or their names below runs/.", metavar="RUN...", autocompletion=complete_runs
    ),
]
BaselineOption = Annotated[
    str | None, Option("--baseline", "-b", help="A run's model or folder (default: the first run).")
]
SharedTasks = Annotated[
    OptionValues,
    Option(
        "--tasks",
        "-t",
        metavar="TASK,...",
        help="Only these tasks (default: all that the runs share).",
        autocompletion=complete_tasks,
    ),
]
ShownTasks = Annotated[
    OptionValues,
    Option(
        "--tasks",
        "-t",
        metavar="TASK,...",
        help="Only these tasks (default: all).",
        autocompletion=complete_tasks,
    ),
]
Aggregation = Annotated[
    str | None,
    Option(
        "--aggregation",
        "-a",
        metavar="NAME",
        help="circular_micro, row_micro, vanilla0_micro or row_l3_macro (default: the benchmark's).",
        autocompletion=complete_aggregations,
    ),
]
PublishedOption = Annotated[
    OptionValues,
    Option(
        metavar="TABLE",
        help="Also show published numbers of the same benchmark: a table's name or file. They are not tested.",
    ),
]
AverageOption = Annotated[
    OptionValues,
    Option(metavar="[NAME=]TASK,TASK", help="Also the unweighted mean over these benchmarks. Repeatable."),
]
Allow = Annotated[
    OptionValues,
    Option(
        metavar="SETTING,...",
        help="Settings in which runs may differ: max_pixels,max_tokens (docs/compare.md).",
    ),
]
MovedData = Annotated[
    OptionValues,
    Option(
        metavar="[TASK=]PATH",
        help="The location of the data, if it has moved; TASK=PATH for several tasks.",
    ),
]

# Evaluations
Tasks = Annotated[
    OptionValues,
    Option(
        "--tasks",
        "-t",
        metavar="TASK,...",
        help="Tasks, separated by commas or repeated (`list tasks`); lmms:NAME is a task of lmms-eval.",
        autocompletion=complete_tasks,
    ),
]
EngineSettings = Annotated[
    OptionValues, Option("--set", metavar="KEY=VALUE", help="Engine option, as in `run`. Repeatable.")
]
Workers = Annotated[
    int,
    Option(min=1, metavar="N", help="Engines that share the work, one per GPU; needs the extra ray."),
]
BaseUrl = Annotated[OptionValues, Option(metavar="URL", help="Server for --engine openai. Repeatable.")]
Prompt = Annotated[
    str | None,
    Option(help="Prompt style: direct, cot, ssl4rl, boxed, vlmevalkit or lmms-eval (default: the task's)."),
]
Temperature = Annotated[float | None, Option(min=0.0, help="0 is greedy (default: the task's).")]
MaxTokens = Annotated[int | None, Option(min=1, help="Maximum tokens in a reply (default: the task's).")]
Extractor = Annotated[str, Option(help=f"How answers are read: {READERS}")]
LogTo = Annotated[
    OptionValues,
    Option(
        "--log",
        metavar="TRACKER[:TO]",
        help="Also log to tensorboard[:FOLDER], trackio[:PROJECT] or wandb[:PROJECT]. Repeatable "
        "(docs/other-tools.md).",
    ),
]
SkipBad = Annotated[bool, Option("--skip-bad", help="Leave out questions with bad rows.")]
MaxErrorRate = Annotated[float, Option(min=0.0, max=1.0, help="Share of requests that may fail.")]
