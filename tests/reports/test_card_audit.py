"""Audits of cards: the published one, other people's ways to write tables, random tables, and no false alarm."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.card_audit.audit import CardFinding, TableAudit, audit_card
from ssl4rl_bench.reports.card_audit.cells import digits, read_cell
from ssl4rl_bench.reports.card_audit.claims import LabelRole, ability, role
from ssl4rl_bench.reports.card_audit.tables import MAX_CHARS, find_tables
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS, EDITIONS, L2_OF

PLAIN = """🌊 Evaluation on MMBench

Category Model Logical Relation Attribute Coarse Cross-Inst. Single-Inst. Average
Base Qwen2.5-VL-3B 61.77 41.54 76.62 73.55 64.32 82.06 72.99
SSL4RL Rotation 65.84 80.54 83.89 80.21 71.53 84.76 80.38
~ Jigsaw 62.86 74.51 80.35 77.92 67.82 84.31 77.82
~ Contrastive 61.12 73.42 71.81 65.38 58.39 78.50 69.27
~ Position 67.65 77.19 82.22 82.15 66.51 85.39 80.08
Maximal Improvement ↑ 5.88 ↑ 39.00 ↑ 6.77 ↑ 8.60 ↑ 7.21 ↑ 3.33 ↑ 7.39

Requirements

The code needs transformers 5 or later.
"""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "## Results\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def published() -> str:
    """The card's table as its Markdown has it, bold and arrows included."""
    rows = [line.rsplit(" ", 7) for line in PLAIN.splitlines()[3:8]]
    header = ["Category", "Model", *PLAIN.splitlines()[2].split()[2:]]
    best = [max(range(5), key=lambda row: float(rows[row][at])) for at in range(1, 8)]
    body = [
        [*label.split(" ", 1), *(f"**{x}**" if best[at] == number else x for at, x in enumerate(values))]
        for number, (label, *values) in enumerate(rows)
    ]
    last = [
        "Maximal Improvement",
        "",
        *(f"↑ {x}" for x in PLAIN.splitlines()[8].replace("↑ ", "").split()[2:]),
    ]
    return markdown(header, [*body, last])


def tabbed() -> str:
    """The same with tabs between cells."""
    lines = PLAIN.splitlines()
    return "\n".join("\t".join(line.replace("↑ ", "↑").rsplit(" ", 7)) for line in lines[2:9])


def only(text: str) -> TableAudit:
    (found,) = audit_card(text)
    return found


def by_place(found: Sequence[CardFinding]) -> dict[tuple[str, str], CardFinding]:
    return {(finding.row, finding.column): finding for finding in found}


def quoted() -> str:
    return "".join(f"> {line}\n" for line in published().splitlines())


@pytest.mark.parametrize(
    "text", [PLAIN, published(), tabbed(), quoted()], ids=["plain", "markdown", "tabs", "quoted"]
)
def test_the_published_card(text: str) -> None:
    made = only(text)
    assert made.table.headers == (*(header for header, _ in CARD_COLUMNS), "Average")
    found = by_place(made.findings)
    assert set(found) == {("Maximal Improvement", "Attribute"), ("", "Average")}
    wrong = found["Maximal Improvement", "Attribute"]
    assert wrong.printed.replace(" ", "").strip("↑") == "6.77" and wrong.expected == "7.27"
    average = found["", "Average"].sentence
    assert "neither the plain mean of the 6 columns (66.64)" in average
    assert "nor the question-weighted mean of MMBench dev v1.0 (70.73)" in average
    assert "dev v1.1" in average
    assert any(
        "4329 rows of MMBench dev v1.0, truncated (3160, 3480, 3369, 2999, 3467" in n for n in made.notes
    )
    assert made.n_checked >= 12


def test_a_right_card_raises_nothing() -> None:
    right = PLAIN.replace("6.77", "7.27")
    assert [finding.column for finding in only(right).findings] == ["Average"]


COUNTS = {
    name: {a: sum(n for leaf, n in (e.leaves or {}).items() if L2_OF[leaf] == a) for _, a in CARD_COLUMNS}
    for name, e in EDITIONS.items()
    if e.leaves
}


