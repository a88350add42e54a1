"""GRPO on the real trainer: what a run leaves, that it learns, resumes, and does not depend on how it is cut up."""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

import training_process  # noqa: E402
import vllm_process  # noqa: E402
from train_recipe import lines, masters, recipe  # noqa: E402

from ssl4rl_bench.core.errors import DataError, Interrupted, StoreError, UsageError  # noqa: E402
from ssl4rl_bench.train.reporting import Reporter  # noqa: E402


def train(*args: Any, **kwargs: Any) -> Path:
    from ssl4rl_bench.train.grpo import train_grpo as start

    return start(*args, **kwargs)


def close(a: dict[str, Any], b: dict[str, Any], atol: float) -> bool:
    import torch

    assert a.keys() == b.keys()
    return all(torch.allclose(a[name].float(), b[name].float(), atol=atol, rtol=0) for name in a)


def test_a_run_leaves_a_checkpoint_that_plain_transformers_loads(images: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    done = train(recipe(tmp_path, images), tmp_path / "run", max_steps=2)
    assert done.name == "step-000002"
    model = AutoModelForImageTextToText.from_pretrained(done)
    assert model.dtype == torch.bfloat16
    assert AutoProcessor.from_pretrained(done).chat_template
    origin = json.loads((done / "ssl4rl.json").read_text())
    assert (origin["step"], origin["samples"], origin["base"]["name"]) == (2, 8, "tiny-base")
    assert origin["recipe"]["grpo"]["group"] == 4
    assert origin["data"]["images"] > 0
    told = lines(tmp_path / "run")
    assert [line["step"] for line in told] == [1, 2]
    wanted = {"reward", "reward/ssl_rotation_90", "format", "entropy", "clip", "flat_groups", "reply_tokens"}
    assert wanted <= told[0].keys()
    assert {"data_s", "rollout_s", "reward_s", "logprobs_s", "update_s"} <= told[0].keys()
    assert (done / "README.md").read_text().startswith("---\n")
    assert not list(done.rglob("*.bin"))


VLLM = """
import sys
from vllm import LLM, SamplingParams

if __name__ == "__main__":
    limits = {"image": 1, "video": 0}
    llm = LLM(sys.argv[1], dtype="float32", enforce_eager=True, max_model_len=512, limit_mm_per_prompt=limits)
    chat = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]
    print("reply:", llm.chat([chat], SamplingParams(max_tokens=4, temperature=0))[0].outputs[0].token_ids)
"""


def test_plain_vllm_loads_a_checkpoint_and_run_evaluates_it(images: Path, tmp_path: Path) -> None:
    """vLLM without any code of this package; `run` on transformers."""
    done = train(recipe(tmp_path, images), tmp_path / "run", max_steps=1)
    script = tmp_path / "plain.py"
    script.write_text(VLLM)
    env = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "HF_HUB_OFFLINE": "1",
    }
    plain = vllm_process.run(
        [sys.executable, str(script), str(done)], capture_output=True, text=True, timeout=600, env=env
    )
    assert "reply: " in plain.stdout, plain.stderr[-2000:]
    args = ["run", "--model", str(done), "--tasks", "ssl_rotation_90", "--engine", "hf", "--limit", "4"]
    ran = training_process.run(
        [
            sys.executable,
            "-m",
            "ssl4rl_bench",
            *args,
            "--images",
            str(images),
            "--out",
            str(tmp_path / "runs"),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        env=env,
    )
    assert ran.returncode == 0, ran.stderr
    assert "ssl_rotation_90" in ran.stdout
    card = ["export", str(next((tmp_path / "runs").rglob("spec.json")).parent), "--to", "model-card"]
    wrote = training_process.run(
        [sys.executable, "-m", "ssl4rl_bench", *card], capture_output=True, text=True, timeout=600
    )
    assert wrote.returncode == 0, wrote.stderr
    assert "Not evaluated yet" not in (done / "README.md").read_text()


def test_a_stop_file_ends_a_run_with_a_checkpoint(images: Path, tmp_path: Path) -> None:
    stop, small = tmp_path / "stop.json", recipe(tmp_path, images)

    class Stops(Reporter):
        def line(self, metrics: object, n_steps: int) -> None:
            stop.write_text("{}")

    with pytest.raises(Interrupted, match=r"stopped by .*stop\.json; .*step-00000[12] is saved"):
        train(small, tmp_path / "run", report=Stops(), stop_file=stop)
    n_steps = len(lines(tmp_path / "run"))
    assert n_steps <= 2 < small.grpo.steps
    with pytest.raises(UsageError, match=r"stop\.json exists, which stops a training"):
        train(small, tmp_path / "run", resume=True, stop_file=stop)
    stop.unlink()
    done = train(small, tmp_path / "run", resume=True, stop_file=stop, max_steps=n_steps + 1)
    assert done.name == f"step-00000{n_steps + 1}"


def test_five_steps_and_five_more_are_ten(images: Path, tmp_path: Path) -> None:
    small = recipe(
        tmp_path, images, grpo__steps=10, grpo__prompts=2, grpo__micro_batch=8, optimizer__schedule="cosine"
    )
    whole = train(small, tmp_path / "whole")
    train(small, tmp_path / "parts", max_steps=5)
    resumed = train(small, tmp_path / "parts", resume=True)
    assert whole.name == resumed.name == "step-000010"
    assert close(masters(whole), masters(resumed), atol=1e-6)
    a, b = lines(tmp_path / "whole"), lines(tmp_path / "parts")
    assert [line["reward"] for line in a] == [line["reward"] for line in b]
    assert (tmp_path / "whole" / "step-000010" / "ssl4rl.json").is_file()


def test_the_replies_and_updates_do_not_depend_on_the_micro_batch_or_on_shared_prompts(
    images: Path, tmp_path: Path
) -> None:
    """One micro-batch of 16, two of 8 and eight of 2; the last holds no whole group, so prompts are not shared."""
    from ssl4rl_bench.train.planning.sizes import shares_prompts, sizes

    runs = {}
    for size in (16, 8, 2):
        small = recipe(tmp_path, images, grpo__micro_batch=size, grpo__kl=0.05, grpo__steps=2)
        assert shares_prompts(small, sizes(small, 1)) is (size > 2)
        runs[size] = train(small, tmp_path / str(size))
    for size in (8, 2):
        assert close(masters(runs[16]), masters(runs[size]), atol=2e-5)
        for a, b in zip(lines(tmp_path / "16"), lines(tmp_path / str(size)), strict=True):
            assert a["reward"] == b["reward"]
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)


