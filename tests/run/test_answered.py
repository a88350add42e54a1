"""The scan of a resumed run finds what reading all records finds, in any journal."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.run import answered
from ssl4rl_bench.run.answered import Answered, find_answered
from ssl4rl_bench.run.journal import answers, encode_record

RECORD = SampleRecord("7", 0, "7", "ab" * 32, "a reply", "stop", 12, 3, 0.25, None)
IDS = st.sampled_from(
    ["1", "1000241", "a-0-other", 'with "quotes"', "back\\slash", "题", "", "\x00", "\ud800"]
)
KEYS = st.sampled_from(["ab" * 32, "cd" * 32, "short", ""])
RECORDS = st.builds(
    SampleRecord,
    id=IDS,
    repeat=st.integers(0, 2),
    group=IDS,
    key=KEYS,
    text=st.text(max_size=30),
    finish_reason=st.sampled_from(["stop", "length", "error"]),
    n_prompt_tokens=st.integers(0, 10**6),
    n_completion_tokens=st.integers(0, 10**6),
    latency_s=st.floats(0, 1e9) | st.just(1e-9) | st.just(0),
    error=st.none() | st.text(max_size=10),
    reasoning=st.just("") | st.text(max_size=10),
)


def checked(body: bytes) -> bytes:
    """A line with a right checksum, whatever it says."""
    return body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body) + b"\n"


def flipped(record: SampleRecord, bit: int) -> bytes:
    line = bytearray(encode_record(record))
    line[bit // 8 % (len(line) - 1)] ^= 1 << bit % 8
    return bytes(line) if b"\n" not in line[:-1] and line.endswith(b"\n") else encode_record(record)


LINES = (
    RECORDS.map(encode_record)
    | st.builds(flipped, RECORDS, st.integers(0, 4000))
    | st.sampled_from(
        [
            b"\n",
            b"{}\n",
            checked(b"{}"),
            checked(b'{"id":"1"}'),
            checked(b'{"id":"1","repeat":00}'),
            b"\xff\n",
        ]
    )
)


def same(path: Path, keys: dict[tuple[str, int], str]) -> Answered:
    """Checks the scan against reading all records; returns it."""
    whole, scan = answers(path, keys), find_answered(path, keys)
    assert scan == Answered(
        {place for place, record in whole.records.items() if record.error is None},
        whole.n_stale,
        whole.corrupt,
        whole.torn,
    )
    return scan


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(LINES, max_size=12),
    st.dictionaries(st.tuples(IDS, st.integers(0, 2)), KEYS),
    st.integers(0, 30),
)
def test_the_scan_finds_what_reading_all_records_finds(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    keys: dict[tuple[str, int], str],
    n_torn: int,
) -> None:
    path = tmp_path_factory.mktemp("journal") / "task.jsonl"
    data = b"".join(lines)
    path.write_bytes(data[: len(data) - n_torn] if n_torn < len(data) else data)
    same(path, keys)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": 'A "quoted" \\ text\n\twith \x00 and \u2028 and 😀 and \ud800'},
        {"reasoning": "because"},
        {"latency_s": 1e-07},
        {"latency_s": 12345678901.5},
        {"finish_reason": "length", "repeat": 123456},
        {"error": "it failed", "finish_reason": "error", "text": ""},
    ],
)
def test_lines_as_they_are_written_are_not_decoded(changes: dict[str, Any], tmp_path: Path) -> None:
    record = replace(RECORD, **changes)
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode_record(record) * 3)
    keys = {(record.id, record.repeat): record.key}
    with mock.patch.object(answered, "decode_record", side_effect=AssertionError):
        scan = find_answered(path, keys)
    assert scan.places == (set(keys) if record.error is None else set())
    same(path, keys)


@pytest.mark.parametrize("id", ["题", 'a"b', "a\\b", "a\n", "\x7f\ud800"])
def test_ids_with_special_characters_are_decoded(id: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode_record(replace(RECORD, id=id)))
    assert same(path, {(id, 0): RECORD.key}).places == {(id, 0)}


@pytest.mark.parametrize(
    "changed",
    [
        b'"repeat":00,',
        b'"repeat":0.0,',
        b'"repeat":true,',
        b'"repeat":0,"repeat":0,',
        b'"repeat":0 ,',
        b'"repeat":-0,',
        b'"repeat":0,"more":1,',
    ],
)
def test_lines_of_another_form_count_as_they_do_when_they_are_read(changed: bytes, tmp_path: Path) -> None:
    fields = {name: getattr(RECORD, name) for name in SampleRecord.__slots__ if name != "reasoning"}
    body = json.dumps(fields, separators=(",", ":")).encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(checked(body.replace(b'"repeat":0,', changed)))
    same(path, {("7", 0): RECORD.key})


def test_a_later_reply_answers_a_failed_request_and_a_later_error_does_not_undo_a_reply(
    tmp_path: Path,
) -> None:
    failed = replace(RECORD, error="no", finish_reason="error", text="")
    other = replace(failed, id="8")
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(map(encode_record, (failed, RECORD, failed, other))))
    assert same(path, {("7", 0): RECORD.key, ("8", 0): RECORD.key}).places == {("7", 0)}


def test_a_missing_journal_answers_nothing_and_an_unreadable_one_is_an_error(tmp_path: Path) -> None:
    assert find_answered(tmp_path / "none.jsonl", {}) == Answered()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError):
        find_answered(tmp_path / "folder", {})
