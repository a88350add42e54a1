"""The TSV for VLMEvalKit: what it holds, and that it comes back as it went."""

from __future__ import annotations

import base64
import csv
import tempfile
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import located, picture, question, questions

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.interop.vlmevalkit import export_tsv, file_name, is_circular, name_problem
from ssl4rl_bench.task.mmbench.cells import MAX_REFERENCE_CHARS
from ssl4rl_bench.task.mmbench.files import read_path
from ssl4rl_bench.task.mmbench.rows import MMBenchRow, parse_rows
from ssl4rl_bench.task.registry import load_task

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


def rows_of(raw: list[dict[str, Any]]) -> list[MMBenchRow]:
    parsed = parse_rows("memory", located(raw))
    assert not parsed.problems
    return parsed.rows


def read_back(rows: list[MMBenchRow], folder: Path) -> list[MMBenchRow]:
    path = folder / "out.tsv"
    assert export_tsv(rows, path) == len(rows)
    assert is_circular(rows) == any(row.index >= 1_000_000 for row in rows)
    parsed = parse_rows(str(path), read_path(path))
    assert not parsed.problems
    return parsed.rows


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.lists(TEXT.filter(str.strip), min_size=2, max_size=5, unique=True), TEXT, st.integers(0, 2)
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=examples(60), deadline=None)
def test_any_rows_come_back_exactly(drawn: list[tuple[list[str], str, int]]) -> None:
    raw = [
        {"E": ""} | row
        for group, (options, text, image) in enumerate(drawn)
        for row in question(group, options, question=text, image=picture(image))
    ]
    rows = rows_of(raw)
    with tempfile.TemporaryDirectory() as folder:
        assert read_back(rows, Path(folder)) == rows


def test_the_columns_and_the_references(tmp_path: Path) -> None:
    export_tsv(rows_of(questions(2)), tmp_path / "out.tsv")
    with (tmp_path / "out.tsv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    assert " ".join(table[0]) == "index question hint A B C D answer category image l2-category split"
    holders = {row["index"]: row["image"] for row in table if len(row["image"]) > MAX_REFERENCE_CHARS}
    assert {index: base64.b64decode(text) for index, text in holders.items()} == {
        "0": picture(0),
        "1": picture(1),
    }
    assert [row["image"] for row in table[2:]] == ["0", "1"] * 3


def test_pandas_reads_the_same_table(tmp_path: Path) -> None:
    """VLMEvalKit reads through pandas."""
    pandas = pytest.importorskip("pandas")
    export_tsv(rows_of(questions(2, hint='say "yes"\tor\n"no"')), tmp_path / "out.tsv")
    table = pandas.read_csv(tmp_path / "out.tsv", sep="\t")
    assert list(table["index"]) == [row["index"] for row in questions(2)]
    assert set(table["hint"]) == {'say "yes"\tor\n"no"'}


def test_a_whole_task_comes_back(tmp_path: Path) -> None:
    task = load_task("scenes", limit=40)
    export_tsv(task.rows, tmp_path / "scenes.tsv")
    again = load_task("scenes", data=str(tmp_path / "scenes.tsv"))
    assert (again.samples, again.rows, again.data_sha256) == (task.samples, task.rows, task.data_sha256)


def scored_as_circular(dataset: str) -> bool:
    """VLMEvalKit's rule (`ImageMCQDataset.evaluate`), by the name of a data set."""
    return any(mark in dataset.lower() for mark in ("mmbench", "ccbench"))


@pytest.mark.parametrize("task", ["scenes", "mine", "mmbench_dev_en", "MMBench-mine", "ccbench_x"])
@pytest.mark.parametrize("circular", [True, False])
def test_the_name_that_a_task_gets_is_scored_as_here(task: str, circular: bool) -> None:
    name = file_name(task, circular=circular)
    assert scored_as_circular(name.removesuffix(".tsv")) >= circular
    assert name_problem(Path(name), circular=circular) is None
    assert circular or name == f"{task}.tsv"


@pytest.mark.parametrize(
    ("name", "circular", "words"),
    [
        ("scenes.tsv", True, "scenes_mmbench.tsv"),
        ("scenes.tsv", False, None),
        ("my_MMBench_v2.tsv", True, None),
        ("mmbench.txt", True, "NAME.tsv"),
        ("scenes", True, "scenes_mmbench.tsv"),
        ("MMBench_DEV_EN.tsv", True, "the name of a data set of VLMEvalKit"),
        ("MMBench_dev_en.tsv", True, "the name of a data set of VLMEvalKit"),
        ("MMBench.tsv", False, "the name of a data set of VLMEvalKit"),
        ("mmbench_openended.tsv", True, "openended"),
    ],
)
def test_what_vlmevalkit_makes_of_a_name(name: str, circular: bool, words: str | None) -> None:
    problem = name_problem(Path("folder") / name, circular=circular)
    assert problem is None if words is None else words in (problem or "")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "folder.tsv"
    target.mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        export_tsv(rows_of(questions(1)), target)
    with pytest.raises(StoreError, match="No such file"):
        export_tsv(rows_of(questions(1)), tmp_path / "none" / "out.tsv")
    assert list(tmp_path.iterdir()) == [target]
