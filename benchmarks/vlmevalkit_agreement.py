"""Compares this project's scores with those of VLMEvalKit's own code for the same replies, row by row.

    python benchmarks/vlmevalkit_agreement.py CHECKOUT [--tasks mmstar,mmvp] [--rows 200]
    python benchmarks/vlmevalkit_agreement.py CHECKOUT --run runs/tiny-base --tasks scenes

For each task, a run is exported with `ssl4rl-bench export --to vlmevalkit` (xlsx, or tsv if a reply does not fit
into a cell), and VLMEvalKit evaluates the file without a judge model. Without --run, the questions are made up
(`vlmevalkit_rows`) and the replies are those of `tests/data`, many of them odd. Prints for each task how many rows
get the same score from the extractors `default` and `vlmevalkit-2026-06`, in how many only one side reads an answer
or both read another one, and the first rows that differ. --record writes VLMEvalKit's verdicts for the tests.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vlmevalkit_rows as made
from vlmevalkit_checkout import Checkout, Verdict

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.interop import vlmevalkit
from ssl4rl_bench.interop.exports.predictions import dataset_name
from ssl4rl_bench.interop.exports.replies import TaskReplies, read_replies
from ssl4rl_bench.run.rundir import RunDir, open_run
from ssl4rl_bench.task.registry import load_benchmark

NEWEST = "vlmevalkit-2026-06"
UNREAD = ("Z", "Unknown")


@dataclass(frozen=True, slots=True)
class Compared:
    """A row as both projects score it."""

    id: str
    group: str
    target: str
    reply: str
    choices: dict[str, str]
    finish_reason: str
    label: str | None
    answer: str | None
    """What `default` reads."""
    value: float | None
    """Its score; None for a failed request."""
    same_rules: float | None
    """The score with the extractor `vlmevalkit-2026-06`; None for an answer that is not a letter."""
    verdict: Verdict

    @property
    def their_value(self) -> float:
        """VLMEvalKit's score."""
        return float(self.verdict.answer.casefold() == self.target.casefold())


def compare(
    checkout: Checkout, replies: TaskReplies, labels: dict[str, str | None], data: Path
) -> list[Compared]:
    """Exports the replies, lets VLMEvalKit evaluate them, and pairs its verdicts with our scores."""
    with tempfile.TemporaryDirectory() as folder:
        path = _exported(replies, Path(folder))
        verdicts = checkout.evaluate(dataset_name(replies), data, path)
    rows = []
    for sample, record, score in replies.replies:
        strict = replies.task.score(sample, record.completion, NEWEST) if sample.choices else None
        rows.append(
            Compared(
                id=sample.id,
                group=sample.group,
                target=sample.target,
                reply=record.text,
                choices=dict(sample.choices),
                finish_reason=record.finish_reason,
                label=labels.get(sample.id),
                answer=score.answer,
                value=score.value,
                same_rules=None if strict is None else strict.value,
                verdict=verdicts[sample.id],
            )
        )
    return rows


def _exported(replies: TaskReplies, folder: Path) -> Path:
    task = short_name(replies.task.name)
    for suffix in (".xlsx", ".tsv"):
        path = folder / f"model_{dataset_name(replies)}{suffix}"
        try:
            sb.export_run(replies.run.path, "vlmevalkit", path, tasks=[task])
            return path
        except DataError as error:
            print(f"{task}: {error}")
    raise SystemExit(f"{task} cannot be exported")


def made_up(task: str, n: int, folder: Path) -> tuple[TaskReplies, dict[str, str | None], Path]:
    """Returns the replies of a run on a made-up benchmark, the labels of its replies, and its file."""
    benchmark = made.make_benchmark(task, n)
    place = folder / task
    place.mkdir()
    data = benchmark.write(place)
    how: dict[str, Any] = {"engine": "replay", "options": {"replies": str(place / "replies.jsonl")}}
    sb.evaluate("model", task, data=data, out=place / "run", max_error_rate=1.0, **how)
    (replies,) = read_replies(RunDir.open(place / "run"), [task], [], None, all_repeats=False)
    labels = {
        id: reply.label for id, reply in benchmark.replies.items() if reply.finish_reason != made.FAILED
    }
    return replies, labels, data


def of_run(path: Path, task: str, folder: Path) -> tuple[TaskReplies, dict[str, str | None], Path]:
    """Returns the replies of a run on a task of MMBench's schema, and its exported data."""
    (replies,) = read_replies(open_run(path), [task], [], None, all_repeats=False)
    data = folder / f"{dataset_name(replies)}.tsv"
    vlmevalkit.export_tsv(load_benchmark(task).rows, data)
    return replies, {}, data


