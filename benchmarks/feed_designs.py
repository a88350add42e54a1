"""The two designs that `feed.py` compares, and the questions that it asks them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Categories, ImagePart, Message, Request, Sample, Sampling, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model
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

    def run_prepared(self, samples: Sequence[Sample], sampling: Sampling) -> Result:
        """Runs with prompts that are ready before the clock starts: what the hardware can do at best."""
        server = self.engine._server
        assert server is not None
        prompts = dict(zip([sample.id for sample in samples], self.prompts(samples), strict=True))
        feed, server._feed = server._feed, Ready(prompts)
        try:
            return self.run(samples, sampling)
        finally:
            server._feed = feed

    def limits(self) -> dict[str, Any]:
        return self.engine.measures()

    def close(self) -> None:
        self.engine.close()


class Ready:
    """A feed of prompts that were prepared before."""

    ahead = 1_000_000
    unit_size = N_COPIES

    def __init__(self, prompts: dict[str, Any]) -> None:
        self._prompts = prompts
        self._waiting: list[tuple[Request, Any]] = []

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, requests: Sequence[Request]) -> None:
        self._waiting += [(request, self._prompts.pop(request.sample.id)) for request in requests]

    def collect(self, wait: bool) -> list[tuple[Request, Any]]:
        out, self._waiting = self._waiting, []
        return out

    def drop(self) -> None:
        self._waiting = []

    def close(self) -> None:
        pass


class Plain:
    """`vllm.LLM.generate` with decoded images and their content hashes, each image decoded once."""

    def __init__(self, model: Model, arguments: dict[str, Any]) -> None:
        from vllm import LLM

        self.llm: Any = LLM(model=str(model.path), **arguments)
        self.prompter = Prompter(model.path, EngineOptions())  # for the template; vLLM resizes the images

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
