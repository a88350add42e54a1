"""Small files that expand are refused in bounded memory; large ones show progress; --limit reads what it needs."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench_data import COLUMNS, question, questions, write_parquet, write_tsv

from ssl4rl_bench.cli.progress import LoadProgress, Pace
from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import Categories
from ssl4rl_bench.task.mmbench.rows import MAX_TEXT_CHARS, parse_rows
from ssl4rl_bench.task.mmbench.task import limited_groups
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.tables.files import read_path, read_tsv
from ssl4rl_bench.task.tables.parquet import read_parquet

MIB = 1 << 20
MOST = 1100 * MIB
"""Peak resident memory of a command that refuses a file. Its imports and a page under the limit need half of it."""


def table(n: int, **columns: Any) -> pa.Table:
    """MMBench's columns for n main rows."""
    image = base64.b64encode(question()[0]["image"]).decode()
    plain: dict[str, Any] = {
        "index": pa.array(range(n), pa.int64()),
        "question": ["What?"] * n,
        "A": ["a"] * n,
        "B": ["b"] * n,
        "answer": ["A"] * n,
        "image": [image] * n,
    }
    return pa.table(plain | columns)


def coded(n: int, size: int, kind: Any = None) -> pa.Array:
    """A cell of this many bytes, stored once, in each of n rows."""
    value = pa.array(["x" * size], kind or pa.string())
    return pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), value)


def structs(n: int, size: int) -> pa.Array:
    return pa.StructArray.from_arrays(
        [coded(n, size, pa.binary()), pa.nulls(n, pa.string())], ["bytes", "path"]
    )


