"""Boards, differences and results of gates, made by hand for tests of the words and numbers in reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ssl4rl_bench.comparison.result import Difference, Share
from ssl4rl_bench.gating import judge
from ssl4rl_bench.gating.policy import Rule
from ssl4rl_bench.reports.board.board import Board, BoardCell, BoardRow
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.board.probes import ProbeRow

TASK = "ssl4rl_scenes"
NOT_SHOWN: dict[str, Any] = {"value": 0.02, "p": 0.3, "p_corrected": 0.6}


def difference(value: float = 0.1234, **changes: Any) -> Difference:
    """Returns a difference that is significant, with made-up statistics."""
    plain = Difference(
        level="overall",
        name="overall",
        n=600,
        baseline=0.5,
        candidate=0.5 + value,
        value=value,
        se=0.02,
        ci95=(value - 0.04, value + 0.04),
        p=0.0004,
        p_corrected=0.0008,
        family=1,
        mde=0.0567,
        needed=400,
        binary=True,
        gained=100,
        lost=26,
        counts=None,
        right=None,
        from_reading=Share(0.0, None),
        from_answers=Share(value, None),
    )
    return replace(plain, **changes)


def board(*rows: tuple[str, dict[str, Difference]], **changes: Any) -> Board:
    """Returns a board of a baseline and of candidates with the differences in columns by header."""
    own = BoardCell(0.5, 600, (0.46, 0.54), 0.01)
    made = [BoardRow("base", "baseline", None, (own,) * len(COLUMNS))]
    for label, cells in rows:
        found = (
            replace(own, difference=each and replace(each, level=column.level, name=column.name))
            for column in COLUMNS
            for each in [cells.get(column.header)]
        )
        made.append(BoardRow(label, "checkpoint", None, tuple(found)))
    plain = Board(TASK, "circular_micro", "holm", COLUMNS, tuple(made), (), (), ())
    return replace(plain, **changes)


def probe(label: str, found: Difference | None = None, **changes: Any) -> ProbeRow:
    plain = ProbeRow(
        "ssl4rl_ssl_rotation_90", "rotation", "step 90", label, found is None, 600, 0.5, (0.46, 0.54), 0.25, 0.33,
        {}, 0.0, found,
    )  # fmt: skip
    return replace(plain, **changes)


def rule_result(rule: Rule, verdict: Any = "pass", **changes: Any) -> judge.Tested:
    found = difference(**changes.pop("difference", {}))
    plain = judge.Tested(rule, "overall", found, 0.4, -0.0123, 0.95, 0.0456, verdict, None, 0.03)
    return replace(plain, **changes)
