"""What the adapter of vLLM does with items that the engine has, with stand-ins for vLLM; and its wire format."""

from __future__ import annotations

import queue
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.core.errors import EngineError, ModelError, UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.vllm import adapter

GREEDY = Sampling()


class Cache:
    """A cache of the last two items, with the interface of vLLM's."""

    def __init__(self) -> None:
        self.names: OrderedDict[str, None] = OrderedDict()

    def touch_sender_cache_item(self, name: str) -> None:
        if name in self.names:
            self.names.move_to_end(name)

    def is_cached_item(self, name: str) -> bool:
        return name in self.names

    def get_and_update_item(self, item: tuple[Any, Any], name: str) -> tuple[Any, Any]:
        if name in self.names:
            self.names.move_to_end(name)
            return None, ()
        self.names[name] = None
        if len(self.names) > 2:
            self.names.popitem(last=False)
        return item

    def invalidate(self, name: str) -> None:
        self.names.pop(name, None)


class Core:
    """Receives what is added, and keeps items as `Cache` does."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.refuse = False
        self.renderer = SimpleNamespace(mm_processor_cache=Cache())
        self.engine_core = SimpleNamespace(
            outputs_queue=queue.Queue(), resources=SimpleNamespace(engine_dead=False)
        )
        self.sent: list[list[str | None]] = []

    def add_request(self, key: str, prompt: dict[str, Any], params: object) -> None:
        if self.refuse:
            raise ValueError("too long")
        if prompt["type"] != "multimodal":
            self.sent.append([])
            return
        items = [item for of_kind in prompt["mm_kwargs"].values() for item in of_kind]
        names = [name for of_kind in prompt["mm_hashes"].values() for name in of_kind]
        order = sorted(range(len(names)), key=lambda i: places_of(prompt)[i])
        for i in order:
            self.cache.touch_sender_cache_item(names[i])
        for i in order:
            assert items[i] is not None or self.cache.is_cached_item(names[i]), "the engine lacks an item"
            self.cache.get_and_update_item((names[i], ()), names[i])
        assert list(self.cache.names) == list(self.renderer.mm_processor_cache.names)
        self.sent.append(items)

    def step(self) -> list[object]:
        return [self.engine_core.outputs_queue.get()]


def places_of(prompt: dict[str, Any]) -> list[int]:
    return [place.offset for of_kind in prompt["mm_placeholders"].values() for place in of_kind]


def prompt(*names: str) -> dict[str, Any]:
    """An engine input with an item per name, "image" or (with a capital) "video", in this order."""
    kinds: dict[str, list[tuple[int, str]]] = {}
    for place, name in enumerate(names):
        kinds.setdefault("video" if name.isupper() else "image", []).append((place, name))
    return {
        "type": "multimodal",
        "prompt_token_ids": [1] * 9,
        "mm_kwargs": {kind: [f"item {name}" for _, name in of_kind] for kind, of_kind in kinds.items()},
        "mm_hashes": {kind: [name for _, name in of_kind] for kind, of_kind in kinds.items()},
        "mm_placeholders": {
            kind: [SimpleNamespace(offset=place) for place, _ in of_kind] for kind, of_kind in kinds.items()
        },
    }


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def engine(core: Core) -> adapter.LocalEngine:
    made = object.__new__(adapter.LocalEngine)
    made._engine = core
    made._last = None
    made._sampling_params = lambda **_: object()
    made._kinds = SimpleNamespace(DELTA=0, FINAL_ONLY=1)
    return made


def item(n: int) -> dict[str, Any]:
    """An item with pixels of n bytes, and a field without data."""
    return {"pixel_values": SimpleNamespace(data=memoryview(bytes(n))), "grid": SimpleNamespace(data=None)}


def test_the_size_of_prompts_is_that_of_their_pixels_and_counts_what_they_share_once() -> None:
    shared = item(100)
    prompts: list[Any] = [
        {"type": "multimodal", "mm_kwargs": {"image": [shared, item(20)], "video": [item(3)]}},
        {"type": "multimodal", "mm_kwargs": {"image": [shared, None]}},
        {"type": "token", "prompt_token_ids": [1]},
        "an error",
        ModelError("another"),
    ]
    assert adapter.n_bytes(prompts) == 123
    assert adapter.n_bytes([]) == 0


def test_an_item_is_sent_with_the_first_copy_only(engine: adapter.LocalEngine, core: Core) -> None:
    for key in "123":
        engine.add(key, prompt("a"), GREEDY, 0)
    assert core.sent == [["item a"], [None], [None]]


def test_an_item_that_the_engine_has_dropped_is_sent_again(engine: adapter.LocalEngine, core: Core) -> None:
    for number, names in enumerate(("a", "b", "a", "c", "a", "b", "aB", "Ba", "cc")):
        engine.add(str(number), prompt(*names), GREEDY, 0)
    assert core.sent[:6] == [["item a"], ["item b"], [None], ["item c"], [None], ["item b"]]
    assert core.sent[-1] == ["item c", None]


def test_a_refused_request_leaves_no_item_behind(engine: adapter.LocalEngine, core: Core) -> None:
    core.refuse = True
    with pytest.raises(ValueError, match="too long"):
        engine.add("1", prompt("a", "b"), GREEDY, 0)
    core.refuse = False
    engine.add("2", prompt("a"), GREEDY, 0)
    assert core.sent == [["item a"]]


def test_a_prompt_of_text_needs_no_cache(engine: adapter.LocalEngine, core: Core) -> None:
    engine.add("1", {"type": "token", "prompt_token_ids": [1]}, GREEDY, 0)
    assert core.sent == [[]]


def test_greedy_requests_share_their_parameters(engine: adapter.LocalEngine) -> None:
    one, two = (engine._params(GREEDY, seed, False) for seed in (1, 2))
    drawn = [engine._params(Sampling(temperature=1.0), seed, False) for seed in (1, 2)]
    assert one is two and drawn[0] is not drawn[1]
    assert engine._params(Sampling(max_tokens=3), 1, False) is not one


def test_a_dead_process_is_noticed_while_waiting_and_when_adding(
    engine: adapter.LocalEngine, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    core.engine_core.outputs_queue.put("reply")
    core.engine_core.resources.engine_dead = True
    assert engine.step() == ["reply"]  # it arrived before
    monkeypatch.setattr(adapter, "_CHECK_S", 0.01)
    with pytest.raises(EngineError, match="process died"):
        engine.step()
    with pytest.raises(EngineError, match="process died"):
        engine.add("1", prompt("a"), GREEDY, 0)


@pytest.mark.engine
def test_engine_inputs_survive_the_wire() -> None:
    """Items are encoded once, errors keep their kind, and masks and both kinds of buffers arrive."""
    pytest.importorskip("vllm")
    import torch
    from vllm.multimodal.inputs import (
        MultiModalFieldConfig,
        MultiModalFieldElem,
        MultiModalKwargsItem,
        PlaceholderRange,
    )

    field = MultiModalFieldConfig.batched("image").field
    item = MultiModalKwargsItem(
        {
            "pixels": MultiModalFieldElem(data=torch.arange(4_000, dtype=torch.bfloat16), field=field),
            "grid": MultiModalFieldElem(data=torch.tensor([1, 2, 3]), field=field),
        }
    )

    def made(offset: int, mask: object = None) -> dict[str, Any]:
        return {
            "type": "multimodal",
            "prompt_token_ids": [7, 8, 100_000],
            "mm_kwargs": {"image": [item]},
            "mm_hashes": {"image": ["name"]},
            "mm_placeholders": {"image": [PlaceholderRange(offset=offset, length=2, is_embed=mask)]},
        }

    wire = adapter.Wire()
    inputs: list[Any] = [
        made(0),
        UsageError("bad"),
        made(1, torch.tensor([True, False])),
        ModelError("loops"),
        {"type": "token", "prompt_token_ids": [5]},
    ]
    buffers = wire.encode(inputs)
    assert len(buffers) == 2 and len(buffers[1]) == 8_000
    first, bad, second, fatal, text = wire.decode([bytearray(bytes(buffer)) for buffer in buffers])
    assert bad == "bad" and isinstance(fatal, ModelError) and text == inputs[-1]
    for got, sent in ((first, inputs[0]), (second, inputs[2])):
        assert isinstance(got, dict)
        assert got["prompt_token_ids"] == sent["prompt_token_ids"] and got["mm_hashes"] == sent["mm_hashes"]
        assert got["mm_placeholders"] == sent["mm_placeholders"]
        assert dict(got["mm_kwargs"]["image"][0]) == dict(item)
