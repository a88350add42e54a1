"""How fast is engine vllm supplied with prompts, compared with plain `LLM.generate`?

Both engines run in turn in one process, with equal limits, on the same questions: a JPEG of 500x400 with four
orders of its options, other images in every round. Prints one JSON line per round and design, then the median
ratio (engine vllm / plain) with its range, the main process's CPU time per document, and whether both saw the
same prompts (tokens, places of images, pixels) and gave the same replies.

    python benchmarks/feed.py MODEL                       # on a GPU
    python benchmarks/feed.py tiny-base --stub            # without: a stub sleeps in place of the model

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
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Categories, ImagePart, Message, Request, Sample, Sampling, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.inputs import Prompter

N_COPIES = 4


@dataclass(frozen=True)
class Result:
    """The run of one design over one round of documents."""

    seconds: float
    cpu_seconds: float
    """CPU time of the main process, all threads."""
    texts: list[str]
    n_prompt_tokens: list[int]
    n_tokens: int
    n_cached_tokens: int


def questions(n: int, seed: int, width: int = 500, height: int = 400) -> list[Sample]:
    """Returns n questions with `N_COPIES` copies, each with an image like a photograph of about 40 KB."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(n):
        pixels = draw.integers(0, 255, (25, 32, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(
            file, "JPEG", quality=90
        )
        picture = images.from_bytes(file.getvalue())
        options = [f"option number {seed}-{number}-{k} of the question" for k in range(4)]
        for copy in range(N_COPIES):
            lines = [f"{'ABCD'[k]}. {options[(k + copy) % 4]}" for k in range(4)]
            text = "\n".join([f"Which of these describes picture {number} best, from the left?", *lines])
            text += "\nAnswer with the letter of the option that is right, after you have thought about it."
            message = Message("user", (ImagePart(picture), TextPart(text)))
            name = f"{seed}-{number}"
            made.append(Sample(f"{name}-{copy}", name, (message,), "A", {}, Categories("", "", "")))
    return made


class Ours:
    """Engine vllm."""

    def __init__(self, model: Model, options: EngineOptions) -> None:
        from ssl4rl_bench.engines.vllm.engine import VllmEngine

        self.engine = VllmEngine(model, options)

    def run(self, samples: Sequence[Sample], sampling: Sampling) -> Result:
        before = self.engine.measures()
        begin, cpu = time.perf_counter(), time.process_time()
        pairs = list(self.engine.run((Request(sample) for sample in samples), sampling))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        errors = [completion.error for _, completion in pairs if completion.error]
        if errors:
            raise SystemExit(f"{len(errors)} requests failed: {errors[0]}")
        by_id = {request.sample.id: completion for request, completion in pairs}
        done = [by_id[sample.id] for sample in samples]
        cached = self.engine.measures()["n_cached_prompt_tokens"] - before.get("n_cached_prompt_tokens", 0)
        return Result(
            seconds,
            cpu,
            [completion.text for completion in done],
            [completion.n_prompt_tokens for completion in done],
            sum(completion.n_completion_tokens for completion in done),
            cached,
        )

    def prompts(self, samples: Sequence[Sample]) -> list[Any]:
        """Returns the engine inputs that the feed prepares for these samples."""
        assert self.engine._server is not None
        feed = self.engine._server._feed
        made: dict[str, Any] = {}
        for begin in range(0, len(samples), N_COPIES):
            feed.submit([Request(sample) for sample in samples[begin : begin + N_COPIES]])
        while feed.pending:
            made |= {request.sample.id: prompt for request, prompt in feed.collect(wait=True)}
        return [made[sample.id] for sample in samples]

    def limits(self) -> dict[str, Any]:
        return self.engine.measures()

    def close(self) -> None:
        self.engine.close()


class Plain:
    """`vllm.LLM.generate` with decoded images and their content hashes, each image decoded once."""

    def __init__(self, model: Model, arguments: dict[str, Any]) -> None:
        from vllm import LLM

        self.llm: Any = LLM(model=str(model.path), **arguments)
        self.prompter = Prompter(model.path, EngineOptions())

    def prompt(self, sample: Sample) -> dict[str, Any]:
        rendered = self.prompter.render(sample.messages)
        return {
            "prompt": rendered.text,
            "multi_modal_data": {"image": rendered.images},
            "multi_modal_uuids": {"image": rendered.image_ids},
        }

    def run(self, samples: Sequence[Sample], sampling: Sampling) -> Result:
        from vllm import SamplingParams

        params = SamplingParams(temperature=sampling.temperature, max_tokens=sampling.max_tokens)
        begin, cpu = time.perf_counter(), time.process_time()
        done = self.llm.generate([self.prompt(sample) for sample in samples], params, use_tqdm=False)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        return Result(
            seconds,
            cpu,
            [output.outputs[0].text for output in done],
            [len(output.prompt_token_ids) for output in done],
            sum(len(output.outputs[0].token_ids) for output in done),
            sum(output.num_cached_tokens or 0 for output in done),
        )

    def prompts(self, samples: Sequence[Sample]) -> list[Any]:
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        engine = self.llm.llm_engine
        parsed = [parse_model_prompt(engine.model_config, self.prompt(sample)) for sample in samples]
        return list(engine.renderer.render_cmpl(parsed, skip_mm_cache=True))

    def limits(self) -> dict[str, Any]:
        config = self.llm.llm_engine.vllm_config
        return {
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "enforce_eager": config.model_config.enforce_eager,
        }

    def close(self) -> None:
        del self.llm


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


def compare(ours: Ours, plain: Plain, asked: argparse.Namespace) -> None:
    """Runs both designs in turn, and in the other order every second round."""
    sampling = Sampling(temperature=0.0, max_tokens=asked.max_tokens)
    warm = questions(8, 10_000)
    for name, design in (("ours", ours), ("plain", plain)):
        begin = time.perf_counter()
        design.run(warm, sampling)
        design.run(warm[:8], sampling)
        show(asked.out, design=name, warm_s=round(time.perf_counter() - begin, 1), **design.limits())
    checked = questions(8, 20_000)
    same = same_prompts(ours.prompts(checked), plain.prompts(checked))
    show(asked.out, same_prompts=same)
    rounds: list[dict[str, Result]] = []
    for number in range(asked.rounds):
        samples = questions(asked.questions, number)
        order: list[tuple[str, Ours | Plain]] = [("ours", ours), ("plain", plain)]
        results = {}
        for name, design in order if number % 2 == 0 else reversed(order):
            result = results[name] = design.run(samples, sampling)
            show(
                asked.out,
                round=number,
                design=name,
                docs_s=round(len(samples) / result.seconds, 1),
                tokens_s=round(result.n_tokens / result.seconds),
                cpu_ms=round(1e3 * result.cpu_seconds / len(samples), 3),
                prompt_tokens=sum(result.n_prompt_tokens) / len(samples),
                cached=round(result.n_cached_tokens / sum(result.n_prompt_tokens), 4),
            )
        rounds.append(results)
    n = N_COPIES * asked.questions
    show(
        asked.out,
        documents=n,
        ratio=spread([r["plain"].seconds / r["ours"].seconds for r in rounds]),
        **{
            f"{name}_{key}": spread(values)
            for name in ("ours", "plain")
            for key, values in (
                ("docs_s", [n / r[name].seconds for r in rounds]),
                ("cpu_ms", [1e3 * r[name].cpu_seconds / n for r in rounds]),
            )
        },
        same_prompt_tokens=all(r["ours"].n_prompt_tokens == r["plain"].n_prompt_tokens for r in rounds),
        same_text=spread([_agreement(r["ours"].texts, r["plain"].texts) for r in rounds]),
    )


def _agreement(one: list[str], two: list[str]) -> float:
    return sum(a == b for a, b in zip(one, two, strict=True)) / len(one)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="folder, bundled checkpoint or hub id")
    parser.add_argument("--questions", type=int, default=400, help="questions per round, four documents each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--max-num-seqs", type=int, default=256)
    parser.add_argument("--max-num-batched-tokens", type=int, default=8192)
    parser.add_argument(
        "--renderers", type=int, help="processes that prepare prompts (default: the engine's)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="vLLM argument, for both"
    )
    parser.add_argument("--stub", action="store_true", help="sleep instead of running the model")
    parser.add_argument("--out", type=Path, help="file to append the results to")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    shared = [f"max_num_batched_tokens={asked.max_num_batched_tokens}", *asked.set]
    if asked.stub:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
        here = str(Path(__file__).resolve().parent)
        os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
        sys.path.insert(0, here)
        pixels = '{"min_pixels": 3136, "max_pixels": 1003520}'
        shared += ['distributed_executor_backend="feed_stub.StubExecutor"', f"mm_processor_kwargs={pixels}"]
        shared += ["block_size=32", "max_model_len=4096", "kv_cache_memory_bytes=134217728"]
    elif not any(pair.startswith("gpu_memory_utilization=") for pair in shared):
        shared.append("gpu_memory_utilization=0.4")  # two engines share the GPU
    from ssl4rl_bench.engines.vllm.arguments import ENVIRONMENT, given

    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    model = resolve_model(asked.model)
    ours = Ours(
        model,
        EngineOptions(batch_size=asked.max_num_seqs, renderers=asked.renderers, vllm=tuple(shared)),
    )
    arguments = {
        "limit_mm_per_prompt": {"image": 4, "video": 0},
        "max_num_seqs": asked.max_num_seqs,
        "mm_processor_cache_gb": 4,
        **given(shared),
    }
    ours.run(questions(1, 30_000), Sampling(max_tokens=1))  # starts the engine
    plain = Plain(model, arguments)
    try:
        compare(ours, plain, asked)
    finally:
        ours.close()
        plain.close()


if __name__ == "__main__":
    main()
