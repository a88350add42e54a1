"""How many prompts are prepared ahead, and when they are added to vLLM: in groups on a GPU."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.engines.vllm.feed import Admission, Supply

counts = st.integers(0, 600)
admissions = st.builds(Admission, limit=st.integers(1, 512), group=st.integers(1, 64))


@given(admissions, counts, counts, counts)
def test_admission_never_exceeds_the_limit_or_what_is_ready(
    admission: Admission, running: int, ready: int, pending: int
) -> None:
    running = min(running, admission.limit)
    n = admission.count(running, ready, pending)
    assert 0 <= n <= min(ready, admission.limit - running)


@given(admissions, counts, counts)
def test_an_idle_engine_gets_what_is_ready(admission: Admission, ready: int, pending: int) -> None:
    assert admission.count(0, ready, pending) == min(ready, admission.limit)


@given(st.integers(1, 512), counts, counts, counts)
def test_groups_of_one_are_added_as_they_fit(limit: int, running: int, ready: int, pending: int) -> None:
    running = min(running, limit)
    assert Admission(limit, 1).count(running, ready, pending) == min(ready, limit - running)


@given(admissions, st.integers(0, 2_000), st.randoms(use_true_random=False))
def test_every_prompt_is_added_in_the_end(admission: Admission, n: int, draw: random.Random) -> None:
    """In each step some prompts become ready and some requests end; at least one where nothing else happens."""
    pending, ready, running, done = n, 0, 0, 0
    while done < n:
        prepared = draw.randint(0 if running else min(1, pending), min(pending, 32))
        pending, ready = pending - prepared, ready + prepared
        added = admission.count(running, ready, pending)
        ready, running = ready - added, running + added
        ended = draw.randint(min(1, running), min(running, 16))
        running, done = running - ended, done + ended
    assert (pending, ready, running) == (0, 0, 0)


def test_a_full_engine_gets_prompts_in_groups() -> None:
    """Eight requests end in every step, and prompts are always ready: one step in eight has new images."""
    admission = Admission(512, 64)
    running, added = 512, []
    for _ in range(80):
        running -= 8
        added.append(admission.count(running, 128, 100))
        running += added[-1]
    assert [n for n in added if n] == [64] * 10


def test_a_group_waits_for_its_last_prompts_unless_many_places_are_free() -> None:
    admission = Admission(512, 64)
    assert admission.count(running=440, ready=60, pending=20) == 0
    assert admission.count(running=440, ready=60, pending=0) == 60
    assert admission.count(running=384, ready=60, pending=20) == 60


@given(admissions, counts, counts)
def test_a_full_engine_takes_no_more_even_if_prompts_are_ready(
    admission: Admission, running: int, pending: int
) -> None:
    running = min(running, admission.limit)
    ready = 2 * admission.group
    takes = admission.count(running, ready, pending) > 0
    assert takes == (running == 0 or not admission.is_full(running))


@given(st.integers(1, 1_000), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10**9))))
def test_something_is_always_prepared_and_never_more_than_allowed(
    most: int, made: list[tuple[int, int]]
) -> None:
    supply = Supply(most)
    for n, n_bytes in made:
        supply.add(n, n_bytes)
    assert supply.wants(0)
    assert not supply.wants(most)


def test_small_prompts_are_limited_by_their_number() -> None:
    supply = Supply(128)
    supply.add(32, 32 * 600_000)
    assert supply.wants(127)
    assert not supply.wants(128)


def test_large_prompts_are_limited_by_their_memory() -> None:
    """Images of 80 MB of pixels, one per prompt."""
    supply = Supply(256, most_bytes=4 << 30)
    supply.add(1, 80_000_000)
    assert [n for n in range(256) if supply.wants(n)] == list(range(54))


def test_large_prompts_count_at_once_and_are_forgotten_slowly() -> None:
    supply = Supply(256, most_bytes=1 << 30)
    for _ in range(100):
        supply.add(4, 4)
    supply.add(4, 4 << 26)
    assert not supply.wants(16)
    supply.add(4, 4)
    assert supply.wants(16) and not supply.wants(20)
    for _ in range(50):
        supply.add(4, 4)
    assert supply.wants(255)
