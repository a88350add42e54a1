"""Engine vllm with renderer processes, on one tiny checkpoint: it answers as plain `LLM.generate` does."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vllm_process
from test_vllm_hf import bad_requests, good_requests, picture, request

from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.types import Completion, ImagePart, Request, Sampling, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.inputs import Prompter
from ssl4rl_bench.engines.vllm.engine import VllmEngine
from ssl4rl_bench.engines.vllm.renderers import ProcessFeed

pytestmark = pytest.mark.engine
pytest.importorskip("vllm")

GREEDY = Sampling(max_tokens=16)
ROLLS = 4


def image_requests() -> list[Request]:
    """Requests with images, and questions with several copies that show the same image first."""
    rolls = [
        request(
            f"question{seed}-{roll}",
            ImagePart(picture(100 + seed)),
            TextPart(f"Which colour is the circle? {'ABCD'[roll]}. red B. blue"),
        )
        for seed in range(12)
        for roll in range(ROLLS)
    ]
    return [*rolls, *(asked for asked in good_requests() if not asked.sample.id.startswith("video"))]


def plain_replies(model: Model, requests: list[Request]) -> dict[str, tuple[str, int]]:
    """Replies and numbers of prompt tokens of `LLM.generate`."""
    from vllm import LLM, SamplingParams

    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    prompter = Prompter(model.path, EngineOptions())
    llm: Any = LLM(
        str(model.path),
        dtype="float32",
        enforce_eager=True,
        block_size=32,
        max_model_len=prompter.context,
        max_num_seqs=8,
        limit_mm_per_prompt={"image": 4, "video": 0},
        kv_cache_memory_bytes=1 << 28,
    )
    prompts = []
    for asked in requests:
        rendered = prompter.render(asked.sample.messages)
        prompt: dict[str, Any] = {"prompt": rendered.text}
        if rendered.images:
            prompt["multi_modal_data"] = {"image": rendered.images}
        prompts.append(prompt)
    outputs = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=16), use_tqdm=False)
    replies = {
        asked.sample.id: (output.outputs[0].text, len(output.prompt_token_ids))
        for asked, output in zip(requests, outputs, strict=True)
    }
    llm.llm_engine.engine_core.shutdown()
    del llm
    gc.collect()
    return replies


@pytest.fixture(scope="module", autouse=True)
def forks() -> Iterator[None]:
    """Makes new processes forks of one that has imported vLLM; tests/engines/test_feed.py starts them as they are."""
    context = multiprocessing.get_context
    context("forkserver").set_forkserver_preload([*vllm_process.MODULES])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multiprocessing,
            "get_context",
            lambda method=None: context("forkserver" if method == "spawn" else method),
        )
        yield


@pytest.fixture(scope="module")
def plain(tiny: Model) -> dict[str, tuple[str, int]]:
    return plain_replies(tiny, image_requests())


@pytest.fixture(scope="module")
def engine(tiny: Model, plain: object) -> Iterator[VllmEngine]:
    """Started after the plain engine has ended, since both use this process; the tests close it."""
    made = VllmEngine(tiny, EngineOptions(batch_size=8, renderers=2))
    yield made
    made.close()


def answered(engine: VllmEngine, requests: list[Request]) -> dict[str, Completion]:
    return {asked.sample.id: completion for asked, completion in engine.run(requests, GREEDY)}


def feed_of(engine: VllmEngine) -> ProcessFeed:
    assert engine._server is not None
    feed = engine._server._feed
    assert isinstance(feed, ProcessFeed)
    return feed


def test_replies_and_prompt_tokens_are_those_of_the_plain_call(
    engine: VllmEngine, plain: dict[str, tuple[str, int]]
) -> None:
    done = answered(engine, image_requests())
    assert {name: completion.n_prompt_tokens for name, completion in done.items()} == {
        name: n_tokens for name, (_, n_tokens) in plain.items()
    }
    differ = [name for name, (text, _) in plain.items() if done[name].text != text]
    assert len(differ) <= len(plain) // 20, differ  # a random model has near ties


def test_the_use_of_the_prefix_cache_is_measured(engine: VllmEngine) -> None:
    measures = engine.measures()
    assert measures["renderers"] == 2 and measures["max_num_seqs"] == 8
    assert measures["n_prompt_tokens"] > 0
    assert 0.1 < measures["n_cached_prompt_tokens"] / measures["n_prompt_tokens"] < 1


def test_the_memory_of_prompts_is_measured(engine: VllmEngine) -> None:
    """The supply of prompts is limited by what vLLM's items hold."""
    assert engine._server is not None
    assert engine._server._supply._mean > 10_000


def test_a_bad_request_fails_alone(engine: VllmEngine) -> None:
    bad = bad_requests()[:2]
    done = answered(engine, [image_requests()[0], *bad, *image_requests()[1:3]])
    assert [done[asked.sample.id].error is None for asked in image_requests()[:3]] == [True] * 3
    assert "tokens" in (done["long"].error or "")
    assert done["torn"].error


def test_killed_renderers_lose_no_request(engine: VllmEngine) -> None:
    requests = image_requests()
    results = engine.run(requests, GREEDY)
    done = [next(results)]
    before = [process.process.pid for process in feed_of(engine).processes]
    for pid in before:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    done += results
    assert sorted(asked.sample.id for asked, _ in done) == sorted(asked.sample.id for asked in requests)
    assert [completion.error for _, completion in done] == [None] * len(requests)
    assert not {process.process.pid for process in feed_of(engine).processes} & set(before)


def test_a_run_can_be_left_and_drained(engine: VllmEngine) -> None:
    results = engine.run(image_requests(), GREEDY)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    results = engine.run(image_requests(), GREEDY)
    next(results)
    n_left = engine.drain()
    assert len(list(results)) == n_left
    assert feed_of(engine).pending == 0


def test_closing_ends_the_processes(engine: VllmEngine) -> None:
    pids = [process.process.pid for process in feed_of(engine).processes]
    engine.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_an_unknown_argument_of_vllm_is_refused(tiny: Model) -> None:
    other = VllmEngine(tiny, EngineOptions(vllm=("max_num_seq=8",)))
    with pytest.raises(UsageError, match=r"no engine argument 'max_num_seq'.*max_num_seqs"):
        next(other.run(image_requests(), GREEDY))


def test_a_dead_engine_process_ends_the_run(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the engine in a process of its own, as on a GPU. All children end."""
    import psutil

    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    other = VllmEngine(tiny, EngineOptions(batch_size=8, renderers=1))
    results = other.run(image_requests() * 4, GREEDY)
    next(results)
    new = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in children and "tracker" not in " ".join(child.cmdline())
    ]
    renderer = feed_of(other).processes[0].process.pid
    below = {child.pid for child in psutil.Process(renderer).children(recursive=True)}
    for child in new:
        if child.pid not in below | {renderer}:
            child.kill()
    with pytest.raises(EngineError, match=r"process died|vLLM stopped"):
        list(results)
    other.close()
    _, alive = psutil.wait_procs(new, 10)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
