"""Kills a run at random moments, fills its disk, and starts two at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import forked
import pytest
import synthetic

from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.run.journal import BadLine, read_journal
from ssl4rl_bench.run.rundir import RunDir

N_GROUPS, N_SAMPLES = 150, 600
JOURNAL = f"journal/{synthetic.SyntheticTask.name}.jsonl"


def start(path: Path, *more: str) -> subprocess.Popen[bytes]:
    return forked.Popen(
        [sys.executable, synthetic.__file__, str(path), str(N_GROUPS), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def places(output: bytes) -> list[tuple[str, int]]:
    """What the script announced; a last line that was cut off is not an announcement."""
    lines = output.decode().split("\n")[:-1]
    return [(line.split()[0], int(line.split()[1])) for line in lines if line != "done"]


def kept(path: Path) -> list[SampleRecord]:
    return [line for line in read_journal(path / JOURNAL) if not isinstance(line, BadLine)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The result of a run that nobody killed."""
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    output, errors = start(path).communicate()
    assert output.endswith(b"done\n"), errors
    assert len(places(output)) == N_SAMPLES
    return (path / "result.json").read_bytes()


def kill_at_random(process: subprocess.Popen[bytes], rng: random.Random, left: int) -> tuple[bytes, bytes]:
    """Kills while it starts, after some of the `left` replies, or while it ends; returns what it printed.

    Counted in replies, not in seconds, so that the moments spread over the run on a busy machine too.
    """
    assert process.stdout is not None
    margin = left // 10 + 1
    goal = rng.randint(-margin, left + margin)
    output = b""
    if goal < 0:
        time.sleep(rng.uniform(0, 0.3))
    while output.count(b"\n") < min(goal, left) and (piece := os.read(process.stdout.fileno(), 512)):
        output += piece
    time.sleep(rng.uniform(0, 0.3 if goal > left else 0.001))
    process.kill()
    rest, errors = process.communicate()
    return output + rest, errors


def kill_until_done(path: Path, rng: random.Random) -> int:
    """Starts the run again and again, kills each, checks what is left; returns the number of kills."""
    kills, announced, present = 0, Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    while True:
        process = start(path)
        output, errors = kill_at_random(process, rng, N_SAMPLES - len(present))
        kills += process.returncode == -signal.SIGKILL
        assert not errors, errors.decode()
        announced.update(places(output))
        present = Counter((record.id, record.repeat) for record in kept(path))
        assert announced.keys() <= present.keys(), "lost"
        assert set(present.values()) <= {1} and set(announced.values()) <= {1}, "twice"
        if (path / "result.json").exists():
            assert len(present) == N_SAMPLES
        if len(present) == N_SAMPLES and rng.random() < 0.5:
            output, errors = start(path).communicate()
            assert output == b"done\n", errors
            return kills


def survives(tmp_path: Path, undisturbed: bytes, n_kills: int) -> None:
    rng, killed, trial = random.Random(n_kills), 0, 0
    while killed < n_kills:
        path = tmp_path / str(trial)
        killed += kill_until_done(path, rng)
        assert (path / "result.json").read_bytes() == undisturbed
        assert len(kept(path)) == N_SAMPLES
        trial += 1


@pytest.mark.slow
def test_ten_kills(tmp_path: Path, undisturbed: bytes) -> None:
    survives(tmp_path, undisturbed, 10)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path, undisturbed: bytes) -> None:
    survives(tmp_path, undisturbed, 200)


def test_a_full_disk_is_one_line_and_keeps_every_whole_record(tmp_path: Path, undisturbed: bytes) -> None:
    path = tmp_path / "run"
    process = start(path, "100000")
    output, errors = process.communicate()
    assert process.returncode == 2
    assert errors.decode().count("\n") == 1 and f"cannot write {path / JOURNAL}" in errors.decode()
    assert [(record.id, record.repeat) for record in kept(path)] == places(output)
    assert (path / JOURNAL).read_bytes().endswith(b"}\n") and len(places(output)) > 100
    output, errors = start(path).communicate()
    assert output.endswith(b"done\n"), errors
    assert (path / "result.json").read_bytes() == undisturbed
    assert len(kept(path)) == N_SAMPLES


def test_of_runs_started_at_once_one_writes(tmp_path: Path, undisturbed: bytes) -> None:
    path = tmp_path / "run"
    processes = [start(path) for _ in range(4)]
    ends = [process.communicate() for process in processes]
    done = [output for output, _ in ends if output.endswith(b"done\n")]
    refused = [errors.decode() for _, errors in ends if errors]
    assert done and len(done) + len(refused) == 4
    assert all(f"run {path} is being written by another process" in text for text in refused)
    assert (path / "result.json").read_bytes() == undisturbed and len(kept(path)) == N_SAMPLES
    RunDir.open(path)
