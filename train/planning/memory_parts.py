"""The parts of a GPU's memory, the phases in which they exist, and the bytes per number of each kind of tensor.

`memory` adds up the parts that `states`, `activations` and `rollouts` compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ssl4rl_bench.train.recipe import Recipe

GIB = 1 << 30
Phase = Literal["reading", "generating", "scoring", "update"]
"""The phases of a step that follow one another: reading the prompts of the rollouts, generating the replies,
computing their log-probabilities without gradients, and the updates."""
ALWAYS: tuple[Phase, ...] = get_args(Phase)
ROLLOUT: tuple[Phase, ...] = ("reading", "generating")


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One part of a GPU's memory."""

    name: str
    bytes: int
    phases: tuple[Phase, ...]
    """The phases during which the part exists."""
    how: str
    """How the bytes were counted, for display."""

    @property
    def when(self) -> str:
        """The phases, for display."""
        return {ALWAYS: "always", ROLLOUT: "rollout"}.get(self.phases, ", ".join(self.phases))


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a GPU by parts."""

    parts: tuple[MemoryPart, ...]

    def during(self, *phases: Phase) -> int:
        """Returns the bytes that exist at the same time in the phase, of those given, that needs most."""
        return max(sum(part.bytes for part in self.parts if phase in part.phases) for phase in phases)

    @property
    def peak(self) -> int:
        """Bytes in the phase that needs most."""
        return self.during(*ALWAYS)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in tokens for which memory is estimated."""

    prompt: int
    """Tokens of the longest prompt; rows are padded to it."""
    reply: int
    images: float
    """Average number of image tokens per prompt."""
    most_images: int
    """Image tokens of the prompt that has most."""

    @classmethod
    def at_most(cls, recipe: Recipe) -> Lengths:
        """Returns the maximum lengths of a recipe, with prompts that consist of images only."""
        prompt = recipe.grpo.max_prompt_tokens
        return cls(prompt, recipe.grpo.max_reply_tokens, float(prompt), prompt)


@dataclass(frozen=True, slots=True)
class Widths:
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


def widths(recipe: Recipe) -> Widths:
    """Returns the bytes per number of each kind of tensor.

    Plain and FSDP2 training store weights, gradients and both of AdamW's moments in the same precision. With
    FSDP2 and mixed precision, accelerate casts trained weights to float32; peft casts adapters to float32.
    DeepSpeed in bfloat16 uses 2 + 2 bytes, and 12 for the optimizer state with its float32 copy of the
    weight (ZeRO, section 3.1).
    """
    mixed = recipe.model.compute == "bfloat16"
    sharding = recipe.hardware.sharding
    if sharding == "zero3" and mixed:
        return Widths(frozen=2, trained=2, optimizer=12, product=2, stream=2, casts=False)
    stored = 4 if recipe.model.dtype == "float32" else 2
    trained = 4 if recipe.lora or (sharding == "fsdp2" and mixed) else stored
    product = 2 if mixed else stored
    return Widths(
        frozen=stored,
        trained=trained,
        optimizer=2 * trained,
        product=product,
        # FSDP2 gathers weights in bfloat16, so that the hidden states are also bfloat16.
        stream=2 if sharding == "fsdp2" and mixed else stored,
        casts=stored > product and sharding == "none",
    )


def times(width: int, n: int, among: str) -> str:
    """Returns how the bytes of `n` numbers were counted, for display."""
    return f"{width} bytes x {millions(n)}{among}"


def millions(n: int) -> str:
    """Returns a number in millions, for display."""
    return f"{n / 1e6:,.1f} M"


def gib(n: float) -> str:
    """Returns bytes in GiB or MiB, for display."""
    return f"{n / GIB:.2f} GiB" if n >= GIB / 10 else f"{n / (1 << 20):.1f} MiB"
