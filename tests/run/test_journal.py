from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.run import journal
from ssl4rl_bench.run.journal import BadLine, Journal, answers, decode_record, encode_record, read_journal

any_text = st.text(st.characters(exclude_categories=[]))
"""Surrogates too."""
records = st.builds(
    SampleRecord,
    id=any_text,
    repeat=st.integers(0, 99),
    group=any_text,
    key=st.text("0123456789abcdef"),
    text=any_text,
    finish_reason=st.sampled_from(["stop", "length", "error"]),
    n_prompt_tokens=st.integers(0, 10**9),
    n_completion_tokens=st.integers(0, 10**9),
    latency_s=st.floats(0, allow_nan=False, allow_infinity=False),
    error=st.none() | any_text,
    reasoning=st.just("") | any_text,
)


def record(number: int, text: str = "<answer>A</answer>", **changes: object) -> SampleRecord:
    values = {
        "id": str(number),
        "repeat": 0,
        "group": str(number),
        "key": "k",
        "text": text,
        "finish_reason": "stop",
        "n_prompt_tokens": 7,
        "n_completion_tokens": 3,
        "latency_s": 0.25,
        "error": None,
    }
    return SampleRecord(**(values | changes))  # type: ignore[arg-type]  # checked at run time


def written(path: Path, *items: SampleRecord) -> Path:
    with Journal(path) as writer:
        for item in items:
            writer.append(item)
    return path


def flipped_bits(path: Path, start: int, length: int) -> Iterator[int]:
    """The file with each bit of a part of it flipped in turn; yields the bit's number in that part."""
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * length):
            good = os.pread(file.fileno(), 1, start + bit // 8)
            os.pwrite(file.fileno(), bytes([good[0] ^ 1 << bit % 8]), start + bit // 8)
            yield bit
            os.pwrite(file.fileno(), good, start + bit // 8)


def paired(text: str | None) -> str | None:
    """Surrogates that form a pair as the character they stand for."""
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@settings(deadline=None)
@given(records)
def test_a_record_reads_back(item: SampleRecord) -> None:
    line = encode_record(item)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    back = decode_record(line[:-1])
    assert back is not None
    for name in SampleRecord.__slots__:
        value = getattr(item, name)
        assert getattr(back, name) == (paired(value) if isinstance(value, str) else value)


@pytest.mark.parametrize(
    "text", ["\x00", "a\nb\r\nc", "\u2028\u2029\x85\x0b\x0c", "\ud800", "\udc00\ud800", "😀"]
)
def test_a_text_that_confuses_readers_of_lines(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "j", record(1, text), record(2))
    assert list(read_journal(path)) == [record(1, text), record(2)]


def test_every_flipped_bit_of_a_record_is_reported_with_its_line_and_never_used(tmp_path: Path) -> None:
    lines = [encode_record(record(number)) for number in range(3)]
    path = tmp_path / "j"
    path.write_bytes(b"".join(lines))
    for bit in flipped_bits(path, len(lines[0]), len(lines[1])):
        found = list(read_journal(path))
        assert found[0] == record(0)
        assert found[1] == BadLine(2, torn=False), f"bit {bit} is not noticed"
        assert record(1) not in found
        assert found[-1] == record(2) or bit // 8 == len(lines[1]) - 1  # its line feed: two lines become one
        assert 2 in answers(path, {("1", 0): "k"}).corrupt


def test_every_flipped_bit_of_the_last_record_costs_only_that_record(tmp_path: Path) -> None:
    lines = [encode_record(record(number)) for number in range(2)]
    path = tmp_path / "j"
    path.write_bytes(b"".join(lines))
    for _ in flipped_bits(path, len(lines[0]), len(lines[1])):
        found = list(read_journal(path))
        assert found[0] == record(0)
        assert all(isinstance(line, BadLine) and line.number >= 2 for line in found[1:]) and found[1:]


def test_a_cut_at_every_byte_of_the_last_three_records_is_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # a disk's waits, thousands of times
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)
    whole = [record(number, "line\u2028" * number) for number in range(6)]
    data = written(tmp_path / "whole", *whole).read_bytes()
    ends = [position + 1 for position, byte in enumerate(data) if byte == 0x0A]
    path = tmp_path / "j"
    for cut in range(ends[2], len(data) + 1):
        kept = sum(end <= cut for end in ends)
        path.write_bytes(data[:cut])
        torn = cut not in ends
        assert list(read_journal(path)) == [*whole[:kept], *([BadLine(kept + 1, torn=True)] if torn else [])]
        with Journal(path) as writer:
            assert writer.torn_bytes == cut - ends[kept - 1]
            for item in whole[kept:]:
                writer.append(item)
        assert path.read_bytes() == data


@pytest.mark.parametrize("tail", [b"", b"x", b"\0" * 200_000, b"x" * 65_536, b"x" * 65_535, b"x" * 65_537])
@pytest.mark.parametrize("before", [0, 2])
def test_a_torn_tail_of_any_length(tmp_path: Path, tail: bytes, before: int) -> None:
    path = written(tmp_path / "j", *map(record, range(before)))
    with path.open("ab") as file:
        file.write(tail)
    with Journal(path) as writer:
        assert writer.torn_bytes == len(tail)
        writer.append(record(9))
    assert list(read_journal(path)) == [*map(record, range(before)), record(9)]


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "none")) == []
    assert answers(tmp_path / "none", {}).records == {}