ZSTD = {"compression": "zstd"}
PLAIN = {**ZSTD, "use_dictionary": False}
BOMBS: dict[str, Callable[[], tuple[pa.Table, dict[str, Any]]]] = {
    "a dictionary-coded text of 100 MiB": lambda: (table(100, question=coded(100, 100 * MIB)), ZSTD),
    "a dictionary-coded text of 50 MiB": lambda: (table(1000, question=coded(1000, 50 * MIB)), ZSTD),
    "a dictionary-coded text of 2 MiB in many rows": lambda: (
        table(20_000, hint=coded(20_000, 2 * MIB)),
        ZSTD,
    ),
    "an option of 100 MiB": lambda: (table(64, B=coded(64, 100 * MIB)), ZSTD),
    "plain texts": lambda: (table(30, question=["y" * (10 * MIB)] * 30), PLAIN),
    "plain texts in pages of their own": lambda: (
        table(60, question=["y" * (10 * MIB)] * 60),
        {**PLAIN, "data_page_size": 1, "write_batch_size": 1},
    ),
    "snappy": lambda: (table(64, question=["y" * (8 * MIB)] * 64), {**PLAIN, "compression": "snappy"}),
    "repeated prefixes": lambda: (
        table(60, question=["y" * (30 * MIB)] * 60),
        {**PLAIN, "column_encoding": {"question": "DELTA_BYTE_ARRAY"}, "write_statistics": False},
    ),
    "huge image cells": lambda: (table(100, image=coded(100, 100 * MIB)), ZSTD),
    "huge image cells under the page's limit": lambda: (table(1000, image=coded(1000, 50 * MIB)), ZSTD),
    "huge image bytes in structs": lambda: (table(1000, image=structs(1000, 50 * MIB)), ZSTD),
    "a billion nulls": lambda: (
        pa.table(
            {
                name: pa.nulls(50_000_000, pa.string())
                for name in ("index", "question", "A", "B", "image", "answer")
            }
        ),
        {**ZSTD, "data_page_size": 1 << 30, "write_batch_size": 50_000_000},
    ),
    "lists for texts": lambda: (
        table(20, question=pa.array([[None] * 1_000_000] * 20, pa.list_(pa.int64()))),
        ZSTD,
    ),
    "structs of lists for images": lambda: (
        table(5, image=pa.array([{"bytes": [b""] * 1_000_000}] * 5)),
        ZSTD,
    ),
    "very many columns": lambda: (
        table(1, **{f"column {number} {'x' * 400}": ["y"] for number in range(60_000)}),
        {**ZSTD, "write_statistics": False},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_parquet_file_that_expands_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    made, how = BOMBS[name]()
    pq.write_table(made, tmp_path / "a.parquet", **how)
    del made
    code = (
        "import re, resource\nfrom pathlib import Path\n"
        "from ssl4rl_bench.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({8 << 30}, {8 << 30}))\n"
        "try:\n    main()\n"
        "finally:\n    print('peak', re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = forked.run(
        [sys.executable, "-c", code, "validate", "mmbench_dev_en", "--data", "a.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("loading ")]
    assert done.returncode == 2, told[-20:]
    assert len(told) == 1 and told[0].startswith("error: a.parquet")
    assert 0 < int(done.stdout.split("peak ")[1]) << 10 < MOST


@pytest.mark.slow
def test_the_longest_text_and_one_more(tmp_path: Path) -> None:
    rows = question(0, question="x" * MAX_TEXT_CHARS) + question(1, ["x" * MAX_TEXT_CHARS, "b", "c", "d"])
    for path in (write_tsv(tmp_path / "a.tsv", rows), write_parquet(tmp_path / "a.parquet", rows)):
        assert not parse_rows("a", read_path(path)).problems
    rows = question(0, question="x" * (MAX_TEXT_CHARS + 1)) + question(1, ["a", "x" * (MAX_TEXT_CHARS + 1)])
    for path in (write_tsv(tmp_path / "a.tsv", rows), write_parquet(tmp_path / "a.parquet", rows)):
        told = [str(problem) for problem in parse_rows("a", read_path(path)).problems]
        assert "the question has 1,000,001 characters, over the limit of 1,000,000" in told[0]
        assert "option B has 1,000,001 characters" in told[4]


def test_a_text_file_s_rows_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl4rl_bench.task.tables.files.MAX_RECORD_CHARS", 1000)
    head = "\t".join(COLUMNS) + "\n"
    for body in ("x" * 2000, "x" * 2000 + "\n", '"' + "x\n" * 1000, '"a\n"\t' * 500):
        (tmp_path / "a.tsv").write_text(head + body)
        with pytest.raises(DataError, match=r"a\.tsv, line 2 is longer than"):
            list(read_tsv(tmp_path / "a.tsv"))
    (tmp_path / "a.tsv").write_text("x" * 2000)
    with pytest.raises(DataError, match=r"a\.tsv, line 1 is longer than"):
        list(read_tsv(tmp_path / "a.tsv"))


@pytest.mark.parametrize("coding", [True, False])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_real_data_is_read_whatever_its_coding(
    coding: bool, version: str, compression: str, tmp_path: Path
) -> None:
    rows = questions(40, hint="a hint") + question(90, ["one", "two", "three"])
    how = {"use_dictionary": coding, "data_page_version": version, "compression": compression}
    pictures = [{"bytes": row["image"], "path": None} for row in rows]
    columns = {name: [row[name] for row in rows] for name in COLUMNS if name != "image"} | {"image": pictures}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=50, **how)
    read = parse_rows("a", read_parquet(tmp_path / "a.parquet"))
    assert not read.problems
    assert read.rows == parse_rows("b", read_path(write_tsv(tmp_path / "b.tsv", rows))).rows


@pytest.mark.slow
def test_large_pages_of_real_images_are_read(tmp_path: Path) -> None:
    """A writer's page holds up to 1,024 values, whatever their size: 80 MiB of what does not compress is no bomb."""
    import os

    cells = [os.urandom(MIB) for _ in range(80)]
    pq.write_table(table(80, image=cells), tmp_path / "a.parquet", use_dictionary=False)
    assert [row["image"] for _, row in read_parquet(tmp_path / "a.parquet")] == cells  # type: ignore[index]


DOUBLES = [
    (["index", "question", "question", "A", "B", "answer", "image"], "the column 'question' twice"),
    (["index", "question", "A", "B", "answer", "image", "comment", "comment"], "the column 'comment' twice"),
    (["index", "question", "A", "A", "B", "answer", "image"], "the column 'A' twice"),
    (["index", "question", "A", "B", "answer", "Answer", "image"], "the columns 'answer' and 'Answer'"),
    (
        ["index", "question", "A", "B", "answer", "image", "l2-category", "L2 category"],
        "'L2 category', which mean",
    ),
    (["index", "question", "A", "a", "B", "answer", "image"], "the columns 'A' and 'a'"),
]


@pytest.mark.parametrize(("names", "words"), DOUBLES)
@pytest.mark.parametrize("kind", ["tsv", "parquet"])
def test_a_column_that_is_there_twice_is_refused(
    names: list[str], words: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "tsv":
        path.write_text("\t".join(names) + "\n" + "\t".join("1" for _ in names) + "\n")
    else:
        pq.write_table(pa.Table.from_arrays([pa.array(["1"])] * len(names), names=names), path)
    with pytest.raises(DataError, match=words) as error:
        load_task("mmbench_dev_en", data=str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["tsv", "parquet", "folder"])
def test_a_limit_decodes_the_images_that_it_keeps(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = questions(40)
    path = tmp_path / kind
    if kind == "tsv":
        write_tsv(path, rows)
    elif kind == "parquet":
        write_parquet(path, rows, base64_images=True)
    else:
        path.mkdir()
        write_parquet(path / "dev-00000-of-00002.parquet", rows[:70])
        write_parquet(path / "dev-00001-of-00002.parquet", rows[70:])
    whole = load_task("mmbench_dev_en", data=str(path))
    seen: list[bytes] = []
    monkeypatch.setattr(images, "stored_size", lambda data: seen.append(data))
    limited = load_task("mmbench_dev_en", data=str(path), limit=6)
    assert limited.n_groups == 6 and len(limited.samples) == 24
    assert len(seen) == (
        24 if kind == "folder" else 6
    )  # base64 that is the same in all copies is decoded once
    assert all(sample in whole.samples for sample in limited.samples)
    assert limited.partial_reasons == ("limited to 6 of 40 questions",)
    assert load_task("mmbench_dev_en", data=str(path), limit=40).data_sha256 == whole.data_sha256


def test_a_limit_finds_images_that_other_rows_hold(tmp_path: Path) -> None:
    """The row that holds the image may be of a question that is not kept."""
    rows = questions(8)
    for row in rows:
        row["image"] = rows[0]["image"] if row is rows[0] else "0"
    path = write_tsv(tmp_path / "a.tsv", list(reversed(rows)))
    whole = {sample.id: sample for sample in load_task("mmbench_dev_en", data=str(path)).samples}
    limited = load_task("mmbench_dev_en", data=str(path), limit=3)
    assert limited.n_groups == 3
    assert all(sample == whole[sample.id] for sample in limited.samples)


def test_a_bad_image_among_those_that_a_limit_keeps(tmp_path: Path) -> None:
    rows = questions(10)
    rows[10]["image"] = b"no image" * 20
    path = write_tsv(tmp_path / "a.tsv", rows)
    with pytest.raises(DataError, match=r"line 12 \(index 1000000\): the image cannot be used"):
        load_task("mmbench_dev_en", data=str(path), limit=10)
    task = load_task("mmbench_dev_en", data=str(path), limit=10, skip_bad=True)
    assert (task.n_groups, task.n_groups_skipped) == (9, 1)
    whole = load_task("mmbench_dev_en", data=str(path), skip_bad=True)
    assert task.data_sha256 == whole.data_sha256 and task.partial_reasons == whole.partial_reasons
    assert load_task("mmbench_dev_en", data=str(path), limit=9, skip_bad=True).n_groups == 9


class Screen:
    """A console without a terminal."""

    is_terminal = False


def test_progress_is_told_every_ten_seconds_and_only_if_it_takes_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LoadProgress(Screen(), "a.tsv") as tell:  # type: ignore[arg-type]
        for step in range(1000):
            tell(step / 1000)
    assert capsys.readouterr().err == ""
    clock = count(step=0.02)
    progress = LoadProgress(Screen(), "a.tsv", Pace(lambda: next(clock)))  # type: ignore[arg-type]
    progress.AFTER_S = 0.0
    with progress as tell:
        for step in [*range(1001), *range(1001)]:
            tell(step / 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["loading a.tsv: 0%", "loading a.tsv: 50%", "loading a.tsv: 100%"]
    assert lines[-1] == "loading a.tsv, pass 2: 100%" and len(lines) <= 6


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
@pytest.mark.slow
def test_a_reader_says_how_far_it_is(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (write_tsv if kind == "tsv" else write_parquet)(path, questions(700))
    shares: list[float] = []
    load_task("mmbench_dev_en", data=str(path), on_share=shares.append)
    assert shares == sorted(shares) and 0 <= shares[0] <= shares[-1] <= 1
    assert shares[-1] > 0.8 and len(shares) > 4


def test_a_limit_above_any_size_keeps_everything() -> None:
    places = [(number, Categories("l1", f"l2-{number % 2}", "l3")) for number in range(5)]
    assert limited_groups(places, 10**25) == set(range(5))
