"""Prints the tables of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.reports.result.metrics import has_metrics, metrics_table
from ssl4rl_bench.reports.result.probes import is_probe, other_convention, probe_table
from ssl4rl_bench.reports.result.tables import card_table, clean, leaf_table, reading_line
from ssl4rl_bench.reports.text.cells import dig, import_line, model_name
from ssl4rl_bench.reports.text.margins import margin_lines
from ssl4rl_bench.run.imported import Imported, imported_of
from ssl4rl_bench.score.headline import headline_of, is_corpus_only


def print_tables(
    results: Sequence[Mapping[str, Any]],
    tasks: Sequence[str],
    aggregation: str | None = None,
    leaves: bool = False,
) -> None:
    """Prints tables of results: the card's table of each benchmark, and one table of all probes.

    Without an aggregation, each benchmark has the one that it publishes. With `leaves`, benchmarks have one
    table per result with all categories instead. Lines about how the replies were read follow each table.
    """
    screen = console()
    probes = [name for name in tasks if is_probe(results, name)]
    for name in tasks:
        if name in probes:
            continue
        screen.print()
        how = aggregation or headline_of(results, name)
        if all(is_corpus_only(result["tasks"].get(name)) for result in results if name in result["tasks"]):
            pass  # its replies have no scores, so there are no aggregates
        elif leaves:
            for result in results:
                if name in result["tasks"]:
                    screen.print(leaf_table(result, name, how))
        else:
            screen.print(card_table(results, name, how))
        if has_metrics(results, name):
            screen.print(metrics_table(results, name))
        for line in _reading(results, name):
            screen.sentence(line)
    if probes:
        screen.print()
        screen.print(probe_table(results, probes))
        for name in probes:
            for line in _reading(results, name):
                screen.sentence(f"{short_name(name)}: {line}")
        for line in margin_lines(results, probes):
            screen.sentence(line, "dim")
    for result in results:
        if (source := import_line(_imported(result))) is not None:
            screen.sentence(f"note: {model_name(result)}: {source}", "yellow")
        for line in other_convention(result, probes):
            screen.sentence(f"note: {line}", "yellow")
        for reason in result["partial_reasons"]:
            screen.sentence(f"partial: {model_name(result)}: {clean(reason, 200)}")


def _reading(results: Sequence[Mapping[str, Any]], task: str) -> list[str]:
    """Describes how the replies of each result were read, one line per result, or one if all lines are equal."""
    lines = [
        (
            model_name(result),
            f"{reading_line(task_result)} (prompt {_prompt(result, task_result)}, "
            f"extractor {task_result['extractor']})",
        )
        for result in results
        if (task_result := result["tasks"].get(task)) is not None
    ]
    if len({line for _, line in lines}) == 1:
        return [lines[0][1] if len(lines) == 1 else f"each of {len(lines)} runs: {lines[0][1]}"]
    return [f"{name}: {line}" for name, line in lines]


def _imported(result: Mapping[str, Any]) -> Imported | None:
    engine = dig(result, "engine")
    return imported_of(str(engine.get("name")), dig(engine, "options"))


def _prompt(result: Mapping[str, Any], task_result: Mapping[str, Any]) -> str:
    imported = _imported(result)
    return "unknown" if imported is not None and "prompt" in imported.unknown else str(task_result["prompt"])
