"""Memory of a micro-batch: activations, log-probabilities, and passes without gradients.

Activations are the tensors that the backward pass needs, with checkpoints of each layer, as in Korthikanti et
al. 2022 (arXiv 2205.05198, sections 4.1 and 5). The tensors are those of transformers' Qwen2.5-VL and Qwen3-VL
and of TRL's log-probabilities, according to their code; tests compare them with what torch keeps for small models.
"""

from __future__ import annotations

from ssl4rl_bench.train import packing
from ssl4rl_bench.train.planning.memory_parts import Lengths, MemoryPart, Widths, gib
from ssl4rl_bench.train.planning.shapes import QWEN3, ModelShape
from ssl4rl_bench.train.planning.sizes import Sizes, shares_prompts
from ssl4rl_bench.train.planning.states import trained_linears
from ssl4rl_bench.train.recipe import Recipe

TILE_TOKENS, TILE_WORDS = 4096, 32768
"""Size of a tile of logits in TRL's chunked log-probabilities (trl/kernels/chunked_logprob.py,
trl/trainer/utils.py)."""


def layer_activations(recipe: Recipe, shape: ModelShape, width: Widths, length: int) -> int:
    """Returns the bytes per token that one decoder layer saves for its backward pass.

    Korthikanti et al. (section 4.1) count 34 h + 5 a s bytes for a layer of GPT. Here a layer saves: for
    each of two RMSNorms, the float32 input and, if its weight is trained, the normalised value; the inputs
    of the projections, with a copy for each if autocast casts; queries, keys, values and result of the
    attention, where keys and values are repeated for all heads except with flash attention; and three values
    of the gated MLP and the input of its last projection. Eager attention also saves its matrix in float32
    and in the precision of products, heads * length each; sdpa also saves its result a second time, and the
    padding mask. The input of a frozen projection is not saved; that of its LoRA adapter is, together with
    the low-rank value. Qwen3-VL also normalises the heads of queries and keys.
    """
    h, q, i, m = shape.hidden_size, shape.queries, shape.intermediate_size, width.product
    kind = recipe.model.attention
    saved = m * (2 * q + 2 * (shape.kv if kind == "flash_attention_2" else q)) + 3 * m * i
    if kind == "eager":
        saved += shape.num_attention_heads * length * (4 + m)
    elif kind == "sdpa":
        saved += m * q + m * length
    if shape.norms_heads:
        saved += (4 if recipe.lora else 4 + m) * (q + shape.kv)
    if recipe.lora is not None:
        return saved + 8 * h + _adapters(recipe, shape, m, vision=False)
    return saved + 2 * (4 + width.stream) * h + (5 if width.casts else 2) * m * h + m * i


def block_activations(recipe: Recipe, shape: ModelShape, width: Widths) -> int:
    """Returns the bytes per patch that one block of the vision tower saves, as in `layer_activations`.

    Under autocast, the hidden states have the precision of matrix products, because the convolution returns
    it. The matrices of eager attention are not counted: nearly all blocks of Qwen2.5-VL attend within windows
    of 64 patches. Those of Qwen3-VL attend to whole images, have layer norms, of which only the input is saved,
    and an MLP without a gate.
    """
    h, i, m = shape.vision.hidden_size, shape.vision.intermediate_size, width.product
    saved = (4 if recipe.model.attention == "flash_attention_2" else 5) * m * h
    if shape.family == QWEN3:
        inputs = _adapters(recipe, shape, m, vision=True) if recipe.lora else 2 * m * h + m * i
        return saved + m * i + 8 * h + inputs
    saved += 3 * m * i
    if recipe.lora is not None:
        return saved + 8 * h + _adapters(recipe, shape, m, vision=True)
    return saved + 2 * (4 + m) * h + (3 if width.casts else 2) * m * h + m * i


def layer_pass(recipe: Recipe, shape: ModelShape, width: Widths, length: int) -> int:
    """Returns the bytes per token that exist at once in a decoder layer during a pass without gradients.

    These are the residual, its norm, and three values of the gated MLP. An adapter of the MLP adds the scaled
    low-rank product and its float32 input. Eager attention needs more for long rows: two float32 matrices of
    heads * length and a cast one next to the queries and the repeated keys and values, and the mask.
    """
    h, m = shape.hidden_size, width.product
    residual = 2 * width.stream * h
    mlp = 3 * m * shape.intermediate_size
    if _adapts_mlp(recipe, shape, vision=False):
        mlp += m * shape.intermediate_size + 4 * h
    matrices = (8 + (m if m < 4 else 0)) * shape.num_attention_heads * length + 3 * m * h + 4 * length
    return residual + (max(mlp, matrices) if recipe.model.attention == "eager" else mlp)


