"""Starts Python programs as forks of a process that has imported the package, in 30 ms each.

    done = forked.run([sys.executable, "-m", "ssl4rl_bench", "list", "tasks"], capture_output=True, text=True)
    child = forked.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)

Both take and return what their namesakes of `subprocess` do. A child has the given arguments, environment, working
directory, descriptors and session, and the signal handlers of a new interpreter; it inherits nothing from the test.
Differences to a new interpreter: its modules are already imported, and of the environment variables that an
interpreter reads at its start, only PYTHONPATH, PYTHONIOENCODING and PYTHONUNBUFFERED have an effect. The server
imports no library that reads the environment on import. Tests of imports and of locales need `subprocess`.

The server has one thread. It starts with the first program of a test process, or for all workers of pytest-xdist at
once (conftest.py), and ends with the process that started it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import inspect
import io
import json
import os
import pkgutil
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path
from typing import Any, AnyStr

HEAVY = ("torch", "transformers", "huggingface_hub", "datasets", "vllm", "trl", "peft", "lmms_eval")
"""Libraries that take seconds to import or read the environment on import. A program that uses one imports it."""
DEPENDENCIES = (
    "httpx",
    "filelock",
    "tqdm.auto",
    "fsspec",
    "dill",
    "multiprocess.pool",
    "xxhash",
    "pyarrow.parquet",
    "sqlite3",
)
"""What the libraries in `HEAVY` import, as far as it is installed."""
SHARED = "SSL4RL_TESTS_SERVER"
"""Environment variable with the path of a server's socket."""
PREPARATION = "preparation"
"""The name of the module that a script of `Popen.preparation` is while the server runs it."""


class Popen(subprocess.Popen[AnyStr]):
    """A program that the server forks. Its arguments begin with `sys.executable` and -m, -c or a file."""

    preparation = ""
    """The path of a script that the server runs first (as `PREPARATION`), to import libraries of `HEAVY`.

    The server runs it when it is first asked for a program.
    """
    _connection: socket.socket

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, *rest: Any) -> None:
        """Starts the program. `subprocess.Popen` has made the pipes; -1 stands for an inherited stream."""
        _, cwd, env, _, _, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *more = rest
        words = [os.fspath(word) for word in args]
        assert words.pop(0) == sys.executable and not shell and preexec_fn is None and executable is None
        request = {
            "words": words,
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": bool(more[5]),
        }
        streams = [n if stream == -1 else stream for n, stream in enumerate((p2cread, c2pwrite, errwrite))]
        self._connection = ask(_server(self.preparation), request, streams)
        self.pid = int(_line(self._connection))
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(_line(self._connection))
            self._connection.close()
        return self.returncode


def run(
    args: Any,
    *,
    kind: type[Popen[Any]] = Popen,
    capture_output: bool = False,
    check: bool = False,
    timeout: float | None = 300,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end, as `subprocess.run` does."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with kind(args, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def ask(server: str, request: dict[str, Any], streams: list[int]) -> socket.socket:
    """Sends a request. The answer is a line with the process id, then one with the exit code."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(server)
    socket.send_fds(connection, [b"\n"], streams)
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)
    return connection


def in_shell(*words: str, kind: type[Popen[Any]] = Popen) -> str:
    """Returns the line of a shell script that becomes the program, with the script's arguments after `words`."""
    client = (
        "from __future__ import annotations\nimport json, os, socket, sys\n"
        f"{inspect.getsource(ask)}\n"
        "request = {'words': sys.argv[2:], 'cwd': os.getcwd(), 'env': dict(os.environ), 'session': False}\n"
        "code = int(ask(sys.argv[1], request, [0, 1, 2]).makefile().read().split()[1])\n"
        "os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)\n"
    )
    return f'exec {shlex.join([sys.executable, "-I", "-S", "-c", client, _server(kind.preparation), *words])} "$@"'


def _line(connection: socket.socket) -> str:
    """Reads a line of the server's answer, and no byte more."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        assert byte, "the server is gone"
        line += byte
    return line.decode()


def no_fsync() -> None:
    """Makes `os.fsync` and `os.fdatasync` return at once. Tests kill processes, not the machine, so none can tell."""
    os.fsync = os.fdatasync = lambda fd: None


def share(*preparations: str) -> None:
    """Starts the server for this process and those that it will start, and one for each script of preparation."""
    for preparation in ("", *preparations):
        os.environ[_variable(preparation)] = _server(preparation)


def _variable(preparation: str) -> str:
    """Returns the environment variable with the path of a server that is shared."""
    return "_".join([SHARED, *filter(None, [Path(preparation).stem.upper()])])


@functools.cache
def _server(preparation: str = "") -> str:
    """Returns the path of the server's socket. The first call starts the server, unless it is shared."""
    if shared := os.environ.get(_variable(preparation)):
        return shared
    folder = tempfile.TemporaryDirectory(prefix="forked-")
    path = str(Path(folder.name, "socket"))
    listener = socket.create_server(path, family=socket.AF_UNIX, backlog=64)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno()), *filter(None, [preparation])],
        stdin=subprocess.PIPE,  # its end is the server's signal to end
        pass_fds=[listener.fileno()],
        env={**os.environ, **threads},
        start_new_session=True,
    )
    listener.close()

    @atexit.register
    def end() -> None:
        process.communicate()
        folder.cleanup()

    return path


