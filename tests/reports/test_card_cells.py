"""Cells, headers and units of a card's table: how each is read, and how close a printed number must be."""

from __future__ import annotations

from decimal import Decimal

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.reports.card_audit.cells import MAX_CELL, caption, digits, read_cell
from ssl4rl_bench.reports.card_audit.claims import (
    LabelRole,
    Unit,
    better_ends,
    is_count,
    maximal,
    readings,
    role,
)
from ssl4rl_bench.reports.card_audit.findings import formatted_like


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50", "50"), ("50 %", "50"), ("50\\%", "50"), ("50％", "50"), (".5", ".5"), ("−3.1", "-3.1"), ("＋3", "3"),
        ("- 3", "-3"), ("1,234,567", "1234567"), ("12 ms", "12"), ("1.5x", "1.5"), ("8.1 GiB", "8.1"),
        ("$\\textbf{50.0}$", "50.0"), ("~~50.0~~", "50.0"), ("`50.0`", "50.0"), ("50.0†", "50.0"),
        ("50.0<sup>[1]</sup>", "50.0"), ("50.0²", "50.0"), ("<span style='color:red'>50.0</span>", "50.0"),
        ("🔻 3.1", "-3.1"), (":arrow_up: 3.1", "3.1"), ("\u0663", "3"),
    ],
)  # fmt: skip
def test_a_number_is_read_in_every_usual_notation(text: str, value: str) -> None:
    assert read_cell(text).value == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "1,23", "12,3456", "1e-5", "50 / 60", "50..0", "1.", "inf", "+-3", "±0.5", "(50.0)", "5 0", "50.0 2",
        "v1.0", "50.0 (2.0) ↑", "50.0 (best)", "50.0 60.0 (+1.0)", "#3", "10k",
    ],
)  # fmt: skip
def test_what_could_be_two_numbers_or_none_has_no_value(text: str) -> None:
    assert read_cell(text).value is None


@pytest.mark.parametrize("text", ["", "-", "–", "—", " / ", "N/A", "n.a.", "NaN", "None", "**-**", "<br>"])
def test_a_dash_and_not_available_are_empty_and_no_number(text: str) -> None:
    cell = read_cell(text)
    assert cell.empty and cell.value is None and not cell.changed


@pytest.mark.parametrize(
    ("text", "delta", "direction"),
    [
        ("50.0 (+0.0)", "0.0", 0),
        ("50.0 (↓0.0)", "-0.0", -1),
        ("50.0 (↓ -1.0)", "-1.0", -1),
        ("50.0 (2.0 ↑)", "2.0", 1),
        ("50.0 +2.0%", "2.0", 1),
        ("50.0 [48, 52] (+2.0)", "2.0", 1),
        ("50.0 ± 0.3 (−2.0)", "-2.0", -1),
        ("50.0 ↓", None, -1),
    ],
)
def test_a_change_has_the_sign_of_its_arrow(text: str, delta: str | None, direction: int) -> None:
    cell = read_cell(text)
    assert cell.value == Decimal("50.0")
    assert cell.delta == (None if delta is None else Decimal(delta))
    assert cell.direction == direction and cell.changed


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("50.0 ± 0.5", "0.5"), ("50.0 (±0.5%)", "0.5"), ("50.0 +/- 1", "1"), ("$50.0_{\\pm 0.5}$", "0.5"),
        ("50.0 [48.0, 52.0]", "2"), ("50.0 (52.0–48.0)", "2"), ("50.0 [-1 to 3]", "2"), ("50.0", None),
        ("50.0 (0.5)", None),
    ],
)  # fmt: skip
def test_a_spread_is_half_of_an_interval(text: str, spread: str | None) -> None:
    cell = read_cell(text)
    assert cell.value == Decimal("50.0") and cell.delta is None
    assert cell.spread == (None if spread is None else Decimal(spread))


