"""Numbers and names in tables and sentences: bounds, values that are missing or damaged, and Markdown."""

from __future__ import annotations

import html
import io
import math
import re
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.cells import (
    CellEstimate,
    blinding,
    cell_estimate,
    ci95,
    count,
    dig,
    escape,
    markdown_table,
    model_name,
    plain_table,
    short,
    value_and_interval,
)
from ssl4rl_bench.reports.text.numbers import (
    NO_DATA,
    interval,
    listed,
    p_is,
    p_value,
    percent,
    points,
    points_and_interval,
    span,
)

FRACTIONS = st.floats(-1.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"), (1.0, "100.00"), (0, "0.00"), (1, "100.00"), (0.99999, "100.00"), (0.00004, "0.00"),
        (0.72994, "72.99"), (0.72996, "73.00"), (-0.5, "-50.00"), (-0.0, "0.00"), (-1e-17, "0.00"),
        (-0.00004, "0.00"), (-0.00006, "-0.01"),
    ],
)  # fmt: skip
def test_a_fraction_is_percent_with_two_decimals_and_zero_has_no_sign(value: float, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, True, "0.5", [0.5], 10**400])
def test_what_is_not_a_finite_number_is_a_dash(value: Any) -> None:
    assert percent(value) == NO_DATA


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "+0.00"),
        (-0.0, "+0.00"),
        (-0.00004, "+0.00"),
        (0.02, "+2.00"),
        (-1.0, "-100.00"),
        (None, NO_DATA),
    ],
)
def test_a_difference_always_has_a_sign_and_zero_has_that_of_a_gain(value: float | None, text: str) -> None:
    assert points(value) == text


@settings(max_examples=examples(100), deadline=None)
@given(FRACTIONS)
def test_a_formatted_number_is_the_value_to_half_of_its_last_digit(value: float) -> None:
    for text in (percent(value), points(value)):
        assert abs(float(text) - 100 * value) <= 0.005 + 1e-9
        assert not re.fullmatch(r"-0\.00", text)
    assert points(value).lstrip("+") == percent(value)


def test_an_interval_has_both_ends_in_percent_or_in_points() -> None:
    assert interval((0.6914, 0.7624)) == "[69.14, 76.24]"
    assert interval((-0.02, 0.06), signed=True) == "[-2.00, +6.00]"
    assert interval((-0.000001, 0.0)) == "[0.00, 0.00]"
    assert interval(None) == interval(None, signed=True) == NO_DATA


def test_a_difference_in_a_sentence_leaves_out_an_interval_that_it_does_not_have() -> None:
    assert points_and_interval(0.02, (-0.02, 0.06)) == "+2.00 points [-2.00, +6.00]"
    assert points_and_interval(-0.02, None) == "-2.00 points"


def test_a_range_of_values_that_look_alike_is_one_value() -> None:
    assert span([0.2, 0.0567, 0.1]) == "5.67 to 20.00"
    assert span([0.1, 0.10001]) == span([0.1]) == "10.00"
    assert span([0.10004, 0.10006]) == "10.00 to 10.01"


@pytest.mark.parametrize(
    ("p", "cell", "sentence"),
    [
        (0.0, "<0.001", "p < 0.001"),
        (0.000999, "<0.001", "p < 0.001"),
        (0.001, "0.001", "p = 0.001"),
        (0.0125, "0.013", "p = 0.013"),
        (0.05, "0.050", "p = 0.050"),
        (1.0, "1.000", "p = 1.000"),
    ],
)
def test_a_p_value_has_three_decimals_and_is_never_zero(p: float, cell: str, sentence: str) -> None:
    assert (p_value(p), p_is(p)) == (cell, sentence)


def test_a_list_in_a_sentence_has_one_and() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c", "d"]) == "a, b, c and d"


@pytest.mark.parametrize("value", [None, 3, "text", [1], {"a": None}, {"a": {"b": 3}}, {"a": {"b": []}}])
def test_a_path_that_does_not_lead_to_a_mapping_leads_to_an_empty_one(value: Any) -> None:
    assert dig(value, "a", "b") == {}
    assert dig({"a": {"b": {"c": 1}}}, "a", "b") == {"c": 1}


@pytest.mark.parametrize(
    "ends",
    [None, [], [0.5], [None, 0.5], [0.1, 0.2, 0.3], [None, 0.1, 0.2], "ab", 5, {"low": 0.1}, [0.1, math.nan]],
)
def test_an_interval_that_does_not_have_two_numbers_is_none(ends: Any) -> None:
    assert ci95({"ci95": ends}) is None
    assert value_and_interval({"value": 0.5, "ci95": ends}) == ("50.00", NO_DATA)
    assert cell_estimate({"value": 0.5, "ci95": ends}) == CellEstimate(0.5, None)


def test_a_cell_with_an_interval_and_no_value_shows_both_as_they_are() -> None:
    assert value_and_interval({"ci95": [0.1, 0.25]}) == (NO_DATA, "[10.00, 25.00]")
    assert cell_estimate({"ci95": [0.1, 0.25]}) is None
    assert value_and_interval({}) == (NO_DATA, NO_DATA)


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, NO_DATA), (None, NO_DATA), (math.nan, NO_DATA), (1, "1"), (4329, "4329"), (12.0, "12")],
)
def test_no_questions_are_a_dash(n: Any, text: str) -> None:
    assert count({"n": n}) == text


