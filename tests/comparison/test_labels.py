"""The labels of runs, which are the short names of their models."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl4rl_bench.comparison.pairing import labels


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("org/model", "org/model"),
        ("/data/models/base", "base"),
        ("/data/run/step-000050", "run/step-000050"),
        ("run/global_step_50/actor/huggingface", "run/global_step_50"),
        ("/data/run/global_step_50/huggingface", "run/global_step_50"),
        ("/data/models/mine/huggingface", "mine"),
    ],
)
def test_a_label_is_the_end_of_a_path(name: str, label: str) -> None:
    assert labels([name], [Path("runs/x")]) == [label]


def test_equal_labels_get_the_folder_of_their_run() -> None:
    assert labels(["/a/b/base", "/a/c/base"], [Path("runs/x"), Path("runs/y")]) == ["base (x)", "base (y)"]
