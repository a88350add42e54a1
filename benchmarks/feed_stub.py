"""A vLLM executor that sleeps where a model would compute, so that everything else of vLLM runs without a GPU.

`feed.py --stub` uses it. Each step takes STUB_STEP_MS, plus STUB_TOKEN_US per prompt token; every reply is the
same token, repeated. Works with vLLM 0.26 to 0.31.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from typing import Any

import torch
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import ModelRunnerOutput

TOKEN = 300


class StubExecutor(Executor):  # type: ignore[misc]  # untyped
    """Implements vLLM's `Executor` without a model."""

    def _init_executor(self) -> None:
        self._step_s = float(os.environ.get("STUB_STEP_MS", "10")) / 1e3
        self._token_s = float(os.environ.get("STUB_TOKEN_US", "1")) / 1e6
        self._n_prompt: dict[str, int] = {}

    def get_kv_cache_specs(self) -> list[dict[str, Any]]:
        """Describes one small layer."""
        size = self.cache_config.block_size
        spec = FullAttentionSpec(block_size=size, num_kv_heads=1, head_size=16, dtype=torch.bfloat16)
        return [{"model.layers.0.self_attn.attn": spec}]

    def get_supported_kv_cache_layouts(self) -> list[list[str]]:
        return [["LBNHC"]]

    def set_kv_cache_layout(self, layout_name: str) -> None:
        pass

    def determine_available_memory(self) -> list[int]:
        return [1 << 27]

    def initialize_from_config(self, kv_cache_configs: Any) -> None:
        pass

    def compile_or_warm_up_model(self) -> None:
        pass

    @property
    def supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)

    def execute_model(self, scheduler_output: Any, non_block: bool = False) -> Any:
        """Sleeps, then gives a token to each request whose prompt is complete."""
        computed = {}
        for new in scheduler_output.scheduled_new_reqs:
            self._n_prompt[new.req_id] = len(new.prompt_token_ids)
            computed[new.req_id] = new.num_computed_tokens
        old = scheduler_output.scheduled_cached_reqs
        computed |= dict(zip(old.req_ids, old.num_computed_tokens, strict=True))
        for name in scheduler_output.finished_req_ids:
            self._n_prompt.pop(name, None)
        names = list(scheduler_output.num_scheduled_tokens)
        tokens = [
            [TOKEN]
            if computed[name] + scheduler_output.num_scheduled_tokens[name] >= self._n_prompt[name]
            else []
            for name in names
        ]
        if names:
            time.sleep(self._step_s + self._token_s * scheduler_output.total_num_scheduled_tokens)
        output = ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=tokens,
        )
        if not non_block:
            return output
        future: Future[Any] = Future()
        future.set_result(output)
        return future

    def collective_rpc(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        return [None]

    def check_health(self) -> None:
        pass

    def shutdown(self) -> None:
        pass
