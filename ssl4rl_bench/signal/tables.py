"""Presents the result of `advise`: tables and sentences for a terminal, Markdown, and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.cells import escape, markdown_table, plain_table
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.margins import nats, nats_interval
from ssl4rl_bench.reports.text.numbers import NO_DATA, interval, p_value, percent, points
from ssl4rl_bench.signal.advising import DECODE, PREFILL, Advice, TaskAdvice
from ssl4rl_bench.stats.alignment import TargetEffect

SCHEMA = 1
EARNED = (
    "Reward",
    "Mean %",
    "95% interval",
    "Blind earns %",
    "Unread %",
    "Spread %",
    "95% interval",
    "By guessing %",
)
SEEN = ("By looking", "95% interval", "p", "Holm p", "Margin", "95% interval", "p", "Holm p")


def advice_tables(advice: Advice) -> list[Table]:
    """Makes the two tables for a terminal: what the replies earn, and whether the model sees."""
    model = clean(advice.model)
    earned = plain_table(
        f"{model} · what the replies earn",
        ["Task", "Verdict", *EARNED],
        "lllr",
        n_keys=2,
        narrowing=Narrowing(drop=("By guessing %", "Unread %", "Reward")),
    )
    seen = plain_table(
        f"{model} · whether it looks (points of reward; margin in nats)",
        ["Task", *SEEN],
        "lr",
        narrowing=Narrowing(drop=("p",)),
    )
    for row in advice.tasks:
        earned.add_row(Text(clean(row.task)), row.verdict, *_earned(row))
        seen.add_row(Text(clean(row.task)), *_seen(row))
    return [earned, seen]


def advice_lines(advice: Advice) -> Iterator[str]:
    """Yields the sentences below the tables: what to change, how the margin was measured, and the cost."""
    for row in advice.tasks:
        yield f"{clean(row.task)}: {row.verdict}. {row.sentence}"
    pictures = sorted({row.n_pictures for row in advice.tasks})
    counts = f"{pictures[0]}" if len(pictures) == 1 else f"{pictures[0]} to {pictures[-1]}"
    sampling = advice.settings
    yield (
        f"{counts} pictures of {clean(advice.images)}, {sampling.replies} replies each at temperature "
        f"{sampling.temperature:g}; intervals are clustered by picture, and Holm's correction counts "
        f"{advice.n_tests} test{'s' if advice.n_tests > 1 else ''}."
    )
    for row in advice.tasks:
        if row.n_failed:
            yield f"{clean(row.task)}: {row.n_failed} requests failed and are left out."
        if row.choice is None:
            yield f"{clean(row.task)}: engine {clean(advice.engine)} gives no likelihoods, so there is no margin."
            continue
        failed = f"; {row.choice.n_failed} samples failed" if row.choice.n_failed else ""
        yield (
            f"{clean(row.task)}: margin over at most {row.choice.n_candidates} answers in the form "
            f"{clean(row.choice.form, 120)}{failed}."
        )
    here = sum(row.seconds for row in advice.tasks)
    estimate = sum(row.seconds_3b for row in advice.tasks)
    yield (
        f"Cost: {here:.0f} s. A 3B model on one GPU: about {estimate:.0f} s, an estimate for as many tokens at "
        f"assumed rates (prompts {PREFILL:,.0f} and replies {DECODE:,.0f} tokens/s)."
    )


def advice_markdown(advice: Advice) -> str:
    """Formats the result as a Markdown table with the sentences below it."""
    rows = (
        [escape(clean(row.task)), row.verdict, str(row.n_pictures), *_earned(row), *_seen(row)]
        for row in advice.tasks
    )
    table = markdown_table(("Task", "Verdict", "Pictures", *EARNED, *SEEN), rows, "llr")
    lines = "".join(f"- {escape(line)}\n" for line in advice_lines(advice))
    return f"**{escape(clean(advice.model))}**\n\n{table}\n{lines}"


def advice_json(advice: Advice) -> dict[str, Any]:
    """Returns the result as JSON values; shares and rewards are fractions."""
    settings = advice.settings
    return {
        "schema": SCHEMA,
        "model": advice.model,
        "engine": advice.engine,
        "images": advice.images,
        "replies": settings.replies,
        "temperature": settings.temperature,
        "seed": settings.seed,
        "n_tests": advice.n_tests,
        "estimate_3b": {"prompt_tokens_per_s": PREFILL, "reply_tokens_per_s": DECODE, "measured": False},
        "tasks": [dataclasses.asdict(row) for row in advice.tasks],
    }


def _earned(row: TaskAdvice) -> list[str]:
    return [
        row.scheme,
        percent(row.mean.value),
        interval(row.mean.ci95),
        percent(row.blind),
        percent(row.unread),
        percent(row.spread.value),
        interval(row.spread.ci95),
        percent(row.spread_by_guessing),
    ]


def _seen(row: TaskAdvice) -> list[str]:
    looking = [
        points(row.alignment.value),
        interval(row.alignment.ci95, signed=True),
        p_value(row.alignment.p),
        p_value(row.p_alignment),
    ]
    if row.choice is None or row.p_margin is None:
        return [*looking, *[NO_DATA] * 4]
    return [*looking, *_margin(row.choice.sight), p_value(row.choice.sight.p), p_value(row.p_margin)]


def _margin(sight: TargetEffect) -> list[str]:
    return [nats(sight.value), nats_interval(sight.ci95)]
