from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from commands import bench, invoke

from ssl4rl_bench.gating import series
from ssl4rl_bench.gating.judge import apply_policy
from ssl4rl_bench.gating.policy import read_policy
from ssl4rl_bench.reports.gate import files as gate_files
from ssl4rl_bench.watch.history import Entry, History

POLICY = """
allow = ["partial"]
[[rule]]
task = "scenes"
kind = "no_worse_than"
margin = {margin}
[[rule]]
task = "scenes"
kind = "not_significantly_worse"
level = "l2"
[guards]
unread = 5
"""
DECIDED = "FAIL: rule 1, no_worse_than on Average of scenes, decided (-100.00 points, corrected p "


@cache
def schema() -> Any:
    import xmlschema

    return xmlschema.XMLSchema(str(Path(__file__).parents[1] / "data" / "junit.xsd"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gate")
    for name, behaviour in (("gold", "gold"), ("same", "gold"), ("bad", "constant:B")):
        args = (
            "--engine",
            "mock",
            "--mock",
            behaviour,
            "--tasks",
            "scenes",
            "--limit",
            60,
            "--out",
            root / name,
        )
        invoke("run", "--model", name, *args)
    (root / "gate.toml").write_text(POLICY.format(margin=15))
    (root / "tight.toml").write_text(POLICY.format(margin=1))
    return root


def asked(place: Path, candidate: str, policy: str = "gate.toml") -> list[object]:
    return ["gate", "-b", place / "gold", "-c", place / candidate, "-p", place / policy]


def test_every_verdict_has_its_exit_code(place: Path) -> None:
    passed = invoke(*asked(place, "same"))
    assert (
        passed.startswith(
            "PASS: every rule and every guard passes; 8 pass; same (mock) against gold (mock), "
        )
        and "would rarely be found" not in passed.splitlines()[0]
    )
    failed = invoke(*asked(place, "bad"), code=1)
    assert failed.startswith(DECIDED) and "Questions that were lost" in failed
    unsure = invoke(*asked(place, "same", "tight.toml"), code=3)
    assert (
        unsure.startswith(
            "INCONCLUSIVE: rule 1, no_worse_than on Average of scenes, is undecided (+0.00 points, n = 60; "
        )
        and "can hardly be decided" in unsure
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "--candidate is missing"),
        (("-c", "same"), "--baseline is missing"),
        (("-c", "same", "-b", "gold"), "--policy is missing"),
        (("-c", "sane", "-b", "gold", "-p", "gate.toml"), "there is no run"),
        (("-c", "same", "-b", "gold", "-p", "none.toml"), "cannot read the policy none.toml: no such file"),
        (("-c", "same", "-b", "gate.toml", "-p", "gate.toml"), "is damaged"),
        (("-c", "same", "-b", "gold", "-p", "gate.toml", "--family", "a/b"), "is not a valid name"),
        (("-c", "same", "-b", "gold", "-p", "gate.toml", "--junit", "none/x.xml"), "cannot"),
    ],
)
def test_misuse_is_one_line_and_exit_2(
    place: Path, args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    said = invoke("gate", *args, code=2)
    assert message in said and "\n" not in said


def test_a_partial_run_is_refused_unless_the_policy_allows_it(place: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(POLICY.format(margin=15).replace('allow = ["partial"]', ""))
    said = invoke("gate", "-b", place / "gold", "-c", place / "same", "-p", strict, code=2)
    assert "is partial" in said


@pytest.mark.slow
def test_files_for_machines(place: Path, tmp_path: Path) -> None:
    names = {name: tmp_path / f"out.{name}" for name in ("junit", "summary", "json")}
    flags = [item for name, path in names.items() for item in (f"--{name}", path)]
    for candidate, code, failures in (("same", 0, 0), ("bad", 1, None)):
        invoke(*asked(place, candidate), *flags, code=code)
        schema().validate(str(names["junit"]))
        suites = schema().to_dict(str(names["junit"]))["testsuite"]
        assert [suite["@name"] for suite in suites] == ["ssl4rl_scenes", "guards"]
        assert suites[0]["@tests"] == len(suites[0]["testcase"]) == 7
        counted = sum("failure" in case for case in suites[0]["testcase"])
        assert suites[0]["@failures"] == counted and (failures is None or counted == failures)
        value = json.loads(names["json"].read_text())
        assert value["verdict"] == ("pass" if code == 0 else "fail") and len(value["rules"]) == 7
        assert names["summary"].read_text().startswith(gate_files.MARKER)


@pytest.mark.slow
def test_the_page_shows_the_judgement(place: Path, tmp_path: Path) -> None:
    page, saved = tmp_path / "gate.html", tmp_path / "base.json"
    invoke(*asked(place, "bad"), "--html", page, code=1)
    text = page.read_text()
    heading = DECIDED.removesuffix("p ").replace("-", "\N{MINUS SIGN}", 1)
    assert f'<h1 class="judged fail">{heading}' in text and "Questions that were lost" in text
    invoke("gate", "-c", place / "gold", "--save-baseline", saved)
    policy = ("-p", place / "gate.toml", "--html", page)
    invoke("gate", "-b", saved, "-c", place / "same", *policy)
    assert (
        '<h1 class="judged pass">PASS: every rule and every guard passes; 8 pass; same (mock) against gold (mock)'
        in page.read_text()
    )


def test_a_series_on_the_command_line(place: Path, tmp_path: Path) -> None:
    flags = ("--family", "run-1", "--family-dir", tmp_path)
    assert "number 1 of series run-1: alpha 0.025 of 0.05" in invoke(*asked(place, "same"), *flags)
    assert "number 2 of series run-1: alpha 0.008333 of 0.05" in invoke(*asked(place, "bad"), *flags, code=1)
    assert "number 1 of series" in invoke(*asked(place, "same"), *flags)


def test_a_refused_candidate_costs_no_turn(place: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(POLICY.format(margin=15).replace('allow = ["partial"]', ""))
    flags = ("--family", "run-1", "--family-dir", tmp_path / "series")
    gate = ["gate", "-b", place / "gold", "-c", place / "same", *flags]
    assert "is partial" in invoke(*gate, "-p", strict, code=2)
    assert "number 1 of series run-1" in invoke(*gate, "-p", place / "gate.toml")


def test_a_series_is_of_one_policy_and_one_name(place: Path, tmp_path: Path) -> None:
    flags = ("--family-dir", tmp_path, "--family")
    invoke(*asked(place, "same"), *flags, "run-1")
    said = invoke(*asked(place, "same", "tight.toml"), *flags, "run-1", code=2)
    assert "has another policy" in said and "\n" not in said
    assert "use --family run-1" in invoke(*asked(place, "bad"), *flags, "run-2", code=2)
    (tmp_path / "run-1.json").rename(tmp_path / "run-2.json")
    for name in ("run-1", "run-2"):
        assert "is the file of series run-1" in invoke(*asked(place, "bad"), *flags, name, code=2)


def test_the_charge_is_on_the_disk_before_the_verdict_is_shown(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        assert len(series.order(tmp_path, "run-1")) == 2
        raise KeyboardInterrupt

    monkeypatch.setattr("ssl4rl_bench.cli.gate_print.print_gate", killed)
    flags = ("--family", "run-1", "--family-dir", tmp_path)
    bench(*asked(place, "bad"), *flags)
    assert len(series.order(tmp_path, "run-1")) == 2
    monkeypatch.undo()
    assert "number 2 of series" in invoke(*asked(place, "same"), *flags)


def test_a_baseline_file_stands_for_its_run(place: Path, tmp_path: Path) -> None:
    saved = tmp_path / "base.json.gz"
    assert "wrote" in invoke("gate", "-c", place / "gold", "--save-baseline", saved)
    assert saved.stat().st_size < 60_000
    assert invoke("gate", "-b", saved, "-c", place / "same", "-p", place / "gate.toml") == invoke(
        *asked(place, "same")
    )


def test_a_watch_folder_stands_for_its_best(place: Path, tmp_path: Path) -> None:
    fields = {"name": "gold", "step": 1, "part": 0, "fingerprint": "f" * 64, "run": "gold", "terms": "t"}
    with History(tmp_path) as history:
        history.add(Entry(**fields, verdict="pass", verdict_best=None, number=1, alpha=0.05, best=True))
    (tmp_path / "gold").symlink_to(place / "gold")
    told = invoke("gate", "-b", tmp_path, "-c", place / "bad", "-p", place / "gate.toml", code=1)
    assert told.startswith(DECIDED)


def test_under_github_actions_it_annotates_and_adds_to_the_summary(place: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    shown = invoke(*asked(place, "bad"), code=1, env=env)
    lines = [line for line in shown.splitlines() if line.startswith("::")]
    kinds = [line.partition(" title=")[0] for line in lines]
    assert "::error" in kinds and set(kinds) == {"::error", "::notice"}
    assert any("is partial (limited to 60" in line for line in lines if line.startswith("::notice"))
    assert summary.read_text().startswith(f"before\n{gate_files.MARKER}")


@pytest.mark.slow
def test_hostile_names_stay_text(place: Path) -> None:
    from dataclasses import replace

    from ssl4rl_bench.comparison.load import load_evaluated

    runs = load_evaluated([place / "gold", place / "bad"])
    name = "x\n::error::owned\x1b[31m|<script>`%0A"
    gate = apply_policy(read_policy(place / "gate.toml"), runs[0], replace(runs[1], label=name))
    schema().validate(gate_files.to_junit(gate))
    summary = gate_files.to_summary(gate)
    assert "<script>" not in summary and "\x1b" not in summary
    for line in gate_files.workflow_commands(gate):
        assert "\n" not in line and line.count("::error") <= 1
