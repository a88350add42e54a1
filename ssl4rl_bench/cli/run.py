"""`ssl4rl-bench run`: evaluates checkpoints on tasks, writes a run directory for each, and prints tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from ssl4rl_bench.cli.completion import complete_engines, complete_models, complete_presets
from ssl4rl_bench.cli.options import (
    BaseUrl,
    Extractor,
    LogTo,
    MaxTokens,
    OptionValues,
    Prompt,
    Tasks,
    Temperature,
    Workers,
)


def run(
    model: Annotated[
        OptionValues,
        Option(
            "--model",
            "-m",
            metavar="MODEL",
            autocompletion=complete_models,
            help="Folder, bundled checkpoint, hub id, name at a server, or of recorded replies. Repeatable.",
        ),
    ] = None,
    tasks: Tasks = None,
    data: Annotated[
        OptionValues,
        Option(
            "--data",
            "--images",
            metavar="[TASK=]PATH",
            help="TSV, parquet file or folder, or owner/name[@revision][#config/split] (hub); TASK=PATH for several. "
            "For SSL tasks their images: one of these, a folder of images, scenes, or another task.",
        ),
    ] = None,
    engine: Annotated[
        str,
        Option(
            "--engine",
            "-e",
            metavar="NAME",
            help="auto, vllm, hf, openai, replay or mock (--set mock=random).",
            autocompletion=complete_engines,
        ),
    ] = "auto",
    settings: Annotated[
        OptionValues,
        Option(
            "--set",
            metavar="KEY=VALUE",
            help="Engine option: min_pixels, max_pixels, dtype, tensor_parallel_size, batch_size, concurrency, "
            "attn, device_map, max_model_len, timeout, tokens_field, renderers, ray_address, replies, margin, "
            "vllm.KEY, ... Repeatable.",
        ),
    ] = None,
    workers: Workers = 1,
    base_url: BaseUrl = None,
    preset: Annotated[
        str | None,
        Option(
            metavar="NAME",
            autocompletion=complete_presets,
            help="Prompt, pixel limits and sampling as in another project: ssl4rl, vlmevalkit, lmms-eval or "
            "qwen2.5-vl-card. Other options take precedence; --dry-run shows the values and their sources.",
        ),
    ] = None,
    prompt: Prompt = None,
    image: Annotated[
        str,
        Option(
            metavar="HOW",
            help="real, or to measure answers without the image: blank (grey), shuffled (another question's) "
            "or none.",
        ),
    ] = "real",
    limit: Annotated[
        int | None, Option(min=1, help="Only this many questions, each with all its copies, or images.")
    ] = None,
    repeats: Annotated[
        int, Option(min=1, help="Number of times to ask each sample; needs --temperature.")
    ] = 1,
    seed: Annotated[int, Option(min=0, help="Seed of the sampled replies; needs --temperature.")] = 0,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    extractor: Extractor = "default",
    out: Annotated[
        Path | None, Option("--out", "-o", help="Run directory (default: runs/MODEL-HASH).")
    ] = None,
    shard: Annotated[
        str | None,
        Option(
            metavar="I/N", help="Ask only the I-th of N parts of the questions; `merge` joins the N runs."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, Option("--skip-bad", hidden=True, help="Leave out questions with bad rows.")
    ] = False,
    log: LogTo = None,
    max_error_rate: Annotated[
        float, Option(hidden=True, min=0.0, max=1.0, help="Share of requests that may fail.")
    ] = 0.01,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Print the resolved run and one prompt per task.")
    ] = False,
    replies: Annotated[
        Path | None,
        Option(
            hidden=True,
            help="JSONL file, run directory, or folder of TASK.jsonl: the older form of --set replies=PATH.",
        ),
    ] = None,
    mock: Annotated[
        str, Option(hidden=True, help="gold, random or constant:B: the older form of --set mock=KIND.")
    ] = "gold",
) -> None:
    """Evaluate checkpoints on tasks. The same command again resumes; no request is sent twice.

    Examples:
      ssl4rl-bench run --model tiny-base --tasks scenes
      ssl4rl-bench run --model Qwen/Qwen2.5-VL-3B-Instruct --tasks mmbench_dev_en,ssl_probes --preset ssl4rl

    Exit codes: 0 done; 1 more failed requests than allowed; 2 bad input; 4 the engine failed; 130 interrupted,
    resumable.
    """
    from ssl4rl_bench.cli.common import split_names
    from ssl4rl_bench.cli.evaluate import print_plan, run_and_print
    from ssl4rl_bench.cli.logging import open_dashboards
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.evaluation import EvaluationPlan
    from ssl4rl_bench.run.shards import Shard

    dashboards = open_dashboards(log)
    options = EngineOptions(base_urls=tuple(base_url or ()), replies=replies, mock=mock, workers=workers)
    plan = EvaluationPlan.of(
        model or [],
        split_names(tasks or []),
        data or [],
        limit=limit,
        skip_bad=skip_bad,
        engine=engine,
        options=EngineOptions.from_pairs(settings or [], options),
        preset=preset,
        prompt=prompt,
        image=image,
        repeats=repeats,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        extractor=extractor,
        out=out,
        max_error_rate=max_error_rate,
        shard=None if shard is None else Shard.parse(shard),
        command=tuple(sys.argv),
    )
    if dry_run:
        print_plan(plan)
    else:
        run_and_print(plan, dashboards)
