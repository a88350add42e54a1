"""The real packages of the trackers: what they store offline is read back, without a key, and without a network."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import forked
import pytest
from commands import bench
from fake_checkpoints import make

pytestmark = pytest.mark.engine  # the packages are installed for `make e2e` only

KEY, TOKEN = "0123456789abcdef0123456789abcdef01234567", "hf_NotARealToken0123456789"
NO_SERVER = "http://127.0.0.1:9"
RUN = ("--tasks", "scenes", "--limit", "2", "--engine", "mock")
POLICY = 'allow = ["partial"]\n[[rule]]\ntask = "*"\nkind = "no_worse_than"\nmargin = 5\n'
STEP = 50


def needs(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[{package}]'")


def command(folder: Path, *words: str, code: int = 0, **env: str) -> str:
    """Runs a command with keys in its environment and returns what it printed to standard error."""
    keys = {"WANDB_API_KEY": KEY, "HF_TOKEN": TOKEN, "TRACKIO_DIR": str(folder / "trackio")}
    done = forked.run(
        [sys.executable, "-m", "ssl4rl_bench", *words],
        cwd=folder,
        env={**os.environ, **keys, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "trackio" not in done.stdout.lower() and "wandb" not in done.stdout
    return str(done.stderr)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with a run and a verdict that were logged to all installed trackers, and what the commands said."""
    folder = tmp_path_factory.mktemp("logged")
    with contextlib.chdir(folder):
        Path("gate.toml").write_text(POLICY)
        for name, mock in (("base", "gold"), ("new", "random")):
            words = (
                "--model",
                f"out/checkpoint-{STEP}",
                *RUN,
                "--set",
                f"mock={mock}",
                "--out",
                f"runs/{name}",
            )
            assert bench("run", *words).code == 0
    to = [f"--log={name}:{name}" for name in ("trackio", "wandb") if find_spec(name)]
    to += ["--log=tensorboard"] if find_spec("tensorboard") else []
    said = command(folder, "run", *words, *to, WANDB_BASE_URL=NO_SERVER)
    gate = ("gate", "-b", "runs/base", "-c", "runs/new", "-p", "gate.toml")
    judged = command(folder, *gate, *to, code=3, WANDB_MODE="offline")
    assert "logged" not in command(folder, "run", *words, *to)
    for step in (50, 100):
        make(folder / "train", step)
    watch = (
        "watch",
        "train",
        "--policy",
        "gate.toml",
        *RUN[:-2],
        "--engine",
        "mock",
        "--once",
        "--out",
        "watch",
    )
    others = [word for word in to if "wandb" not in word]  # wandb takes seconds to start
    assert command(folder, *watch, *others, code=3).count("logged to") == len(others)
    return folder, said, judged


def figures(folder: Path) -> Mapping[str, Any]:
    result = json.loads((folder / "runs/new/result.json").read_text())
    cell: Mapping[str, Any] = result["tasks"]["ssl4rl_scenes"]["aggregates"]["circular_micro"]["overall"]
    return cell


