"""Cards as people honestly write them raise nothing; the same cards with one number or mark changed are found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_cli import bench

from ssl4rl_bench.reports.card_audit.audit import audit_card, unread


def table(*lines: str) -> str:
    """A pipe table from lines of cells between commas."""
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    rows.insert(1, ["---"] * len(rows[0]))
    return "## Results\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


# A right card, and where it is given the one change that makes it wrong: a text, and what it becomes.
HONEST: dict[str, tuple[str, tuple[str, str] | None]] = {
    "time per step": (
        table("Model, Acc, Time/step", "Base, 50.0, **1.2**", "Ours, **55.0**, 1.9", "Other, 52.0, 1.6"),
        ("1.6", "**1.6**"),
    ),
    "latency with a unit": (
        table("Model, Acc, Z, Latency (ms)", "Base, **50.0**, 1.0, 120", "Ours, 48.0, **2.0**, **80**"),
        ("120 |\n| Ours | 48.0 | **2.0** | **80**", "**120** |\n| Ours | 48.0 | **2.0** | 80"),
    ),
    "units in cells": (
        table(
            "Model, Acc, Z, Inference time (s)",
            "Base, 50.0, **9.0**, 12.3 s",
            "Ours, **55.0**, 8.0, **9.1 s**",
        ),
        ("**9.1 s**", "**19.1 s**"),
    ),
    "loss and perplexity": (
        table("Model, Val. loss, PPL, Acc", "Base, 2.31, 10.1, **56.0**", "Ours, **2.10**, **8.2**, 55.0"),
        ("**8.2**", "**18.2**"),
    ),
    "error rate": (
        table("Model, Error rate (%), Acc, Z", "Base, 50.0, 50.0, **9.0**", "Ours, **45.0**, **55.0**, 8.0"),
        ("**45.0**", "**54.0**"),
    ),
    "error detection is an ability": (
        table("Model, Error detection, Acc, Z", "Base, 50.0, 50.0, **9.0**", "Ours, **55.0**, **55.0**, 8.0"),
        ("**55.0** | **55.0**", "**45.0** | **55.0**"),
    ),
    "memory in GB and parameters": (
        table(
            "Model, Params (B), Peak memory (GB), Acc, Z",
            "Base, 3, **8.1**, 50.0, 9.0",
            "Ours, 7, 16.4, **55.0**, 9.0",
        ),
        ("**8.1** | 50.0 | 9.0 |\n| Ours | 7 | 16.4", "8.1 | 50.0 | 9.0 |\n| Ours | 7 | **16.4**"),
    ),
    "throughput": (
        table("Model, Tokens/s, s/step, Z", "Base, 100, 2.0, **9.0**", "Ours, **140**, **1.5**, 8.0"),
        ("| **140**", "| **90**"),
    ),
    "memory and time as abilities": (
        table(
            "Model, Memory, Time, Space, Average",
            "Base, 50.0, 40.0, 60.0, 50.0",
            "Ours, **60.0**, **50.0**, **70.0**, **60.0**",
        ),
        ("**70.0** | **60.0**", "**70.0** | **66.0**"),
    ),
    "arrows in the header": (
        table("Model, Bias ↓, Score ↑, Z", "Base, 12.0, 70.0, **9.0**", "Ours, **9.0**, **75.0**, 8.0"),
        ("**9.0**", "**19.0**"),
    ),
    "an arrow above two lines of headers": (
        table(
            "Model, Quality ↑, , Cost ↓, ",
            ", MMB, SEED, Hours, Price",
            "Base, 50.0, 60.0, **10**, **3**",
            "Ours, **55.0**, **65.0**, 12, 4",
        ),
        ("**55.0** | **65.0**", "**45.0** | **65.0**"),
    ),
    "own rows in bold": (
        table("Model, A, B, Params (B)", "Base, 50.0, 60.0, 3", "**Ours**, **55.0**, **59.0**, 3"),
        None,
    ),
    "second best underlined": (
        table(
            "Model, A, B",
            "Base, 50.0, <u>60.0</u>",
            r"Ours, **55.0**, $\underline{59.0}$",
            "Other, _54.0_, **61.0**",
        ),
        ("**61.0**", "**58.0**"),
    ),
    "LaTeX marks": (
        table("Model, A, B", r"Base, $50.0_{\pm 0.3}$, **62.0**", r"Ours, $\mathbf{55.0}_{\pm 0.4}$, 61.0"),
        (r"\mathbf{55.0}", r"\mathbf{45.0}"),
    ),
    "best of each row": (
        table(
            "Benchmark, Base, Ours, Other",
            "MMB, 70.1, **72.3**, 71.0",
            "SEED, **60.0**, 59.0, 58.0",
            "POPE, 80.5, 81.0, **81.5**",
        ),
        ("81.0 | **81.5**", "**81.0** | 81.5"),
    ),
    "best of each section": (
        table(
            "Model, A, B",
            "*Closed models*, , ",
            "First, 80.0, 81.0",
            "Second, **82.0**, **83.0**",
            "*Open models*, , ",
            "Base, 50.0, **62.0**",
            "Ours, **55.0**, 61.0",
        ),
        ("**55.0**", "**45.0**"),
    ),
    "best of each size": (
        table(
            "Model, A, B",
            "Qwen-3B, **56.0**, 60.0",
            "Ours-3B, 55.0, **61.0**",
            "Qwen-7B, 60.0, 70.0",
            "Ours-7B, **65.0**, **71.0**",
        ),
        ("**61.0**", "**59.0**"),
    ),
    "reference rows": (
        table(
            "Model, A, B",
            "Human, 95.0, 96.0",
            "GPT-4o, 80.0, 85.0",
            "Base, 50.0, **62.0**",
            "Ours, **55.0**, 61.0",
        ),
        ("**55.0**", "**45.0**"),
    ),
    "bold within the spread": (
        table(
            "Model, A, B",
            "Base, **54.8 ± 0.5**, 60.0 ± 0.5",
            "Ours, **55.0 ± 0.4**, **62.0 ± 0.5**",
            "Z, 50, 61",
        ),
        ("| 61 |", "| **61** |"),
    ),
    "averages of columns that the header names": (
        table(
            "Model, A, B, C, D, Avg. (A; B), Mean of A; C and D",
            "Base, 10.0, 20.0, 30.0, 50.0, 15.0, 30.0",
            "Ours, 20.0, 40.0, 40.0, 60.0, 30.0, 40.0",
        ),
        ("30.0 | 40.0 |\n", "33.0 | 40.0 |\n"),
    ),
    "averages in the header with slashes": (
        table(
            "Model, OCR, Chart, POPE, OCR/Chart avg., Average",
            "Base, 10.0, 20.0, 60.0, 15.0, 30.0",
            "Ours, 20.0, 30.0, 70.0, 25.0, 40.0",
        ),
        ("25.0 | 40.0", "28.0 | 40.0"),
    ),
    "a named average beside the whole one": (
        table(
            "Model, Logical, Relation, Attribute, Coarse, Reasoning avg., Average",
            "Base, 10.0, 20.0, 30.0, 60.0, 20.0, 30.0",
            "Ours, 20.0, 30.0, 40.0, 70.0, 30.0, 40.0",
        ),
        ("30.0 | 40.0 |\n", "30.0 | 47.0 |\n"),
    ),
    "a weighted average that is named": (
        table("Model, A, B, Weighted average (by class)", "Base, 50.0, 60.0, 52.0", "Ours, 55.0, 61.0, 56.2"),
        None,
    ),
    "an average weighted by a row of counts": (
        table(
            "Model, A, B, Average",
            "# questions, 30, 10, 40",
            "Base, 50.0, 60.0, 52.5",
            "Ours, 54.0, 62.0, 56.0",
        ),
        ("56.0", "57.0"),
    ),
    "an average weighted by counts in the header": (
        table("Model, A (30), B (n=10), Average", "Base, 50.0, 60.0, 52.5", "Ours, 54.0, 62.0, 56.0"),
        ("56.0", "57.0"),
    ),
    "an overall score": (
        table("Model, A, B, Overall", "Base, 50.0, 60.0, 52.9", "Ours, 55.0, 61.0, 56.1"),
        None,
    ),
    "costs are no part of an average": (
        table(
            "Model, Time/step, A, B, Avg., Params (M)",
            "Base, 1.2, 50.0, 60.0, 55.0, 300",
            "Ours, 1.4, 56.0, 62.0, 59.0, 310",
        ),
        ("59.0 | 310", "51.0 | 310"),
    ),
    "missing cells": (
        table(
            "Model, A, B, C, Average",
            "Base, 50.0, 60.0, –, 55.0",
            "Ours, 55.0, 61.0, 64.0, 60.0",
            "Other, n/a, 61.0, 63.0, 62.0",
        ),
        ("64.0 | 60.0", "64.0 | 66.0"),
    ),
    "a column of which not all can be read": (
        table(
            "Model, A, B, C, Average",
            "Base, 50.0, 60.0, see text, 57.0",
            "Ours, 55.0, 61.0, see text, 61.0",
        ),
        None,
    ),
    "changes in brackets": (
        table(
            "Model, A, B",
            "Base, 50.0, 60.0",
            "Ours, 52.5 [+2.5], 59.0 [-1.0]",
            "Other, 51.0 (+1.0), 61.0 (+1.0)",
        ),
        ("[-1.0]", "[+1.0]"),
    ),
    "changes in percent of the base": (
        table("Model, A, B", "Base, 50.0, 80.0", "Ours, 55.0 (+10.0%), 84.0 (+5.0%)"),
        ("(+5.0%)", "(+9.0%)"),
    ),
    "fractions with changes in points": (
        table("Model, A, B", "Base, 0.500, 0.618", "Ours, 0.525 (+2.5), 0.606 (-1.2)", "Gain, 2.5, -1.2"),
        ("(-1.2)", "(+1.2)"),
    ),
    "changes against the nearest model": (
        table(
            "Model, A, B",
            "Qwen-3B, 50.0, 60.0",
            "+ Rotation, 52.0 (+2.0), 61.0 (+1.0)",
            "+ Jigsaw, 51.0 (+1.0), 63.0 (+3.0)",
            "Qwen-7B, 70.0, 80.0",
            "+ Rotation, 72.0 (+2.0), 81.0 (+1.0)",
            "+ Jigsaw, 71.0 (+1.0), 83.0 (+3.0)",
        ),
        ("83.0 (+3.0)", "83.0 (+8.0)"),
    ),
    "intervals": (
        table(
            "Model, A, B, Average",
            "Base, 50.0 [48.1; 51.9], 60.0 (58.0–62.0), 55.0 (±0.9)",
            "Ours, 56.0 [54.1; 57.9], 62.0 (60.0–64.0), 59.0 (±0.9)",
        ),
        ("59.0 (±0.9)", "69.0 (±0.9)"),
    ),
    "footnotes": (
        table("Model, A, B, Avg.", "Base, 50.0†, 60.0<sup>1</sup>, 55.0", "Ours, 56.0\\*, 62.0‡, 59.0"),
        ("| 59.0", "| 57.0"),
    ),
    "an improvement of a loss": (
        table("Model, Acc, Error rate", "Base, 50.0, 8.0", "Ours, 60.0, 6.0", "Max. improvement, 10.0, 2.0"),
        ("10.0 | 2.0", "10.0 | 4.0"),
    ),
    "an improvement of a time": (
        table("Model, Acc, Step time", "Base, 50.0, 8.0", "Ours, 60.0, 6.0", "Max. improvement, 10.0, -2.0"),
        ("| 10.0 | -2.0", "| 12.0 | -2.0"),
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_card_is_not_accused(name: str) -> None:
    text = HONEST[name][0].replace(";", ",")
    (made,) = audit_card(text)
    assert [finding.sentence for finding in made.findings] == []


@pytest.mark.parametrize("name", [name for name, (_, change) in HONEST.items() if change])
def test_the_same_card_with_one_thing_wrong_is_accused(name: str) -> None:
    text, change = HONEST[name]
    assert change is not None and change[0] in text
    (made,) = audit_card(text.replace(*change).replace(";", ","))
    assert made.findings


MARKDOWN = table("Model, A, B", "Base, 50.0, **62.0**", "Ours, **55.0**, 61.0")
HTML = """<table class="results" width="100"><tr><th>Model</th><th>A</th></tr>
<tr><td>Base</td><td>50.0</td></tr>
<tr><td>Ours</td><td><b>49.0</b></td></tr></table>
"""
LATEX = r"""\begin{tabular}{lcc}
Model & A & B \\ \hline
Base & 50.0 & 60.0 \\
Ours & \textbf{49.0} & 61.0 \\
\end{tabular}
"""
LOGO = '<tr><td><img src="a.png" width="200"></td></tr>'
LOGOS = f"<table>{LOGO}{LOGO}</table>\n"


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ("", {}),
        (LOGOS, {}),
        (f"<!--\n{HTML}-->\n", {}),
        (HTML, {"HTML": 1}),
        (HTML.upper(), {"HTML": 1}),
        (HTML.replace("</table>", ""), {"HTML": 1}),
        (HTML + "\n" + HTML, {"HTML": 2}),
        (LATEX, {"LaTeX": 1}),
        (LATEX.replace("tabular", "tabular*"), {"LaTeX": 1}),
        (LATEX.replace("tabular", "longtable"), {"LaTeX": 1}),
        (f"```\n{MARKDOWN}```\n", {"code block": 1}),
        (f"```latex\n{LATEX}```\n", {"code block": 1}),
        (f"{HTML}\n{LATEX}\n```\n{MARKDOWN}```\n", {"HTML": 1, "LaTeX": 1, "code block": 1}),
    ],
)
def test_no_table_is_passed_over_in_silence(more: str, kinds: dict[str, int], tmp_path: Path) -> None:
    text = MARKDOWN + "\n" + more
    assert unread(text) == kinds
    assert len(audit_card(text)) == 1


@pytest.mark.parametrize(("wrong", "code"), [(False, 3), (True, 1)])
def test_the_exit_code_of_a_card_that_is_read_in_part(tmp_path: Path, wrong: bool, code: int) -> None:
    card = tmp_path / "README.md"
    text = MARKDOWN + "\n" + HTML + "\n" + LATEX
    card.write_text(text.replace("**55.0**", "**45.0**") if wrong else text)
    done = bench("audit", "card", card)
    assert done.returncode == code, done.stdout + done.stderr
    assert "not checked: 1 table in HTML" in done.stdout and "not checked: 1 table in LaTeX" in done.stdout
    assert re.search(r"findings: \d; .*tables: 1; tables not checked: 2", done.stdout)


def test_a_card_with_no_other_tables_says_which_it_has(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(HTML)
    done = bench("audit", "card", card)
    assert done.returncode == 2 and "1 table in HTML" in done.stderr and "Traceback" not in done.stderr
