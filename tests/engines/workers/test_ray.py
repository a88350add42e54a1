"""Workers on a real Ray, with the mock engine: kills, versions, signals, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from simulation import requests
from synthetic import options

import ssl4rl_bench
from ssl4rl_bench.core.errors import EngineError, UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.engines.workers import cluster
from ssl4rl_bench.engines.workers.cluster import Cluster
from ssl4rl_bench.engines.workers.engine import WorkersEngine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
if find_spec("ray") is None:  # its import takes most of a second, also where these tests are left out
    pytest.skip("needs ray", allow_module_level=True)

GREEDY = Sampling()
RUN = ("run", "--engine", "mock", "--tasks", "scenes", "--workers", "2")
LISTEN = "0A"


def folders(processes: dict[int, str]) -> set[Path]:
    """The folders that a Ray was started in, as its processes' command lines name them."""
    names = re.findall(r"(/\S*?/ssl4rl-ray-[^/\s]+)/", " ".join(processes.values()))
    return {Path(name) for name in names}


def children(root: int) -> dict[int, str]:
    """The processes below one, by pid, with their command lines."""
    parents, lines = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            pid = int(path.name)
            parents[pid] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            lines[pid] = (path / "cmdline").read_text().replace("\0", " ")
    below, found = {root}, {root}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below} - found
        found |= below
    return {pid: lines[pid] for pid in found - {root}}


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """One Ray on this machine for several tests, as its start takes seconds."""
    variables = dict(os.environ)
    joined = cluster.join("mock", options(workers=4))
    added = {name for name in os.environ if name not in variables}
    assert not {name for name in added if "AUTH" in name}, added
    yield joined
    joined.close()


