"""What commands print and how they end: keys and types of JSON, exit codes, and files that they leave alone."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import two_runs
from commands import Done, bench

from ssl4rl_bench import __version__
from ssl4rl_bench.cli import COMMANDS

POLICY = """
allow = ["partial"]
[[rule]]
task = "scenes"
kind = "{kind}"
{limit}
"""
SCENES, ROTATION = "ssl4rl_scenes", "ssl4rl_ssl_rotation_90"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a right and a random run of twelve questions; the right one also has a probe."""
    return two_runs.make(tmp_path_factory.mktemp("outputs"), 12)


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def done(*args: str, code: int = 0, env: dict[str, str] | None = None) -> Done:
    finished = bench(*args, env={"GITHUB_ACTIONS": ""} | (env or {}))
    assert finished.code == code, finished.text
    return finished


def parsed(*args: str) -> Any:
    """The JSON that a command prints, which has no NaN and nothing before or after it."""
    return json.loads(done(*args).out, parse_constant=lambda name: pytest.fail(name))


def types(value: dict[str, Any]) -> dict[str, str]:
    return {key: type(item).__name__ for key, item in value.items()}


def test_show_prints_one_result_as_an_object_and_several_as_a_list() -> None:
    one, two = parsed("show", "gold", "--format", "json"), parsed("show", "gold", "rough", "--format", "json")
    assert two[0] == one
    assert [result["model"]["name"] for result in two] == ["gold", "rough"]
    assert {key: types(one)[key] for key in ("schema", "model", "spec_sha256", "partial", "tasks")} == {
        "schema": "int",
        "model": "dict",
        "spec_sha256": "str",
        "partial": "bool",
        "tasks": "dict",
    }
    assert one["partial"] is True
    overall = one["tasks"][SCENES]["aggregates"]["circular_micro"]["overall"]
    assert (overall["value"], overall["n"]) == (1.0, 12)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ((), [SCENES, ROTATION]),
        (("--tasks", "scenes"), [SCENES]),
        (("--tasks", "ssl4rl_ssl_rotation_90"), [ROTATION]),
        (("--tasks", "ssl_rotation_90,scenes"), [SCENES, ROTATION]),
    ],
)
def test_show_prints_only_the_tasks_that_were_asked_for_as_json(
    asked: tuple[str, ...], names: list[str]
) -> None:
    assert list(parsed("show", "gold", "--format", "json", *asked)["tasks"]) == names


def test_a_task_that_one_of_the_runs_lacks_is_left_out_of_its_result_only() -> None:
    gold, rough = parsed("show", "gold", "rough", "--format", "json", "--tasks", "ssl_rotation_90")
    assert (list(gold["tasks"]), rough["tasks"]) == ([ROTATION], {})


def test_compare_prints_boards_and_probes_as_json() -> None:
    value = parsed("compare", "gold", "rough", "--allow", "partial", "--format", "json")
    assert types(value) == {
        "schema": "int",
        "version": "str",
        "overview": "NoneType",
        "boards": "list",
        "probes": "list",
    }
    assert (value["schema"], value["version"], value["probes"]) == (1, __version__, [])
    (board,) = value["boards"]
    assert types(board) == {
        "task": "str",
        "aggregation": "str",
        "correction": "str",
        "baseline": "str",
        "notes": "list",
        "cells": "list",
        "maximal_improvement": "list",
        "comparisons": "list",
    }
    assert (board["task"], board["baseline"]) == (SCENES, "gold (mock)")
    (average,) = [
        cell for cell in board["cells"] if cell["column"] == "Average" and cell["kind"] == "checkpoint"
    ]
    assert average["model"] == "rough (mock)"
    assert average["value"] - 1.0 == pytest.approx(average["difference"])
    assert average["gained"] == 0


def test_csv_and_json_of_a_comparison_have_the_same_numbers() -> None:
    command = ("compare", "gold", "rough", "--allow", "partial", "--format")
    (board,) = parsed(*command, "json")["boards"]
    rows = list(csv.DictReader(io.StringIO(done(*command, "csv").out)))
    assert len(rows) == len(board["cells"]) == 14
    for row, cell in zip(rows, board["cells"], strict=True):
        assert (row["model"], row["column"]) == (cell["model"], cell["column"])
        for key in ("value", "low", "high", "difference", "p", "mde"):
            assert (float(row[key]) if row[key] else None) == pytest.approx(cell[key])


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "json"])
def test_out_writes_what_would_have_been_printed_and_prints_nothing(form: str, tmp_path: Path) -> None:
    command = ("compare", "gold", "rough", "--allow", "partial", "--format", form)
    printed, out = done(*command).out, tmp_path / "table"
    assert done(*command, "--out", str(out)).text == ""
    assert out.read_text() == printed


def test_ask_prints_a_reply_as_one_line_of_json() -> None:
    text = done("ask", "why?", "--engine", "mock", "--json").out
    assert text.count("\n") == 1
    value = json.loads(text)
    assert types(value) == {
        "model": "NoneType",
        "engine": "str",
        "text": "str",
        "finish_reason": "str",
        "n_prompt_tokens": "int",
        "n_completion_tokens": "int",
        "latency_s": "float",
        "error": "NoneType",
    }
    assert (value["engine"], value["finish_reason"]) == ("mock", "stop")
    assert value["text"].startswith("<think>The mock engine does not look at the image.</think>")


