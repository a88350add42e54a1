"""The table of several benchmarks: a row per run, a column per benchmark, in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from html_runs import Parsed
from many_tasks import PREFIX, many, some
from rich.console import Console
from statsmodels.stats.multitest import multipletests

from ssl4rl_bench.comparison.across import Average
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.reports.board.export import to_csv, to_json, to_markdown
from ssl4rl_bench.reports.board.overview import (
    Overview,
    answered_benchmarks,
    build_boards,
    build_overview,
    left_out_benchmarks,
)
from ssl4rl_bench.reports.board.overview_text import (
    OverviewView,
    column_lines,
    overview_lines,
    overview_table,
)
from ssl4rl_bench.reports.html.page import render_page
from ssl4rl_bench.reports.html.report import assemble
from ssl4rl_bench.reports.text.cells import dig

NAMES = ("mmstar", "mmvp", "hrbench_4k")
TASKS = [PREFIX + name for name in NAMES]
HOSTILE = '=HYPERLINK("x")&\x1b[31m|<b>$_{%'


def made(label: str, right: dict[str, int]) -> Evaluated:
    """A run of questions, of pairs, and of questions in four cycles that are published by row."""
    return many(
        label,
        {
            name: np.repeat(some(40, k), {"mmstar": 1, "mmvp": 2, "hrbench_4k": 4}[name])
            for name, k in right.items()
        },
        copies={"mmvp": 2, "hrbench_4k": 4},
        rolls={"mmvp": np.zeros(80)},
        headlines={"hrbench_4k": "row_micro"},
    )


BASE = made("base", {"mmstar": 20, "mmvp": 20, "hrbench_4k": 20})
CANDIDATES = [
    made("new", {"mmstar": 36, "mmvp": 25, "hrbench_4k": 12}),
    made(HOSTILE, {"mmstar": 14, "hrbench_4k": 20}),
]
MEAN = Average("All of it", tuple(TASKS))


@pytest.fixture(scope="module")
def boards() -> list[Any]:
    return build_boards(BASE, CANDIDATES, TASKS)


@pytest.fixture(scope="module")
def overview(boards: list[Any]) -> Overview:
    built = build_overview(boards, [MEAN])
    assert built is not None
    return built


def test_each_cell_is_the_overall_cell_of_what_the_benchmark_publishes(overview: Overview) -> None:
    assert [column.aggregation for column in overview.columns] == [
        "circular_micro",
        "circular_micro",
        "row_micro",
        None,
    ]
    assert [column.unit for column in overview.columns] == ["questions", "groups", "rows", ""]
    for row, run in zip(overview.rows, [BASE, *CANDIDATES], strict=True):
        assert row.label == run.label and row.is_baseline is (run is BASE)
        for column, cell in zip(overview.columns[:3], row.cells, strict=False):
            if column.name not in run.outcomes:
                assert cell is None
                continue
            expected = dig(
                run.result, "tasks", column.name, "aggregates", column.aggregation or "", "overall"
            )
            assert cell is not None
            assert (cell.value, cell.n, cell.se) == (expected["value"], expected["n"], expected["se"])
            assert list(cell.ci95 or ()) == expected["ci95"]
            assert (cell.difference is None) is (run is BASE)


def test_the_family_is_what_the_table_shows(overview: Overview) -> None:
    differences = [cell.difference for row in overview.rows for cell in row.cells if cell and cell.difference]
    assert len(differences) == overview.family == 6  # new: 3 benchmarks and the average; the other one: 2
    expected = multipletests([one.p for one in differences], method="holm")[1]
    assert [one.p_corrected for one in differences] == pytest.approx(list(expected))
    assert any("account for its 6 comparisons (Holm's correction)" in note for note in overview.notes)
    free = build_overview(build_boards(BASE, CANDIDATES, TASKS, correction="none"), correction="none")
    assert free is not None and "not corrected" in free.notes[0]
    assert all(
        cell.difference.p == cell.difference.p_corrected
        for row in free.rows
        for cell in row.cells
        if cell and cell.difference
    )


def test_there_is_no_average_unless_it_is_named(boards: list[Any], overview: Overview) -> None:
    plain = build_overview(boards)
    assert plain is not None and [column.name for column in plain.columns] == TASKS
    (base, new, other) = (row.cells[3] for row in overview.rows)
    assert (
        base is not None and base.value == pytest.approx(0.5) and base.n is None
    )  # questions, groups and rows
    assert new is not None and new.value == pytest.approx((36 + 25 + 12) / 120)
    assert new.difference is not None and new.difference.value == pytest.approx((16 + 5 - 8) / 120)
    assert other is None
    assert all("verage" not in note for note in plain.notes)


def test_a_missing_benchmark_is_a_dash_and_a_note(boards: list[Any], overview: Overview) -> None:
    lines = [line for line in overview_lines(overview) if line.label == HOSTILE]
    assert lines[0].cells[1] == "–" and lines[0].cells[0] != "–"
    assert sum("did not answer mmvp" in note for note in overview.notes) == 1
    assert sum("did not answer it" in note for note in boards[1].notes) == 1
    assert [len(board.rows) for board in boards] == [3, 2, 3]


def test_the_benchmarks_are_those_of_the_baseline_and_another_run() -> None:
    other = made("other", {"mmstar": 3, "hrbench_4k": 5})
    assert answered_benchmarks(BASE, [other]) == [TASKS[0], TASKS[2]]
    assert left_out_benchmarks(BASE, [other]) == ["mmvp is left out: no other run answered it."]
    assert left_out_benchmarks(other, [BASE]) == ["mmvp is left out: the baseline other did not answer it."]
    assert build_overview(build_boards(BASE, [other], TASKS[:1])) is None
    assert build_overview([]) is None


def test_n_is_repeated_only_where_it_differs() -> None:
    fewer = many(
        "fewer",
        {"mmstar": [*some(40, 30)[:-1], np.nan], "mmvp": np.repeat(some(40, 20), 2)},
        copies={"mmvp": 2},
    )
    built = build_overview(
        build_boards(BASE, [fewer, made("new", {"mmstar": 3, "mmvp": 5})], TASKS[:2], allow={"data"})
    )
    assert built is not None
    runs = "".join(
        f"{line.label} " for line in overview_lines(built) if line.kind == "run" or line.label == "n"
    )
    assert runs == "base n fewer n new "


def test_markdown_has_a_line_per_run_and_statistic(boards: list[Any], overview: Overview) -> None:
    text = to_markdown(boards, overview=overview, intervals=True)
    table = text.split("\n\n")[1].splitlines()
    assert {line.replace(r"\|", "").count("|") for line in table} == {6}
    assert table[0] == r"| Model | mmstar | mmvp | hrbench\_4k | All of it |"
    assert sum(line.startswith("| *p corrected* |") for line in table) == 2
    assert any(line.startswith("| new | **90.00▲** |") for line in table)
    assert text.index("3 benchmarks") < text.index("mmstar, circular") and "\x1b" not in text


def test_csv_tells_the_families_apart(boards: list[Any], overview: Overview) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(boards, overview=overview))))
    overview = [line for line in lines if line["table"] == "overview"]
    assert len(overview) == 4 + 4 + 2 and {line["table"] for line in lines} == {"overview", "benchmark"}
    (cell,) = [line for line in overview if line["model"] == "new" and line["column"] == "mmstar"]
    assert (cell["value"], cell["family"], cell["n"], cell["mark"]) == ("0.9", "6", "40", "better")
    (same,) = [
        line
        for line in lines
        if line["model"] == "new" and line["column"] == "Average" and line["task"] == TASKS[0]
    ]
    assert cell["p"] == same["p"] and float(cell["p_corrected"]) > float(same["p_corrected"])
    (mean,) = [line for line in overview if line["model"] == "new" and line["column"] == "All of it"]
    assert float(mean["se"]) > 0 and float(mean["difference_se"]) > 0
    assert (mean["task"], mean["n"], mean["category"]) == ("", "", ",".join(TASKS))
    assert not any(line["model"].startswith(("=", "+", "-", "@")) for line in lines)
    plain = list(csv.DictReader(io.StringIO(to_csv(boards))))
    assert "table" not in plain[0] and len(plain) == len(lines) - len(overview)


def test_json_holds_the_overview_or_null(boards: list[Any], overview: Overview) -> None:
    value = json.loads(to_json(boards, overview=overview), parse_constant=lambda name: pytest.fail(name))
    assert value["overview"]["family"] == 6 and len(value["overview"]["cells"]) == 10
    assert [column["tasks"] for column in value["overview"]["columns"]] == [
        *([task] for task in TASKS),
        TASKS,
    ]
    assert json.loads(to_json(boards))["overview"] is None


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("intervals", [False, True])
def test_no_number_is_cut_at_any_width(overview: Overview, width: int, intervals: bool) -> None:
    console = Console(width=width, color_system=None, file=io.StringIO())
    console.print(OverviewView(overview, intervals))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= width
    flat = " ".join(shown.split())
    for line in overview_lines(overview, intervals):
        assert all(cell in flat for cell in line.cells)


@pytest.mark.slow
def test_a_narrow_terminal_shows_a_table_per_run() -> None:
    names = [f"benchmark_{number:02d}" for number in range(16)]
    runs = [many(label, {name: some(20, k) for name in names}) for label, k in (("base", 5), ("new", 19))]
    built = build_overview(build_boards(runs[0], runs[1:], [PREFIX + name for name in names]))
    assert built is not None
    console = Console(width=60, color_system=None, file=io.StringIO())
    console.print(OverviewView(built))
    lines = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines[0] == ["16", "benchmarks,", "against", "base"]
    cell = built.rows[1].cells[7]
    assert cell is not None and cell.difference is not None
    assert [line for line in lines if line[:1] == ["benchmark_07"]] == [
        ["benchmark_07", "25.00", "20"],
        ["benchmark_07", "95.00▲", "+70.00", "<0.001", f"{100 * cell.difference.mde:.2f}"],
    ]


def test_long_names_of_benchmarks_are_broken_at_underscores_only() -> None:
    names = ["mathverse_mini_vision_only", "cvbench_2d"]
    runs = [many(label, {name: some(20, k) for name in names}) for label, k in (("base", 5), ("new", 9))]
    built = build_overview(build_boards(runs[0], runs[1:], [PREFIX + name for name in names]))
    assert built is not None
    headers = [str(column.header) for column in overview_table(built).columns]
    assert headers == ["Model", "mathverse_\nmini_vision_\nonly", "cvbench_2d"]
    assert column_lines(built)[1].startswith("cvbench_2d: CV-Bench 2D")


@pytest.mark.slow
def test_the_page_begins_with_the_overview_and_links_each_benchmark() -> None:
    page = render_page(assemble(BASE, CANDIDATES, averages=["All of it=mmstar,mmvp,hrbench_4k"]))
    parsed = Parsed(page)
    ids = [attrs.get("id") for _, attrs in parsed.tags if attrs.get("id")]
    assert ids.index("overview") < ids.index("leaderboard") and len(set(ids)) == len(ids)
    links = [attrs["href"] for tag, attrs in parsed.tags if tag == "a" and attrs.get("href")]
    assert "#overview" in links
    assert [link for link in links if str(link).startswith("#board-")] == ["#board-1", "#board-2", "#board-3"]
    assert {str(link).removeprefix("#") for link in links} <= set(ids)
    section = page[page.index('<section id="overview"') : page.index('<section id="leaderboard"')]
    assert section.count("<tr") == 4 and section.count('<span class="value">–</span>') == 2
    assert "did not answer mmvp" in section and "its 6 comparisons" in section
    assert "\x1b" not in page and "<b>$" not in page


def test_a_page_of_one_benchmark_has_no_overview() -> None:
    page = render_page(assemble(BASE, CANDIDATES[:1], tasks=TASKS[:1]))
    assert 'id="overview"' not in page and "#overview" not in page
    with pytest.raises(UsageError, match="mmvp is not a benchmark of these runs"):
        assemble(BASE, CANDIDATES[:1], tasks=TASKS[:1], averages=["mmstar,mmvp"])


@pytest.mark.slow
def test_the_page_opens_with_what_each_benchmark_publishes() -> None:
    report = assemble(BASE, CANDIDATES)
    assert [boards[0].aggregation for boards in report.boards] == [
        "circular_micro",
        "circular_micro",
        "row_micro",
    ]
    page = render_page(report)
    chosen = re.findall(r'data-choose="(\w*)" aria-pressed="true"', page)
    assert chosen == [""] and ">As published</button>" in page
    leaderboard = page[page.index('<section id="leaderboard"') : page.index('<section id="differences"')]
    alternatives = re.findall(r'data-aggregation="([\w ]+)"', leaderboard)
    assert alternatives == [
        *("circular_micro row_micro vanilla0_micro", "row_l3_macro"),  # questions that are asked once
        *("circular_micro", "row_micro vanilla0_micro", "row_l3_macro"),  # pairs
        *("row_micro", "circular_micro", "vanilla0_micro", "row_l3_macro"),  # cycles
    ]


def test_words_about_copies_are_only_used_where_there_are_copies() -> None:
    kinds = {"mmstar": "Accuracy", "mmvp": "Whole groups right", "hrbench_4k": "Every copy right"}
    for name, words in kinds.items():
        right = {"mmstar": 10, "mmvp": 10, "hrbench_4k": 10}
        runs = [made(label, {name: right[name] + k}) for k, label in enumerate(("base", "new"))]
        text = Parsed(render_page(assemble(runs[0], runs[1:]))).words
        assert words in text
        assert bool(re.search("cop(y|ies)", text.replace("Copy\n", ""))) is (name == "hrbench_4k")
        assert ("percent of groups" in text) is (name == "mmvp")
