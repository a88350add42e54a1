"""Margins of probes in pages and exports of comparisons: beside the accuracy, with a reason if one is missing."""

from __future__ import annotations

import csv
import io
import json

from made_boards import difference, probe

from ssl4rl_bench.comparison.margins import MarginDifference
from ssl4rl_bench.reports.board.export import to_csv, to_json, to_markdown
from ssl4rl_bench.reports.board.latex import to_latex
from ssl4rl_bench.reports.board.probes import probe_notes
from ssl4rl_bench.reports.board.text import probe_difference_table
from ssl4rl_bench.reports.html import ReportContent, render_page
from ssl4rl_bench.reports.html.provenance import RunFacts
from ssl4rl_bench.reports.text.margins import MARGIN, Margin

HOSTILE = "<b>\x1b[31m…</b>"
BASE = probe("base", margin=Margin(-0.004, (-0.016, 0.007), 0.779, 256, HOSTILE))
CHANGE = MarginDifference(0.017, (0.009, 0.025), 0.0004, 0.0008, 256, 256)
NEW = probe(
    "new", difference(), margin=Margin(0.013, (0.002, 0.024), 0.018, 256, HOSTILE), margin_difference=CHANGE
)
WITHOUT = probe("other", difference(), margin=Margin(reason="engine openai gives no likelihoods of answers"))
ROWS = (BASE, NEW, WITHOUT)


def test_the_terminal_and_markdown_have_the_margin_and_its_difference() -> None:
    headers = [str(column.header).replace("\n", " ") for column in probe_difference_table(ROWS).columns]
    assert headers[-6:] == [
        *("Margin", "95% of margin", "p of margin"),
        *("Margin diff", "95% of margin diff", "p corr. of margin"),
    ]
    text = to_markdown([], ROWS)
    assert "| -0.004 | [-0.016, +0.007] | 0.779 |  |  |  |" in text
    assert "| +0.013 | [+0.002, +0.024] | 0.018 | +0.017 | [+0.009, +0.025] | <0.001 |" in text
    assert "| – | – | – | – | – | – |" in text
    assert MARGIN in text and "other without a margin" in text


def test_a_column_of_dashes_alone_has_no_further_columns() -> None:
    headers = [str(column.header) for column in probe_difference_table([WITHOUT]).columns]
    assert headers[-1] == "Margin"
    assert probe_notes([WITHOUT]) == ["There is no margin: engine openai gives no likelihoods of answers."]
    assert MARGIN not in to_markdown([], [WITHOUT])


def test_csv_and_json_have_numbers_and_the_reason() -> None:
    records = list(csv.DictReader(io.StringIO(to_csv([], ROWS))))
    assert [record["margin"] for record in records] == ["-0.004", "0.013", ""]
    assert (records[1]["margin_difference"], records[1]["margin_p_corrected"]) == ("0.017", "0.0008")
    assert "\x1b" not in records[0]["margin_form"]
    rows = json.loads(to_json([], ROWS))["probes"]
    assert rows[2]["margin"]["value"] is None and "openai" in rows[2]["margin"]["reason"]
    assert rows[1]["margin_difference"]["n"] == 256


def test_latex_has_the_margin_with_its_interval_in_small_print() -> None:
    text = to_latex([], ROWS)
    assert "Margin" in text and "+0.013" in text and "+0.025" in text and "Margin: how much likelier" in text


def test_a_page_has_two_columns_and_an_entry_of_the_glossary() -> None:
    facts = tuple(RunFacts(row.label, (), (("Model", row.label),), ()) for row in ROWS)
    page = render_page(ReportContent("A title", (), ROWS, (), (), facts, None))
    assert "+0.013" in page and "[−0.016, +0.007]" in page and "p corr. &lt;0.001" in page
    assert 'id="g-margin"' in page and "engine openai gives no likelihoods" in page
    without = render_page(ReportContent("A title", (), (WITHOUT,), (), (), facts[2:], None))
    assert "Margin diff" not in without and 'data-head="Margin"' in without
