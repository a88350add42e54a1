"""Which tables of a card are read: damaged ones, nested code blocks, comments, sections, and headers of any kind."""

from __future__ import annotations

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.card_audit.audit import audit_card, unread, unread_note
from ssl4rl_bench.reports.card_audit.report import audit_json, audit_lines
from ssl4rl_bench.reports.card_audit.tables import MAX_COLUMNS, MAX_LINE, CardTable, find_tables

TABLE = """| Model | A | B |
|---|---|---|
| Base | 50.0 | 60.0 |
| Ours | 55.0 | 61.0 |
"""


def only(text: str) -> CardTable:
    (table,) = find_tables(text)
    return table


def values(table: CardTable) -> list[list[str | None]]:
    return [[None if cell.value is None else str(cell.value) for cell in row] for row in table.cells]


def test_a_table_has_its_title_the_line_of_its_header_and_its_cells() -> None:
    table = only("# Card\n\nText.\n\n## Results of *ours*\n\n" + TABLE)
    assert (table.title, table.line) == ("Results of ours", 7)
    assert (table.headers, table.labels) == (("A", "B"), ("Base", "Ours"))
    assert values(table) == [["50.0", "60.0"], ["55.0", "61.0"]]


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace("| Model", "Model").replace("\n| ", "\n"),
        TABLE.replace("|---|---|---|", "|:--|:-:|--:|"),
        TABLE.replace("|---|---|---|", "--- | --- | ---"),
        TABLE.replace("\n", "   \n"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("|", "  |  "),
        "> " + TABLE.replace("\n|", "\n> |"),
        "   " + TABLE.replace("\n|", "\n   |"),
    ],
    ids=["no outer bars", "aligned", "bare rule", "trailing blanks", "CRLF", "wide", "quoted", "indented"],
)
def test_a_table_is_the_same_however_it_is_written(text: str) -> None:
    table, plain = only(text), only(TABLE)
    assert (table.headers, table.labels, values(table)) == (plain.headers, plain.labels, values(plain))


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("| Short | 1.0 |", ["1.0", None]),
        ("| Long | 1.0 | 2.0 | 3.0 | 4.0 |", ["1.0", "2.0"]),
        ("| Words | 1.0 | see text |", ["1.0", None]),
        ("| a\\|b | 1.0 | 2.0 |", ["1.0", "2.0"]),
        ("|  | 1.0 | 2.0 |", ["1.0", "2.0"]),
        ("| Open | 1.0 | 2.0", ["1.0", "2.0"]),
    ],
)
def test_a_damaged_row_keeps_the_cells_that_it_has(row: str, cells: list[str | None]) -> None:
    table = only(TABLE + row + "\n")
    assert values(table)[2] == cells
    assert len(table.labels) == 3


def test_an_escaped_bar_is_part_of_a_label() -> None:
    assert only(TABLE + "| a\\|b | 1.0 | 2.0 |\n").labels[2] == "a|b"


@pytest.mark.parametrize(
    "text",
    [
        "| Model | A | B |\n|---|---|---|\n",
        "| Model | A | B |\n|---|---|---|\n| Base | 50.0 | 60.0 |\n",
        TABLE.replace("|---|---|---|\n", ""),
        TABLE.replace("50.0", "x").replace("60.0", "y"),
        "|---|---|\n",
        "| A |\n|---|\n| 1.0 |\n| 2.0 |\n",
    ],
    ids=["no rows", "one row", "no rule", "one row of numbers", "only a rule", "one column"],
)
def test_what_has_fewer_than_two_rows_of_numbers_is_no_table(text: str) -> None:
    assert find_tables(text) == []
    with pytest.raises(DataError, match="no table of results"):
        audit_card(text)


def test_a_first_column_of_numbers_names_the_rows() -> None:
    table = only("| Step | A |\n|---|---|\n| 100 | 50.0 |\n| 200 | 55.0 |\n")
    assert (table.headers, table.labels) == (("A",), ("100", "200"))


def test_labels_of_several_columns_are_joined() -> None:
    table = only("| Kind | Model | A |\n|---|---|---|\n| SSL | Rotation | 50.0 |\n| | Jigsaw | 55.0 |\n")
    assert table.labels == ("SSL Rotation", "Jigsaw")


def test_a_line_of_words_begins_a_section_and_an_empty_line_does_not() -> None:
    text = TABLE + "| *Large* | | |\n| X | 70.0 | 80.0 |\n| | | |\n| Y | 71.0 | 81.0 |\n| The end | | |\n"
    table = only(text)
    assert table.labels == ("Base", "Ours", "X", "Y") and table.sections == (2,)