@pytest.mark.parametrize(
    ("text", "bold"),
    [
        ("***50.0***", True), ("<STRONG>50.0</STRONG>", True), ("\\textbf{50.0}", True), ("**50**.0", True),
        ("*50.0*", False), ("50.0 **best**", False), ("**a** 50.0", False), ("**50.0", False), ("", False),
    ],
)  # fmt: skip
def test_bold_is_what_begins_before_the_first_digit_and_ends_after_it(text: str, bold: bool) -> None:
    assert read_cell(text).bold is bold


def test_a_cell_longer_than_any_number_is_a_text_of_limited_length() -> None:
    assert read_cell("1" * MAX_CELL).value == Decimal("1" * MAX_CELL)
    long = read_cell("1" * (MAX_CELL + 1))
    assert long.value is None and len(long.text) == MAX_CELL


@settings(max_examples=examples(100), deadline=None)
@given(
    st.decimals(-999, 999, places=2), st.sampled_from(["{}", "**{}**", " {} % ", "${}$", "{}†", "<b>{}</b>"])
)
def test_emphasis_changes_no_number(value: Decimal, form: str) -> None:
    cell = read_cell(form.format(value))
    assert cell.value == value
    assert digits(cell.value) == 2
    assert cell.signed is (str(value)[0] == "-")


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=250))
def test_any_text_is_a_cell_and_its_caption_is_one_line(text: str) -> None:
    cell = read_cell(text)
    assert cell.text == text[:MAX_CELL]
    assert caption(text) == " ".join(caption(text).split())
    if cell.value is None:
        assert (cell.delta, cell.spread, cell.direction, cell.bold) == (None, None, 0, False)


def test_the_fewest_decimals_count() -> None:
    assert digits(Decimal("1.25"), Decimal("3.5"), None) == 1
    assert digits(Decimal("40")) == 0 and digits(None) == digits() == 0


@pytest.mark.parametrize(
    ("value", "like", "sign", "text"),
    [
        ("7.265", "6.77", "", "7.27"),
        ("-0.5", "3", "", "-1"),
        ("2.5", "1.0", "+", "+2.5"),
        ("-2.5", "1.0", "+", "-2.5"),
        ("2.5", None, "", "3"),
    ],
)
def test_an_expected_number_is_printed_like_the_one_it_replaces(
    value: str, like: str | None, sign: str, text: str
) -> None:
    assert formatted_like(Decimal(value), None if like is None else Decimal(like), sign) == text


# Headers.


@pytest.mark.parametrize(
    ("header", "ends"),
    [
        ("MMBench", (max,)), ("Error rate", (min,)), ("Error detection", (max,)), ("WER", (min,)),
        ("Loss ↑", (max,)), ("Accuracy ↓", (min,)), ("Perplexity (lower is better)", (min,)),
        ("Latency (ms)", (min,)), ("Time/step", (min,)), ("Tokens/s", (max,)), ("Throughput", (max,)),
        ("Memory", (max, min)), ("Params (B)", (max, min)), ("Hallucination", (max, min)), ("Steps", (max,)),
        ("", (max,)), ("Glossary", (max,)),
    ],
)  # fmt: skip
def test_which_end_of_a_column_is_better(header: str, ends: tuple[object, ...]) -> None:
    assert better_ends(header) == ends


@pytest.mark.parametrize(
    "header", ["n", "N", "k", "Steps", "Epochs (max)", "# images", "seed", "Seeds", "Year"]
)
def test_counts_have_no_better_end(header: str) -> None:
    assert is_count(header)


@pytest.mark.parametrize("header", ["", "Score", "Time (s)", "MMBench n", "Step size", "Counting"])
def test_scores_and_costs_are_no_counts(header: str) -> None:
    assert not is_count(header)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("", LabelRole.LEVEL), ("Δ", LabelRole.IMPROVEMENT), ("Gain vs. base", LabelRole.IMPROVEMENT),
        ("Gainful", LabelRole.LEVEL), ("Improved model", LabelRole.LEVEL), ("Best", LabelRole.LEVEL),
        ("Macro avg", LabelRole.AVERAGE), ("Mean accuracy", LabelRole.AVERAGE), ("Overall (%)", LabelRole.AVERAGE),
        ("Average time", LabelRole.OTHER), ("GPU hours", LabelRole.OTHER), ("Zero-shot", LabelRole.BASE),
        ("pretrained", LabelRole.BASE), ("Based", LabelRole.LEVEL),
    ],
)  # fmt: skip
def test_a_label_alone_tells_its_role(label: str, kind: LabelRole) -> None:
    assert role(label) is kind


