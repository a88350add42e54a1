"""The readers of predictions: what they read, what they refuse, and that no file makes them fail in another way."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import BenchError, DataError, MissingDependency, UsageError
from ssl4rl_bench.interop.predictions import rows as rows_module
from ssl4rl_bench.interop.predictions import xlsx
from ssl4rl_bench.interop.predictions.reading import LM_EVAL, LMMS_EVAL, PLAIN, VLMEVALKIT, read_predictions

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
CELL = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.lists(st.integers(), max_size=2)
)
NAMES = st.sampled_from(
    [
        *(
            "index",
            "id",
            "doc_id",
            "prediction",
            "text",
            "A",
            "answer",
            "hit",
            "repeat",
            "finish_reason",
            "error",
            "task",
        )
    ]
)


def write_xlsx(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [header, *rows]:
        book.active.append(row)
        for cell in book.active[book.active.max_row]:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # a text that begins with = is a text
    book.save(path)
    return path


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL)
        writer.writerows([header, *rows])
    return path


def write_json(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    path.write_text(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=4), "utf-8")
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 10**9), TEXT), min_size=1, max_size=4),
    st.sampled_from([".tsv", ".csv", ".json"]),
)
def test_texts_come_back_unchanged(rows: list[tuple[int, str]], suffix: str) -> None:
    write = write_json if suffix == ".json" else write_csv
    with tempfile.TemporaryDirectory() as folder:
        path = write(
            Path(folder) / f"a{suffix}", ["index", "prediction", "question"], [[*row, ""] for row in rows]
        )
        read = read_predictions(path)
    known = suffix != ".csv"
    assert (read.format, read.tool) == ((VLMEVALKIT, "VLMEvalKit") if known else (PLAIN, ""))
    assert [(row.id, row.text) for row in read.rows] == [(str(id), text) for id, text in rows]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(TEXT.filter(lambda text: "_x" not in text and text.isprintable()), min_size=1, max_size=3))
def test_texts_of_an_xlsx_come_back_unchanged(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_xlsx(
            Path(folder) / "a.xlsx", ["index", "prediction"], [[n, t] for n, t in enumerate(texts)]
        )
        assert [row.text for row in read_predictions(path).rows] == texts


def test_an_xlsx_has_formulas_as_texts_and_its_escapes_undone(tmp_path: Path) -> None:
    texts = ["=1+1", '=HYPERLINK("http://x")', "@a", "-B", "a_x000D_b", "_x005F_x000D_", "_x0041_"]
    path = write_xlsx(
        tmp_path / "a.xlsx", ["index", "prediction"], [[float(n), t] for n, t in enumerate(texts)]
    )
    read = read_predictions(path)
    assert [row.text for row in read.rows] == [*texts[:4], "a\rb", "_x000D_", "_x0041_"]
    assert [row.id for row in read.rows] == [str(n) for n in range(7)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.dictionaries(NAMES, CELL, max_size=6), max_size=4), st.sampled_from([None, PLAIN, VLMEVALKIT])
)
def test_rows_of_any_kind_are_read_or_refused(rows: list[dict[str, Any]], format: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(rows), "utf-8")
        try:
            assert len(read_predictions(path, format).rows) == len(rows)
        except DataError as error:
            assert "\n" not in str(error)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["doc_id", "resps", "filtered_resps", "target", "doc", "input", "acc"]), CELL
        ),
        max_size=3,
    )
)
def test_samples_of_any_kind_are_read_or_refused(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_jsonl(Path(folder) / "a_samples_x.jsonl", rows)
        for format in (LMMS_EVAL, LM_EVAL):
            try:
                assert len(read_predictions(path, format).rows) == len(rows)
            except DataError as error:
                assert "\n" not in str(error)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".xlsx", ".tsv", ".csv", ".json", ".jsonl", ".parquet"]))
def test_a_file_of_any_bytes_is_refused_in_one_sentence(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        path.write_bytes(data)
        with pytest.raises(BenchError) as refused:
            read_predictions(path)
        assert "\n" not in str(refused.value) and path.name in str(refused.value)


RESPONSES = [
    ("0.3", {"resps": [["a reply"]], "filtered_resps": ["B"], "doc": {"index": 7, "question": "Why?"}}),
    ("0.4", {"filtered_resps": ["a reply"]}),
    ("0.7", {"filtered_resps": "a reply"}),
    ("0.7, with reasoning", {"resps": ["a reply"], "filtered_resps": "B"}),
]


@pytest.mark.parametrize(("version", "responses"), RESPONSES, ids=[version for version, _ in RESPONSES])
def test_samples_of_each_version_of_lmms_eval(
    version: str, responses: dict[str, Any], tmp_path: Path
) -> None:
    row = {"doc_id": 3, "target": "B", "input": "Why?\nA. x\nB. y", "doc_hash": "0" * 64, **responses}
    metric = {"exact_match": 1.0} if version == "0.4" else {"mmstar": {"score": 1, "question_id": 7}}
    read = read_predictions(write_jsonl(tmp_path / "2026_samples_mmstar.jsonl", [row | metric]))
    (one,) = read.rows
    assert read.format == LMMS_EVAL
    assert (one.text, one.number, one.target, one.verdict) == ("a reply", 3, "B", 1.0)
    assert one.id == (None if version == "0.4" else "7") and "Why?" in (one.question or one.prompt or "")


def test_samples_of_lm_eval_and_of_its_results(tmp_path: Path) -> None:
    row = {
        "doc_id": 0,
        "doc": {"question": "Why?"},
        "target": "B",
        "arguments": {"gen_args_0": {"arg_0": "Why? Reply.", "arg_1": {"until": []}}},
        "resps": [["a reply"]],
        "filtered_resps": ["B"],
        "filter": "strict",
        "metrics": ["exact_match"],
        "exact_match": 0.0,
    }
    read = read_predictions(write_jsonl(tmp_path / "samples_x_2026.jsonl", [row]))
    assert read.format == LM_EVAL and read.rows[0].text == "a reply" and read.rows[0].verdict == 0.0
    assert read.rows[0].prompt == "Why? Reply."
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"results": {}, "samples": {"x": [row, row]}}))
    assert len(read_predictions(results).rows) == 2
    results.write_text(json.dumps({"results": {"x": {"acc": 0.5}}}))
    with pytest.raises(DataError, match=r"has aggregates only, and no replies: log the samples"):
        read_predictions(results)
    several = {"results": {}, "samples": {"x": [row], "y": [row]}}
    results.write_text(json.dumps(several))
    with pytest.raises(DataError, match=r"has samples of x, y, and it is not clear which are of z"):
        read_predictions(results, task="z")


def test_an_xlsx_without_openpyxl_is_one_sentence_with_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_xlsx(tmp_path / "a.xlsx", ["index", "prediction"], [[1, "A"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingDependency, match=r"reading an .xlsx file needs openpyxl: .*install.*\[xlsx\]"):
        read_predictions(path)


def test_a_reply_that_fills_a_cell_of_an_xlsx_counts_as_cut(tmp_path: Path) -> None:
    texts = ["a" * 32_767, "a" * 32_766 + "b", "\U0001f600" * 16_383, "a" * 32_000]
    path = write_xlsx(
        tmp_path / "a.xlsx", ["index", "prediction"], [[n, text] for n, text in enumerate(texts)]
    )
    assert [row.finish_reason for row in read_predictions(path).rows] == ["length"] * 3 + [None]
    table = write_csv(tmp_path / "a.tsv", ["index", "prediction"], [[0, texts[0]]])
    assert read_predictions(table).rows[0].finish_reason is None


def test_failed_requests_and_states_of_replies(tmp_path: Path) -> None:
    header = ["index", "prediction", "thinking", "finish_reason"]
    fail = "Failed to obtain answer via API."
    rows = [[0, fail, "", ""], [1, "A", "", "length"], [2, "", "so", ""]]
    failed, cut, reasoning = read_predictions(write_csv(tmp_path / "a.tsv", header, rows)).rows
    assert (failed.error, failed.text) == (fail, "") and cut.finish_reason == "length"
    assert (reasoning.reasoning, reasoning.text, reasoning.error) == ("so", "", None)
    plain = read_predictions(write_csv(tmp_path / "b.csv", ["id", "text"], [[0, fail]])).rows
    assert plain[0].error is None  # only VLMEvalKit writes this for a failed request
    samples = [{"doc_id": 0, "input": "x", "filtered_resps": "[LMMS_EVAL_REQUEST_FAILED] down"}]
    assert read_predictions(write_jsonl(tmp_path / "c.jsonl", samples)).rows[0].error


def columns(*names: str) -> Callable[[Path], Path]:
    return lambda path: write_csv(path, [*names], [["1"] * len(names)] * 2)


REFUSED: list[tuple[str, Callable[[Path], Any], str]] = [
    ("a.pkl", lambda path: path.write_bytes(b"\x80\x04."), "is a pickle, which runs code when it is read"),
    ("a.docx", lambda path: path.write_bytes(b"x"), "has none of the suffixes"),
    ("a.csv", columns("id", "score"), "has no column with a reply"),
    ("a.csv", columns("text", "score"), "has no column with an id"),
    ("a.csv", columns("id", "text", "id"), "has the column 'id' twice"),
    ("a.json", lambda path: path.write_text('{"a": 1}'), "is not a list of rows"),
    ("a.json", lambda path: path.write_text("[1]"), "row 1: it is not an object"),
    ("a.json", lambda path: path.write_text("[]"), "has no rows"),
    ("a.jsonl", lambda path: path.write_text('{"id": 1, "text": "a"}\n{"id": 2'), "line 2: it is not JSON"),
    ("a.jsonl", lambda path: path.write_text('{"id": [1], "text": "a"}'), "line 1: its id is a list"),
    ("a.jsonl", lambda path: path.write_text('{"id": 1, "text": "a", "repeat": -1}'), "its repeat is '-1'"),
    (
        "a.jsonl",
        lambda path: path.write_text('{"id": 1, "text": "a", "finish_reason": "eos"}'),
        "finish_reason is 'eos'",
    ),
    ("a.jsonl", lambda path: write_jsonl(path, [{"doc_id": 1, "resps": [["a", "b"]]}]), "it has 2 responses"),
    (
        "a.jsonl",
        lambda path: write_jsonl(path, [{"doc_id": "x", "resps": "a"}]),
        "its doc_id is not a whole number",
    ),
]


@pytest.mark.parametrize(("name", "write", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_is_refused(name: str, write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(DataError) as refused:
        read_predictions(path)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_several_faults_are_counted(tmp_path: Path) -> None:
    rows = [{"id": "", "text": "a"}, {"id": 1, "text": []}, {"id": 2, "text": "b"}]
    with pytest.raises(DataError, match=r"line 1: its id is empty: .* \(1 more rows have faults\)"):
        read_predictions(write_jsonl(tmp_path / "a.jsonl", rows))


def test_unknown_formats_and_files_that_are_absent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no format 'vlmevalki' .*did you mean vlmevalkit"):
        read_predictions(tmp_path / "a.csv", "vlmevalki")
    with pytest.raises(DataError, match="there is no file"):
        read_predictions(tmp_path / "a.csv")


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 2)
    path = write_csv(tmp_path / "a.csv", ["id", "text"], [[n, "a"] for n in range(3)])
    with pytest.raises(DataError, match="has more than 2 rows"):
        read_predictions(path)
    monkeypatch.setattr(rows_module, "MAX_CELL_CHARS", 3)
    with pytest.raises(DataError, match="line 2: its text has 4 characters"):
        read_predictions(write_csv(tmp_path / "b.csv", ["id", "text"], [[1, "abcd"]]))


def test_a_zip_bomb_and_a_row_far_below_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx, "MAX_UNPACKED", 1 << 20)
    path = write_xlsx(tmp_path / "a.xlsx", ["index", "prediction"], [[1, "a"]])
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
        new.writestr("xl/media/a.bin", bytes(2 << 20))
    with pytest.raises(DataError, match=r"would expand to \d+ MiB"):
        read_predictions(bomb)
    far = tmp_path / "far.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(far, "w") as new:
        for part in old.infolist():
            text = old.read(part)
            if part.filename.endswith("sheet1.xml"):
                text = text.replace(b'<row r="2"', b'<row r="999999999"').replace(b'"A2"', b'"A999999999"')
                text = text.replace(b'"B2"', b'"B999999999"')
            new.writestr(part.filename, text)
    with pytest.raises(DataError):
        read_predictions(far)
