"""Shows an explanation (`comparison.explaining`) as tables for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ssl4rl_bench.comparison.explaining.explanation import Cause, Effect, Explanation, Gap
from ssl4rl_bench.comparison.explaining.kinds import KINDS
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean, one_line
from ssl4rl_bench.reports.board.columns import AVERAGE_COLUMN
from ssl4rl_bench.reports.board.text import category
from ssl4rl_bench.reports.text.cells import escape, markdown_table, plain_table
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, percent, points
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS

SCHEMA = 1
"""The schema version of the JSON output."""
LEGEND = (
    "computed: shown by re-scoring the replies. differs: a difference that can change replies; its effect needs "
    "another run. The source does not state how it was scored: reproduced: re-scoring in this way gives all its "
    "numbers to the last digit. possible: it comes within chance of them, or closes at least half of the gap."
)
_MARKS = {True: "differs", False: "", None: "?"}
_NUMBERS = ("", "Run", "Against", "Gap", "95%\ninterval")
_CAUSES = ("#", "Cause", "Known\nas", "Alone\nmoves", "95%\ninterval", "n", "Gap\nafter", "95%\nafter")
_EFFECTS = ("Effect", "Run", "Against", "Gap", "95%\ninterval", "n", "Change")
_SETTINGS = ("Setting", "Run", "Against", "")
_NARROWING = Narrowing(drop=("n", "95% interval"))
_LIMIT = 500
"""The maximum number of characters of a sentence or a command."""


def title(explanation: Explanation) -> str:
    """Returns the title of the output."""
    how = explanation.aggregation
    if explanation.against_aggregation not in (None, how):
        how = f"{how} against {explanation.against_aggregation}"
    return (
        f"{clean(explanation.run)} against {clean(explanation.against)} · {clean(short_name(explanation.task))} · "
        f"{how}"
    )


def explanation_tables(explanation: Explanation) -> Iterator[Table]:
    """Yields the tables: numbers, causes, effects that do not narrow the gap, settings."""
    yield _table(title(explanation), _NUMBERS, number_rows(explanation))
    if explanation.causes:
        yield _table("Causes, the first one first", _CAUSES, cause_rows(explanation), "lllr")
    if rows := effect_rows(explanation):
        yield _table("Computed, and not narrowing the gap", _EFFECTS, rows)
    yield _table("Settings", _SETTINGS, setting_rows(explanation), "l")


def _table(name: str, headers: Sequence[str], rows: Sequence[Sequence[str]], sides: str = "lr") -> Table:
    table = plain_table(name, headers, sides, n_keys=2 if headers is _CAUSES else 1, narrowing=_NARROWING)
    for row in rows:
        table.add_row(*row)
    return table


def number_rows(explanation: Explanation) -> list[tuple[str, ...]]:
    """Returns the rows of the numbers: by ability, and the average."""
    rows: list[tuple[str, ...]] = []
    order = {ability: index for index, (_, ability) in enumerate(CARD_COLUMNS)}
    for column in sorted(explanation.columns, key=lambda column: order.get(column.name, len(order))):
        one, other = column.run, column.against
        difference = NO_DATA if one is None or other is None else points(one - other)
        rows.append((category(column.name), percent(one), percent(other), difference, ""))
    return [*rows, (AVERAGE_COLUMN.header, *_numbers(explanation.gap))]


def _numbers(gap: Gap) -> tuple[str, str, str, str]:
    return (
        percent(gap.run.value),
        percent(gap.against.value),
        points(gap.value),
        interval(gap.ci95, signed=True),
    )


def cause_rows(explanation: Explanation) -> list[tuple[str, ...]]:
    """Returns the rows of the causes, with the gap after each and those before it."""
    rows: list[tuple[str, ...]] = []
    for number, cause in enumerate(explanation.causes, start=1):
        effect, after = cause.effect, cause.remaining
        rows.append(
            (
                str(number),
                cause.kind,
                cause.standing,
                NO_DATA if effect is None else points(effect.change),
                NO_DATA if effect is None else interval(effect.change_ci95, signed=True),
                NO_DATA if effect is None else str(effect.gap.run.n),
                NO_DATA if after is None else points(after.value),
                NO_DATA if after is None else interval(after.ci95, signed=True),
            )
        )
    return rows


def effect_rows(explanation: Explanation) -> list[tuple[str, ...]]:
    """Returns the rows of computed effects that belong to no cause."""
    of_causes = [cause.effect for cause in explanation.causes]
    return [
        (effect.kind, *_numbers(effect.gap), str(effect.gap.run.n), points(effect.change))
        for effect in explanation.effects
        if effect not in of_causes
    ]


def setting_rows(explanation: Explanation) -> list[tuple[str, ...]]:
    """Returns the rows of the settings; "differs", or "?" where a side does not say."""
    return [
        (clean(line.name), clean(line.run), clean(line.against), _MARKS[line.differs])
        for line in explanation.settings
    ]


def advice_lines(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Yields a sentence and a command for each cause, then for each trial."""
    for number, cause in enumerate(explanation.causes, start=1):
        what = f"{cause.kind} ({KINDS[cause.kind]}): {clean(cause.what, _LIMIT)}"
        yield f"{number}. {what}. {clean(cause.advice, _LIMIT)}", one_line(cause.command)
    for trial in explanation.trials:
        yield f"To try, {trial.kind}: {clean(trial.advice, _LIMIT)}", one_line(trial.command)


