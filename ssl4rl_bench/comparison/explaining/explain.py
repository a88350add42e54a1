"""Explains why the number of a run is not the other one (`ssl4rl_bench.explain`, the command `explain`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssl4rl_bench.comparison.explaining.against_published import rank_against_published
from ssl4rl_bench.comparison.explaining.between_runs import Ranked, rank_between_runs
from ssl4rl_bench.comparison.explaining.commands import trials
from ssl4rl_bench.comparison.explaining.explanation import AbilityNumbers, Explanation, SettingLine, Trial
from ssl4rl_bench.comparison.explaining.kinds import AGGREGATION
from ssl4rl_bench.comparison.explaining.lines import lines_of_published, lines_of_runs
from ssl4rl_bench.comparison.explaining.published_side import PublishedSide
from ssl4rl_bench.comparison.explaining.sides import RunSide, open_sides
from ssl4rl_bench.comparison.explaining.verdict import verdict
from ssl4rl_bench.comparison.of_runs import AnyRun, path_of
from ssl4rl_bench.comparison.published import AVERAGE
from ssl4rl_bench.comparison.settings import unrecorded
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.spec import REPLAY
from ssl4rl_bench.score.aggregate import aggregate, check_aggregation
from ssl4rl_bench.score.headline import headline_of
from ssl4rl_bench.score.runs import Data, Run, data_values


def explain(
    run: AnyRun,
    against: AnyRun,
    *,
    task: str | None = None,
    aggregation: str | None = None,
    against_aggregation: str | None = None,
    data: Data = None,
    observer: Observer = SILENT,
) -> Explanation:
    """Explains why the number of a run differs from that of another run or from a published one.

    Settings are put side by side. What can be computed from the recorded replies is computed: another extractor or
    aggregation, the questions that both runs answered, and the questions without cut, repeating or unread replies.
    No model is asked. docs/explain.md has the rule by which causes are ranked.

    Args:
        run: a run, complete or not, its folder, or its name below runs/.
        against: another run; the name or file of a published table, with ":ROW" if it is not clear which row is
            meant ("ssl4rl_mmbench:base"); or a number in percent, such as "72.99".
        task: the task, if the run and the other side share several.
        aggregation: the aggregation of the run's number; by default the published one, of probes `row_micro`.
        against_aggregation: that of the other number; by default the same for a run, unknown for published ones.
        data: the location of the data, if it has moved and replies have to be read again.

    Raises:
        UsageError: an unknown name, no common task, a run without replies, or an unclear choice; says what to do.
        StoreError, DataError: a run or a table cannot be read.

    Example:
        >>> explanation = explain("runs/base", "runs/rotation")
        >>> explanation.causes[0].kind
        'weights'
    """
    other = against.path if isinstance(against, Run) else against
    return explain_sides(
        path_of(run), other, task, (aggregation, against_aggregation), data_values(data), observer
    )


def explain_sides(
    run: Path,
    against: str | Path,
    task: str | None,
    aggregations: tuple[str | None, str | None],
    data: Sequence[str],
    observer: Observer,
) -> Explanation:
    """Does the work of `explain`, for values of the command line.

    Raises:
        UsageError, StoreError, DataError: as `explain`.
    """
    for name in aggregations:
        if name is not None:
            check_aggregation(name)
    mine, theirs = open_sides(run, against, task, data, observer)
    published = (
        headline_of([mine.evaluated.result], mine.task) if mine.outcomes.probe is None else "row_micro"
    )
    how = aggregations[0] or published
    if isinstance(theirs, RunSide):
        both = (how, aggregations[1] or how)
        lines = lines_of_runs(mine, theirs, both)
        return _explanation(mine, theirs, both, lines, rank_between_runs(mine, theirs, both, lines))
    if aggregations[1] is not None:
        theirs = theirs.stating(AGGREGATION, aggregations[1])
    lines = lines_of_published(mine, theirs, how)
    ranked = rank_against_published(mine, theirs, how, lines)
    return _explanation(mine, theirs, (how, theirs.settings.get(AGGREGATION)), lines, ranked)


def _explanation(
    mine: RunSide,
    theirs: RunSide | PublishedSide,
    aggregations: tuple[str, str | None],
    lines: tuple[SettingLine, ...],
    ranked: Ranked,
) -> Explanation:
    runs = [side for side in (mine, theirs) if isinstance(side, RunSide)]
    notes = [note for side in runs for note in _notes(side)]
    if isinstance(theirs, PublishedSide) and theirs.settings_source:
        notes.append(f"the settings of {theirs.label} are taken from: {theirs.settings_source}.")
    unstated: Sequence[tuple[str, str, str]] = ()
    if isinstance(theirs, PublishedSide) and not ranked.remaining.within_chance:
        unstated = trials(mine, theirs, lines)
    return Explanation(
        task=mine.task,
        run=mine.label,
        against=theirs.label,
        aggregation=aggregations[0],
        against_aggregation=aggregations[1],
        gap=ranked.gap,
        settings=lines,
        effects=ranked.effects,
        causes=ranked.causes,
        remaining=ranked.remaining,
        columns=_columns(mine, theirs, aggregations),
        trials=tuple(Trial(*trial) for trial in unstated),
        n_tried=ranked.n_tried,
        n_near=ranked.n_near,
        verdict=verdict(ranked, isinstance(theirs, PublishedSide)),
        notes=(*notes, *ranked.notes),
    )


def _notes(side: RunSide) -> list[str]:
    """Returns notes on a run: that it is partial, that it replays replies, and what it did not record."""
    spec = side.evaluated.spec
    notes = [f"{side.label} is partial ({reason})." for reason in side.partial_reasons]
    if spec.engine == REPLAY:
        notes.append(
            f"{side.label} replays recorded replies: its settings are those of the replay, not of the recording."
        )
    if missing := unrecorded(spec, side.settings):
        notes.append(f"{side.label} did not record its {' and its '.join(missing)}, which may differ.")
    return notes


def _columns(
    mine: RunSide, theirs: RunSide | PublishedSide, aggregations: tuple[str, str | None]
) -> tuple[AbilityNumbers, ...]:
    """Returns the numbers of the abilities on both sides."""
    numbers = _abilities(mine, aggregations[0])
    if isinstance(theirs, RunSide):
        others: dict[str, float | None] = _abilities(theirs, aggregations[1] or aggregations[0])
    else:
        others = {name: theirs.row.values[name] for name in theirs.columns if name != AVERAGE}
    return tuple(
        AbilityNumbers(name, numbers.get(name), others.get(name))
        for name in dict.fromkeys((*numbers, *others))
    )


def _abilities(side: RunSide, aggregation: str) -> dict[str, float | None]:
    return {name: cell["value"] for name, cell in aggregate(side.outcomes)[aggregation]["l2"].items()}
