"""What commands say of their progress: bars on a terminal, elsewhere a line for every share of what is done."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Bars, Limit, RunProgress
from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.cli.train_progress import TrainingProgress
from ssl4rl_bench.core.capabilities import Waits
from ssl4rl_bench.core.types import Status


def test_a_line_for_every_share_and_none_for_the_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(console(stderr=True), shares=4) as bars:
        for label in ("read", "write"):
            for done in range(7):
                bars.show(label, done, 6, f"{label}: {done}/6")
        bars.show("nothing", 0, 0, "nothing: 0/0")
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{label}: {done}/6" for label in ("read", "write") for done in (2, 3, 5, 6)]


def test_training_says_each_stage_and_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress("mine") as screen:
        for done in range(9):
            screen.stage("rotation", done, 8)
        screen.line({"step": 5, "reward": 0.5}, 10)
        screen.line({"step": 5, "reward": 0.25}, 10)
    said = capsys.readouterr().err.splitlines()
    assert said[:4] == [f"rotation: {done}/8 images" for done in (2, 4, 6, 8)]
    assert said[4:] == ["step 5/10  reward 0.500", "step 5/10  reward 0.250"]


def test_a_run_says_its_beginning_and_every_5_percent(capsys: pytest.CaptureFixture[str]) -> None:
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
    assert said[0] == "mine: 0/40  starting the engine" and len(said) == 21
    assert said[-1] == "mine: 40/40  rows right 100.0%  20.0 replies/s  40 tokens/s"


class Terminal(io.StringIO):
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
    screen = Screen(file=Terminal(), width=width, height=50)
    task: Any = SimpleNamespace(name="ssl4rl_ssl_rotation_90", score=lambda *_: None)
    with RunProgress(screen, [task], "default") as progress:
        note = "rows right 97.1%  1234 tokens/s  3 errors"
        progress.show(task.name, 4096, 4329, "", note=note)
    lines = screen.file.getvalue().strip().splitlines()  # type: ignore[attr-defined]  # Terminal
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
    screen = Screen(file=Terminal(), width=width, height=50)
    task: Any = SimpleNamespace(name="ssl4rl_ssl_rotation_90", score=lambda *_: None)
    with RunProgress(screen, [task], "default") as progress:
        progress.show(task.name, 4096, 4329, "", note=note, left=left)
    lines: list[str] = screen.file.getvalue().strip().splitlines()  # type: ignore[attr-defined]  # Terminal
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
    return RunProgress(console(stderr=True), [task], "default")


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