@pytest.mark.parametrize(
    ("result", "name"),
    [
        ({}, "–"),
        ({"model": {"name": ""}}, "–"),
        ({"model": None}, "–"),
        ({"model": {"name": "a\tb\x1b[2J"}}, r"a b\u001b[2J"),
        ({"model": {"name": "x" * 200}}, "x" * 79 + "…"),
        ({"model": {"name": "m"}, "shard": "1/4"}, "m (shard 1/4)"),
        ({"model": {"name": "m"}, "engine": {"name": "mock", "options": {}}, "shard": "1/4"}, "m (mock, shard 1/4)"),
        ({"model": {"name": "m"}, "engine": {"name": "vllm"}}, "m"),
    ],
)  # fmt: skip
def test_a_model_s_name_says_what_a_reader_must_know(result: dict[str, Any], name: str) -> None:
    assert model_name(result) == name


def test_a_task_without_its_images_says_what_was_shown() -> None:
    result = {"tasks": {"a": {"image": "blank"}, "b": {"image": "\x1b[2J"}, "c": {}}}
    assert [blinding(result, task) for task in "abcd"] == ["image blank", r"image \u001b[2J", "", ""]


def test_a_task_s_name_is_short_and_safe() -> None:
    assert short("ssl4rl_scenes") == "scenes"
    assert short("other\u202e") == r"other\u202e"


# The reader of Markdown.

READER = MarkdownIt("commonmark").enable("table")


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=60) | st.text("ab .-+12\\`*_{}[]()<>#|~!&:;@/=\"'w", max_size=30))
def test_an_escaped_text_is_read_as_the_text_that_it_is(text: str) -> None:
    line = clean(text)
    shown = READER.renderInline(escape(line))
    assert html.unescape(shown).strip() == line.strip()


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.text("a|*`<>[]()\\_ &;#~!", max_size=12), min_size=3, max_size=3))
def test_hostile_cells_neither_add_nor_end_cells(cells: list[str]) -> None:
    texts = [clean(cell) for cell in cells]
    page = READER.render(markdown_table(("A", "B", "C"), [[escape(text) for text in texts]]))
    read = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert [html.unescape(cell) for cell in read] == [text.strip() for text in texts]


@pytest.mark.parametrize("host", ["www.example.org", "WWW.example.org", "seewww.example.org"])
def test_a_name_that_looks_like_a_host_is_not_made_a_link_by_github(host: str) -> None:
    # GitHub makes a link of every word that starts with "www."; an escaped full stop prevents it.
    assert "www." not in escape(host).lower()
    assert READER.renderInline(escape(host)) == host
    assert escape("Qwen2.5-VL") == "Qwen2.5-VL"


@pytest.mark.parametrize(
    "address", ["https://example.org", "me@example.org", "<https://example.org>", "[a](b)"]
)
def test_no_address_stays_one(address: str) -> None:
    assert not re.search(r"(?<!\\)[:@<>\[\]()]", escape(address))


def test_a_table_aligns_as_asked_and_repeats_the_last_side() -> None:
    assert markdown_table(("A", "B", "C", "D"), [["1", "2", "3", "4"]], "l-r").splitlines() == [
        "| A | B | C | D |",
        "| :--- | --- | ---: | ---: |",
        "| 1 | 2 | 3 | 4 |",
    ]


def test_a_table_without_rows_has_a_header_and_a_rule() -> None:
    assert markdown_table(("A", "B"), []) == "| A | B |\n| :--- | ---: |\n"


def test_a_corner_without_a_header_is_one_space_wide() -> None:
    assert markdown_table(("", "B"), []).splitlines()[0] == "| | B |"


# Tables on a terminal.


def printed(table: Table, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_markup_in_a_title_and_in_names_is_not_a_style() -> None:
    table = plain_table("[bold]title[/bold]", ("Model", "n"))
    table.add_row(Text("[red]a[/red]"), "1")
    lines = printed(table, 60)
    assert lines[0] == "[bold]title[/bold]" and lines[-1].split() == ["[red]a[/red]", "1"]


def test_wide_characters_are_counted_by_the_cells_that_they_take() -> None:
    table = plain_table("", ("Model", "n"))
    table.add_row(Text("模型"), "1")
    table.add_row(Text("abcd"), "2")
    first, second = printed(table, 40)[-2:]
    assert first == "模型  1" and second == "abcd  2"


def test_an_id_longer_than_a_word_may_be_broken_and_loses_nothing() -> None:
    name, number = "0123456789" * 6, "99.99"
    table = plain_table("", ("Model", "Score"))
    table.add_row(Text(name), number)
    lines = printed(table, 30)
    assert max(map(len, lines)) <= 30
    assert "".join(lines[2:]).replace(number, "").replace(" ", "") == name
    assert sum(number in line for line in lines) == 1


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 10**6).map(str), min_size=4, max_size=4), min_size=1, max_size=4),
    st.integers(24, 90),
)
def test_every_number_of_a_table_is_shown_once_per_cell_at_any_width(
    rows: list[list[str]], width: int
) -> None:
    table = plain_table("", ("Name", "Aa", "Bb", "Cc"))
    for index, (_, *numbers) in enumerate(rows):
        table.add_row(Text("row" + "xyzw"[index]), *numbers)
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    shown = sorted(re.findall(r"\d+", " ".join(lines)))
    assert shown == sorted(number for _, *numbers in rows for number in numbers)