def block_pass(recipe: Recipe, shape: ModelShape, width: Widths) -> int:
    """Returns the bytes per patch that exist at once in a vision block during a pass without gradients.

    Rotary embeddings need most: in float32, queries, keys, the rotated queries and three products of the keys,
    next to the residual, its norm, and queries, keys and values. The MLP needs more if it is wide. In Qwen3-VL,
    the norm is in float32, and the position embeddings, cosines and sines of all patches and the outputs of the
    deepstack exist as well.
    """
    h, i, m = shape.vision.hidden_size, shape.vision.intermediate_size, width.product
    rotary = 3 * m * h + 4 * 4 * h + (8 * h if m < 4 else 0)
    mlp = (2 if shape.family == QWEN3 else 3) * m * i
    if _adapts_mlp(recipe, shape, vision=True):
        mlp += m * i + 4 * h
    beside = 0
    if shape.family == QWEN3:
        v = shape.vision
        outputs = len(v.deepstack_visual_indexes) * m * v.out_hidden_size // v.spatial_merge_size**2
        beside = 4 * h + 8 * h // v.num_heads + outputs
    return 2 * m * h + beside + max(rotary, mlp)


def deepstack_activations(recipe: Recipe, shape: ModelShape, width: Widths) -> int:
    """Returns the bytes per patch that the mergers of Qwen3-VL's deepstack save; 0 for Qwen2.5-VL.

    Each saves the float32 input of its norm and the input of its activation function, and those of its two
    projections if these are trained. With LoRA, the low-rank values of their adapters are saved too.
    """
    h, m = shape.vision.hidden_size, width.product
    n, patches_a_token = len(shape.vision.deepstack_visual_indexes), shape.vision.spatial_merge_size**2
    if recipe.lora is None:
        return n * (4 + 3 * m) * h
    prefix, rank = "visual.deepstack_merger_list.", recipe.lora.rank
    adapted = (linear for linear in trained_linears(recipe, shape) if linear.name.startswith(prefix))
    per_token = sum(m * (linear.inputs + rank) * linear.count for linear in adapted)
    return n * (4 + m) * h + per_token // patches_a_token


def pixel_bytes(shape: ModelShape, width: Widths) -> int:
    """Returns the bytes per patch of the pixels: in float32, and in the precision of the first convolution."""
    return shape.vision.pixel_values * (4 + (width.product if width.product < 4 else 0))


def activations(
    recipe: Recipe, shape: ModelShape, step: Sizes, width: Widths, lengths: Lengths
) -> MemoryPart:
    """Returns the activations that a micro-batch saves for its backward pass (Korthikanti et al. 2022).

    With checkpointing, each layer saves only its input (section 5: 2 s b h bytes per layer in 16 bits), and
    one layer at a time is recomputed. The backward pass of a layer also has gradients of the width of the MLP
    (two, and that of an adapter's float32 input), that of a vision block four float32 gradients of rotary
    embeddings. A vision tower without trained weights saves nothing.
    """
    rows, tokens, length = _rows(recipe, shape, step, lengths)
    patches = _patches(recipe, shape, step, lengths)
    m, wide, seen = width.product, shape.intermediate_size, shape.vision.intermediate_size
    layer = layer_activations(recipe, shape, width, length) * tokens
    layer_gradients = (2 * m + 4 * _adapts_mlp(recipe, shape, vision=False)) * wide * tokens
    block = block_activations(recipe, shape, width) * patches
    block_gradients = patches * max(
        16 * shape.vision.hidden_size, (2 * m + 4 * _adapts_mlp(recipe, shape, vision=True)) * seen
    )
    sees = any(linear.vision for linear in trained_linears(recipe, shape))
    depth = shape.vision.depth if sees else 0
    mergers = deepstack_activations(recipe, shape, width) * patches if sees else 0
    what = f"{rows} rows of up to {length:,} tokens, {patches:,} patches"
    if recipe.model.gradient_checkpointing:
        inputs = shape.num_hidden_layers * width.stream * shape.hidden_size * tokens
        before = depth * m * shape.vision.hidden_size * patches + mergers
        text, vision = layer + layer_gradients, block + block_gradients
        how = f"{what}: each layer's input ({gib(inputs + before)}) and all of one layer ({gib(text)})"
    else:
        inputs, before = shape.num_hidden_layers * layer, depth * block + mergers
        text, vision = layer_gradients, block_gradients
        how = f"{what}: everything that the backward pass needs, for every layer"
    if not sees:
        vision = block_pass(recipe, shape, width) * patches
    n_bytes = pixel_bytes(shape, width) * patches + before + max(inputs + text, vision)
    return MemoryPart("activations", n_bytes, ("update",), how)


