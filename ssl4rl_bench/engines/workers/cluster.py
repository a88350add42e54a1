"""Starts Ray on this machine, or connects to a Ray cluster; counts GPUs and cores."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from ssl4rl_bench.core.errors import EngineError, MissingDependency, UsageError
from ssl4rl_bench.engines.base import EngineOptions, reason
from ssl4rl_bench.engines.workers.processes import end, processes_of

_TCP_S, _PROBE_S = 3.0, 6.0
"""How long a cluster may take to accept a connection and to answer, in seconds."""
_REFUSED = 3
"""The exit status of the probe of a cluster that asks for another token, or for one at all."""
_END_S = 5.0
"""How long the processes of Ray may take to end, in seconds, before they are killed."""
_STORE_BYTES = 512 << 20
"""The memory that Ray reserves for messages in transit."""
_LONGEST_TMP = 107 - len(
    "/ssl4rl-ray-12345678/session_2026-01-01_00-00-00_123456_1234567/sockets/plasma_store"
)
"""The maximum length of the temporary folder below which Ray's sockets can be, whose paths have at most 107
characters; with a longer one, /tmp is used instead."""
_PROBE = f"""
import sys
from ray._raylet import GcsClient
print(flush=True)
try:
    GcsClient(address=sys.argv[1])
except Exception as error:
    sys.exit({_REFUSED} if type(error).__name__ == "AuthenticationError" else 1)
"""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster, with the logical resources that it offers to Ray."""

    host: str
    cpus: int
    gpus: int


@dataclass(slots=True)
class Cluster:
    """A connection to Ray. `close` ends it, and ends Ray itself if `join` started it."""

    nodes: tuple[Node, ...]
    cpus_per_worker: int
    gpus_per_worker: int
    n_free_gpus: int | None = None
    """The number of GPUs that no other job uses; None if unknown."""
    _at_close: Callable[[], None] = field(default=lambda: None)

    def workers_on(self, host: str, n_workers: int) -> int:
        """Returns how many of the workers fit on a machine; its cores are divided by this number."""
        node = next((node for node in self.nodes if node.host == host), None)
        if node is None or len(self.nodes) == 1:
            return n_workers
        return max(1, min(n_workers, _fits(node, self.cpus_per_worker, self.gpus_per_worker)))

    def close(self) -> None:
        """Disconnects. Safe to call twice."""
        at_close, self._at_close = self._at_close, lambda: None
        at_close()


def check(engine: str, options: EngineOptions) -> None:
    """Checks what can be checked before anything is started.

    Raises:
        UsageError: this machine has too few GPUs, or the address has another form than HOST:PORT.
        EngineError: the cluster does not answer.
        MissingDependency: Ray is not installed.
    """
    if options.ray_address is not None:
        _check_answers(options.ray_address)
        return
    n_gpus = gpus_here(engine, options)
    needed = options.workers * options.tensor_parallel_size
    if n_gpus and needed > n_gpus:
        raise UsageError(_too_few(options, "this machine", n_gpus))


def join(engine: str, options: EngineOptions) -> Cluster:
    """Connects to the cluster at `options.ray_address`, or starts Ray on this machine.

    Raises:
        UsageError: the cluster has too few GPUs or cores.
        EngineError: Ray does not start, or refuses the connection.
    """
    if options.ray_address is None:
        return _start(options, gpus_here(engine, options))
    cluster = _connect(options.ray_address)
    try:
        _share_out(cluster, engine, options)
    except BaseException:
        cluster.close()
        raise
    return cluster


def gpus_here(engine: str, options: EngineOptions) -> int:
    """Returns the number of GPUs of this machine that the engine would use; 0 if it runs on CPUs."""
    if engine not in ("vllm", "hf") or options.device_map == "cpu":
        return 0
    import torch

    return int(torch.cuda.device_count())


