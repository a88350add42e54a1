"""Boards at their limits: equal runs, ties, one question, nothing to compare; and what their tables show then."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from made_boards import NOT_SHOWN, board, difference, probe
from rich.table import Table
from simulated import TASK, run

from ssl4rl_bench.comparison.result import BestDifference
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.reports.board.board import Board, BoardCell, BoardRow, build_board
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.board.export import to_csv, to_json, to_markdown
from ssl4rl_bench.reports.board.latex import to_latex
from ssl4rl_bench.reports.board.probes import probe_notes, probe_rows, probe_tasks
from ssl4rl_bench.reports.board.text import (
    board_table,
    category,
    difference_table,
    probe_difference_table,
    winners,
)
from ssl4rl_bench.reports.html.figures import bars, radar
from ssl4rl_bench.reports.html.links import LinkedSamples
from ssl4rl_bench.reports.html.table import table

AVERAGE = len(COLUMNS) - 1
UNSURE = difference(**NOT_SHOWN)
PROBE = {"kind": "rotation", "difficulty": "step 90", "chance": 0.25}


def some(n: int, k: int) -> np.ndarray:
    """The first k of n questions are right."""
    return (np.arange(n) < k).astype(float)


def cells(table: Table) -> list[list[str]]:
    """The texts of a table by row."""
    return [list(map(str, row)) for row in zip(*(column.cells for column in table.columns), strict=True)]


def ranks(made: Board, column: int = AVERAGE) -> dict[str, int | None]:
    return {row.label: row.cells[column].rank for row in made.rows}


@pytest.fixture(scope="module")
def equal() -> Board:
    """Two runs with the same replies."""
    return build_board(run("base", some(80, 40)), [run("twin", some(80, 40))], TASK)


def test_equal_runs_differ_by_exactly_0_and_share_the_first_rank(equal: Board) -> None:
    (comparison,) = equal.comparisons
    for cell in comparison.cells:
        assert (cell.value, cell.p, cell.mark, cell.gained, cell.lost, cell.needed) == (0, 1, "", 0, 0, None)
    assert ranks(equal) == {"base": 1, "twin": 1}
    assert [row.rank for row in table(equal, LinkedSamples()).rows] == ["1=", "1="]


def test_a_difference_of_0_is_shown_with_a_sign_and_an_interval_on_both_sides(equal: Board) -> None:
    table = difference_table(equal.comparisons[0])
    (row,) = [row for row in cells(table) if row[0] == "Average"]
    assert row[:5] == ["Average", "80", "50.00", "50.00", "+0.00"]
    low, high = map(float, row[5].strip("[]").split(", "))
    assert low == -high < 0
    assert row[6:8] == ["1.000", "1.000"]
    assert row[9:] == ["0/0", "+0.00", "+0.00"]


def test_columns_without_a_question_have_no_rank_and_no_difference(equal: Board) -> None:
    relation = [column.header for column in COLUMNS].index("Relation")
    assert ranks(equal, relation) == {"base": None, "twin": None}
    assert equal.rows[1].cells[relation].difference is None
    assert equal.improvement[relation] is None
    assert [row.cells[relation].rank for row in equal.rows] == [None, None]
    assert bars(equal, relation) == ""


def test_ranks_count_the_runs_that_are_better_beyond_chance() -> None:
    made = build_board(
        run("half", some(100, 50)), [run("all", some(100, 100)), run("none", some(100, 0))], TASK
    )
    assert ranks(made) == {"half": 2, "all": 1, "none": 3}


def test_runs_on_one_question_cannot_be_ranked_apart() -> None:
    made = build_board(run("wrong", [0.0]), [run("right", [1.0])], TASK)
    assert ranks(made) == {"wrong": 1, "right": 1}
    cell = made.rows[1].cells[AVERAGE].difference
    assert cell is not None
    assert (cell.value, cell.n, cell.mark, cell.mde) == (1.0, 1, "", 1.0)


@pytest.mark.slow
@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=3))
def test_ranks_do_not_depend_on_the_order_of_the_candidates(right: list[int]) -> None:
    base = run("base", some(60, 30))
    candidates = [run(f"run {index}", some(60, k)) for index, k in enumerate(right)]
    first, other = (ranks(build_board(base, order, TASK)) for order in (candidates, candidates[::-1]))
    assert other == first
    assert min(rank for rank in first.values() if rank is not None) == 1
    for label, k in zip((row.label for row in candidates), right, strict=True):
        better = [other for other in (*right, 30) if other > k]
        assert 1 <= (first[label] or 0) <= 1 + len(better)


def test_a_run_alone_is_a_board_without_comparisons() -> None:
    made = build_board(run("base", some(20, 10)), [], TASK)
    assert [row.kind for row in made.rows] == ["baseline"]
    assert made.comparisons == ()
    assert set(made.improvement) == {None}
    assert winners(made) == ""
    assert "Maximal" not in "".join(map("".join, cells(board_table(made))))


def test_an_unknown_aggregation_is_named_with_the_closest_one() -> None:
    with pytest.raises(UsageError, match=r"^no aggregation circular .*did you mean circular_micro\?$"):
        build_board(run("base", some(4, 2)), [], TASK, aggregation="circular")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("coarse_perception", "Coarse"), ("overall", "Average"), ("ocr\n\x1b[1m", "ocr \\u001b[1m"), ("", "")],
)
def test_categories_have_the_headers_of_the_card_or_their_own_clean_names(name: str, shown: str) -> None:
    assert category(name) == shown


def test_the_terminal_s_table_has_dashes_for_what_was_not_measured() -> None:
    empty = BoardRow("gone", "checkpoint", None, (BoardCell(None, None, None, None),) * len(COLUMNS))
    made = replace(board(), rows=(*board().rows, empty))
    assert cells(board_table(made, intervals=True))[1] == ["gone", *["–"] * len(COLUMNS), "–", "–"]
    assert cells(board_table(made, intervals=True))[0][1] == "50.00\n[46.00, 54.00]"
    assert cells(board_table(made))[0][1] == "50.00"


def test_the_best_differences_stand_below_the_table_with_their_p() -> None:
    best = BestDifference("overall", "overall", "new", -0.01, 0.0004, 1)
    made = board(("new", {"Average": UNSURE}), improvement=(*[None] * AVERAGE, best))
    *_, gains, ps = cells(board_table(made))
    assert gains[: AVERAGE + 2] == ["Maximal Improvement", *["–"] * AVERAGE, "-1.00"]
    assert ps[: AVERAGE + 2] == ["  p (max-T)", *["–"] * AVERAGE, "<0.001"]


def test_a_radar_needs_three_abilities() -> None:
    def with_abilities(n: int) -> Board:
        values = [0.5] * n + [None] * (AVERAGE - n) + [0.5]
        row = tuple(BoardCell(value, 9, None, 0.0) for value in values)
        return replace(
            board(), rows=(BoardRow("base", "baseline", None, row), BoardRow("new", "checkpoint", None, row))
        )

    two, three = with_abilities(2), with_abilities(3)
    assert radar(two, two.rows[1]) == ""
    assert "new on 3 abilities next to base" in radar(three, three.rows[1])


def test_nothing_is_a_document_of_nothing() -> None:
    assert to_markdown([]) == to_latex([]) == ""
    value = json.loads(to_json([]))
    assert {key: value[key] for key in ("schema", "boards", "probes")} == {
        "schema": 1,
        "boards": [],
        "probes": [],
    }


def test_whole_numbers_stay_whole_in_csv_where_some_are_missing() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([board(("new", {"Average": difference()}))]))))
    (average,) = [row for row in rows if row["model"] == "new" and row["column"] == "Average"]
    assert {key: average[key] for key in ("n", "gained", "lost", "left_out")} == {
        "n": "600",
        "gained": "100",
        "lost": "26",
        "left_out": "0",
    }
    assert {row["gained"] for row in rows if row["model"] == "base"} == {""}


def probed(label: str, k: int, **more: Any) -> Any:
    return run(label, some(40, k), task="ssl4rl_ssl_rotation_90", probe=PROBE, **more)


def test_only_probes_that_all_runs_have_are_compared() -> None:
    both = probed("base", 10)
    assert probe_tasks([both, probed("new", 20)]) == ["ssl4rl_ssl_rotation_90"]
    assert probe_tasks([both, run("new", some(4, 2))]) == []
    assert probe_rows(both, [], []) == []


def test_a_probe_without_a_result_has_dashes_beside_its_difference() -> None:
    base, new = probe_rows(probed("base", 10), [probed("new", 30)], ["ssl4rl_ssl_rotation_90"])
    assert base.cells() == new.cells() == ["–"] * 8
    assert (base.difference, new.is_baseline) == (None, False)
    first, second = cells(probe_difference_table([base, new]))
    assert first == ["ssl_rotation_90", "base", *["–"] * 9, "", "", "", "", "–"]
    assert second[11] == "+50.00▲"


def test_a_note_on_some_probes_names_them() -> None:
    rows = [
        probe("new", notes=("Few.",)),
        probe("new", task="ssl4rl_ssl_position"),
        probe("old", notes=("Few.",)),
    ]
    assert probe_notes(rows) == ["ssl_rotation_90: Few."]
    assert probe_notes(rows[:1]) == ["Few."]
    assert probe_notes([]) == []
