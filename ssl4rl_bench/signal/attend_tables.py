"""Presents the result of `attend`: tables and sentences for a terminal, and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.reports.text.fitting import Narrowing
from ssl4rl_bench.reports.text.numbers import bracketed, p_value
from ssl4rl_bench.reports.views.attend import SCHEMA, view_of
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.signal.advising import PREFILL
from ssl4rl_bench.signal.margins import shown_form
from ssl4rl_bench.signal.sight import AttendResult
from ssl4rl_bench.signal.verdicts import ALPHA
from ssl4rl_bench.stats.clustered import ClusteredMean
from ssl4rl_bench.stats.estimates import wilson


def sight_view(sight: AttendResult) -> View:
    """Makes the view of a result, whose table and sentence are those of reports."""
    return view_of(sight_json(sight))


def layer_table(sight: AttendResult) -> Table | None:
    """Makes the table of attention by layer for a terminal; None if attention was not measured."""
    if not any(model.layers for model in sight.models):
        return None
    table = plain_table(
        "Attention of the prompt's last token to an object: asked about over not asked about, same picture",
        ["Checkpoint", "Layer", "Ratio", "95% interval", "p", "Holm p", "Raw: not evidence"],
        "lr",
        narrowing=Narrowing(drop=("Raw: not evidence", "p")),
    )
    for model in sight.models:
        for row in model.layers:
            table.add_row(
                Text(clean(model.label)),
                str(row.layer),
                f"{row.ratio:.3f}",
                bracketed(row.ci95, lambda end: f"{end:.3f}"),
                p_value(row.p),
                p_value(row.p_corrected),
                Text(f"{row.raw:.2f}", style="bright_black"),
            )
    return table


def sight_lines(sight: AttendResult) -> Iterator[str]:
    """Yields the sentences below the tables: what was asked, what is missing, and the cost."""
    how = "with the box of an object hidden" if sight.has_boxes else "with other pictures and hidden cells"
    yield (
        f"{sight.n_questions} questions of {clean(sight.task)} ({clean(sight.source)}), {how}; the margin is over "
        f"the options in the form {clean(shown_form(sight.form, sight.prompt), 120)}."
    )
    if all(wilson(model.right, model.margin.n)[0] <= sight.chance for model in sight.models):
        yield (
            "No checkpoint is shown to find the right option the likeliest more often than a guesser "
            f"({100 * sight.chance:.0f}%), so that the effects say little: try another --form, or more questions."
        )
    if sight.n_left_out:
        yield f"{sight.n_left_out} questions without options or exactly one picture are left out."
    for model in sight.models:
        if model.n_failed:
            yield f"{clean(model.label)}: {model.n_failed} questions failed and are left out."
    if any(model.layers for model in sight.models):
        yield (
            "The raw ratio (share of attention over share of the area) is not evidence: drawn objects draw attention "
            "whether they are asked about or not."
        )
    costs = ", ".join(f"{clean(model.label)} {model.seconds:.0f} s" for model in sight.models)
    yield (
        f"Cost: {costs}. A 3B model on one GPU: about {sight.seconds_3b:.0f} s per checkpoint, an estimate for a "
        f"token per 28 x 28 pixels at an assumed rate of {PREFILL:,.0f} tokens/s."
    )


def sight_json(sight: AttendResult) -> dict[str, Any]:
    """Returns the result as JSON values; effects are in nats, shares are fractions."""
    return {
        "schema": SCHEMA,
        "task": sight.task,
        "source": sight.source,
        "prompt": sight.prompt,
        "form": sight.form,
        "has_boxes": sight.has_boxes,
        "n_questions": sight.n_questions,
        "n_left_out": sight.n_left_out,
        "least": sight.least,
        "chance": sight.chance,
        "estimate_3b": {
            "seconds": sight.seconds_3b,
            "prompt_tokens_per_s": PREFILL,
            "measured": False,
        },
        "models": [
            {
                "label": model.label,
                "fingerprint": model.fingerprint,
                "engine": model.engine,
                "seconds": model.seconds,
                "n_failed": model.n_failed,
                "right": model.right,
                "margin": _mean(model.margin),
                "effects": {name: _mean(effect) for name, effect in model.effects.items()},
                "cells": [_mean(cell) for cell in model.cells],
                "layers": [dataclasses.asdict(layer) for layer in model.layers],
            }
            for model in sight.models
        ],
        "differences": [
            {
                "label": row.label,
                "effect": row.effect,
                **dataclasses.asdict(row.difference),
                "p_beyond": row.p_beyond,
                "p_corrected": row.p_corrected,
                "detectable": _detectable(row.difference, sight),
            }
            for row in sight.differences
        ],
    }


def _mean(mean: ClusteredMean) -> dict[str, Any]:
    return {**dataclasses.asdict(mean), "detectable": mean.detectable()}


def _detectable(mean: ClusteredMean, sight: AttendResult) -> float | None:
    """Returns the difference that is claimed with 80% power, at the level that Holm gives the smallest p."""
    more = mean.detectable(ALPHA / len(sight.differences))
    return None if more is None else sight.least + more