def cpu_share(nodes: Sequence[Node], n_workers: int) -> int:
    """Returns the largest number of cores per worker with which all workers fit; 0 if none does."""
    most = max((node.cpus for node in nodes), default=0)
    fitting = (n for n in range(most, 0, -1) if sum(node.cpus // n for node in nodes) >= n_workers)
    return next(fitting, 0)


def _fits(node: Node, cpus: int, gpus: int) -> int:
    return min([n // needed for n, needed in ((node.cpus, cpus), (node.gpus, gpus)) if needed], default=1)


def _share_out(cluster: Cluster, engine: str, options: EngineOptions) -> None:
    """Determines the GPUs and cores of each worker on a cluster."""
    n, gpus = options.workers, options.tensor_parallel_size
    n_gpus = sum(node.gpus for node in cluster.nodes)
    if n_gpus and engine in ("vllm", "hf") and options.device_map != "cpu":
        if sum(node.gpus // gpus for node in cluster.nodes) < n:
            raise UsageError(_too_few(options, f"the Ray cluster {options.ray_address}", n_gpus))
        cluster.gpus_per_worker, cluster.cpus_per_worker = gpus, 0
        if (n_free := cluster.n_free_gpus) is not None and n_free < n * gpus:
            log.warning("%d of the cluster's %d GPUs are free; workers wait for the others", n_free, n_gpus)
        return
    cluster.cpus_per_worker = cpu_share(cluster.nodes, n)
    if not cluster.cpus_per_worker:
        n_cpus = sum(node.cpus for node in cluster.nodes)
        raise UsageError(
            f"--workers {n} needs {n} cores, and the Ray cluster {options.ray_address} offers {n_cpus}: "
            f"set --workers to at most {n_cpus}"
        )


def _too_few(options: EngineOptions, where: str, n_gpus: int) -> str:
    per_worker = options.tensor_parallel_size
    most = n_gpus // per_worker
    needed = f"{options.workers * per_worker} GPUs" + (
        f" ({per_worker} per worker)" if per_worker > 1 else ""
    )
    remedy = f"set --workers to at most {most}" if most else "set a smaller tensor_parallel_size"
    return f"--workers {options.workers} needs {needed}, and {where} has {n_gpus}: {remedy}"


def _check_answers(address: str) -> None:
    """Raises UsageError or EngineError unless a Ray cluster answers at this address."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "//" in address:
        raise UsageError(f"ray_address={address} is not an address: write HOST:PORT, such as 10.0.0.1:6379")
    _need_ray()
    silent = (
        f"no Ray cluster answers at {address}: check that `ray start` runs there, or leave out ray_address"
    )
    try:
        socket.create_connection((host, int(port)), _TCP_S).close()
    except (OSError, OverflowError) as error:
        raise EngineError(silent) from error
    status = _probe(address)
    if status == _REFUSED:
        raise EngineError(
            f"the Ray cluster {address} asks for its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a "
            "copy of its ~/.ray/auth_token"
        )
    if status:
        raise EngineError(silent)


def _probe(address: str) -> int:
    """Returns 0 if a Ray cluster answers within `_PROBE_S`, not counting the import of Ray on a busy machine."""
    # In another process, as Ray's client prints to standard error and waits for much longer.
    probe = subprocess.Popen(
        [sys.executable, "-c", _PROBE, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with probe:
        try:
            assert probe.stdout is not None
            probe.stdout.readline()
            return probe.wait(_PROBE_S)
        except subprocess.TimeoutExpired:
            return 1
        finally:
            probe.kill()


def _start(options: EngineOptions, n_gpus: int) -> Cluster:
    """Starts Ray for this process alone: on the loopback interface, in a temporary folder."""
    n = options.workers
    per_worker = options.tensor_parallel_size if n_gpus else 0
    node = Node(socket.gethostname(), n, n_gpus)
    root = tempfile.gettempdir()
    with ExitStack() as stack:
        stack.enter_context(_loopback())
        root = root if len(root) <= _LONGEST_TMP else "/tmp"
        folder = Path(tempfile.mkdtemp(prefix="ssl4rl-ray-", dir=root))
        stack.callback(_clear, folder)
        with _variables(_token(), restored=("RAY_AUTH_MODE",)):
            _init(
                f"Ray cannot start in {folder}",
                address="local",
                num_cpus=n,
                num_gpus=n_gpus,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _temp_dir=str(folder),
            )
        return Cluster((node,), 1, per_worker, _at_close=stack.pop_all().close)


def _clear(folder: Path) -> None:
    """Ends the Ray that was started in a folder, and removes the folder."""
    started = processes_of(folder)
    _shutdown()
    end(started, _END_S)
    shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str) -> Cluster:
    _init(f"the Ray cluster {address} refuses this machine", address=address)
    import ray

    nodes = tuple(
        Node(
            node["NodeManagerHostname"],
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    )
    return Cluster(nodes, 1, 0, int(ray.available_resources().get("GPU", 0)), _shutdown)


def _init(failure: str, **arguments: Any) -> None:
    """Calls `ray.init` without output and without its signal handler."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    _need_ray()
    import ray
    from ray._private import utils, worker

    if ray.is_initialized():
        raise EngineError("this process is connected to Ray already: call ray.shutdown() first")
    # This thread prints a paragraph for each worker that dies, which the engine reports in one line.
    worker.listen_error_messages = lambda *_: None
    # Ray's handler of SIGTERM would end the program with another exit code.
    set_handler, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda _: None
    try:
        with _signals_later():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
    except Exception as error:  # Ray raises many types, and its messages have many lines
        _shutdown()
        raise EngineError(f"{failure}: {reason(error)}") from error
    finally:
        utils.set_sigterm_handler = set_handler


@contextmanager
def _signals_later() -> Iterator[None]:
    """Holds the first Ctrl-C or SIGTERM back until the end of the block; the second one acts at once.

    An exception from a signal handler is lost in Ray's compiled code, or leaves a half-started Ray.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        handler = before[signal.Signals(number)]
        if len(received) > 1 and callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def _shutdown() -> None:
    with suppress(Exception):  # it is ending
        import ray

        ray.shutdown()


@contextmanager
def _loopback() -> Iterator[None]:
    """Makes Ray use the loopback interface, as it does on systems for which it has no clusters."""
    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    _need_ray()
    from ray._private import ray_constants

    with _variables({name: "0"}):
        clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = clusters


@contextmanager
def _variables(values: Mapping[str, str], *, restored: Sequence[str] = ()) -> Iterator[None]:
    """Sets environment variables within the block only; others are `restored` after it, too."""
    before = {name: os.environ.get(name) for name in (*values, *restored)}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _token() -> dict[str, str]:
    """Returns the variable with this process's own token for Ray; empty if the user's environment names one.

    From 2.60 on, Ray asks for a token, and else writes one into the home directory, which may be read-only.
    """
    named = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return {} if named else {"RAY_AUTH_TOKEN": _random_token()}


@cache
def _random_token() -> str:
    """One per process, as Ray's client reads it only once."""
    return secrets.token_hex(32)


def _need_ray() -> None:
    try:
        with _signals_later():
            import ray  # noqa: F401
    except ImportError:
        raise MissingDependency.of("--workers needs ray", "ray") from None
