"""Engine hf gives the replies of `generate` for each prompt alone, and computes nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from ssl4rl_bench.core import images
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import (
    Categories,
    EncodedImage,
    ImagePart,
    Message,
    Part,
    Request,
    Sample,
    Sampling,
    TextPart,
    VideoPart,
)
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.hf.load import load
from ssl4rl_bench.engines.hf.network import Network
from ssl4rl_bench.engines.hf.sharing import SharingNetwork

pytestmark = pytest.mark.engine

GREEDY = Sampling(max_tokens=12)
DRAWN = Sampling(temperature=1.0, top_p=0.95, top_k=40, max_tokens=12)
LONG = "Answer with one of the letters, after some thought about the picture and its shapes."


def picture(number: int, size: tuple[int, int] = (112, 84)) -> EncodedImage:
    image = Image.new("RGB", size, (40 * number % 256, 90, 200 - 30 * number % 200))
    pen = ImageDraw.Draw(image)
    pen.ellipse([10 + 5 * number, 10, 50 + 5 * number, 50], fill=(250, 30 * number % 256, 10))
    return images.from_pil(image)


def request(name: str, *parts: Part, repeat: int = 0) -> Request:
    message = Message("user", parts)
    sample = Sample(name, name, (message,), "", {}, Categories("", "", ""))
    return Request(sample, repeat, seed_of(name, repeat))


def copies(number: int, n: int = 4) -> list[Request]:
    """Circular copies of a question about one image, some of which are longer than others."""
    question = f"Which colour is shape {number}?"
    return [
        request(
            f"q{number}-{roll}",
            ImagePart(picture(number)),
            TextPart(f"{question} A. {'red ' * (1 + roll)}B. blue {roll} {LONG}"),
        )
        for roll in range(n)
    ]


def repeats(of: Request, n: int) -> list[Request]:
    return [Request(of.sample, repeat, seed_of(of.sample.id, repeat)) for repeat in range(n)]


WORKLOADS: dict[str, list[Request]] = {
    "copies": [asked for number in range(3) for asked in copies(number)],
    "one copy and many": [*copies(0, 1), *copies(1, 5), *copies(2, 2)],
    "repeats": [again for asked in copies(1, 2) for again in repeats(asked, 4)],
    "no image": [
        *(request(f"t{n}", TextPart(f"What is above the square? A. {n} {LONG}")) for n in range(3)),
        request("short", TextPart("Why?")),
    ],
    "a token as text": [request("literal", TextPart("Is <|image_pad|> a token? And <|im_end|>?"))],
    "several images": [
        request("two", ImagePart(picture(1)), TextPart("and"), ImagePart(picture(2)), TextPart("the same?")),
        request(
            "swapped", ImagePart(picture(2)), TextPart("and"), ImagePart(picture(1)), TextPart("the same?")
        ),
        request(
            "twice", ImagePart(picture(1)), TextPart("and"), ImagePart(picture(1)), TextPart("the same?")
        ),
        request("sizes", ImagePart(picture(3, (60, 200))), ImagePart(picture(3)), TextPart("Which?")),
    ],
    "text first": [
        request(f"late{n}", TextPart(f"Look. {LONG}"), ImagePart(picture(n)), TextPart("What is it?"))
        for n in range(3)
    ],
    "mixed": [
        request("plain", TextPart("How many circles are there?")),
        *copies(4, 3),
        request("long", ImagePart(picture(5)), TextPart(LONG * 3)),
        *repeats(request("again", ImagePart(picture(6)), TextPart("What?")), 3),
    ],
}


def video(n_frames: int) -> VideoPart:
    return VideoPart(tuple(picture(n) for n in range(n_frames)), fps=2.0)


VIDEOS = [
    *(request(f"v{n}", video(4), TextPart(f"Is the cube rotated? {n} {LONG}")) for n in range(2)),
    request("frames", video(3), TextPart("Is it?")),
    request("both", ImagePart(picture(1)), video(4), TextPart("Is it?")),
]


@pytest.fixture(scope="module")
def bundled() -> Model:
    return resolve_model("tiny-base")


@pytest.fixture(scope="module")
def networks(bundled: Model) -> dict[bool, Network]:
    """The network by whether it shares."""
    return {share: load(bundled, EngineOptions(), share=share) for share in (True, False)}


def answer(network: Network, asked: list[Request], sampling: Sampling, size: int) -> dict[Any, Any]:
    engine = HfEngine(None, EngineOptions(batch_size=size))  # type: ignore[arg-type]  # it is loaded
    engine._network = network
    return {
        (r.sample.id, r.repeat): (c.error, c.text, c.finish_reason, c.n_prompt_tokens, c.n_completion_tokens)
        for r, c in engine.run(asked, sampling)
    }


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("name", WORKLOADS)
def test_replies_are_those_of_generate_for_each_prompt_alone(
    networks: dict[bool, Network], name: str, size: int, sampling: Sampling
) -> None:
    asked = WORKLOADS[name]
    assert type(networks[True]) is SharingNetwork and type(networks[False]) is Network
    shared = answer(networks[True], asked, sampling, size)
    alone = answer(networks[False], asked, sampling, 1)
    assert shared == alone
    assert len(shared) == len(asked) and all(entry[0] is None for entry in shared.values())


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Builds random models of the supported families: returns both networks of a folder."""

    def build(family: str, **options: Any) -> dict[bool, Network]:
        from tiny_model import build as build_tiny

        folder = tmp_path_factory.mktemp(family) / "model"
        build_tiny(folder, family="qwen3_vl" if family == "qwen3_vl" else "qwen2_5_vl")
        if family == "qwen2_vl":
            become_qwen2(folder)
        model = Model("m", folder, "0" * 64, None)
        return {share: load(model, EngineOptions(**options), share=share) for share in (True, False)}

    yield build


