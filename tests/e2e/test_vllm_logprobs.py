"""vLLM and the trainer give the replies of vLLM the same log-probabilities, within rounding."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")
pytest.importorskip("vllm")

from test_packed_rows import benchmark as long_reply  # noqa: E402, F401  # a fixture
from train_recipe import pictures, recipe  # noqa: E402

from ssl4rl_bench.engines.checkpoints.weights import Model  # noqa: E402

BOUND = 1e-3
"""Largest difference of two log-probabilities in float32, in nats."""
GROUP = 4


def sampled(model: Path, prompts: list[tuple[str, Any]]) -> list[list[tuple[int, float]]]:
    """Tokens and log-probabilities of `GROUP` replies to each prompt, by vLLM."""
    import torch
    from vllm import LLM, SamplingParams

    llm = LLM(
        str(model),
        dtype="float32",
        enforce_eager=True,
        max_model_len=512,
        max_num_seqs=16,
        limit_mm_per_prompt={"image": 2, "video": 0},
    )
    asked = [{"prompt": text, "multi_modal_data": {"image": image}} for text, image in prompts]
    settings = SamplingParams(n=GROUP, temperature=1.0, max_tokens=24, logprobs=0, seed=1)
    with torch.compiler.set_stance("force_eager"):  # else the function that ranks tokens is compiled
        outputs = llm.generate(asked, settings, use_tqdm=False)
    return [
        [(token, known[token].logprob) for token, known in zip(reply.token_ids, reply.logprobs, strict=True)]
        for output in outputs
        for reply in output.outputs
    ]


def test_vllm_and_the_trainer_agree_on_log_probabilities(
    tiny: Model,
    long_reply: Any,  # noqa: F811  # the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    small = recipe(
        tmp_path, pictures(tmp_path / "pictures"), model__base=str(tiny.path), grpo__group=GROUP, grpo__kl=0.1
    )
    with ExitStack() as stack:
        trainer = long_reply.trainer_of(small, tmp_path / "out", stack)
        rows = long_reply.rows_of(trainer, 4 * GROUP)[::GROUP]
        parts = [
            [
                *({"type": "image"} for _ in row["images"]),
                {"type": "text", "text": row["prompt"][0]["content"]},
            ]
            for row in rows
        ]
        texts = [
            trainer.processing_class.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
            for content in parts
        ]
        shown = [row["images"] for row in rows]
        replies = sampled(tiny.path, list(zip(texts, shown, strict=True)))
        trainer.model.train()
        inputs = long_reply.inputs_of(trainer, [[token for token, _ in reply] for reply in replies])
    # At the start, the reference is the policy, and its log-probabilities are computed with shared prompts.
    logps = inputs["ref_per_token_logps"]
    assert len({len(reply) for reply in replies}) > 1
    for values, reply in zip(logps, replies, strict=True):
        expected = torch.tensor([value for _, value in reply])
        assert float((values[: len(reply)] - expected).abs().max()) < BOUND
