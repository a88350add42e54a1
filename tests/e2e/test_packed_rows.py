"""Packed, split and separate rows give the same log-probabilities, entropies, losses and gradients."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

from tiny_model import build  # noqa: E402
from train_recipe import pictures, recipe  # noqa: E402

from ssl4rl_bench.train import packing  # noqa: E402
from ssl4rl_bench.train.packing import Cost  # noqa: E402

LENGTHS = [3, 150, 3, 140, 5, 5, 5, 5, 160, 2, 1, 40, 12, 12, 2, 30]
"""Tokens of the replies to four prompts."""
KINDS = {"whole groups": {4}, "some together": {1, 2, 3, 4}, "a row per reply": {1}, "not shared": {1}}
"""The numbers of replies in a row."""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "long_reply.py"
    spec = importlib.util.spec_from_file_location("long_reply", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["eager", "sdpa", "qwen3_vl"])
def trainer(
    request: pytest.FixtureRequest, benchmark: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("run")
    changes = {"model__attention": request.param}
    if request.param == "qwen3_vl":
        base = build(folder / "base", family="qwen3_vl")
        changes = {"model__base": str(base), "model__attention": "sdpa"}
    small = recipe(folder, pictures(folder / "pictures"), grpo__kl=0.1, **changes)
    with ExitStack() as stack:
        made = benchmark.trainer_of(small, folder / "out", stack)
        made.current_gradient_accumulation_steps = 1
        made.model.train()
        yield made


def results(trainer: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Log-probabilities, entropies, loss and gradients of a micro-batch."""
    import torch

    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    images = {
        key: inputs[key] for key in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    }
    with torch.no_grad():
        logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, inputs["completion_ids"].shape[1], compute_entropy=True, **images
        )
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.model.zero_grad()
    return {"logps": logps, "entropies": entropies, "loss": loss.detach(), **gradients}


def by_trl(trainer: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The same by TRL's trainer, with a row per reply and all columns of padding."""
    from trl import GRPOTrainer

    with pytest.MonkeyPatch.context() as patch:
        plain = GRPOTrainer._get_per_token_logps_and_entropies.__get__(trainer)
        patch.setattr(trainer, "_get_per_token_logps_and_entropies", plain)
        return results(trainer, inputs)


@pytest.fixture(scope="module", params=[False, True], ids=["complete", "truncated"])
def case(
    request: pytest.FixtureRequest, benchmark: ModuleType, trainer: Any
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """A batch, what TRL computes for it, and whether it has a truncated reply that is masked and so has no tokens."""
    import torch

    inputs = benchmark.batch_of(trainer, LENGTHS)
    inputs["advantages"] = torch.linspace(-1, 1, len(LENGTHS))
    if request.param:
        inputs["completion_mask"][1] = 0
    return inputs, by_trl(trainer, inputs), request.param


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_kind_give_the_same_losses_and_gradients(
    trainer: Any,
    case: tuple[dict[str, Any], dict[str, Any], bool],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    import torch

    inputs, wanted, truncated = case
    sizes: set[int] = set()

    def plan(groups: Any, cost: Cost, *, share: bool, max_passes: int | None) -> Any:
        cost = Cost(1, 0, 1) if kind == "whole groups" else Cost(0, 1, 0)
        share = share and kind != "a row per reply"
        passes = packing_plan(groups, cost, share=share, max_passes=max_passes)
        sizes.update(len(row.replies) for rows in passes for row in rows)
        return passes

    packing_plan = packing.plan
    monkeypatch.setattr(packing, "plan", plan)
    monkeypatch.setattr(trainer, "share_prompts", kind != "not shared")
    got = results(trainer, inputs)
    assert sizes <= KINDS[kind]
    assert len(sizes) > 1 or kind != "some together" or truncated
    assert got.keys() == wanted.keys()
    assert got["logps"].shape == (len(LENGTHS), max(LENGTHS))
    for name, value in wanted.items():
        scale = float(value.abs().max())
        assert torch.allclose(got[name], value, rtol=1e-4, atol=2e-5 * max(scale, 1e-3)), name


def test_repeated_passes_change_nothing(
    benchmark: ModuleType, trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that needs fewer passes than another one repeats some without an effect."""
    import torch

    inputs = benchmark.batch_of(trainer, [6] * 8)
    inputs["advantages"] = torch.linspace(-1, 1, 8)
    wanted = results(trainer, inputs)
    plan = trainer._passes
    monkeypatch.setattr(trainer, "_passes", lambda micro: packing.with_passes(plan(micro)[0], 4))
    got = results(trainer, inputs)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(got[name], value, rtol=1e-4, atol=2e-5 * max(float(value.abs().max()), 1e-3)), (
            name
        )
