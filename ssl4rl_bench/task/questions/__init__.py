"""The kind `questions`: benchmarks of other projects, whose task files declare the schema of their rows."""

from __future__ import annotations

from collections.abc import Sequence

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.base import LoadOptions
from ssl4rl_bench.task.editions import SourceCheck
from ssl4rl_bench.task.mmbench.task import limit_reason, limited_groups
from ssl4rl_bench.task.prompts import check_style
from ssl4rl_bench.task.questions.groups import GroupedRows, group_rows
from ssl4rl_bench.task.questions.rows import ParsedRows, QuestionRow, parse_questions
from ssl4rl_bench.task.questions.schema import Schema, read_schema
from ssl4rl_bench.task.questions.task import QuestionsTask, questions_digest, samples_of
from ssl4rl_bench.task.sources import open_rows
from ssl4rl_bench.task.taskfile import TaskFile


def load(task: TaskFile, asked: LoadOptions) -> QuestionsTask:
    """Reads all rows of a benchmark, forms its groups, and renders the samples.

    Raises:
        UsageError: for parameters that are not those of the kind, an unknown prompt style, or a limit below 1.
        DataError: for data that cannot be used; the message names a bad row and the fix.
        MissingDependency: for a hub data set without the packages that read it.
    """
    schema = read_schema(task.name, task.params)
    style = check_style(asked.prompt or task.prompt)
    if asked.limit is not None and asked.limit < 1:
        raise UsageError(f"--limit {asked.limit} leaves nothing to ask: give 1 or more questions.")
    # Half of the time goes into reading and checking the rows, half into rendering the samples.
    report = asked.on_share or (lambda share: None)
    source = open_rows(task, asked, lambda share: report(share / 2), columns=schema.columns)
    published = SourceCheck(task.source, source.path)
    parsed = parse_questions(source.where, source.rows(), schema)
    may_leave_out = task.source is not None and task.source.left_out is not None
    grouped = group_rows(source.where, parsed, schema, may_leave_out=may_leave_out, skip_bad=asked.skip_bad)
    rows, reasons = _limited(grouped.rows, asked.limit), []
    if grouped.bad:
        reasons.append(f"questions left out for bad rows: {grouped.n_bad}; {grouped.bad[0]}")
    if asked.limit is not None and len(rows) < len(grouped.rows):
        n_abilities = len({row.categories.l2 for row in grouped.rows})
        reasons.append(limit_reason(asked.limit, grouped.n_groups, n_abilities))
    return QuestionsTask(
        name=task.name,
        version=task.version,
        prompt=style,
        source=source.name,
        samples=tuple(samples_of(rows, schema, style, lambda share: report((1 + share) / 2))),
        rows=tuple(rows),
        schema=schema,
        headline=schema.headline,
        sampling=task.sampling,
        unasked=frozenset(
            (*parsed.others, *(row.id for row in (*grouped.left_out, *grouped.bad) if row.id is not None))
        ),
        n_groups_skipped=grouped.n_bad + grouped.n_left_out,
        columns=task.columns,
        warnings=tuple(_warnings(published, schema, parsed, grouped)),
        partial_reasons=tuple(reasons),
        data_sha256=questions_digest(rows),
        hub=source.hub,
    )


def _warnings(published: SourceCheck, schema: Schema, parsed: ParsedRows, grouped: GroupedRows) -> list[str]:
    """Returns the warnings about the data, one sentence per warning."""
    warnings = []
    if text := published.warning(parsed.n_rows):
        warnings.append(text)
    if parsed.missing:
        warnings.append(f"The data has {'; '.join(parsed.missing)}: these levels have one category, other.")
    if grouped.left_out:
        n, total = grouped.n_left_out, grouped.n_left_out + grouped.n_bad + grouped.n_groups
        warnings.append(
            f"{n} of {total} questions are left out, since they need a judge or cannot be scored "
            f"({grouped.left_out_summary()}); the first: {grouped.left_out[0]}."
        )
    if schema.copies and not any(row.roll for row in grouped.rows):
        warnings.append("There are no circular copies: CircularEval is the same as plain accuracy here.")
    return warnings


def _limited(rows: Sequence[QuestionRow], limit: int | None) -> Sequence[QuestionRow]:
    """Returns the rows of `limit` groups, chosen as in MMBench (`mmbench.task.limited_groups`)."""
    if limit is None:
        return rows
    numbers = {group: number for number, group in enumerate(dict.fromkeys(row.group for row in rows))}
    groups = limited_groups(((numbers[row.group], row.categories) for row in rows), limit)
    return [row for row in rows if numbers[row.group] in groups]
