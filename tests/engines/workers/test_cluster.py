"""What is checked before Ray starts: GPUs, addresses, and how cores are divided."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import options

from ssl4rl_bench.core.errors import EngineError, MissingDependency, UsageError
from ssl4rl_bench.engines.workers import cluster
from ssl4rl_bench.engines.workers.cluster import Cluster, Node, cpu_share
from ssl4rl_bench.engines.workers.pool import share_of

RUN = ("run", "--engine", "mock", "--tasks", "scenes", "--limit", "2")


# --- GPUs


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for torch on a machine with two GPUs."""
    cuda = SimpleNamespace(device_count=lambda: 2)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return cuda


def test_more_workers_than_gpus_are_refused_with_both_numbers(gpus: SimpleNamespace) -> None:
    for engine in ("vllm", "hf"):
        cluster.check(engine, options(workers=2))
        with pytest.raises(UsageError) as error:
            cluster.check(engine, options(workers=3))
        assert str(error.value) == (
            "--workers 3 needs 3 GPUs, and this machine has 2: set --workers to at most 2"
        )


def test_a_worker_needs_as_many_gpus_as_share_its_model(gpus: SimpleNamespace) -> None:
    cluster.check("vllm", options(workers=1, tensor_parallel_size=2))
    with pytest.raises(UsageError, match=r"needs 4 GPUs \(2 per worker\).*at most 1$"):
        cluster.check("vllm", options(workers=2, tensor_parallel_size=2))
    with pytest.raises(UsageError, match="set a smaller tensor_parallel_size"):
        cluster.check("vllm", options(workers=2, tensor_parallel_size=4))


def test_on_cpus_and_without_a_model_any_number_is_allowed(gpus: SimpleNamespace) -> None:
    cluster.check("mock", options(workers=64))
    cluster.check("hf", options(workers=64, device_map="cpu"))
    gpus.device_count = lambda: 0
    cluster.check("hf", options(workers=64))


def test_gpus_that_others_use_are_waited_for_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    busy = Cluster((Node("a", 8, 8),), 1, 0, n_free_gpus=3)
    cluster._share_out(busy, "vllm", options(workers=3, ray_address="h:1"))
    assert not caplog.messages
    cluster._share_out(busy, "vllm", options(workers=4, ray_address="h:1"))
    assert caplog.messages == ["3 of the cluster's 8 GPUs are free; workers wait for the others"]


def test_a_cluster_with_too_few_gpus_or_cores_is_refused() -> None:
    nodes = (Node("a", 8, 3), Node("b", 8, 1))
    asked = options(workers=3, tensor_parallel_size=2, ray_address="h:1")
    with pytest.raises(UsageError, match=r"needs 6 GPUs \(2 per worker\), and the Ray cluster h:1 has 4"):
        cluster._share_out(Cluster(nodes, 1, 0), "vllm", asked)
    fitting = Cluster(nodes, 1, 0)
    cluster._share_out(fitting, "vllm", options(workers=4, ray_address="h:1"))
    assert (fitting.gpus_per_worker, fitting.cpus_per_worker) == (1, 0)
    assert [fitting.workers_on(host, 4) for host in ("a", "b", "unknown")] == [3, 1, 4]
    with pytest.raises(UsageError, match=r"needs 17 cores, and the Ray cluster h:1 offers 16.*at most 16"):
        cluster._share_out(Cluster(nodes, 1, 0), "mock", options(workers=17, ray_address="h:1"))
    shared = Cluster(nodes, 1, 0)
    cluster._share_out(shared, "mock", options(workers=4, ray_address="h:1"))
    assert (shared.gpus_per_worker, shared.cpus_per_worker) == (0, 4)
    assert shared.workers_on("a", 4) == 2


# --- cores