def test_several_updates_a_step_with_clipping(images: Path, tmp_path: Path) -> None:
    small = recipe(
        tmp_path,
        images,
        grpo__updates=2,
        grpo__iterations=2,
        grpo__micro_batch=4,
        grpo__steps=2,
        optimizer__learning_rate=3e-3,
    )
    done = train(small, tmp_path / "run")
    assert json.loads((done / "ssl4rl.json").read_text())["updates"] == 8
    assert any(line["clip"] > 0 for line in lines(tmp_path / "run"))


def test_reward_rises_and_does_not_with_shuffled_targets(images: Path, tmp_path: Path) -> None:
    """Four frozen samples can be learnt by heart in a few dozen steps, unless their targets are drawn by lot."""
    ends = {}
    for shuffled in (False, True):
        small = recipe(
            tmp_path,
            images,
            data__limit=4,
            data__frozen=True,
            reward__shuffled=shuffled,
            grpo__steps=26,
            grpo__group=8,
            grpo__micro_batch=32,
            optimizer__name="muon",
            optimizer__learning_rate=2e-3,
        )
        train(small, tmp_path / f"shuffled-{shuffled}")
        rewards = [line["reward"] for line in lines(tmp_path / f"shuffled-{shuffled}")]
        ends[shuffled] = (statistics.mean(rewards[:2]), statistics.mean(rewards[-10:]))
    # Of 40 prompts, each right with probability 1/4, the standard error is 0.07.
    assert ends[False][0] < 0.6
    assert ends[False][1] > 0.85
    assert ends[True][1] < 0.25 + 4 * 0.07


