"""Replies generated from shared prompts: those of transformers, whichever replies have already left the batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine

pytest.importorskip("transformers")

from tiny_model import build  # noqa: E402
from train_recipe import pictures  # noqa: E402

from ssl4rl_bench.engines.checkpoints.weights import resolve_model  # noqa: E402

END, PAD, LIMIT = 3, 0, 40


@pytest.fixture(scope="module", params=["eager", "sdpa", "qwen3_vl"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A network, and the folder of its checkpoint."""
    import torch

    from ssl4rl_bench.engines.loading import load_network

    attention = "sdpa" if request.param == "qwen3_vl" else request.param
    base = resolve_model("tiny-base").path
    if request.param == "qwen3_vl":
        base = build(tmp_path_factory.mktemp("base") / "base", family="qwen3_vl")
    return load_network(base, dtype=torch.float32, attn_implementation=attention), base


@pytest.fixture(scope="module")
def network(loaded: tuple[Any, Path]) -> Any:
    return loaded[0]


@pytest.fixture(scope="module")
def inputs(loaded: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two prompts of different lengths with images."""
    from PIL import Image

    from ssl4rl_bench.engines.inputs import load_processor

    processor = load_processor(loaded[1])
    processor.tokenizer.padding_side = "left"
    shown = [Image.open(p) for p in sorted(pictures(tmp_path_factory.mktemp("pictures"), 2).iterdir())]
    chats = [
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        for text in ("What is it?", "Which colour is the circle on the left?")
    ]
    texts = [processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
    return processor(images=shown, text=texts, padding=True, return_tensors="pt")


def config(limit: int = LIMIT) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=limit, eos_token_id=[END], pad_token_id=PAD, suppress_tokens=[1, 2]
    )


def test_greedy_replies_are_those_of_transformers(network: Any, inputs: Any) -> None:
    from ssl4rl_bench.train.generation import generate

    replies = generate(network, dict(inputs), 2, config(12))
    plain = network.generate(**inputs, generation_config=config(12), do_sample=False)
    expected = plain[:, inputs["input_ids"].shape[1] :]
    width = min(replies.shape[1], expected.shape[1])
    for prompt in range(2):
        for reply in replies[2 * prompt : 2 * prompt + 2]:
            assert reply[:width].tolist() == expected[prompt, :width].tolist()


class Planned:
    """Chooses the most likely tokens but the end, and ends each reply after a given number of tokens."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.done = [0] * len(lengths)
        self.batches: list[int] = []
        self.scores: dict[tuple[int, int], Any] = {}

    def __call__(self, numbers: list[int], scores: Any) -> Any:
        self.batches.append(len(numbers))
        chosen = scores.index_fill(1, scores.new_tensor([END]).long(), -1e9)
        # Replies differ from their second token on, so that one that is exchanged for another is noticed.
        chosen = chosen.argsort(1, descending=True)[:, :10]
        out = []
        for row, number in enumerate(numbers):
            self.scores[number, self.done[number]] = scores[row]
            self.done[number] += 1
            out.append(END if self.done[number] == self.lengths[number] else int(chosen[row, number % 10]))
        return scores.new_tensor(out).long()


def test_replies_that_are_finished_leave_the_batch_and_change_no_other(network: Any, inputs: Any) -> None:
    import torch

    from ssl4rl_bench.train.generation import generate

    lengths = [2, 3, 30, 5, 4, 12, 2, 3]
    some = Planned(lengths)
    replies = generate(network, dict(inputs), 4, config(), some)
    everything = Planned([30] * 8)
    longer = generate(network, dict(inputs), 4, config(), everything)
    assert replies.shape == longer.shape == (8, 30)
    for number, n in enumerate(lengths):
        assert replies[number, : n - 1].tolist() == longer[number, : n - 1].tolist()
        assert replies[number, n - 1 :].tolist() == [END] + [PAD] * (30 - n)
    assert some.batches == [sum(n > step for n in lengths) for step in range(30)]
    for key, scores in some.scores.items():
        assert torch.allclose(scores, everything.scores[key], atol=1e-3), key


def test_the_batch_of_the_network_shrinks(network: Any, inputs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl4rl_bench.train import generation

    sizes = []
    plain = generation._next_scores

    def next_scores(model: Any, slots: Any, token: Any) -> Any:
        sizes.append(token.numel())
        return plain(model, slots, token)

    monkeypatch.setattr(generation, "_next_scores", next_scores)
    generation.generate(network, dict(inputs), 4, config(), Planned([3, 3, 20, 3, 3, 3, 3, 3]))
    assert sizes == [8] * 3 + [1] * 17
