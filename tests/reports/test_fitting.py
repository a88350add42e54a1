"""Tables on terminals of any width: no number is broken, and what is not shown is named."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbers_shown import broken_numbers
from rich.console import Console

from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.reports.text.fitting import Narrowing

HEADERS = ("Model", "Logical", "Relation", "n", "95% interval")
ROWS = (
    ("base", "61.77", "41.54", "1164", "[69.14, 76.24]"),
    ("Qwen2.5-VL-3B-Instruct after 150 steps", "65.84", "80.54", "1164", "[75.01, 81.50]"),
)


NARROWING = Narrowing(drop=("Relation", "n"), stack=("95% interval", "Logical"), names=("Model",))


def shown(
    width: int,
    rows: Sequence[Sequence[str]] = ROWS,
    sides: str = "lr",
    title: str = "scenes",
    n_keys: int | None = None,
    narrowing: Narrowing | None = None,
) -> str:
    table = plain_table(title, HEADERS, sides, n_keys, narrowing)
    for row in rows:
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


SCREENS = {
    80: """
scenes
Model                                  Logical Relation    n   95% interval
───────────────────────────────────────────────────────────────────────────
base                                     61.77    41.54 1164 [69.14, 76.24]
Qwen2.5-VL-3B-Instruct after 150 steps   65.84    80.54 1164 [75.01, 81.50]
""",
    60: """
scenes
Model                   Logical Relation    n   95% interval
────────────────────────────────────────────────────────────
base                      61.77    41.54 1164 [69.14, 76.24]
Qwen2.5-VL-3B-Instruct    65.84    80.54 1164 [75.01, 81.50]
after 150 steps
""",
    45: """
scenes
Model             Logical    n   95% interval
─────────────────────────────────────────────
base                61.77 1164 [69.14, 76.24]
Qwen…150 steps      65.84 1164 [75.01, 81.50]
not shown in 45 columns: Relation; names are
shortened; COLUMNS=75 shows everything
""",
    36: """
scenes
                             Logical
Model                   95% interval
────────────────────────────────────
base                           61.77
                      [69.14, 76.24]
Qwen2.5-VL-…150 steps          65.84
                      [75.01, 81.50]
in all rows: n 1164; not shown in 36
columns: Relation; names are
shortened; COLUMNS=75 shows
everything
""",
    30: """
scenes
base
  Logical 61.77,
  Relation 41.54, n 1164,
  95% interval [69.14, 76.24]
Qwen2.5-VL-3B-Instruct after
150 steps
  Logical 65.84,
  Relation 80.54, n 1164,
  95% interval [75.01, 81.50]
""",
}


@pytest.mark.parametrize("width", SCREENS)
def test_a_table_is_whole_then_wrapped_then_without_columns_then_stacked_then_row_by_row(width: int) -> None:
    assert "\n" + shown(width, narrowing=NARROWING) + "\n" == SCREENS[width]


@given(st.integers(20, 120), st.sampled_from(["lr", "llr"]), st.sampled_from([None, NARROWING]))
def test_every_number_is_shown_whole_or_its_column_is_named(
    width: int, sides: str, narrowing: Narrowing | None
) -> None:
    text = shown(width, sides=sides, narrowing=narrowing)
    assert max(map(len, text.splitlines())) <= width
    assert width < 24 or not broken_numbers(text, shown(200, sides=sides))
    words = " ".join(text.split())
    for header, cell in zip(HEADERS[1:], ROWS[0][1:], strict=True):
        assert width < 24 or cell in words or header in words.partition("not shown")[2], header


def test_columns_of_a_group_are_left_out_together() -> None:
    together = Narrowing(drop=(("Logical", "Relation"), "n"))
    assert "not shown in 56 columns: Logical, Relation;" in shown(56, narrowing=together).replace("\n", " ")


def test_words_keep_some_width_while_columns_can_be_left_out() -> None:
    rows = [("base", "a few words that can be wrapped anywhere", "1", "2", "3")]
    text = shown(40, rows, "llr", n_keys=1, narrowing=Narrowing(drop=("n", "Relation")))
    assert "a few words that can" in text and "in all rows: Relation 1, n 2" in text


def test_an_empty_table_has_no_note() -> None:
    assert "not shown" not in shown(40, rows=(), narrowing=NARROWING)


def test_a_title_may_be_wider_than_its_table() -> None:
    title = "a title that is longer than the table below it, which is narrow"
    assert shown(80, [("a", "1", "2", "3", "4")], title=title).splitlines()[0] == title


def test_rows_are_named_by_as_many_columns_as_asked() -> None:
    rows = [("base", "a", "b", "3", "[1.00, 2.00]")]
    names = "base  a  b"
    assert shown(29, rows, n_keys=3).splitlines()[1:] == [names, "  n 3,", "  95% interval [1.00, 2.00]"]


def test_an_empty_table_has_its_title_and_headers() -> None:
    assert shown(80, rows=()).splitlines()[1] == "Model Logical Relation n 95% interval"
    assert shown(10, rows=()) == "scenes"