def test_answers_to_a_batch_have_the_line_and_the_id_of_their_chat(tmp_path: Path) -> None:
    batch, out = tmp_path / "chats.jsonl", tmp_path / "answers.jsonl"
    chats = [{"id": "first", "question": "why?"}, {"question": "how?"}]
    batch.write_text("".join(f"{json.dumps(chat)}\n\n" for chat in chats))
    printed = done("ask", "--engine", "mock", "--batch", str(batch)).out
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [(line["line"], line.get("id")) for line in lines] == [(1, "first"), (3, None)]
    assert done("ask", "--engine", "mock", "--batch", str(batch), "--out", str(out)).text == ""
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["text"] for line in written] == [line["text"] for line in lines]
    refusal = done("ask", "--engine", "mock", "--batch", str(batch), "--out", str(out), code=2)
    assert "exists; name another file or remove it" in refusal.err


def test_a_batch_without_chats_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    refusal = done("ask", "--engine", "mock", "--batch", str(tmp_path / "empty.jsonl"), code=2)
    assert refusal.err.endswith("empty.jsonl contains no chats\n")


@pytest.mark.parametrize(
    ("kind", "limit", "on_inconclusive", "code", "word"),
    [
        ("at_least", "value = 10", "", 0, "PASS"),
        ("better_than", "margin = 1", "", 3, "INCONCLUSIVE"),
        ("better_than", "margin = 1", "pass", 0, "PASS (inconclusive"),
        ("better_than", "margin = 1", "fail", 1, "FAIL (inconclusive"),
    ],
)
def test_the_exit_code_of_a_gate_is_its_verdict_after_the_policy_s_mapping(
    kind: str, limit: str, on_inconclusive: str, code: int, word: str, tmp_path: Path
) -> None:
    policy, out = tmp_path / "gate.toml", tmp_path / "gate.json"
    mapped = f'on_inconclusive = "{on_inconclusive}"\n' if on_inconclusive else ""
    policy.write_text(mapped + POLICY.format(kind=kind, limit=limit))
    same = ("gate", "-b", "gold", "-c", "gold", "-p", str(policy), "--json", str(out))
    assert done(*same, code=code).out.startswith(f"{word}")
    verdict = {0: "pass", 1: "fail", 3: "inconclusive"}[code]
    assert json.loads(out.read_text())["verdict"] == verdict


def test_a_gate_under_github_without_a_summary_file_only_annotates(tmp_path: Path) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_text(POLICY.format(kind="at_least", limit="value = 99"))
    shown = done(
        "gate", "-b", "gold", "-c", "rough", "-p", str(policy),
        env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": ""}, code=1,
    )  # fmt: skip
    assert [line for line in shown.out.splitlines() if line.startswith("::error title=scenes overall")]


def test_more_failed_requests_than_allowed_exit_with_1_and_fewer_with_0(tmp_path: Path) -> None:
    """No reply is recorded, so every request fails."""
    (tmp_path / "none.jsonl").write_text("")
    command = ("run", "--model", "m", "--engine", "replay", "--replies", str(tmp_path / "none.jsonl"))
    command += ("--tasks", "scenes", "--limit", "2", "--out", str(tmp_path / "run"))
    assert "--max-error-rate" in done(*command, "--max-error-rate", "0.5", code=1).err
    assert (tmp_path / "run" / "journal").is_dir()
    done(*command, "--max-error-rate", "1")


def test_a_score_of_an_incomplete_run_is_shown_and_not_written(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place / "runs" / "rough", copy)
    (journal,) = (copy / "journal").glob("*.jsonl")
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-2]))
    (copy / "result.json").unlink()
    shown = done("score", str(copy))
    assert "2 replies are missing; result.json is not written" in shown.err
    assert not (copy / "result.json").exists()


def test_a_dry_score_prints_the_tables_and_changes_no_file(place: Path) -> None:
    result = place / "runs" / "gold" / "result.json"
    before = result.read_bytes()
    shown = done("score", "gold", "--extractor", "strict", "--dry-run").out
    assert "extractor strict" in shown
    assert result.read_bytes() == before


def test_the_list_of_runs_names_each_run_with_its_replies_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # one line per run
    lines = [" ".join(line.split()) for line in done("list", "runs").out.splitlines()]
    assert any(line.startswith("runs/gold gold scenes, ssl_rotation_90 mock") for line in lines)
    assert sum(line.endswith("complete") for line in lines) == 2


def test_a_folder_without_runs_says_what_makes_one(tmp_path: Path) -> None:
    assert done("list", "runs", "--root", str(tmp_path)).out == (
        f"no runs in {tmp_path}; `ssl4rl-bench run` creates one\n"
    )


@pytest.mark.slow
def test_figures_of_views_go_to_a_new_folder_and_no_page_is_written(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    views = ("--view", "transfer", "--figures", str(folder))
    shown = done("report", "gold", "rough", "--allow", "partial", *views).out
    assert sorted(path.name for path in folder.iterdir()) == ["transfer.png", "transfer.svg"]
    assert shown.splitlines()[-2:] == [f"wrote {folder / 'transfer'}.svg", f"wrote {folder / 'transfer'}.png"]
    assert not (place / "leaderboard.html").exists()


def test_the_version_is_one_line() -> None:
    assert done("--version").out == f"ssl4rl-bench {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_exits_with_0_and_names_at_most_20_options(command: str) -> None:
    shown = done(command, "--help").out
    options = [line for line in shown.splitlines() if line.startswith("  -")]
    assert shown.startswith(f"Usage: ssl4rl-bench {command} ")
    assert 1 <= len(options) <= 21  # with --help


def test_the_help_of_doctor_names_the_exit_code_that_it_has() -> None:
    """An engine that cannot run is an engine's failure, and 1 a negative verdict (DESIGN: exit codes)."""
    assert "Exit codes: 0 an engine that asks a model can run; 4 none can." in " ".join(
        done("doctor", "--help").out.split()
    )
