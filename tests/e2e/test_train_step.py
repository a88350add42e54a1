"""The benchmark of a training step runs on random weights of any shape, and counts FLOPs as by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("trl")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "train_step.py"
    spec = importlib.util.spec_from_file_location("train_step", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_is_timed_by_phase_on_random_weights(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ssl4rl_bench.train.planning.shapes import ModelShape, VisionShape

    small = ModelShape(64, 2, 2, 1, 96, 3000, True, VisionShape(8, 32, 2, 64, 64))
    monkeypatch.setattr(benchmark, "PUBLISHED", {benchmark.SHAPES["3b"]: small})
    settings = ("data.images=scenes:train:1", "grpo.prompts=2", "grpo.group=4", "grpo.micro_batch=8")
    args = ["train_step.py", "--shape", "3b", "--steps", "3"]
    monkeypatch.setattr(sys, "argv", [*args, *(part for value in settings for part in ("--set", value))])
    benchmark.main()
    told = capsys.readouterr().out
    for word in ("data", "rollout", "reward", "logprobs", "update", "ours (data and reward)", "TFLOP/s"):
        assert word in told


def test_flops_of_a_step_by_hand(benchmark: ModuleType) -> None:
    from ssl4rl_bench.train.planning.shapes import PUBLISHED

    shape = PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"]
    parts = shape.parts()
    one = benchmark.flops(shape, 1, patches=0, prompt=100, reply=0, group=1, shared=False)
    assert one == 6 * parts["layers"] * 100 + 6 * 36 * 2048 * 100**2
    five = benchmark.flops(shape, 1, patches=0, prompt=100, reply=10, group=5, shared=False)
    shared = benchmark.flops(shape, 1, patches=0, prompt=100, reply=10, group=5, shared=True)
    assert five / shared == pytest.approx(550 / 150, rel=0.1)


def test_the_presets_are_recipes_that_are_planned(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ssl4rl_bench.cli.train import parse_changes
    from ssl4rl_bench.train.planning.plan import plan_training
    from ssl4rl_bench.train.recipe import find_recipe, read_recipe

    monkeypatch.setattr(sys, "argv", ["train_step.py", "--list"])
    benchmark.main()
    printed = capsys.readouterr().out
    for preset, (name, *changes) in benchmark.PRESETS.items():
        assert benchmark.command(preset) in printed
        one_gpu = {"hardware.processes": 1, "hardware.sharding": "none"}
        plan = plan_training(read_recipe(find_recipe(name), one_gpu | parse_changes(changes)))
        assert plan.memory is not None
        said = benchmark.compared_memory(plan.memory, plan.memory.peak, plan.memory.peak)
        assert "allocated at most" in said and "update" in said
    monkeypatch.setattr(sys, "argv", ["train_step.py", "--preset", "full", "--set", "grpo.group=4"])
    args = benchmark.parse()
    assert (args.shape, args.recipe) == ("3b", "ssl4rl_3b_rotation")
    assert args.changes[-1] == "grpo.group=4" and "grpo.updates=1" in args.changes
