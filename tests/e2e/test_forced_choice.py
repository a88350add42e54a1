"""The forced-choice margin of bundled checkpoints: it sees Rotation before replies show it, not in the base."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl4rl_bench.core.types import Request, Sampling
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.score.forced_choice import ForcedChoice, forced_choice
from ssl4rl_bench.task.registry import load_probe
from ssl4rl_bench.train.interpolate import interpolate_checkpoints

pytestmark = pytest.mark.engine
PICTURES = 400


def margin_of(model: Model) -> ForcedChoice:
    """The margin, in the form of a few greedy replies."""
    task = load_probe("ssl_rotation_90", limit=PICTURES)
    engine = HfEngine(model, EngineOptions())
    some = [Request(sample) for sample in task.samples[:16]]
    replies = {r.sample.id: [completion] for r, completion in engine.run(some, Sampling(max_tokens=24))}
    choice = forced_choice(task, engine, replies)
    engine.close()
    assert choice is not None
    assert (choice.n_failed, choice.n_candidates) == (0, 4)
    assert choice.form == "<think>…</think> <answer>…</answer>"
    return choice


def test_the_margin_sees_a_fifth_of_the_way_to_rotation(tmp_path: Path) -> None:
    # Greedy replies of this checkpoint are right in about 28% of the samples, where chance is 25%.
    part = interpolate_checkpoints(resolve_model("tiny-rotation"), 0.2, tmp_path / "part")
    sight = margin_of(resolve_model(str(part))).sight
    assert sight.p < 0.01
    assert sight.ci95 is not None
    assert 0 < sight.ci95[0] < sight.value < 0.05


def test_the_margin_sees_nothing_in_the_base() -> None:
    sight = margin_of(resolve_model("tiny-base")).sight
    assert sight.p > 0.05
    assert sight.ci95 is not None
    assert sight.ci95[0] < 0 < sight.ci95[1]
