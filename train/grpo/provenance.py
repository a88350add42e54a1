"""The contents of a checkpoint's ssl4rl.json: recipe, base, data, versions, and the progress of the run."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.checkpoints.files import read_config
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.run.machine import installed_versions
from ssl4rl_bench.train.grpo.dataset import Dataset
from ssl4rl_bench.train.grpo.job import TrainingJob
from ssl4rl_bench.train.journal import Metrics

_FACTS = (
    "source",
    "images",
    "manifest_sha256",
    "over_long",
    "left_out",
    "unusable",
    "overlap",
    "transductive",
)
"""Keys of data.json that are copied to each checkpoint."""
_REPLAY_DETAILS = ("used_ids", "overlap_details")
"""Keys of "replay" in data.json that are not copied."""
_PACKAGES = ("ssl4rl_bench", "torch", "transformers", "trl", "accelerate", "peft", "vllm")


@dataclass(frozen=True)
class Origin:
    """Makes the contents of ssl4rl.json. Time is measured from the creation of this object."""

    job: TrainingJob
    data: Dataset
    metrics: Metrics
    started: float = field(default_factory=time.time)

    def __call__(self, updates: int) -> dict[str, Any]:
        """Returns the contents after the given number of optimizer updates."""
        recipe, base, parts = self.job.recipe, self.job.base, self.job.parts
        steps = updates / parts.updates_a_step
        return {
            "schema": 1,
            "kind": "grpo",
            "name": recipe.name,
            "step": updates // parts.updates_a_step,
            "updates": updates,
            "samples": round(steps * parts.prompts),
            "epochs": round(steps * parts.ssl_prompts / self.data.training_set.rows_an_epoch, 4),
            "seed": recipe.seed,
            "recipe": recipe.values(),
            "recipe_sha256": recipe.sha256,
            "fingerprint_scheme": SCHEME,
            "base": {"name": base.name, "fingerprint": base.fingerprint, "revision": base.revision},
            "data": {key: self.data.facts[key] for key in _FACTS} | self._replay(),
            **({"adapters": asdict(adapters)} if (adapters := self.job.adapters) else {}),
            "processes": parts.processes,
            "seconds_of_last_start": round(time.time() - self.started),
            "versions": installed_versions(_PACKAGES),
            "metrics": self.metrics.last,
        }

    def _replay(self) -> dict[str, Any]:
        if (replay := self.data.replay) is None:
            return {}
        facts = {key: value for key, value in replay.facts.items() if key not in _REPLAY_DETAILS}
        return {"replay": facts}


def shipped_dtype(base: Model) -> str:
    """Returns the dtype of the base's weights, which is also that of the checkpoints.

    Raises:
        ModelError: config.json does not specify the dtype.
    """
    config = read_config(base.path)
    dtype = config.get("dtype") or config.get("torch_dtype") or config.get("text_config", {}).get("dtype")
    if dtype not in ("bfloat16", "float16", "float32"):
        raise ModelError(f"{base.path / 'config.json'} does not say the weights' dtype; download it again")
    return str(dtype)
