"""Calls in forked processes: the same results and errors as a loop."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable

import pytest

from ssl4rl_bench.core import parallel
from ssl4rl_bench.core.parallel import parallel_map

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_cores", lambda: 4)
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # whatever other tests have left running


@pytest.mark.parametrize("count", [0, 1, 2, 4, 7])
def test_results_are_in_order(count: int) -> None:
    assert parallel_map(lambda item: item * item, range(count)) == [item * item for item in range(count)]


@linux
def test_four_processes_share_the_items() -> None:
    assert len(set(parallel_map(lambda _: os.getpid(), range(8)))) == 4
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", ["active_count", "platform"])
def test_a_process_that_must_not_be_forked_makes_all_calls(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(*((threading, name, lambda: 2) if name == "active_count" else (sys, name, "darwin")))
    assert set(parallel_map(lambda _: os.getpid(), range(8))) == {os.getpid()}


@pytest.mark.parametrize("failing", [{0}, {1}, {3, 6}, {7}])
def test_the_error_is_that_of_the_first_item_that_fails(failing: set[int]) -> None:
    def call(item: int) -> int:
        if item in failing:
            raise ValueError(f"item {item}")
        return item

    with pytest.raises(ValueError, match=f"item {min(failing)}"):
        parallel_map(call, range(8))
    assert not multiprocessing.active_children()


def dies(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def returns_a_function(item: int) -> Callable[[], int]:
    return lambda: item


@linux
@pytest.mark.parametrize("call", [dies, returns_a_function])
def test_calls_are_repeated_if_a_copy_has_no_results(call: Callable[[int], object]) -> None:
    here = os.getpid()
    results = parallel_map(lambda item: call(item) if os.getpid() != here else item, range(8))
    assert results == list(range(8))


@linux
def test_an_interrupt_ends_the_copies() -> None:
    here = os.getpid()

    def call(item: int) -> int:
        if os.getpid() == here:
            raise KeyboardInterrupt
        signal.pause()
        return item

    with pytest.raises(KeyboardInterrupt):
        parallel_map(call, range(8))
    assert not multiprocessing.active_children()
