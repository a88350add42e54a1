"""When engine hf starts requests, with a stand-in for the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.core.types import Categories, Completion, Message, Request, Sample, Sampling, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.hf.grouping import Family


class Batch:
    """Replies that need as many steps as their prompt's number says."""

    def __init__(self, items: list[Any]) -> None:
        self.left = [[item, int(item[0].sample.id.split("-")[1])] for item in items]

    @property
    def items(self) -> list[Any]:
        return [item for item, _ in self.left]

    def join(self, other: Batch) -> None:
        self.left += other.left

    def step(self) -> list[tuple[Any, Completion]]:
        for entry in self.left:
            entry[1] -= 1
        ended = [item for item, steps in self.left if steps == 0]
        self.left = [entry for entry in self.left if entry[1]]
        return [(item, Completion(item[0].sample.id, "stop")) for item in ended]


class Network:
    """Records what starts together."""

    def __init__(self, joins: bool = True) -> None:
        self.joins = joins
        self.started: list[list[str]] = []

    def prepare(self, messages: Sequence[Message]) -> Any:
        part = messages[0].content[0]
        assert isinstance(part, TextPart)
        if part.text == "bad":
            raise ValueError("this prompt is bad")
        return SimpleNamespace(n_tokens=len(part.text), key=tuple(part.text.encode()))

    def start(self, families: Sequence[Family[Any]], sampling: Sampling) -> Batch:
        items = [item for family in families for item in family.items]
        self.started.append([item[0].sample.id for item in items])
        return Batch(items)

    def free_cache(self) -> None: ...

    def unload(self) -> None: ...


def request(name: str, steps: int, text: str = "") -> Request:
    message = Message("user", (TextPart(text or name),))
    return Request(Sample(f"{name}-{steps}", name, (message,), "", {}, Categories("", "", "")), 0, 0)


def engine_of(network: Network, batch_size: int, model: Model | None = None) -> HfEngine:
    engine = HfEngine(model, EngineOptions(batch_size=batch_size))  # type: ignore[arg-type]
    engine._network = network  # type: ignore[assignment]  # a stand-in
    return engine


def test_one_long_reply_does_not_hold_the_others() -> None:
    network = Network()
    asked = [request("a", 40), *(request(chr(98 + i), 2) for i in range(15))]
    out = [r.sample.id for r, _ in engine_of(network, 4).run(asked, Sampling())]
    assert sorted(out) == sorted(r.sample.id for r in asked)
    assert out[-1] == "a-40"
    assert max(map(len, network.started)) == 4


def test_requests_join_when_a_quarter_of_the_batch_is_free() -> None:
    network = Network()
    asked = [request(f"{i:02}", 1 if i == 0 else 2 if i < 3 else 9) for i in range(16)]
    list(engine_of(network, 8).run(asked, Sampling()))
    assert [len(started) for started in network.started[:2]] == [8, 3]


def test_a_model_that_cannot_join_gets_batches_one_after_another() -> None:
    network = Network(joins=False)
    asked = [request(f"{i:02}", 1 + i % 3) for i in range(10)]
    out = list(engine_of(network, 4).run(asked, Sampling()))
    assert len(out) == 10
    assert [len(started) for started in network.started] == [4, 4, 2]


def test_all_requests_are_answered_after_a_window_of_bad_ones() -> None:
    network = Network()
    asked = [*(request(f"{i:02}", 1, "bad") for i in range(9)), request("good", 1)]
    out = {r.sample.id: c.error for r, c in engine_of(network, 2).run(asked, Sampling())}
    assert len(out) == 10
    assert [name for name, error in out.items() if error is None] == ["good-1"]


def test_requests_are_pulled_for_two_batches() -> None:
    pulled = 0

    def source() -> Iterator[Request]:
        nonlocal pulled
        for i in range(40):
            pulled += 1
            yield request(f"{i:02}", 3)

    out = engine_of(Network(), 4).run(source(), Sampling())
    assert pulled == 0
    next(out)
    assert pulled == 8
    for n, _ in enumerate(out, start=2):
        assert pulled <= n + 8
    assert pulled == 40


def test_draining_starts_nothing_and_finishes_what_began() -> None:
    network = Network()
    engine = engine_of(network, 4)
    out = engine.run([request(f"{i:02}", 1 if i < 2 else 5) for i in range(30)], Sampling())
    next(out)
    assert engine.drain() == 3
    assert len(list(out)) == 3
    assert [len(started) for started in network.started] == [4]


@pytest.mark.parametrize("size", [1, 3, 64])
def test_requests_of_one_prompt_start_together(size: int) -> None:
    network = Network()
    asked = [request(f"{i:02}{repeat}", 1, f"{i:02}") for i in range(4) for repeat in range(3)]
    list(engine_of(network, size).run(asked, Sampling()))
    assert all(len({name[:2] for name in started}) <= max(1, size // 3) for started in network.started)
