"""`ssl4rl-bench doctor`: shows what is installed, what is missing, and which engines can run."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from ssl4rl_bench.run.doctor import EngineState, Finding

_MARKS = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "missing": ("-", ""),
    "problem": ("problem", "red"),
}


def doctor(
    runs: Annotated[Path, Option(help="Where runs would go; its disk is looked at.")] = Path("runs"),
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what is installed, what is missing with the command that adds it, and which engines can run.

    Exits with 1 if no engine that asks a model can run.
    """
    from ssl4rl_bench.core.errors import EngineError
    from ssl4rl_bench.run.doctor import check, engine_states
    from ssl4rl_bench.run.machine import take_inventory

    inventory = take_inventory(runs)
    findings, states = check(inventory), engine_states(inventory)
    works = any(state.works for state in states)
    if as_json:
        document = {
            "ok": works,
            "engines": [dataclasses.asdict(state) for state in states],
            "findings": [dataclasses.asdict(finding) for finding in findings],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        from rich.text import Text

        from ssl4rl_bench.cli.common import console as make_console
        from ssl4rl_bench.reports.text.fitting import FittingTable

        console = make_console()
        headers = ("", "what", "found", "for, or what is wrong")
        table = FittingTable(*headers, n_keys=2, box=None, pad_edge=False)
        for finding in findings:
            table.add_row(Text(*_MARKS[finding.level]), finding.name, finding.found, finding.note)
        console.print(table)
        console.print()
        engines = FittingTable("engine", "runs", "", n_keys=1, box=None, pad_edge=False)
        for state in states:
            engines.add_row(state.name, Text("yes", "green") if state.works else "no", state.note)
        console.print(engines)
        console.print()
        for line in _fixes([*findings, *states], console.width):
            console.print(line, soft_wrap=True)
    if not works:
        raise EngineError(f"no engine can run; the shortest way to one: {states[1].fix}")


def _fixes(rows: Iterable[Finding | EngineState], most: int) -> list[str]:
    """Lists each fixing command once, with the items that it fixes, aligned if lines of `most` columns allow it."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.fix and row.name not in names.setdefault(row.fix, []):
            names[row.fix].append(row.name)
    width = max((len(fix) for fix in names), default=0)
    lines = [f"{fix:<{width}}  # {', '.join(what)}" for fix, what in names.items()]
    if max(map(len, lines), default=0) <= most:
        return lines
    return [f"{fix}  # {', '.join(what)}" for fix, what in names.items()]
