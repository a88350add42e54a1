"""Small GRPO runs on the bundled tiny-base, for the tests that drive the real trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ssl4rl_bench.task import scenes
from ssl4rl_bench.train.recipe import Recipe, read_recipe


def pictures(folder: Path, n: int = 12) -> Path:
    """Writes a folder of drawn pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, question in zip(range(n), scenes.questions("train", 3), strict=False):
        (folder / f"{number:02d}.png").write_bytes(scenes.png(question.drawn))
    return folder


def recipe_file(folder: Path, images: Path, **changes: Any) -> Path:
    """Writes a recipe to `folder` that has six steps of 4 prompts with 4 replies."""
    values: dict[str, dict[str, Any]] = {
        "": {"name": "small", "seed": 3},
        "model": {
            "base": "tiny-base",
            "compute": "float32",
            "attention": "eager",
            "gradient_checkpointing": False,
        },
        "data": {"images": str(images)},
        "tasks": {"ssl_rotation_90": 1},
        "reward": {},
        "grpo": {
            "prompts": 4,
            "group": 4,
            "steps": 6,
            "micro_batch": 16,
            "max_prompt_tokens": 400,
            "max_reply_tokens": 16,
        },
        "optimizer": {"learning_rate": 1e-4},
        "save": {"every": 100},
        "log": {"to": []},
        "hardware": {"threads": 1},
    }
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        values.setdefault(table, {})[name] = value
    lines = []
    for table, keys in values.items():
        if table:
            lines.append(f"\n[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    path = folder / "small.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def recipe(folder: Path, images: Path, **changes: Any) -> Recipe:
    """Writes a recipe with `recipe_file` and reads it."""
    return read_recipe(recipe_file(folder, images, **changes))


def masters(checkpoint: Path) -> dict[str, Any]:
    """Loads the weights of a checkpoint in full precision."""
    from safetensors.torch import load_file

    return load_file(checkpoint / "trainer" / "model.safetensors")


def lines(out: Path) -> list[dict[str, Any]]:
    """Reads the lines of a run's metrics."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
