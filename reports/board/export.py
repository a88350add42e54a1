"""Exports boards and tables of probes as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ssl4rl_bench import __version__
from ssl4rl_bench.comparison.corpus import MetricDifference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, difference_record
from ssl4rl_bench.reports.board.overview import Overview
from ssl4rl_bench.reports.board.overview_text import (
    OVERVIEW_CAPTION,
    column_lines,
    overview_markdown,
)
from ssl4rl_bench.reports.board.probes import (
    AGGREGATION,
    MARGIN_DIFFERENCE_HEADERS,
    PROBE_HEADERS,
    ProbeRow,
    margin_caption,
    probe_notes,
    shown_margins,
)
from ssl4rl_bench.reports.text.cells import escape, markdown_table, short
from ssl4rl_bench.reports.text.margins import MARGIN_HEADERS
from ssl4rl_bench.reports.text.numbers import MARKS, NO_DATA, interval, p_value, percent, points

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
NOTE = 600
"""The maximum length of a note, in characters."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet treat a cell as a formula."""


def to_markdown(
    boards: Sequence[Board],
    probes: Sequence[ProbeRow] = (),
    intervals: bool = False,
    overview: Overview | None = None,
) -> str:
    """Formats each board as a titled table (best in bold, marks after correction), and all probes as one.

    An overview comes first.
    """
    tables = [_overview_markdown(overview, intervals)] if overview else []
    tables += [_markdown(board, intervals) for board in boards]
    return "\n".join([*tables, *([_probes_markdown(probes)] if probes else [])])


def to_csv(boards: Sequence[Board], probes: Sequence[ProbeRow] = (), overview: Overview | None = None) -> str:
    """Writes one line per cell, with values as fractions.

    With an overview, its cells come first, and the column `table` tells them ("overview") from those of boards
    ("benchmark") and probes ("probes"): their p-values belong to different families.

    Text that a spreadsheet would treat as a formula is prefixed with an apostrophe.
    """
    import pandas as pd  # here, as the other formats do not need it

    frames = [("benchmark", board.frame()) for board in boards]
    frames += [("probes", probe_frame(probes))] if probes else []
    if overview:
        frames.insert(0, ("overview", overview.frame()))
        for name, part in frames:
            part.insert(0, "table", name)
    frame = pd.concat([part for _, part in frames], ignore_index=True)
    for name in frame.columns.intersection(["n", "rank", "gained", "lost", "left_out", "family"]):
        frame[name] = frame[name].astype("Int64")
    for name in frame.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]]:
        frame[name] = frame[name].map(_safe)
    return str(frame.to_csv(index=False, lineterminator="\n"))


