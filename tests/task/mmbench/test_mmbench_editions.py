"""MMBench's published files: a file is checked by the counts of its edition, and then by its MD5."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from mmbench_data import questions, write_parquet, write_tsv

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task import registry
from ssl4rl_bench.task.editions import md5_of
from ssl4rl_bench.task.mmbench.taxonomy import EDITIONS, Edition
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile


def test_a_file_of_the_test_that_is_not_the_published_one(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "mine.tsv", questions(3))
    (warning,) = load_task("mmbench_test_en_v11", data=str(path)).warnings
    assert f"MD5 {md5_of(path)} instead of 8d1a704e791df6f5d9fb3ef782b65365" in warning
    assert "an unverified number of rows" in warning
    limited = load_task("mmbench_test_en_v11", data=str(path), limit=2)
    assert limited.warnings == (warning,)


def test_other_counts_than_the_edition_s_are_the_only_warning(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "mine.tsv", questions(3))
    warnings = load_task("mmbench_dev_en", data=str(path)).warnings
    assert len(warnings) == 1 and "instead of 1164 questions" in warnings[0]


@pytest.mark.parametrize("limit", [None, 2])
def test_a_file_with_the_counts_of_its_edition_and_another_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    rows = questions(3)
    path = write_tsv(tmp_path / "mine.tsv", rows)
    parquet = write_parquet(tmp_path / "mine.parquet", rows)
    monkeypatch.setitem(EDITIONS, "dev_v1.0", Edition("three questions", 3, len(rows)))
    file = load_taskfile("mmbench_dev_en")

    def warnings(data: Path, **source: Any) -> tuple[str, ...]:
        assert file.source is not None
        changed = dataclasses.replace(file.source, questions=len(rows), **source)
        monkeypatch.setattr(registry, "load_taskfile", lambda _: dataclasses.replace(file, source=changed))
        return load_task("mmbench_dev_en", data=str(data), limit=limit).warnings

    (warning,) = warnings(path)
    assert "mine.tsv is not the published MMBench_DEV_EN.tsv" in warning and "content may differ" in warning
    assert warnings(parquet) == ()  # another format, which has no MD5 to compare
    assert warnings(path, md5=md5_of(path)) == ()
    (warning,) = warnings(path, editions={md5_of(path): "corrected answers"})
    assert warning == "mine.tsv is another edition of MMBench_DEV_EN.tsv: corrected answers."


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
