"""MMBench's files: the same rows come back from every layout, and a broken file is one sentence."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import COLUMNS, question, questions, write_parquet, write_tsv

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.mmbench.rows import MMBenchRow, parse_rows
from ssl4rl_bench.task.tables import files
from ssl4rl_bench.task.tables.files import read_path

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
OPTION = TEXT.filter(lambda text: bool(text.strip()))
WHOLE = st.builds(
    lambda options, **columns: (options, columns),
    st.lists(OPTION, min_size=2, max_size=4, unique=True),
    question=TEXT,
    hint=TEXT.filter(lambda text: bool(text.strip()) and text.strip() != "nan") | st.just(""),
)


def rows_of(path: Path) -> list[MMBenchRow]:
    parsed = parse_rows(str(path), read_path(path))
    assert not parsed.problems
    return parsed.rows


@given(st.lists(WHOLE, min_size=1, max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_any_rows_come_back_from_any_layout(drawn: list[tuple[list[str], dict[str, Any]]]) -> None:
    rows = [
        row for group, (options, columns) in enumerate(drawn) for row in question(group, options, **columns)
    ]
    with tempfile.TemporaryDirectory() as folder:
        readings = [
            rows_of(write_tsv(Path(folder) / "a.tsv", rows)),
            rows_of(write_tsv(Path(folder) / "b.tsv", rows, quote_all=True)),
            rows_of(write_parquet(Path(folder) / "a.parquet", rows)),
            rows_of(write_parquet(Path(folder) / "b.parquet", rows, base64_images=True)),
        ]
    assert all(reading == readings[0] for reading in readings)
    for row, read in zip(rows, readings[0], strict=True):
        assert (read.question, read.hint, read.answer) == (row["question"], row["hint"], row["answer"])
        assert list(read.choices.values()) == [row[letter] for letter in "ABCD" if row[letter]]
        assert read.image.data == row["image"]


def test_a_folder_of_shards_is_read_in_order(tmp_path: Path) -> None:
    for part in (1, 0):
        write_parquet(tmp_path / f"dev-0000{part}-of-00002.parquet", question(part))
    write_parquet(tmp_path / "test-00000-of-00001.parquet", question(9))
    assert {row.group for row in rows_of(tmp_path)} == {0, 1, 9}
    places = [where for where, _ in read_path(tmp_path, split="dev")]
    assert places[0] == "dev-00000-of-00002.parquet, row 1"
    assert places[-1] == "dev-00001-of-00002.parquet, row 4"


def test_a_folder_with_configurations(tmp_path: Path) -> None:
    for name in ("en", "cn"):
        (tmp_path / name).mkdir()
        write_parquet(tmp_path / name / "dev-00000-of-00001.parquet", question(question=name))
    questions_read = {row["question"] for _, row in read_path(tmp_path, folder="cn") if isinstance(row, dict)}
    assert questions_read == {"cn"}


def test_a_text_file_as_others_write_it(tmp_path: Path) -> None:
    """A byte order mark, Windows line ends, a quoted line break, an empty last line."""
    path = write_tsv(tmp_path / "a.tsv", question(question="one\ntwo"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    rows = rows_of(path)
    assert [row.question for row in rows] == ["one\ntwo"] * 4
    assert [row.where for row in rows] == ["line 2", "line 4", "line 6", "line 8"]


def test_a_field_of_an_image_s_size(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", question(question="x" * 1_000_000))
    assert len(rows_of(path)[0].question) == 1_000_000


def test_a_line_with_another_number_of_columns(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "a.tsv", questions(1))
    with path.open("a", encoding="utf-8") as file:
        file.write("9\tcut off")
    parsed = parse_rows(str(path), read_path(path))
    assert [str(problem) for problem in parsed.problems] == [
        f"line 6: it has 2 columns where the header has {len(COLUMNS)}"
    ]


def header_only(separator: str = "\t") -> bytes:
    return separator.join(COLUMNS).encode() + b"\n"


def row_bytes(tail: bytes) -> bytes:
    return header_only() + b"1\t" + tail


@pytest.mark.slow
def test_a_raised_limit_of_the_csv_module_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(row_bytes(b'"' + b"x" * 30_000_000))
    before = csv.field_size_limit(1 << 40)
    try:
        with pytest.raises(DataError, match="line 2 is not a row of a TSV"):
            list(read_path(path))
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (header_only(), "has no rows"),
        (header_only(",") + b"1,2,3\n", "separated by commas"),
        (b"hello world\n", "not tab-separated"),
        (row_bytes(b"caf\xe9\n"), "is not UTF-8 text, in line 2"),
        ("\t".join(COLUMNS).encode("utf-16"), "is not UTF-8 text, in line 1"),
        (b"PK\x03\x04" + bytes(60), "Excel or zip"),
        (b"PAR1" + bytes(60), "not a complete parquet file"),
        (row_bytes(b'"' + b"x" * 30_000_000), "line 2 is not a row of a TSV"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        parse_rows(str(path), read_path(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_parquet_cut_off(tmp_path: Path, share: float) -> None:
    path = write_parquet(tmp_path / "a.parquet", questions(3))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match="not a complete parquet file"):
        list(read_path(path))


def test_parquet_with_a_damaged_page(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", questions(3))
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a complete parquet file"):
        list(read_path(path))


def test_parquet_without_one_of_the_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"has no column index or question or A .* \(it has 'text', 'label'\)"
    ):
        rows_of(tmp_path / "a.parquet")


@given(st.booleans(), st.data())
@settings(max_examples=examples(150), deadline=None)
def test_damage_is_one_sentence_and_never_a_crash(parquet: bool, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        damaged = bytearray((write_parquet if parquet else write_tsv)(path, questions(2)).read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(damaged) - 1))
            damaged[at : at + data.draw(st.integers(0, 9))] = data.draw(
                st.sampled_from([b"", b'"', b"\t", b"\n", b"\r", b"\0", b"\xff"])
            )
        path.write_bytes(damaged)
        try:
            parsed = parse_rows(str(path), read_path(path))
            assert all(str(problem).isprintable() for problem in parsed.problems)
        except DataError as error:
            assert "\n" not in str(error)


@given(st.booleans(), st.lists(st.sampled_from([*'a\t"\n\r\x0b\x85é中\u2028', "\r\n"]), max_size=20))
@settings(max_examples=examples(300), deadline=None)
def test_lines_are_those_of_python_s_text_files(mark: bool, pieces: list[str]) -> None:
    data = b"\xef\xbb\xbf" * mark + "".join(pieces).encode()
    expected = list(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""))
    assert list(files._lines(io.BytesIO(data))) == expected


def test_no_such_file_and_no_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_path(tmp_path / "none.tsv"))
    with pytest.raises(DataError, match=r"no \.parquet files"):
        list(read_path(tmp_path))


def test_an_image_path_in_the_data_is_not_opened(tmp_path: Path, monkeypatch: Any) -> None:
    """Not even when the file is there and is an image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0.png").write_bytes(question()[0]["image"])
    for rows, path in (
        ([row | {"image": "0.png"} for row in question()], tmp_path / "a.tsv"),
        ([row | {"image": str(tmp_path / "0.png")} for row in question()], tmp_path / "b.tsv"),
    ):
        parsed = parse_rows(str(path), read_path(write_tsv(path, rows)))
        assert not parsed.rows
        assert len(parsed.problems) == 4