def closing_lines(explanation: Explanation) -> Iterator[str]:
    """Yields the notes, and how many readings were tried."""
    if explanation.n_tried > 1:
        near = (
            f"{explanation.n_near} of them came within chance, which does not show that the source used one of them"
            if explanation.n_near
            else "none came within chance"
        )
        tried = (
            f"{explanation.n_tried} ways of scoring the same replies were compared with the published numbers"
        )
        yield f"{tried}; {near}."
    yield from (clean(note, _LIMIT) for note in explanation.notes)


def explanation_markdown(explanation: Explanation) -> str:
    """Returns the explanation as Markdown."""
    parts = [f"## {escape(title(explanation))}\n\n{escape(clean(explanation.verdict, 2 * _LIMIT))}\n"]
    parts.append(_markdown(_NUMBERS, number_rows(explanation)))
    if explanation.causes:
        parts.append(_markdown(_CAUSES, cause_rows(explanation), "rllr"))
    parts += [f"{escape(text)}\n\n```sh\n{command}\n```\n" for text, command in advice_lines(explanation)]
    if rows := effect_rows(explanation):
        parts.append(_markdown(_EFFECTS, rows))
    parts.append(_markdown(_SETTINGS, setting_rows(explanation), "l"))
    if lines := [f"- {escape(line)}\n" for line in closing_lines(explanation)]:
        parts.append("".join(lines))
    return "\n".join(parts)


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], sides: str = "lr") -> str:
    names = [header.replace("\n", " ") for header in headers]
    return markdown_table(names, [[escape(cell) for cell in row] for row in rows], sides)


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Returns the explanation as JSON values; numbers are fractions."""
    return {
        "schema": SCHEMA,
        "task": explanation.task,
        "run": explanation.run,
        "against": explanation.against,
        "aggregation": explanation.aggregation,
        "against_aggregation": explanation.against_aggregation,
        "verdict": explanation.verdict,
        "gap": _gap_json(explanation.gap),
        "causes": [_cause_json(cause) for cause in explanation.causes],
        "remaining": _gap_json(explanation.remaining),
        "effects": [_effect_json(effect) for effect in explanation.effects],
        "settings": [asdict(line) for line in explanation.settings],
        "abilities": [asdict(column) for column in explanation.columns],
        "trials": [asdict(trial) for trial in explanation.trials],
        "n_tried": explanation.n_tried,
        "n_near": explanation.n_near,
        "notes": list(explanation.notes),
    }


def _gap_json(gap: Gap) -> dict[str, Any]:
    return {
        "run": asdict(gap.run),
        "against": asdict(gap.against),
        "value": gap.value,
        "ci95": gap.ci95,
        "within_chance": gap.within_chance,
    }


def _effect_json(effect: Effect) -> dict[str, Any]:
    return {
        "kind": effect.kind,
        "what": effect.what,
        "change": effect.change,
        "change_ci95": effect.change_ci95,
        "gap": _gap_json(effect.gap),
    }


def _cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.kind,
        "standing": cause.standing,
        "what": cause.what,
        "effect": None if cause.effect is None else _effect_json(cause.effect),
        "remaining": None if cause.remaining is None else _gap_json(cause.remaining),
        "advice": cause.advice,
        "command": cause.command,
    }
