"""How commands end: the exit code and the one line, whatever is raised, and whoever reads the output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest

CRASH = """
import sys, errno, signal, time, zlib
error, module, function = sys.argv[1:4]
def raising(*args, **kwargs):
    raise eval(error)
import forked
forked.stand_in(module, function, raising)
sys.argv[1:4] = []
from ssl4rl_bench.cli import main
main()
"""
RUN = ("ssl4rl_bench.task.taskfile", "expand", "run", "--tasks", "scenes", "--engine", "mock")
GATE = ("ssl4rl_bench.comparison.load", "load_evaluated", "gate", "--candidate", "x", "--baseline", "y")
TRAIN = ("ssl4rl_bench.train.recipe", "find_recipe", "train", "tiny_rotation")
CRASHES = [
    "TypeError('one\\ntwo')",
    "KeyError('x')",
    "AssertionError()",
    "RecursionError('too deep')",
    "EOFError('Compressed file ended')",
    "UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad')",
    "zlib.error('corrupt')",
    "StopIteration()",
    "OSError('no number')",
    "SystemExit('a library gave up')",
    "BaseExceptionGroup('several', [ValueError('x')])",
    "type('Odd', (BaseException,), {})('not an Exception')",
]


def crashed(tmp_path: Path, error: str, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path), **env}
    return forked.run(
        [sys.executable, "-c", CRASH, error, *command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "error"),
    [*((RUN, error) for error in CRASHES), *((c, e) for c in (GATE, TRAIN) for e in CRASHES[:2])],
)
def test_a_crash_is_one_sentence_and_exit_4(tmp_path: Path, command: tuple[str, ...], error: str) -> None:
    done = crashed(tmp_path, error, *command)
    assert done.returncode == 4, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: internal error: ")
    (kept,) = tmp_path.glob("*.traceback.txt")
    assert str(kept) in line and "Traceback" in kept.read_text() and kept.stat().st_mode & 0o077 == 0


def test_a_traceback_is_shown_where_it_is_asked_for_and_holds_no_secret(tmp_path: Path) -> None:
    error = "ValueError('http://me:hunter22@host/v1 with sk-abcdefghijklmnop1234')"
    shown = crashed(tmp_path, error, *RUN, SSL4RL_DEBUG="1")
    assert shown.returncode == 4 and "Traceback" in shown.stderr and not list(tmp_path.glob("*.txt"))
    kept = crashed(tmp_path, error, *RUN)
    text = kept.stderr + next(tmp_path.glob("*.txt")).read_text()
    assert "hunter22" not in text and "abcdefghij" not in text


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("OSError(errno.ENOSPC, 'No space left on device')", 2, "no space left"),
        ("OSError(errno.ENOSPC, 'No space left on device', '/some/file')", 2, "/some/file: no space left"),
        ("PermissionError(errno.EACCES, 'Permission denied', '/some/file')", 2, "/some/file: permission"),
        ("FileNotFoundError(errno.ENOENT, 'No such file', '/some/file')", 2, "/some/file: no such file"),
        ("OSError(errno.EIO, 'Input/output error')", 4, "Input/output error"),
        ("MemoryError()", 4, "out of memory"),
        ("KeyboardInterrupt()", 130, "interrupted"),
    ],
)
@pytest.mark.parametrize("command", [RUN, pytest.param(GATE, marks=pytest.mark.slow)], ids=["run", "gate"])
def test_what_the_system_refuses_is_told_in_its_words(
    tmp_path: Path, error: str, code: int, words: str, command: tuple[str, ...]
) -> None:
    done = crashed(tmp_path, error, *command)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, words in line) == (code, True), done.stderr


def test_other_entry_points_end_in_the_same_way(tmp_path: Path) -> None:
    code = (
        "import forked, runpy, sys\n"
        "def boom(*a, **k): raise TypeError('odd')\n"
        "for module, name in (('weights', 'fingerprint'), ('weights', 'side_files'), ('files', 'read_config')):\n"
        "    forked.stand_in(f'ssl4rl_bench.engines.checkpoints.{module}', name, boom)\n"
        "sys.argv = ['repair', sys.argv[1], sys.argv[2]]\n"
        "sys.modules.pop('ssl4rl_bench.repair', None)\n"
        "runpy.run_module('ssl4rl_bench.repair', run_name='__main__')\n"
    )
    (tmp_path / "model").mkdir()
    done = forked.run(
        [sys.executable, "-c", code, tmp_path / "model", tmp_path / "new"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 4 and re.match("error: internal error: TypeError: odd", done.stderr), (
        done.stderr
    )


@pytest.mark.parametrize("merged", [False, True])
def test_a_reader_that_goes_away_changes_nothing(tmp_path: Path, merged: bool) -> None:
    """The output's reader is gone before the first byte: the run is made, and nothing is said of the pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    run = [sys.executable, "-m", "ssl4rl_bench", "run", "--tasks", "scenes", "--engine", "mock"]
    done = forked.run(
        [*run, "--limit", "4", "--out", tmp_path / "run"],
        stdout=writer,
        stderr=writer if merged else subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode == 0
    assert merged or "Broken pipe" not in done.stderr
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_full_output_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w") as full:
        done = forked.run(
            [sys.executable, "-m", "ssl4rl_bench", "list", "tasks"], stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2 and done.stderr == b"error: cannot use the output: no space left on device\n"


WAITING = CRASH.replace("raise eval(error)", "print('here', flush=True); eval(error)")


@pytest.mark.parametrize(
    ("command", "number"),
    [(RUN, signal.SIGINT), (RUN, signal.SIGTERM), (GATE, signal.SIGTERM), (TRAIN, signal.SIGTERM)],
    ids=["run Ctrl-C", "run", "gate", "train"],
)
def test_a_signal_ends_any_command_at_once(
    tmp_path: Path, number: signal.Signals, command: tuple[str, ...]
) -> None:
    child = forked.Popen(
        [sys.executable, "-c", WAITING, "time.sleep(300)", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert child.stdout is not None and child.stdout.readline() == "here\n"
    asked = time.monotonic()
    child.send_signal(number)
    _, errors = child.communicate(timeout=100)
    assert child.returncode == 130 and time.monotonic() - asked < 60
    assert errors.startswith("error: interrupted") and "Traceback" not in errors


def test_a_signal_that_a_library_made_another_error_of_is_still_an_interruption(tmp_path: Path) -> None:
    waits = "exec('try: time.sleep(300)\\nexcept BaseException: raise RuntimeError(\"no\") from None')"
    child = forked.Popen(
        [sys.executable, "-c", WAITING, waits, *RUN], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert child.stdout is not None and child.stdout.readline() == "here\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=100)
    assert child.returncode == 130


def test_a_signal_after_the_work_is_done_keeps_the_exit_code(tmp_path: Path) -> None:
    code = (
        "import atexit, sys, time\n"
        "from ssl4rl_bench.core.exits import run_command\n"
        "def late(): print('here', flush=True); time.sleep(300)\n"
        "run_command(lambda: atexit.register(late) and 0)\n"
    )
    child = forked.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "here\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=100)
    assert child.returncode == 0
