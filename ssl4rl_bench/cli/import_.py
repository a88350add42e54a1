"""`ssl4rl-bench import`: turns a file of predictions of another tool into a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_tasks
from ssl4rl_bench.cli.options import Extractor, OptionValues


def import_(
    file: Annotated[
        Path,
        Argument(
            help="VLMEvalKit's xlsx, tsv or json; lmms-eval's or lm-eval's samples; a table of id and text."
        ),
    ],
    tasks: Annotated[
        OptionValues,
        Option(
            "--tasks",
            "-t",
            metavar="TASK",
            help="The task that the predictions are of (`list tasks`).",
            autocompletion=complete_tasks,
        ),
    ] = None,
    model: Annotated[
        str | None, Option("--model", "-m", metavar="NAME", help="Name in tables (default: the file's).")
    ] = None,
    data: Annotated[
        str | None, Option(metavar="PATH", help="Data of the task: TSV, parquet file or folder, or hub id.")
    ] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Run directory (default: runs/MODEL-HASH).")
    ] = None,
    form: Annotated[
        str | None,
        Option(
            "--format", metavar="NAME", help="vlmevalkit, lmms-eval, lm-eval or plain (default: recognized)."
        ),
    ] = None,
    results: Annotated[
        Path | None,
        Option(
            help="Results file of lmms-eval or lm-eval with settings (default: the one next to the samples)."
        ),
    ] = None,
    settings: Annotated[
        OptionValues,
        Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting that you know: prompt, image, chat_template, temperature, top_p, top_k, max_tokens, "
            "min_pixels, max_pixels, dtype, attn or max_model_len. Repeatable.",
        ),
    ] = None,
    allow_partial: Annotated[
        bool, Option("--allow-partial", help="Import a file that lacks replies, as a partial run.")
    ] = False,
    extractor: Extractor = "default",
) -> None:
    """Import predictions of another tool as a run, which is marked as imported.

    Questions, options and answers in the file are compared with those of the task. Settings that the file does not
    state are recorded as unknown, and `compare` and `gate` take them only with --allow. An unchanged file that
    `export` wrote has all settings, and is the run it came from.

    Examples:
      ssl4rl-bench import Qwen2.5-VL-3B_MMStar.xlsx --tasks mmstar --model Qwen2.5-VL-3B
      ssl4rl-bench import predictions.csv --tasks scenes --set temperature=0

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.cli.common import console, split_names
    from ssl4rl_bench.cli.progress import WrappedTerminal
    from ssl4rl_bench.cli.tables import print_tables
    from ssl4rl_bench.core.errors import UsageError
    from ssl4rl_bench.core.neutral import one_line
    from ssl4rl_bench.interop.predictions.importing import ImportPlan, import_plan

    names = split_names(tasks or [])
    if len(names) != 1:
        raise UsageError(
            "--tasks takes one task, the one that the predictions are of (`ssl4rl-bench list tasks`)"
        )
    plan = ImportPlan(
        file,
        names[0],
        model,
        data,
        out,
        form,
        results,
        tuple(settings or ()),
        allow_partial,
        extractor,
        tuple(sys.argv),
    )
    run = import_plan(plan, WrappedTerminal())
    print_tables([run.result], list(run.spec.tasks))
    console().print(one_line(run.path / "result.json"), soft_wrap=True)
