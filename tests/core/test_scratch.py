"""Temporary folders: gone at the end, and removed for processes that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ssl4rl_bench.core.scratch import MIN_AGE_S, ScratchFolder

CHILD = """
import sys, time
from ssl4rl_bench.core.scratch import ScratchFolder
folder = ScratchFolder("pictures")
print(folder.name, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def aged(folder: Path, seconds: float = 2 * MIN_AGE_S) -> Path:
    os.utime(folder, (time.time() - seconds,) * 2)
    return folder


def abandoned(root: Path, name: str = "ssl4rl-pictures-x") -> Path:
    (root / name / "inside").mkdir(parents=True)
    (root / name / "inside" / "file").write_bytes(b"x")
    return aged(root / name)


def test_a_folder_is_gone_at_the_end(root: Path) -> None:
    with ScratchFolder("pictures") as name:
        Path(name, "file").write_bytes(b"x")
        assert Path(name).parent == root and Path(name).name.startswith("ssl4rl-pictures-")
    assert not list(root.iterdir())


def test_no_descriptor_is_left_open() -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        folder = ScratchFolder("pictures")
        folder.cleanup()
        folder.cleanup()
    assert len(list(descriptors.iterdir())) == before


def test_folders_of_processes_that_were_killed_are_removed(root: Path) -> None:
    env = {**os.environ, "TMPDIR": str(root)}
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        theirs = aged(Path(child.stdout.readline().strip()))
        with ScratchFolder("pictures"):
            assert theirs.is_dir()  # old, but its process is alive
        child.send_signal(signal.SIGKILL)
        child.wait()
    aged(theirs)
    with ScratchFolder("pictures"):
        assert not theirs.exists()


def test_what_may_be_in_use_or_belongs_to_others_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    young = abandoned(root, "ssl4rl-pictures-young")
    os.utime(young)
    other = abandoned(root, "ssl4rl-lmms-x")
    target = abandoned(root, "elsewhere")
    link = root / "ssl4rl-pictures-link"
    link.symlink_to(target)
    file = root / "ssl4rl-pictures-file"
    file.write_bytes(b"x")
    aged(file)
    with ScratchFolder("pictures"):
        pass
    assert all(path.exists() for path in (young, other, target / "inside" / "file", link, file))
    monkeypatch.setattr(os, "getuid", lambda: -1)
    foreign = abandoned(root)
    with ScratchFolder("pictures"):
        assert foreign.exists()
