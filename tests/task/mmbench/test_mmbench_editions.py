"""MMBench's published files: those of a known edition are recognized by their counts, others by their MD5."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench_data import questions, write_tsv

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.editions import md5_of
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile


def test_a_file_of_the_test_that_is_not_the_published_one(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "mine.tsv", questions(3))
    (warning,) = load_task("mmbench_test_en_v11", data=str(path)).warnings
    assert f"MD5 {md5_of(path)} instead of 8d1a704e791df6f5d9fb3ef782b65365" in warning
    assert "an unverified number of rows" in warning
    limited = load_task("mmbench_test_en_v11", data=str(path), limit=2)
    assert limited.warnings == (warning,)


def test_an_edition_is_recognized_by_its_counts_alone(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "mine.tsv", questions(3))
    warnings = load_task("mmbench_dev_en", data=str(path)).warnings
    assert len(warnings) == 1 and "instead of 1164 questions" in warnings[0]


def test_the_files_before_june_2026_are_known_and_have_no_answers(tmp_path: Path) -> None:
    source = load_taskfile("mmbench_test_en_v11").source
    assert source is not None
    assert source.editions["26f0f15381a21720255091d3e0316ce6"] == "the file before June 2026"
    rows = [{key: value for key, value in row.items() if key != "answer"} for row in questions(2)]
    path = write_tsv(tmp_path / "old.tsv", rows)
    with pytest.raises(
        DataError, match=r"has no answers \(MMBench's test files have none, except those of v1\.1"
    ):
        load_task("mmbench_test_en_v11", data=str(path))
