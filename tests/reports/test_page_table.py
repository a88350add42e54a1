"""The table of a page: the order of rows, drawings, links to questions, and notes on intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from made_boards import NOT_SHOWN, board, difference, probe

from ssl4rl_bench.comparison.result import Share
from ssl4rl_bench.reports.board.board import Board, BoardCell, BoardRow
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.html.links import LinkedSamples, questions_link
from ssl4rl_bench.reports.html.table import IntervalBar, Table, table

NONE = LinkedSamples()
ALL = LinkedSamples(frozenset({("scenes", "base"), ("scenes", "new")}))
UNSURE = difference(**NOT_SHOWN)


def measured(*values: float | None, n: int = 600) -> Board:
    """A board of runs named by their positions, with these values everywhere; the first is the baseline."""
    rows = [
        BoardRow(
            str(index),
            "checkpoint" if index else "baseline",
            None,
            (BoardCell(value, n, None if value is None else (value - 0.1, value + 0.1), 0.0),) * len(COLUMNS),
        )
        for index, value in enumerate(values)
    ]
    return replace(board(), rows=tuple(rows))


def split(reading: float, answers: float) -> Any:
    shown = difference(
        reading + answers, from_reading=Share(reading, None), from_answers=Share(answers, None)
    )
    return table(board(("new", {"Average": shown})), NONE).rows[-1].split


def test_rows_are_sorted_by_average_and_published_rows_stand_apart() -> None:
    printed = BoardRow("card", "published", None, (BoardCell(0.9, None, None, None),) * len(COLUMNS))
    made = measured(0.5, 0.4, None, 0.6)
    arranged = table(replace(made, rows=(*made.rows, printed)), NONE)
    assert [row.label for row in arranged.rows] == ["3", "0", "1", "2"]
    assert [row.label for row in arranged.published] == ["card"]
    assert [row.label for row in arranged.candidates] == ["3", "1", "2"]


def test_intervals_share_a_scale_from_the_least_end_to_the_greatest() -> None:
    """From 0.3 to 0.7 the drawing has x from 2 to 98."""
    bars = {row.label: row.interval for row in table(measured(0.4, 0.5, 0.6), NONE).rows}
    assert bars["0"] == IntervalBar(2.0, 50.0, 26.0, 26.0)
    assert bars["2"] == IntervalBar(50.0, 98.0, 74.0, 26.0)


def test_a_difference_is_drawn_on_a_scale_with_0() -> None:
    (row,) = table(board(("new", {"Average": difference(0.16)})), NONE).candidates
    assert row.difference == IntervalBar(60.0 - 0.4, 98.0, 78.8, 2.0)


@settings(max_examples=examples(60))
@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_the_parts_of_a_bar_stay_inside_and_begin_at_0_or_at_each_other(
    reading: float, answers: float
) -> None:
    bar = split(reading, answers)
    for left, width in (bar.reading, bar.answers):
        assert width >= 0.0 and 1.9 <= left <= left + width <= 98.1
    ends = {end for left, width in (bar.reading, bar.answers) for end in (left, round(left + width, 1))}
    assert any(abs(end - bar.zero) <= 0.11 for end in ends)


def test_parts_of_opposite_signs_lie_on_both_sides_of_0() -> None:
    bar = split(-0.1, 0.3)
    assert sum(bar.reading) == pytest.approx(bar.zero, abs=0.1) == pytest.approx(bar.answers[0], abs=0.1)


def test_n_stands_in_the_header_only_if_all_measured_rows_share_it() -> None:
    one, other = measured(0.5, 0.6), measured(0.5, 0.6, n=599)
    assert table(one, NONE).ns == (600,) * len(COLUMNS)
    mixed = table(replace(one, rows=(one.rows[0], other.rows[1])), NONE)
    assert mixed.ns == (None,) * len(COLUMNS)
    assert [row.average.n for row in mixed.rows] == [599, 600]


@pytest.mark.parametrize(
    ("ends", "p", "noted"),
    [
        ((0.01, 0.2), 0.06, True),
        ((-0.2, -0.01), 0.06, True),
        ((-0.01, 0.2), 0.06, False),
        ((0.01, 0.2), 0.04, False),
    ],
)
def test_an_interval_without_0_is_explained_only_if_p_shows_nothing(
    ends: tuple[float, float], p: float, noted: bool
) -> None:
    shown = difference(sum(ends) / 2, ci95=ends, p_corrected=p)
    made = table(board(("new", {"Average": shown})), NONE)
    assert made.candidates[0].average.is_undecided is made.needs_note is noted
    rows = [probe("base"), probe("new", shown)]
    probed = table(board(("new", {"Average": UNSURE})), NONE, rows, {"new": ("rotation",)})
    assert probed.needs_note is noted


def test_cells_lead_to_their_questions() -> None:
    cells = {"Average": difference(-0.1), "Logical": difference(0.1), "Coarse": UNSURE}
    made = table(board(("new", cells)), ALL)
    (row,), base = made.candidates, made.rows[0]
    links = {one.column.header: one.link for one in (row.average, *row.abilities)}
    assert made.has_links
    assert links["Average"] is not None
    assert links["Average"].href == "#task=scenes&a=base&b=new&show=lost&count=circular_micro"
    assert links["Average"].label == "questions that new lost"
    assert links["Logical"] and parse_qs(links["Logical"].href[1:]) == {
        "task": ["scenes"], "a": ["base"], "b": ["new"], "show": ["gained"],
        "level": ["l2"], "category": ["logic_reasoning"], "count": ["circular_micro"],
    }  # fmt: skip
    assert links["Coarse"] and "show=flipped" in links["Coarse"].href
    assert links["Relation"] is None  # not compared
    assert base.average.link is not None
    assert base.average.link.href == "#task=scenes&a=base&show=a-wrong&count=circular_micro"


@pytest.mark.parametrize("known", [NONE, LinkedSamples(frozenset({("scenes", "base"), ("other", "new")}))])
def test_without_their_questions_cells_have_no_links(known: LinkedSamples) -> None:
    made = table(board(("new", {"Average": difference()})), known)
    assert made.candidates[0].average.link is None


@settings(max_examples=examples(60))
@given(st.text(), st.text(min_size=1))
def test_any_name_comes_back_from_a_link(baseline: str, run: str) -> None:
    baseline, run = (text.encode("utf-8", "replace").decode() for text in (baseline, run))
    keys = parse_qs(questions_link("scenes", baseline, run, "lost", COLUMNS[0])[1:], keep_blank_values=True)
    assert keys["a"] == [baseline] and keys["b"] == [run] and keys["category"] == [COLUMNS[0].name]


def own_probes(trained: tuple[str, ...] | None) -> Table:
    rows = [probe("base"), probe("new", difference()), probe("new", UNSURE, task="ssl4rl_ssl_position")]
    return table(board(("new", {"Average": UNSURE})), NONE, rows, {"new": trained})


@pytest.mark.parametrize(
    ("trained", "tasks"),
    [
        (("ssl_rotation_90",), ["ssl4rl_ssl_rotation_90"]),
        (("rotation",), ["ssl4rl_ssl_rotation_90"]),
        (("ssl_rotation_90", "ssl_position"), ["ssl4rl_ssl_rotation_90", "ssl4rl_ssl_position"]),
        (("mix",), []),
        (None, []),
    ],
)
def test_the_own_probe_is_that_of_the_training_task(
    trained: tuple[str, ...] | None, tasks: list[str]
) -> None:
    made = own_probes(trained)
    assert [row.task for row in made.candidates[0].probes] == tasks
    assert made.has_probes is bool(tasks)


@pytest.mark.parametrize(("value", "tint"), [(0.4, "gain-5"), (-0.4, "loss-5"), (0.001, "gain-1"), (0.0, "")])
def test_tints_have_the_sign_and_the_size_of_a_difference(value: float, tint: str) -> None:
    made = table(board(("new", {"Average": difference(value), "Logical": difference(0.4)})), NONE)
    assert made.candidates[0].average.tint == tint
    assert made.strongest == 0.4
