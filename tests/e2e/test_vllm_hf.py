"""The two engines that hold a model, on one tiny checkpoint: what each promises, and that they agree."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageDraw

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.identity import seed_of, sha256_hex
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    Engine,
    ImagePart,
    Message,
    Part,
    Request,
    Sample,
    Sampling,
    TextPart,
    VideoPart,
)
from ssl4rl_bench.engines import EngineOptions, create
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.hf import HfEngine

pytestmark = pytest.mark.engine

BATCH = 8
GREEDY = Sampling(max_tokens=16)
VLLM = find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not VLLM, reason="needs vLLM")
NAMES = ["hf", pytest.param("vllm", marks=needs_vllm)]


def picture(seed: int, width: int = 160, height: int = 120) -> EncodedImage:
    draw_from = random.Random(seed)
    image = Image.new("RGB", (width, height), tuple(draw_from.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = draw_from.randrange(width - 40), draw_from.randrange(height - 40)
        pen.ellipse([x, y, x + 39, y + 39], fill=tuple(draw_from.randrange(256) for _ in range(3)))
    return images.from_pil(image)


def request(name: str, *parts: Part, system: str = "") -> Request:
    messages = [Message("system", (TextPart(system),))] if system else []
    sample = Sample(
        id=name,
        group=name,
        messages=(*messages, Message("user", parts)),
        target="",
        choices={},
        categories=Categories("", "", ""),
    )
    return Request(sample, 0, seed_of(name))


def good_requests() -> list[Request]:
    made = [
        request("text", TextPart("Which colour is it? Answer with a letter.")),
        request("system", TextPart("What is above the square?"), system="Answer with one of the options."),
        request("special", TextPart("Is <|image_pad|> a token? And <|im_end|>?")),
        request("two", ImagePart(picture(1)), TextPart("and"), ImagePart(picture(2)), TextPart("the same?")),
        request("twice", ImagePart(picture(1)), ImagePart(picture(1)), TextPart("the same?")),
        request("wide", ImagePart(picture(3, 300, 80)), TextPart("How many triangles are there?")),
    ]
    for roll in range(4):
        for seed in range(5):
            text = TextPart(f"Which colour is the circle on the left? A. red B. blue {roll}")
            made.append(request(f"image{seed}-{roll}", ImagePart(picture(seed)), text))
    for frames in (3, 4):
        clip = VideoPart(tuple(picture(seed) for seed in range(frames)), fps=2.0)
        made.append(request(f"video{frames}", clip, TextPart("Is the cube rotated clockwise?")))
    return made


def bad_requests() -> list[Request]:
    whole = picture(9).data
    torn = whole[: len(whole) // 2] + b"\0" * 40 + whole[-12:]
    odd = VideoPart((picture(1), picture(2, 80, 80)), fps=1.0)
    return [
        request("long", TextPart("left right " * 1_000)),
        request("torn", ImagePart(EncodedImage(torn, sha256_hex(torn))), TextPart("What is it?")),
        request("odd", odd, TextPart("What is it?")),
    ]


@pytest.fixture(scope="session")
def made(tiny: Model) -> Iterator[dict[str, Engine]]:
    pytest.importorskip("transformers")
    engines: dict[str, Engine] = {}
    for name in ["hf", "vllm"] if VLLM else ["hf"]:
        engines[name] = create(name, tiny, EngineOptions(batch_size=BATCH))
    yield engines
    for engine in engines.values():
        engine.close()


@pytest.fixture(scope="session")
def replies(made: dict[str, Engine]) -> dict[str, dict[str, Completion]]:
    """Each engine's completion of each request, good and bad ones mixed."""
    requests = good_requests()
    for at, bad in zip((3, 9, 20), bad_requests(), strict=True):
        requests.insert(at, bad)
    out: dict[str, dict[str, Completion]] = {}
    for name, engine in made.items():
        pairs = list(engine.run(requests, GREEDY))
        assert len(pairs) == len(requests)
        out[name] = {asked.sample.id: completion for asked, completion in pairs}
        assert set(out[name]) == {asked.sample.id for asked in requests}
    return out


