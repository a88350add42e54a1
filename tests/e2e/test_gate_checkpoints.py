"""The gate on checkpoints that truly answer: noise of sampling must not fail one, noise in the weights must."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import training_process

from ssl4rl_bench.engines.checkpoints.weights import resolve_model

pytestmark = pytest.mark.engine

BATCH = ("--set", "batch_size=256")  # which takes two thirds of the default's time
POLICY = """
allow = ["partial"]

[[rule]]
task = "scenes"
kind = "no_worse_than"
margin = 5

[[rule]]
task = "scenes"
kind = "not_significantly_worse"
level = "l2"
"""


def bench(*args: str | Path) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = training_process.run(
        [sys.executable, "-m", "ssl4rl_bench", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "COLUMNS": "120"},
    )
    return done


def run(model: str | Path, out: Path, *options: str) -> Path:
    done = bench(
        "run", "--model", model, "--tasks", "scenes", "--engine", "hf", *BATCH, *options, "--out", out
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a policy and tiny-base's greedy run."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "gate.toml").write_text(POLICY)
    run("tiny-base", folder / "greedy")
    return folder


def judge(place: Path, baseline: Path, candidate: Path) -> tuple[int, dict[str, Any], str]:
    """The gate's exit code, its JSON, and what it printed."""
    file = place / f"{candidate.name}.json"
    done = bench(
        "gate",
        "--baseline",
        baseline,
        "--candidate",
        candidate,
        "--policy",
        place / "gate.toml",
        "--json",
        file,
    )
    return done.returncode, json.loads(file.read_text()), done.stdout


def test_another_sampling_seed_is_no_worse_checkpoint(place: Path) -> None:
    # Some sampled replies do not end; nearly all others have fewer than 32 tokens.
    how = ("--temperature", "1", "--limit", "240", "--max-tokens", "32")
    drawn = [run("tiny-base", place / f"seed{seed}", *how, "--seed", str(seed)) for seed in (1, 2)]
    code, found, _ = judge(place, *drawn)
    assert code in (0, 3) and found["verdict"] in ("pass", "inconclusive")
    differences = [rule["difference"] for rule in found["rules"]]
    assert any(each["gained"] for each in differences) and any(each["lost"] for each in differences)


def test_noise_in_the_weights_fails_and_the_report_says_where(place: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    damaged = place / "damaged"
    shutil.copytree(resolve_model("tiny-base").path, damaged)
    weights = load_file(damaged / "model.safetensors")
    torch.manual_seed(0)
    for name, each in weights.items():
        if "visual" in name:  # it reads and writes as before, and sees less
            weights[name] = (each + 1.0 * each.float().std() * torch.randn(each.shape)).to(each.dtype)
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    code, found, shown = judge(place, place / "greedy", run(damaged, place / "damaged-run"))
    assert code == 1 and found["verdict"] == "fail"
    failed = [rule["name"] for rule in found["rules"] if rule["verdict"] == "fail"]
    assert "overall" in failed and len(failed) > 1
    assert shown.startswith("FAIL") and shown.count("\n  fail: scenes, ") == len(failed)
    assert "Questions that were lost:" in shown
