"""docs/tasks.md and docs/benchmarks.md: the examples load and validate, and the table has what the task files say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmark_rows import encoded, write_table

from ssl4rl_bench.task.questions.schema import read_schema
from ssl4rl_bench.task.questions.task import QuestionsTask
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.task.validate import validate_task

DOCS = Path(__file__).parents[3] / "docs"


def examples() -> dict[str, tuple[str, list[dict[str, str]]]]:
    """Returns the task files of docs/tasks.md by name, each with the rows of the table that follows it."""
    text = (DOCS / "tasks.md").read_text("utf-8")
    out = {}
    for match in re.finditer(r"```yaml\n(task: ssl4rl_(\w+)\n.*?)```\n\n((?:\|[^\n]*\n)+)", text, re.DOTALL):
        header, _, *lines = (
            [cell.strip() for cell in line.strip("|\n").split("|")] for line in match[3].splitlines()
        )
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        for row in rows:
            number = int(row["index"])
            row["image"] = encoded(number, number + 50) if row["image"].startswith("[") else encoded(number)
            row.update({key: value.replace("`", "") for key, value in row.items() if key != "image"})
        out[match[2]] = (match[1], rows)
    return out


@pytest.fixture(params=["signs", "twins", "gauges"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> QuestionsTask:
    text, rows = examples()[request.param]
    path = tmp_path / f"{request.param}.yaml"
    path.write_text(text)
    write_table(tmp_path / f"{request.param}.tsv", rows)
    loaded = load_task(str(path))
    assert isinstance(loaded, QuestionsTask)
    return loaded


def test_the_examples_are_valid(task: QuestionsTask) -> None:
    assert validate_task(task).failures == ()
    expected = {
        "ssl4rl_signs": (3, 3, {"reading": 1, "meaning": 2}),
        "ssl4rl_twins": (4, 2, {"all": 2}),
        "ssl4rl_gauges": (2, 2, {"manometer": 1, "hygrometer": 1}),
    }
    assert (len(task.samples), task.n_groups, task.counts()["l2"]) == expected[task.name]
    assert sum("left out" in warning for warning in task.warnings) == (task.name == "ssl4rl_gauges")
    if task.name == "ssl4rl_signs":
        assert list(task.samples[1].choices) == ["A", "C"]
        assert len(task.samples[2].images) == 2


def test_the_table_of_benchmarks_is_that_of_the_task_files() -> None:
    lines = (DOCS / "benchmarks.md").read_text("utf-8").splitlines()
    cells = {
        line.split("|")[1].strip(" `"): [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if re.match(r"\| `\w+` \| \[", line)
    }
    files = {
        name.removeprefix("ssl4rl_"): load_taskfile(name)
        for name in task_names()
        if load_taskfile(name).source is not None
    }
    assert list(cells) == list(files)
    for name, file in files.items():
        source = file.source
        assert source is not None and source.md5 is not None
        _, link, rows, _, levels, kinds, headline, md5, licence, left_out = cells[name]
        assert link == f"[{source.file}]({source.url})"
        assert rows == (f"{source.questions:,}" if source.questions else "unverified")
        assert md5 == f"`{source.md5[:8]}`"
        mark = " (unverified)" if source.licence and "licence" in source.unverified else ""
        assert licence == (source.licence or "unverified") + mark
        assert left_out == (source.left_out or "–")
        if file.kind == "questions":
            schema = read_schema(name, file.params)
            assert headline == f"`{schema.headline}`"
            assert kinds.split(", ") == [
                kind.replace("_", " ") for kind in dict.fromkeys(schema.answer.all_kinds())
            ]
            assert all(f"`{column}`" in levels for names in schema.levels.values() for column in names)
