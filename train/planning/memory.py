"""Estimates the memory of a GPU during training by parts, from a recipe and the shape of a model.

Sources: Model states (weights, gradients, optimizer) and their shards follow Rajbhandari et al. 2020 (ZeRO,
arXiv 1910.02054, section 3.1). Activations are the tensors that the backward pass needs, with checkpoints of
each layer, as in Korthikanti et al. 2022 (arXiv 2205.05198, sections 4.1 and 5). The details of
transformers' Qwen2.5-VL, TRL's GRPOTrainer, accelerate and DeepSpeed are from their code. Each prompt and
reply is assumed to be as long as the recipe allows, and a prompt to consist of images only. Memory wasted by
the allocator is not included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ssl4rl_bench.train.planning.shapes import Linear, ModelShape
from ssl4rl_bench.train.planning.sizes import Sizes, shares_prompts, sizes
from ssl4rl_bench.train.recipe import Recipe

GIB = 1 << 30
CONTEXT = 3 * GIB // 2
"""Allowance in bytes for the CUDA context, libraries and NCCL's buffers: a round number, not computed."""
TILE_TOKENS, TILE_WORDS = 4096, 32768
"""Size of a tile of logits in TRL's chunked log-probabilities (trl/kernels/chunked_logprob.py,
trl/trainer/utils.py)."""
LIVE = 1_000_000_000
"""Parameters that ZeRO-3 keeps gathered (DeepSpeed's default of stage3_max_live_parameters)."""
TOKEN_FIELDS = 64
"""Bytes per token in TRL's buffer of a step: ids, masks, and log-probabilities of up to three policies."""

When = Literal["always", "rollout", "update"]


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One part of a GPU's memory."""

    name: str
    bytes: int
    when: When
    """The phase. Rollouts and updates alternate, so that their parts are never in memory at the same time."""
    how: str
    """How the bytes were counted, for display."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a GPU by parts."""

    parts: tuple[MemoryPart, ...]

    def during(self, when: When) -> int:
        """Returns the bytes of the parts of a phase; "rollout" and "update" exclude the parts of "always"."""
        return sum(part.bytes for part in self.parts if part.when == when)

    @property
    def peak(self) -> int:
        """Bytes in the phase that needs more memory."""
        return self.during("always") + max(self.during("rollout"), self.during("update"))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes per number, by kind of tensor."""

    frozen: int
    """Weights that are not trained."""
    trained: int
    """Trained weights, and likewise their gradients."""
    optimizer: int
    """The optimizer state per trained parameter: AdamW's two moments and any master copy."""
    product: int
    """Inputs and outputs of matrix products."""
    stream: int
    """The hidden states between the layers of the language model."""
    casts: bool
    """Whether autocast copies the weight and the input of each matrix product."""


def estimate_memory(
    recipe: Recipe, shape: ModelShape, processes: int, image_tokens: float | None = None
) -> Memory:
    """Estimates the memory of each of `processes` GPUs.

    Args:
        image_tokens: average number of image tokens per prompt, for the buffer of a step; the default is
            `max_prompt_tokens`.

    Raises:
        UsageError: as for `sizes.sizes`.
    """
    step = sizes(recipe, processes)
    width = _widths(recipe)
    parts = [
        *_states(recipe, shape, processes, width),
        *_gathered(recipe, shape, width),
        _activations(recipe, shape, step, width),
        _log_probs(recipe, shape, width),
        _buffer(recipe, shape, step, image_tokens),
        *_rollouts(recipe, shape, step, width),
        MemoryPart("CUDA context", CONTEXT, "always", "context, libraries, NCCL: a rough allowance"),
    ]
    return Memory(tuple(part for part in parts if part.bytes))


def trained_linears(recipe: Recipe, shape: ModelShape) -> list[Linear]:
    """Returns the linear layers' matrices that the optimizer updates or that have adapters.

    LoRA targets such as gate_proj also match matrices of the vision tower, unless `model.freeze_vision` is
    set.
    """
    lora, frozen = recipe.lora, recipe.model.freeze_vision
    return [
        linear
        for linear in shape.linears()
        if not (frozen and linear.vision) and (lora is None or linear.is_named(lora.targets))
    ]


def trainable(recipe: Recipe, shape: ModelShape) -> int:
    """Returns the number of parameters that the optimizer updates.

    An adapter has rank * (inputs + outputs) parameters per matrix (Hu et al. 2021, arXiv 2106.09685).
    """
    if recipe.lora is None:
        return shape.total - (shape.seeing if recipe.model.freeze_vision else 0)
    sides = sum((linear.inputs + linear.outputs) * linear.count for linear in trained_linears(recipe, shape))
    return recipe.lora.rank * sides


