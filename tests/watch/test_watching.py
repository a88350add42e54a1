"""The command: exit codes, going on, what is refused, and that nothing is done twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_checkpoints
import forked
import pytest
from fake_checkpoints import POLICY, asked, make, plan
from test_cli import bench, refused

from ssl4rl_bench.cli import watching
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.core.errors import EngineError, Interrupted, StoreError, UsageError
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.evaluation import running
from ssl4rl_bench.gating import baseline as baseline_file
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.watch import loop
from ssl4rl_bench.watch.history import History
from ssl4rl_bench.watch.loop import Watch

TIGHT = parse_policy(
    {"allow": ["partial"], "rule": [{"task": "scenes", "kind": "no_worse_than", "margin": 1}]}
)
BETTER = parse_policy(
    {
        "allow": ["partial"],
        "on_inconclusive": "fail",
        "rule": [{"task": "scenes", "kind": "at_least", "value": 99}],
    }
)


@pytest.fixture(autouse=True)
def no_curves_as_pixels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws curves.png, half of a page's time, in one test only."""
    if request.function is not test_once_judges_what_is_there_and_again_asks_nothing:
        monkeypatch.setattr(Sheet, "png", lambda sheet: b"curves")


@pytest.fixture
def train(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    for step in (50, 100):
        make(folder, step)
    return folder


def run_dirs(out: Path) -> dict[str, bytes]:
    return {path.parts[-3]: path.read_bytes() for path in out.glob("runs/*/journal/*.jsonl")}


@pytest.mark.slow
def test_once_judges_what_is_there_and_again_asks_nothing(train: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    before, lines = run_dirs(out), (out / "history.jsonl").read_bytes()
    page = (out / "leaderboard.html").stat().st_mtime_ns
    assert len(before) == lines.count(b"\n") == 2
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    assert (run_dirs(out), (out / "history.jsonl").read_bytes()) == (before, lines)
    assert (out / "leaderboard.html").stat().st_mtime_ns == page
    make(train, 150)
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    assert (out / "history.jsonl").read_bytes().startswith(lines) and len(run_dirs(out)) == 3
    assert not (out / "best").readlink().is_absolute() and (out / "best").resolve().parent == train
    text = (out / "leaderboard.html").read_text()
    assert "step-000150" in text and "over training" in text and "<svg" in text
    assert (out / "curves.svg").read_text().startswith("<svg xmlns=") and (
        out / "curves.png"
    ).stat().st_size > 1000


@pytest.mark.parametrize(("policy", "code"), [(POLICY, 0), (TIGHT, 3), (BETTER, 1)])
@pytest.mark.slow
def test_the_exit_code_is_the_worst_new_verdict(
    train: Path, tmp_path: Path, policy: object, code: int
) -> None:
    out = tmp_path / "out"
    assert watching.watch_and_print(plan(), asked(train, out, policy=policy), []) == code
    assert watching.watch_and_print(plan(), asked(train, out, policy=policy), []) == 0, "nothing is new"


@pytest.mark.slow
def test_a_baseline_file_does_for_a_run(train: Path, tmp_path: Path) -> None:
    watching.watch_and_print(plan(), asked(train, tmp_path / "first"), [])
    (old,) = load_evaluated([tmp_path / "first" / "runs" / "step-000050"])
    baseline_file.save_baseline_file(old, tmp_path / "base.json.gz")
    out = tmp_path / "out"
    assert watching.watch_and_print(plan(), asked(train, out, baseline=tmp_path / "base.json.gz"), []) == 0
    with History(out) as history:
        assert [entry.verdict for entry in history.entries] == ["pass", "pass"]
        assert [entry.number for entry in history.entries] == [1, 2]
    assert "the baseline and its 95% interval" in (out / "curves.svg").read_text()


@pytest.mark.slow
def test_a_history_is_made_again_from_the_runs(train: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(train, 150)
    watching.watch_and_print(plan(), asked(train, out), [])
    lines, journals = (out / "history.jsonl").read_bytes(), run_dirs(out)
    for damage in (lines[:-40], lines.replace(b"pass", b"fail", 1), b""):
        (out / "history.jsonl").write_bytes(damage)
        assert watching.watch_and_print(plan(), asked(train, out), []) == 0
        assert (out / "history.jsonl").read_bytes() == lines and run_dirs(out) == journals
    (out / "history.jsonl").unlink()
    for path in train.iterdir():
        path.rename(tmp_path / path.name)  # what trainers prune was judged all the same
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    assert [json.loads(line)["step"] for line in (out / "history.jsonl").read_text().splitlines()] == [
        50,
        100,
        150,
    ]


@pytest.mark.slow
def test_other_terms_are_refused_and_the_way_out_works(train: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    watching.watch_and_print(plan(), asked(train, out), [])
    journals = run_dirs(out)
    with pytest.raises(UsageError, match="another policy or baseline"):
        watching.watch_and_print(plan(), asked(train, out, policy=TIGHT), [])
    (out / "history.jsonl").unlink()
    for path in (out / "series").iterdir():
        path.unlink()
    assert watching.watch_and_print(plan(), asked(train, out, policy=TIGHT), []) == 3
    assert run_dirs(out) == journals


@pytest.mark.slow
def test_other_weights_under_the_same_name_are_judged_too(train: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    watching.watch_and_print(plan(), asked(train, out), [])
    (train / "step-000100").rename(tmp_path / "gone")
    make(train, 100, fill=9)
    watching.watch_and_print(plan(), asked(train, out), [])
    names = sorted(path.name for path in (out / "runs").iterdir())
    assert len(names) == 3 and names[2].startswith("step-000100-")
    with History(out) as history:
        assert [entry.step for entry in history.entries] == [50, 100, 100]
    (out / "history.jsonl").unlink()
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    with History(out) as history:
        assert [entry.name for entry in history.entries] == ["step-000050", "step-000100", "step-000100"]


@pytest.mark.slow
def test_a_broken_checkpoint_ends_nothing(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = running.create

    def create(name: str, model: Model, options: EngineOptions) -> object:
        if model.path.name == "step-000050":
            raise EngineError("transformers cannot load it")
        return real(name, model, options)

    monkeypatch.setattr(running, "create", create)
    out = tmp_path / "out"
    assert watching.watch_and_print(plan(), asked(train, out), []) == 4
    assert "step-000050 was not evaluated: transformers cannot load it" in capsys.readouterr().out
    with History(out) as history:
        assert [entry.name for entry in history.entries] == ["step-000100"]
    monkeypatch.undo()
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    with History(out) as history:
        assert [entry.verdict for entry in history.entries] == ["baseline", "pass"]


@pytest.mark.slow
def test_a_checkpoint_that_the_trainer_deletes_before_its_evaluation_ends_nothing(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = loop.resolve_model

    def resolve(name: str, *, chat: bool) -> Model:
        if name.endswith("step-000050"):
            shutil.rmtree(name)
        return real(name, chat=chat)

    monkeypatch.setattr(loop, "resolve_model", resolve)
    out = tmp_path / "out"
    assert watching.watch_and_print(plan(), asked(train, out), []) == 4
    shown = capsys.readouterr().out
    assert "step-000050 was not evaluated: the trainer deleted it; let it keep more checkpoints" in shown
    with History(out) as history:
        assert [entry.name for entry in history.entries] == ["step-000100"]


@pytest.mark.slow
def test_a_spool_file_is_watched_like_a_folder(train: Path, tmp_path: Path) -> None:
    spool, out = tmp_path / "spool.tsv", tmp_path / "out"
    (train / "step-000050").rename(tmp_path / "first")
    spool.write_text("50\tfirst\n100\ttrain/step-000100\n150\tfir")
    assert watching.watch_and_print(plan(), asked(spool, out), []) == 0
    with History(out) as history:
        assert [(entry.name, entry.step) for entry in history.entries] == [
            ("step-000050", 50),
            ("step-000100", 100),
        ]
        best = history.best
    places = {"step-000050": tmp_path / "first", "step-000100": train / "step-000100"}
    assert best is not None and (out / "best").resolve() == places[best.name]
    make(tmp_path, 7).rename(tmp_path / "again")
    spool.write_text("50\tfirst\n100\ttrain/step-000100\n100\tagain\n")
    shutil.rmtree(tmp_path / "first")
    assert watching.watch_and_print(plan(), asked(spool, out), []) == 0
    with History(out) as history:
        assert [entry.name for entry in history.entries] == ["step-000050", "step-000100", "step-000100"]


@pytest.mark.slow
def test_one_engine_is_kept_where_it_takes_other_weights(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Swapping(MockEngine):
        def __init__(self, model: Model, options: EngineOptions) -> None:
            super().__init__(model, options)
            events.append(f"new {model.path.name}")

        def swap(self, model: Model) -> bool:
            taken = model.path.name != "step-000150"
            events.append(f"{'swap' if taken else 'refuse'} {model.path.name}")
            return taken

        def close(self) -> None:
            events.append("close")

    monkeypatch.setattr(running, "create", lambda name, model, options: Swapping(model, options))
    make(train, 150)
    watching.watch_and_print(plan(), asked(train, tmp_path / "out"), [])
    assert events == [
        "new step-000050", "swap step-000100", "refuse step-000150", "close", "new step-000150", "close",
    ]  # fmt: skip


@pytest.mark.slow
def test_checkpoints_that_appear_are_taken_and_a_stop_is_clean(tmp_path: Path) -> None:
    """Two appear while it runs; the second is written slowly. Then SIGTERM."""
    folder, out, policy = tmp_path / "train", tmp_path / "out", tmp_path / "gate.toml"
    folder.mkdir()
    policy.write_text('allow = ["partial"]\n[[rule]]\ntask = "scenes"\nkind = "no_worse_than"\nmargin = 90\n')
    command = [
        sys.executable, "-m", "ssl4rl_bench", "watch", folder, "--policy", policy, "--tasks", "scenes",
        "--limit", "6", "--engine", "mock", "--interval", "0.2", "--out", out,
    ]  # fmt: skip
    process = forked.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def write() -> None:
        make(folder, 50)
        half = folder / "step-000100"
        half.mkdir()
        for name, data in fake_checkpoints.files(100).items():
            with (half / name).open("wb") as file:
                for at in range(0, len(data), max(1, len(data) // 4)):
                    file.write(data[at : at + max(1, len(data) // 4)])
                    file.flush()
                    time.sleep(0.03)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        seen.append(line)
        if line.startswith("PASS"):
            break
    writer.join()
    process.send_signal(signal.SIGTERM)
    seen += process.communicate()[0].splitlines(keepends=True)
    text = "".join(seen)
    assert process.returncode == 130, text
    assert "Traceback" not in text and "the same command continues it" in text
    with History(out) as history:
        assert [(entry.name, entry.verdict) for entry in history.entries] == [
            ("step-000050", "baseline"), ("step-000100", "pass"),
        ]  # fmt: skip


@pytest.mark.slow
def test_a_stop_during_an_evaluation_is_resumable(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[threading.Event] = []
    real = Watch.follow

    def follow(self: Watch, *, once: bool, interval: float, stop: threading.Event) -> None:
        stops.append(stop)
        real(self, once=once, interval=interval, stop=stop)

    answered = MockEngine._complete

    def complete(self: MockEngine, request: object) -> object:
        if stops:
            stops[0].set()
        return answered(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(Watch, "follow", follow)
    monkeypatch.setattr(MockEngine, "_complete", complete)
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        watching.watch_and_print(plan(), asked(train, out), [])
    (half,) = run_dirs(out).values()
    assert 0 < half.count(b"\n") < 23 and not (out / "history.jsonl").exists()
    monkeypatch.undo()
    assert watching.watch_and_print(plan(), asked(train, out), []) == 0
    assert run_dirs(out)["step-000050"].startswith(half) and len(run_dirs(out)) == 2


def test_what_cannot_be_is_said_before_anything_is_evaluated(train: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    strict = parse_policy({"rule": [{"task": "scenes", "kind": "not_significantly_worse"}]})
    with pytest.raises(UsageError, match="allow them in the policy"):
        watching.watch_and_print(plan(), asked(train, out, policy=strict), [])
    other = parse_policy(
        {"allow": ["partial"], "rule": [{"task": "mmbench_dev_en", "kind": "not_significantly_worse"}]}
    )
    with pytest.raises(UsageError, match="a rule for mmbench_dev_en"):
        watching.watch_and_print(plan(), asked(train, out, policy=other), [])
    with pytest.raises(UsageError, match="other weights"):
        watching.watch_and_print(plan(engine="openai"), asked(train, out), [])
    with History(out), pytest.raises(StoreError, match="another process"):
        watching.watch_and_print(plan(), asked(train, out), [])
    assert not run_dirs(out)


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_text('[[rule]]\ntask = "scenes"\nkind = "not_significantly_worse"\n')
    args = ("--policy", policy, "--tasks", "scenes", "--engine", "mock", "--once")
    refused(bench("watch", tmp_path / "gone", *args), 2, "gone cannot be watched")
    (tmp_path / "train").mkdir()
    refused(bench("watch", tmp_path / "train", *args, "--limit", "6"), 2, "--limit")
    done = bench("watch", tmp_path / "train", *args, "--out", tmp_path / "out")
    refused(done, 2, "train has no complete checkpoint among its 0 entries (looked for step-N, checkpoint-N,")
