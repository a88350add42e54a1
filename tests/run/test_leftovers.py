"""What killed writers leave behind, and folders that are empty but for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import SyntheticTask, spec_of

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.datasets import place
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.rundir import RunDir

TASK = SyntheticTask()
SPEC = spec_of(TASK, MockEngine(None, EngineOptions()))
NAMES = ["spec.json", "outcomes.json", "result.json", "exec.json", "series.json", "odd name.v2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_removes_what_a_killed_writer_left(tmp_path: Path, name: str) -> None:
    with RunDir.create(tmp_path / "run", SPEC):
        pass
    images = tmp_path / "run" / "images" / "ab"
    images.mkdir(parents=True)
    for left in (atomic.scratch_path(tmp_path / "run" / name), atomic.scratch_path(images / "abcd")):
        left.write_text("half")
    (tmp_path / "run" / ".mine.tmp").write_text("kept")
    with RunDir.create(tmp_path / "run", SPEC):
        pass
    assert [path.name for path in tmp_path.rglob("*.tmp")] == [".mine.tmp"]


@pytest.mark.parametrize("inside", ["lost+found", *(f".{name}.0123abcd.tmp" for name in NAMES)])
def test_a_folder_that_holds_only_such_is_empty(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir() if inside == "lost+found" else (tmp_path / inside).write_text("half")
    with RunDir.create(tmp_path, SPEC):
        pass
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        RunDir.create(other, SPEC)


def test_a_file_is_not_left_twice_and_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    dead, alive, foreign = (tmp_path / f".a.json.{n}.tmp" for n in ("00", "11", "xyz"))
    for path in (dead, alive, foreign):
        path.write_text("half")
    with atomic.held(alive):
        atomic.write_json(tmp_path / "a.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.11.tmp", ".a.json.xyz.tmp", "a.json"]
    atomic.write_json(tmp_path / "b.json", {})
    assert alive.exists(), "only what was to become the same file"


def test_a_build_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".dk.0123abcd.tmp", tmp_path / ".dk.4567abcd.tmp"
    for path in (dead, alive):
        path.mkdir()
        (path / "data.parquet").write_text("half")
    with atomic.held(alive), place.replaced_folder(tmp_path / "dk") as scratch:
        (scratch / "x").write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "dk"]