def check_no_key(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content and TOKEN.encode() not in content, path


def test_tensorboard_has_each_figure_once_at_the_step(logged: tuple[Path, str, str]) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, said, _ = logged
    assert "logged to tensorboard: tensorboard --logdir runs/new/tensorboard" in said
    events = EventAccumulator(str(folder / "runs/new/tensorboard")).Reload()
    cell = figures(folder)
    for name, value in (
        ("value", cell["value"]),
        ("low", cell["ci95"][0]),
        ("high", cell["ci95"][1]),
        ("n", 2),
    ):
        (event,) = events.Scalars(f"scenes/circular_micro/overall/{name}")
        assert (event.step, event.value) == (STEP, pytest.approx(value, rel=1e-6))
    (verdict,) = events.Scalars("gate/verdict")
    assert (verdict.step, verdict.value) == (STEP, 0.0)
    (headline,) = events.Tensors("gate/headline")
    assert headline.step == STEP and headline.tensor_proto.string_val[0].startswith(b"    INCONCLUSIVE: ")
    of_watch = EventAccumulator(str(folder / "watch/tensorboard")).Reload()
    assert [event.step for event in of_watch.Scalars("scenes/circular_micro/overall/n")] == [50, 100]
    (about,) = events.Tensors("provenance")
    assert b'"without_a_model": "mock"' in about.tensor_proto.string_val[0]


def test_trackio_has_each_figure_once_at_the_step(logged: tuple[Path, str, str]) -> None:
    needs("trackio")
    folder, said, _ = logged
    assert "logged to trackio:trackio: trackio show --project trackio\n" in said
    with sqlite3.connect(folder / "trackio/trackio.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
        steps = database.execute("select run_name, step from metrics order by id").fetchall()[2:]
        ((config,), _) = database.execute("select config from configs order by id").fetchall()
    (first, result), (second, verdict) = [((name, step), json.loads(text)) for name, step, text in rows[:2]]
    assert [step for _, step in steps] == [50, 100] and len({name for name, _ in steps}) == 1
    assert first == second and first[1] == STEP and first[0].startswith("mock-out-checkpoint-50-")
    assert result["scenes/circular_micro/overall/value"] == figures(folder)["value"]
    assert verdict["gate/verdict"] == 0.0 and verdict["gate/headline"].startswith("INCONCLUSIVE: ")
    assert json.loads(config)["without_a_model"] == "mock"


def test_wandb_keeps_a_run_offline_if_that_is_asked_or_there_is_no_network(
    logged: tuple[Path, str, str],
) -> None:
    needs("wandb")
    folder, *said = logged
    reasons = ("the server cannot be reached: connection refused", "WANDB_MODE=offline")
    for line, reason in zip(said, reasons, strict=True):
        assert "logged to wandb:wandb: wandb sync --append" in line and f"({reason})" in line
    folders = sorted((folder / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and len({place.name[-32:] for place in folders}) == 1  # one run, to append to
    history: dict[str, float] = {}
    texts = ""
    for place in folders:
        numbers, text = read_offline(next(place.glob("run-*.wandb")))
        history |= numbers
        texts += text
    assert history["trainer_step"] == STEP and history["gate/verdict"] == 0.0
    assert history["scenes/circular_micro/overall/value"] == figures(folder)["value"]
    assert history["scenes/circular_micro/overall/n"] == 2.0
    for word in ("without_a_model", "data_sha256", "INCONCLUSIVE: "):
        assert word in texts
    assert "--log=" not in texts and str(folder) not in texts  # neither the command line nor places


def test_no_key_is_in_any_file(logged: tuple[Path, str, str]) -> None:
    check_no_key(logged[0])


def read_offline(file: Path) -> tuple[dict[str, float], str]:
    """Returns the numbers of a run's history, and all of its records as text."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    store = DataStore()
    store.open_for_scan(str(file))
    history: dict[str, float] = {}
    records = []
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        records.append(str(record))
        for item in record.history.item:
            value = json.loads(item.value_json)
            if isinstance(value, int | float):
                history[item.key or "/".join(item.nested_key)] = value
    return history, "\n".join(records)


def test_a_server_of_trackio_that_cannot_be_reached_is_a_warning(tmp_path: Path) -> None:
    needs("trackio")
    run = ("run", "--model", "new", *RUN, "--out", "runs/new", "--log", "trackio")
    said = command(tmp_path, *run, TRACKIO_SERVER_URL=f"{NO_SERVER}?write_token={TOKEN}")
    assert "warning: not logged to trackio: trackio's server cannot be reached: connection refused" in said
    assert (tmp_path / "runs/new/result.json").exists() and not (tmp_path / "trackio").exists()
    assert "logged to trackio: " in command(tmp_path, *run)
    check_no_key(tmp_path)