@pytest.mark.parametrize("name", NAMES)
def test_good_requests_are_answered(replies: dict[str, dict[str, Completion]], name: str) -> None:
    for asked in good_requests():
        completion = replies[name][asked.sample.id]
        assert completion.error is None, (asked.sample.id, completion)
        assert 1 <= completion.n_completion_tokens <= GREEDY.max_tokens
        assert completion.n_prompt_tokens > 10
        assert completion.latency_s > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("bad", "words"), [("long", "tokens"), ("torn", ""), ("odd", "one size")])
def test_a_bad_request_fails_alone(
    replies: dict[str, dict[str, Completion]], name: str, bad: str, words: str
) -> None:
    completion = replies[name][bad]
    assert (completion.finish_reason, completion.text) == ("error", "")
    assert completion.error and words in completion.error


@pytest.mark.parametrize("name", NAMES)
def test_finish_reasons(replies: dict[str, dict[str, Completion]], name: str) -> None:
    """A reply is cut at the limit or ends by itself, and both occur."""
    kinds = set()
    for asked in good_requests():
        completion = replies[name][asked.sample.id]
        kinds.add(completion.finish_reason)
        if completion.finish_reason == "length":
            assert completion.n_completion_tokens == GREEDY.max_tokens
    assert kinds == {"stop", "length"}


@needs_vllm
def test_both_engines_see_the_same_prompt(replies: dict[str, dict[str, Completion]]) -> None:
    """As many tokens, with text, images and frames."""
    counts = {
        name: {asked.sample.id: replies[name][asked.sample.id].n_prompt_tokens for asked in good_requests()}
        for name in ("hf", "vllm")
    }
    assert counts["hf"] == counts["vllm"]


@needs_vllm
def test_both_engines_give_the_same_replies(replies: dict[str, dict[str, Completion]]) -> None:
    """In float32, up to rounding: a random model has near ties. Text cut inside a character may differ."""
    asked = [request.sample.id for request in good_requests()]
    differ = [
        name
        for name in asked
        if replies["hf"][name].text.rstrip("�") != replies["vllm"][name].text.rstrip("�")
    ]
    assert len(differ) <= len(asked) // 10, differ


def test_what_is_in_the_image_matters(replies: dict[str, dict[str, Completion]]) -> None:
    texts = {replies["hf"][f"image{seed}-0"].text for seed in range(5)}
    assert len(texts) > 1


@pytest.mark.parametrize("name", NAMES)
def test_streamed_pieces_make_the_reply(
    made: dict[str, Engine], replies: dict[str, dict[str, Completion]], name: str
) -> None:
    for asked in good_requests()[:4]:
        pieces = list(made[name].stream(asked.sample.messages, GREEDY))
        assert "".join(pieces).rstrip("�") == replies[name][asked.sample.id].text.rstrip("�")


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_can_be_left(made: dict[str, Engine], name: str) -> None:
    messages = good_requests()[0].sample.messages
    stream = made[name].stream(messages, Sampling(max_tokens=500))
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # engines make generators
    out = dict.fromkeys(c.error for _, c in made[name].run(good_requests()[:1], Sampling(max_tokens=2)))
    assert list(out) == [None]


@pytest.mark.parametrize("name", NAMES)
def test_requests_are_pulled_lazily_and_none_is_lost(made: dict[str, Engine], name: str) -> None:
    pulled = 0

    def pull() -> Iterator[Request]:
        nonlocal pulled
        for asked in good_requests()[:-2] * 2:
            pulled += 1
            yield asked

    total = 2 * len(good_requests()[:-2])
    out = made[name].run(pull(), Sampling(max_tokens=2))
    assert pulled == 0
    next(out)
    assert 1 <= pulled <= 2 * BATCH + 1 < total
    assert 1 + sum(1 for _ in out) == pulled == total


