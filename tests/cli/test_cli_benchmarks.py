"""Commands on runs of several benchmarks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import overview_runs
import pytest
from commands import invoke
from html_runs import Parsed

import ssl4rl_bench as sb

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    folder = tmp_path_factory.mktemp("benchmarks")
    made = overview_runs.make(folder / "many")
    with contextlib.chdir(folder / "many"):
        yield made


def test_json_has_one_family_and_the_headlines(runs: list[Path]) -> None:
    value = json.loads(invoke("compare", *runs, "--format", "json", "--average", "All=mmstar,mmvp"))
    columns = [(column["header"], column["aggregation"]) for column in value["overview"]["columns"]]
    assert columns == [
        *(("mmstar", "circular_micro"), ("mmvp", "circular_micro"), ("hrbench_4k", "row_micro")),
        ("All", None),
    ]
    assert [board["aggregation"] for board in value["boards"]] == [how for _, how in columns[:3]]
    assert value["overview"]["family"] == 6
    rows = json.loads(invoke("compare", *runs, "--format", "json", "-a", "row_micro"))
    assert {board["aggregation"] for board in rows["boards"]} == {"row_micro"}


def test_a_named_task_must_be_in_every_run(runs: list[Path]) -> None:
    assert "has no task ssl4rl_mmvp" in invoke("compare", *runs, "--tasks", "mmvp,mmstar", code=2)
    alone = json.loads(invoke("compare", *runs, "--tasks", "mmstar", "--format", "json"))
    assert alone["overview"] is None and len(alone["boards"]) == 1
    shown = invoke("compare", runs[2], *runs[:2], "--by", "overall")
    assert "mmvp is left out: the baseline jigsaw (replay) did not answer it." in " ".join(shown.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--average", "mmstar,mmpv"), "mmpv is not a benchmark of these runs"),
        (("--average", "mmstar"), "needs two or more different benchmarks"),
        (("--average", "mmstar,mmvp", "--group-by", "seed"), "leave out --average"),
        (("--correction", "holmes"), "did you mean holm"),
    ],
)
def test_wrong_options_are_one_line(runs: list[Path], more: tuple[str, ...], message: str) -> None:
    assert message in invoke("compare", *runs, *more, code=2)


def test_methods_use_the_published_aggregation(runs: list[Path]) -> None:
    shown = invoke("compare", *runs, "--group-by", "seed", "--by", "overall")
    assert "ssl4rl_hrbench_4k · row_micro" in shown and "ssl4rl_mmstar · circular_micro" in shown
    assert "ssl4rl_mmvp" not in shown  # a method needs all its runs


def test_the_report_has_the_overview_and_every_benchmark(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    said = invoke("report", *runs, "--average", "All=mmstar,mmvp", "-o", page)
    assert "the samples of ssl4rl_mmvp are not shown: jigsaw (replay) did not answer it" in " ".join(
        said.split()
    )
    words = Parsed(page.read_text()).words
    assert "All benchmarks" in words and "jigsaw (replay) did not answer mmvp" in words
    assert "As published" in words and "percent of groups" in words
    assert "--average" in invoke("report", *runs, "--average", "mmstar", "-o", page, code=2)


def test_notebooks_compare_what_each_benchmark_publishes(runs: list[Path]) -> None:
    table = sb.compare(runs).table()
    how = dict(zip(table.task, table.aggregation, strict=True))
    assert how == {"mmstar": "circular_micro", "hrbench_4k": "row_micro"}


def test_notebooks_have_the_family_of_the_overview(runs: list[Path]) -> None:
    table = sb.compare(runs).across(["All=mmstar,hrbench_4k"])
    assert (
        set(table.column) == {"mmstar", "hrbench_4k", "All"} and set(table.family) == {6} and len(table) == 6
    )
    named = (
        "compare",
        *runs,
        "-t",
        "mmstar,hrbench_4k",
        "--average",
        "All=mmstar,hrbench_4k",
        "--format",
        "json",
    )
    cells = json.loads(invoke(*named))["overview"]["cells"]
    shown = {(cell["model"], cell["column"]): cell["p_corrected"] for cell in cells if cell["baseline"]}
    rows = zip(table.candidate, table.column, table.p_corrected, strict=True)
    assert shown == pytest.approx({(candidate, column): p for candidate, column, p in rows})