@pytest.mark.parametrize(
    ("label", "says"), [("Max. gain", True), ("Best improvement", True), ("Gain", False), ("Climax", False)]
)
def test_a_label_says_that_it_is_of_the_best(label: str, says: bool) -> None:
    assert maximal(label) is says


def test_a_relative_improvement_is_first_read_in_percent_and_a_maximal_one_only_against_the_best() -> None:
    relative = list(readings("Relative gain (%)", fractions=False))
    assert [unit for unit, _, _ in relative] == [Unit.PERCENT] * 2 + [Unit.POINTS] * 2
    assert [(unit, what) for unit, what, _ in readings("Max. gain", fractions=False)] == [
        (Unit.POINTS, "the best of the others")
    ]
    assert Unit.FRACTIONS not in {unit for unit, _, _ in readings("Gain", fractions=False)}
    assert Unit.FRACTIONS in {unit for unit, _, _ in readings("Gain", fractions=True)}


# Units.


@pytest.mark.parametrize(
    ("unit", "level", "base", "change"),
    [
        (Unit.POINTS, "55.0", "50.0", "5.0"),
        (Unit.PERCENT, "55.0", "50.0", "10"),
        (Unit.PERCENT, "-55.0", "-50.0", "-10"),
        (Unit.PERCENT, "55.0", "0.0", None),
        (Unit.FRACTIONS, "0.55", "0.50", "5"),
        (Unit.FRACTIONS, "0.55", "0", "55"),
    ],
)
def test_a_change_in_each_unit(unit: Unit, level: str, base: str, change: str | None) -> None:
    assert unit.change(Decimal(level), Decimal(base)) == (None if change is None else Decimal(change))


@pytest.mark.parametrize(
    ("printed", "change", "decimals", "places", "agrees"),
    [
        ("5.0", "5.1", 1, 1, True),
        ("5.0", "5.11", 1, 2, False),
        ("5.00", "5.01", 2, 2, True),
        ("5.00", "5.02", 2, 2, False),
        ("5.00", "5.1", 2, 1, True),
        ("5", "6", 0, 0, True),
        ("-0.0", "0.0", 1, 1, True),
    ],
)
def test_points_agree_to_one_unit_of_the_last_place_that_both_have(
    printed: str, change: str, decimals: int, places: int, agrees: bool
) -> None:
    assert Unit.POINTS.agrees(Decimal(printed), Decimal(change), Decimal(50), decimals, places) is agrees


def test_percent_of_a_small_base_is_less_certain() -> None:
    # A base of 2.0 and a level of 3.0, each off by 0.1, move 50% by as much as 10%.
    assert Unit.PERCENT.agrees(Decimal("59"), Decimal(50), Decimal("2.0"), 0, 1)
    assert not Unit.PERCENT.agrees(Decimal("62"), Decimal(50), Decimal("2.0"), 0, 1)
    assert not Unit.PERCENT.agrees(Decimal("59"), Decimal(50), Decimal("80.0"), 0, 1)


@settings(max_examples=examples(100), deadline=None)
@given(
    st.decimals(0, 100, places=4), st.decimals(0, 100, places=4), st.integers(0, 3), st.sampled_from([1, 2])
)
def test_a_change_of_exact_scores_agrees_with_the_rounded_scores(
    level: Decimal, base: Decimal, places: int, rounding: int
) -> None:
    unit = Decimal(1).scaleb(-places)
    how = ("", "ROUND_HALF_UP", "ROUND_DOWN")[rounding]
    printed = (level - base).quantize(unit, rounding=how)
    shown = [value.quantize(unit, rounding=how) for value in (level, base)]
    assert Unit.POINTS.agrees(printed, shown[0] - shown[1], shown[1], places, places)