def test_a_mix_asks_each_task(images: Path, tmp_path: Path) -> None:
    small = recipe(
        tmp_path,
        images,
        tasks__ssl_position=1,
        tasks__ssl_contrastive_weak=1,
        grpo__steps=3,
        grpo__prompts=8,
        grpo__micro_batch=32,
        reward__format_weight=0.1,
    )
    train(small, tmp_path / "run")
    told = {key for line in lines(tmp_path / "run") for key in line}
    assert {"reward/ssl_rotation_90", "reward/ssl_position", "reward/ssl_contrastive_weak"} <= told


def test_adapters_are_merged_into_what_ships(images: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from ssl4rl_bench.engines.checkpoints.weights import resolve_model

    small = recipe(
        tmp_path,
        images,
        lora__rank=4,
        lora__alpha=8.0,
        optimizer__learning_rate=1e-2,
        model__dtype="bfloat16",
    )
    whole = train(small, tmp_path / "whole", max_steps=4)
    base = load_file(resolve_model("tiny-base").path / "model.safetensors")
    merged = load_file(whole / "model.safetensors")
    assert base.keys() == merged.keys()
    moved = [name for name in base if not torch.equal(base[name], merged[name])]
    assert moved
    assert all("proj" in name for name in moved)
    assert (whole / "adapter" / "adapter_config.json").is_file()
    train(small, tmp_path / "parts", max_steps=2)
    resumed = train(small, tmp_path / "parts", resume=True, max_steps=4)
    assert close(load_file(resumed / "model.safetensors"), merged, atol=1e-3)


def test_too_long_prompts_are_counted(images: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"of 12 images have prompts of more than 100 tokens, the longest \d+"
    ):
        train(recipe(tmp_path, images, grpo__max_prompt_tokens=100), tmp_path / "refused")
    with pytest.raises(DataError, match="no image can be used for training"):
        train(
            recipe(tmp_path, images, grpo__max_prompt_tokens=100, data__over_long="drop"),
            tmp_path / "dropped",
        )


def test_evaluation_images_are_refused_left_out_or_trained_on_on_purpose(
    images: Path, tmp_path: Path
) -> None:
    some = tmp_path / "some"
    some.mkdir()
    for path in sorted(images.iterdir())[:3]:
        (some / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="also evaluation images"):
        train(recipe(tmp_path, images, data__audit=[str(some)]), tmp_path / "refused")
    done = train(
        recipe(tmp_path, images, data__audit=[str(some)], data__overlap="drop"), tmp_path / "a", max_steps=1
    )
    data = json.loads((done / "ssl4rl.json").read_text())["data"]
    assert data["left_out"] >= 3
    assert data["overlap"][0]["exact"] == 3
    done = train(
        recipe(tmp_path, images, data__audit=[str(some)], data__transductive=True),
        tmp_path / "b",
        max_steps=1,
    )
    data = json.loads((done / "ssl4rl.json").read_text())["data"]
    assert data["transductive"] is True
    assert data["left_out"] == 0


def test_a_folder_with_another_run_is_left_alone(images: Path, tmp_path: Path) -> None:
    small = recipe(tmp_path, images)
    train(small, tmp_path / "run", max_steps=1)
    with pytest.raises(StoreError, match="--resume continues"):
        train(small, tmp_path / "run", max_steps=1)
    with pytest.raises(StoreError, match=r"another recipe \(grpo.group"):
        train(recipe(tmp_path, images, grpo__group=2, grpo__micro_batch=8), tmp_path / "run", resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="contains no run"):
        train(small, tmp_path / "other")
