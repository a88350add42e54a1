"""What must hold of any estimate of memory, and figures that were computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_of import SMALL, SMALL_QWEN3, recipe_of

from ssl4rl_bench.train.planning import states
from ssl4rl_bench.train.planning.memory import estimate_memory
from ssl4rl_bench.train.planning.memory_parts import ALWAYS, GIB, ROLLOUT, Lengths, Memory
from ssl4rl_bench.train.planning.shapes import PUBLISHED, ModelShape
from ssl4rl_bench.train.recipe import find_recipe, read_recipe

B3, B7, Q4, Q8 = PUBLISHED.values()
STATES = (
    "weights, frozen",
    "weights, trained",
    "weights, adapters",
    "gradients",
    "optimizer",
    "reference model",
)

CHANGES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["float32", "bfloat16"]),
        "compute": st.sampled_from(["float32", "bfloat16"]),
        "attention": st.sampled_from(["sdpa", "eager", "flash_attention_2"]),
        "gradient_checkpointing": st.booleans(),
        "freeze_vision": st.booleans(),
        "lora": st.sampled_from([None, 8, 64]),
        "kl": st.sampled_from([0.0, 0.01]),
        "engine": st.sampled_from(["transformers", "vllm_colocate", "vllm_server"]),
        "sleep": st.booleans(),
        "max_reply_tokens": st.integers(1, 4096),
        "max_prompt_tokens": st.integers(1, 4096),
    }
)
SHAPES = st.sampled_from([B3, B7, SMALL, Q4, Q8, SMALL_QWEN3])


def parts(found: Memory) -> dict[str, int]:
    return {part.name: part.bytes for part in found.parts}


def gib(found: Memory, name: str) -> float:
    return parts(found)[name] / GIB


@pytest.mark.slow
@given(CHANGES, SHAPES, st.sampled_from(["none", "fsdp2", "zero3"]), st.sampled_from([1, 2, 8]))
@settings(deadline=None, max_examples=examples(80))
def test_a_larger_micro_batch_never_takes_less(
    changes: dict[str, Any], shape: ModelShape, sharding: str, processes: int
) -> None:
    # 1 and 2 hold no whole group of 4, and 4 and 8 do: whether groups share a prompt is the same in each pair.
    for small, large in ((1, 2), (4, 8)):
        sizes = [
            estimate_memory(recipe_of(**changes, micro_batch=n, sharding=sharding), shape, processes)
            for n in (small, large)
        ]
        assert sizes[0].peak <= sizes[1].peak
        assert all(parts(sizes[1])[name] >= n for name, n in parts(sizes[0]).items())


@pytest.mark.slow
@given(CHANGES, SHAPES, st.sampled_from(["fsdp2", "zero3"]))
@settings(deadline=None, max_examples=examples(80))
def test_sharding_and_more_processes_never_raise_a_models_states(
    changes: dict[str, Any], shape: ModelShape, sharding: str
) -> None:
    def total(kind: str, processes: int) -> float:
        found = parts(estimate_memory(recipe_of(**changes, sharding=kind), shape, processes))
        return sum(found.get(name, 0) for name in STATES)

    # On one process a precision may be raised; from two on, parts of it are less than the whole.
    by_processes = [total(sharding, n) for n in (1, 2, 4, 8)]
    assert by_processes == sorted(by_processes, reverse=True)
    if not (changes["dtype"] == "bfloat16" and changes["compute"] == "bfloat16"):
        assert all(total(sharding, n) <= total("none", n) for n in (2, 4, 8))


@pytest.mark.slow
@given(CHANGES, SHAPES, st.sampled_from(["fsdp2", "zero3"]))
@settings(deadline=None, max_examples=examples(40))
def test_more_processes_never_take_more(changes: dict[str, Any], shape: ModelShape, sharding: str) -> None:
    peaks = [estimate_memory(recipe_of(**changes, sharding=sharding), shape, n).peak for n in (1, 2, 4, 8)]
    assert peaks == sorted(peaks, reverse=True)


@given(CHANGES, SHAPES)
@settings(deadline=None, max_examples=examples(80))
@pytest.mark.slow
def test_parts_add_up(changes: dict[str, Any], shape: ModelShape) -> None:
    found = estimate_memory(recipe_of(**changes), shape, 1)
    assert all(part.bytes > 0 and part.how for part in found.parts)
    assert len(parts(found)) == len(found.parts)
    phases = [found.during(phase) for phase in ALWAYS]
    assert found.peak == max(phases)
    once = sum(part.bytes for part in found.parts if part.phases == ALWAYS)
    assert sum(part.bytes * len(part.phases) for part in found.parts) == sum(phases)
    assert once <= min(phases)


@pytest.mark.slow
@given(CHANGES, SHAPES)
@settings(deadline=None, max_examples=examples(40))
def test_checkpointing_and_flash_attention_never_take_more(
    changes: dict[str, Any], shape: ModelShape
) -> None:
    changes = {k: v for k, v in changes.items() if k not in ("gradient_checkpointing", "attention")}

    def activations(**more: Any) -> int:
        # One reply in a micro-batch: no group that could share its prompt.
        return parts(estimate_memory(recipe_of(**changes, **more, micro_batch=1), shape, 1))["activations"]

    kept, again = activations(gradient_checkpointing=False), activations(gradient_checkpointing=True)
    assert again <= kept
    assert activations(attention="flash_attention_2") <= activations(attention="sdpa")


def test_states_of_the_3b_model_by_hand() -> None:
    found = estimate_memory(recipe_of(kl=0.01), B3, 1)
    psi = 3_754_622_976
    assert parts(found)["weights, trained"] == 4 * psi
    assert parts(found)["gradients"] == 4 * psi
    assert parts(found)["optimizer"] == 8 * psi
    assert parts(found)["reference model"] == 4 * psi
    zero3 = parts(estimate_memory(recipe_of(kl=0.01, sharding="zero3"), B3, 8))
    # ZeRO: (2 + 2 + 12) Psi / N, and 2 Psi / N for a frozen model.
    assert zero3["weights, trained"] + zero3["gradients"] + zero3["optimizer"] == 16 * psi // 8
    assert zero3["reference model"] == 2 * psi // 8


def test_no_reference_where_nothing_asks_for_one() -> None:
    assert "reference model" not in parts(estimate_memory(recipe_of(kl=0.0), B3, 1))
    assert "reference model" not in parts(estimate_memory(recipe_of(kl=0.01, lora=8), B3, 1))


def test_what_is_trained() -> None:
    assert states.trainable(recipe_of(), B3) == B3.total
    assert states.trainable(recipe_of(freeze_vision=True), B3) == B3.total - B3.seeing
    # As peft counts on transformers' model of this shape.
    all_of_64 = states.trainable(recipe_of(lora=64), B3)
    assert all_of_64 == 148_611_072
    named = recipe_of(lora=64, targets=("qkv", "proj", "mlp.0"))
    assert states.trainable(named, B3) == 16_541_184
    assert states.trainable(recipe_of(lora=64, freeze_vision=True), B3) == 119_734_272
    assert states.trainable(recipe_of(lora=32), B3) * 2 == all_of_64
    assert states.trainable(recipe_of(lora=8, targets=("roj",)), B3) == 0


def test_muon_keeps_one_moment_of_matrices() -> None:
    adamw, muon = (
        parts(estimate_memory(recipe_of(name=name), SMALL, 1))["optimizer"] for name in ("adamw", "muon")
    )
    matrices = sum(n.weights for n in SMALL.linears() if n.name != "visual.patch_embed.proj")
    assert adamw - muon == 4 * matrices


def test_rollouts_keep_a_prompt_once_per_group() -> None:
    found = parts(estimate_memory(recipe_of(engine="transformers"), B3, 1))
    # 36 layers, 2 x 128 wide; keys in float32, values in bfloat16. A reply repeats the prompt's last token.
    per_token = 36 * 256 * (4 + 2)
    assert found["prompts' keys and values"] == 64 * 1023 * per_token
    assert found["replies' keys and values"] == 64 * 4 * 2048 * per_token
    # TRL generates from sharded weights with a copy of the prompt for each reply.
    sharded = parts(estimate_memory(recipe_of(engine="transformers", sharding="zero3"), B3, 8))
    assert sharded["prompts' keys and values"] == 32 * 1024 * 36 * 256 * (2 + 2)
    assert sharded["whole model"] == 2 * B3.total


def test_rollouts_of_vllm() -> None:
    colocated = estimate_memory(recipe_of(engine="vllm_colocate", gpu_memory=0.5), B3, 1)
    assert gib(colocated, "vLLM") == 40.0
    asleep = estimate_memory(recipe_of(engine="vllm_colocate", gpu_memory=0.5, sleep=True), B3, 1)
    server = estimate_memory(recipe_of(engine="vllm_server"), B3, 1)
    assert asleep.during(*ROLLOUT) == server.during(*ROLLOUT) + 40 * GIB
    assert asleep.during("update") == server.during("update") == colocated.during("update") - 40 * GIB
    assert asleep.peak <= colocated.peak


def test_measured_lengths_take_less_than_the_longest() -> None:
    recipe = recipe_of()
    at_most = estimate_memory(recipe, B3, 1)
    measured = estimate_memory(recipe, B3, 1, Lengths(600, 2048, 500.0, 512))
    assert all(part.bytes <= parts(at_most)[part.name] for part in measured.parts)
    # 256 replies, 500 tokens of 4 patches of 3 x 2 x 14 x 14 float32 numbers.
    assert parts(measured)["a step's images"] == 256 * (2000 * 1176 * 4 + 64 * (600 + 2048))


def test_a_step_with_adapters_takes_what_a_gpu_needed() -> None:
    """lora_1gpu_3b with 32 prompts of 500 tokens, two pictures of 13 x 13 tokens, 128 tokens per reply.

    On an H200 its peak was 12.2 GiB. Whether that includes the CUDA context was not recorded.
    """
    recipe = read_recipe(
        find_recipe("lora_1gpu_3b"),
        {"grpo.prompts": 32, "grpo.max_reply_tokens": 128, "rollout.engine": "transformers"},
    )
    found = estimate_memory(recipe, B3, 1, Lengths(500, 128, 338.0, 338))
    context = parts(found)["CUDA context"]
    for n_bytes in (found.peak, found.peak - context):
        assert n_bytes / GIB == pytest.approx(12.2, rel=0.15)


@pytest.mark.parametrize("shape", [B3, B7])
def test_chunked_log_probabilities_are_far_below_all_logits(shape: ModelShape) -> None:
    found = estimate_memory(recipe_of(micro_batch=8, max_reply_tokens=8192), shape, 1)
    assert parts(found)["log-probabilities"] < 4 * 8 * 8192 * shape.vocab_size / 5
