"""Runs ssl4rl_bench with the configuration of FSDP or DeepSpeed on CPUs, for tests.

accelerate 1.15 ignores these configurations on CPUs and trains with DDP. The replies are fixed, because TRL samples
others from sharded weights than this package does from complete ones. With SSL4RL_TEST_KILL=N, the second process
kills itself when it is asked for its Nth batch of replies.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import Any


def allow_sharding() -> None:
    """Makes accelerate treat processes on CPUs as those on GPUs when it decides about FSDP and DeepSpeed."""
    from accelerate.state import AcceleratorState, DistributedType, PartialState

    make: Any = AcceleratorState.__init__

    def patched(self: Any, mixed_precision: Any = None, cpu: bool = False, *args: Any, **kwargs: Any) -> None:
        shared = PartialState(cpu=True)._shared_state
        if "ACCELERATE_USE_DEEPSPEED" in os.environ:
            import deepspeed

            cpu = False
            deepspeed.init_distributed("gloo", auto_mpi_discovery=False)
        elif shared["distributed_type"] == DistributedType.MULTI_CPU and "ACCELERATE_USE_FSDP" in os.environ:
            shared["distributed_type"] = DistributedType.MULTI_GPU
        make(self, mixed_precision, cpu, *args, **kwargs)

    AcceleratorState.__init__ = patched


def fix_replies() -> None:
    """Makes a reply depend only on its row and its index in the group."""
    from ssl4rl_bench.train.trainer import SSLTrainer

    calls = 0

    def fixed(
        self: Any, prompt_ids: Any, images: Any, fields: Any, num_generations: int, **kwargs: Any
    ) -> Any:
        nonlocal calls
        calls += 1
        if self.accelerator.process_index == 1 and calls == int(os.environ.get("SSL4RL_TEST_KILL", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        texts = [
            f"<answer>{90 * ((7 * row + 3 * index) % 4)}</answer>" + "." * (index % num_generations)
            for index, row in enumerate(self._row_numbers)
        ]
        ids = self._tokenizer(texts)["input_ids"]
        return [[*reply, self._tokenizer.eos_token_id] for reply in ids], None

    SSLTrainer._generate_single_turn = fixed  # type: ignore[method-assign]


if __name__ == "__main__":
    from ssl4rl_bench.train.grpo import process

    process._quiet(vllm=False)
    allow_sharding()
    fix_replies()
    sys.argv[0] = "ssl4rl-bench"
    runpy.run_module("ssl4rl_bench", run_name="__main__")
