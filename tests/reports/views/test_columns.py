"""The columns of tables: the model card's for MMBench's abilities, a benchmark's own otherwise."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench_data import questions, write_tsv
from test_cli_views import invoke

from ssl4rl_bench.reports.board.columns import AVERAGE_COLUMN, COLUMNS, MAX_HEADER, Column, columns_of

TASK_FILE = """
task: ssl4rl_shapes
include: _mmbench.yaml
dataset_path: csv
dataset_kwargs:
  data_files:
    dev: shapes.tsv
test_split: dev
metadata:
  version: 1
  title: Shapes
  columns:
    size_of_shapes: Size
    counting: Count
"""


def result(names: list[str], columns: Any = None) -> dict[str, Any]:
    levels = {"l2": {name: {"value": 0.5, "n": 3} for name in names}}
    return {"tasks": {"t": {"aggregates": {"row_micro": levels}, "columns": columns}}}


def headers(*results: dict[str, Any]) -> list[str]:
    return [column.header for column in columns_of(results, "t")]


def test_mmbench_has_the_card_s_columns_even_where_some_have_no_data() -> None:
    assert columns_of([result(["logic_reasoning"])], "t") == COLUMNS
    assert columns_of([result(["coarse_perception", "something else"])], "t") == COLUMNS
    assert columns_of([], "t") == columns_of([{"tasks": {}}], "t") == COLUMNS


def test_another_benchmark_has_its_own_in_alphabetical_order() -> None:
    assert headers(result(["size_of_shapes", "counting"])) == ["counting", "size of shapes", "Average"]
    assert headers(result(["b"]), result(["a"])) == ["a", "b", "Average"]
    assert columns_of([result(["b", "a"])], "t")[0] == Column("l2", "a", "a")


def test_a_single_ability_is_the_average() -> None:
    assert columns_of([result(["other"])], "t") == (AVERAGE_COLUMN,)
    assert columns_of([result(["counting"], [["counting", "Count"]])], "t") == (AVERAGE_COLUMN,)


def test_declared_columns_keep_their_order_and_the_rest_of_the_data_follows() -> None:
    declared = [["size", "Size"], ["counting", "Count"]]
    assert headers(result(["counting", "size", "new"], declared)) == ["Size", "Count", "new", "Average"]
    assert headers(result(["counting"], declared), result(["size"])) == ["Size", "Count", "Average"]


def test_headers_are_short_and_hold_nothing_that_acts() -> None:
    long, hostile, _ = headers(result(["x" * 99, "y"], [["x" * 99, "x" * 99], ["y", "\x1b[2J\nred"]]))
    assert len(long) == MAX_HEADER and long.endswith("…")
    assert hostile.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)
)


@given(JSON)
def test_damaged_columns_are_ignored(value: Any) -> None:
    assert columns_of([result(["a", "b"], value)], "t")[-1] == AVERAGE_COLUMN


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of a task file of one's own, far from the package's tasks."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "shapes.yaml").write_text(TASK_FILE)
    rows = questions(6)
    for row in rows:
        ability = ("counting", "size_of_shapes")[row["index"] % 2]
        row |= {"category": ability, "l2-category": ability}
    write_tsv(folder / "shapes.tsv", rows)
    for behaviour in ("gold", "constant:A"):
        args = ("--engine", "mock", "--mock", behaviour, "--tasks", folder / "shapes.yaml")
        invoke("run", "--model", behaviour, *args, "--out", folder / behaviour)
    return [folder / "gold", folder / "constant:A"]


def test_the_order_of_the_task_file_is_recorded(runs: list[Path]) -> None:
    stored = json.loads((runs[0] / "result.json").read_text())["tasks"]["ssl4rl_shapes"]
    assert stored["columns"] == [["size_of_shapes", "Size"], ["counting", "Count"]]


@pytest.mark.parametrize(
    "command",
    [("show",), *(("compare", "--format", form) for form in ("table", "markdown", "latex"))],
    ids=["show", "table", "markdown", "latex"],
)
def test_every_table_has_these_columns(command: tuple[str, ...], runs: list[Path]) -> None:
    text = invoke(command[0], *runs, *command[1:])
    header = next(line for line in text.splitlines() if "Size" in line)
    assert header.index("Size") < header.index("Count") < header.index("Average")
    assert "Logical" not in text and "Coarse" not in text


def test_the_page_and_the_data_have_them_too(runs: list[Path], tmp_path: Path) -> None:
    invoke("report", *runs, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.index("Size") < page.index("Count") and "Cross-Inst." not in page
    records = csv.DictReader(invoke("compare", *runs, "--format", "csv").splitlines())
    assert list(dict.fromkeys(record["column"] for record in records)) == ["Size", "Count", "Average"]
