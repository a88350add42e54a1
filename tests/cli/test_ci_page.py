"""docs/ci.md: its workflows are those of docs/ci/, and lead from no gate to a green check and to a red one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from action_runner import ACTION, ROOT, Runner, git
from commands import bench

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "ci.md").read_text()
WORKFLOW = yaml.safe_load((ROOT / "docs" / "ci" / "github.yml").read_text())
STEPS = WORKFLOW["jobs"]["gate"]["steps"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository as after step 5 of the page, with 120 questions and an accepted mock that is always right."""
    origin = tmp_path / "origin"
    (origin / "ci").mkdir(parents=True)
    git("init", cwd=origin)
    asked = ("--tasks", "scenes", "--engine", "mock", "--mock", "gold", "--limit", "120")
    assert bench("run", "--model", "accepted", *asked, "--out", tmp_path / "accepted").code == 0
    saved = ("--candidate", tmp_path / "accepted", "--save-baseline", origin / "ci" / "baseline.json.gz")
    assert bench("gate", *saved).code == 0
    assert bench("examples", "gate.toml", "--out", origin / "ci").code == 0
    policy = origin / "ci" / "gate.toml"
    policy.write_text(policy.read_text().replace("allow = []", 'allow = ["partial"]'))
    (origin / "ci" / "model").write_text("candidate\n")
    return origin


def commit(folder: Path, message: str) -> None:
    git("add", ".", cwd=folder)
    git("commit", "-m", message, cwd=folder)


def checked(runner: Runner, answers: str) -> int:
    """Runs the workflow's steps for a pull request on the checkout; returns the exit code of the job."""
    output = runner.root / "model"
    env = {"GITHUB_OUTPUT": str(output), "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-e", "-c", STEPS[1]["run"]], cwd=runner.work, env=env, check=True)
    name = output.read_text().removeprefix("name=").strip()
    more = {"engine": "mock", "args": f"--limit 120 --mock {answers}", "comment": "false", "model": name}
    given = {key: str(value) for key, value in (STEPS[2]["with"] | more).items()}
    return runner.action(given, {"base_ref": "main"})


def checkout(runner: Runner, origin: Path) -> None:
    shutil.rmtree(runner.work)
    git("clone", origin, runner.work, cwd=runner.root)
    (runner.work / "x").mkdir()


def test_the_page_has_the_files_to_copy_as_they_are() -> None:
    for name in ("github", "gitlab"):
        assert f"```yaml\n{(ROOT / 'docs' / 'ci' / f'{name}.yml').read_text()}```" in PAGE


def test_the_workflow_asks_for_little_and_names_inputs_that_exist() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["jobs"]["gate"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert STEPS[0]["with"] == {"persist-credentials": False}
    assert re.fullmatch(r"actions/checkout@[0-9a-f]{40}", STEPS[0]["uses"])
    assert set(STEPS[2]["with"]) <= set(ACTION["inputs"]) and "trusted-ref" not in STEPS[2]["with"]
    required = {name for name, value in ACTION["inputs"].items() if value.get("required")}
    assert required <= set(STEPS[2]["with"])
    assert not any("${{" in step.get("run", "") for step in STEPS)


def test_from_no_gate_to_a_green_check_and_a_red_one(repository: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git("init", cwd=empty)
    (empty / "README").write_text("no gate yet")
    commit(empty, "first")
    runner = Runner(tmp_path / "first")
    checkout(runner, empty)
    shutil.copytree(repository / "ci", runner.work / "ci")
    assert checked(runner, "gold") == 0, "the change that adds the gate is judged by its own files"
    assert runner.outputs["verdict"] == "pass"

    commit(repository, "the gate is merged")
    worse = Runner(tmp_path / "worse")
    checkout(worse, repository)
    (worse.work / "ci" / "gate.toml").write_text("[[rule]]\n")  # an edit of the policy does not help
    (worse.work / "ci" / "model").write_text("worse\n::error::forged\n")
    assert checked(worse, "constant:B") == 1
    summary = (worse.root / "summary.md").read_text()
    assert "FAIL" in summary and "no\\_worse\\_than on Average of scenes, decided" in summary
    assert "worse" in summary and "forged" not in summary
