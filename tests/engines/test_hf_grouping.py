"""Which parts of prompts engine hf computes once. No model is needed."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.engines.hf.grouping import (
    Family,
    Key,
    chunks,
    common_prefix,
    divide,
    families,
    partition,
    take,
)

QUESTION, OTHER = (7, -1, -1, -1, 8, 9), (7, -2, -2, -2, 8, 9)
"""The starts of two questions: a token, an image, two tokens."""
COPIES = [(*QUESTION, 1, 2, 5), (*QUESTION, 2, 1, 5), (*QUESTION, 3, 3, 3, 5)]


def tokens(made: list[Family[Key]]) -> int:
    """The number of tokens to compute."""
    return sum(f.prefix + sum(len(member[0]) - f.prefix for member in f.members) for f in made)


def test_copies_of_a_question_share_its_start_and_other_questions_do_not() -> None:
    others = [(*OTHER, 1, 2, 5), (*OTHER, 2, 1, 5)]
    made = families([*COPIES, *others], key=lambda key: key, least=2)
    assert [(f.prefix, len(f.members), f.length) for f in made] == [(6, 3, 10), (6, 2, 9)]
    assert sorted(made[0].items) == sorted(COPIES)


def test_repeats_are_one_prompt() -> None:
    items = [(key, repeat) for key in (COPIES[0], (*OTHER, 4)) for repeat in range(3)]
    made = families(items, key=lambda item: item[0])
    assert [len(family.members) for family in made] == [1, 1]
    assert [[repeat for _, repeat in family.items] for family in made] == [[0, 1, 2], [0, 1, 2]]
    assert [family.prefix for family in made] == [0, 0]


def test_a_prompt_that_continues_another_leaves_a_token_of_both() -> None:
    (family,) = families([(1, 2, 3), (1, 2, 3, 4)], key=lambda key: key, least=1)
    assert family.prefix == 2


def test_a_short_common_start_is_not_shared() -> None:
    starts = [(*range(n), 100 + tail) for n in (7, 8) for tail in (0, 1)]
    assert [f.prefix for f in families(starts[:2], key=lambda key: key)] == [0, 0]
    assert [f.prefix for f in families(starts[2:], key=lambda key: key)] == [8]


def test_prompts_without_a_common_start_stand_alone() -> None:
    made = families([(1, 2), (3, 4), (5,)], key=lambda key: key)
    assert [family.prefix for family in made] == [0, 0, 0]
    assert [family.length for family in made] == [2, 2, 1]


keys = st.lists(st.lists(st.integers(-1, 1), min_size=1, max_size=6).map(tuple), max_size=7, unique=True)


@given(keys)
def test_no_other_cut_saves_more(some: list[Key]) -> None:
    """Tries all ways to cut the sorted keys into runs."""

    def saved(run: tuple[Key, ...]) -> int:
        prefix = min([len(key) - 1 for key in run])
        while len({key[:prefix] for key in run}) > 1:
            prefix -= 1
        return (len(run) - 1) * prefix

    ordered = sorted(some)
    cuts = [
        sum(saved(tuple(ordered[a:b])) for a, b in itertools.pairwise([0, *places, len(ordered)]))
        for n in range(len(ordered))
        for places in itertools.combinations(range(1, len(ordered)), n)
    ]
    runs = partition(ordered, 1)
    assert sum((end - start - 1) * prefix for start, end, prefix in runs) == max(cuts, default=0)
    assert [place for start, end, _ in runs for place in range(start, end)] == list(range(len(ordered)))
    made = families(some, key=lambda key: key, least=1)
    assert tokens(made) == sum(map(len, some)) - max(cuts, default=0)


@given(st.lists(st.integers(0, 1), max_size=40), st.lists(st.integers(0, 1), max_size=40))
def test_the_common_prefix_is_the_longest(one: list[int], two: list[int]) -> None:
    length = common_prefix(tuple(one), tuple(two))
    assert one[:length] == two[:length]
    assert one[length : length + 1] != two[length : length + 1] or length == min(len(one), len(two))


def family(n_items: int, length: int = 10, prefix: int = 4, members: int = 2) -> Family[int]:
    items = list(range(n_items))
    return Family(prefix, [items[index::members] for index in range(members)], length)


def test_a_batch_takes_whole_families_that_fit() -> None:
    queue = [family(6), family(3), family(4), family(1)]
    assert [len(taken) for taken in take(queue, 8, split=False)] == [6, 1]
    assert [len(left) for left in queue] == [3, 4]


def test_a_family_is_divided_only_if_nothing_else_runs() -> None:
    queue = [family(6), family(9)]
    assert take(queue, 4, split=False) == []
    assert [len(taken) for taken in take(queue, 4, split=True)] == [4]
    assert [len(left) for left in queue] == [2, 9]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_both_parts_of_a_family_have_all_items(n_items: int, count: int, members: int) -> None:
    whole = family(max(n_items, members), members=members)
    first, rest = divide(whole, count)
    assert first.items + rest.items == whole.items
    assert len(first) == min(count, len(whole))
    assert all(first.members) and all(rest.members)


def test_passes_hold_similar_lengths_and_no_more_tokens_than_allowed() -> None:
    rng = random.Random(0)
    made = [family(4, length=rng.randrange(30, 200), prefix=20) for _ in range(50)]
    passes = chunks(made, 600)
    assert sorted(map(id, itertools.chain(*passes))) == sorted(map(id, made))
    for some in passes:
        longest = max(f.length for f in some)
        assert min(f.length - 20 for f in some) >= 0.8 * (longest - 20)
        assert len(some) * 20 + sum(len(f.members) for f in some) * (longest - 20) <= 600


@pytest.mark.parametrize("allowed", [1, 10])
def test_a_family_above_the_limit_has_a_pass_of_its_own(allowed: int) -> None:
    assert [len(some) for some in chunks([family(2), family(2)], allowed)] == [1, 1]
