"""A hub model through the command line and a real engine: recorded, resumed offline, refused once it has moved."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub

from ssl4rl_bench.engines.checkpoints.weights import resolve_model

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not (find_spec("torch") and find_spec("transformers")), reason="needs the hf extra"),
]


def test_a_run_of_a_hub_model(tmp_path: Path) -> None:
    folder = resolve_model("tiny-base").path
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    command = [
        *(sys.executable, "-m", "ssl4rl_bench", "run", "--model", "org/tiny@main", "--engine", "hf"),
        *("--tasks", "scenes", "--limit", "1", "--max-tokens", "8", "--out", "run"),
    ]

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        env = hub.environment(tmp_path / "home", **environment)
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    with LoopbackHub() as hub:
        first = hub.add("model", "org/tiny", files)
        done = run()
        assert done.returncode == 0, done.stderr[-3000:]
        for name in ("spec.json", "result.json"):
            model = json.loads((tmp_path / "run" / name).read_text())["model"]
            assert (model["name"], model["commit"]) == ("org/tiny@main", first)
        again = run(HF_HUB_OFFLINE="1")
        assert again.returncode == 0, again.stderr[-3000:]
        second = hub.add("model", "org/tiny", files | {"README.md": b"of no consequence"})
        told = run()
        assert told.returncode == 0
        assert f"org/tiny@main was commit {first[:12]} and is {second[:12]} now, with the same" in told.stderr
        third = hub.add("model", "org/tiny", files | {"generation_config.json": b'{"eos_token_id": 1}'})
        refused = run()
        assert refused.returncode == 2
        assert f"was commit {first[:12]} and is {third[:12]} now" in " ".join(refused.stderr.split())
