"""The division of replies into rows and forward passes."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.train import packing
from ssl4rl_bench.train.packing import Cost, Group, Pass, plan, with_passes
from ssl4rl_bench.train.planning.shapes import PUBLISHED, ModelShape, VisionShape

TINY = Cost.of(ModelShape(192, 5, 6, 2, 512, 865, True, VisionShape(4, 128, 4, 384, 192)))
LARGE = Cost.of(PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"])

groups_of_four = st.lists(
    st.builds(
        Group,
        prompt=st.integers(2, 1000),
        patches=st.integers(0, 2000),
        replies=st.tuples(*[st.integers(0, 3000)] * 4),
    ),
    min_size=1,
    max_size=6,
)


def spent(passes: list[Pass], groups: list[Group], cost: Cost) -> float:
    """The cost by the formula of the module's docstring."""
    total = 0.0
    for rows in passes:
        longest = max(row.length for row in rows)
        total += (
            len(rows) * (cost.token * longest + cost.pair * longest**2) + cost.token * packing.PASS_TOKENS
        )
        total += cost.patch * sum(groups[row.group].patches for row in rows)
    return total


@given(groups_of_four, st.sampled_from([TINY, LARGE]), st.booleans(), st.sampled_from([1, None]))
def test_each_reply_is_in_one_row(
    groups: list[Group], cost: Cost, share: bool, max_passes: int | None
) -> None:
    passes = plan(groups, cost, share=share, max_passes=max_passes)
    rows = list(chain.from_iterable(passes))
    assert sorted((row.group, i) for row in rows for i in row.replies) == [
        (g, i) for g in range(len(groups)) for i in range(4)
    ]
    for row in rows:
        replies = [groups[row.group].replies[i] for i in row.replies]
        assert row.length == groups[row.group].prompt - 1 + sum(n + 1 for n in replies)
        assert share or len(replies) == 1
    assert max_passes is None or len(passes) == 1


@given(groups_of_four, st.sampled_from([TINY, LARGE]))
def test_a_plan_costs_no_more_than_a_row_per_group_or_per_reply_in_one_pass(
    groups: list[Group], cost: Cost
) -> None:
    found = spent(plan(groups, cost, share=True), groups, cost)
    alone = [
        packing.PackedRow(g, (i,), group.prompt + n)
        for g, group in enumerate(groups)
        for i, n in enumerate(group.replies)
    ]
    whole = [
        packing.PackedRow(g, (0, 1, 2, 3), group.prompt - 1 + sum(group.replies) + 4)
        for g, group in enumerate(groups)
    ]
    for rows in (alone, whole):
        assert found <= spent([tuple(rows)], groups, cost) * (1 + 1e-9)


def test_short_replies_share_a_row_per_group_in_one_pass() -> None:
    passes = plan([Group(180, 72, (11,) * 8)] * 8, TINY, share=True)
    assert [[row.length for row in rows] for rows in passes] == [[179 + 8 * 12] * 8]


def test_a_long_reply_lengthens_no_other_row() -> None:
    passes = plan([Group(180, 72, (400, *[11] * 7)), *[Group(180, 72, (11,) * 8)] * 7], TINY, share=True)
    assert [[row.length for row in rows] for rows in passes] == [[664], [275] * 7]
    passes = plan([Group(180, 72, (2000, *[11] * 7)), *[Group(180, 72, (11,) * 8)] * 7], TINY, share=True)
    assert [[row.length for row in rows] for rows in passes] == [[2180], [275] * 7 + [263]]


def test_long_replies_are_computed_apart() -> None:
    passes = plan([Group(180, 72, (1500,) * 8)] * 2, TINY, share=True)
    assert [len(row.replies) for rows in passes for row in rows] == [1] * 16


@pytest.mark.parametrize("cost", [TINY, LARGE])
def test_the_longer_the_replies_the_fewer_share_a_row(cost: Cost) -> None:
    counts = []
    for n in (5, 50, 500, 5000):
        passes = plan([Group(300, 1000, (n,) * 8)], cost, share=True)
        counts.append(max(len(row.replies) for rows in passes for row in rows))
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (8, 1)


def test_processes_with_fewer_passes_divide_or_repeat_theirs() -> None:
    passes = plan([Group(180, 72, (11,) * 4)] * 3, TINY, share=True)
    assert len(passes) == 1
    divided, repeated = with_passes(passes, 2)
    assert [len(rows) for rows in divided] == [1, 2]
    assert repeated == []
    divided, repeated = with_passes(passes, 5)
    assert [len(rows) for rows in divided] == [1, 1, 1]
    assert [len(rows) for rows in repeated] == [1, 1]
    assert with_passes(passes, 1) == (passes, [])