def test_a_second_line_of_headers_has_the_arrow_of_its_group() -> None:
    table = only(
        "| Model | Quality ↑ | | Cost ↓ | |\n|---|---|---|---|---|\n| | A | B | C | D ↑ |\n"
        "| Base | 1.0 | 2.0 | 3.0 | 4.0 |\n| Ours | 1.5 | 2.5 | 3.5 | 4.5 |\n"
    )
    assert table.headers == ("A ↑", "B ↑", "C ↓", "D ↑")


def test_columns_of_words_are_named_as_not_read() -> None:
    rows = "| Base | 50.0 | low | 60.0 | |\n| Ours | 55.0 | high | 61.0 | |\n"
    table = only("| Model | A | Level | B | Notes |\n|---|---|---|---|---|\n" + rows)
    assert table.headers == ("A", "B") and table.dropped == ("Level",)


def test_rows_and_columns_change_places_twice_without_loss() -> None:
    table = only(TABLE)
    turned = table.transposed()
    assert (turned.headers, turned.labels, turned.turned) == (table.labels, table.headers, True)
    assert values(turned) == [["50.0", "55.0"], ["60.0", "61.0"]]
    assert turned.transposed() == table


def test_limits_of_width_and_length() -> None:
    def wide(n: int) -> str:
        return "".join(f"| {' | '.join(row)} |\n" for row in (["x"] * n, ["-"] * n, ["1"] * n, ["2"] * n))

    assert len(only(wide(MAX_COLUMNS)).headers) == MAX_COLUMNS - 1
    assert find_tables(wide(MAX_COLUMNS + 1)) == []
    assert only(TABLE + f"| {'x' * MAX_LINE} | 1.0 | 2.0 |\n").labels == ("Base", "Ours")


# Plain text.


def test_words_and_numbers_in_columns_are_a_table_below_a_header_of_words() -> None:
    table = only("Results\n\nModel OCR Chart QA\nOur model 50.0 60.0 70.0\nBase 1.5 2.5 3.5\n")
    assert (table.headers, table.labels) == (("OCR", "Chart", "QA"), ("Our model", "Base"))
    assert (table.title, table.line) == ("Results", 3)


def test_tabs_keep_a_header_of_two_words_together() -> None:
    table = only("Model\tChart QA\tOCR\nOurs\t50.0\t60.0\nBase\t1.5\t2.5\n")
    assert table.headers == ("Chart QA", "OCR")


def test_a_row_with_fewer_numbers_than_most_is_left_out_and_more_are_part_of_its_label() -> None:
    text = "Model A B C\nX 1.0 2.0 3.0\nShort 1.0 2.0\nQwen 3 4.0 5.0 6.0\nY 7.0 8.0 9.0\n"
    table = only(text)
    assert table.labels == ("X", "Qwen 3", "Y")
    assert values(table)[1] == ["4.0", "5.0", "6.0"]


@pytest.mark.parametrize(
    "text",
    [
        "In 2024 we had 1 2\nthen 3 4\n",
        "A 1 2\n\n\n\n\n\nX 1.0 2.0\nY 3.0 4.0\n",
        "Model\nX 1.0 2.0\nY 3.0 4.0\n",
        "Model 2023 2024\nX 1.0 2.0\n",
        "Model A B\n1.0 2.0\n3.0 4.0\n",
    ],
    ids=["prose", "a header too far above", "a header too short", "one row", "no labels"],
)
def test_numbers_in_prose_are_no_table(text: str) -> None:
    assert find_tables(text) == []


def test_a_change_in_brackets_belongs_to_the_number_before_it() -> None:
    table = only("Model A B\nBase 50.0 60.0\nOurs 55.0 (+5.0) 59.0 ( ↓ 1.0 )\n")
    assert values(table) == [["50.0", "60.0"], ["55.0", "59.0"]]
    assert [str(cell.delta) for cell in table.cells[1]] == ["5.0", "-1.0"]


def test_lines_of_a_pipe_table_are_not_read_again_as_plain_text() -> None:
    assert len(find_tables("Model A B\n" + TABLE)) == 1


# Code blocks and comments.


@pytest.mark.parametrize(
    "before",
    [
        "```\n~~~\n```\n",
        "~~~\n```\n~~~\n",
        "````\n```\n````\n",
        "```python\nx\n```\n",
        "```\n```python\n```\n",
        "```\n````\n",
        "```x``` is code in a line\n",
        "    ```\n",
        "``\n",
    ],
)
def test_a_code_block_ends_at_a_fence_of_its_kind_that_is_no_shorter(before: str) -> None:
    table = only(before + "\n" + TABLE)
    assert table.line == before.count("\n") + 2
    assert unread(before + "\n" + TABLE) == {}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("```", "```"), ("```md", "```"), ("~~~ md", "~~~~"), ("````\n```", "```\n````"), ("```\n~~~", "~~~\n```"),
        ("```", ""), ("  ```", "```"), ("> ```", "> ```"),
    ],
)  # fmt: skip
def test_a_table_in_a_code_block_is_counted_and_not_read(start: str, end: str) -> None:
    text = f"{start}\n{TABLE}{end}\n"
    assert find_tables(text) == []
    assert unread(text) == {"code block": 1}
    with pytest.raises(DataError, match="1 table in a code block: write them in Markdown"):
        audit_card(text)


