"""The journal of likelihoods: what is read is what was written, whatever byte a crash or a fault left it at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.likelihoods import (
    LikelihoodRecord,
    decode_likelihoods,
    digest_of,
    encode_likelihoods,
    merge_likelihoods,
    read_likelihoods,
)

any_text = st.text(st.characters(exclude_categories=[]))
numbers = st.floats(-1e6, 0.0, allow_nan=False)


@st.composite
def made_records(draw: st.DrawFn) -> LikelihoodRecord:
    """A record with values, or with an error."""
    answers = tuple(draw(st.lists(any_text, min_size=1, max_size=4)))
    row = st.lists(numbers, min_size=len(answers), max_size=len(answers)).map(tuple)
    values, error = tuple(draw(st.lists(row, min_size=1, max_size=3))), None
    if draw(st.booleans()):
        values, error = (), draw(any_text)
    texts = digest_of(answers)
    return LikelihoodRecord(draw(any_text), draw(any_text), texts, draw(any_text), answers, values, error)


RECORDS = [LikelihoodRecord(str(n), "k", "t", "…", ("0", "90"), ((-1.5, -0.25),)) for n in range(3)]
KEYS = {record.id: "k" for record in RECORDS}


@settings(max_examples=examples(200))
@given(made_records())
def test_a_line_of_likelihoods_reads_back(record: LikelihoodRecord) -> None:
    line = encode_likelihoods(record)
    assert line.endswith(b"\n") and line.isascii() and line.count(b"\n") == 1
    read = decode_likelihoods(line[:-1])
    assert read is not None
    # A pair of surrogates is read back as the one character that it stands for.
    assert encode_likelihoods(read) == line


@settings(max_examples=examples(200))
@given(made_records(), st.data())
def test_a_flipped_bit_or_a_cut_of_likelihoods_shows(record: LikelihoodRecord, data: st.DataObject) -> None:
    line = encode_likelihoods(record)[:-1]
    place, bit = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(line)
    flipped[place] ^= 1 << bit
    assert decode_likelihoods(bytes(flipped)) is None
    assert decode_likelihoods(line[:place]) is None


@pytest.mark.parametrize(
    "changes",
    [{"values": ()}, {"values": ((-1.0,),)}, {"error": "no", "values": ((-1.0, -2.0),)}, {"answers": (1, 2)}],
)
def test_a_sound_line_whose_parts_do_not_fit_is_not_used(changes: dict[str, object]) -> None:
    line = encode_likelihoods(replace(RECORDS[0], **changes))  # type: ignore[arg-type]
    assert decode_likelihoods(line[:-1]) is None


def test_a_likelihood_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        encode_likelihoods(replace(RECORDS[0], values=((float("-inf"), 0.0),)))


def test_after_a_crash_at_any_byte_all_complete_lines_are_there(tmp_path: Path) -> None:
    lines = [encode_likelihoods(record) for record in RECORDS]
    path, whole_file = tmp_path / "run" / "likelihoods.jsonl", b"".join(lines)
    path.parent.mkdir()
    for size in range(len(whole_file) + 1):
        path.write_bytes(whole_file[:size])
        n = whole_file[:size].count(b"\n")
        assert list(read_likelihoods(path, KEYS).values()) == RECORDS[:n]
        if size % 37 == 0:  # opening the file for writing takes an fsync
            with Journal(path) as journal:
                for line in lines[n:]:
                    journal.append_line(line)
            assert path.read_bytes() == whole_file


def test_the_latest_record_with_the_present_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "likelihoods.jsonl"
    other = replace(RECORDS[0], key="other weights", values=((-9.0, -9.0),))
    later = replace(RECORDS[0], values=((-2.0, -3.0),))
    path.write_bytes(b"".join(map(encode_likelihoods, [RECORDS[0], later, other])))
    assert read_likelihoods(path, KEYS) == {"0": later}
    assert read_likelihoods(tmp_path / "none.jsonl", KEYS) == {}


def test_merged_likelihoods_are_those_of_all_shards(tmp_path: Path) -> None:
    places = [tmp_path / f"{n}.jsonl" for n in range(3)]
    for place, record in zip(places[:2], RECORDS, strict=False):
        place.write_bytes(encode_likelihoods(record))
    merged = tmp_path / "run" / "likelihoods" / "task.jsonl"
    merged.parent.parent.mkdir()
    merge_likelihoods(places, KEYS, merged)
    assert list(read_likelihoods(merged, KEYS).values()) == RECORDS[:2]
    merge_likelihoods(places[2:], KEYS, tmp_path / "nothing.jsonl")
    assert not (tmp_path / "nothing.jsonl").exists()
