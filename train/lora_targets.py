"""Finds the matrices that get LoRA adapters, from a config alone, before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.engines.checkpoints.architecture import VISION, expected
from ssl4rl_bench.engines.checkpoints.files import read_config
from ssl4rl_bench.train.planning.shapes import ModelShape
from ssl4rl_bench.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Adapters:
    """The numbers of matrices with adapters."""

    language_model: int
    vision_tower: int

    def __str__(self) -> str:
        return (
            f"adapters on {self.language_model} matrices of the language model and {self.vision_tower} of the "
            "vision tower"
        )


def adapters_of(recipe: Recipe, base: Path | ModelShape) -> Adapters | None:
    """Counts the matrices that the recipe's targets match; None without `[lora]` or for an unknown architecture.

    Args:
        base: the folder of the base, or its shape.

    Raises:
        UsageError: a target matches no matrix; the message suggests similar names.
    """
    if recipe.lora is None:
        return None
    wanted = expected(base.config() if isinstance(base, ModelShape) else read_config(base))
    if wanted is None:
        return None
    modules = [
        name.removesuffix(".weight")
        for name, shape in wanted.shapes.items()
        if name.endswith(".weight") and len(shape) >= 2
    ]
    trained = [name for name in modules if not (recipe.model.freeze_vision and name.startswith(VISION))]
    matched: set[str] = set()
    for target in recipe.lora.targets:
        names = _matching(trained, target)
        if not names:
            raise UsageError(_complaint(target, recipe.model.base, modules))
        matched.update(names)
    vision = sum(name.startswith(VISION) for name in matched)
    return Adapters(len(matched) - vision, vision)


def _matching(modules: list[str], target: str) -> list[str]:
    """Returns the modules that peft matches with a target: of this name, or with names that end in it."""
    return [name for name in modules if name == target or name.endswith(f".{target}")]


def _complaint(target: str, base: str, modules: list[str]) -> str:
    if _matching(modules, target):
        return (
            f"lora.targets: {target} is only in the vision tower of {base}, which model.freeze_vision excludes: "
            "remove one of the two"
        )
    ends = sorted({name.rpartition(".")[2] for name in modules if not name.endswith(tuple("0123456789"))})
    hint = did_you_mean(target, ends) or did_you_mean(target, modules)
    return f"lora.targets: {target} does not match any matrix of {base}, whose matrices are {', '.join(ends)}{hint}"
