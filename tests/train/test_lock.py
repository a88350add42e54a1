"""One training run per folder: who holds the lock, and what happens to the lock of a dead run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import forked
import pytest

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.train import lock

HOLDS = """
import sys, time
from pathlib import Path
from ssl4rl_bench.train.lock import acquire
acquire(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(600)
"""


def test_the_lock_names_host_and_process_and_is_removed_at_the_end(tmp_path: Path) -> None:
    held = lock.acquire(tmp_path / "new" / "run")
    told = json.loads((tmp_path / "new" / "run" / ".lock").read_text())
    assert (told["host"], told["pid"]) == (lock.Holder.current().host, os.getpid())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", told["since"])
    held.release()
    held.release()
    assert list((tmp_path / "new" / "run").iterdir()) == []


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    held = lock.acquire(tmp_path)
    with pytest.raises(
        StoreError, match=rf"in use by another training run \(host .*, pid {os.getpid()}, since"
    ):
        lock.acquire(tmp_path)
    held.release()
    lock.acquire(tmp_path).release()


def test_the_lock_of_a_killed_run_is_taken_over_with_a_note(tmp_path: Path) -> None:
    args = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with forked.Popen(args, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match="in use by another training run"):
            lock.acquire(tmp_path)
        pid = json.loads((tmp_path / ".lock").read_text())["pid"]
        child.send_signal(signal.SIGKILL)
        child.wait()
    held = lock.acquire(tmp_path)
    assert f"from a run that has ended (host {lock.Holder.current().host}, pid {pid}" in held.note
    held.release()
    assert not (tmp_path / ".lock").exists()


def test_the_lock_of_another_host_is_refused_with_the_way_to_remove_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"host": "node-7", "pid": 42, "since": "2026-01-02 03:04:05 UTC"}))
    with pytest.raises(StoreError) as refused:
        lock.acquire(tmp_path)
    for part in ("node-7", "pid 42", "since 2026-01-02 03:04:05 UTC", f"delete {path}"):
        assert part in str(refused.value)
    path.unlink()
    lock.acquire(tmp_path).release()


def test_a_requeued_slurm_job_takes_over_from_itself_on_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    before = {"host": "node-7", "pid": 42, "since": "2026-01-02 03:04:05 UTC", "job": "99"}
    (tmp_path / ".lock").write_text(json.dumps(before))
    with pytest.raises(StoreError, match="on another host"):
        lock.acquire(tmp_path)  # two tasks of one job, by mistake
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    held = lock.acquire(tmp_path)
    assert "node-7" in held.note
    held.release()


def test_a_damaged_lock_that_nobody_holds_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("{")
    held = lock.acquire(tmp_path)
    assert "unreadable lock" in held.note
    held.release()


def test_without_flock_the_process_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_flock", lambda fd: None)
    held = lock.acquire(tmp_path)
    with pytest.raises(StoreError, match="in use by another training run"):
        lock.acquire(tmp_path)
    monkeypatch.setattr(lock, "_is_alive", lambda pid: False)
    lock.acquire(tmp_path).release()
    held.release()


@pytest.mark.slow
def test_of_many_runs_that_start_at_once_one_wins(tmp_path: Path) -> None:
    args = [sys.executable, "-c", HOLDS, str(tmp_path)]
    children = [
        forked.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(8)
    ]
    told = []
    for child in children:
        assert child.stdout is not None
        told.append(child.stdout.readline())
    for child in children:
        child.kill()
        child.communicate()
    assert told.count("locked\n") == 1


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    held = lock.acquire(tmp_path)
    ready, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(report, b"!")
        signal.pause()
        os._exit(0)
    try:
        os.read(ready, 1)  # the child runs
        os.close(held._fd)  # as if this process had been killed
        lock._open_files.discard(held._fd)
        assert lock.acquire(tmp_path).note
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(report)
