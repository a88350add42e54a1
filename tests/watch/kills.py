"""Watches small checkpoints and kills the watch repeatedly: `python kills.py DIRECTORY KILLS SEED`.

A child process is killed at a random time, or just before a random call that changes the disk. It is a fork
of this process, which has imported everything, so that it starts without delay. The files are checked after
each kill and at the end. Prints the number of kills of each kind.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import fake_checkpoints

from ssl4rl_bench.cli import watching
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.run.journal import BadLine, read_journal
from ssl4rl_bench.watch.history import Entry, decode_entry

STEPS = (50, 100, 150, 200)
CHANGING = {"os.rename", "os.mkdir", "os.symlink", "os.link", "os.remove", "os.truncate"}


def child(folder: Path, out: Path, kill_at: int | None = None) -> int:
    """Forks a process that watches and that kills itself before its `kill_at`-th change of the disk."""
    pid = os.fork()
    if pid:
        return pid
    n = 0

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal n
        if event in CHANGING or (event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT):
            n += 1
            if n == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 99
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2) if not os.environ.get("LOUD") else None
        sys.addaudithook(count)
        code = watching.watch_and_print(fake_checkpoints.plan(), fake_checkpoints.asked(folder, out), [])
        if kill_at == 0:
            (out.parent / "changes").write_text(str(n))
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def history(out: Path) -> list[Entry]:
    path = out / "history.jsonl"
    entries = [decode_entry(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    whole = [entry for entry in entries if entry is not None]
    assert len(whole) == len(entries), "a damaged line"
    return whole


def records(out: Path) -> Counter[tuple[str, str, int]]:
    return Counter(
        (path.parts[-3], line.id, line.repeat)
        for path in out.glob("runs/*/journal/*.jsonl")
        for line in read_journal(path)
        if not isinstance(line, BadLine)
    )


def check(out: Path, reference: Path, folder: Path, done: bool) -> None:
    expected, found = history(reference), history(out)
    assert found == expected[: len(found)], "another history"
    answered = records(out)
    assert set(answered.values()) <= {1}, "a reply twice"
    assert answered.keys() <= records(reference).keys()
    for entry in found:
        assert (out / entry.run / "result.json").exists(), "judged before it was evaluated"
    if (out / "best").is_symlink():
        assert (out / "best").resolve().parent == folder.resolve()
    if done:
        assert len(found) == len(STEPS), "a checkpoint was skipped"
        assert answered == records(reference)
        for name in ("leaderboard.html", "curves.svg", "curves.png"):
            assert (out / name).stat().st_mtime_ns >= (out / "history.jsonl").stat().st_mtime_ns
        for path in reference.glob("series/*"):
            assert path.read_bytes() == (out / "series" / path.name).read_bytes(), "alpha was spent twice"
        for path in reference.glob("runs/*/result.json"):
            assert path.read_bytes() == (out / path.relative_to(reference)).read_bytes()
        assert (out / "best").readlink() == (reference / "best").readlink()
        assert not list(out.glob(".*.tmp"))


def main() -> None:
    root, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    folder, reference = root / "train", root / "out" / "watch"
    Sheet.png = lambda sheet: b"curves"  # type: ignore[method-assign]  # its drawing is half of a watch
    for step in STEPS:
        fake_checkpoints.make(folder, step)
    gc.freeze()
    started = time.monotonic()
    assert wait(child(folder, reference, 0)) == 0
    took = time.monotonic() - started
    changes = int((reference.parent / "changes").read_text())
    killed: Counter[str] = Counter()
    trial = 0
    while killed.total() < kills:
        trial += 1
        out = root / f"out{trial}" / "watch"
        out.parent.mkdir()
        while True:
            by_change = rng.random() < 0.6
            pid = child(folder, out, rng.randint(1, changes // 3) if by_change else None)
            if not by_change:
                time.sleep(rng.uniform(0, took / 2))
                os.kill(pid, signal.SIGKILL)
            code = wait(pid)
            assert code in (0, -signal.SIGKILL), code
            killed["change" if by_change else "moment"] += code != 0
            check(out, reference, folder, done=code == 0)
            if code == 0:
                break
    print(json.dumps({"trials": trial, "changes": changes, "seconds": round(took, 1), **killed}))


if __name__ == "__main__":
    main()
