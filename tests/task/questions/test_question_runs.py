"""Runs of benchmarks of the kind `questions`: commands, tables with the published number, and the handle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_rows import BENCHMARKS, write_table
from commands import bench

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.registry import load_benchmark, task_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_validate_prints_units_levels_and_what_is_left_out(folder: Path) -> None:
    write_table(folder / "h.tsv", BENCHMARKS["hallusionbench"].rows())
    done = bench("validate", "hallusionbench", "--data", "h.tsv")
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "8 samples of 4 questions, 3 pictures shown" in text
    assert "l2: VD 2, VS 2" in text and "valid: every gold answer scores 1.0" in text
    assert "warning: h.tsv is not the published HallusionBench.tsv (MD5 " in text
    assert "1 of 5 questions are left out" in text
    assert bench("validate", "mmstar").err.count("\n") == 1  # no data: one sentence


def test_a_bad_file_is_one_line_and_exit_code_2(folder: Path) -> None:
    rows = BENCHMARKS["mmstar"].rows()
    write_table(folder / "m.tsv", [row | {"answer": "Z"} for row in rows])
    done = bench("validate", "mmstar", "--data", "m.tsv")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "the answer 'Z' is none of the options" in done.err


def test_tables_show_the_published_number(folder: Path) -> None:
    write_table(folder / "hr.tsv", BENCHMARKS["hrbench_4k"].rows())
    run = ("run", "--engine", "mock", "--mock", "constant:A", "--tasks", "hrbench_4k", "--data", "hr.tsv")
    done = bench(*run, "--out", "runs/a")
    assert done.code == 0, done.text
    assert "ssl4rl_hrbench_4k · row_micro" in done.out
    result = json.loads((folder / "runs/a/result.json").read_text())["tasks"]["ssl4rl_hrbench_4k"]
    assert result["headline"] == "row_micro"
    assert result["aggregates"]["row_micro"]["overall"]["value"] == 0.25
    assert result["aggregates"]["circular_micro"]["overall"]["value"] == 0.0
    assert "· row_micro" in bench("show", "runs/a").out
    assert "· circular_micro" in bench("show", "runs/a", "--aggregation", "circular_micro").out
    assert set(sb.open_run("runs/a").table()["aggregation"]) == {"row_micro"}


def test_result_json_counts_what_is_left_out(folder: Path) -> None:
    write_table(folder / "v.tsv", BENCHMARKS["mathvista_mini"].rows())
    run = ("run", "--engine", "mock", "--mock", "gold", "--tasks", "mathvista_mini", "--data", "v.tsv")
    assert bench(*run, "--out", "runs/gold").code == 0
    result = json.loads((folder / "runs/gold/result.json").read_text())
    task = result["tasks"]["ssl4rl_mathvista_mini"]
    assert (task["n_groups_skipped"], task["n_groups"], result["partial"]) == (1, 4, False)
    assert task["aggregates"]["row_micro"]["overall"]["value"] == 1.0


def test_the_handle_scores_without_data() -> None:
    options = {"A": "red", "C": "blue"}
    assert sb.load_task("blink").score("<answer>C</answer>", "C", options).value == 1.0
    assert sb.load_task("blink").score("It is A.", "C", options).value == 0.0
    assert sb.load_task("hallusionbench").score("Yes, it is.", "Yes").value == 1.0
    vista = sb.load_task("mathvista_mini")
    assert vista.score("The answer is 3/4.", "0.75").value == 1.0
    assert vista.score("<answer>on Tuesday</answer>", "Tuesday").value == 0.0
    for name, target in (("mmstar", "A"), ("hallusionbench", "maybe")):
        with pytest.raises(UsageError, match="give the choices"):
            sb.load_task(name).score("A", target)


def test_its_images_can_be_used_and_it_has_no_rows_of_mmbench(folder: Path) -> None:
    path = write_table(folder / "b.tsv", BENCHMARKS["blink"].rows())
    assert len(list(task_images("blink", data=str(path)))) == 7
    with pytest.raises(UsageError, match="a task of the kind questions"):
        load_benchmark("blink", data=str(path))
