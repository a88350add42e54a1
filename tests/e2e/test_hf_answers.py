"""Log-likelihoods of given replies from engine hf are those of a plain forward pass of transformers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import vllm_process
from test_hf_sharing import picture, request

from ssl4rl_bench.core.types import ImagePart, TextPart
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.hf.load import load
from ssl4rl_bench.engines.hf.network import Network

pytestmark = pytest.mark.engine
TEXTS = ("<answer>0</answer>", "<answer>270</answer>", "<answer>top-left</answer>", "x")
ASKED = [
    (request("one", ImagePart(picture(1)), TextPart("Which colour has the shape?")), TEXTS),
    (request("two", ImagePart(picture(2)), ImagePart(picture(3, (60, 200))), TextPart("Same?")), TEXTS[:2]),
    (request("text", TextPart("Why?")), TEXTS[1:]),
]


@pytest.fixture(scope="module")
def bundled() -> Model:
    return resolve_model("tiny-base")


def plain(network: Network, asked: Any, text: str) -> float:
    """The log-likelihood from one pass of the model over the processor's output for prompt and text together."""
    import torch

    rendered = network.prompter.render(asked.sample.messages)
    words: dict[str, Any] = {"text": [rendered.text + text], "return_tensors": "pt"}
    if rendered.images:
        words["images"] = rendered.images
    features = network.prompter.processor(**words)
    ids = network.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        scores = network.model(**features).logits[0, -len(ids) - 1 : -1].double().log_softmax(-1)
    assert features["input_ids"][0, -len(ids) :].tolist() == ids
    return float(scores[torch.arange(len(ids)), torch.tensor(ids)].sum())


@pytest.mark.parametrize("share", [True, False], ids=["shared", "not shared"])
@pytest.mark.parametrize("size", [1, 64])
def test_likelihoods_are_those_of_a_plain_pass(bundled: Model, share: bool, size: int) -> None:
    network = load(bundled, EngineOptions(), share=share)
    expected = {asked.sample.id: [plain(network, asked, text) for text in texts] for asked, texts in ASKED}
    engine = HfEngine(bundled, EngineOptions(batch_size=size))
    engine._network = network
    scored = {asked.sample.id: values for asked, values in engine.score_answers(ASKED)}
    assert scored.keys() == expected.keys()
    for name, values in scored.items():
        assert values == pytest.approx(expected[name], abs=2e-3), name


def test_a_prompt_that_cannot_be_read_fails_alone(bundled: Model) -> None:
    from ssl4rl_bench.core.types import EncodedImage

    broken = request("broken", ImagePart(EncodedImage(b"no image", "0" * 64)), TextPart("Which?"))
    scored = {
        r.sample.id: v for r, v in HfEngine(bundled, EngineOptions()).score_answers([*ASKED, (broken, TEXTS)])
    }
    assert isinstance(scored["broken"], str)
    assert len(scored["one"]) == len(TEXTS)


def test_vllm_gives_the_same_likelihoods(bundled: Model, tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    expected = {r.sample.id: v for r, v in HfEngine(bundled, EngineOptions()).score_answers(ASKED)}
    done = vllm_process.run(
        [sys.executable, __file__, str(tmp_path / "scores.json")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(vllm_process.__file__).parent), *sys.path]),
        },
    )
    assert done.returncode == 0, done.stderr
    scored = json.loads((tmp_path / "scores.json").read_text())
    assert scored.keys() == expected.keys()
    for name, values in scored.items():
        assert values == pytest.approx(expected[name], abs=2e-3), name


def score_with_vllm(path: Path) -> None:
    """Writes the log-likelihoods from engine vllm, by request."""
    from ssl4rl_bench.engines.vllm.engine import VllmEngine

    engine = VllmEngine(resolve_model("tiny-base"), EngineOptions(max_model_len=512, batch_size=4))
    try:
        scored = {asked.sample.id: list(values) for asked, values in engine.score_answers(ASKED)}
    finally:
        engine.close()
    path.write_text(json.dumps(scored))


if __name__ == "__main__":
    score_with_vllm(Path(sys.argv[1]))
