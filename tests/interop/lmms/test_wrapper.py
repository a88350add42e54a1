"""`python -m ssl4rl_bench.lmms` fails where lmms-eval fails with status 0. A stand-in plays lmms-eval."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import forked
import pytest

STANDIN = """
import json, os, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--output_path") + 1])
what = json.loads(os.environ["STANDIN"])
print("asked", *sys.argv[1:])
if what["content"] is not None:
    (out / "model").mkdir(parents=True, exist_ok=True)
    (out / "model" / "new_results.json").write_text(json.dumps(what["content"]))
sys.exit(what["status"])
"""
ARGUMENTS = ("--model", "ssl4rl_vllm", "--tasks", "ssl4rl_scenes,ssl4rl_ssl_probes", "--output_path", "out")


def content(**counts: int) -> dict[str, Any]:
    samples = {name: {"original": 100, "effective": n} for name, n in counts.items()}
    return {"results": {name: {} for name in counts}, "n-samples": samples}


WHOLE = content(ssl4rl_scenes=2, ssl4rl_ssl_rotation_90=2) | {
    "group_subtasks": {"ssl4rl_scenes": [], "ssl4rl_ssl_probes": ["ssl4rl_ssl_rotation_90"]}
}


def run(place: Path, written: Any, status: int = 0, arguments: tuple[str, ...] = ARGUMENTS) -> Any:
    package = place / "standin" / "lmms_eval"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STANDIN)
    return forked.run(
        [sys.executable, "-m", "ssl4rl_bench.lmms", *arguments],
        cwd=place,
        env={
            **os.environ,
            "PYTHONPATH": str(package.parent),
            "STANDIN": json.dumps({"content": written, "status": status}),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_an_evaluation_that_succeeded(tmp_path: Path) -> None:
    done = run(tmp_path, WHOLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["asked", *ARGUMENTS]
    assert (tmp_path / "out" / "model" / "new_results.json").is_file()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "left no results, so the evaluation failed"),
        ({"results": {}, "n-samples": {}}, "evaluated no sample of any task"),
        (content(ssl4rl_scenes=0, ssl4rl_ssl_rotation_90=2), "evaluated no sample of ssl4rl_scenes"),
        (content(ssl4rl_scenes=2), "left no results of ssl4rl_ssl_probes"),
    ],
)
def test_one_that_failed_in_silence(tmp_path: Path, written: Any, words: str) -> None:
    done = run(tmp_path, written)
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: lmms-eval") and words in line


def test_results_of_an_earlier_run_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "out" / "model" / "old_results.json").write_text(json.dumps(WHOLE))
    assert run(tmp_path, None).returncode == 4


def test_its_own_status_is_kept(tmp_path: Path) -> None:
    assert run(tmp_path, WHOLE, status=7).returncode == 7


def test_without_a_place_for_results(tmp_path: Path) -> None:
    assert run(tmp_path, WHOLE, arguments=ARGUMENTS[:4]).returncode == 0
    assert run(tmp_path, None, arguments=ARGUMENTS[:4]).returncode == 4
    done = run(tmp_path, WHOLE, arguments=(*ARGUMENTS[:4], "--output_path=out.json"))
    assert done.returncode == 2 and "must be a folder" in done.stderr