@pytest.mark.parametrize("name", NAMES)
def test_no_requests_no_replies(made: dict[str, Engine], name: str) -> None:
    assert list(made[name].run([], GREEDY)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_run_can_be_left(made: dict[str, Engine], name: str) -> None:
    out = made[name].run(good_requests()[:12], GREEDY)
    next(out)
    out.close()  # type: ignore[attr-defined]  # engines make generators
    assert len(list(made[name].run(good_requests()[:3], Sampling(max_tokens=2)))) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_drawn_reply_depends_on_its_seed_alone(made: dict[str, Engine], name: str) -> None:
    """Not on the requests that it shares a batch with."""
    drawn = Sampling(temperature=1.0, top_p=0.95, top_k=50, max_tokens=8)
    asked = good_requests()[0]
    others = good_requests()[1:6]
    again = [Request(asked.sample, repeat, seed_of("draw", repeat)) for repeat in range(6)]
    alone = {r.repeat: c.text for r, c in made[name].run(again[:1], drawn)}
    mixed = {
        r.repeat: c.text for r, c in made[name].run([*others, *again], drawn) if r.sample is asked.sample
    }
    assert alone[0] == mixed[0]
    assert len(set(mixed.values())) > 1


@pytest.mark.parametrize("name", NAMES)
def test_one_pixel_limit_alone_counts(tiny: Model, made: dict[str, Engine], name: str) -> None:
    """56 * 56 pixels make 4 tokens, where the checkpoint's own limits make 16."""
    asked = request("square", ImagePart(picture(1, 140, 140)), TextPart("What is it?"))
    counts = []
    for engine in (made[name], create(name, tiny, EngineOptions(max_pixels=3136))):
        counts += [reply.n_prompt_tokens for _, reply in engine.run([asked], Sampling(max_tokens=1))]
        engine.close()
    assert counts[0] - counts[1] == 16 - 4


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_ends_where_the_context_does(tiny: Model, name: str) -> None:
    engine = create(name, tiny, EngineOptions(max_model_len=64))
    out = engine.run(good_requests()[:1] * 3, Sampling(max_tokens=500))
    for _, completion in out:
        assert completion.error is None
        assert completion.n_prompt_tokens + completion.n_completion_tokens <= 64
    engine.close()
    engine.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_that_does_not_load_is_one_line(tiny: Model, name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no_such_type", "max_position_embeddings": 64}')
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    engine = create(name, Model("broken", tmp_path, "", None), EngineOptions())
    with pytest.raises(EngineError, match="broken") as caught:
        list(engine.run(good_requests()[:1], GREEDY))
    assert "\n" not in str(caught.value)


class Fragile:
    """Stands for a network on a GPU that takes 3 prompts at once, one of which no batch survives."""

    joins = False

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def prepare(self, messages: tuple[Message, ...]) -> SimpleNamespace:
        part = messages[0].content[0]
        text = part.text if isinstance(part, TextPart) else ""
        return SimpleNamespace(n_tokens=1, key=tuple(text.encode()), text=text)

    def start(self, families: list[Any], sampling: Sampling) -> FragileBatch:
        items = [item for family in families for item in family.items]
        self.sizes.append(len(items))
        return FragileBatch(items)

    def free_cache(self) -> None:
        pass

    def unload(self) -> None:
        pass


class FragileBatch:
    """Fails in its first step, or answers everything."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def step(self) -> list[Any]:
        import torch

        if len(self.items) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if any(prompt.text == "poison" for _, prompt in self.items):
            raise ValueError("poison")
        items, self.items = self.items, []
        return [(item, Completion(text=item[1].text, finish_reason="stop")) for item in items]


def test_hf_halves_what_does_not_fit_and_isolates_what_breaks(tiny: Model) -> None:
    engine = HfEngine(tiny, EngineOptions(batch_size=8))
    fragile = engine._network = Fragile()  # type: ignore[assignment]  # a stand-in
    texts = [*"abcde", "poison", *"ghijklmnopqrstuv"]
    out = list(engine.run((request(text, TextPart(text)) for text in texts), GREEDY))
    assert sorted(asked.sample.id for asked, _ in out) == sorted(texts)
    assert {asked.sample.id: completion.error for asked, completion in out if completion.error} == {
        "poison": "ValueError: poison"
    }
    assert all(completion.text == asked.sample.id for asked, completion in out if not completion.error)
    assert max(fragile.sizes[-4:]) <= 2