@given(st.lists(st.integers(1, 64), min_size=1, max_size=6), st.integers(1, 80))
def test_all_workers_fit_with_their_share_of_cores_and_with_no_more(cpus: list[int], n: int) -> None:
    nodes = [Node(str(i), count, 0) for i, count in enumerate(cpus)]
    share = cpu_share(nodes, n)
    if share == 0:
        assert sum(cpus) < n
    else:
        assert sum(count // share for count in cpus) >= n > sum(count // (share + 1) for count in cpus)


@given(st.integers(1, 64), st.integers(1, 64))
def test_workers_of_a_machine_share_its_cores_without_overlap(n_cores: int, n: int) -> None:
    cores = [2 * core for core in range(n_cores)]
    shares = [share_of(cores, place, n) for place in range(n)]
    assert all(shares)
    if n <= n_cores:
        assert sorted(core for share in shares for core in share) == cores
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    else:
        assert all(len(share) == 1 for share in shares)


def test_a_machine_that_names_no_cores_sets_no_limit() -> None:
    assert share_of((), 0, 2) == ()
    assert share_of((0, 1, 2, 3), 5, 4) == (1,), "a late replacement shares with another"


# --- addresses


@pytest.mark.parametrize(
    "address", ["head", "head:", ":6379", "head:port", "ray://head:10001", "http://head:1", "a:-1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    done = commands.bench(*RUN, "--set", f"ray_address={address}")
    assert done.code == 2 and "write HOST:PORT" in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "no-such-host.invalid:6379"])
def test_an_address_where_nothing_listens_is_reported_at_once(address: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        EngineError, match=f"no Ray cluster answers at {address}: check that `ray start` runs there"
    ):
        cluster.check("mock", options(ray_address=address))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("before", "after", "responds"),
    [(0.4, 0.0, True), (0.0, 30.0, False), (0.4, 30.0, False)],
    ids=["a slow import", "no answer", "both"],
)
@pytest.mark.slow
def test_only_the_time_for_the_answer_of_a_cluster_counts(
    before: float, after: float, responds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing Ray takes seconds on a busy machine."""
    probe = f"import time; time.sleep({before}); print(flush=True); time.sleep({after})"
    monkeypatch.setattr(cluster, "_PROBE", probe)
    monkeypatch.setattr(cluster, "_PROBE_S", 5.0 if responds else 0.2)
    assert (cluster._probe("127.0.0.1:1") == 0) is responds


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "import no_such_module", "print(flush=True); 1 / 0"])
def test_a_probe_that_fails_is_no_answer(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PROBE", code)
    assert cluster._probe("127.0.0.1:1") not in (0, cluster._REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize("speaks", [False, True])
def test_an_address_where_something_else_listens_is_reported_within_ten_seconds(
    speaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster._TCP_S + cluster._PROBE_S < 10
    monkeypatch.setattr(cluster, "_PROBE_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            held = []
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return
                if speaks:
                    held[-1].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        # Besides these limits, only the import of Ray takes time.
        with pytest.raises(EngineError, match="no Ray cluster answers"):
            cluster.check("mock", options(ray_address=f"127.0.0.1:{server.getsockname()[1]}"))
        server.shutdown(socket.SHUT_RDWR)


def test_bad_input_on_the_command_line_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "replies.jsonl").write_text('{"id": "1", "text": "A"}\n')
    for words, code, text in (
        (("--workers", "0"), 2, "--workers"),
        (("--workers", "two"), 2, "--workers"),
        (("--set", "workers=0"), 2, "workers must be at least 1"),
        (("--set", "ray_adress=h:1"), 2, "did you mean ray_address?"),
        (
            ("--workers", "2", "--set", "ray_address=127.0.0.1:1", "-o", f"{tmp_path}/run"),
            4,
            "no Ray cluster answers",
        ),
        (
            ("--workers", "2", "--engine", "replay", "--replies", f"{tmp_path}/replies.jsonl"),
            2,
            "has no workers",
        ),
        (
            ("--workers", "2", "--engine", "openai", "--base-url", "http://127.0.0.1:1/v1"),
            2,
            "has no workers",
        ),
    ):
        done = commands.bench(*RUN, *words)
        assert done.code == code and text in done.err, (words, done.err)
        assert "Traceback" not in done.err


def test_nothing_is_written_before_the_checks(tmp_path: Path) -> None:
    done = commands.bench(*RUN, "--set", "ray_address=127.0.0.1:1", "-o", f"{tmp_path}/run")
    assert done.code == 4
    assert not (tmp_path / "run").exists()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"--workers needs ray: .*pip install .*\[ray\]"):
        cluster._need_ray()
