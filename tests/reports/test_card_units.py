"""The numbers of a model card are named by what a benchmark's groups are, the published one first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmark_rows import BENCHMARKS, write_table
from commands import bench
from test_card_words import card, evaluated
from test_model_card import grpo

from ssl4rl_bench.reports.model_card import metadata, sections


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tasks in the result of a run that answers A to everything."""
    folder = tmp_path_factory.mktemp("units")
    names = ("mmstar", "mmvp", "hrbench_4k", "cvbench_2d")
    data = [f"--data={name}={write_table(folder / f'{name}.tsv', BENCHMARKS[name].rows())}" for name in names]
    done = bench(
        *("run", "--engine", "mock", "--mock", "constant:A", "--tasks", ",".join(names), *data),
        *("--out", str(folder / "run")),
    )
    assert done.code == 0, done.text
    tasks: dict[str, Any] = json.loads((folder / "run" / "result.json").read_text())["tasks"]
    return tasks


@pytest.mark.parametrize(
    ("name", "headers", "note", "titles"),
    [
        ("mmstar", ["Questions right"], "", ["Accuracy"]),
        (
            "mmvp",
            ["Groups right", "Rows right"],
            "A group is right if all of its rows are. ",
            ["Accuracy over groups", "Accuracy over rows"],
        ),
        (
            "hrbench_4k",
            ["Rows right", "Questions right"],
            "A question is right if all of its circular copies are; a row is one copy. ",
            ["Accuracy over rows", "CircularEval accuracy"],
        ),
        (
            "cvbench_2d",
            ["Mean of leaves", "Questions right"],
            "",
            ["Accuracy, mean of leaves", "Accuracy"],
        ),
    ],
)
def test_columns_notes_and_metadata(
    results: dict[str, Any], name: str, headers: list[str], note: str, titles: list[str]
) -> None:
    task, result = f"ssl4rl_{name}", results[f"ssl4rl_{name}"]
    run = evaluated({task: result})
    text = sections.evaluation(card(grpo(), run))
    (head,) = [line for line in text.splitlines() if line.startswith("| Ability")]
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert cells == ["Ability", *(cell for header in headers for cell in (header, "95%", "n")), "Unread"]
    assert f"\n\n{note}Unread: no answer was found." in text
    metrics = metadata._metrics(card(grpo(), run), run, task, result)
    assert [metric["name"] for metric in metrics][: len(titles)] == titles
    first = metrics[0]
    published = result["aggregates"][first["args"]["aggregation"]]["overall"]
    assert first["value"] == round(100 * published["value"], 2) and first["args"]["n"] == published["n"]
    assert all(metric["name"].startswith(f"{titles[0]}, ") for metric in metrics[len(titles) :])


def test_only_groups_of_rows_that_are_no_copies_are_marked_in_a_result(results: dict[str, Any]) -> None:
    assert {name: result.get("groups") for name, result in results.items()} == {
        "ssl4rl_mmstar": None,
        "ssl4rl_mmvp": "rows",
        "ssl4rl_hrbench_4k": None,
        "ssl4rl_cvbench_2d": None,
    }