@pytest.mark.parametrize("weights", [None, *COUNTS])
@pytest.mark.parametrize("rounding", [ROUND_DOWN, ROUND_HALF_UP])
def test_an_average_that_fits_is_named(weights: str | None, rounding: str) -> None:
    rows = [line.rsplit(" ", 7) for line in PLAIN.splitlines()[3:8]]
    by = [1] * 6 if weights is None else [COUNTS[weights][a] for _, a in CARD_COLUMNS]
    for row in rows:
        mean = sum(w * Decimal(x) for w, x in zip(by, row[1:7], strict=True)) / sum(by)
        row[7] = str(mean.quantize(Decimal("0.01"), rounding=rounding))
    made = only(markdown(["Model", *(h for h, _ in CARD_COLUMNS), "Avg."], rows))
    assert made.findings == ()
    title = "plain mean" if weights is None else EDITIONS[weights].title
    assert any(title in note and "5 of 5" in note for note in made.notes)
    rows[2][7] = "75.00"
    (finding,) = only(markdown(["Model", *(h for h, _ in CARD_COLUMNS), "Avg."], rows)).findings
    assert (finding.row, finding.column, finding.printed) == ("Jigsaw", "Avg.", "75.00")


CHANGES = markdown(
    ["Model", "A", "B"],
    [
        ["Baseline", "50.0", "60.0"],
        ["Ours", "52.5 (↑2.5)", "59.0 (↓1.0)"],
        ["Other", "51.0 (+1.0)", "58.0 (-2.0)"],
    ],
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("↑2.5", "↑5.2", "+2.5"),
        ("↓1.0", "↑1.0", "-1.0"),
        ("+1.0", "-1.0", "+1.0"),
        ("(-2.0)", "↑", "-2.0"),
        ("(↓1.0)", "↓", None),
    ],
)
def test_changes_beside_scores_are_against_the_base(old: str, new: str, expected: str | None) -> None:
    assert only(CHANGES).findings == () and only(CHANGES).n_checked == 4
    found = only(CHANGES.replace(old, new)).findings
    assert [finding.expected for finding in found] == ([] if expected is None else [expected])


def test_a_base_may_be_a_column_and_a_change_too() -> None:
    header = ["Benchmark", "Base", "Ours", "Δ"]
    rows = [
        ["MMB", "70.1", "72.3", "+2.2"],
        ["SEED", "60.0", "59.0", "-1.0"],
        ["POPE", "80.5", "81.0", "+0.5"],
    ]
    assert only(markdown(header, rows)).findings == ()
    rows[1][3] = "+1.0"
    (finding,) = only(markdown(header, rows)).findings
    assert (finding.row, finding.column, finding.expected) == ("SEED", "Δ", "-1.0")
    beside = [
        ["MMB", "70.1", "72.3 (+2.2)"],
        ["SEED", "60.0", "59.0 (-1.0)"],
        ["POPE", "80.5", "81.0 (+1.5)"],
    ]
    (finding,) = only(markdown(header[:3], beside)).findings
    assert (finding.row, finding.column, finding.expected) == ("POPE", "Ours", "+0.5")


def test_blocks_have_their_own_base() -> None:
    rows = [
        ["Qwen-3B (base)", "50.0", "60.0"], ["Ours-3B", "55.0", "61.0"], ["Gain", "+5.0", "+1.0"],
        ["Qwen-7B (base)", "70.0", "80.0"], ["Ours-7B", "71.0", "84.0"], ["Gain", "+1.0", "+4.0"],
    ]  # fmt: skip
    assert only(markdown(["Model", "A", "B"], rows)).findings == ()
    rows[5][1] = "+6.0"
    (finding,) = only(markdown(["Model", "A", "B"], rows)).findings
    assert (finding.row, finding.column, finding.expected) == ("Gain", "A", "1.0")


def test_relative_improvements_and_columns_where_less_is_better() -> None:
    rows = [["Base", "50.0", "8.0"], ["Ours", "60.0", "6.0"], ["Relative improvement (%)", "20.0", "25.0"]]
    assert only(markdown(["Model", "Acc", "Perplexity ↓"], rows)).findings == ()
    rows[2] = ["Max. Improv.", "10.0", "2.0"]
    assert only(markdown(["Model", "Acc", "Perplexity ↓"], rows)).findings == ()
    rows[2] = ["Max. Improv.", "10.0", "-3.0"]
    assert [f.expected for f in only(markdown(["Model", "Acc", "Perplexity ↓"], rows)).findings] == ["-2.0"]


def test_bold_marks_claim_the_best_of_a_column() -> None:
    rows = [["Base", "50.0", "**60.0**"], ["Ours", "**55.0**", "59.0"], ["Other", "54.0", "**58.0**"]]
    (finding,) = only(markdown(["Model", "A", "B"], rows)).findings
    assert (finding.row, finding.column, finding.expected) == ("Other", "B", "**60.0**")
    rows[2][2] = "60.0"
    assert only(markdown(["Model", "A", "B"], rows)).findings == ()
    whole = [["Base", "50.0", "60.0"], ["**Ours**", "**55.0**", "**59.0**"]]
    assert only(markdown(["Model", "A", "B"], whole)).findings == ()


