"""Worker processes: in order, a bounded number ahead, and gone when they should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
from pictures import write_folder
from pool_work import double, killed, trouble

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.datasets.pool import AHEAD, WorkerDied, WorkerPool


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_results_come_in_order(workers: int) -> None:
    with WorkerPool(workers) as pool:
        assert list(pool.map(double, range(40))) == list(range(0, 80, 2))


@pytest.mark.slow
def test_items_are_pulled_a_few_ahead() -> None:
    pulled = []

    def items() -> Iterator[int]:
        for number in range(100):
            pulled.append(number)
            yield number

    with WorkerPool(2) as pool:
        for n_done, _ in enumerate(pool.map(double, items()), start=1):
            assert len(pulled) <= n_done + 2 * AHEAD


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_an_error_in_the_work_is_raised_here(workers: int) -> None:
    with WorkerPool(workers) as pool, pytest.raises(DataError, match="three is bad"):
        list(pool.map(trouble, range(10)))


@pytest.mark.slow
def test_a_killed_worker_is_one_sentence() -> None:
    with WorkerPool(2) as pool, pytest.raises(WorkerDied, match="memory"):
        list(pool.map(killed, range(4)))


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(UsageError):
        WorkerPool(0)


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    """A build that is at work, in a process group of its own."""
    command = [sys.executable, "-m", "ssl4rl_bench", "build", "ssl_rotation_90", "--images", str(folder)]
    command += ["--out", str(out), "--workers", "2", "--per-image", "4000"]
    process = forked.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(out.parent.parent.rglob("*.parquet")):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [
        int(pid)
        for thread in Path(f"/proc/{process.pid}/task").iterdir()
        for pid in (thread / "children").read_text().split()
    ]


@pytest.mark.parametrize(
    "how",
    ["group", pytest.param("alone", marks=pytest.mark.slow), pytest.param("term", marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, how: str) -> None:
    folder = write_folder(tmp_path / "photos", 40)
    process = start(folder, tmp_path / "new" / "out")
    if how == "group":  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT if how == "alone" else signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "nothing was written" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.slow
def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    process = start(write_folder(tmp_path / "photos", 40), tmp_path / "new" / "out")
    workers = workers_of(process)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, json.dumps(workers)
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
