"""A file that is not the published one gets a warning that says what differs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from benchmark_rows import choice, write_table

from ssl4rl_bench.task import editions
from ssl4rl_bench.task.datasource import DataSource
from ssl4rl_bench.task.editions import SourceCheck, md5_of
from ssl4rl_bench.task.taskfile import load_taskfile


def test_md5(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert md5_of(path) == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5


def test_md5_of_several_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editions, "_PIECE", 1000)
    content = bytes(range(256)) * 13
    path = tmp_path / "a"
    path.write_bytes(content)
    assert md5_of(path) == hashlib.md5(content).hexdigest()


def test_what_differs(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x.tsv", [choice(1)])
    digest, other = md5_of(path), "0" * 32
    assert SourceCheck(DataSource(file="A.tsv", md5=digest, questions=9), path).warning(1) is None
    known = DataSource(file="A.tsv", md5=other, editions={digest: "the answers before May"}, questions=9)
    assert SourceCheck(known, path).warning(1) == "x.tsv is another edition of A.tsv: the answers before May."
    cases = {9: "1 rows instead of 9", 1: "it has the expected 1 rows", None: "an unverified number of rows"}
    for questions, words in cases.items():
        warning = SourceCheck(DataSource(file="A.tsv", md5=other, questions=questions), path).warning(1)
        assert warning is not None and words in warning and digest in warning and other in warning


def test_other_formats_are_compared_by_their_rows(tmp_path: Path) -> None:
    source = DataSource(file="A.tsv", md5="0" * 32, questions=9)
    for path in (None, tmp_path / "a.parquet"):
        assert SourceCheck(source, path).warning(9) is None
        assert (
            SourceCheck(source, path).warning(8)
            == "These are not the questions of A.tsv: 8 rows instead of 9."
        )
    assert SourceCheck(DataSource(questions=9), tmp_path / "a.tsv").warning(9) is None
    assert SourceCheck(DataSource(), tmp_path / "a.tsv").warning(1) is None


def test_blink_has_two_editions() -> None:
    source = load_taskfile("blink").source
    assert source is not None and source.md5 == "d5e8af148b10ac69f535ff7b23f3f989"
    assert "before May 2026" in source.editions["3b6649b6a662184ea046908e5506260e"]
