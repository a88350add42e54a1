"""`metadata.source` of a task file: what it may contain, and what is reported otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.datasource import DataSource, parse_source
from ssl4rl_bench.task.taskfile import load_taskfile

OLD, NEW = "0" * 32, "d5e8af148b10ac69f535ff7b23f3f989"
FULL: dict[str, Any] = {
    "file": "BLINK.tsv",
    "url": "https://example.org/BLINK.tsv",
    "md5": NEW,
    "editions": {OLD: "answers before their correction"},
    "hub": "BLINK-Benchmark/BLINK",
    "questions": 1901,
    "licence": "Apache-2.0",
    "unverified": ["questions"],
    "left_out": "rows without an answer",
}


def test_all_keys_are_fields() -> None:
    source = parse_source(FULL)
    assert source == DataSource(**{**FULL, "unverified": ("questions",)})
    assert parse_source({}) == DataSource()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "folder/a.tsv"),
        ("file", ""),
        ("url", "http://example.org/a.tsv"),
        ("md5", NEW.upper()),
        ("md5", NEW[:8]),
        ("editions", {"older": "x"}),
        ("editions", {OLD: ""}),
        ("editions", [OLD]),
        ("hub", "no-owner"),
        ("questions", 0),
        ("questions", True),
        ("questions", "1500"),
        ("licence", 1),
        ("unverified", ["colour"]),
        ("unverified", "md5"),
        ("left_out", ""),
    ],
)
def test_a_value_of_another_form_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"metadata\.source\.{key} must be "):
        parse_source({**FULL, key: value})


def test_a_task_file_has_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"

    def write(source: Any) -> str:
        metadata = {"version": 1, "title": "Mine", "source": source}
        config = {"include": "_mmbench.yaml", "task": "ssl4rl_mine", "dataset_path": "a/b"}
        path.write_text(yaml.safe_dump({**config, "test_split": "dev", "metadata": metadata}))
        return str(path)

    loaded = load_taskfile(write(FULL)).source
    assert loaded is not None and loaded.editions == {OLD: "answers before their correction"}
    with pytest.raises(UsageError, match=r"mine\.yaml: unknown key mdfive .*did you mean"):
        load_taskfile(write({"mdfive": NEW}))
    with pytest.raises(UsageError, match=r"metadata\.source has the wrong type"):
        load_taskfile(write("MMStar.tsv"))
