"""How vLLM is started, as far as it needs no vLLM: signals, options, the terminal."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.vllm import arguments

SCRIPT = """
import multiprocessing, os, signal, subprocess, time
from ssl4rl_bench.engines.vllm.arguments import children_deaf_to_interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
with children_deaf_to_interrupts():
    deaf = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    deaf.start()
hearing = subprocess.Popen(["sleep", "60"])
try:
    os.killpg(0, signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", hearing.wait(), deaf.is_alive())
deaf.terminate()
deaf.join()
print(deaf.exitcode)
"""


def test_an_interrupt_reaches_this_process_and_not_its_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, start_new_session=True
    )
    assert done.stdout.split("\n")[:2] == [f"interrupted {-signal.SIGINT} True", f"{-signal.SIGTERM}"]


def test_an_interrupt_while_the_engine_starts_is_not_lost() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), arguments.children_deaf_to_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10_000):
            time.sleep(0.001)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_the_start_is_quiet_unless_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    for level, lines in (("ERROR", ["after", "bad"]), ("WARNING", ["noise", "bad", "after"])):
        caplog.clear()
        monkeypatch.setenv("VLLM_LOGGING_LEVEL", level)
        with arguments.quiet():
            logging.getLogger("vllm").warning("noise")
            logging.getLogger("vllm").error("bad")
            if level == "ERROR":
                warnings.warn("old", FutureWarning, stacklevel=1)
        logging.getLogger("vllm").warning("after")
        assert sorted(caplog.messages) == sorted(lines)
    assert len(recwarn) == 0


@pytest.fixture
def model(tmp_path: Path) -> Model:
    text = {"num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2, "hidden_size": 2048}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": text}))
    return Model("m", tmp_path, "", None)


def made_arguments(model: Model, options: EngineOptions, *, video: bool, on_cpu: bool) -> dict[str, Any]:
    prompter: Any = SimpleNamespace(context=32_768, limits={"min_pixels": 1, "max_pixels": 2})
    return arguments.arguments(model, options, prompter, video=video, on_cpu=on_cpu)


def test_the_cache_of_a_cpu_holds_two_of_the_longest_prompts(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qwen2.5-VL-3B: keys and values of 36 layers with 2 heads of 128 numbers of 4 bytes."""
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    made = made_arguments(model, EngineOptions(), video=False, on_cpu=True)
    assert made["kv_cache_memory_bytes"] == 2 * 32_768 * (2 * 36 * 2 * 128 * 4)
    assert made["dtype"] == "float32"
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "3")
    assert "kv_cache_memory_bytes" not in made_arguments(model, EngineOptions(), video=False, on_cpu=True)


def test_options_reach_vllm(model: Model) -> None:
    options = EngineOptions(
        dtype="float16", tensor_parallel_size=2, gpu_memory_utilization=0.6, seed=3, max_model_len=7
    )
    made = made_arguments(model, options, video=False, on_cpu=False)
    assert made["dtype"] == "float16"
    assert made["tensor_parallel_size"] == 2
    assert made["gpu_memory_utilization"] == 0.6
    assert made["seed"] == 3
    assert made["mm_processor_kwargs"] == {"min_pixels": 1, "max_pixels": 2}
    assert made["limit_mm_per_prompt"]["video"] == 0
    assert made["trust_remote_code"] is False
    assert made_arguments(model, options, video=True, on_cpu=False)["limit_mm_per_prompt"]["video"] > 0


def test_arguments_of_the_user_win_and_are_json_or_text(model: Model) -> None:
    options = EngineOptions(
        vllm=("max_num_seqs=7", "load_format=dummy", "enforce_eager=False", 'x={"a": [1]}')
    )
    made = made_arguments(model, options, video=False, on_cpu=True)
    assert (made["max_num_seqs"], made["load_format"], made["enforce_eager"]) == (7, "dummy", False)
    assert made["x"] == {"a": [1]}
    assert arguments.reply_arguments(options.vllm) == {"x": {"a": [1]}}


@pytest.mark.parametrize(("n_expected", "eager"), [(None, None), (1, True), (2_000, True), (2_001, False)])
def test_short_runs_on_a_gpu_are_not_compiled(
    model: Model, n_expected: int | None, eager: bool | None
) -> None:
    prompter: Any = SimpleNamespace(context=32_768, limits={})

    def made(options: EngineOptions) -> Any:
        return arguments.arguments(
            model, options, prompter, video=False, on_cpu=False, n_expected=n_expected
        ).get("enforce_eager")

    assert made(EngineOptions()) is eager
    assert made(EngineOptions(vllm=("enforce_eager=false",))) is False


def test_a_cpu_has_128_requests_in_flight_and_a_gpu_what_vllm_chooses(model: Model) -> None:
    for options, on_cpu, expected in (
        (EngineOptions(), True, 128),
        (EngineOptions(), False, None),
        (EngineOptions(batch_size=5), True, 5),
        (EngineOptions(batch_size=5), False, 5),
    ):
        made = made_arguments(model, options, video=False, on_cpu=on_cpu)
        assert made.get("max_num_seqs") == expected


def test_an_unknown_argument_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no engine argument 'max_num_seq'.*max_num_seqs"):
        arguments.check_names({"max_num_seq": 1}, ["max_num_seqs", "block_size"])
