"""The files for FSDP2 and ZeRO-3 with two processes: killed, resumed, and equal to a run on one process."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]

pytest.importorskip("trl")

import training_process  # noqa: E402
from train_recipe import lines, masters, pictures, recipe_file  # noqa: E402

from ssl4rl_bench.train.checkpoint import complete_checkpoints  # noqa: E402


def train(
    recipe: Path, out: Path, *more: str, config: str = "", processes: int = 1, kill: int = 0
) -> subprocess.CompletedProcess[str]:
    """Trains in float32 under a file for accelerate, or with neither accelerate nor sharding."""
    script = [str(Path(__file__).with_name("on_cpus.py")), "train", str(recipe), "--out", str(out), *more]
    env = {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu", "SSL4RL_TEST_KILL": str(kill)}
    if not config or processes == 1:
        done: subprocess.CompletedProcess[str] = training_process.run(
            [sys.executable, *script], capture_output=True, text=True, timeout=600, env=os.environ | env
        )
        return done
    return training_process.launch(script, processes, "--mixed_precision", "no", config=config, env=env)


@pytest.mark.parametrize(
    ("config", "resumed"),
    [
        ("gpu8_fsdp2", ((1, ["--max-steps", "2"]), (2, []))),
        pytest.param(
            "gpu8_zero3",
            ((2, []),),  # DeepSpeed resumes only with as many processes
            marks=pytest.mark.skipif(not find_spec("deepspeed"), reason="deepspeed is not installed"),
        ),
    ],
)
def test_sharded_weights_equal_those_of_one_process_over_a_kill_and_resuming(
    config: str, resumed: tuple[tuple[int, list[str]], ...], tmp_path: Path
) -> None:
    images = pictures(tmp_path / "pictures")
    recipe = recipe_file(
        tmp_path,
        images,
        # As in the published recipes: shared prompts and checkpoints of activations. With several updates per step,
        # the number of processes would decide which replies share an update.
        model__attention="sdpa",
        model__gradient_checkpointing=True,
        grpo__prompts=4,
        grpo__group=4,
        grpo__micro_batch=4,
        grpo__steps=3,
        grpo__kl=0.02,
        optimizer__learning_rate=1e-3,
        save__every=1,
    )
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    done = train(recipe, whole)
    assert done.returncode == 0, done.stderr[-3000:]

    killed = train(recipe, sharded, config=config, processes=2, kill=2)
    assert killed.returncode != 0
    assert [path.name for path in complete_checkpoints(sharded)] == ["step-000001"]
    state = sharded / "step-000001" / "trainer"
    assert (state / ("pytorch_model_fsdp.bin" if "fsdp" in config else "latest")).exists()
    for processes, more in resumed:
        done = train(recipe, sharded, "--resume", *more, config=config, processes=processes)
        assert done.returncode == 0, done.stderr[-3000:]

    expected = masters(whole / "step-000003")
    for name, weight in masters(sharded / "step-000003").items():
        # Three updates of Adam move a weight by up to 3e-3. Rounding decides the sign of tiny gradients.
        assert float((expected[name] - weight).abs().max()) < 1.5e-4, name
    for a, b in zip(lines(whole), lines(sharded), strict=True):
        assert a["reward"] == pytest.approx(b["reward"])
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)
    assert any(line["grad_norm"] > 0 for line in lines(whole))
    assert_loads(sharded / "step-000001", masters(sharded / "step-000001"))


def assert_loads(checkpoint: Path, expected: dict[str, Any]) -> None:
    """Checks that plain transformers loads a checkpoint, with a head that is tied to the embedding."""
    import torch
    from transformers import AutoModelForImageTextToText

    model, report = AutoModelForImageTextToText.from_pretrained(
        checkpoint, dtype=torch.bfloat16, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert "lm_head.weight" not in expected
    assert torch.equal(model.lm_head.weight, expected["model.embed_tokens.weight"].bfloat16())
