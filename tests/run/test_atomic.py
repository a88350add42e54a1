from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError


def test_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"b": 1, "a": "ü"})
    atomic.write_json(path, {"b": 2, "a": "ü"})
    assert path.read_text("utf-8") == '{\n  "b": 2,\n  "a": "ü"\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_lone_surrogate_reads_back(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"text": "x\ud800y\udfffz"})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"text": "x\ud800y\udfffz"}


def test_the_mode_is_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_create_json_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.create_json(path, 1)
    atomic.create_json(path, 2)
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_create_json_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    atomic.create_json(tmp_path / "a.json", 1)
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    atomic.write_bytes(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path if call == "replace" else os, call, full)
    with pytest.raises(StoreError) as caught:
        atomic.write_bytes(path, b"new")
    assert str(path) in str(caught.value) and "disk is full" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "permission denied; choose a directory that you may write to"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EIO, "input/output error"),
    ],
)
def test_each_refusal_has_its_words(number: int, words: str) -> None:
    error = atomic.store_error(Path("runs/x"), OSError(number, os.strerror(number)))
    assert str(error).startswith("cannot write runs/x: ") and words in str(error)


def test_a_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or directory"):
        atomic.write_text(tmp_path / "none" / "a", "x")


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StoreError, match="part of the path is a file"):
        atomic.write_text(tmp_path / "a" / "b", "x")


def test_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        atomic.write_json(tmp_path / "a", float("nan"))
    assert list(tmp_path.iterdir()) == []
