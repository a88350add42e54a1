"""Makes small folders that look like checkpoints, and the settings for watching them."""

from __future__ import annotations

from pathlib import Path

from tensor_files import tensors

from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.evaluation import EvaluationPlan
from ssl4rl_bench.gating.policy import Policy, parse_policy
from ssl4rl_bench.watch.loop import WatchSettings

POLICY = parse_policy(
    {"allow": ["partial"], "rule": [{"task": "scenes", "kind": "no_worse_than", "margin": 90}]}, "gate.toml"
)


def make(folder: Path, step: int, fill: int | None = None) -> Path:
    """Makes a complete checkpoint, which is renamed when it is finished, like those of the trainer."""
    path, scratch = folder / f"step-{step:06d}", folder / ".saving"
    scratch.mkdir(parents=True)
    for name, data in files(step % 256 if fill is None else fill).items():
        (scratch / name).write_bytes(data)
    return scratch.rename(path)


def files(fill: int) -> dict[str, bytes]:
    return {
        "config.json": b'{"model_type": "qwen2_5_vl"}',
        "model.safetensors": tensors(fill, size=100),
        "tokenizer.json": b"{}",
    }


def plan(limit: int = 6, **changes: object) -> EvaluationPlan:
    options = EngineOptions(mock="random")
    settings = {"models": (), "loading": {"ssl4rl_scenes": {"data": None, "limit": limit}}, "engine": "mock"}
    return EvaluationPlan(**({**settings, "options": options} | changes))  # type: ignore[arg-type]


def asked(folder: Path, out: Path, policy: Policy = POLICY, **changes: object) -> WatchSettings:
    settings = {"baseline": None, "once": True, "interval": 0.01, "keep_best": True}
    return WatchSettings(checkpoints=folder, out=out, policy=policy, **(settings | changes))  # type: ignore[arg-type]
