"""Renders the page as text and writes it to disk."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ssl4rl_bench.core.atomic import write_text
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board
from ssl4rl_bench.reports.board.overview import Overview
from ssl4rl_bench.reports.board.overview_text import column_lines
from ssl4rl_bench.reports.board.probes import probe_notes
from ssl4rl_bench.reports.html import figures
from ssl4rl_bench.reports.html.answer import board_answer, column_answers, overview_answer
from ssl4rl_bench.reports.html.links import LinkedSamples
from ssl4rl_bench.reports.html.report import ReportContent
from ssl4rl_bench.reports.html.table import Table, best_first, excludes_zero, table
from ssl4rl_bench.reports.html.verdict import probe_verdict
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.reports.text.naming import CORRECTIONS, aggregation_name, unit_name
from ssl4rl_bench.reports.text.numbers import MARKS, interval, p_value, percent, points
from ssl4rl_bench.score.aggregate import AGGREGATIONS
from ssl4rl_bench.score.headline import GroupKind, distinct_aggregations

MOST_RADARS = 12
"""The maximum number of radar charts; the bars show all runs."""
SEARCH_FROM = 7
"""The number of runs from which the page has a search field."""
_HOME = files("ssl4rl_bench.reports")


def write(report: ReportContent, path: Path) -> None:
    """Renders the report and replaces `path` atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    write_text(path, render_page(report))


def render_page(report: ReportContent) -> str:
    """Renders the page. All text is escaped; its policy allows only its own style sheet and script."""
    style = "".join(map(_static, ("page.css", "samples.css", "views.css")))
    script = "".join(map(_static, ("tables.js", "sample_data.js", "sample_card.js", "samples.js")))
    policy = (
        f"default-src 'none'; script-src 'sha256-{_hash(script)}'; style-src 'sha256-{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    samples = LinkedSamples.of(report.samples)
    probes = (*report.probes, *report.other_probes)
    # Probes belong to runs, not to benchmarks, and are shown with the first one.
    groups = [
        [
            _shown(board, names, first, table(board, samples, () if index else probes, report.trained))
            for board, names, first in _distinct(boards)
        ]
        for index, boards in enumerate(report.boards)
    ]
    choices = _choices(report.boards, groups)
    kinds = {boards[0].kind for boards in report.boards}
    text: str = (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            title=clean(report.title, 200),
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            groups=groups,
            choices=choices,
            same_first=all(choices[0][0] in group[0]["names"] for group in groups),
            kinds=kinds,
            units_of_groups=_units(kinds),
            **_of_overview(report.overview),
            probe_words=None if groups else probe_verdict(report.probes),
            names={clean(short): clean(full) for short, full in report.full_names.items()},
            partial_labels={clean(run.label) for run in report.runs if run.partial},
            board_notes=_board_notes([boards[0] for boards in report.boards]),
            probe_notes=probe_notes(report.probes),
            probe_names=list(dict.fromkeys(row.task for row in report.probes)),
            search_from=SEARCH_FROM,
            corrections=CORRECTIONS,
            correction=report.boards[0][0].correction if report.boards else "holm",
        )
    )
    return text


def _of_overview(overview: Overview | None) -> dict[str, Any]:
    """Returns what the template shows of the table of all benchmarks."""
    if overview is None:
        return {}
    cells = [cell for row in overview.rows for cell in row.cells if cell]
    return {
        "overview_columns": column_lines(overview),
        "overview_answer": overview_answer(overview),
        "overview_undecided": any(excludes_zero(cell.difference) for cell in cells),
        "column_answers": column_answers(overview),
    }


def _board_notes(boards: Sequence[Board]) -> list[str]:
    """Returns the distinct notes of boards; a note that does not apply to every benchmark names its benchmarks."""
    out = []
    for note in dict.fromkeys(note for board in boards for note in board.notes):
        tasks = [short(board.task) for board in boards if note in board.notes]
        out.append(note if len(tasks) == len(boards) else f"{', '.join(tasks)}: {note}")
    return out