def become_qwen2(folder: Path) -> None:
    """Replaces the network of a tiny Qwen2.5-VL by a random Qwen2-VL, whose prompts are the same."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = json.loads((folder / "config.json").read_text())
    text = {k: v for k, v in config["text_config"].items() if k not in ("model_type", "layer_types")}
    vision: dict[str, Any] = {"depth": 3, "num_heads": 2, "patch_size": 14}
    vision |= {"embed_dim": 64, "hidden_size": text["hidden_size"], "mlp_ratio": 2}
    tokens = {k: v for k, v in config.items() if k.endswith("_token_id")}
    torch.manual_seed(1)
    made = AutoModelForImageTextToText.from_config(
        AutoConfig.for_model(
            "qwen2_vl", text_config=text, vision_config=vision, tie_word_embeddings=True, **tokens
        )
    )
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    made.generation_config.eos_token_id = text["eos_token_id"]
    made.save_pretrained(folder)


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        ("qwen2_vl", None),
        ("qwen2_5_vl", None),
        ("qwen2_5_vl", "eager"),
        ("qwen3_vl", None),
        ("qwen3_vl", "eager"),
    ],
)
def test_every_family_gives_the_replies_of_generate(
    families: Any, family: str, attention: str | None
) -> None:
    both = families(family, attn=attention)
    asked = [*WORKLOADS["copies"][:6], *WORKLOADS["several images"], *WORKLOADS["no image"]]
    if family != "qwen2_vl":
        asked += VIDEOS
    shared = answer(both[True], asked, GREEDY, 64)
    alone = answer(both[False], asked, GREEDY, 1)
    assert type(both[True]) is SharingNetwork
    assert all(entry[0] is None for entry in shared.values())
    assert len({entry[1] for entry in shared.values()}) > 3
    assert shared == alone


class Counts:
    """Counts images in the processor and the encoder, and rows of forward passes over prompts."""

    def __init__(self, network: SharingNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processed = self.encoded = 0
        self.tokens: list[int] = []
        inner, processor = network.model.model, network.prompter.processor
        features, preprocess = inner.get_image_features, type(processor.image_processor).__call__
        segments = network._segments

        def encode(pixels: Any, grids: Any, **more: Any) -> Any:
            self.encoded += len(grids)
            return features(pixels, grids, **more)

        def process(this: Any, images: Any, *args: Any, **more: Any) -> Any:
            self.processed += len(images)
            return preprocess(this, images, *args, **more)

        def count(prompts: Any, spans: Any, *more: Any) -> Any:
            self.tokens.append(sum(end - start for start, end in spans))
            return segments(prompts, spans, *more)

        monkeypatch.setattr(inner, "get_image_features", encode)
        monkeypatch.setattr(type(processor.image_processor), "__call__", process)
        monkeypatch.setattr(network, "_segments", count)


@pytest.mark.parametrize("size", [1, 4, 64])
def test_each_image_is_processed_and_encoded_once(
    networks: dict[bool, Network], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = networks[True]
    assert isinstance(network, SharingNetwork)
    network.free_cache()
    counts = Counts(network, monkeypatch)
    asked = [again for number in range(3) for of in copies(number) for again in repeats(of, 3)]
    answer(network, asked, GREEDY, size)
    assert (counts.processed, counts.encoded) == (3, 3)


def test_the_start_of_copies_and_their_repeats_are_computed_once(
    networks: dict[bool, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = networks[True]
    assert isinstance(network, SharingNetwork)
    counts = Counts(network, monkeypatch)
    rolls = copies(0, 3)
    answer(network, [again for of in rolls for again in repeats(of, 4)], GREEDY, 64)
    prompts: list[Any] = [network.prepare(of.sample.messages) for of in rolls]
    first, rest = counts.tokens
    assert first > 16, "at least the image"
    assert rest == sum(prompt.n_tokens - first for prompt in prompts)


def test_new_weights_see_images_anew(tmp_path: Path) -> None:
    from tiny_model import build

    one, other = (
        Model(f"m{seed}", build(tmp_path / str(seed), seed=seed), str(seed) * 64, None) for seed in (0, 1)
    )
    engine, fresh = HfEngine(one, EngineOptions()), HfEngine(other, EngineOptions())
    asked = copies(0)
    before = {r.sample.id: c.text for r, c in engine.run(asked, GREEDY)}
    assert engine.swap(other)
    swapped = {r.sample.id: c.text for r, c in engine.run(asked, GREEDY)}
    assert before != swapped == {r.sample.id: c.text for r, c in fresh.run(asked, GREEDY)}
    engine.close()
    fresh.close()


@pytest.mark.parametrize("method", ["decode", "_prefill"])
def test_what_does_not_fit_into_memory_starts_again_and_gets_the_same_replies(
    networks: dict[bool, Network], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for five replies, or for the prompts of two questions."""
    import torch

    network = networks[True]
    original = getattr(network, method)

    def limited(first: Any, *more: Any) -> Any:
        if len(first) > (5 if method == "decode" else 2):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(first, *more)

    asked = [*WORKLOADS["mixed"], *WORKLOADS["copies"]]
    wanted = answer(network, asked, DRAWN, 64)
    monkeypatch.setattr(network, method, limited)
    assert answer(network, asked, DRAWN, 64) == wanted
    assert all(entry[0] is None for entry in wanted.values())


def test_a_prompt_that_breaks_its_batch_fails_alone(
    networks: dict[bool, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = networks[True]
    assert isinstance(network, SharingNetwork)
    asked = WORKLOADS["mixed"]
    wanted = answer(network, asked, GREEDY, 4)
    poison = network.prepare(asked[0].sample.messages)
    segments = network._segments

    def broken(prompts: Any, *more: Any) -> Any:
        if any(prompt.key == poison.key for prompt in prompts):
            raise ValueError("poison")
        return segments(prompts, *more)

    monkeypatch.setattr(network, "_segments", broken)
    replies = answer(network, asked, GREEDY, 4)
    name = (asked[0].sample.id, 0)
    assert replies.pop(name)[0] == "ValueError: poison"
    del wanted[name]
    assert replies == wanted


def test_a_closed_engine_keeps_no_weights(bundled: Model) -> None:
    import gc
    import weakref

    engine = HfEngine(bundled, EngineOptions())
    list(engine.run(copies(0), GREEDY))
    weights = weakref.ref(engine._load().model.lm_head.weight)
    engine.close()
    gc.collect()
    assert weights() is None
    engine.close()
    assert len(list(engine.run(copies(0), GREEDY))) == 4
    engine.close()
