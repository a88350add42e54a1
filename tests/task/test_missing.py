"""Errors about missing data: they name the file, its size, MD5 and address, and the command that downloads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import bench

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import BenchError, DataError, UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.task import sources
from ssl4rl_bench.task.datasource import DataSource
from ssl4rl_bench.task.missing import published, task_of_data, where_to_get
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import TaskFile, load_taskfile, task_names

PUBLISHED = [task for task in map(load_taskfile, task_names()) if task.source and task.source.file]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No downloaded file, and a hub that does not answer."""

    def fail(name: object, **_: Any) -> None:
        raise DataError(f"no data set '{name}': the hub does not answer")

    monkeypatch.setenv("SSL4RL_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(sources, "open_table", fail)
    monkeypatch.setattr("ssl4rl_bench.task.pictures.sources.open_table", fail)


def missing(task: TaskFile, message: str) -> None:
    source = task.source
    assert source is not None and source.file is not None and source.url is not None
    for part in (source.file, "size not stated", f"MD5 {source.md5}", source.url):
        assert part in message, (task.name, part, message)
    assert f"`ssl4rl-bench fetch {short_name(task.name)}` downloads it, or give the path of a copy" in message
    assert "\n" not in message


def test_the_published_files_are_those_of_mmbench_and_sixteen_benchmarks() -> None:
    kinds = [task.kind for task in PUBLISHED]
    assert (kinds.count("mmbench"), kinds.count("questions"), len(kinds)) == (5, 16, 21)


@pytest.mark.parametrize("task", PUBLISHED, ids=lambda task: short_name(task.name))
def test_a_task_without_its_data_says_where_the_file_is(task: TaskFile, tmp_path: Path) -> None:
    for data in (None, "owner/name", "no-such-file.tsv"):
        with pytest.raises(BenchError) as caught:
            load_task(task.name, data=data)
        missing(task, str(caught.value))


def test_images_from_such_a_file_or_task_say_it_too() -> None:
    task = load_taskfile("mmstar")
    for images in ("folder/MMStar.tsv", "mmstar", "Lin-Chen/MMStar"):
        with pytest.raises(BenchError) as caught:
            load_task("ssl_rotation_90", data=images)
        missing(task, str(caught.value))
    with pytest.raises(UsageError, match=r"There are no images nowhere\.tsv: give a folder .* name\.$"):
        load_task("ssl_rotation_90", data="nowhere.tsv")


def test_the_command_and_the_api_say_the_same(tmp_path: Path) -> None:
    asked = ("run", "--model", "m", "--engine", "mock", "--tasks", "mmstar", "--out", tmp_path / "run")
    done = bench(*asked)
    assert done.code == 2
    with pytest.raises(DataError) as caught:
        sb.evaluate("m", "mmstar", engine="mock", out=tmp_path / "run")
    assert done.err.strip() == f"error: {caught.value}"
    missing(load_taskfile("mmstar"), done.err.strip())


def test_what_a_task_file_does_not_state_is_not_made_up() -> None:
    assert (
        published(DataSource(file="a.tsv")) == "a.tsv (size not stated, MD5 not stated, address not stated)"
    )
    known = DataSource(file="a.tsv", size=1234567, md5="0" * 32, url="https://example.org/a.tsv")
    assert published(known) == f"a.tsv (1,234,567 bytes, MD5 {'0' * 32}, https://example.org/a.tsv)"
    assert where_to_get(load_taskfile("scenes")) == "" and task_of_data("scenes.tsv") is None