@pytest.mark.parametrize("start", ["<!--", "<!-- old:", "  <!--", "<!-- a -->\n<!--"])
@pytest.mark.parametrize("end", ["-->", "more -->", ""])
def test_a_table_in_a_comment_is_not_part_of_the_card(start: str, end: str) -> None:
    text = f"{start}\n{TABLE}{end}\n"
    assert find_tables(text) == [] and unread(text) == {}


def test_a_comment_changes_no_line_number_and_is_no_title() -> None:
    table = only("## Results\n<!-- two\nlines -->\n\n" + TABLE)
    assert (table.title, table.line) == ("Results", 5)
    marked = only(f"## Results\n<!-- ssl4rl:evaluation -->\n{TABLE}<!-- /ssl4rl:evaluation -->\n")
    assert (marked.title, marked.labels) == ("Results", ("Base", "Ours"))


def test_a_comment_inside_of_a_line_hides_nothing_below_it() -> None:
    assert only("Write `<!--` to begin a comment.\n\n" + TABLE).labels == ("Base", "Ours")


def test_tables_in_other_languages_are_counted_by_kind() -> None:
    rows = "<tr><td>Base</td><td>50.0</td></tr>\n<tr><td>Ours</td><td>55.0</td></tr>\n"
    latex = "\\begin{tabular}{lr}\nBase & 50.0 \\\\\nOurs & 55.0 \\\\\n\\end{tabular}\n"
    text = f"<table>\n{rows}</table>\n\n{latex}\n<table><tr><td>words</td></tr></table>\n"
    assert unread(text) == {"HTML": 1, "LaTeX": 1}
    assert unread(f"```\n{text}```\n") == {"code block": 2}
    assert unread(f"<!-- {text} -->") == {}
    assert unread("") == {}


def test_what_was_not_read_is_said_with_its_number() -> None:
    assert unread_note("HTML", 1) == "1 table in HTML: write them in Markdown to have them checked"
    assert unread_note("code block", 2).startswith("2 tables in a code block: ")


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.sampled_from(["```", "~~~", "````", "``` x", "text", "<!--", "-->", "> ```"]), max_size=8))
def test_every_line_of_a_card_is_read_as_prose_as_code_or_as_neither(lines: list[str]) -> None:
    text = "\n".join([*lines, "", TABLE])
    n_tables, n_code = len(find_tables(text)), unread(text).get("code block", 0)
    assert n_tables + n_code <= 1
    for table in find_tables(text):
        assert table.line == len(lines) + 2 and table.labels == ("Base", "Ours")


# The report of an audit.


def test_a_report_shows_hostile_texts_on_one_line_each() -> None:
    text = f"## \x1b[2J\u202etitle\n\n{TABLE}| Gain \x1b[31m | 9.0 | 1.0 |\n"
    audits = audit_card(text)
    lines = [line for line in audit_lines(audits, {}) if isinstance(line, str)]
    assert not any("\x1b" in line or "\u202e" in line or "\n" in line for line in lines)
    assert lines[0].startswith(r"\u001b[2J\u202etitle (3 rows, 2 columns, line 3): ")
    made = audit_json(audits, "card.md", {})
    assert made["tables"][0]["title"] == "\x1b[2J\u202etitle"


def test_a_report_without_findings_ends_in_its_totals() -> None:
    *_, last = audit_lines(audit_card(TABLE), {})
    assert last == "findings: 0; derived cells recomputed: 0; tables: 1"
    lines = list(audit_lines(audit_card(TABLE), {"HTML": 2}))
    assert lines[-2:] == [
        "not checked: 2 tables in HTML: write them in Markdown to have them checked",
        "findings: 0; derived cells recomputed: 0; tables: 1; tables not checked: 2",
    ]
    assert lines[0] == "a table without a title (2 rows, 2 columns, line 1): 0 derived cells recomputed"


def test_the_json_of_an_audit_counts_findings_over_all_tables() -> None:
    wrong = TABLE + "| Gain | 5.0 | 9.0 |\n"
    made = audit_json(audit_card(f"{wrong}\n\n{wrong}"), "card.md", {"LaTeX": 1})
    assert (made["n_findings"], made["n_not_checked"], made["not_checked"]) == (2, 1, {"LaTeX": 1})
    assert [table["n_checked"] for table in made["tables"]] == [2, 2]
    (finding,) = made["tables"][0]["findings"]
    assert (finding["row"], finding["column"], finding["printed"], finding["expected"]) == (
        "Gain",
        "B",
        "9.0",
        "1.0",
    )