def _choices(
    boards: Sequence[Sequence[Board]], groups: Sequence[Sequence[dict[str, Any]]]
) -> list[tuple[str, str]]:
    """Returns the aggregations to choose from, each with the words of its button, which differ."""
    present = {same[0].kind for same in boards}
    kind: GroupKind = "copies" if "copies" in present else "rows" if "rows" in present else "single"
    names = dict.fromkeys(shown["board"].aggregation for shown in chain.from_iterable(groups))
    words = {aggregation_name(name, kind): name for name in reversed(names)}
    return [(name, text) for text, name in reversed(words.items())]


def _distinct(boards: Sequence[Board]) -> list[tuple[Board, list[str], bool]]:
    """Returns the boards of a benchmark that differ, each with its aggregations, and whether it is the first."""
    kind = boards[0].kind
    distinct = distinct_aggregations((board.aggregation for board in boards), kind)
    out: list[tuple[Board, list[str], bool]] = []
    for board in boards:
        if board.aggregation not in distinct:
            continue
        same = [
            other
            for other in AGGREGATIONS
            if other != board.aggregation
            and len(distinct_aggregations((board.aggregation, other), kind)) == 1
        ]
        out.append((board, [board.aggregation, *same], not out))
    return out


def _shown(board: Board, names: Sequence[str], first: bool, arranged: Table) -> dict[str, Any]:
    """Returns a board and its figures under the names that the template uses.

    Args:
        names: the aggregations whose numbers the board shows.
        first: whether it is the board of its task that is visible when the page opens.
    """
    candidates = [row for row in board.rows if row.kind == "checkpoint"]
    radars = [
        (clean(row.label), drawn) for row in candidates[:MOST_RADARS] if (drawn := figures.radar(board, row))
    ]
    return {
        "board": board,
        "first": first,
        "names": list(names),
        "aggregation": aggregation_name(board.aggregation, board.kind),
        "task": short(board.task),
        "answer": board_answer(board),
        "table": arranged,
        "unit": unit_name(board.aggregation, board.kind),
        "bars": [figures.bars(best_first(board), column) for column in range(len(board.columns))],
        "radars": radars,
        "n_without_radar": max(0, len(candidates) - MOST_RADARS),
    }


def _units(kinds: Collection[GroupKind]) -> str:
    """Says what a group of the page's benchmarks and probes is."""
    words = {
        "copies": "one question with all its circular copies",
        "rows": "the rows that belong together, such as a pair",
        "single": "one question",
    }
    units = [text for kind, text in words.items() if kind in kinds or (kind == "copies" and not kinds)]
    return ", ".join([*units, "or one image of a probe"])


@cache
def _environment() -> Environment:
    """Returns the environment of the templates, which are compiled once per process (half of a page's time)."""
    made = Environment(
        loader=FunctionLoader(lambda name: _HOME.joinpath("templates", name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "clean": clean,
        "percent": percent,
        "points": lambda value: points(value).replace("-", "−"),
        "interval": interval,
        "ends": lambda ends: interval(ends, signed=True).replace("-", "−"),
        "p_value": p_value,
        "prose": _prose,
        "short": lambda name: short(name).removeprefix("ssl_"),
        "mark": lambda mark: MARKS[mark],
        "excludes_zero": excludes_zero,
    }
    made.tests["excludes_zero"] = excludes_zero
    return made


def _prose(text: object) -> str:
    """Formats text as one clean line, with minus signs before numbers and no line break inside "p = 0.01"."""
    text = clean(text, 4000)
    return re.sub(
        r"\b([pn]) ([=<]) (?=[\d,.]+)", "\\1\u00a0\\2\u00a0", re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    )


def _static(name: str) -> str:
    text = _HOME.joinpath("static", name).read_text("utf-8")
    assert "</" not in text, f"{name} would end its own element"
    return text


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
