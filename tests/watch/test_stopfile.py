"""The stop file: written once, for negative transfer alone, with its numbers, and never changed or removed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import simulated
from fake_checkpoints import POLICY, asked, make, plan
from test_history import entry

from ssl4rl_bench.cli import watching
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.watch import judging
from ssl4rl_bench.watch.history import Change, History
from ssl4rl_bench.watch.judging import Terms
from ssl4rl_bench.watch.stopfile import StopFile

REASON = "negative transfer, consider stopping: ..."
DOWN = Change("ssl4rl_scenes", "attribute", False, 100, 0.9, 0.5, -0.4, (-0.5, -0.3), 0.001)
UNSURE = Change("ssl4rl_scenes", "relation", False, 100, 0.9, 0.89, -0.01, (-0.1, 0.08), 0.9)
RUNS = {name: simulated.run(name, np.array([True, False])) for name in ("out/step-000050", "base")}
CANDIDATE, BASE = RUNS.values()
TERMS = Terms(POLICY, BASE, "series", Path("series"))


def test_the_file_has_the_reason_and_its_numbers(tmp_path: Path) -> None:
    file = StopFile(tmp_path / "stop.json")
    assert not file.check()
    assert not file.write(entry(hint=None, verdict="fail"), CANDIDATE, BASE, TERMS)
    assert not file.path.exists(), "a failed gate alone is no reason"
    shown = entry(hint=REASON, verdict="fail", changes=(DOWN, UNSURE))
    assert file.write(shown, CANDIDATE, BASE, TERMS)
    content = json.loads(file.path.read_text())
    assert {
        key: content[key] for key in ("schema", "reason", "step", "checkpoint", "baseline", "verdict")
    } == {
        "schema": 1,
        "reason": REASON,
        "step": 50,
        "checkpoint": "out/step-000050",
        "baseline": "base",
        "verdict": "fail",
    }
    assert [change["name"] for change in content["changes"]] == ["attribute"] and content["alpha"] == 0.05
    assert content["policy"]["rule"][0]["task"] == "scenes"


def test_a_file_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    file = StopFile(tmp_path / "stop.json")
    file.path.write_text("mine")
    assert file.check() and not file.write(entry(hint=REASON), CANDIDATE, BASE, TERMS)
    assert file.path.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        StopFile(tmp_path / "gone" / "stop").check()
    with pytest.raises(UsageError, match="is a folder"):
        StopFile(tmp_path).check()


@pytest.mark.slow
def test_a_watch_writes_it_before_the_history_so_that_a_kill_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, out, path = tmp_path / "train", tmp_path / "out", tmp_path / "stop.json"
    for step in (50, 100, 150):
        make(train, step)
    monkeypatch.setattr(Sheet, "png", lambda sheet: b"curves")
    monkeypatch.setattr(judging, "hint", lambda changes: REASON)
    add = History.add

    def killed(self: History, entry: object) -> None:
        if path.exists():
            raise StoreError("killed")
        add(self, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(History, "add", killed)
    with pytest.raises(StoreError, match="killed"):
        watching.watch_and_print(plan(), asked(train, out, stop_file=path), [])
    assert json.loads(path.read_text())["step"] == 100, "the first after the baseline"
    monkeypatch.setattr(History, "add", add)
    capsys.readouterr()
    assert watching.watch_and_print(plan(), asked(train, out, stop_file=path), []) == 0
    shown = capsys.readouterr().out
    assert "stop.json exists already, and stays as it is" in " ".join(shown.split()) and "wrote" not in shown
    assert json.loads(path.read_text())["step"] == 100
    with History(out) as history:
        assert [(one.step, one.hint) for one in history.entries] == [(50, None), (100, REASON), (150, REASON)]
    path.unlink()
    (out / "history.jsonl").unlink()
    assert watching.watch_and_print(plan(), asked(train, out, stop_file=path), []) == 0
    assert f"wrote {path}, which tells the trainer to stop" in capsys.readouterr().out
    assert json.loads(path.read_text())["step"] == 100
