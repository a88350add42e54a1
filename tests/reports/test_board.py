from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import SyntheticTask, options, spec_of

from ssl4rl_bench.comparison import published
from ssl4rl_bench.comparison.load import choose_baseline, load_evaluated, shared_tasks
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.reports.board import export as board_export
from ssl4rl_bench.reports.board.board import Board, build_board
from ssl4rl_bench.reports.board.text import board_table, difference_table, sentence
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import execute
from ssl4rl_bench.score.scoring import score_and_write

TASK = SyntheticTask(60)
HOSTILE = '=HYPERLINK("x")&\x1b[31m|<b>$_{%'


def make(root: Path, name: str, behaviour: str, model: str | None = None) -> Path:
    """A finished run of a mock."""

    engine = MockEngine(None, options(mock=behaviour))
    spec = replace(spec_of(TASK, engine), model=model or name, fingerprint=name.ljust(64, "0"))
    with RunDir.create(root / name, spec) as run:
        execute([TASK], engine, run, spec)
        score_and_write(run, [TASK])
    return root / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluated]:
    root = tmp_path_factory.mktemp("runs")
    places = [
        make(root, "base", "random"),
        make(root, "gold", "gold"),
        make(root, "odd", "constant:B", HOSTILE),
    ]
    return load_evaluated(places)


@pytest.fixture(scope="module")
def board(runs: list[Evaluated]) -> Board:
    card = replace(published.load_published("ssl4rl_mmbench"), benchmark=(TASK.name,))
    return build_board(
        runs[0], runs[1:], TASK.name, published=[card, replace(card, benchmark=("ssl4rl_other",))]
    )


def text(table: object) -> str:
    from rich.console import Console

    console = Console(width=140, color_system=None, file=io.StringIO())
    console.print(table)
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def test_the_table_has_what_each_run_says_of_itself(runs: list[Evaluated], board: Board) -> None:
    for row, run in zip(board.rows, runs, strict=False):
        found = run.result["tasks"][TASK.name]["aggregates"]["circular_micro"]
        assert row.cells[-1].value == found["overall"]["value"]
        assert row.cells[-1].ci95 == tuple(found["overall"]["ci95"])
        assert row.cells[0].value == found["l2"]["logic_reasoning"]["value"]
        assert row.cells[1].value is None  # no question on relations
    assert [row.kind for row in board.rows[:3]] == ["baseline", "checkpoint", "checkpoint"]
    assert [cell.rank for cell in board.rows[1].cells][-1] == 1 and board.rows[0].cells[-1].rank == 2
    assert board.rows[1].cells[-1].mark == "better" and board.rows[0].cells[-1].mark == ""
    best = board.improvement[-1]
    assert best is not None and best.candidate == "gold (mock)" and best.p < 0.01


def test_published_numbers_stand_apart_and_are_never_tested(board: Board) -> None:
    rows = [row for row in board.rows if row.kind == "published"]
    assert len(rows) == 5
    assert all(
        cell.difference is None and cell.rank is None and cell.n is None for row in rows for cell in row.cells
    )
    assert rows[0].cells[-1].value == pytest.approx(0.7299)
    assert any("not measured here" in note for note in board.notes)


def test_markdown_marks_the_best_and_escapes_names(board: Board) -> None:
    made = board_export.to_markdown([board], intervals=True)
    gold = next(line for line in made.splitlines() if line.startswith("| gold"))
    assert re.search(r"\*\*100\.00▲\*\* \[\d", gold)
    odd = next(line for line in made.splitlines() if "HYPERLINK" in line and line.startswith("| =HYPER"))
    assert "\x1b" not in made and r"\|" in odd and r"\<b\>" in odd
    assert "*base (published)*" in made.replace("\\", "")
    widths = {line.replace(r"\|", "").count("|") for line in made.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_csv_is_safe_in_a_spreadsheet_and_tidy(board: Board) -> None:
    lines = list(csv.DictReader(io.StringIO(board_export.to_csv([board]))))
    assert len(lines) == 8 * 7
    names = {line["model"] for line in lines}
    assert not any(name.startswith(("=", "+", "-", "@")) for name in names)
    assert any(name.startswith("'=HYPERLINK") for name in names)
    cell = next(line for line in lines if line["model"] == "gold (mock)" and line["column"] == "Average")
    assert (float(cell["value"]), cell["n"], cell["rank"], cell["mark"]) == (1.0, "60", "1", "better")
    assert float(cell["difference_low"]) < float(cell["difference"]) <= float(cell["difference_high"])


def test_json_holds_everything_and_no_nan(board: Board) -> None:
    value = json.loads(board_export.to_json([board]), parse_constant=lambda name: pytest.fail(name))
    (found,) = value["boards"]
    assert len(found["cells"]) == 8 * 7 and found["baseline"] == "base (mock)"
    assert {cell["name"] for cell in found["comparisons"][0]["cells"]} >= {"overall", "logic_reasoning"}
    assert value["schema"] == 1 and "ci95" in found["comparisons"][0]["cells"][0]


def test_the_terminal_shows_both_and_neutralises_names(board: Board) -> None:
    shown = text(board_table(board, intervals=True)) + text(difference_table(board.comparisons[1]))
    assert "\x1b" not in shown and "HYPERLINK" in shown and "Maximal Improvement" in shown.replace("\n", " ")
    plain_table("x")
    words = sentence(board.comparisons[0].overall, "gold", "base", "x")
    assert words.startswith("gold is better than base on x: +") and "corrected p <0.001" in words


def test_what_could_not_be_told_apart_is_never_called_the_same(runs: list[Evaluated]) -> None:
    (found,) = build_board(runs[0], [runs[0]], TASK.name).comparisons
    words = sentence(found.overall, "a", "b", "x")
    assert "not told apart" in words and re.search(
        r"a difference below \d+\.\d\d points would rarely be found", words
    )


def test_runs_are_found_and_baselines_named(runs: list[Evaluated], tmp_path: Path) -> None:
    base, others = choose_baseline(runs, "gold")
    assert base.label == "gold (mock)" and len(others) == 2
    assert choose_baseline(runs, str(runs[1].path))[0] is runs[1]
    with pytest.raises(UsageError, match=r"golt is not among the runs .*did you mean gold"):
        choose_baseline(runs, "golt")
    assert shared_tasks(runs) == ([TASK.name], [])
    with pytest.raises(UsageError, match="has no task ssl4rl_scenes"):
        shared_tasks(runs, ["scenes"])
    with pytest.raises(StoreError, match="there is no run"):
        load_evaluated([tmp_path / "none"])
    engine = MockEngine(None, options(mock="gold"))
    RunDir.create(tmp_path / "open", spec_of(TASK, engine)).close()
    with pytest.raises(StoreError, match="is not complete"):
        load_evaluated([tmp_path / "open"])
