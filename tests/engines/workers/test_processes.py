"""Processes that name a folder, and those below them, are found and ended; no other is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl4rl_bench.engines.workers.processes import end, processes_of

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
print(child.pid, flush=True)
time.sleep(100)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process whose arguments name `tmp_path`, and the process id of its child."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, f"--folder={tmp_path}/session"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    yield parent, int(parent.stdout.readline())
    end(processes_of(tmp_path), 0.0)
    parent.wait(10)


def test_the_child_of_a_process_that_names_the_folder_is_its_process_too(
    family: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    parent, child = family
    assert processes_of(tmp_path).keys() == {parent.pid, child}
    assert processes_of(tmp_path / "other") == {}


def test_a_process_that_this_one_did_not_start_is_left_alone(tmp_path: Path) -> None:
    """Such as a user's `tail` of a log in the folder."""
    code = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    command = [sys.executable, "-c", "import time; time.sleep(100)", "{tmp_path}/log"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    pid = int(done.stdout)
    try:
        assert Path(f"/proc/{pid}").exists() and processes_of(tmp_path) == {}
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_what_does_not_end_is_killed_even_if_its_parent_has_ended(
    family: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    parent, _ = family
    processes = processes_of(tmp_path)
    parent.kill()
    parent.wait(10)
    began = time.monotonic()
    end(processes, 0.2)
    assert 0.1 < time.monotonic() - began < 10
    end(processes, 10.0)
    assert time.monotonic() - began < 9, "nothing is left to wait for"


def test_another_process_with_the_same_id_is_left_alone(
    family: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    parent, child = family
    end({parent.pid: "1", child: "1", 2**22 + 1: "5"}, 0.0)
    time.sleep(0.1)
    assert parent.poll() is None and processes_of(tmp_path).keys() == {parent.pid, child}
