"""How many requests start in each step."""

from __future__ import annotations

from collections import deque

import pytest

from ssl4rl_bench.engines.vllm.pace import Pace


@pytest.mark.parametrize(("n_tokens", "expected"), [(10, 64), (64, 10), (640, 4)])
def test_as_many_start_as_end_and_a_quarter_more(n_tokens: int, expected: int) -> None:
    pace = Pace(512, 1_000)
    for _ in range(5_000):
        pace.ended(n_tokens)
    assert pace.per_step == expected


def test_before_the_first_reply_its_length_is_assumed() -> None:
    assert Pace(512, 1_000).per_step == 10
    assert Pace(512, 16).per_step == 40
    assert Pace(8, 1_000).per_step == 4


@pytest.mark.parametrize("length", [1, 16, 64, 200])
def test_the_model_is_full_in_the_long_run_and_starts_are_even(length: int) -> None:
    """A model of 512 requests whose replies all have one length, as in the worst case."""
    pace, running, starts = Pace(512, 256), deque[int](), []
    for step in range(40 * length + 400):
        while running and running[0] <= step:
            running.popleft()
            pace.ended(length)
        n_new = min(pace.per_step, 512 - len(running))
        running.extend([step + length] * n_new)
        starts.append(n_new)
    late = starts[-length * 10 :]
    assert sum(late) / len(late) > 0.95 * 512 / length
    assert max(late) <= max(1.4 * 512 / length + 1, 4)
