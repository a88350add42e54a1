"""Short names of runs: what is left out, and that no two become one."""

from __future__ import annotations

import re

import pytest
from examples import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ssl4rl_bench.reports.text.short_names import short_names

CARD = [f"PKU-ML/SSL4RL-MMBench-{task}-3B" for task in ("Rotation", "Jigsaw", "Position")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["tiny-base", "tiny-rotation", "tiny-jigsaw"], ["base", "rotation", "jigsaw"]),
        (
            ["Qwen/Qwen2.5-VL-3B-Instruct", *CARD],
            ["Qwen2.5-VL-3B-Instruct", "Rotation", "Jigsaw", "Position"],
        ),
        (["Qwen/Qwen2.5-VL-3B-Instruct", CARD[0]], ["Qwen2.5-VL-3B-Instruct", "SSL4RL-MMBench-Rotation-3B"]),
        (["base", "step-100", "step-200"], ["base", "step-100", "step-200"]),  # a number is no name
        (["a-x (mock)", "b-x (mock)"], ["a (mock)", "b (mock)"]),
        (["tiny-base", "tiny-base, image blank"], ["tiny-base", "tiny-base, image blank"]),
        (["tiny", "tiny-2", "tiny-20"], ["tiny", "tiny-2", "tiny-20"]),
        (["runs/a/step-1", "runs/b/step-1"], ["a", "b"]),
        (["alphabet", "alpha"], ["alphabet", "alpha"]),  # not at a separator
        (["one"], ["one"]),
        ([], []),
    ],
)
def test_what_names_share_is_left_out(names: list[str], expected: list[str]) -> None:
    assert short_names(names) == expected


_PARTS = st.lists(
    st.sampled_from(["a", "B", "3b", "7", "-", "_", "/", ".", " (mock)", ", image blank", "你"]), max_size=8
)


@example(["aa-", "a-, image blank"])
@settings(max_examples=examples(200))
@given(st.lists(_PARTS.map("".join), max_size=6, unique=True))
def test_distinct_names_stay_distinct_parts_of_their_names(names: list[str]) -> None:
    short = short_names(names)
    assert len(set(short)) == len(names) == len(short)
    stems = [re.split(r" \(|, image ", one)[0] for one in short]  # marks follow the part that is left of a name
    assert all(stem in name for stem, name in zip(stems, names, strict=True))
    assert all(bool(one) == bool(name) for one, name in zip(short, names, strict=True))


@settings(max_examples=examples(100))
@given(st.lists(st.sampled_from(["x-a", "x-b", "y/x-a"]), max_size=5))
def test_equal_names_stay_equal(names: list[str]) -> None:
    short = short_names(names)
    for one, name in zip(short, names, strict=True):
        for other, other_name in zip(short, names, strict=True):
            assert (one == other) is (name == other_name)
