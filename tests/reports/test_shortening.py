"""Names in narrow tables: cut where they are alike, distinct where they were distinct."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ssl4rl_bench.reports.text.shortening import shorten_names

HUB = [f"PKU-ML/SSL4RL-MMBench-{task}-3B" for task in ("Rotation", "Jigsaw", "Contrastive", "Position")]
PARTS = st.sampled_from(["Qwen", "2.5", "VL", "3B", "step", "150", "1500", "图像", "rotation", "", "a", "aa"])
NAMES = st.lists(PARTS, min_size=1, max_size=9).map("-".join)


@pytest.mark.parametrize(
    ("names", "most", "shorter"),
    [
        (HUB, 40, HUB),
        (
            HUB,
            18,
            ["PKU-ML…Rotation-3B", "PKU-ML/S…Jigsaw-3B", "PKU…Contrastive-3B", "PKU-ML…Position-3B"],
        ),
        (HUB, 12, ["…Rotation-3B", "PK…Jigsaw-3B", "Contra…stive", "…Position-3B"]),
        (["runs/long-folder/step-100", "runs/long-folder/step-1000"], 12, ["runs/lon…100", "runs/lo…1000"]),
        (["a-single-name-that-is-long"], 12, ["a-si…is-long"]),
    ],
)
def test_names_keep_what_tells_them_apart(names: list[str], most: int, shorter: list[str]) -> None:
    assert shorten_names(names, most) == shorter


@given(st.lists(NAMES, max_size=12), st.integers(8, 40))
def test_distinct_names_stay_distinct_and_fit(names: list[str], most: int) -> None:
    short = shorten_names(names, most)
    assert len(set(short)) == len(set(names))
    assert all(cell_len(text) <= most for text in short)
    assert all(text == name for text, name in zip(short, names, strict=True) if cell_len(name) <= most)


@given(st.lists(NAMES, max_size=6), st.integers(8, 40))
def test_no_number_of_a_name_is_cut(names: list[str], most: int) -> None:
    numbers = {number for name in names for number in re.findall(r"\d+", name)}
    for text in shorten_names(names, most):
        cut = re.sub(r"…\(\d+\)$", "", text)  # the number of a name that was taken
        assert set(re.findall(r"\d+", cut)) <= numbers
        assert not re.search(r"\d…", text)


@given(st.lists(st.text(max_size=40), max_size=8), st.integers(8, 40))
def test_any_names_stay_distinct(names: list[str], most: int) -> None:
    assert len(set(shorten_names(names, most))) == len(set(names))