def summary(task: str, rows: Sequence[Compared]) -> Iterator[str]:
    """Yields the lines about a task."""
    scored = [row for row in rows if row.value is not None]
    same = sum(row.value == row.their_value for row in scored)
    line = f"{task:16} rows {len(rows):5}  same score {same}/{len(scored)}"
    if letters := [row for row in scored if row.same_rules is not None]:
        line += f"  with {NEWEST} {sum(row.same_rules == row.their_value for row in letters)}/{len(letters)}"
    yield line
    if any(row.verdict.hit is None for row in rows):
        yield _circular(rows)
    if failed := len(rows) - len(scored):
        yield f"{'':16} failed requests, 0 there and without a score here: {failed}"
    yield from _differences(scored)


def _circular(rows: Sequence[Compared]) -> str:
    """Returns the line about circular groups, without those with a failed request."""
    groups: dict[str, list[Compared]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    scored = [group for group in groups.values() if all(row.value is not None for row in group)]
    n_same, n_same_rules = 0, 0
    for group in scored:
        (hit,) = (row.verdict.hit for row in group if row.verdict.hit is not None)
        n_same += min(row.value or 0.0 for row in group) == hit
        n_same_rules += min(row.same_rules or 0.0 for row in group) == hit
    return f"{'':16} circular groups: same {n_same}/{len(scored)}  with {NEWEST} {n_same_rules}/{len(scored)}"


def _differences(scored: Sequence[Compared]) -> Iterator[str]:
    kinds: dict[str, list[Compared]] = {}
    for row in scored:
        theirs = None if row.verdict.answer in UNREAD else row.verdict.answer.casefold()
        ours = None if row.answer is None else row.answer.casefold()
        if ours != theirs:
            one_side = "read only here" if theirs is None else "read only there"
            kind = "read otherwise" if ours is not None and theirs is not None else one_side
            kinds.setdefault(kind, []).append(row)
    for kind, rows in kinds.items():
        labelled = [row for row in rows if row.label is not None]
        n_ours = sum((row.answer or "") == row.label for row in labelled)
        n_theirs = sum(row.verdict.answer.replace("Z", "") == row.label for row in labelled)
        shares = f", of {len(labelled)} that a person read, as here {n_ours}, as there {n_theirs}"
        known = shares if labelled else ""
        yield f"{'':16} {kind}: {len(rows)}{known}"
        for row in rows[:3]:
            answers = f"here {row.answer}, there {row.verdict.answer}, right {row.target}"
            yield f"{'':18} {row.id}: {answers}: {row.reply[:70]!r}"


def vectors(task: str, rows: Sequence[Compared]) -> Iterator[dict[str, Any]]:
    """Yields the rows in the form that `tests/interop/exports/test_vlmevalkit_vectors.py` reads."""
    for row in rows:
        yield {
            "task": task,
            "id": row.id,
            "choices": row.choices,
            "target": row.target,
            "reply": row.reply,
            "finish_reason": row.finish_reason,
            "label": row.label,
            "vlmevalkit": row.verdict.answer,
            "hit": row.verdict.hit,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--tasks", default="", help="tasks, separated by commas (default: all made-up ones)")
    parser.add_argument("--rows", type=int, default=200, help="of each made-up benchmark")
    parser.add_argument("--run", type=Path, help="a run of this project on a task of MMBench's schema")
    parser.add_argument("--record", type=Path, help="write VLMEvalKit's verdicts as JSON Lines")
    args = parser.parse_args()
    if not (args.checkout / "vlmeval").is_dir():
        sys.exit(f"{args.checkout} is no checkout of VLMEvalKit: it has no folder vlmeval")
    checkout = Checkout(args.checkout)
    print(f"VLMEvalKit {checkout.commit()}")
    recorded: list[dict[str, Any]] = [{"vlmevalkit": checkout.commit()}]
    with tempfile.TemporaryDirectory() as folder:
        for task in args.tasks.split(",") if args.tasks else made.BENCHMARKS:
            place = Path(folder)
            asked = of_run(args.run, task, place) if args.run else made_up(task, args.rows, place)
            rows = compare(checkout, *asked)
            print(*summary(task, rows), sep="\n")
            recorded += vectors(task, rows)
    if args.record:
        lines = (json.dumps(line, ensure_ascii=False) for line in recorded)
        args.record.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