def test_what_cannot_be_derived_raises_nothing() -> None:
    rows = [["A", "50.0", "70.0"], ["B", "55.0", "61.0"], ["Gain", "30.1", "20.2"]]
    made = only(markdown(["Model", "X", "Y"], rows))
    assert made.findings == () and "not recomputed" in " ".join(made.notes)
    sizes = [["A", "3", "50.0", "70.0", "60.0"], ["B", "7", "55.0", "61.0", "58.0"]]
    assert only(markdown(["Model", "Params (B)", "X", "Y", "Average"], sizes)).findings == ()


def test_what_is_no_table_of_results_is_not_one() -> None:
    code = "```\n" + PLAIN + "```\n"
    words = "| a | b |\n|---|---|\n| x | y |\n| z | w |\n"
    prose = "In 2023 we trained 3 4\nand in 2024 we trained 5 6\n"
    for text in ("", code, words, prose, "Model A B\nBase 1.0 2.0\n"):
        with pytest.raises(DataError, match="no table of results"):
            audit_card(text)
    with pytest.raises(DataError, match="characters"):
        audit_card("x" * (MAX_CHARS + 1))


@pytest.mark.parametrize(
    ("text", "value", "delta", "direction", "bold"),
    [
        ("84.76 (↑2.70)", "84.76", "2.70", 1, False),
        ("**84.76** (+2.7)", "84.76", "2.7", 1, True),
        ("84.76 **(+2.7)**", "84.76", "2.7", 1, False),
        ("↑ 5.88", "5.88", None, 0, False),
        ("▼3.1", "-3.1", None, 0, False),
        ("84.76<sub>−2.7</sub>", "84.76", "-2.7", -1, False),
        ("$84.76_{\\uparrow 2.70}$", "84.76", "2.70", 1, False),
        ("<b>1,234.5</b>", "1234.5", None, 0, True),
        ("84.76 ± 0.5", "84.76", None, 0, False),
        ("84.76 (3)", "84.76", None, 0, False),
        ("82.1% ↓", "82.1", None, -1, False),
        ("__.5__", ".5", None, 0, True),
        ("Qwen2.5", None, None, 0, False),
        ("–", None, None, 0, False),
        ("6 7", None, None, 0, False),
        ("1" * 300, None, None, 0, False),
    ],
)
def test_cells(text: str, value: str | None, delta: str | None, direction: int, bold: bool) -> None:
    cell = read_cell(text)
    assert cell.value == (None if value is None else Decimal(value))
    assert cell.delta == (None if delta is None else Decimal(delta))
    assert (cell.direction, cell.bold) == (direction, bold)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Maximal Improvement", LabelRole.IMPROVEMENT), ("Max. Improv.", LabelRole.IMPROVEMENT),
        ("Improvement", LabelRole.IMPROVEMENT),
        ("Δ", LabelRole.IMPROVEMENT), ("Gain", LabelRole.IMPROVEMENT), ("Δ over base", LabelRole.IMPROVEMENT),
        ("Avg. gain (%)", LabelRole.IMPROVEMENT), ("Average", LabelRole.AVERAGE), ("Avg.", LabelRole.AVERAGE),
        ("Overall ↑", LabelRole.AVERAGE),
        ("Base Qwen2.5-VL-3B", LabelRole.BASE), ("Baseline", LabelRole.BASE),
        ("Self-Improvement-7B", LabelRole.LEVEL),
        ("Rotation", LabelRole.LEVEL), ("Average of 3 seeds, Rotation", LabelRole.LEVEL), ("Steps", LabelRole.OTHER),
        ("Database QA", LabelRole.LEVEL),
    ],
)  # fmt: skip
def test_labels(label: str, kind: LabelRole) -> None:
    assert role(label) is kind


