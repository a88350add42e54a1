"""Programs that are forked (`forked`) end, read, write and are set up as those that are started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import forked
import pytest

BOTH = pytest.mark.parametrize("ways", [subprocess, forked], ids=["started", "forked"])


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Started programs inherit that Ctrl-C is ignored, as it is in a background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def python(code: str, *words: str | Path) -> list[str | Path]:
    return [sys.executable, "-c", code, *words]


@BOTH
@pytest.mark.parametrize(
    ("code", "status", "errors"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os; os._exit(7)", 7, ""),
        ("import atexit, sys; atexit.register(print, 'late', file=sys.stderr); sys.exit(2)", 2, "late\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -2, "KeyboardInterrupt\n"),
        ("import threading as t; t.Timer(0.1, print, ['late']).start()", 0, ""),
        ("print('x'); open('/dev/full', 'w').write('y')", 0, ""),
    ],
)
def test_exit_codes(ways: ModuleType, code: str, status: int, errors: str) -> None:
    done = ways.run(python(code), capture_output=True, text=True)
    assert (done.returncode, done.stderr[-len(errors) or None :]) == (status, done.stderr and errors)
    assert ("late" in done.stdout) == ("Timer" in code)


@BOTH
def test_a_full_output_and_a_closed_one(ways: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with Path("/dev/full").open("w") as full:
        assert ways.run(python("print(1)"), stdout=full, stderr=subprocess.DEVNULL).returncode == 120
    reader, writer = os.pipe()
    os.close(reader)
    done = ways.run(python("print(1, flush=True)"), stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 120 and "BrokenPipeError" in done.stderr


@BOTH
def test_arguments_input_folder_environment_and_session(ways: ModuleType, tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\n"
        "print(sys.argv, os.getcwd(), dict(os.environ), input(), os.getsid(0) == os.getpid(), sys.path[:2])\n"
        "print(signal.getsignal(signal.SIGINT).__name__, signal.getsignal(signal.SIGTERM).name, __name__, 'é')\n"
    )
    env = {"A": "1", "PYTHONPATH": "/b", "PYTHONIOENCODING": "latin-1", "LC_CTYPE": "C.UTF-8"}
    process = ways.Popen(
        python(code, "x y", tmp_path), env=env, cwd=tmp_path, start_new_session=True, stdin=-1, stdout=-1
    )
    output, _ = process.communicate(b"typed\n")
    words = (["-c", "x y", str(tmp_path)], str(tmp_path), env, "typed", True, ["", "/b"])
    assert output.decode("latin-1").splitlines() == [
        " ".join(map(str, words)), "default_int_handler SIG_DFL __main__ é",
    ]  # fmt: skip


@BOTH
@pytest.mark.parametrize("form", ["-m", "file"])
def test_modules_and_files(ways: ModuleType, tmp_path: Path, form: str) -> None:
    (tmp_path / "one.py").write_text("import sys, two; print(__name__, sys.argv, two.X)")
    (tmp_path / "two.py").write_text("X = 2")
    words = ["-m", "one"] if form == "-m" else [tmp_path / "one.py"]
    done = ways.run([sys.executable, *words, "a"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"__main__ {[str(tmp_path / 'one.py'), 'a']} 2\n"


@BOTH
def test_a_child_is_polled_waited_for_and_signalled(ways: ModuleType) -> None:
    child = ways.Popen(python("print('here', flush=True); input()"), stdin=-1, stdout=-1, text=True)
    assert child.stdout.readline() == "here\n" and child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.01)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == child.poll() == -signal.SIGTERM
    child.communicate()
    os.kill(os.getpid(), 0)


def test_a_shell_script_becomes_a_program(tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text(
        forked.in_shell("-c", "import sys; print(sys.argv[1:], input()); sys.exit(3)")
    )
    command = ["sh", tmp_path / "script.sh", "a b"]
    done = subprocess.run(command, input="typed\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "['a b'] typed\n"), done.stderr


def test_it_has_imported_the_package_and_nothing_that_reads_the_environment() -> None:
    usual = ["numpy", "scipy.stats", "ssl4rl_bench.cli.run"]
    code = "import sys; print(*[name for name in sys.argv[1:] if name in sys.modules])"
    done = forked.run(python(code, *usual, *forked.HEAVY), capture_output=True, text=True, check=True)
    assert done.stdout.split() == usual


def test_a_stand_in_is_met_wherever_its_function_was_imported() -> None:
    code = (
        "import forked\n"
        "forked.stand_in('ssl4rl_bench.core.identity', 'sha256_hex', lambda data: 'stand-in')\n"
        "from ssl4rl_bench.task.pictures import sources\n"
        "print(sources.sha256_hex(b''))\n"
    )
    assert forked.run(python(code), capture_output=True, text=True, check=True).stdout == "stand-in\n"
