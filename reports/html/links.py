"""Links from the numbers of a page to their questions in its sample browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlencode

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.board.board import Board, BoardCell, BoardRow
from ssl4rl_bench.reports.board.columns import Column
from ssl4rl_bench.reports.html.samples import Samples
from ssl4rl_bench.reports.text.cells import short
from ssl4rl_bench.score.aggregate import OVERALL

_SHOWN = {"worse": ("lost", "lost"), "better": ("gained", "gained"), "": ("flipped", "changed")}
"""What is shown of a cell with this mark, as the sample browser names it and in words."""


@dataclass(frozen=True, slots=True)
class QuestionsLink:
    """A link to the questions behind a number."""

    href: str
    label: str
    """What it leads to, for readers who do not see where it stands: "questions of Logical that new lost"."""


def questions_link(
    task: str, baseline: str, run: str, show: str, column: Column | None = None, count: str = ""
) -> str:
    """Returns the fragment that opens the sample browser on the questions behind a number.

    Args:
        task: the short name of the task.
        baseline: the baseline's label.
        run: the run's label; empty for the baseline's own numbers.
        show: a choice of the browser, such as "lost".
        column: the category; None or the average for all questions.
        count: the aggregation that says when a question is right; by default the one that the task publishes.
    """
    keys = {"task": task, "a": baseline, **({"b": run} if run else {}), "show": show}
    if column is not None and column.level != OVERALL:
        keys |= {"level": column.level, "category": column.name}
    if count:
        keys["count"] = count
    return f"#{urlencode(keys)}"


@dataclass(frozen=True, slots=True)
class LinkedSamples:
    """The tasks and runs whose questions a page has."""

    known: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    """Pairs of a task's short name and a run's label."""

    @classmethod
    def of(cls, samples: Samples | None) -> LinkedSamples:
        """Collects the tasks and runs of a page's sample browser."""
        if samples is None:
            return cls()
        runs = samples.index["runs"]
        return cls(
            frozenset(
                (task["name"], run)
                for task in samples.index["tasks"]
                for run, has_replies in zip(runs, task["runs"], strict=True)
                if has_replies
            )
        )

    def link(self, board: Board, row: BoardRow, column: Column, cell: BoardCell) -> QuestionsLink | None:
        """Returns the link of a cell; None without its questions, and for a run that was not compared."""
        task, baseline, run = short(board.task), clean(board.baseline), clean(row.label)
        if not {(task, baseline), (task, run)} <= self.known:
            return None
        what = "questions" if column.level == OVERALL else f"questions of {column.header}"
        if row.kind == "baseline":
            href = questions_link(task, baseline, "", "a-wrong", column, board.aggregation)
            return QuestionsLink(href, f"{what} that {run} has wrong")
        if cell.difference is None:
            return None
        show, verb = _SHOWN[cell.mark]
        href = questions_link(task, baseline, run, show, column, board.aggregation)
        return QuestionsLink(href, f"{what} that {run} {verb}")
