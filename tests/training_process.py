"""Starts programs that train as forks of a process that has imported torch, transformers and TRL.

A new interpreter takes some ten seconds for these imports. `forked.Popen` says how a fork differs from it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, AnyStr
from unittest import mock

import forked

MODULES = (
    "torchvision",
    "datasets",
    "peft",
    "transformers.trainer",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
    "trl.trainer.grpo_trainer",
    "ssl4rl_bench.train.trainer",
    "ssl4rl_bench.train.grpo.run",
)
"""What a training process imports, besides what `forked` imports for every program."""


class Popen(forked.Popen[AnyStr]):
    """A program that trains."""

    preparation = __file__


def run(args: Any, **options: Any) -> Any:
    """Runs a program to its end, as `subprocess.run` does."""
    return forked.run(args, kind=Popen, **options)


def launch(
    program: list[str],
    processes: int,
    *options: str,
    config: str = "cpu2",
    env: dict[str, str] | None = None,
    grace: float = 0.0,
) -> subprocess.CompletedProcess[str]:
    """Runs a program in several processes, as `accelerate launch` does with a configuration of the package.

    Each process has the environment that accelerate makes for it. If one fails, the others are ended, as by torchrun.

    Args:
        program: the arguments of Python.
        options: further options of `accelerate launch`.
        config: the name of a file in train/recipes/accelerate.
        env: further environment variables.
        grace: seconds between SIGTERM and SIGKILL for the other processes if one fails; torchrun gives them 30.
    """
    shared = _environment(config, processes, options) | (env or {})
    with tempfile.TemporaryFile("w+") as errors:
        running = [
            Popen(
                [sys.executable, *program],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(processes)
        ]
        try:
            code = _first_failure(running)
        finally:
            for process in running:
                if grace and process.poll() is None:
                    process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(grace)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(program, code, "", errors.read())


def _environment(config: str, processes: int, options: tuple[str, ...]) -> dict[str, str]:
    """Returns the environment that `accelerate launch` gives to each process, without its rank."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    file = Path(__file__).parents[1] / "train" / "recipes" / "accelerate" / f"{config}.yaml"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = ["--config_file", str(file), "--num_processes", str(processes), "--num_machines", "1", *options]
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ACCELERATE_", "WORLD_", "FSDP_"))
    }
    with mock.patch.dict(os.environ, plain, clear=True):
        arguments = launch_command_parser().parse_args([*words, "--main_process_port", port, "script.py"])
        env = prepare_multi_gpu_env(_validate_launch_command(arguments)[0])
    size = str(processes)
    return env | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
    }


def _first_failure(running: list[Popen[str]], seconds: float = 600) -> int:
    """Waits until all processes have ended or one has failed; returns its exit code, or 0."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        codes = [process.poll() for process in running]
        if any(codes) or None not in codes:
            return next((code for code in codes if code), 0)
        time.sleep(0.05)
    raise TimeoutError(f"not ended after {seconds} s")


def prepare() -> None:
    """Imports `MODULES`, without vLLM, as a training process without vLLM does."""
    from ssl4rl_bench.train.grpo import process

    process._quiet(vllm=False)
    for name in MODULES:
        importlib.import_module(name)


if __name__ == forked.PREPARATION:
    prepare()
