"""The answer of a page in one line, for each way in which a comparison can come out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import recorded
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from made_boards import NOT_SHOWN, board, difference

from ssl4rl_bench.reports.board.board import Board
from ssl4rl_bench.reports.html.answer import board_answer

UNSURE = difference(**NOT_SHOWN)


def compared(*runs: tuple[str, float, int]) -> Board:
    """A board of runs with a label, a difference (0.02 is not shown) and a rank, best first."""
    made = board(
        *((label, {"Average": UNSURE if value == 0.02 else difference(value)}) for label, value, _ in runs)
    )
    ranks = [len(runs) + 1, *(rank for *_, rank in runs)]
    rows = [
        replace(row, cells=(*row.cells[:-1], replace(row.cells[-1], rank=rank)))
        for row, rank in zip(made.rows, ranks, strict=True)
    ]
    return replace(made, rows=tuple(rows))


def test_answers() -> None:
    cases = {
        "no second run": compared(),
        "one is better": compared(("new", 0.1, 1)),
        "one is worse": compared(("new", -0.1, 2)),
        "one cannot be told apart": compared(("new", 0.02, 1)),
        "two share the first rank": compared(("a", 0.1, 1), ("b", 0.07, 1), ("c", 0.04, 3)),
        "one of the best is not better than the baseline": compared(("a", 0.1, 1), ("b", 0.02, 1)),
        "all are worse": compared(("a", -0.05, 2), ("b", -0.17, 3)),
        "none is better": compared(("a", 0.02, 1), ("b", -0.17, 3)),
        "better, worse and unsure": compared(("a", 0.1, 1), ("b", 0.02, 2), ("c", -0.1, 4)),
        "many": compared(*((f"run-{index}", 0.3 - 0.01 * index, 1) for index in range(9))),
        "a run that is not ranked first": compared(("a", 0.1, 2), ("b", 0.08, 2)),
    }
    answers = {name: board_answer(made) for name, made in cases.items()}
    recorded.check_cases(
        "words/answers", {name: f"{one.text}.\n{one.rest}".rstrip() for name, one in answers.items()}
    )


def test_n_is_a_range_where_runs_answered_different_questions() -> None:
    made = board(("a", {"Average": difference(0.1)}), ("b", {"Average": difference(0.1, n=590)}))
    assert board_answer(made).text.endswith("n = 590 to 600")


@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 3)), min_size=1, max_size=6)
)
def test_only_runs_that_are_better_beyond_chance_are_the_best(runs: list[tuple[float, float, int]]) -> None:
    made = board(
        *(
            (f"run{index}", {"Average": difference(value, p_corrected=p)})
            for index, (value, p, _) in enumerate(runs)
        )
    )
    text = board_answer(made).text
    marks = {f"run{index}": difference(value, p_corrected=p).mark for index, (value, p, _) in enumerate(runs)}
    named = [
        label for label in marks if label in text.partition(" over ")[0] and text.startswith("Best: run")
    ]
    assert all(marks[label] == "better" for label in named)
    assert text.startswith("Best: run") is ("better" in marks.values())
    assert "-0.00" not in text


@pytest.mark.parametrize("label", ["<b>", "a\x1b[31m", "x" * 300])
def test_a_name_is_safe_to_print(label: str) -> None:
    text = board_answer(compared((label, 0.1, 1))).text
    assert "\x1b" not in text and text.startswith("Best: ")
