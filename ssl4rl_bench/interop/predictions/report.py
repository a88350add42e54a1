"""What an import says about the file: what was read, what was checked, and what is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.interop.predictions.matching import Matched
from ssl4rl_bench.interop.predictions.rows import Predictions
from ssl4rl_bench.interop.predictions.verdicts import agreement_line
from ssl4rl_bench.run.spec import RunSpec


def report_lines(
    file: Predictions, task: Task, matched: Matched, spec: RunSpec, results_file: Path | None, extractor: str
) -> Iterator[str]:
    """Yields lines about what was read, what was checked, and what is unknown."""
    rows, name = matched.predictions.values(), short_name(task.name)
    yield f"{file.path.name}: {len(file.rows)} rows, format {file.format}, sha256 {file.sha256[:12]}"
    if matched.checked:
        what = ", ".join(f"{n} {kind}s" for kind, n in matched.checked.items())
        yield f"compared with {name}: {what}; all are the same (images are not compared)"
    else:
        yield f"the file has no questions and no answers: only its ids say that it is of {name}"
    yield from matched.notes
    if matched.n_missing:
        yield f"partial: {matched.n_missing} replies are missing"
    if failed := [row for row in rows if row.error is not None]:
        first = clean(failed[0].error, 60)
        yield f"{len(failed)} requests failed (first: {first}) and are left out, not scored as wrong"
    if n_empty := sum(not row.text.strip() and row.error is None and not row.reasoning for row in rows):
        yield f"{n_empty} replies are empty, and count as unread"
    if n_cut := sum(row.finish_reason == "length" for row in rows):
        yield f"{n_cut} replies are cut, at the token limit or at the end of an .xlsx cell"
    if any(row.finish_reason is None and row.error is None for row in rows):
        yield "the file does not say which replies were cut at the token limit: cut ones count as any other"
    if results_file is not None:
        yield f"settings taken from {results_file.name}: {', '.join(_by(spec, 'results file')) or 'none'}"
    if "prompt" in _by(spec, "user") and not matched.same_prompt and any(row.prompt for row in rows):
        yield f"the prompts in the file are not those of the style {task.prompt} that --set prompt states"
    if spec.unknown:
        yield f"{len(spec.unknown)} settings are unknown: state those that you know with --set KEY=VALUE"
    if (line := agreement_line(task, matched.predictions, file.tool, extractor)) is not None:
        yield line


def _by(spec: RunSpec, source: str) -> list[str]:
    imported = spec.imported
    return [] if imported is None else [name for name, by in imported.stated.items() if by == source]
