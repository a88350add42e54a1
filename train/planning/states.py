"""Memory of the model's states: weights, gradients, optimizer, reference model, and temporary copies of weights.

Source: Rajbhandari et al. 2020 (ZeRO, arXiv 1910.02054, section 3.1).
"""

from __future__ import annotations

from ssl4rl_bench.train.planning.memory_parts import ALWAYS, MemoryPart, Phase, Widths, millions, times
from ssl4rl_bench.train.planning.shapes import Linear, ModelShape
from ssl4rl_bench.train.recipe import Recipe

LIVE = 1_000_000_000
"""Parameters that ZeRO-3 keeps gathered (DeepSpeed's default of stage3_max_live_parameters)."""


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


def model_states(recipe: Recipe, shape: ModelShape, processes: int, width: Widths) -> list[MemoryPart]:
    """Returns weights, gradients, optimizer state and the reference model.

    The first three follow (2 + 2 + 12) Psi / N and its variants (ZeRO, section 3.1). transformers frees
    gradients after each update, except those that DeepSpeed partitions.
    """
    sharding = recipe.hardware.sharding
    shards = 1 if sharding == "none" else processes
    among = f" / {shards}" if shards > 1 else ""
    n = trainable(recipe, shape)
    frozen = shape.total if recipe.lora else shape.total - n
    state, state_how = width.optimizer * n, f"{width.optimizer} bytes x {millions(n)}{among}"
    if recipe.optimizer.name == "muon":
        # Muon updates the matrices except the embeddings (train/muon.py).
        inner = (linear.weights for linear in trained_linears(recipe, shape) if "embed" not in linear.name)
        matrices = sum(inner) + shape.parts()["head"]
        state -= width.trained * matrices
        state_how = f"AdamW: {state_how}, Muon half of it on {millions(matrices)}"

    def part(
        name: str, numbers: int, width: int, why: str = "", phases: tuple[Phase, ...] = ALWAYS
    ) -> MemoryPart:
        return MemoryPart(name, numbers * width // shards, phases, f"{why}{times(width, numbers, among)}")

    parts = [
        part("weights, frozen", frozen, width.frozen),
        part("weights, adapters" if recipe.lora else "weights, trained", n, width.trained),
        part("gradients", n, width.trained, phases=ALWAYS if sharding == "zero3" else ("update",)),
        MemoryPart("optimizer", state // shards, ALWAYS, state_how),
    ]
    if processes > 1 and shards == 1:
        parts.append(part("gradient buckets", n, width.trained, "DDP's own copy of the gradients, "))
    if recipe.grpo.kl > 0 and recipe.lora is None:
        why = "a second copy of the base, for the KL term: "
        parts.append(part("reference model", shape.total, width.frozen, why))
    return parts


def gathered_weights(recipe: Recipe, shape: ModelShape, width: Widths) -> list[MemoryPart]:
    """Returns the temporary copies of weights during a pass through the model.

    Autocast keeps a bfloat16 copy of each trained float32 weight (with LoRA, of each adapter) that a matrix
    product uses until the pass ends (torch.amp, `cache_enabled`). FSDP2 gathers a layer while it computes the
    previous one, and keeps the head; ZeRO-3 keeps up to `LIVE` parameters.
    """
    sharding = recipe.hardware.sharding
    if sharding == "zero3":
        live = min(LIVE, shape.total)
        how = f"up to {millions(live)} gathered at {width.product} bytes"
        return [MemoryPart("gathered weights", live * width.product, ALWAYS, how)]
    if sharding == "fsdp2":
        parts = shape.parts()
        unit = max(parts["layers"] // shape.num_hidden_layers, parts["vision blocks"] // shape.vision.depth)
        n = 2 * unit + (0 if recipe.lora else unit) + shape.embedding
        how = f"two layers, one's gradients, and the head at {width.product} bytes: {millions(n)}"
        return [MemoryPart("gathered weights", n * width.product, ALWAYS, how)]
    if width.product >= width.trained:
        return []
    linears = trained_linears(recipe, shape)
    n = trainable(recipe, shape) if recipe.lora else sum(linear.weights for linear in linears)
    how = f"bfloat16 copies of {millions(n)} that autocast keeps during a pass"
    return [MemoryPart("autocast copies", 2 * n, ALWAYS, how)]
