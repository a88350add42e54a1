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
    from ssl4rl_bench.run.doctor import Check, EngineState

_MARKS = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "missing": ("-", ""),
    "problem": ("problem", "red"),
}


def doctor(
    runs: Annotated[Path, Option(help="The folder for runs, whose disk is checked.")] = Path("runs"),
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what is installed, what is missing with the command that adds it, and which engines can run.

    Example:
      ssl4rl-bench doctor

    Exit codes: 0 an engine that asks a model can run; 4 none can.
    """
    from ssl4rl_bench.core.errors import EngineError
    from ssl4rl_bench.run.doctor import engine_states, run_checks
    from ssl4rl_bench.run.machine import take_inventory

    inventory = take_inventory(runs)
    checks, states = run_checks(inventory), engine_states(inventory)
    works = any(state.works for state in states)
    if as_json:
        document = {
            "ok": works,
            "engines": [dataclasses.asdict(state) for state in states],
            "findings": [_check_json(check) for check in checks],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        from rich.text import Text

        from ssl4rl_bench.cli.common import console
        from ssl4rl_bench.reports.text.fitting import FittingTable

        screen = console()
        headers = ("", "item", "found", "purpose or problem")
        table = FittingTable(*headers, n_keys=2, box=None, pad_edge=False)
        for check in checks:
            table.add_row(Text(*_MARKS[check.level]), check.name, check.value, check.note)
        screen.print(table)
        screen.print()
        engines = FittingTable("engine", "runs", "", n_keys=1, box=None, pad_edge=False)
        for state in states:
            engines.add_row(state.name, Text("yes", "green") if state.works else "no", state.note)
        screen.print(engines)
        screen.print()
        for line in _fixes([*checks, *states], screen.width):
            screen.print(line, soft_wrap=True)
    if not works:
        raise EngineError(f"no engine can run; to install one: {states[1].fix}")


def _check_json(check: Check) -> dict[str, str]:
    """Returns a check with the keys of the JSON output, where `value` is called "found"."""
    return {"found" if key == "value" else key: value for key, value in dataclasses.asdict(check).items()}


def _fixes(rows: Iterable[Check | EngineState], most: int) -> list[str]:
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