def _widths(recipe: Recipe) -> _Bytes:
    """Returns the bytes per number of each kind of tensor.

    Plain and FSDP2 training store weights, gradients and both of AdamW's moments in the same precision. With
    FSDP2 and mixed precision, accelerate casts trained weights to float32; peft casts adapters to float32.
    DeepSpeed in bfloat16 uses 2 + 2 bytes, and 12 for the optimizer state with its float32 copy of the
    weight (ZeRO, section 3.1).
    """
    mixed = recipe.model.compute == "bfloat16"
    sharding = recipe.hardware.sharding
    if sharding == "zero3" and mixed:
        return _Bytes(frozen=2, trained=2, optimizer=12, product=2, stream=2, casts=False)
    stored = 4 if recipe.model.dtype == "float32" else 2
    trained = 4 if recipe.lora or (sharding == "fsdp2" and mixed) else stored
    product = 2 if mixed else stored
    return _Bytes(
        frozen=stored,
        trained=trained,
        optimizer=2 * trained,
        product=product,
        # FSDP2 gathers weights in bfloat16, so that the hidden states are also bfloat16.
        stream=2 if sharding == "fsdp2" and mixed else stored,
        casts=stored > product and sharding == "none",
    )


def _states(recipe: Recipe, shape: ModelShape, processes: int, width: _Bytes) -> list[MemoryPart]:
    """Returns weights, gradients, optimizer state and the reference model.

    The first three follow (2 + 2 + 12) Psi / N and its variants (ZeRO, section 3.1).
    """
    shards = 1 if recipe.hardware.sharding == "none" else processes
    among = f" / {shards}" if shards > 1 else ""
    n = trainable(recipe, shape)
    frozen = shape.total if recipe.lora else shape.total - n
    state, state_how = width.optimizer * n, f"{width.optimizer} bytes x {_millions(n)}{among}"
    if recipe.optimizer.name == "muon":
        # Muon updates the matrices except the embeddings (train/muon.py).
        inner = (linear.weights for linear in trained_linears(recipe, shape) if "embed" not in linear.name)
        matrices = sum(inner) + shape.parts()["head"]
        state -= width.trained * matrices
        state_how = f"AdamW: {state_how}, Muon half of it on {_millions(matrices)}"

    def of(name: str, numbers: int, width: int, why: str = "") -> MemoryPart:
        return MemoryPart(name, numbers * width // shards, "always", f"{why}{_times(width, numbers, among)}")

    parts = [
        of("weights, frozen", frozen, width.frozen),
        of("weights, adapters" if recipe.lora else "weights, trained", n, width.trained),
        of("gradients", n, width.trained),
        MemoryPart("optimizer", state // shards, "always", state_how),
    ]
    if processes > 1 and shards == 1:
        parts.append(of("gradient buckets", n, width.trained, "DDP's own copy of the gradients, "))
    if recipe.grpo.kl > 0 and recipe.lora is None:
        why = "a second copy of the base, for the KL term: "
        parts.append(of("reference model", shape.total, width.frozen, why))
    return parts


def _gathered(recipe: Recipe, shape: ModelShape, width: _Bytes) -> list[MemoryPart]:
    """Returns the temporary copies of weights during a pass through the model.

    Autocast keeps a bfloat16 copy of each trained float32 weight that a matrix product uses until the pass
    ends (torch.amp, `cache_enabled`). FSDP2 gathers a layer while it computes the previous one, and keeps
    the head; ZeRO-3 keeps up to `LIVE` parameters.
    """
    sharding = recipe.hardware.sharding
    if sharding == "zero3":
        live = min(LIVE, shape.total)
        how = f"up to {_millions(live)} gathered at {width.product} bytes"
        return [MemoryPart("gathered weights", live * width.product, "always", how)]
    if sharding == "fsdp2":
        parts = shape.parts()
        unit = max(parts["layers"] // shape.num_hidden_layers, parts["vision blocks"] // shape.vision.depth)
        n = 2 * unit + (0 if recipe.lora else unit) + shape.embedding
        how = f"two layers, one's gradients, and the head at {width.product} bytes: {_millions(n)}"
        return [MemoryPart("gathered weights", n * width.product, "always", how)]
    if not width.casts or recipe.lora:
        return []
    n = sum(linear.weights for linear in trained_linears(recipe, shape))
    how = f"bfloat16 copies of {_millions(n)} that autocast keeps during a pass"
    return [MemoryPart("autocast copies", 2 * n, "always", how)]


def layer_activations(recipe: Recipe, shape: ModelShape, width: _Bytes, length: int) -> int:
    """Returns the bytes per token that one decoder layer saves for its backward pass.

    Korthikanti et al. (section 4.1) count 34 h + 5 a s bytes for a layer of GPT. Here a layer saves: for
    each of two RMSNorms, the float32 input and, if its weight is trained, the normalised value; the inputs
    of the projections, with a copy for each if autocast casts; queries, keys, values and result of the
    attention, where keys and values are repeated for all heads except with flash attention; and three values
    of the gated MLP and the input of its last projection. Eager attention also saves its matrix in float32
    and in the precision of products, heads * length each; sdpa also saves its result a second time, and the
    padding mask. The input of a frozen projection is not saved; that of its LoRA adapter is, together with
    the low-rank value.
    """
    h, i, m = shape.hidden_size, shape.intermediate_size, width.product
    kind = recipe.model.attention
    saved = m * (2 * h + 2 * (shape.kv if kind == "flash_attention_2" else h)) + 3 * m * i
    if kind == "eager":
        saved += shape.num_attention_heads * length * (4 + m)
    elif kind == "sdpa":
        saved += m * h + m * length
    if recipe.lora is not None:
        return saved + 8 * h + _adapters(recipe, shape, m, vision=False)
    return saved + 2 * (4 + width.stream) * h + (5 if width.casts else 2) * m * h + m * i


def block_activations(recipe: Recipe, shape: ModelShape, width: _Bytes) -> int:
    """Returns the bytes per patch that one block of the vision tower saves, as in `layer_activations`.

    Under autocast, the hidden states have the precision of matrix products, because the convolution returns
    it. The matrices of eager attention are not counted: nearly all blocks attend within windows of 64
    patches.
    """
    h, i, m = shape.vision.hidden_size, shape.vision.intermediate_size, width.product
    saved = (4 if recipe.model.attention == "flash_attention_2" else 5) * m * h + 3 * m * i
    if recipe.lora is not None:
        return saved + 8 * h + _adapters(recipe, shape, m, vision=True)
    return saved + 2 * (4 + m) * h + (3 if width.casts else 2) * m * h + m * i


def _adapters(recipe: Recipe, shape: ModelShape, m: int, vision: bool) -> int:
    """Returns the bytes per token or patch that the LoRA adapters of one layer save."""
    assert recipe.lora is not None
    part, rank = "visual.blocks." if vision else "layers.", recipe.lora.rank
    inside = (linear for linear in trained_linears(recipe, shape) if linear.name.startswith(part))
    return sum(m * (linear.inputs + rank) for linear in inside)


def _activations(recipe: Recipe, shape: ModelShape, step: Sizes, width: _Bytes) -> MemoryPart:
    """Returns the activations that a micro-batch saves for its backward pass (Korthikanti et al. 2022).

    With checkpointing, each layer saves only its input (section 5: 2 s b h bytes per layer in 16 bits), and
    one layer at a time is recomputed. A vision tower without trained weights saves nothing. If groups share
    their prompt, a row holds one prompt and all of its replies (train/shared_prompts.py).
    """
    g = recipe.grpo
    rows, length = g.micro_batch, g.max_prompt_tokens + g.max_reply_tokens
    if shares_prompts(recipe, step):
        rows, length = rows // g.group, g.max_prompt_tokens - 1 + g.group * (g.max_reply_tokens + 1)
    tokens, patches = rows * length, rows * g.max_prompt_tokens * shape.vision.spatial_merge_size**2
    layer = layer_activations(recipe, shape, width, length) * tokens
    block = block_activations(recipe, shape, width) * patches
    seen_too = any(linear.vision for linear in trained_linears(recipe, shape))
    depth = shape.vision.depth if seen_too else 0
    what = f"{rows} x {length:,} tokens, {patches:,} patches"
    if recipe.model.gradient_checkpointing:
        inputs = shape.num_hidden_layers * width.stream * shape.hidden_size * tokens
        inputs += depth * width.product * shape.vision.hidden_size * patches
        how = f"{what}: each layer's input ({_gib(inputs)}) and all of one layer ({_gib(max(layer, block))})"
        return MemoryPart("activations", inputs + max(layer, block), "update", how)
    n_bytes = shape.num_hidden_layers * layer + max(depth, 1) * block
    return MemoryPart(
        "activations", n_bytes, "update", f"{what}: everything that the backward pass needs, for every layer"
    )


def _log_probs(recipe: Recipe, shape: ModelShape, width: _Bytes) -> MemoryPart:
    """Returns the memory of TRL's chunked log-probabilities of the reply tokens, forward and backward.

    Logits are not stored: the head is applied in tiles. The backward pass has float32 gradients of the
    hidden states and, if the head is trained, of the entire head. A sharded head is gathered completely
    (`add_fused_lm_head`).
    """
    g = recipe.grpo
    n, head = g.micro_batch * g.max_reply_tokens, shape.embedding
    tile = min(n, TILE_TOKENS) * min(shape.vocab_size, TILE_WORDS) * width.product
    hidden = n * shape.hidden_size * (4 + 2 * width.stream) + 28 * n
    gradient = 0 if recipe.lora else 4 * head
    weight_bytes = {
        "none": 0,
        "fsdp2": width.frozen if recipe.lora else width.trained,
        "zero3": width.product,
    }
    gathered = weight_bytes[recipe.hardware.sharding] * head
    logits = 4 * n * shape.vocab_size
    how = (
        f"{n:,} reply tokens: a tile {_gib(tile)}, hidden states {_gib(hidden)}, the head's gradient "
        f"{_gib(gradient)} and the gathered head {_gib(gathered)} (all logits at once: {_gib(logits)})"
    )
    return MemoryPart("log-probabilities", tile + hidden + gradient + gathered, "update", how)


def _buffer(recipe: Recipe, shape: ModelShape, step: Sizes, image_tokens: float | None) -> MemoryPart:
    """Returns TRL's buffer of a step on the GPU: each reply with a copy of its images' pixels in float32."""
    g, v = recipe.grpo, shape.vision
    mine = step.replies // step.processes
    patches = int((g.max_prompt_tokens if image_tokens is None else image_tokens) * v.spatial_merge_size**2)
    per_reply = 4 * v.pixel_values * patches + TOKEN_FIELDS * (g.max_prompt_tokens + g.max_reply_tokens)
    how = f"{mine:,} replies with {patches:,} patches each ({_gib(per_reply)})"
    return MemoryPart("a step's images", mine * per_reply, "always", how)


def _rollouts(recipe: Recipe, shape: ModelShape, step: Sizes, width: _Bytes) -> list[MemoryPart]:
    """Returns vLLM's memory, or that of transformers' generation of all of a process's replies at once.

    Keys and values take 2 * layers * width * tokens numbers; keys have the precision of the hidden states
    (rotary embeddings preserve it). The pass over the prompts saves no activations but holds the MLP of one
    layer. With ZeRO-3, TRL gathers the entire model.
    """
    g, rollout = recipe.grpo, recipe.rollout
    if rollout.engine == "vllm_server":
        return []
    if rollout.engine == "vllm_colocate":
        share = int(rollout.gpu_memory * recipe.hardware.gpu_gib * GIB)
        how = f"{rollout.gpu_memory:.0%} of {recipe.hardware.gpu_gib:g} GiB, including vLLM's weights"
        when: When = "rollout" if rollout.sleep else "always"
        return [MemoryPart("vLLM", share, when, how + (", asleep during updates" if rollout.sleep else ""))]
    mine = step.replies // step.processes
    tokens = mine * (g.max_prompt_tokens + g.max_reply_tokens)
    cache = tokens * shape.num_hidden_layers * shape.kv * (width.stream + width.product)
    prompts = mine // (g.group if shares_prompts(recipe, step) else 1) * g.max_prompt_tokens
    m, v = width.product, shape.vision
    text = prompts * (3 * m * shape.intermediate_size + 2 * width.stream * shape.hidden_size)
    seen = prompts * v.spatial_merge_size**2 * (3 * m * v.intermediate_size + 2 * m * v.hidden_size)
    parts = [
        MemoryPart("key-value cache", cache, "rollout", f"{mine:,} replies at once, {tokens:,} tokens"),
        MemoryPart(
            "reading prompts", max(text, seen), "rollout", f"one layer's MLP over {prompts:,} tokens at once"
        ),
    ]
    if recipe.hardware.sharding == "zero3":
        how = f"gathered to generate: {_times(width.product, shape.total, '')}"
        parts.append(MemoryPart("whole model", width.product * shape.total, "rollout", how))
    return parts


def _times(width: int, n: int, among: str) -> str:
    return f"{width} bytes x {_millions(n)}{among}"


def _millions(n: int) -> str:
    return f"{n / 1e6:,.1f} M"


def _gib(n: float) -> str:
    return f"{n / GIB:.2f} GiB" if n >= GIB / 10 else f"{n / (1 << 20):.1f} MiB"
