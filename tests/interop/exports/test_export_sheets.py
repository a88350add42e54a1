"""Tables as xlsx and tsv: every text comes back unchanged, or is refused with its row and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.interop.exports.sheets import MAX_CELL, check_utf8, tsv_bytes, xlsx_bytes

openpyxl = pytest.importorskip("openpyxl")
COLUMNS = ["index", "prediction"]
ODD = (
    *("=1+1", "+A", "-B", "@C", "#N/A", "#DIV/0!", "1", "TRUE", " A ", "a\tb\n", '"', "'", "<b>&amp;"),
    *("汉", "👩", "\ufffd", "_x_"),
)
TEXTS = st.one_of(
    st.sampled_from(ODD), st.text(max_size=30), st.text("\0\r\n\t\"',=_x0Dd\x1f\ud800", max_size=12)
)


def from_xlsx(data: bytes) -> list[list[object]]:
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
    return [list(row) for row in book.active.iter_rows(values_only=True)]


def from_tsv(data: bytes) -> list[list[str]]:
    csv.field_size_limit(10**9)
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter="\t"))


@pytest.mark.slow
@given(st.lists(TEXTS, min_size=1, max_size=6))
@settings(max_examples=examples(60), deadline=None)
def test_a_text_comes_back_from_a_spreadsheet_or_is_refused(texts: list[str]) -> None:
    rows = [[index, text] for index, text in enumerate(texts)]
    try:
        data = xlsx_bytes("a.xlsx", COLUMNS, rows)
    except DataError as error:
        assert any(ord(c) < 32 or ord(c) > 0xD7FF or c == "_" for text in texts for c in text), error
        return
    back = from_xlsx(data)
    assert back == [COLUMNS, *([index, text or None] for index, text in rows)]


@given(st.lists(TEXTS, min_size=1, max_size=6))
@settings(max_examples=examples(100), deadline=None)
def test_a_text_comes_back_from_a_table_with_tabs_or_is_refused(texts: list[str]) -> None:
    rows = [[index, text] for index, text in enumerate(texts)]
    try:
        data = tsv_bytes("a.tsv", COLUMNS, rows)
    except DataError:
        assert any(c == "\0" or 0xD800 <= ord(c) < 0xE000 for text in texts for c in text)
        return
    assert from_tsv(data) == [COLUMNS, *([str(index), text] for index, text in rows)]


def test_pandas_reads_what_vlmevalkit_would() -> None:
    pandas = pytest.importorskip("pandas")
    texts = [text for text in ODD if text not in ("#N/A", "1", "TRUE")] + ["a\r\nb", "c\rd", "A"]
    table = pandas.read_csv(io.BytesIO(tsv_bytes("a.tsv", COLUMNS, list(enumerate(texts)))), sep="\t")
    assert list(table["prediction"]) == texts
    texts = [text for text in texts if "\r" not in text]
    table = pandas.read_excel(io.BytesIO(xlsx_bytes("a.xlsx", COLUMNS, list(enumerate(texts)))))
    assert list(table["prediction"]) == texts


def test_no_text_is_a_formula() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(xlsx_bytes("a.xlsx", COLUMNS, list(enumerate(ODD))))).active
    assert {cell.data_type for cell in sheet["B"]} == {"s"}
    assert {cell.data_type for cell in sheet["A"][1:]} == {"n"}


@pytest.mark.parametrize(
    ("write", "text", "words"),
    [
        (xlsx_bytes, "a\x07", "U+0007; write a .tsv file"),
        (xlsx_bytes, "a\r\nb", "U+000D; write a .tsv file"),
        (xlsx_bytes, "a\0", "U+0000; write --to lm-eval"),
        (xlsx_bytes, "\ud800", "U+D800; write --to lm-eval"),
        (xlsx_bytes, "\uffff", "U+FFFF; write a .tsv file"),
        (xlsx_bytes, "_x000D_", "_x000D_, which spreadsheets take for one character; write a .tsv file"),
        (
            xlsx_bytes,
            "a" * (MAX_CELL + 1),
            "32,766 characters, which a cell of 32,767 may cut; write a .tsv file",
        ),
        (xlsx_bytes, "👩" * 16_383, "32,766 characters, which a cell of 32,767 may cut; write a .tsv file"),
        (tsv_bytes, "a\0", "U+0000; write --to lm-eval"),
        (tsv_bytes, "a\udfff", "U+DFFF; write --to lm-eval"),
    ],
)
def test_what_cannot_be_written_is_named(write: Callable[..., bytes], text: str, words: str) -> None:
    with pytest.raises(DataError) as error:
        write("a.file", COLUMNS, [[7, "fine"], [2000013, text]])
    assert str(error.value).startswith("a.file cannot hold row 2000013: its prediction has ")
    assert words in str(error.value) and str(error.value).count("\n") == 0


def test_the_longest_text_fits() -> None:
    longest = "a" * MAX_CELL
    assert from_xlsx(xlsx_bytes("a.xlsx", COLUMNS, [[0, longest]]))[1][1] == longest


def test_only_lone_surrogates_are_refused_for_utf8() -> None:
    def rows(text: str) -> Iterator[list[str]]:
        yield ["7", text]

    check_utf8("a.parquet", COLUMNS, rows("\0\x1b\r👩"))
    with pytest.raises(DataError, match=r"row 7: its prediction has the character U\+DC80"):
        check_utf8("a.parquet", COLUMNS, rows("a\udc80"))
