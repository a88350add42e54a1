"""How fast is engine vllm supplied with prompts, compared with plain `LLM.generate`?

The designs run in turn in one process, with equal limits, on the same questions: a JPEG of 500x400 with four
orders of its options, other images in every round. Prints one JSON line per round and design, then the median
of each ratio (how many times as fast as the other design ours is) with its range, the main process's CPU time per
document, and whether both saw the same prompts (tokens, places of images, pixels) and gave the same replies.

    python benchmarks/feed.py MODEL                       # on a GPU
    python benchmarks/feed.py tiny-base --stub            # without: a stub sleeps in place of the model

"prepared" shows the limit of vLLM and the GPU: its prompts are made before the clock starts. docs/performance.md
has the figures of an H200.

With --stub, vLLM's scheduler, sockets and renderer are real, each in its process, as on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feed_designs import N_COPIES, Ours, Plain, Result, questions

from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model

Engines = dict[str, Any]
"""`Ours` and perhaps `Plain`, by name."""


def same_prompts(ours: list[Any], plain: list[Any]) -> dict[str, bool]:
    """Compares engine inputs."""
    pairs = list(zip(ours, plain, strict=True))
    return {
        "tokens": all(a["prompt_token_ids"] == b["prompt_token_ids"] for a, b in pairs),
        "places": all(dict(a["mm_placeholders"]) == dict(b["mm_placeholders"]) for a, b in pairs),
        "hashes": all(dict(a["mm_hashes"]) == dict(b["mm_hashes"]) for a, b in pairs),
        "pixels": all(
            dict(x) == dict(y)
            for a, b in pairs
            for x, y in zip(a["mm_kwargs"]["image"], b["mm_kwargs"]["image"], strict=True)
        ),
    }


def show(file: Path | None, **values: Any) -> None:
    line = json.dumps(values)
    print(line, flush=True)
    if file is not None:
        with file.open("a") as out:
            out.write(line + "\n")


def spread(values: Sequence[float]) -> list[float]:
    """Returns median, minimum and maximum."""
    return [round(statistics.median(values), 3), round(min(values), 3), round(max(values), 3)]


def warm_and_check(engines: Engines, out: Path | None) -> None:
    """Runs some questions, and compares the prompts that both engines make of others."""
    for name, engine in engines.items():
        begin = time.perf_counter()
        for seed in (10_000, 10_001):
            engine.run(questions(64, seed), Sampling(max_tokens=16))
        show(out, engine=name, warm_s=round(time.perf_counter() - begin, 1), **engine.limits())
    if len(engines) == 2:
        checked = questions(8, 20_000)
        ours, plain = (engine.prompts(checked) for engine in engines.values())
        show(out, same_prompts=same_prompts(ours, plain))


def compare(engines: Engines, asked: argparse.Namespace, max_tokens: int, seed: int) -> None:
    """Runs the designs in turn, and in the other order every second round."""
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    n = N_COPIES * asked.questions
    rounds: list[dict[str, Result]] = []
    for number in range(asked.rounds):
        results = {}
        for turn in range(len(asked.designs)):
            name = asked.designs[turn if number % 2 == 0 else -1 - turn]
            engine = engines["plain" if name == "plain" else "ours"]
            # Designs that share an engine get other images, since it keeps the earlier ones.
            place = 0 if name in ("ours", "plain") else 1 + asked.designs.index(name)
            samples = questions(asked.questions, seed + 100 * place + number)
            run = getattr(engine, {"prepared": "run_prepared"}.get(name, "run"))
            results[name] = run(samples, sampling)
            show(asked.out, round=number, max_tokens=max_tokens, design=name, **figures(results[name], n))
        rounds.append(results)
        show(asked.out, **summary(rounds, n), max_tokens=max_tokens)


def figures(result: Result, n: int) -> dict[str, Any]:
    """Returns the figures of one run over n documents."""
    return {
        "docs_s": round(n / result.seconds, 1),
        "tokens_s": round(result.n_tokens / result.seconds),
        "cpu_ms": round(1e3 * result.cpu_seconds / n, 3),
        "prompt_tokens": sum(result.n_prompt_tokens) / n,
        "cached": round(result.n_cached_tokens / sum(result.n_prompt_tokens), 4),
    }


def summary(rounds: Sequence[dict[str, Result]], n: int) -> dict[str, Any]:
    """Returns median, minimum and maximum over the rounds so far."""
    made: dict[str, Any] = {"rounds": len(rounds), "documents": n}
    for name in rounds[0]:
        made[f"{name}_docs_s"] = spread([n / r[name].seconds for r in rounds])
        made[f"{name}_cpu_ms"] = spread([1e3 * r[name].cpu_seconds / n for r in rounds])
        if name != "ours":
            made[f"ratio_to_{name}"] = spread([r[name].seconds / r["ours"].seconds for r in rounds])
    if "plain" in rounds[0]:
        pairs = [(r["ours"], r["plain"]) for r in rounds]
        made["same_prompt_tokens"] = all(a.n_prompt_tokens == b.n_prompt_tokens for a, b in pairs)
        made["same_text"] = spread([_agreement(a.texts, b.texts) for a, b in pairs])
    return made


def _agreement(one: list[str], two: list[str]) -> float:
    return sum(a == b for a, b in zip(one, two, strict=True)) / len(one)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="folder, bundled checkpoint or hub id")
    parser.add_argument("--questions", type=int, default=400, help="questions per round, four documents each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--designs",
        nargs="+",
        default=["ours", "plain", "prepared"],
        choices=("ours", "plain", "prepared"),
        help="ours (always), plain, prepared (ours, prompts made before the clock starts)",
    )
    parser.add_argument(
        "--max-tokens", type=int, nargs="+", default=[64], help="of a reply; each is measured"
    )
    parser.add_argument("--max-num-seqs", type=int, default=256)
    parser.add_argument("--max-num-batched-tokens", type=int, default=8192)
    parser.add_argument("--max-model-len", type=int, default=4096)
    parser.add_argument(
        "--renderers", type=int, help="processes that prepare prompts (default: the engine's)"
    )
    parser.add_argument(
        "--gpu-memory-utilization", type=float, default=0.4, help="of each engine; both share the GPU"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="vLLM argument, for both"
    )
    parser.add_argument("--stub", action="store_true", help="sleep instead of running the model")
    parser.add_argument("--out", type=Path, help="file to append the results to")
    return parser.parse_args()


def start(asked: argparse.Namespace) -> Engines:
    """Starts the engines with equal arguments."""
    from ssl4rl_bench.engines.vllm.arguments import ENVIRONMENT, given

    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    extra = [f"max_num_batched_tokens={asked.max_num_batched_tokens}", *asked.set]
    shared: dict[str, Any] = {
        "dtype": "bfloat16",
        "max_model_len": asked.max_model_len,
        "gpu_memory_utilization": asked.gpu_memory_utilization,
    }
    pixels: dict[str, Any] = {}
    if asked.stub:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
        here = str(Path(__file__).resolve().parent)
        os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
        sys.path.insert(0, here)
        pixels = {"min_pixels": 3136, "max_pixels": 1_003_520}  # tiny-base shrinks images to 112 x 112
        extra += ['distributed_executor_backend="feed_stub.StubExecutor"', "block_size=32"]
        extra += ["kv_cache_memory_bytes=134217728"]
    model = resolve_model(asked.model)
    options = EngineOptions(
        batch_size=asked.max_num_seqs, renderers=asked.renderers, vllm=tuple(extra), **shared, **pixels
    )
    ours = Ours(model, options)
    begin = time.perf_counter()
    ours.run(questions(1, 30_000), Sampling(max_tokens=1))
    show(asked.out, engine="ours", start_s=round(time.perf_counter() - begin, 1))
    if "plain" not in asked.designs:
        return {"ours": ours}
    begin = time.perf_counter()
    plain = Plain(
        model,
        {
            "limit_mm_per_prompt": {"image": 64, "video": 0},
            "max_num_seqs": asked.max_num_seqs,
            "mm_processor_kwargs": pixels or None,
            **shared,
            **given(extra),
        },
    )
    show(asked.out, engine="plain", start_s=round(time.perf_counter() - begin, 1))
    return {"ours": ours, "plain": plain}


def main() -> None:
    asked = parse()
    asked.designs = list(dict.fromkeys(["ours", *asked.designs]))
    engines = start(asked)
    try:
        warm_and_check(engines, asked.out)
        for index, max_tokens in enumerate(asked.max_tokens):
            compare(engines, asked, max_tokens, 1_000 * (index + 1))
    finally:
        for engine in engines.values():
            engine.close()


if __name__ == "__main__":
    main()