def to_json(
    boards: Sequence[Board],
    probes: Sequence[ProbeRow] = (),
    overview: Overview | None = None,
    metrics: Sequence[MetricDifference] = (),
) -> str:
    """Writes everything that the overview and the boards hold, as fractions.

    Args:
        metrics: differences in metrics of the whole corpus; without any, there is no key "metrics".
    """
    value = {
        "schema": SCHEMA,
        "version": __version__,
        "overview": overview.to_json() if overview else None,
        "boards": [_object(board) for board in boards],
        "probes": [asdict(row) for row in probes],
        **({"metrics": [asdict(one) for one in metrics]} if metrics else {}),
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def probe_frame(probes: Sequence[ProbeRow]) -> pd.DataFrame:
    """Returns one record per probe and run, with the columns of `Board.frame` and those of probes."""
    import pandas as pd

    records = []
    for row in probes:
        low, high = row.ci95 or (None, None)
        records.append(
            {
                "task": row.task,
                "aggregation": AGGREGATION,
                "model": row.label,
                "kind": "baseline" if row.is_baseline else "checkpoint",
                "engine": row.engine or None,
                "column": "Accuracy",
                "category": row.difficulty,
                "value": row.accuracy,
                "low": low,
                "high": high,
                "n": row.n,
                "unread": row.unread,
                **difference_record(row.difference),
                "mark": row.difference.mark if row.difference else "",
                "notes": " ".join(row.notes) or None,
                "chance": row.chance,
                "chance_corrected": row.chance_corrected,
                **row.parts,
                **_margin_record(row),
            }
        )
    return pd.DataFrame(records)


def _margin_record(row: ProbeRow) -> dict[str, Any]:
    """Returns the columns of a probe's margin and its difference, in nats."""
    margin, difference = row.margin, row.margin_difference
    low, high = margin.ci95 or (None, None)
    from_low, to_high = (difference.ci95 if difference else None) or (None, None)
    return {
        "margin": margin.value,
        "margin_low": low,
        "margin_high": high,
        "margin_p": margin.p,
        "margin_n": margin.n,
        "margin_form": clean(margin.form) or None,
        "margin_difference": difference.value if difference else None,
        "margin_difference_low": from_low,
        "margin_difference_high": to_high,
        "margin_p_corrected": difference.p_corrected if difference else None,
    }


def _markdown(board: Board, intervals: bool) -> str:
    headers = ["Model", *(escape(clean(column.header)) for column in board.columns), "n", "Unread %"]
    lines = []
    for row in board.rows:
        name = escape(clean(row.label))
        cells = []
        for cell in row.cells:
            text = percent(cell.value) + MARKS[cell.mark]
            text = f"**{text}**" if cell.best else text
            cells.append(text + (f" {interval(cell.ci95)}" if intervals and cell.ci95 else ""))
        last = row.cells[-1]
        n = NO_DATA if last.n is None else str(last.n)
        lines.append([f"*{name}*" if row.kind == "published" else name, *cells, n, percent(last.unread)])
    if any(board.improvement):
        gains = [points(best.value) if best else NO_DATA for best in board.improvement]
        winners = [
            f"{escape(clean(best.candidate))}, p {p_value(best.p)}" if best else NO_DATA
            for best in board.improvement
        ]
        lines += [["Maximal Improvement", *gains, "", ""], ["of, p (max-T)", *winners, "", ""]]
    table = markdown_table(headers, lines)
    return f"**{escape(clean(_title(board)))}**\n\n{table}\n{_caption(board)}\n{_markdown_notes(board.notes)}"


def _markdown_notes(notes: Sequence[str]) -> str:
    return "".join(["\n", *(f"- {escape(clean(note, NOTE))}\n" for note in notes)]) if notes else ""


def _overview_markdown(overview: Overview, intervals: bool) -> str:
    notes = _markdown_notes([*column_lines(overview), *overview.notes])
    return f"{overview_markdown(overview, intervals)}\n{escape(OVERVIEW_CAPTION)}\n{notes}"


def _probes_markdown(probes: Sequence[ProbeRow]) -> str:
    n_margin, n_change = shown_margins(probes)
    margins = (*MARGIN_HEADERS[:n_margin], *MARGIN_DIFFERENCE_HEADERS[:n_change])
    rows = (
        [
            *(escape(short(row.task)), escape(clean(row.label)), *_probe_cells(row)),
            *row.margin.cells()[:n_margin],
            *row.margin_difference_cells()[:n_change],
        ]
        for row in probes
    )
    headers = ["Probe", "Model", *PROBE_HEADERS, "Difference", "p corrected", *margins]
    caption = "".join(f"\n{line}\n" for line in margin_caption(probes))
    return markdown_table(headers, rows, "llr") + caption + _markdown_notes(probe_notes(probes))


def _probe_cells(row: ProbeRow) -> list[str]:
    difference = row.difference
    return [
        *row.cells(),
        f"{points(difference.value)}{MARKS[difference.mark]} {interval(difference.ci95, signed=True)}"
        if difference
        else "",
        p_value(difference.p_corrected) if difference else "",
    ]


def _title(board: Board) -> str:
    return f"{short(board.task)}, {board.aggregation}, against {clean(board.baseline)}"


def _caption(board: Board) -> str:
    average = next((row.cells[-1].difference for row in board.rows if row.cells[-1].difference), None)
    mde = (
        f" Differences of the Average below {percent(average.mde)} points would rarely be found."
        if average
        else ""
    )
    return (
        f"Percent. Marks: better or worse than the baseline beyond chance (p < 0.05, {board.correction} over all "
        f"cells of a level). Bold: no row is better beyond chance.{mde}"
    )


def _object(board: Board) -> dict[str, Any]:
    frame = board.frame().astype(object)  # object columns can hold None instead of NaN, which JSON lacks
    return {
        "task": board.task,
        "aggregation": board.aggregation,
        "correction": board.correction,
        "baseline": board.baseline,
        "notes": list(board.notes),
        "cells": frame.where(frame.notna(), None).to_dict("records"),
        "maximal_improvement": [asdict(best) if best else None for best in board.improvement],
        "comparisons": [
            {
                "candidate": comparison.candidate,
                "notes": list(comparison.notes),
                "cells": [
                    asdict(cell)
                    | {"mark": cell.mark, "left_out": (out := comparison.left_out_of(cell)) and asdict(out)}
                    for cell in comparison.cells
                ],
            }
            for comparison in board.comparisons
        ],
    }


def _safe(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = clean(value, 4 * NOTE)
    return f"'{text}" if text.startswith(_FORMULA) or value.startswith(_FORMULA) else text
