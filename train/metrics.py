"""A line of metrics, under names that do not depend on TRL's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {
    "loss": "loss",
    "reward": "reward",
    "reward_std": "reward_std",
    "completions/mean_length": "reply_tokens",
    "completions/clipped_ratio": "cut_off",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip",
    "frac_reward_zero_std": "flat_groups",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
}
"""TRL's name to ours."""


def renamed(logs: Mapping[str, Any], spent: Mapping[str, float]) -> dict[str, float]:
    """TRL's metrics under this project's names, and seconds by phase ("rollout_s")."""
    out = {ours: logs[trl] for trl, ours in _NAMES.items() if logs.get(trl) is not None}
    for name, value in logs.items():
        if value is None:
            continue
        if name.startswith("rewards/") and name.endswith("/mean"):
            out[f"reward/{name.removeprefix('rewards/').removesuffix('/mean')}"] = value
        elif name.startswith("ssl_"):
            out[name] = value
    formats = [value for name, value in out.items() if name.endswith("/format")]
    if formats:
        out["format"] = sum(formats) / len(formats)
    out |= {f"{phase}_s": seconds for phase, seconds in spent.items() if seconds}
    return {name: float(value) for name, value in out.items()}