def test_spellings_of_abilities() -> None:
    assert [ability(x) for x in ("LR", "Single Inst.", "FP-C", "coarse perception", "OCR")] == [
        "logic_reasoning",
        "finegrained_perception (instance-level)",
        "finegrained_perception (cross-instance)",
        "coarse_perception",
        None,
    ]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A header, and rows of a base, methods with changes beside their scores, and the row of improvements."""
    decimals = draw(st.integers(1, 3))
    unit = Decimal(1).scaleb(-decimals)
    n_methods, n_columns = draw(st.integers(2, 5)), draw(st.integers(3, 6))
    rounding = draw(st.sampled_from([ROUND_DOWN, ROUND_HALF_UP]))
    style = draw(st.sampled_from(["{} ({:+})", "{} ({arrow}{size})", "{}"]))
    exact = [
        [draw(st.decimals(1, 99, places=decimals + 2)) for _ in range(n_columns)]
        for _ in range(n_methods + 1)
    ]
    for row in exact:
        row.append(sum(row, Decimal()) / n_columns)
    printed = [[x.quantize(unit, rounding=rounding) for x in row] for row in exact]

    def change(of: Decimal) -> Decimal:
        return of.quantize(unit, rounding=rounding)

    rows = [["Base", *map(str, printed[0])]]
    for number in range(1, n_methods + 1):
        cells = []
        for at in range(n_columns + 1):
            delta = change(exact[number][at] - exact[0][at])
            arrow = "↑" if delta >= 0 else "↓"
            cells.append(style.format(printed[number][at], delta, arrow=arrow, size=abs(delta)))
        rows.append([f"Method-{chr(64 + number)}", *cells])
    best = [change(max(row[at] for row in exact[1:]) - exact[0][at]) for at in range(n_columns + 1)]
    rows.append(["Maximal Improvement", *(f"{'↑' if x >= 0 else '↓'} {abs(x)}" for x in best)])
    return ["Model", *(f"Bench-{chr(65 + at)}" for at in range(n_columns)), "Average"], rows


def spaced(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "Results of ours\n" + "\n".join(" ".join(line) for line in [header, *rows]) + "\n"


@settings(deadline=None)
@given(tables(), st.sampled_from([markdown, spaced]))
def test_right_tables_raise_nothing(table: tuple[list[str], list[list[str]]], form: object) -> None:
    text = form(*table)  # type: ignore[operator]
    made = only(text)
    assert made.findings == ()
    header, rows = table
    n_changes = (len(rows) - 2) * (len(header) - 1) if "(" in rows[1][1] else 0
    assert made.n_checked == (len(header) - 1) + (len(rows) - 1) + n_changes


@pytest.mark.slow
@settings(deadline=None)
@given(tables(), st.sampled_from([markdown, spaced]), st.data())
def test_a_changed_cell_is_found(
    table: tuple[list[str], list[list[str]]], form: object, data: st.DataObject
) -> None:
    header, rows = table
    at = data.draw(st.integers(1, len(header) - 1))
    cell = read_cell(rows[-1][at])
    assert cell.value is not None
    wrong = cell.value + data.draw(st.sampled_from([-1, 1])) * data.draw(st.integers(3, 500)) * Decimal(
        1
    ).scaleb(-digits(cell.value))
    rows[-1][at] = f"{'↑' if wrong >= 0 else '↓'} {abs(wrong)}"
    found = only(form(header, rows)).findings  # type: ignore[operator]
    assert [(finding.row, finding.column) for finding in found] == [("Maximal Improvement", header[at])]
    assert abs(Decimal(found[0].expected) - cell.value) <= Decimal(1).scaleb(-digits(cell.value))
    assert found[0].printed.replace(" ", "") == rows[-1][at].replace(" ", "")


@settings(deadline=None)
@given(tables(), st.integers(10, 300))
def test_a_changed_average_is_found(table: tuple[list[str], list[list[str]]], off: int) -> None:
    header, rows = table
    bare = [[row[0], *(str(cell.value) for cell in map(read_cell, row[1:]))] for row in rows[:-1]]
    last = read_cell(bare[1][-1])
    assert last.value is not None
    bare[1][-1] = str(last.value + off * Decimal(1).scaleb(-digits(last.value)))
    (finding,) = only(markdown(header, bare)).findings
    assert (finding.row, finding.column) == ("Method-A", "Average")


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("|-: \n*↑↓0123456789.+()abAverage<>`~#\t\\$&"), max_size=400))
def test_no_text_breaks_the_reader(text: str) -> None:
    for table in find_tables(text):
        assert len(table.labels) == len(table.cells) >= 2
        assert all(len(row) == len(table.headers) for row in table.cells)
    try:
        audit_card(text)
    except DataError:
        assert find_tables(text) == []


@pytest.mark.parametrize("digits", [27, 28, 40])
def test_a_number_of_many_digits_ends_no_audit(digits: int) -> None:
    rows = (f"| Base | {'1' * digits}.5 | 50.0 |", "| Ours | 3.5 | 51.0 |", "| Max. gain | +2.0 | +1.0 |")
    text = "\n".join(("| Model | A | B |", "|---|---|---|", *rows))
    (table,) = audit_card(text)
    assert any(finding.column == "A" for finding in table.findings)