def main() -> None:
    """Serves; in a child, returns after the program's last line, so that the interpreter ends as usual."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    sys.modules["forked"] = sys.modules["__main__"]  # for `stand_in`
    del sys.path[0]
    no_fsync()
    base = [place for place in sys.path if place not in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    scripts = sys.argv[2:]
    if scripts:
        select.select([0, listener], [], [])
    _import()
    for script in scripts:
        runpy.run_path(script, run_name=PREPARATION)
    gc.freeze()
    if (request := _serve(listener)) is not None:
        _become(request, base)


def _import() -> None:
    """Imports all modules of the package that need none of `HEAVY`."""
    import ssl4rl_bench

    sys.meta_path.insert(0, (absent := Absent()))
    package = [module.name for module in pkgutil.walk_packages(ssl4rl_bench.__path__, "ssl4rl_bench.")]
    for name in (*DEPENDENCIES, "scipy.stats", *package):
        if not name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    sys.meta_path.remove(absent)
    from ssl4rl_bench.task.registry import load_task

    load_task("scenes")  # which is drawn once per process


class Absent:
    """Makes `HEAVY` look as if it were not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in HEAVY:
            raise ImportError(name)


def _serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Forks a child per request. Returns the request in a child, and None at the end."""
    woken, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([0, woken, listener], [], [])
        if woken in ready:
            os.read(woken, 4096)
            while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with contextlib.suppress(OSError), children.pop(ended[0]) as connection:
                    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(ended[1]))
        if 0 in ready:
            return None
        if listener in ready:
            connection, _ = listener.accept()
            _, streams, _, _ = socket.recv_fds(connection, 1, 3)
            with connection.makefile("rb") as file:
                text = file.read()
            if text and (pid := os.fork()) == 0:
                for open_socket in (listener, connection, *children.values()):
                    open_socket.close()
                signal.set_wakeup_fd(-1)
                os.close(woken)
                os.close(wakeup)
                return json.loads(text), streams
            if text:
                children[pid] = connection
                with contextlib.suppress(OSError):  # the client has gone
                    connection.sendall(b"%d\n" % pid)
            for stream in streams:
                os.close(stream)


def _become(asked: tuple[dict[str, Any], list[int]], base: list[str]) -> None:
    """Runs the program as a new interpreter would."""
    request, streams = asked
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if request["session"]:
        os.setsid()
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    tempfile.tempdir = None
    _open_streams()
    flag, *words = request["words"]
    first = {"-m": str(Path.cwd()), "-c": ""}.get(flag, str(Path(flag).resolve().parent))
    given = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [first, *given, *base]
    try:
        _execute(flag, words)
        code: object = 0
    except SystemExit as end:
        code = 0 if end.code is None else end.code
    if isinstance(code, int):
        _exit(code)
    sys.exit(code)  # type: ignore[arg-type]


def _execute(flag: str, words: list[str]) -> None:
    if flag == "-m":
        sys.argv = words
        sys.modules.pop(words[0], None)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif flag == "-c":
        sys.argv = ["-c", *words[1:]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[0], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102
    else:
        sys.argv = [flag, *words]
        runpy.run_path(flag, run_name="__main__")


def _exit(code: int) -> None:
    """Ends as an interpreter does, except for the destruction of all modules, which takes a quarter of a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed
            try:
                stream.flush()
            except OSError:
                code = 120
    os._exit(code)


def stand_in(module: str, name: str, replacement: object) -> None:
    """Replaces a function, or a method ("Class.method"), wherever the package's imported modules hold it."""
    holder, _, last = name.rpartition(".")
    place = importlib.import_module(module)
    if holder:
        setattr(getattr(place, holder), last, replacement)
        return
    original = getattr(place, last)
    for imported in [value for key, value in sys.modules.items() if key.startswith("ssl4rl_bench")]:
        for key in [key for key, value in vars(imported).items() if value is original]:
            setattr(imported, key, replacement)


def _open_streams() -> None:
    """Opens the standard streams with the encoding that the environment asks for."""
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        unbuffered = number > 0 and bool(os.environ.get("PYTHONUNBUFFERED"))
        buffer = io.BufferedReader(raw) if number == 0 else raw if unbuffered else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffer,  # type: ignore[arg-type]  # a FileIO does
            encoding=encoding or "utf-8",
            errors="backslashreplace" if number == 2 else errors or "strict",
            line_buffering=number == 2 or raw.isatty(),
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    main()
