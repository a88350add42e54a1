"""Tables on terminals of any width: nothing is lost, and no number is broken."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ssl4rl_bench.reports.text.cells import plain_table

HEADERS = ("Model", "Logical", "Relation", "n", "95% interval")
ROWS = (
    ("base", "61.77", "41.54", "1164", "[69.14, 76.24]"),
    ("Qwen2.5-VL-3B-Instruct after 150 steps", "65.84", "80.54", "1164", "[75.01, 81.50]"),
)


def shown(
    width: int,
    rows: Sequence[Sequence[str]] = ROWS,
    sides: str = "lr",
    title: str = "scenes",
    n_keys: int | None = None,
) -> str:
    table = plain_table(title, HEADERS, sides, n_keys)
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
Model                   Logical Relation    n
─────────────────────────────────────────────
base                      61.77    41.54 1164
Qwen2.5-VL-3B-Instruct    65.84    80.54 1164
after 150 steps

Model                            95% interval
─────────────────────────────────────────────
base                           [69.14, 76.24]
Qwen2.5-VL-3B-Instruct after   [75.01, 81.50]
150 steps
""",
    34: """
scenes
base
  Logical 61.77, Relation 41.54,
  n 1164,
  95% interval [69.14, 76.24]
Qwen2.5-VL-3B-Instruct after 150
steps
  Logical 65.84, Relation 80.54,
  n 1164,
  95% interval [75.01, 81.50]
""",
}


@pytest.mark.parametrize("width", SCREENS)
def test_a_table_is_whole_then_wrapped_then_in_parts_then_row_by_row(width: int) -> None:
    assert "\n" + shown(width) + "\n" == SCREENS[width]


@given(st.integers(20, 120), st.sampled_from(["lr", "llr"]))
def test_every_number_is_shown_whole_and_no_line_is_too_long(width: int, sides: str) -> None:
    lines = shown(width, sides=sides).splitlines()
    assert max(map(len, lines)) <= width
    if width >= 24:
        for number in ("61.77", "80.54", "1164"):
            assert any(number in line for line in lines), number


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
