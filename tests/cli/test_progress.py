"""What commands say of their progress: bars on a terminal, elsewhere a line for every share of what is done."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.cli.progress import Bars, RunProgress
from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.cli.train_progress import TrainingProgress
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
                    task="mine", n_done=done, n_total=40, sample=reply, record=reply, so_far=so_far
                )
            )  # type: ignore[arg-type]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "mine: 0/40  starting the engine" and len(said) == 21
    assert said[-1] == "mine: 40/40  rows right 100.0%  40 tokens/s"


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
