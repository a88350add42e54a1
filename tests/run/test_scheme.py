"""Fingerprints carry the number of their scheme: older runs and baselines are read, and not comparable."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from checkpoint_folders import change, make
from simulated import TASK, run
from test_cli import bench
from test_spec import SPEC

from ssl4rl_bench.comparison.pairing import Evaluated, pair
from ssl4rl_bench.core.errors import SpecMismatch, StoreError, UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model, unused_defaults
from ssl4rl_bench.evaluation import EvaluationPlan, Subject, spec_of
from ssl4rl_bench.gating import baseline as baseline_file
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec

DEFAULTS = {"repetition_penalty": 1.05, "top_p": 0.8, "temperature": 0.1, "do_sample": True}


def of_engine(label: str, engine: str, scheme: int = SCHEME) -> Evaluated:
    made = run(label, np.arange(40) % 2)
    return replace(made, spec=replace(made.spec, engine=engine, scheme=scheme, model="checkpoints/a b"))


def test_a_spec_carries_its_scheme_and_an_older_one_keeps_its_hash() -> None:
    written = SPEC.to_json()
    assert written["model"]["scheme"] == SCHEME == 2
    del written["model"]["scheme"]
    older = RunSpec.from_json(written)
    assert older.scheme == 1 and older.to_json() == written
    del written["model"]["name"]
    assert older.sha256 == sha256_json(written) == SPEC.sha256
    assert older.diff(SPEC) == []
    assert "scheme" not in replace(SPEC, engine="openai").to_json()["model"]
    assert RunSpec.from_json(replace(SPEC, engine="mock").to_json()).scheme == SCHEME


@pytest.mark.parametrize("scheme", ["2", None, [2]])
def test_a_scheme_that_is_no_number_is_a_damaged_spec(scheme: object, tmp_path: Path) -> None:
    spec = SPEC.to_json()
    spec["model"]["scheme"] = scheme
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(StoreError, match="damaged or of another version"):
        RunDir.open(tmp_path)


def test_the_same_command_renews_an_older_run_and_refuses_a_newer_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.json").write_text(json.dumps(replace(SPEC, scheme=1).to_json()))
    assert RunDir.open(tmp_path / "run").spec.scheme == 1
    with RunDir.create(tmp_path / "run", SPEC), pytest.raises(StoreError):
        RunDir.create(tmp_path / "run", SPEC)  # one writer, also after the renewal
    assert RunDir.open(tmp_path / "run").spec.not_comparable() is None
    other = replace(SPEC, fingerprint="cd" * 32, scheme=1)
    (tmp_path / "run" / "spec.json").write_text(json.dumps(other.to_json()))
    with pytest.raises(SpecMismatch, match=r"other model\.fingerprint"):
        RunDir.create(tmp_path / "run", SPEC)
    (tmp_path / "run" / "spec.json").write_text(json.dumps(replace(SPEC, scheme=3).to_json()))
    with pytest.raises(SpecMismatch, match="scheme 3, newer than"):
        RunDir.create(tmp_path / "run", SPEC)


@pytest.mark.parametrize("engine", ["hf", "vllm"])
@pytest.mark.parametrize("schemes", [(1, 2), (2, 1), (1, 1)])
def test_older_runs_are_compared_only_by_leave(engine: str, schemes: tuple[int, int]) -> None:
    one, two = (of_engine(name, engine, scheme) for name, scheme in zip("ab", schemes, strict=True))
    with pytest.raises(UsageError, match=r"is not comparable: .* scheme 1") as caught:
        pair(one, two, TASK)
    assert f"ssl4rl-bench run --model 'checkpoints/a b' --tasks {TASK.removeprefix('ssl4rl_')}" in str(
        caught.value
    )
    assert "--allow scheme" in str(caught.value)
    notes = pair(one, two, TASK, allow=["scheme"]).notes
    assert sum(note.count("is not comparable") for note in notes) == schemes.count(1)


def test_a_newer_scheme_asks_for_an_update() -> None:
    with pytest.raises(UsageError, match="scheme 3, newer than this version's 2: update ssl4rl-bench"):
        pair(of_engine("a", "hf"), of_engine("b", "hf", 3), TASK)


@pytest.mark.parametrize("engine", ["mock", "replay", "openai"])
def test_engines_without_weights_have_no_scheme(engine: str) -> None:
    assert pair(of_engine("a", engine, 1), of_engine("b", engine), TASK).left.size


def test_an_older_baseline_file_is_read_and_says_what_renews_it(tmp_path: Path) -> None:
    baseline_file.save_baseline_file(of_engine("a", "hf", 1), tmp_path / "base.json")
    kept = baseline_file.load_baseline_file(tmp_path / "base.json")
    assert kept.spec.scheme == 1
    with pytest.raises(UsageError) as caught:
        pair(kept, of_engine("b", "hf"), TASK)
    assert f"then ssl4rl-bench gate --candidate NEW --save-baseline {tmp_path / 'base.json'}" in str(
        caught.value
    )
    baseline_file.save_baseline_file(of_engine("a", "hf"), tmp_path / "new.json")
    assert baseline_file.load_baseline_file(tmp_path / "new.json").spec.scheme == SCHEME


def test_show_marks_an_older_run(tmp_path: Path) -> None:
    place = tmp_path / "run"
    assert (
        bench("run", "--tasks", "scenes", "--engine", "mock", "--limit", "3", "--out", place).returncode == 0
    )
    assert "not comparable" not in bench("show", place).stderr
    spec = json.loads((place / "spec.json").read_text())
    spec["engine"]["name"] = "hf"
    spec["model"] = {"name": "tiny-base", "fingerprint": resolve_model("tiny-base").fingerprint}
    (place / "spec.json").write_text(json.dumps(spec))
    result = json.loads((place / "result.json").read_text())
    result |= {"model": spec["model"], "spec_sha256": RunSpec.from_json(spec).sha256}
    (place / "result.json").write_text(json.dumps(result))
    shown = bench("show", place)
    assert shown.returncode == 0 and "note: run" in shown.stderr
    assert "not comparable: its weights fingerprint uses scheme 1" in shown.stderr


def test_the_committed_files_are_of_this_scheme() -> None:
    kept = baseline_file.load_baseline_file(Path(__file__).parents[1] / "data" / "gate" / "tiny-base.json.gz")
    assert (
        kept.spec.not_comparable() is None and kept.spec.fingerprint == resolve_model("tiny-base").fingerprint
    )
    for task in ("rotation", "jigsaw", "position", "contrastive"):
        origin = json.loads((resolve_model(f"tiny-{task}").path / "ssl4rl.json").read_text())
        assert origin["fingerprint_scheme"] == SCHEME


def test_sampling_defaults_that_no_engine_applies_are_said_and_not_hashed(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    more = {"eos_token_id": [2, 0], "pad_token_id": 0, "penalty_alpha": None, "use_cache": True}
    change(folder, {**DEFAULTS, **more}, "generation_config.json")
    assert unused_defaults(folder) == DEFAULTS
    plan = EvaluationPlan(models=(), loading={}, engine="hf", options=EngineOptions())
    model = resolve_model(str(folder))
    spec = spec_of(plan, Subject.of(model), "hf", "1", [])
    assert spec.to_json()["model"]["unused_defaults"] == DEFAULTS
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.sha256 == replace(spec, unused_defaults={}).sha256
    assert spec.diff(replace(spec, unused_defaults={})) == []


def test_the_dry_run_says_them(tmp_path: Path) -> None:
    for package in ("torch", "torchvision", "transformers"):  # the engine is looked for, not loaded
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    folder = make(tmp_path / "model")
    change(folder, DEFAULTS, "generation_config.json")
    done = bench("run", "--tasks", "scenes", "--model", folder, "--engine", "hf", "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("unused_defaults", "repetition_penalty", '"scheme": 2'):
        assert word in done.stdout
