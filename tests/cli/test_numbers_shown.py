"""The search for broken numbers sees each kind of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbers_shown import broken_numbers

WIDE = "tiny-base  57.00  100.00  [69.14, 76.24]  n 600, 2233/2234 replies, p <0.001, +3.50▲"


@pytest.mark.parametrize(
    "narrow",
    [
        "tiny-base  57.0\n              0",
        "tiny-base  57.\n00",
        "tiny-base  57.0…",
        "tiny-base  57.…",
        "[69.14, 76.\n24]",
        "n 60\n0, 2233/2234",
        "2233/\n2234 replies",
        "+3.5\n0▲",
        "p <0.\n001",
    ],
)
def test_a_broken_number_is_seen(narrow: str) -> None:
    assert broken_numbers(narrow, WIDE)


@pytest.mark.parametrize(
    "narrow",
    [
        WIDE,
        WIDE.replace("  ", "\n"),
        "tiny-base\n  57.00,\n  [69.14, 76.24]",
        "n 600\nnot shown in 60 columns: p; COLUMNS=92 shows everything",
        "tiny…base 57.00",
    ],
)
def test_whole_numbers_are_not(narrow: str) -> None:
    assert broken_numbers(narrow, WIDE) == []


@given(st.lists(st.decimals(100, 999, places=2), min_size=1, max_size=5, unique=True), st.data())
def test_a_number_that_is_split_anywhere_is_seen(values: list[object], data: st.DataObject) -> None:
    texts = list(map(str, values))
    text = data.draw(st.sampled_from(texts))
    place = data.draw(st.integers(1, len(text) - 1))
    narrow = [f"{one[:place]}\n{one[place:]}" if one == text else one for one in texts]
    assert broken_numbers("\n".join(narrow), "  ".join(texts))
