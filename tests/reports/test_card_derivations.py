"""Published tables that contradict themselves, and those that only look as if they did: what an audit says."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.reports.card_audit.audit import CardFinding, TableAudit, audit_card
from ssl4rl_bench.reports.card_audit.findings import blocks, level_rows
from ssl4rl_bench.reports.card_audit.tables import MAX_COLUMNS, CardTable, find_tables

ROWS = ["Base, 50.0, 60.0", "Ours, 55.0, 61.0"]


def card(header: str, *rows: str) -> str:
    lines = [[cell.strip() for cell in line.split(",")] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def audit(header: str, *rows: str) -> TableAudit:
    (made,) = audit_card(card(header, *rows))
    return made


def table(header: str, *rows: str) -> CardTable:
    (made,) = find_tables(card(header, *rows))
    return made


def wrong(made: TableAudit) -> list[tuple[str, str, str | None]]:
    return [(finding.row, finding.column, finding.expected) for finding in made.findings]


# Blocks.


def test_rows_between_improvements_are_blocks_with_their_own_base() -> None:
    made = blocks(table("M, A, B", *ROWS, "Gain, 5.0, 1.0", "X, 1.0, 2.0", "Y, 2.0, 3.0", "Gain, 1.0, 1.0"))
    assert [(block.levels, block.changes, block.bases, block.named) for block in made] == [
        ([0, 1], [2], [0], True),
        ([3, 4], [5], [3], False),
    ]


def test_improvements_above_all_levels_belong_to_no_block() -> None:
    made = table("M, A, B", "Gain, 5.0, 1.0", *ROWS)
    assert [(block.levels, block.changes) for block in blocks(made)] == [([1, 2], [])]
    assert audit_card(card("M, A, B", "Gain, 9.0, 9.0", *ROWS))[0].findings == ()


def test_if_every_row_is_a_base_the_first_is_taken_and_not_as_named() -> None:
    (block,) = blocks(table("M, A, B", "Base 1, 1.0, 2.0", "Base 2, 3.0, 4.0"))
    assert block.bases == [0] and not block.named


def test_rows_of_counts_and_rows_of_signed_numbers_are_no_levels() -> None:
    made = table("M, A, B", "# questions, 10, 20", *ROWS, "Ours vs Base, +5.0, +1.0")
    assert level_rows(made) == [1, 2]


# Improvements.


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ("Gain, 5.0, 1.0", []),
        ("Gain, 5.1, 1.0", []),
        ("Gain, 5.2, 1.0", [("Gain", "A", "5.0")]),
        ("Gain, –, 1.0", []),
        ("Gain, 5, 1", []),
        ("Gain, 5.00, 1.20", [("Gain", "B", "1.00")]),
        ("Gain, -5.0, 1.0", [("Gain", "A", "5.0")]),
    ],
)
def test_an_improvement_may_differ_by_one_in_its_last_place(
    gain: str, expected: list[tuple[str, str, str]]
) -> None:
    assert wrong(audit("Model, A, B", *ROWS, gain)) == expected


def test_a_finding_names_the_place_the_number_and_the_way() -> None:
    (finding,) = audit("Model, A, B", *ROWS, "Gain, 5.0, 9.0").findings
    assert finding == CardFinding(
        "Gain", "B", "9.0", "1.0", "Gain, B: 9.0 should be 1.0, the best of the others minus Base."
    )


def test_a_column_without_a_header_is_left_out_of_the_place() -> None:
    (finding,) = audit("Model, A, ", *ROWS, "Gain, 5.0, 9.0").findings
    assert (finding.row, finding.column) == ("Gain", "")
    assert finding.sentence.startswith("Gain: 9.0 should be 1.0")


def test_a_table_with_a_base_and_no_other_row_claims_nothing() -> None:
    made = audit("Model, A, B", "Base, 50.0, 60.0", "Gain, 5.0, 1.0")
    assert (made.findings, made.n_checked, made.notes) == ((), 0, ())


def test_half_of_the_cells_decide_and_a_quarter_only_if_labels_name_the_base_and_the_maximum() -> None:
    rows = ["Old, 50.0, 60.0, 70.0, 80.0", "New, 55.0, 61.0, 72.0, 83.0"]
    half = audit("Model, A, B, C, D", *rows, "Gain, 5.0, 1.0, 9.0, 9.0")
    assert [column for _, column, _ in wrong(half)] == ["C", "D"]
    quarter = audit("Model, A, B, C, D", *rows, "Gain, 5.0, 9.0, 9.0, 9.0")
    assert quarter.findings == ()
    assert quarter.notes == ("Gain: not recomputed, as no derivation from the other rows agrees with it.",)
    named = audit(
        "Model, A, B, C, D", rows[0].replace("Old", "Base"), rows[1], "Max. gain, 5.0, 9.0, 9.0, 9.0"
    )
    assert [column for _, column, _ in wrong(named)] == ["B", "C", "D"]


def test_percent_of_a_base_of_zero_is_not_defined_and_not_checked() -> None:
    made = audit("Model, A, B", "Base, 0.0, 50.0", "Ours, 5.0, 55.0", "Gain (%), 99.0, 10.0")
    assert made.findings == () and made.n_checked == 1


def test_the_mean_of_the_others_is_a_way_to_improve() -> None:
    rows = ["Base, 50.0, 60.0", "X, 52.0, 64.0", "Y, 56.0, 66.0"]
    made = audit("Model, A, B", *rows, "Gain, 4.0, 5.0")
    assert made.findings == () and "the mean of the others minus Base" in made.notes[0]


# Changes beside scores.


def test_a_change_is_printed_with_a_sign_in_its_finding() -> None:
    made = audit("Model, A, B", "Base, 50.0, 60.0", "Ours, 55.0 (+5.0), 59.0 (+1.0)")
    assert wrong(made) == [("Ours", "B", "-1.0")]
    assert made.findings[0].sentence == ("Ours, B: 59.0 (+1.0) should have -1.0, the change against Base.")


def test_an_arrow_without_a_number_is_a_claim_that_no_change_contradicts() -> None:
    assert audit("Model, A, B", "Base, 50.0, 60.0", "Ours, 55.0 ↑, 59.0 ↓").findings == ()
    made = audit("Model, A, B, C", "Base, 50.0, 60.0, 53.0", "Ours, 55.0 ↑, 54.0 ↓, 53.0 ↑")
    assert wrong(made) == [("Ours", "C", "+0.0")]


def test_changes_may_be_against_the_row_above() -> None:
    rows = ["Start, 50.0, 60.0", "+ a, 52.0 (+2.0), 61.0 (+1.0)", "+ b, 55.0 (+3.0), 63.0 (+2.0)"]
    made = audit("Model, A, B", *rows)
    assert made.findings == () and made.n_checked == 4
    assert made.notes == ("Changes next to scores: against the row above; 4 of 4 agree.",)


def test_changes_that_no_row_explains_are_noted_and_no_finding() -> None:
    made = audit("Model, A, B", "X, 50.0, 60.0", "Y, 55.0 (+9.0), 59.0 (+8.0)")
    assert made.findings == ()
    assert made.notes == (
        "Changes next to scores: not recomputed, as no row or column agrees as their reference.",
    )


# Averages.


def test_one_average_that_differs_is_a_finding_and_all_that_differ_are_one_about_the_column() -> None:
    header, rows = "Model, A, B, Average", ["X, 10.0, 20.0, 15.0", "Y, 30.0, 50.0, 40.0", "Z, 1.0, 2.0, 1.5"]
    assert audit(header, *rows).findings == ()
    assert wrong(audit(header, rows[0], rows[1].replace("40.0", "41.0"), rows[2])) == [
        ("Y", "Average", "40.0")
    ]
    none = audit(header, *(row.rsplit(",", 1)[0] + ", 99.0" for row in rows))
    assert wrong(none) == [("", "Average", None)]
    assert none.findings[0].sentence == (
        "Average: X's 99.0 is not the plain mean of the 2 columns (15.0); state what it averages."
    )


def test_a_row_with_a_missing_score_has_no_average_to_check() -> None:
    made = audit("Model, A, B, Average", "X, 10.0, 20.0, 15.0", "Y, –, 50.0, 99.0", "Z, 1.0, 3.0, 2.0")
    assert made.findings == () and made.n_checked == 2


def test_an_average_row_below_the_scores_is_checked_too() -> None:
    rows = ["MMB, 10.0, 20.0", "SEED, 30.0, 40.0"]
    assert audit("Bench, X, Y", *rows, "Average, 20.0, 30.0").n_checked == 2
    assert wrong(audit("Bench, X, Y", *rows, "Average, 20.0, 33.0")) == [("Average", "Y", "30.0")]


def test_two_averages_are_of_the_columns_on_their_sides() -> None:
    header = "Model, A, B, Average, C, D, Average"
    rows = ["X, 10.0, 20.0, 15.0, 50.0, 70.0, 60.0", "Y, 20.0, 30.0, 25.0, 60.0, 70.0, 65.0"]
    made = audit(header, *rows)
    assert made.findings == () and made.n_checked == 4


@pytest.mark.parametrize(("header", "name"), [("Note", "Note"), ("", "without a header")])
def test_a_column_of_words_may_be_what_an_average_includes(header: str, name: str) -> None:
    made = audit(f"Model, A, {header}, B, Average", "X, 10.0, low, 20.0, 90.0", "Y, 30.0, high, 50.0, 91.0")
    assert made.findings == ()
    assert made.notes == (f"Average: not recomputed, as a column cannot be read ({name}).",)


def test_counts_in_headers_weigh_only_if_every_column_has_one() -> None:
    # (10 * 50 + 30 * 60) / 40 is 57.5.
    rows = ["X, 50.0, 60.0, 57.5", "Y, 10.0, 20.0, 17.5"]
    assert audit("Model, A (10), B (n=30), Average", *rows).findings == ()
    assert wrong(audit("Model, A (10), B, Average", *rows)) == [("", "Average", None)]


def test_a_table_of_very_many_rows_has_its_columns_of_averages_checked() -> None:
    rows = [f"Model {number}, 10.0, 20.0, 15.0" for number in range(MAX_COLUMNS + 1)]
    made = audit("Model, A, B, Average", *rows[:-1], rows[-1].replace("15.0", "18.0"))
    assert wrong(made) == [(f"Model {MAX_COLUMNS}", "Average", "15.0")]


# Bold marks.


def test_scores_that_tie_for_the_best_may_all_be_bold() -> None:
    assert audit("Model, A, B", "X, **50.0**, 60.0", "Y, **50.0**, **61.0**", "Z, 3.0, 4.0").findings == ()


def test_a_bold_number_that_is_not_the_best_names_the_first_that_is() -> None:
    made = audit("Model, A, B", "X, 50.0, **60.0**", "Y, 50.0, 1.0", "Z, **49.0**, 2.0")
    assert wrong(made) == [("Z", "A", "50.0")]
    assert made.findings[0].sentence == "Z, A: **49.0** is in bold, but X has the best value, 50.0."


def test_a_table_that_is_bold_throughout_marks_nothing() -> None:
    made = audit("Model, A, B", "X, **50.0**, **60.0**", "Y, **1.0**, **2.0**")
    assert made.findings == () and made.n_checked == 0
    assert made.notes == ("Bold: complete rows, which are not taken as a claim.",)


def test_bold_counts_and_bold_dashes_claim_nothing() -> None:
    assert audit("Model, Steps, A", "X, **100**, **60.0**", "Y, 900, 1.0").findings == ()
    assert audit("Model, A, B", "X, **–**, **60.0**", "Y, 50.0, 1.0").findings == ()


def test_a_bold_loss_is_the_lowest() -> None:
    assert audit("Model, Loss, A", "X, **1.0**, **60.0**", "Y, 2.0, 1.0").findings == ()
    assert wrong(audit("Model, Loss, A", "X, 1.0, **60.0**", "Y, **2.0**, 1.0")) == [("Y", "Loss", "1.0")]


# Several tables, and invariants.


def test_each_table_of_a_card_is_audited_by_itself() -> None:
    right, broken = card("M, A, B", *ROWS, "Gain, 5.0, 1.0"), card("M, A, B", *ROWS, "Gain, 5.0, 2.0")
    made = audit_card(f"## One\n\n{right}\n\n## Two\n\n{broken}\n\n## Three\n\n{right}")
    assert [audit.table.title for audit in made] == ["One", "Two", "Three"]
    assert [len(audit.findings) for audit in made] == [0, 1, 0]


def test_two_tables_that_contradict_each_other_are_each_right() -> None:
    other = card("M, A, B", "Base, 51.0, 60.0", "Ours, 55.0, 61.0", "Gain, 4.0, 1.0")
    made = audit_card(card("M, A, B", *ROWS, "Gain, 5.0, 1.0") + "\n\n" + other)
    assert [audit.findings for audit in made] == [(), ()]


NUMBERS = st.integers(0, 999).map(lambda n: Decimal(n) / 10)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=2, max_size=5))
def test_exact_means_and_exact_best_gains_raise_nothing(rows: Sequence[Sequence[Decimal]]) -> None:
    body = [[*row, (sum(row, Decimal()) / 3).quantize(Decimal("0.1"))] for row in rows]
    lines = [f"M{number}, {', '.join(f'{x:.1f}' for x in row)}" for number, row in enumerate(body)]
    lines[0] = lines[0].replace("M0", "Base")
    best = [max(column[1:]) - column[0] for column in zip(*body, strict=True)]
    made = audit("Model, X, Y, Z, Average", *lines, f"Max. gain, {', '.join(f'{x:.1f}' for x in best)}")
    assert made.findings == ()
    assert made.n_checked == len(rows) + 4


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=3, max_size=5), st.data())
def test_of_two_columns_with_one_mark_each_exactly_those_below_the_best_are_findings(
    rows: Sequence[Sequence[Decimal]], data: st.DataObject
) -> None:
    marked = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2, unique=True))
    body = [[f"{value:.1f}" for value in row] for row in rows]
    for column, row in enumerate(marked):
        body[row][column] = f"**{body[row][column]}**"
    lines = [f"Model {'abcde'[number]}, {', '.join(row)}" for number, row in enumerate(body)]
    best = [max(column) for column in zip(*rows, strict=True)]
    assert [(row, column) for row, column, _ in wrong(audit("Model, X, Y", *lines))] == [
        (f"Model {'abcde'[row]}", "XY"[column])
        for column, row in enumerate(marked)
        if rows[row][column] < best[column]
    ]
