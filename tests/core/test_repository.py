"""The files of the repository that GitHub reads: workflows, forms, citation, and the notes of a release."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import ssl4rl_bench

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOTES = runpy.run_path(str(ROOT / ".github" / "release" / "notes.py"))


def run(tool: str, *args: str | Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(tool), *args], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_have_no_known_weakness() -> None:
    run("zizmor", "--offline", "--no-progress", "--min-severity", "medium", ".github", "action.yml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[bi][ud]*.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_each_file_follows_its_schema(schema: str, pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    run("check-jsonschema", "--builtin-schema", schema, *files)


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_actions_of_others_are_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())
    for name in used:
        assert name == "./" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name


def test_a_pull_request_runs_what_contributing_names() -> None:
    workflow: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` as true
    job = workflow["jobs"]["make"]
    targets = {*job["strategy"]["matrix"]["target"]}
    assert targets == {"lint", "test", "slow", "docs-check"}
    assert job["steps"][-1]["run"] == 'make "$TARGET"' and workflow["permissions"] == {"contents": "read"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}: " in makefile for target in targets)


def test_the_version_is_one_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    pyproject, init = ((ROOT / name).read_text() for name in ("pyproject.toml", "ssl4rl_bench/__init__.py"))
    assert NOTES["package_version"](pyproject, init) == ssl4rl_bench.__version__ == citation["version"]
    with pytest.raises(SystemExit, match="another __version__"):
        NOTES["package_version"](pyproject, init.replace(ssl4rl_bench.__version__, "9.9.9"))
    assert f"\n## {ssl4rl_bench.__version__} (" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [
        ("# Changelog\n\n## 0.2.0 (2027-01-01)\n\n- x\n", "has no section"),
        ("# Changelog\n\n## 0.1.0 (unreleased)\n\n- x\n", "put the date"),
        ("# Changelog\n\n## 0.1.0 (2027-01-01)\n\n## 0.0.9 (2026-01-01)\n\n- x\n", "says nothing"),
    ],
)
def test_a_release_without_notes_is_refused(changelog: str, problem: str) -> None:
    with pytest.raises(SystemExit, match=problem):
        NOTES["notes"](changelog, "0.1.0")


def test_the_notes_of_a_release_are_its_section() -> None:
    changelog = "# Changelog\n\n## 0.1.1 (2027-02-01)\n\n- y\n\n## 0.1.0 (2027-01-01)\n\n- x\n- z\n"
    assert NOTES["notes"](changelog, "0.1.0") == "- x\n- z\n"
    assert NOTES["notes"](changelog, "0.1.1") == "- y\n"