def test_a_whole_line_that_is_no_record_is_corrupt(tmp_path: Path) -> None:
    body = b'{"id":"1"}'
    (tmp_path / "j").write_bytes(body[:-1] + journal.crc_field(body) + b"\n")
    assert list(read_journal(tmp_path / "j")) == [BadLine(1, torn=False)]


def test_answers_take_the_first_reply_else_the_last_error(tmp_path: Path) -> None:
    path = written(
        tmp_path / "j",
        record(1, error="first", finish_reason="error"),
        record(1, "reply"),
        record(1, "again"),
        record(1, error="late", finish_reason="error"),
        record(2, error="first", finish_reason="error"),
        record(2, error="second", finish_reason="error"),
        record(3, key="old"),
        record(4),
        record(1, "other repeat", repeat=1),
    )
    found = answers(path, {("1", 0): "k", ("1", 1): "k", ("2", 0): "k", ("3", 0): "k"})
    shown = {place: item.error or item.text for place, item in found.records.items()}
    assert shown == {("1", 0): "reply", ("2", 0): "second", ("1", 1): "other repeat"}
    assert (found.n_stale, found.corrupt, found.torn) == (2, [], False)


def test_a_second_writer_is_refused_and_told_the_run(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    path = tmp_path / "journal" / "j"
    with Journal(path) as writer:
        with pytest.raises(StoreError, match=f"run {tmp_path} is being written by another process"):
            Journal(path)
        writer.append(record(1))
    assert list(read_journal(written(path, record(2)))) == [record(1), record(2)]


class Syncs:
    """Counts fdatasync instead of waiting for a disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        self.count += 1


def test_appends_are_synced_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    with Journal(tmp_path / "j", every=10, interval_s=1e9) as writer:
        for number in range(25):
            writer.append(record(number))
        assert syncs.count == 2
        writer.flush()
        writer.flush()
        assert syncs.count == 3
        writer.append(record(25))
    assert syncs.count == 4


def test_appends_are_synced_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    with Journal(tmp_path / "j", every=10**9, interval_s=0.0) as writer:
        writer.append(record(1))
        assert syncs.count == 1


def test_a_record_is_in_the_file_before_it_is_synced(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", every=10**9, interval_s=1e9) as writer:
        writer.append(record(1))
        assert list(read_journal(tmp_path / "j")) == [record(1)]


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_keeps_what_was_there_and_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    real, left = os.write, room

    def nearly_full(fd: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        size = real(fd, bytes(data)[:left])
        left -= size
        return size

    path = tmp_path / "j"
    with Journal(path) as writer:
        writer.append(record(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", nearly_full)
            with pytest.raises(StoreError, match="disk is full") as caught:
                writer.append(record(2))
            assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        assert list(read_journal(path)) == [record(1)]
        writer.append(record(3))
    assert list(read_journal(path)) == [record(1), record(3)]


def test_a_disk_that_refuses_to_sync_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    writer = Journal(tmp_path / "j")
    writer.append(record(1))
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StoreError, match="input/output error"):
        writer.flush()
    with pytest.raises(StoreError):
        writer.close()
    writer.close()
    Journal(tmp_path / "j").close()  # the lock is free


def test_a_directory_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        Journal(tmp_path)
    with pytest.raises(StoreError, match="cannot read"):
        list(read_journal(tmp_path))


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(records, max_size=8), st.integers(1, 200))
def test_any_journal_cut_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, items: list[SampleRecord], cut: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    try:
        path = written(directory / "j", *items)
        whole = list(read_journal(path))
        data = path.read_bytes()[:-cut]
        path.write_bytes(data)
        Journal(path).close()
        assert list(read_journal(path)) == whole[: data.count(b"\n")]
    finally:
        shutil.rmtree(directory)