@pytest.fixture
def on_shared(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    lent = Cluster(shared.nodes, shared.cpus_per_worker, shared.gpus_per_worker)
    monkeypatch.setattr(cluster, "join", lambda *_: lent)
    return lent


def engine_of(**changes: object) -> WorkersEngine:
    chosen = options(**{"workers": 3, "mock": "random", "mock_latency": 0.05, "concurrency": 8, **changes})
    return WorkersEngine(MockEngine(None, chosen), None, chosen)


def test_a_worker_that_is_killed_again_and_again_costs_no_reply(on_shared: Cluster) -> None:
    engine = engine_of(workers=2)
    asked = requests(1500)
    one = MockEngine(None, options(mock="random"))
    wanted = {request.sample.id: completion.text for request, completion in one.run(asked, GREEDY)}
    over = threading.Event()
    killed = []

    def kill() -> None:
        while not over.wait(1.0):
            facts = engine._pool.facts() if engine._pool else {}
            if 0 in facts and facts[0].pid not in killed:
                killed.append(facts[0].pid)
                os.kill(facts[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        replies = [(request.sample.id, completion) for request, completion in engine.run(iter(asked), GREEDY)]
    finally:
        over.set()
        killer.join()
        measures = engine.measures()
        engine.close()
    assert Counter(id for id, _ in replies) == Counter(wanted.keys())
    assert len(killed) >= 2
    assert measures["workers"][0]["n_deaths"] >= len(killed) - 1 and measures["workers"][1]["n_deaths"] == 0
    assert {id: c.text for id, c in replies if c.error is None}.items() <= wanted.items()
    assert sum(c.error is not None for _, c in replies) <= 8


def test_several_runs_use_the_same_workers_and_each_has_its_cores(on_shared: Cluster) -> None:
    engine = engine_of()
    try:
        known: set[int] = set()
        for n in (100, 40) * 10:  # a worker may start after the others have answered all requests of a run
            assert Counter(r.sample.id for r, _ in engine.run(iter(requests(n)), GREEDY)) == Counter(
                map(str, range(n))
            )
            pids = {worker["pid"] for worker in engine.measures()["workers"] if "pid" in worker}
            assert known <= pids and os.getpid() not in pids
            if len(pids) == len(known) == 3:
                break
            known = pids
        assert len(pids) == 3
        cores = [
            os.sched_getaffinity(int(task.name))
            for pid in pids
            for task in Path(f"/proc/{pid}/task").iterdir()
            if (task / "comm").read_text().strip().startswith("engine")
        ]
        if len(os.sched_getaffinity(0)) == 2:
            assert all(len(some) == 1 for some in cores)
    finally:
        engine.close()


def test_a_drain_ends_with_what_is_in_flight(on_shared: Cluster) -> None:
    engine = engine_of(mock_latency=1.0)
    try:
        results = engine.run(iter(requests(1000)), GREEDY)
        next(results)
        n = engine.drain()
        began = time.monotonic()
        assert 8 <= len(list(results)) <= n and time.monotonic() - began < 10
    finally:
        engine.close()


@pytest.mark.parametrize("what", ["project", "engine"])
def test_another_version_in_a_worker_is_refused_with_both(
    on_shared: Cluster, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "project":
        monkeypatch.setattr(ssl4rl_bench, "__version__", "9.9.9")
        text = f"has ssl4rl-bench {ssl4rl_bench.__version__.replace('9.9.9', '')}"
    else:
        monkeypatch.setattr(MockEngine, "version", "9 gold")
        text = "has engine mock 1 random seed 0, and this machine has 9 gold"
    engine = engine_of(workers=1, ray_address="x:1")
    engine._checked = True
    try:
        with pytest.raises(UsageError, match="install the same version") as error:
            list(engine.run(iter(requests(10)), GREEDY))
        assert text in str(error.value) and "9" in str(error.value)
    finally:
        engine.close()


def test_when_no_worker_can_start_the_reason_is_one_sentence(
    on_shared: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    engine = engine_of()
    monkeypatch.setattr("ssl4rl_bench.engines.workers.pool._RayWorker", Unable)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with pytest.raises(EngineError, match=r"^no worker can start: vLLM cannot start m: no memory$"):
            list(engine.run(iter(requests(10)), GREEDY))
    finally:
        engine.close()
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_machine_without_the_package_is_named_at_once(
    on_shared: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers cannot import this file, as a machine of a cluster cannot import what is not installed there."""
    engine = engine_of()
    monkeypatch.setattr("ssl4rl_bench.engines.workers.pool._RayWorker", Unable)
    try:
        with pytest.raises(
            EngineError, match=r"^no worker can start: a machine of the cluster lacks test_ray: "
        ):
            list(engine.run(iter(requests(10)), GREEDY))
        assert [slot.n_deaths for slot in engine._scheduler.slots] == [1, 1, 1]
    finally:
        engine.close()


class Unable:
    """A worker whose engine cannot start."""

    def __init__(self, *_: object) -> None:
        pass

    def located(self) -> object:
        from ssl4rl_bench.engines.workers.messages import Facts

        return Facts("here", 1, (0,), (), ssl4rl_bench.__version__, "1 random seed 0", None)

    def start(self, *_: object) -> object:
        from ssl4rl_bench.core.errors import EngineError
        from ssl4rl_bench.engines.workers.messages import Report

        return Report(1, failure=EngineError("vLLM cannot start m: no memory"))

    def stop(self) -> None:
        pass


# --- the command


def start(*args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ssl4rl_bench", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_replies(child: subprocess.Popen[str], out: Path, n: int) -> None:
    journal = out / "journal" / "ssl4rl_scenes.jsonl"
    until = time.monotonic() + 200
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= n):
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.05)


def nothing_left(processes: dict[int, str]) -> None:
    """Raises if a process or a folder is left; other tests may have a Ray running meanwhile."""
    assert folders(processes) and not any(folder.exists() for folder in folders(processes))
    until = time.monotonic() + 10
    while alive := [line for pid, line in processes.items() if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)


@pytest.mark.parametrize("to_group", [True, False], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_keeps_what_is_in_flight_and_leaves_nothing_behind(tmp_path: Path, to_group: bool) -> None:
    out = tmp_path / "run"
    child = start(*RUN, "--set", "mock_latency=0.3", "--set", "concurrency=4", "-o", out)
    wait_for_replies(child, out, 5)
    processes = children(child.pid)
    assert any("raylet" in line for line in processes.values())
    assert listening(processes) and all(
        address in ("7F000001", "localhost6") for address in listening(processes)
    )
    if to_group:
        os.killpg(child.pid, signal.SIGINT)
    else:
        child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert "stopping: waiting for" in errors and "run the same command again to resume" in errors
    assert "Traceback" not in errors and errors.count("error: ") == 1
    lines = [json.loads(line) for line in (out / "journal" / "ssl4rl_scenes.jsonl").read_text().splitlines()]
    assert all(line["error"] is None for line in lines) and len({line["id"] for line in lines}) == len(lines)
    sitting = json.loads((out / "exec.json").read_text())["sittings"][-1]
    assert sum(worker["n_answered"] for worker in sitting["measures"]["workers"]) == len(lines)
    nothing_left(processes)


def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    out = tmp_path / "run"
    child = start(*RUN, "--set", "mock_latency=60", "-o", out)
    until = time.monotonic() + 200
    while not any("ray::_RayWorker" in line for line in children(child.pid).values()):
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    time.sleep(2.0)
    processes = children(child.pid)
    os.killpg(child.pid, signal.SIGINT)
    time.sleep(1.0)
    os.killpg(child.pid, signal.SIGINT)
    began = time.monotonic()
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130 and time.monotonic() - began < 20, errors
    assert "Traceback" not in errors
    nothing_left(processes)


def listening(processes: dict[int, str]) -> set[str]:
    """The addresses on which processes listen, as the kernel writes them."""
    inodes = set()
    for pid in processes:
        with suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    target = str(link.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    addresses = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                address = fields[1].partition(":")[0]
                # ::1 and ::ffff:127.0.0.1
                loopback6 = ("0" * 24 + "01000000", "0000000000000000FFFF00000100007F")
                addresses.add("localhost6" if address in loopback6 else address)
    return {"7F000001" if address == "0100007F" else address for address in addresses}


def test_an_existing_cluster_is_used_and_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ray start` makes a cluster of one machine, for a run, and for another one with more workers than cores.

    The cluster asks for a token, as Ray's do from 2.60 on where ~/.ray/auth_token exists.
    """
    (tmp_path / "token").write_text("0123456789abcdef" * 4)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = str(chosen.getsockname()[1])
        chosen.close()
        head = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            f"--port={port}",
            "--num-cpus=2",
        ]
        with_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
        quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **with_token}
        cluster_process = subprocess.Popen(
            [*head, "--include-dashboard=false", "--block", f"--temp-dir={folder}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet, start_new_session=True,
        )  # fmt: skip
        try:
            address = f"127.0.0.1:{port}"
            until = time.monotonic() + 240  # `ray start` takes long on a busy machine
            refused = find_spec("ray._private.authentication") is None  # an older Ray
            while True:
                try:
                    cluster.check("mock", options(ray_address=address))
                    break
                except EngineError as error:
                    if "asks for its token" in str(error):
                        refused = True
                        for name, value in with_token.items():
                            monkeypatch.setenv(name, value)
                    assert cluster_process.poll() is None and time.monotonic() < until, error
                    time.sleep(0.5)
            assert refused
            out = tmp_path / "run"
            slowly = ("--set", "mock_latency=1")  # so that the second worker has started before the end
            done = start(*RUN, "--limit", "50", *slowly, "--set", f"ray_address={address}", "-o", out)
            _, errors = done.communicate(timeout=200)
            assert done.returncode == 0, errors
            workers = json.loads((out / "exec.json").read_text())["sittings"][-1]["measures"]["workers"]
            assert len({worker["pid"] for worker in workers}) == 2
            many = start(*RUN, "--workers", "3", "--set", f"ray_address={address}", "-o", tmp_path / "many")
            _, errors = many.communicate(timeout=200)
            assert many.returncode == 2 and "--workers 3 needs 3 cores" in errors and "offers 2" in errors, (
                errors
            )
            cluster.check("mock", options(ray_address=address))
        finally:
            cluster_process.terminate()
            cluster_process.wait(60)
            with suppress(ProcessLookupError):
                os.killpg(cluster_process.pid, signal.SIGKILL)
