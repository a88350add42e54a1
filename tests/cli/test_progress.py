"""What commands say of their progress: bars on a terminal, elsewhere a line every ten seconds and the last one."""

from __future__ import annotations

import io
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Bars, Limit, Pace, RunProgress, Terminal
from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.cli.train_progress import TrainingProgress
from ssl4rl_bench.core.capabilities import Waits
from ssl4rl_bench.core.types import Status


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_at_once_then_every_ten_seconds_and_the_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Bars(console(stderr=True), pace=Pace(clock)) as bars:
        for label in ("read", "write"):
            for done in range(61):
                bars.show(label, done, 60, f"{label}: {done}/60")
                clock.now += 0.5
        bars.show("nothing", 0, 0, "nothing: 0/0")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:5] == ["read: 0/60", "read: 20/60", "read: 40/60", "read: 60/60", "write: 19/60"]
    assert lines[5:] == ["write: 39/60", "write: 59/60", "write: 60/60"]


def test_an_item_that_is_not_completed_has_its_last_line_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Bars(console(stderr=True), pace=Pace(Clock())) as bars:
        for done in (1, 2, 3):
            bars.show("read", done, 6, f"read: {done}/6")
        assert capsys.readouterr().err.splitlines() == ["read: 1/6"]
    assert capsys.readouterr().err.splitlines() == ["read: 3/6"]


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60))
def test_two_lines_of_an_incomplete_item_are_ten_seconds_apart(events: list[tuple[float, bool]]) -> None:
    clock, times = Clock(), []
    pace = Pace(clock)
    for wait, asks in events:
        clock.now += wait
        if asks and pace.is_due():
            times.append(clock.now)
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(times))
    assert bool(times) == any(asks for _, asks in events)


def test_training_has_a_line_of_metrics_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with TrainingProgress("mine", Pace(clock)) as screen:
        for done in range(9):
            screen.stage("rotation", done, 8)
        for step in range(1, 11):
            clock.now += 4
            screen.line({"step": step, "reward": step / 10}, 10)
    lines = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines[:2] == ["rotation: 0/8 images", "rotation: 8/8 images"]
    assert lines[2:] == ["step 3/10", "step 6/10", "step 9/10", "step 10/10"]


def test_all_runs_of_a_command_share_one_pace(capsys: pytest.CaptureFixture[str]) -> None:
    """As `watch` has it, which runs one checkpoint after another."""
    terminal, task = Terminal(), SimpleNamespace(name="mine", score=lambda *_: None)
    for _ in range(3):
        with terminal.running([task], "default") as progress:  # type: ignore[list-item]  # like a task
            progress(event(0, 0.0))
            progress.show("mine", 100, 100, "mine: 100/100")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["mine: 0/100  starting the engine", *["mine: 100/100"] * 3]


def test_a_run_says_its_beginning_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    task: Any = SimpleNamespace(name="mine", score=lambda *_: SimpleNamespace(value=1.0, status=Status.TAG))
    with RunProgress(console(stderr=True), [task], "default") as show:
        for done in range(41):
            so_far = SimpleNamespace(
                n_done=done, n_errors=0, n_resumed=0, n_completion_tokens=80, seconds=2.0
            )
            reply = SimpleNamespace(completion=None) if done else None
            show(
                SimpleNamespace(
                    task="mine",
                    n_done=done,
                    n_total=40,
                    sample=reply,
                    record=reply,
                    so_far=so_far,
                    waits=None,
                )
            )  # type: ignore[arg-type]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "mine: 0/40  starting the engine" and len(said) == 2
    assert said[-1] == "mine: 40/40  rows right 100.0%  20.0 replies/s  40 tokens/s"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


BARS = {
    60: """
ssl4rl_ssl_rotation_90 4096/4329 rows right 97.1%    -:--:--
                                 1234 tokens/s  3
                                 errors
""",
    80: """
ssl4rl_ssl_rotation_90 ━━━━━━━━━  4096/4329 rows right 97.1%  1234       -:--:--
                                            tokens/s  3 errors
""",
    120: """
ssl4rl_ssl_rotation_90 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━   4096/4329 rows right 97.1%  1234 tokens/s  3 errors -:--:--
""",
}


