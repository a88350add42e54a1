"""A tiny Qwen3-VL through both engines, a run and training. Sharing and packing have it in their own tests."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("transformers")

from test_vllm_hf import GREEDY, good_requests, picture, request  # noqa: E402
from tiny_model import build  # noqa: E402
from train_recipe import lines, pictures, recipe  # noqa: E402

from ssl4rl_bench.core.types import Completion, ImagePart, Sampling, TextPart  # noqa: E402
from ssl4rl_bench.engines import EngineOptions, create  # noqa: E402
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model  # noqa: E402


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return resolve_model(str(build(tmp_path_factory.mktemp("qwen3") / "tiny", family="qwen3_vl")))


def answers(name: str, model: Model) -> dict[str, Completion]:
    engine = create(name, model, EngineOptions(batch_size=8))
    try:
        return {asked.sample.id: reply for asked, reply in engine.run(good_requests(), GREEDY)}
    finally:
        engine.close()


@pytest.mark.skipif(find_spec("vllm") is None, reason="needs vLLM")
def test_both_engines_give_the_same_replies(tiny: Model) -> None:
    """With text, images and videos, in float32; up to near ties."""
    hf, vllm = answers("hf", tiny), answers("vllm", tiny)
    assert {name: reply.n_prompt_tokens for name, reply in hf.items()} == {
        name: reply.n_prompt_tokens for name, reply in vllm.items()
    }
    assert all(reply.error is None for reply in (*hf.values(), *vllm.values()))
    differ = [name for name, reply in hf.items() if reply.text.rstrip("�") != vllm[name].text.rstrip("�")]
    assert len(differ) <= len(hf) // 10, differ


def test_an_image_has_a_token_for_32_pixels_square_within_the_limits(tiny: Model) -> None:
    asked = request("square", ImagePart(picture(1, 96, 96)), TextPart("What is it?"))
    text = request("text", TextPart("What is it?"))
    counts = []
    for limit in (None, 64 * 64):
        engine = create("hf", tiny, EngineOptions(max_pixels=limit))
        replies = {
            r.sample.id: c.n_prompt_tokens for r, c in engine.run([asked, text], Sampling(max_tokens=1))
        }
        counts.append(replies["square"] - replies["text"] - 2)  # less the marks of start and end
        engine.close()
    assert counts == [9, 4]


@pytest.mark.skipif(find_spec("trl") is None, reason="needs TRL")
@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"grpo__kl": 0.1}, "visual.deepstack_merger_list."),
        ({"model__freeze_vision": True, "grpo__micro_batch": 2}, "language_model.layers."),
        ({"lora__rank": 2, "lora__alpha": 4.0, "lora__targets": ["q_proj", "linear_fc1"]}, "visual.blocks."),
    ],
    ids=["all weights", "language model", "adapters"],
)
def test_two_steps_of_grpo(
    tiny: Model, tmp_path: Path, changes: dict[str, Any], trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random replies would all be wrong, so that their rewards are replaced by some that differ."""
    import torch
    from safetensors.torch import load_file
    from trl import GRPOTrainer

    from ssl4rl_bench.train.grpo import train_grpo

    rewards = GRPOTrainer._calculate_rewards

    def uneven(*args: Any, **kwargs: Any) -> Any:
        out = rewards(*args, **kwargs)
        return (torch.arange(out.numel(), device=out.device) % 3).to(out.dtype).view(out.shape)

    monkeypatch.setattr(GRPOTrainer, "_calculate_rewards", uneven)
    small = recipe(
        tmp_path,
        pictures(tmp_path / "pictures"),
        model__base=str(tiny.path),
        optimizer__learning_rate=1e-2,
        optimizer__weight_decay=0.0,
        **changes,
    )
    done = train_grpo(small, tmp_path / "run", max_steps=2)
    losses = [line["loss"] for line in lines(tmp_path / "run")]
    assert len(losses) == 2 and all(abs(loss) < 10 for loss in losses)
    before, after = (load_file(path / "model.safetensors") for path in (tiny.path, done))
    changed = {name for name in before if not before[name].to(after[name].dtype).equal(after[name])}
    assert any(trained in name for name in changed)
    if "model__freeze_vision" in changes:
        assert not any("visual." in name for name in changed)
    assert all(reply.error is None for reply in answers("hf", resolve_model(str(done))).values())
