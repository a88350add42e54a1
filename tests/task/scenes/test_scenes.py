"""The built-in benchmark: exact by construction, complete, and the same on every machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.task import scenes
from ssl4rl_bench.task.mmbench.rows import GROUP_STRIDE
from ssl4rl_bench.task.scenes.draw import SIZE
from ssl4rl_bench.task.scenes.question import NONE_OF_THESE, with_none


@pytest.fixture(scope="module")
def dev() -> list[scenes.Question]:
    return list(scenes.questions("dev"))


@pytest.mark.slow
def test_a_hundred_questions_for_each_ability_from_at_least_two_leaves(dev: list[scenes.Question]) -> None:
    abilities = Counter(q.leaf.ability for q in dev)
    leaves = defaultdict(set)
    for q in dev:
        leaves[q.leaf.ability].add(q.leaf.name)
    assert len(abilities) == 6
    assert set(abilities.values()) == {100}
    assert all(len(names) >= 2 for names in leaves.values())


@pytest.mark.slow
def test_pictures_are_distinct_and_none_is_in_the_train_stream(dev: list[scenes.Question]) -> None:
    seen = {sha256_hex(q.drawn.image.tobytes()) for q in dev}
    train = {sha256_hex(q.drawn.image.tobytes()) for q in scenes.questions("train", 60)}
    assert len(seen) == len(dev)
    assert not seen & train
    assert all(q.drawn.image.size == (SIZE, SIZE) and q.drawn.image.mode == "RGB" for q in dev[::37])


def test_answers_are_options_and_options_are_distinct(dev: list[scenes.Question]) -> None:
    for q in dev:
        assert q.drawn.answer in q.options, q
        assert (
            len(set(q.options))
            == len(q.options)
            == len(q.drawn.wrong) + 1 + (q.drawn.pinned is not None and q.drawn.pinned != q.drawn.answer)
        )


def test_copies_turn_the_options_and_keep_a_pinned_last_one(dev: list[scenes.Question]) -> None:
    pinned = 0
    for q in dev:
        main = list(q.choices(0).values())
        for roll in range(q.n_rolls):
            texts = list(q.choices(roll).values())
            assert sorted(texts) == sorted(main)
            if q.drawn.pinned:
                assert texts[-1] == q.drawn.pinned
                assert texts[:-1] == main[-1 - roll : -1] + main[: -1 - roll]
            else:
                assert texts == main[len(main) - roll :] + main[: len(main) - roll]
        pinned += q.drawn.pinned is not None
    assert 60 < pinned < 300


@pytest.mark.slow
def test_the_pinned_option_and_every_letter_are_right_now_and_then(dev: list[scenes.Question]) -> None:
    right_when_pinned = [q.drawn.answer == q.drawn.pinned for q in dev if q.drawn.pinned]
    letters = Counter(row["answer"] for row in scenes.rows())
    assert 0.1 < sum(right_when_pinned) / len(right_when_pinned) < 0.5
    assert all(letters[letter] > 0.15 * sum(letters.values()) for letter in "ABCD")


@pytest.mark.slow
def test_a_constant_letter_solves_no_question_with_all_its_copies() -> None:
    rows = defaultdict(list)
    for row in scenes.rows():
        rows[row["index"] % GROUP_STRIDE].append(row["answer"])
    solved = {letter: sum(set(answers) == {letter} for answers in rows.values()) for letter in "ABC"}
    assert solved == {"A": 0, "B": 0, "C": 0}  # D may be a pinned option, and right in all copies


def test_bytes_do_not_depend_on_what_else_was_drawn() -> None:
    alone = scenes.png(scenes.question("dev", scenes.LEAVES[4], 7).drawn)
    after_others = [scenes.png(scenes.question("dev", scenes.LEAVES[4], n).drawn) for n in (3, 9, 7)][-1]
    assert alone == after_others


def test_the_pixels_are_pinned() -> None:
    """One digest for the whole benchmark: raise scenes.VERSION when this has to change."""
    digests = [sha256_hex(q.drawn.image.tobytes()) + q.drawn.question for q in scenes.questions("dev", 2)]
    assert sha256_hex("".join(digests).encode())[:16] == PINNED


PINNED = "2d65dc545984c61d"


@given(st.integers(0, 2**32))
def test_with_none_keeps_the_number_of_options(seed: int) -> None:
    answer, wrong, pinned = with_none(Random(seed), "red", ["blue", "green", "black", "white"])
    options = {answer, *wrong, *([pinned] if pinned else [])}
    assert len(options) == 4
    assert (answer == "red") or (answer == pinned == NONE_OF_THESE and "red" not in options)
