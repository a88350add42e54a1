"""The history: what is read is what was written, or nothing."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.watch.history import (
    Change,
    Entry,
    History,
    ProbeSight,
    best_run,
    decode_entry,
    encode_entry,
    exit_verdict,
)
from ssl4rl_bench.watch.pages import headline

shares = st.floats(-1, 1, allow_nan=False)
made_changes = st.builds(
    Change,
    task=st.text(),
    name=st.text(),
    probe=st.booleans(),
    n=st.integers(0, 10**6),
    baseline=shares,
    candidate=shares,
    value=shares,
    ci95=st.none() | st.tuples(shares, shares),
    p_corrected=shares,
)
made_margins = st.builds(
    ProbeSight,
    task=st.text(),
    accuracy=st.none() | shares,
    chance=shares,
    value=st.none() | shares,
    ci95=st.none() | st.tuples(shares, shares),
    p=st.none() | shares,
    n=st.integers(0, 10**6),
    form=st.text(),
    reason=st.text(),
)
made_entries = st.builds(
    Entry,
    name=st.text(min_size=1),
    step=st.integers(0, 10**9),
    part=st.integers(0, 9),
    fingerprint=st.text("0123456789abcdef", min_size=64, max_size=64),
    run=st.text(),
    terms=st.text(),
    verdict=st.sampled_from(["pass", "fail", "inconclusive", "baseline"]),
    verdict_best=st.none() | st.sampled_from(["pass", "fail", "inconclusive"]),
    number=st.integers(0, 1000),
    alpha=shares,
    best=st.booleans(),
    reasons=st.lists(st.text(), max_size=3).map(tuple),
    hint=st.none() | st.text(),
    changes=st.lists(made_changes, max_size=3).map(tuple),
    margins=st.lists(made_margins, max_size=3).map(tuple),
)


def entry(name: str = "step-000050", **changes: object) -> Entry:
    fields: dict[str, object] = {
        "name": name, "step": 50, "part": 0, "fingerprint": "f" * 64, "run": f"runs/{name}", "terms": "t",
        "verdict": "pass", "verdict_best": None, "number": 1, "alpha": 0.025, "best": False,
    }  # fmt: skip
    return Entry(**(fields | changes))  # type: ignore[arg-type]


def test_the_heading_of_the_page_says_what_decided_the_last_verdict_and_which_was_accepted() -> None:
    base = entry("step-000050", verdict="baseline", best=True)
    failed = entry(
        "step-000100",
        verdict="fail",
        reasons=("fail: scenes, Coarse: -9.00 points", "inconclusive: scenes, overall: -1.00 points"),
    )
    assert headline([base]) == "BASELINE: step-000050; best accepted: step-000050"
    assert headline([base, failed]) == (
        "FAIL: step-000100, scenes, Coarse: -9.00 points; best accepted: step-000050"
    )
    assert headline([entry("step-000050", verdict="pass")]) == "PASS: step-000050; none accepted"


@given(made_entries)
def test_a_line_reads_back(made: Entry) -> None:
    line = encode_entry(made)
    assert line.endswith("\n") and line.isascii() and line.count("\n") == 1
    assert decode_entry(line[:-1].encode()) == made


@given(made_entries, st.data())
def test_a_flipped_bit_or_a_cut_shows(made: Entry, data: st.DataObject) -> None:
    line = encode_entry(made)[:-1].encode()
    at, bit = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(line)
    flipped[at] ^= 1 << bit
    assert decode_entry(bytes(flipped)) is None
    assert decode_entry(line[:at]) is None


def test_a_line_from_before_margins_reads() -> None:
    line = encode_entry(entry())
    older = line[: line.index(', "margins": []')] + "}"
    older = f'{older[:-1]}, "crc": "{zlib.crc32(older.encode()):08x}"}}'
    assert decode_entry(older.encode()) == entry()


def test_lines_are_kept_and_the_last_best_counts(tmp_path: Path) -> None:
    with History(tmp_path / "out") as history:
        assert history.best is None
        for made in (entry("a", best=True), entry("b"), entry("c", best=True), entry("d")):
            history.add(made)
    with History(tmp_path / "out") as again:
        assert [each.name for each in again.entries] == ["a", "b", "c", "d"]
        assert again.best is not None and again.best.name == "c"
        assert again.knows("b", "f" * 64) and not again.knows("b", "e" * 64)


def test_a_damaged_history_is_no_history(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        history.add(entry("a"))
        history.add(entry("b"))
    history.path.write_bytes(history.path.read_bytes().replace(b"pass", b"fail", 1))
    with History(tmp_path) as again:
        assert again.damaged and again.entries == []


def test_another_schema_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl4rl_bench.watch.history.SCHEMA", 7)
    with History(tmp_path) as history:
        history.add(entry())
    monkeypatch.undo()
    with pytest.raises(StoreError, match="schema 7"):
        History(tmp_path)


def test_one_process_watches_into_a_folder(tmp_path: Path) -> None:
    with History(tmp_path), pytest.raises(StoreError, match="another process"):
        History(tmp_path)
    History(tmp_path).close()


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], "pass"),
        (["baseline", "pass"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["fail", "inconclusive", "pass"], "fail"),
    ],
)
def test_the_worst_verdict_is_the_exit_code_s(verdicts: list[str], worst: str) -> None:
    assert exit_verdict([entry(verdict=each) for each in verdicts]) == worst


def test_the_best_run_of_a_watch(tmp_path: Path) -> None:
    assert best_run(tmp_path) is None
    with History(tmp_path) as history:
        history.add(entry("step-000050"))
        with pytest.raises(StoreError, match="accepted no checkpoint"):
            best_run(tmp_path)
        history.add(entry("step-000100", best=True))
        history.add(entry("step-000150"))
    assert best_run(tmp_path) == tmp_path / "runs" / "step-000100"
    history.path.write_text(history.path.read_text().replace("000150", "000151", 1))
    with pytest.raises(StoreError, match="damaged"):
        best_run(tmp_path)
