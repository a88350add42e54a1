"""What trackers receive: names, bounds, steps and verdicts; each record once; and trackers that fail."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import bench
from fake_checkpoints import asked, make, plan
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.cli import watching
from ssl4rl_bench.core.errors import MissingDependency, UsageError
from ssl4rl_bench.engines.checkpoints.steps import step_of
from ssl4rl_bench.reports.dashboards import sending, tensorboard_log
from ssl4rl_bench.reports.dashboards.base import Header, StepRecord
from ssl4rl_bench.reports.dashboards.records import (
    header_of,
    key_of,
    keys_of,
    record_of_result,
)
from ssl4rl_bench.reports.dashboards.sending import Dashboards, Target, parse_targets, within
from ssl4rl_bench.reports.dashboards.wandb_log import why_offline
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec

POLICY = 'allow = ["partial"]\n[[rule]]\ntask = "*"\nkind = "no_worse_than"\nmargin = 5\n'
HEADER = Header("name", "id", {})


class FakeLog:
    """Keeps what is written; `fail` raises an error on the record of this step."""

    place = "nowhere"

    def __init__(self, header: Header, fail: int = -1) -> None:
        self.header = header
        self.records: list[StepRecord] = []
        self.fail = fail
        self.closed = 0

    def write(self, record: StepRecord) -> None:
        if record.step == self.fail:
            raise RuntimeError("the disk of api_key=0123456789abcdef is full")
        self.records.append(record)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[FakeLog]:
    """The logs that are opened in place of TensorBoard's; opening one for the header "broken" fails."""
    opened: list[FakeLog] = []

    def open_log(header: Header, folder: Path, destination: str) -> FakeLog:
        assert folder.is_dir()
        if header.id == "broken":
            raise OSError("no space left")
        opened.append(FakeLog(header))
        return opened[-1]

    monkeypatch.setattr(tensorboard_log, "open_tensorboard", open_log)
    monkeypatch.setattr(sending, "find_spec", lambda name: object())
    return opened


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mock runs of a baseline and of a checkpoint of step 50."""
    folder = tmp_path_factory.mktemp("runs")
    for name, model, mock in (("base", "base", "gold"), ("new", "out/checkpoint-50", "random")):
        words = (
            "--tasks",
            "scenes",
            "--limit",
            "12",
            "--engine",
            "mock",
            "--set",
            f"mock={mock}",
        )
        assert bench("run", "--model", model, *words, "--out", folder / name).code == 0
    (folder / "gate.toml").write_text(POLICY)
    return folder


@pytest.mark.slow
def test_a_record_has_every_figure_with_its_bounds_and_n(runs: Path) -> None:
    run = RunDir.open(runs / "new")
    result = run.result
    assert result is not None
    record = record_of_result(run.spec, result)
    assert record.step == 50
    cells = result["tasks"]["ssl4rl_scenes"]["aggregates"]["circular_micro"]
    assert record.scalars["scenes/circular_micro/overall/value"] == cells["overall"]["value"]
    logic = cells["l2"]["logic_reasoning"]
    names = ("value", "n", "unread")
    place = "scenes/circular_micro/l2/logic_reasoning"
    assert [record.scalars[f"{place}/{name}"] for name in names] == [logic[name] for name in names]
    assert [record.scalars[f"{place}/{name}"] for name in ("low", "high")] == logic["ci95"]
    assert "scenes/row_micro/overall/value" in record.scalars
    places = {name.rpartition("/")[0] for name in record.scalars if name.endswith(("/low", "/high"))}
    assert places and all(f"{place}/n" in record.scalars for place in places)


def test_a_cell_without_a_value_has_only_its_n() -> None:
    spec = RunSpec("out/checkpoint-50", "f", {}, "mock", "1")
    empty = {"value": None, "ci95": None, "n": 0, "unread": None}
    aggregates = {"row_micro": {"overall": empty, "l1": {}, "l2": {"a b": empty, "a.b": empty}, "l3": {}}}
    metrics = {
        "CIDEr": {"value": 0.8, "n": 5, "ci95": [0.7, 0.9]},
        "ROUGE L": {"value": None, "n": 0, "ci95": None},
    }
    result = {"tasks": {"ssl4rl_x": {"aggregates": aggregates, "probe": {}, "metrics": metrics}}}
    assert record_of_result(spec, result).scalars == {
        "x/row_micro/overall/n": 0.0,
        "x/row_micro/l2/a_b/n": 0.0,
        "x/row_micro/l2/a.b/n": 0.0,
        "x/metrics/CIDEr/value": 0.8,
        "x/metrics/CIDEr/low": 0.7,
        "x/metrics/CIDEr/high": 0.9,
        "x/metrics/CIDEr/n": 5.0,
        "x/metrics/ROUGE_L/n": 0.0,
    }


@pytest.mark.slow
def test_facts_have_the_provenance_and_mark_a_mock(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir.open(runs / "new")
    result = run.result
    secret = run.spec.tasks["ssl4rl_scenes"].data_sha256
    monkeypatch.setenv("WANDB_API_KEY", secret)  # as if it were part of the spec
    header = header_of(run.spec, result)
    assert secret not in str(header)
    assert (
        header.tags == ("mock",)
        and header.name.startswith("mock-")
        and header.facts["without_a_model"] == "mock"
    )
    task = header.facts["tasks"]["ssl4rl_scenes"]
    assert task["version"] == "1" and task["data_sha256"] == "[redacted]"
    assert header.facts["model"]["fingerprint"] == "mock:random"
    assert header.facts["read_by"]["ssl4rl_scenes"] == ["default", 2]
    assert "limited to 12" in header.facts["partial"][0]


@pytest.mark.slow
def test_the_command_logs_a_result_once_and_a_verdict_at_the_same_step(
    runs: Path, logs: list[FakeLog], tmp_path: Path
) -> None:
    words = ("--tasks", "scenes", "--limit", "12", "--engine", "mock", "--set", "mock=random")
    run = ("run", "--model", "out/checkpoint-50", *words, "--out", runs / "new", "--log", "tensorboard:there")
    done = bench(*run)
    assert done.code == 0 and "logged to tensorboard:there: nowhere" in done.err and "logged" not in done.out
    assert [[record.step for record in log.records] for log in logs] == [[50]] and logs[0].closed == 1
    assert bench(*run).code == 0 and len(logs) == 1
    gate = (
        "gate",
        "-b",
        runs / "base",
        "-c",
        runs / "new",
        "-p",
        runs / "gate.toml",
        "--log",
        "tensorboard:there",
    )
    done = bench(*gate)
    assert done.code == 1, done.text
    (verdict,) = logs[1].records
    assert logs[1].header == logs[0].header and verdict.step == 50 and verdict.scalars["gate/verdict"] == -1.0
    place = "gate/scenes/circular_micro/overall"
    assert verdict.scalars[f"{place}/n"] == 12.0 and verdict.scalars[f"{place}/difference"] < 0.0
    assert verdict.scalars[f"{place}/low"] < verdict.scalars[f"{place}/high"]
    assert verdict.scalars[f"{place}/no_worse_than/limit"] == -0.05
    assert verdict.scalars[f"{place}/no_worse_than/verdict"] == -1.0
    assert verdict.texts["gate/headline"] == done.out.partition("\n\n")[0].partition("\n  ")[0].replace(
        "\n", " "
    )
    assert "fail: scenes, Average" in verdict.texts["gate/tests"]
    assert bench(*gate).code == 1 and len(logs) == 2


@pytest.mark.slow
def test_a_watch_appends_to_one_run_and_catches_up(tmp_path: Path, logs: list[FakeLog]) -> None:
    for step in (50, 100):
        make(tmp_path / "train", step)
    lines: list[str] = []

    def watch(*targets: Target) -> None:
        dashboards = Dashboards(targets, lines.append)
        settings = asked(tmp_path / "train", tmp_path / "out", keep_best=False, dashboards=dashboards)
        watching.watch_and_print(plan(limit=1), settings, [])

    watch()  # without a tracker, which then gets what was judged before
    make(tmp_path / "train", 150)
    watch(Target("tensorboard"))
    watch(Target("tensorboard"))
    (log,) = logs
    assert [record.step for record in log.records] == [50, 100, 150] and log.closed == 1
    assert "gate/verdict" not in log.records[0].scalars
    assert log.records[0].texts["gate/headline"] == "BASELINE: step-000050"
    assert log.records[1].scalars["gate/verdict"] in (1.0, 0.0, -1.0)
    ends = {name.rpartition("/")[2] for name in log.records[1].scalars if name.startswith("change/scenes/")}
    assert {"difference", "n", "p"} <= ends
    assert log.header.tags == ("mock",) and "model" not in log.header.facts
    assert lines == ["logged to tensorboard: nowhere"]


def test_a_tracker_that_fails_is_a_warning_and_is_asked_again_later(
    tmp_path: Path, logs: list[FakeLog]
) -> None:
    lines: list[str] = []
    records = [StepRecord(step, {"a/n": 1.0}) for step in (1, 2)]
    with Dashboards((Target("tensorboard"),), lines.append) as dashboards:
        dashboards.send(tmp_path, Header("x", "broken", {}), records)
        dashboards.send(tmp_path, HEADER, records)  # not tried again by the same command
    assert lines == [
        f"warning: not logged to tensorboard: OSError: no space left; the results are in {tmp_path}, and the same "
        "command logs them later"
    ]
    with Dashboards((Target("tensorboard"),), lines.append) as dashboards:
        dashboards.send(tmp_path, HEADER, records[:1])
        logs[0].fail = 2
        dashboards.send(tmp_path, HEADER, records)
    assert logs[0].records == records[:1] and "api_key=[redacted]" in lines[1]
    with Dashboards((Target("tensorboard"),), lines.append) as dashboards:
        dashboards.send(tmp_path, HEADER, records)
    assert logs[1].records == records[1:]


@pytest.mark.slow
def test_a_run_whose_tracker_fails_keeps_its_exit_code(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise ConnectionError("\x1b[31mno\nnetwork")

    monkeypatch.setattr(tensorboard_log, "open_tensorboard", refuse)
    monkeypatch.setattr(sending, "find_spec", lambda name: object())
    gate = (
        "gate",
        "-b",
        runs / "base",
        "-c",
        runs / "base",
        "-p",
        runs / "gate.toml",
        "--log",
        "tensorboard",
    )
    done = bench(*gate)
    assert done.code == 3, done.text
    assert "warning: not logged to tensorboard: ConnectionError:" in done.err and "\x1b" not in done.err


def test_a_damaged_or_unwritable_list_of_what_was_sent_costs_nothing(
    tmp_path: Path, logs: list[FakeLog]
) -> None:
    record = StepRecord(None, {"a/n": 1.0})
    lines: list[str] = []
    for content in ("", "[]", '{"schema": 9}', '{"schema": 1, "sent": {"a": 3}}'):
        (tmp_path / sending.FILE).write_text(content)
        with Dashboards((Target("tensorboard"),), lines.append) as dashboards:
            dashboards.send(tmp_path, HEADER, [record])
    assert len(logs) == 4 and all(log.records == [record] for log in logs)
    assert lines[0] == "name has no step in its name or its files, so it is logged without one"


def test_a_missing_step_is_reported_once_for_all_trackers(tmp_path: Path, logs: list[FakeLog]) -> None:
    lines: list[str] = []
    targets = (Target("tensorboard"), Target("tensorboard", "there"), Target("tensorboard", "elsewhere"))
    with Dashboards(targets, lines.append) as dashboards:
        for value in (1.0, 2.0):
            dashboards.send(tmp_path, HEADER, [StepRecord(None, {"a/n": value})])
    assert len(logs) == 3
    assert sum("has no step" in line for line in lines) == 1


def test_a_tracker_that_does_not_end_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    started = time.monotonic()
    assert not within(0.02, lambda: done.wait(20) or None)  # type: ignore[func-returns-value]
    assert time.monotonic() - started < 10
    done.set()
    assert within(20, lambda: None)
    with pytest.raises(ZeroDivisionError):
        within(20, lambda: print(1 / 0))


@pytest.mark.parametrize("command", ["run", "watch", "gate"])
def test_an_unknown_tracker_is_refused_before_anything_starts(command: str, tmp_path: Path) -> None:
    more: dict[str, tuple[str, ...]] = {"watch": ("out", "--policy", "x.toml", "--tasks", "scenes")}
    done = bench(command, *more.get(command, ()), "--log", "wandbb")
    assert done.code == 2 and "--log wandbb names no tracker; did you mean wandb?" in done.err


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "find_spec", lambda name: None)
    for tracker in sending.TRACKERS:
        with pytest.raises(MissingDependency, match=rf"needs the package {tracker}: .*\[{tracker}\]"):
            parse_targets([tracker])
    monkeypatch.undo()
    assert "wandb" not in sys.modules or parse_targets(["wandb:a/b"]) == (Target("wandb", "a/b"),)
    with pytest.raises(UsageError):
        parse_targets([""])


@pytest.mark.parametrize(
    ("env", "key", "reason"),
    [
        ({"WANDB_MODE": "offline"}, "k", "WANDB_MODE=offline"),
        ({"WANDB_MODE": "disabled"}, None, ""),
        ({}, None, "no key: `wandb login`"),
        ({"WANDB_MODE": "online"}, None, "no key: `wandb login`"),
        ({"WANDB_BASE_URL": "http://127.0.0.1:9"}, "k", "the server cannot be reached: connection refused"),
        ({"WANDB_MODE": "online", "WANDB_BASE_URL": "http://127.0.0.1:9"}, "k", "connection refused"),
    ],
)
def test_wandb_stays_offline_without_a_key_or_a_network(
    env: dict[str, str], key: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(api=SimpleNamespace(api_key=key)))  # type: ignore[arg-type]
    for name in ("WANDB_MODE", "WANDB_BASE_URL", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert why_offline().endswith(reason) and bool(why_offline()) == bool(reason)


def test_a_baseline_file_has_no_verdict_to_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "find_spec", lambda name: object())
    done = bench("gate", "-c", "none", "--save-baseline", tmp_path / "b.json", "--log", "wandb")
    assert done.code == 2 and "--log has no verdict to log" in done.err


@pytest.mark.parametrize(
    ("model", "step"),
    [
        ("out/checkpoint-500", 500),
        ("ckpt/global_step_100/actor/huggingface", 100),
        ("out/step-000050", 50),
        ("out/step-000050.2", 50),
        ("out/v0-20250101-101010/checkpoint-20-merged", None),
        ("Qwen/Qwen2.5-VL-7B-Instruct", None),
        ("tiny-base", None),
        ("step", None),
        ("", None),
    ],
)
def test_the_step_is_in_the_name(model: str, step: int | None) -> None:
    assert step_of(model) == step


@pytest.mark.parametrize(
    ("name", "content", "step"),
    [
        ("trainer_state.json", '{"global_step": 7}', 7),
        ("ssl4rl.json", '{"schema": 1, "step": 8}', 8),
        ("trainer_state.json", '{"global_step": true}', None),
        ("trainer_state.json", '{"global_step": -1}', None),
        ("trainer_state.json", "[7]", None),
        ("trainer_state.json", "{", None),
        ("ssl4rl.json", "{", None),
    ],
)
def test_the_step_is_in_the_files(name: str, content: str, step: int | None, tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / name).write_text(content)
    assert step_of(str(tmp_path / "final")) == step


@given(st.lists(st.text(max_size=8), unique=True, max_size=6))
def test_names_stay_apart_and_are_plain(names: list[str]) -> None:
    keys = keys_of(names)
    assert list(keys) == names and len(set(keys.values())) == len(names)
    for key in keys.values():
        assert key and "/" not in key and not any(c.isspace() or not c.isprintable() for c in key)
        assert key_of(key) in (key, key.strip("_"))


def test_a_digest_depends_on_all_of_a_record() -> None:
    records = [
        StepRecord(1, {"a": 1.0}),
        StepRecord(2, {"a": 1.0}),
        StepRecord(None, {"a": 1.0}),
        StepRecord(1, {"a": 2.0}),
        StepRecord(1, {"a": 1.0}, {"b": "c"}),
    ]
    assert len({record.digest for record in records}) == len(records)
    assert json.loads(json.dumps(records[0].digest)) == StepRecord(1, {"a": 1.0}).digest
