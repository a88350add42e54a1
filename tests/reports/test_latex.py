r"""LaTeX tables: their structure, what they say, and that they compile into the width that they promise."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_boards import board, difference, probe
from many_tasks import PREFIX, many

from ssl4rl_bench.reports.board.board import Board, BoardCell
from ssl4rl_bench.reports.board.latex import to_latex
from ssl4rl_bench.reports.board.latex_table import TexCell, TexRow, TexTable, format_table, header_lines
from ssl4rl_bench.reports.board.overview import Overview, build_boards, build_overview
from ssl4rl_bench.reports.board.probes import ProbeRow

NAMES = [
    "Qwen/Qwen2.5-VL-3B-Instruct",
    *(
        f"PKU-ML/SSL4RL-MMBench-{name}-3B"
        for name in ("Rotation", "Jigsaw", "Contrastive", "Position", "Mix")
    ),
]
SHORT = ["Qwen2.5-VL-3B-Instruct", "Rotation", "Jigsaw", "Contrastive", "Position", "Mix"]
ODD = 'Ünïcode_你好-▲🚀 Модель & 50%_of #1 {x} ~^\\ <"|"> $5'
ABILITIES = ["Logical", "Relation", "Attribute", "Coarse", "Cross-Inst.", "Single-Inst.", "Average"]
BENCHMARKS = [
    "mmbench_dev_en",
    "mmstar",
    "mmvp",
    "hrbench_4k",
    "mathverse_mini_vision_only",
    "hallusionbench",
]


TABULAR = re.compile(r"\\begin\{tabular\}\{@\{\}(?:l|p\{\d+pt\})(r+)@.*\n((?:.*\n)*?)\\end\{tabular\}")


def ranked(made: Board, best: Sequence[int]) -> Board:
    """Returns the board with the ranks of a column in which the given rows are the best."""
    rows = [
        replace(
            row, label=name, cells=tuple(replace(cell, rank=1 if number in best else 2) for cell in row.cells)
        )
        for number, (row, name) in enumerate(zip(made.rows, NAMES, strict=True))
    ]
    return replace(made, rows=tuple(rows))


def six_runs(best: Sequence[int] = (1, 2)) -> Board:
    rows = []
    for number, name in enumerate(NAMES[1:]):
        value = 0.02 * (number - 3) - 0.1
        cells = {header: difference(value, p_corrected=0.001 if number % 2 else 0.4) for header in ABILITIES}
        rows.append((name, cells))
    return ranked(board(*rows), best)


@cache
def several() -> tuple[list[Board], Overview]:
    rng = np.random.default_rng(0)
    runs = [
        many(name, {task: rng.random(300) < 0.4 + 0.08 * number for task in BENCHMARKS})
        for number, name in enumerate([*NAMES, ODD])
    ]
    boards = build_boards(runs[0], runs[1:], [PREFIX + task for task in BENCHMARKS])
    built = build_overview(boards)
    assert built is not None
    return boards, built


def probes() -> list[ProbeRow]:
    rows = []
    for task, parts in (
        ("ssl4rl_ssl_rotation_90", {}),
        ("ssl4rl_ssl_jigsaw_2x2", {"exact": 0.2, "valid": 0.95}),
    ):
        for number, name in enumerate([*NAMES, ODD]):
            change = difference(0.02 * number, p_corrected=0.01) if number else None
            rows.append(replace(probe(name, change, parts=parts, ci95=(0.46, 0.54)), task=task))
    return rows


def tabular(text: str) -> list[str]:
    """Returns the lines of the first table between its first and last rule."""
    return text[text.index(r"\toprule") : text.index(r"\end{tabular}")].splitlines()


def test_a_table_names_its_package_its_label_and_the_full_names() -> None:
    text = to_latex([six_runs()])
    head = text.splitlines()
    assert r"Needs in the preamble: \usepackage{booktabs}" in head[0] and "(345 pt)" in head[1]
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 1
    assert r"\label{tab:scenes-circular-micro}" in text and ", n = 600 questions)" in text
    lines = tabular(text)
    assert [
        line.partition(" & ")[0].removeprefix(r"\raggedright ").replace(r"\allowbreak{}", "")
        for line in lines[3:9]
    ] == SHORT
    assert "Rotation: PKU-ML/SSL4RL-MMBench-Rotation-3B;" in text.replace(r"\allowbreak{}", "")
    narrow = to_latex([six_runs()], narrow=True)
    assert r"\begin{table}" in narrow and "table*" not in narrow and "(219 pt)" in narrow


def test_differences_have_arrows_and_numbers_a_true_minus() -> None:
    text = to_latex([], probes())
    assert r"+2.00\rlap{$^{\uparrow}$}" in text and r"\smallprint{[$-$2.00, +6.00]}" in text
    assert not re.search(r"(?<![\w[-])-\d", text)


def test_bold_stands_only_where_a_row_is_beaten_and_is_explained() -> None:
    text = to_latex([six_runs(best=(1, 2))])
    bold = [line for line in tabular(text) if r"\textbf" in line]
    assert [line.partition(" & ")[0] for line in bold] == ["Rotation", "Jigsaw"] or len(bold) == 2
    assert "Bold: no row of the column is better beyond chance, where some row is beaten" in text
    assert r"\textbf" not in to_latex([six_runs(best=range(6))])
    assert r"\textbf" not in to_latex([six_runs(best=())])


def test_intervals_are_small_print_below_their_value() -> None:
    lines = tabular(to_latex([six_runs()], intervals=True))
    number = next(index for index, line in enumerate(lines) if line.startswith("Rotation"))
    assert lines[number].endswith(r"\\[-2pt]")
    assert lines[number + 1].count(r"\smallprint{[46.00, 54.00]}") == lines[number].count("&")
    assert r"\smallprint{[" not in to_latex([six_runs()])


def test_n_is_a_column_only_where_it_differs() -> None:
    made = six_runs()
    last = made.rows[2].cells[-1]
    fewer = replace(made.rows[2], cells=(*made.rows[2].cells[:-1], replace(last, n=599)))
    text = to_latex([replace(made, rows=(*made.rows[:2], fewer, *made.rows[3:]))])
    assert "n = 600" not in text and re.search(r"Jigsaw & .* & 599 & 1.00 \\\\", text.replace("\n", " "))


def test_published_rows_are_italic_below_a_rule_and_keep_their_names() -> None:
    made = six_runs()
    nothing = BoardCell(0.5, None, None, None)
    label = "PKU-ML/SSL4RL-MMBench-Rotation-3B (published)"
    row = replace(made.rows[1], label=label, kind="published", cells=(nothing,) * 7)
    lines = tabular(to_latex([replace(made, rows=(*made.rows, row))]))
    number = next(index for index, line in enumerate(lines) if "published" in line)
    assert (
        lines[number - 1] == r"\midrule" and r"\textit{" in lines[number] and lines[number].endswith(r"-- \\")
    )


@pytest.mark.slow
def test_labels_of_several_tables_differ() -> None:
    boards, overview = several()
    text = to_latex([*boards, boards[0]], probes(), overview=overview)
    labels = re.findall(r"\\label\{(.*)\}", text)
    assert len(set(labels)) == len(labels) == 9
    assert labels[0] == "tab:benchmarks" and labels[-1] == "tab:ssl-probes"
    assert "tab:mmbench-dev-en-circular-micro-2" in labels


def test_an_overview_has_values_and_with_intervals_differences() -> None:
    _, overview = several()
    plain, detailed = to_latex([], overview=overview), to_latex([], overview=overview, intervals=True)
    for word in ("difference}", "its interval}", "p corrected}"):
        assert word not in plain and detailed.count(word) >= 6
    assert "Least difference detected with 80" in plain and r"\smallprint{n}" in plain


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("intervals", [False, True])
def test_rows_fit_their_columns_and_only_ascii_is_written(intervals: bool, narrow: bool) -> None:
    boards, overview = several()
    text = to_latex([six_runs(), *boards], probes(), intervals, overview, narrow)
    assert text.isascii() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    body = re.sub(r"(?m)^%.*$", "", text)
    assert not re.search(r"(?<!\\)%", body)
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    for sides, rows in TABULAR.findall(text):
        lines = [row for row in rows.splitlines() if row.endswith((r"\\", "pt]")) and "&" in row]
        assert max(len(re.findall(r"(?<!\\)&", line)) for line in lines) == len(sides)
    assert "% U+4F60: CJK UNIFIED IDEOGRAPH-4F60;" in text and r"\texttt{[U+4F60 U+597D]}" in text


def test_many_columns_continue_in_blocks_below() -> None:
    headers = tuple(f"ability {number}" for number in range(20))
    rows = tuple(TexRow(f"model {number}", (TexCell("50.00"),) * 20) for number in range(3))
    text = format_table(TexTable("A caption.", "tab:x", headers, rows))
    assert text.count(r"\scriptsize Model &") == text.count(r"\toprule") > 1
    assert all(text.count(rf"\\{number}" "}") == 1 for number in range(10, 20))
    assert text.count("model 2 &") == text.count(r"\toprule")


def test_headers_break_after_blanks_hyphens_and_underscores() -> None:
    assert header_lines("Cross-Inst.") == ["Cross-", "Inst."]
    assert header_lines("mathverse_mini_vision") == ["mathverse_", "mini_", "vision"]
    assert header_lines("Average") == ["Average"]


def test_nothing_is_an_empty_text() -> None:
    assert to_latex([]) == ""


DOCUMENT = r"""\documentclass[%s]{article}
\usepackage{booktabs}
\setlength{\textwidth}{%s}\setlength{\columnwidth}{%s}
\begin{document}
%s
\end{document}
"""


def log_of(folder: Path, text: str, *sizes: str) -> str:
    """Compiles a document with a text and returns what pdflatex prints."""
    text = re.sub(r"(\\end\{table\*?\})", r"\1\\clearpage", text)
    (folder / "paper.tex").write_text(DOCUMENT % (*sizes, text), "ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex (texlive-latex-recommended) is missing"
)
@pytest.mark.parametrize("intervals", [False, True])
def test_pdflatex_sets_every_table_in_its_width(intervals: bool, tmp_path: Path) -> None:
    boards, overview = several()
    tables: Any = ([six_runs(), *boards[:2]], probes(), intervals, overview)
    columns = ("twocolumn", "448pt", "219pt")
    for narrow, sizes in ((False, ("", "345pt", "345pt")), (True, columns), (False, columns)):
        log = log_of(tmp_path, to_latex(*tables, narrow=narrow), *sizes)
        assert "Overfull \\hbox" not in log and "undefined" not in log.lower()
        assert (tmp_path / "paper.pdf").stat().st_size > 10_000
