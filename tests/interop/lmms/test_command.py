"""The issue's own command: `lmms-eval --include_path tasks` with the bundled checkpoint on our engine."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import forked
import pytest
import vllm_process
from mmbench_data import questions, write_tsv

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not (find_spec("lmms_eval") and find_spec("vllm")), reason="needs the lmms extra and a vLLM"
    ),
]

TASKS = Path(__file__).parents[3] / "tasks"
NAMES = ("ssl4rl_scenes", "ssl4rl_ssl_rotation_90", "ssl4rl_mmbench_dev_en_v11")
LIMIT = 16
CAP = 96
COMMAND = """
import sys
sys.executable = sys.argv[1]  # what starts lmms-eval
from ssl4rl_bench.interop.lmms.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where lmms-eval has been, started by what gives it an exit status that means something."""
    place = tmp_path_factory.mktemp("lmms")
    shutil.copytree(TASKS, place / "tasks")
    write_tsv(place / "tasks" / "MMBench_DEV_EN_V11.tsv", questions(5))
    args = ["--model", "ssl4rl_vllm", "--model_args", "pretrained=tiny-base"]
    args += ["--include_path", "tasks", "--tasks", ",".join(NAMES), "--limit", str(LIMIT)]
    args += ["--gen_kwargs", f"max_new_tokens={CAP}", "--output_path", "out", "--log_samples"]
    python = place / "python"
    python.write_text(f"#!/bin/sh\n{forked.in_shell(kind=vllm_process.Popen)}\n")
    python.chmod(0o755)
    done = forked.run(
        [sys.executable, "-c", COMMAND, str(python), *args],
        cwd=place,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def results(place: Path) -> Any:
    (path,) = place.glob("out/**/*_results.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_was_asked_and_scored(place: Path, results: Any, name: str) -> None:
    assert results["n-samples"][name]["effective"] == LIMIT
    (path,) = place.glob(f"out/**/*_samples_{name}.jsonl")
    assert len(path.read_text().splitlines()) == LIMIT
    metrics = {key.partition(",")[0]: value for key, value in results["results"][name].items()}
    key = "accuracy" if "ssl_" in name else "row_micro"
    assert 0 <= metrics[key] <= 1


def test_the_checkpoint_reads_its_own_benchmark(results: Any) -> None:
    assert results["results"]["ssl4rl_scenes"]["row_micro,none"] > 0.5  # chance is 0.27


def test_our_journal_is_kept_and_the_cap_honoured(place: Path) -> None:
    for name in NAMES:
        (path,) = place.glob(f"runs/tiny-base-*/journal/{name}.jsonl")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(lines) == LIMIT
        assert all(line["error"] is None and 0 < line["n_completion_tokens"] <= CAP for line in lines)
