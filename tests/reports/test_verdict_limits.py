"""The verdict of a page at its limits: differences of exactly 0, one ability, labels with a common prefix."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from made_boards import NOT_SHOWN, board, difference, probe

from ssl4rl_bench.comparison.result import BestDifference, Share
from ssl4rl_bench.reports.html.verdict import probe_verdict, verdict

UNSURE = difference(**NOT_SHOWN)
EQUAL = difference(0.0, p=1.0, p_corrected=1.0, needed=None, gained=0, lost=0)
OVERALL = ("overall", "overall")


def test_a_difference_of_exactly_0_is_not_told_apart_and_no_number_of_questions_would_show_it() -> None:
    (said,) = verdict(board(("new", {"Average": EQUAL}))).candidates
    assert said.mark == ""
    assert said.text == (
        "cannot be told apart from base on Average: +0.00 points [-4.00, +4.00], corrected p = 1.000, n = 600. "
        "The least difference that would be detected here with 80% power is 5.67 points."
    )


def test_a_significant_difference_of_exactly_0_is_neither_better_nor_worse() -> None:
    assert difference(0.0).p_corrected < 0.05
    assert verdict(board(("new", {"Average": difference(0.0)}))).candidates[0].mark == ""


def test_a_loss_that_rounds_to_0_has_no_minus_sign() -> None:
    text = verdict(board(("new", {"Average": replace(UNSURE, value=-0.00004)}))).candidates[0].text
    assert "Average: +0.00 points" in text
    assert "-0.00 points" not in text


@pytest.mark.parametrize(
    ("needed", "shown"), [(None, False), (400, False), (600, False), (601, True), (1_234_567, True)]
)
def test_more_questions_are_asked_for_only_if_there_are_not_as_many_already(
    needed: int | None, shown: bool
) -> None:
    text = verdict(board(("new", {"Average": replace(UNSURE, needed=needed)}))).candidates[0].text
    assert ("Detecting the observed difference needs" in text) == shown
    if shown:
        assert text.endswith(f"needs {needed:,} questions.")


def test_a_difference_without_an_interval_is_shown_without_one() -> None:
    text = verdict(board(("new", {"Average": replace(UNSURE, n=1, ci95=None)}))).candidates[0].text
    assert text.startswith(
        "cannot be told apart from base on Average: +2.00 points, corrected p = 0.600, n = 1."
    )


@pytest.mark.parametrize(
    ("unsure", "words"),
    [
        (("Logical",), "On the other ability the direction"),
        (("Logical", "Relation"), "On the other 2 abilities the direction"),
    ],
)
def test_abilities_without_a_direction_are_counted_beside_those_with_one(
    unsure: tuple[str, ...], words: str
) -> None:
    cells = {"Average": UNSURE, "Coarse": difference(), **dict.fromkeys(unsure, UNSURE)}
    details = verdict(board(("new", cells))).candidates[0].details
    assert details[0].startswith("Better on Coarse (+12.34 points")
    assert details[1].startswith(words)
    assert len(details) == 2


def test_gains_stand_before_losses_and_nothing_is_left_over() -> None:
    cells = {"Average": UNSURE, "Logical": difference(-0.1), "Coarse": difference(0.1)}
    details = verdict(board(("new", cells))).candidates[0].details
    assert [line.split(" (")[0] for line in details] == ["Better on Coarse", "Worse on Logical"]


@pytest.mark.parametrize("noise", [0.0, 1e-17, -4.9e-5])
def test_no_part_of_a_difference_comes_from_reading_if_it_would_be_shown_as_0(noise: float) -> None:
    """Sums of weights are rarely exactly 0 in floating point."""
    shown = difference(from_reading=Share(noise, None))
    assert verdict(board(("new", {"Average": shown}))).candidates[0].details == ()


def test_the_parts_of_a_difference_that_is_not_shown_are_not_told() -> None:
    unsure = replace(UNSURE, from_reading=Share(0.01, None))
    assert verdict(board(("new", {"Average": unsure}))).candidates[0].details == ()


def test_a_run_gets_its_own_probes_and_not_those_of_a_longer_label() -> None:
    two = board(("tiny", {"Average": UNSURE}), ("tiny-2", {"Average": UNSURE}))
    rows = [probe("base"), probe("tiny", difference(0.05)), probe("tiny-2", difference(-0.07))]
    first, second = verdict(two, rows).candidates
    assert first.details == ("SSL probes, in points: rotation_90 +5.00 [+1.00, +9.00] (better).",)
    assert second.details == ("SSL probes, in points: rotation_90 -7.00 [-11.00, -3.00] (worse).",)


def test_a_probe_that_is_not_told_apart_says_what_would_have_been_detected() -> None:
    (said,) = probe_verdict([probe("base"), probe("new", replace(UNSURE, mde=0.123))]).candidates
    assert said.details == (
        "SSL probes, in points: rotation_90 +2.00 [-2.00, +6.00] (not told apart; detectable from 12.30).",
    )


def test_probes_of_one_run_alone_are_counted_and_compared_with_nothing() -> None:
    said = probe_verdict([probe("base"), probe("base", task="ssl4rl_ssl_position")])
    assert said.opening == "2 SSL probes of base, no benchmark."
    assert said.candidates == said.closing == ()


def test_counts_are_of_the_comparisons_that_there_are() -> None:
    one = {"Average": difference(), "Coarse": UNSURE}
    two = {"Average": UNSURE, "Coarse": difference(), "Logical": difference(-0.2)}
    assert verdict(board(("a", one), ("b", two))).closing == (
        "Beyond chance after Holm's correction at 5%: 1 of 2 comparisons on Average and 2 of 3 comparisons on single "
        "abilities.",
    )


def test_a_family_without_a_comparison_is_not_counted() -> None:
    assert verdict(board(("a", {"Average": UNSURE}))).closing == (
        "Beyond chance after Holm's correction at 5%: 0 of 1 comparison on Average.",
    )
    assert verdict(board(("a", {}))).closing == ()


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        ("max-t", "after max-T correction at 5%"),
        ("bh", "after Benjamini and Hochberg's correction at 5%"),
        ("none", "after no correction at 5%"),
        ("sidak", "after sidak at 5%"),
    ],
)
def test_the_correction_is_named(correction: str, words: str) -> None:
    (closing,) = verdict(board(("a", {"Average": UNSURE}), correction=correction)).closing
    assert words in closing


def test_the_best_of_several_runs_may_be_a_loss() -> None:
    best = BestDifference(*OVERALL, "b", -0.03, 0.9, 2)
    two = board(("a", {"Average": UNSURE}), ("b", {"Average": UNSURE}), improvement=(best,))
    assert verdict(two).closing[-1] == (
        "The greatest difference on Average of 2 runs is b's (-3.00 points); for the best of that many runs, "
        "p = 0.900 (max-T)."
    )


def test_the_best_of_one_run_is_no_maximum() -> None:
    best = BestDifference(*OVERALL, "a", 0.03, 0.2, 1)
    said = verdict(board(("a", {"Average": UNSURE}), improvement=(best,)))
    assert not any("greatest difference" in line for line in said.closing)


def test_labels_with_control_characters_are_shown_as_escapes() -> None:
    (said,) = verdict(board(("a\x1b[31m\n<b>", {"Average": UNSURE}))).candidates
    assert said.label == "a\\u001b[31m <b>"


def test_the_opening_counts_rows_where_copies_count_alike() -> None:
    assert verdict(board(aggregation="row_micro")).opening == (
        "base scores 50.00% [46.00, 54.00] on scenes (n = 600 rows, row_micro). There is no second run to compare it "
        "with."
    )


@settings(max_examples=examples(60))
@given(
    st.floats(-1.0, 1.0, allow_nan=False),
    st.floats(0.0, 1.0, allow_nan=False),
    st.integers(1, 10_000),
)
def test_equality_is_never_claimed(value: float, p: float, n: int) -> None:
    cell = difference(value, p_corrected=p, n=n)
    (said,) = verdict(board(("new", {"Average": cell, "Coarse": cell}))).candidates
    text = f"{said.text} {' '.join(said.details)}"
    assert not any(word in text for word in ("equal", "same", "no difference", "-0.00 points"))
    assert said.mark == ("" if p >= 0.05 or value == 0.0 else "better" if value > 0 else "worse")
    assert ("with 80% power" in text) == (said.mark == "")