def log_probs(recipe: Recipe, shape: ModelShape, width: Widths, lengths: Lengths) -> MemoryPart:
    """Returns the memory of TRL's chunked log-probabilities of the reply tokens, forward and backward.

    Logits are not stored: the head is applied in tiles. The backward pass has float32 gradients of the
    hidden states and, if the head is trained, of the entire head. A sharded head is gathered completely
    (`add_fused_lm_head`).
    """
    n, head = recipe.grpo.micro_batch * lengths.reply, shape.embedding
    tile, hidden = _tile(n, shape, width), n * shape.hidden_size * (4 + 2 * width.stream) + 28 * n
    gradient = 0 if recipe.lora else 4 * head
    weight_bytes = {
        "none": 0,
        "fsdp2": width.frozen if recipe.lora else width.trained,
        "zero3": width.product,
    }
    gathered = weight_bytes[recipe.hardware.sharding] * head
    logits = 4 * n * shape.vocab_size
    how = (
        f"{n:,} reply tokens: a tile {gib(tile)}, hidden states {gib(hidden)}, the head's gradient "
        f"{gib(gradient)} and the gathered head {gib(gathered)} (all logits at once: {gib(logits)})"
    )
    return MemoryPart("log-probabilities", tile + hidden + gradient + gathered, ("update",), how)


def scoring_pass(recipe: Recipe, shape: ModelShape, step: Sizes, width: Widths, lengths: Lengths) -> int:
    """Returns the bytes of a pass without gradients over a micro-batch, or 0 if no policy is scored.

    TRL scores replies under the base for the KL term, and under the policy that sampled them if there is more
    than one update per step or if vLLM sampled them.
    """
    g = recipe.grpo
    if not (g.kl > 0 or step.updates_a_step > 1 or recipe.rollout.engine != "transformers"):
        return 0
    _, tokens, length = _rows(recipe, shape, step, lengths)
    n = g.micro_batch * lengths.reply
    patches = _patches(recipe, shape, step, lengths)
    text = layer_pass(recipe, shape, width, length) * tokens
    head = _tile(n, shape, width) + n * shape.hidden_size * width.stream
    return max(text, head, block_pass(recipe, shape, width) * patches) + pixel_bytes(shape, width) * patches


def _rows(recipe: Recipe, shape: ModelShape, step: Sizes, lengths: Lengths) -> tuple[int, int, int]:
    """Returns the rows of a micro-batch, their tokens with padding, and the length of the longest row.

    If groups share their prompt, the micro-batch is divided as in training (train/packing.py).
    """
    g = recipe.grpo
    if not shares_prompts(recipe, step):
        return g.micro_batch, g.micro_batch * (lengths.prompt + lengths.reply), lengths.prompt + lengths.reply
    patches = lengths.most_images * shape.vision.spatial_merge_size**2
    group = packing.Group(lengths.prompt, patches, (lengths.reply,) * g.group)
    passes = packing.plan(
        [group] * (g.micro_batch // g.group),
        packing.Cost.of(shape),
        share=True,
        max_passes=None if recipe.hardware.sharding == "none" else 1,
    )
    longest = [max(row.length for row in rows) for rows in passes]
    tokens = sum(len(rows) * length for rows, length in zip(passes, longest, strict=True))
    return sum(map(len, passes)), tokens, max(longest)


def _patches(recipe: Recipe, shape: ModelShape, step: Sizes, lengths: Lengths) -> int:
    """Returns the patches of the images in a micro-batch, where each row has the most images."""
    rows = _rows(recipe, shape, step, lengths)[0]
    return rows * lengths.most_images * shape.vision.spatial_merge_size**2


def _tile(n: int, shape: ModelShape, width: Widths) -> int:
    return min(n, TILE_TOKENS) * min(shape.vocab_size, TILE_WORDS) * width.product


def _adapters(recipe: Recipe, shape: ModelShape, m: int, vision: bool) -> int:
    """Returns the bytes per token or patch that the LoRA adapters of one layer save."""
    assert recipe.lora is not None
    part, rank = "visual.blocks." if vision else "layers.", recipe.lora.rank
    inside = (linear for linear in trained_linears(recipe, shape) if linear.name.startswith(part))
    return sum(m * (linear.inputs + rank) for linear in inside)


def _adapts_mlp(recipe: Recipe, shape: ModelShape, vision: bool) -> bool:
    """Whether adapters are added to the MLP of the vision tower or of the language model."""
    part = "visual.blocks.mlp." if vision else "layers.mlp."
    return recipe.lora is not None and any(
        linear.name.startswith(part) for linear in trained_linears(recipe, shape)
    )
