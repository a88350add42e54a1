"""Circular groups: what the rule accepts, and what it finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench_data import located, picture, question, questions

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.mmbench.circular import Checked, Copy, check_rows, defect

OPTIONS = st.lists(st.text("abc甲", min_size=1, max_size=3), min_size=2, max_size=5)


def copies(rows: list[dict[str, Any]]) -> list[Copy]:
    return [
        Copy(
            roll=row["index"] // 1_000_000,
            choices={letter: row[letter] for letter in "ABCDE" if row.get(letter)},
            answer=row["answer"],
        )
        for row in rows
    ]


def checked(rows: list[dict[str, Any]], **options: Any) -> Checked:
    return check_rows("data.tsv", located(rows), **options)


@given(OPTIONS, st.integers(0, 4), st.booleans(), st.randoms())
def test_every_group_made_by_the_rule_is_whole(
    options: list[str], right: int, pinned: bool, random: Any
) -> None:
    """Equal option texts and the order of the rows do not matter."""
    pinned = pinned and len(options) > 2
    group = copies(question(0, options, right=right % len(options), pinned=pinned))
    random.shuffle(group)
    assert defect(group) is None


@given(st.integers(3, 5), st.booleans(), st.data())
def test_a_copy_that_is_missing_is_found(n: int, pinned: bool, data: st.DataObject) -> None:
    group = copies(question(0, ["one", "two", "three", "four", "five"][:n], pinned=pinned and n > 3))
    lost = data.draw(st.integers(0, len(group) - 1))
    del group[lost]
    if len(group) > 1:
        assert defect(group) == f"circular copy {lost} is missing"


def test_the_documented_rotation() -> None:
    """One step to the right for each copy; the answer's letter moves along."""
    rows = question(0, ["w", "x", "y", "z"], right=1)
    assert [[row[letter] for letter in "ABCD"] for row in rows] == [
        list("wxyz"),
        list("zwxy"),
        list("yzwx"),
        list("xyzw"),
    ]
    assert [row["answer"] for row in rows] == list("BCDA")
    assert defect(copies(rows)) is None


def test_the_last_option_may_stay_last() -> None:
    rows = question(0, ["w", "x", "y", "none of these"], pinned=True)
    assert len(rows) == 3
    assert defect(copies(rows)) is None


def test_rotated_the_other_way_is_no_rotation_by_the_rule() -> None:
    rows = question(0, ["w", "x", "y"])
    texts = [[row[letter] for letter in "ABC"] for row in rows]
    rows[1] |= dict(zip("ABC", texts[2], strict=True)) | {"answer": rows[2]["answer"]}
    rows[2] |= dict(zip("ABC", texts[1], strict=True)) | {"answer": "B"}
    assert defect(copies(rows)) == "its circular copies are not rotations of the main row's options"


def test_other_options_another_answer_and_twice() -> None:
    rows = question()
    assert defect(copies([*rows[:3], rows[3] | {"A": "pink"}])) == (
        "circular copy 3 has other options than the main row"
    )
    assert defect(copies([*rows[:3], rows[3] | {"answer": "A"}])) == (
        "circular copy 3 has another right answer than the main row"
    )
    assert defect(copies([*rows, rows[2]])) == "circular copy 2 appears twice"


def test_a_main_row_alone_is_whole_only_among_its_like() -> None:
    alone = [row for row in questions(3) if row["index"] < 1_000_000]
    assert not checked(alone).circular
    with pytest.raises(DataError, match=r"row 2 \(index 1\): its circular copies are missing"):
        checked([row for row in questions(2) if row["index"] not in (1000001, 2000001, 3000001)])


@pytest.mark.parametrize(
    ("column", "value"), [("question", "another"), ("hint", "h"), ("category", "ocr"), ("image", picture(99))]
)
def test_copies_that_ask_something_else(column: str, value: Any) -> None:
    rows = questions(2)
    rows[-1][column] = value
    with pytest.raises(DataError, match="its circular copies differ"):
        checked(rows)


def test_the_refusal_names_file_row_index_and_fix() -> None:
    rows = questions(3)
    rows[4]["answer"] = "Z"
    rows[5]["image"] = b""
    with pytest.raises(DataError) as error:
        checked(rows)
    assert str(error.value) == (
        "data.tsv, row 6 (index 1000002): the image cannot be used, it is empty: correct the data, or leave "
        "the question out with --skip-bad. 2 questions have bad rows."
    )


def test_bad_groups_can_be_left_out_and_are_counted() -> None:
    rows = questions(4)
    rows[4]["answer"] = "Z"
    result = checked([*rows, rows[1], rows[2] | {"index": "x"}], skip_bad=True)
    assert {row.group for row in result.rows} == {2, 3}
    assert result.n_groups_skipped == 2
    assert [problem.index for problem in result.problems] == [None, 1000000, 1]


def test_nothing_left() -> None:
    with pytest.raises(DataError, match="no question without a bad row"):
        checked([row | {"answer": "Z"} for row in questions(1)], skip_bad=True)
