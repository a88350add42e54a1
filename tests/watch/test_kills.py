"""A watch that is killed at any point skips no checkpoint, evaluates none twice, and keeps its history whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def kill(place: Path, kills: int, seed: int) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, HERE / "kills.py", place, str(kills), str(seed)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    found = kill(tmp_path, 50, 3)
    assert found["change"] + found["moment"] >= 50
    assert found["change"] > 5 and found["moment"] > 5
