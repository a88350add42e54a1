"""What the terminal says of a checkpoint's margins."""

from __future__ import annotations

import pytest

from ssl4rl_bench.cli import watching
from ssl4rl_bench.watch.history import BASELINE, Entry, ProbeSight
from ssl4rl_bench.watch.judging import Judged

SEES = ProbeSight("ssl4rl_ssl_rotation_90", 0.2925, 0.25, 0.0131, (0.0046, 0.0216), 0.0007, 400, "…")
NONE = ProbeSight(
    "ssl4rl_ssl_position", 0.25, 0.25, None, None, None, 0, reason="engine mock gives none \x1b[31m"
)


def printed(capsys: pytest.CaptureFixture[str], *margins: ProbeSight) -> list[str]:
    """The lines of a first checkpoint."""
    entry = Entry("step-000050", 50, 0, "f", "runs/a", "t", BASELINE, None, 0, 0.0, True, margins=margins)
    watching._print(Judged(entry, None))
    return capsys.readouterr().out.splitlines()


def test_a_margin_stands_beside_the_accuracy_and_its_chance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert printed(capsys, SEES)[1:] == [
        "  ssl_rotation_90: margin +0.013 [+0.005, +0.022] nats, p <0.001, n 400; accuracy 29.25%, chance 25.00%"
    ]


def test_a_reason_is_said_once_and_safely(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, NONE, NONE)
    assert len(lines) == 2 and lines[1].startswith("  no margin: engine mock gives none")
    assert "\x1b" not in lines[1]
