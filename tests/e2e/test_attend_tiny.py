"""`attend` on a bundled checkpoint: attention is that of transformers, and the command writes its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import bench

from ssl4rl_bench.core.types import Request
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.hf.load import load
from ssl4rl_bench.reports.views.attend import read_attend
from ssl4rl_bench.signal.looked_at import scenes_questions

pytestmark = pytest.mark.engine


def test_attention_is_that_of_an_eager_pass() -> None:
    """Prompts of different lengths in one batch give what transformers returns for each prompt alone."""
    import torch

    model = resolve_model("tiny-base")
    asked = [Request(item.sample) for item in scenes_questions(3).questions]
    engine = HfEngine(model, EngineOptions())
    maps = {request.sample.id: attention for request, attention in engine.image_attention(asked)}
    scores = [values for _, values in engine.score_answers([(request, ["A"]) for request in asked])]
    assert all(isinstance(values, list) for values in scores)  # works as before
    plain = load(model, EngineOptions(attn="eager"), share=False)
    lengths = set()
    for request in asked:
        features = plain.prepare(request.sample.messages).features  # type: ignore[attr-defined]
        is_image = features["input_ids"][0] == plain.model.config.image_token_id
        with torch.inference_mode():
            layers = plain.model(**features, output_attentions=True).attentions
        expected = torch.stack([layer[0, :, -1].mean(dim=0)[is_image] for layer in layers]).numpy()
        got = maps[request.sample.id]
        assert not isinstance(got, str)
        assert got.shape == (5, 4, 4)
        assert np.allclose(got.reshape(5, -1), expected, atol=1e-5)
        lengths.add(int(features["input_ids"].shape[1]))
    assert len(lengths) > 1


def test_the_command_writes_its_files_and_resumes(tmp_path: Path) -> None:
    command = ("attend", "-m", "tiny-base", "-m", "tiny-rotation", "-n", "4", "--out", str(tmp_path))
    done = bench(*command)
    assert done.code == 0, done.text
    assert "Asked minus other" in done.out
    assert "Raw: not evidence" in done.out
    values = read_attend(tmp_path / "attend.json")
    assert [model["label"] for model in values["models"]] == ["tiny-base", "tiny-rotation"]
    assert values["models"][0]["effects"]["empty"]["value"] == pytest.approx(0.0, abs=1e-3)
    assert len(values["models"][0]["layers"]) == 5
    again = bench(*command, "--format", "json")
    assert again.code == 0, again.text
    assert "read from" in again.err
    assert (tmp_path / "attend.png").exists()