@pytest.mark.parametrize("width", BARS)
def test_a_bar_of_a_run_leaves_room_for_its_counts(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")  # which is shown the last state only
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    screen = Screen(file=Tty(), width=width, height=50)
    task: Any = SimpleNamespace(name="ssl4rl_ssl_rotation_90", score=lambda *_: None)
    with RunProgress(screen, [task], "default") as progress:
        note = "rows right 97.1%  1234 tokens/s  3 errors"
        progress.show(task.name, 4096, 4329, "", note=note)
    lines = screen.file.getvalue().strip().splitlines()  # type: ignore[attr-defined]  # Tty
    assert "\n".join(["", *(line.rstrip() for line in lines), ""]) == BARS[width]


FULL = "rows right 97.1%  12.3 replies/s  1234 tokens/s  waiting for the last replies  3 errors"
FULL_BARS = {
    60: """
ssl4rl_ssl_rotation_90 4096/4329 rows right 97.1%    0:01:05
                                 12.3 replies/s
                                 1234 tokens/s
                                 waiting for the
                                 last replies  3
                                 errors
""",
    80: """
ssl4rl_ssl_rotation_90 ━━━━━━━━━  4096/4329 rows right 97.1%  12.3       0:01:05
                                            replies/s  1234 tokens/s
                                            waiting for the last replies
                                            3 errors
""",
}


@pytest.mark.parametrize("width", FULL_BARS)
def test_all_that_a_bar_can_say_fits_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = bar(width, FULL, 65.2, monkeypatch)
    assert max(map(len, lines)) <= width
    assert "\n".join(["", *(line.rstrip() for line in lines), ""]) == FULL_BARS[width]


@pytest.mark.parametrize("width", range(60, 201, 7))
def test_no_number_of_a_bar_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = bar(width, FULL, 3723.0, monkeypatch)
    shown = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= width
    assert "4096/4329" in shown and "1:02:03" in shown
    assert all(part in shown for part in ("97.1%", "12.3", "1234", "3"))


def bar(width: int, note: str, left: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    screen = Screen(file=Tty(), width=width, height=50)
    task: Any = SimpleNamespace(name="ssl4rl_ssl_rotation_90", score=lambda *_: None)
    with RunProgress(screen, [task], "default") as progress:
        progress.show(task.name, 4096, 4329, "", note=note, left=left)
    lines: list[str] = screen.file.getvalue().strip().splitlines()  # type: ignore[attr-defined]  # Tty
    return lines


def event(done: int, seconds: float, waits: Waits | None = None, **so_far: int) -> Any:
    counts = {"n_done": done, "n_errors": 0, "n_resumed": 0, "n_completion_tokens": 30 * done} | so_far
    reply = SimpleNamespace(completion=None) if done else None
    about = SimpleNamespace(**counts, seconds=seconds)
    return SimpleNamespace(
        task="mine", n_done=done, n_total=100, sample=reply, record=reply, so_far=about, waits=waits
    )


@pytest.fixture
def progress() -> RunProgress:
    task: Any = SimpleNamespace(name="mine", score=lambda *_: SimpleNamespace(value=1.0, status=Status.TAG))
    clock = itertools.count(step=10)  # every line is due
    return RunProgress(console(stderr=True), [task], "default", Pace(lambda: next(clock)))


def test_rates_and_the_remaining_time_start_with_the_first_reply(
    progress: RunProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    for told in (event(0, 0.0), event(5, 0.0), event(10, 2.0), event(20, 4.0), event(100, 20.0)):
        progress(told)
    assert capsys.readouterr().err.splitlines() == [
        "mine: 0/100  starting the engine",
        "mine: 5/100  rows right 100.0%",
        "mine: 10/100  rows right 100.0%  5.0 replies/s  150 tokens/s  about 18 s left",
        "mine: 20/100  rows right 100.0%  5.0 replies/s  150 tokens/s  about 16 s left",
        "mine: 100/100  rows right 100.0%  5.0 replies/s  150 tokens/s",
    ]


def test_replies_of_an_earlier_sitting_count_in_no_rate(
    progress: RunProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    progress(event(60, 5.0, n_resumed=50, n_errors=10, n_completion_tokens=100))
    assert (
        capsys.readouterr().err.strip()
        == "mine: 60/100  rows right 100.0%  4.0 replies/s  20 tokens/s  10 errors  about 10 s left"
    )


def test_what_the_engine_waits_for_is_that_of_the_last_seconds() -> None:
    limit = Limit()
    assert limit.of(None) == ""
    said = [
        limit.of(Waits(*times))
        for times in (
            (0.0, 0.0, 0.0),  # the first
            (0.5, 0.0, 0.0),  # too early to tell
            (3.0, 0.5, 0.0),
            (3.0, 1.5, 0.0),  # the same until two seconds have passed
            (3.2, 4.0, 0.0),
            (3.2, 4.0, 9.0),
            (0.0, 0.1, 0.0),  # another start of the engine
            (0.0, 2.1, 0.0),
        )
    ]
    model, images = "the model", "images"
    assert said == ["", "", images, images, model, "the last replies", "", model]


def test_a_run_says_what_it_waits_for(progress: RunProgress, capsys: pytest.CaptureFixture[str]) -> None:
    progress(event(10, 1.0, Waits(1.0, 0.0, 0.0)))
    progress(event(20, 9.0, Waits(2.0, 7.0, 0.0)))
    first, second = capsys.readouterr().err.splitlines()
    assert "waiting" not in first
    assert second.startswith(
        "mine: 20/100  rows right 100.0%  2.2 replies/s  67 tokens/s  waiting for the model"
    )
