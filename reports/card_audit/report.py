"""Prints the audit of a card on a terminal (with the card's untrusted texts cleaned) and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.card_audit.audit import TableAudit, unread_note
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.reports.text.numbers import NO_DATA

SCHEMA = 1
"""The version of the JSON format."""
_LONG = 400


def audit_lines(audits: Sequence[TableAudit], unread: Mapping[str, int]) -> Iterator[str | Table]:
    """Yields what to print: each table with its notes and findings, then the unread tables and the totals."""
    for audit in audits:
        table = audit.table
        size = f"{len(table.labels)} rows, {len(table.headers)} columns, line {table.line}"
        title = clean(table.title) or "a table without a title"
        yield f"{title} ({size}): {audit.n_checked} derived cells recomputed"
        for note in audit.notes:
            yield f"  {clean(note, _LONG)}"
        if audit.findings:
            yield _findings(audit)
            for finding in audit.findings:
                yield f"finding: {clean(finding.sentence, _LONG)}"
        yield ""
    n = sum(len(audit.findings) for audit in audits)
    checked = sum(audit.n_checked for audit in audits)
    for kind, number in unread.items():
        yield f"not checked: {unread_note(kind, number)}"
    left = sum(unread.values())
    more = f"; tables not checked: {left}" if left else ""
    yield f"findings: {n}; derived cells recomputed: {checked}; tables: {len(audits)}{more}"


def audit_json(audits: Sequence[TableAudit], file: str, unread: Mapping[str, int]) -> dict[str, Any]:
    """Returns the same content as JSON values; texts are as in the card."""
    return {
        "schema": SCHEMA,
        "file": file,
        "n_findings": sum(len(audit.findings) for audit in audits),
        "n_not_checked": sum(unread.values()),
        "not_checked": dict(unread),
        "tables": [
            {
                "title": audit.table.title,
                "line": audit.table.line,
                "rows": list(audit.table.labels),
                "columns": list(audit.table.headers),
                "n_checked": audit.n_checked,
                "notes": list(audit.notes),
                "findings": [asdict(finding) for finding in audit.findings],
            }
            for audit in audits
        ],
    }


def _findings(audit: TableAudit) -> Table:
    table = plain_table("", ("Row", "Column", "Printed", "Should be"), "llr")
    for finding in audit.findings:
        row, column = finding.row or "all rows", finding.column or "all columns"
        texts = (row, column, finding.printed, finding.expected or NO_DATA)
        table.add_row(*(Text(clean(text)) for text in texts))
    return table
