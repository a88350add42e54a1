"""Prints a training plan as tables for `ssl4rl-bench train RECIPE --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.text.cells import plain_table
from ssl4rl_bench.train.planning.memory_parts import ALWAYS, GIB, ROLLOUT
from ssl4rl_bench.train.planning.plan import TrainingPlan

FULL = 0.9
"""Share of a GPU's memory above which an estimate counts as tight, as allocators waste some memory."""


def print_training_plan(screen: Console, plan: TrainingPlan) -> None:
    """Prints the settings, the composition of a step, the memory by parts, and the assumptions."""
    for table in (_settings(plan), _step(plan), *([_memory(plan)] if plan.memory else [])):
        screen.print()
        screen.print(table)
    if plan.memory:
        screen.print()
        screen.print(_verdict(plan))
    if plan.assumed or plan.prompts.over_long:
        screen.print()
    if plan.prompts.over_long:
        screen.print(_over_long(plan), style="yellow", markup=False)
    for sentence in plan.assumed:
        screen.print(f"assumed: {sentence}", style="yellow")


def _over_long(plan: TrainingPlan) -> str:
    prompts, recipe = plan.prompts, plan.recipe
    effect = (
        "leaves their images out, and the plan counts without them"
        if recipe.data.over_long == "drop"
        else "would stop the run before training"
    )
    return (
        f"note: {prompts.over_long} of {prompts.measured} sampled prompts "
        f"({prompts.over_long / prompts.measured:.0%}) have more than {recipe.grpo.max_prompt_tokens} tokens, the "
        f'longest {prompts.longest_of_all}; data.over_long = "{recipe.data.over_long}" {effect}'
    )


def _settings(plan: TrainingPlan) -> Table:
    table = _table(f"{clean(plan.recipe.name)}: settings", ("Table", "Values"), "l")
    values = plan.recipe.values()
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    for name, part in {"": plain, **{k: v for k, v in values.items() if isinstance(v, Mapping)}}.items():
        settings = ", ".join(f"{key} {_value(value)}" for key, value in part.items() if value is not None)
        table.add_row(f"{name}" if name else "–", Text(clean(settings, 2000)))
    return table


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _step(plan: TrainingPlan) -> Table:
    step, prompts = plan.sizes, plan.prompts
    table = _table("The run", ("Quantity", "Value", ""), "lrl")
    measured = f"mean of {prompts.measured} samples"
    rows: list[tuple[str, float | int | None, str]] = [
        ("parameters", plan.shape.total if plan.shape else None, ""),
        ("trained", plan.trainable, str(plan.adapters) if plan.adapters else ""),
        (
            "images",
            plan.images,
            "before duplicates and unusable images are removed"
            + (f", {prompts.usable:.0%} with short enough prompts" if prompts.over_long else ""),
        ),
        ("processes", step.processes, ""),
        ("prompts per step", step.prompts, f"x {plan.recipe.grpo.group} replies = {step.replies:,}"),
        *_drawn(plan),
        *_replay(plan),
        ("pictures per step", round(plan.pictures), f"{prompts.pictures:g} per prompt"),
        (
            "tokens per prompt",
            round(plan.prompt_tokens),
            f"{measured}, longest {prompts.longest:,}" if prompts.longest else "at most",
        ),
        ("tokens read per step", round(plan.tokens_read), "one prompt per reply"),
        ("tokens written per step", plan.tokens_written, "at most"),
        ("updates per step", step.updates_a_step, f"each of {step.replies // step.updates:,} replies"),
        (
            "micro-batches per update",
            step.accumulate,
            f"of {step.micro_batch} replies on each process"
            + (", groups share their prompt" if plan.shares_prompts else ""),
        ),
        ("steps", plan.steps, "" if plan.epochs is None else f"about {plan.epochs:,.1f} epochs"),
        ("updates", plan.updates, ""),
        ("prompts in total", None if plan.steps is None else plan.steps * step.prompts, ""),
    ]
    for what, number, note in rows:
        table.add_row(
            what, "not known" if number is None else f"{number:,}", note if number is not None else ""
        )
    return table


def _replay(plan: TrainingPlan) -> list[tuple[str, float | int | None, str]]:
    """Returns the row about the replay, if there is one."""
    part = plan.recipe.replay
    if part is None:
        return []
    how = (
        f"in addition, with the base's replies: at most {plan.replay_tokens:,} tokens"
        if part.kind == "self"
        else "among the prompts, rewarded if right"
    )
    return [("replay questions per step", part.per_step(plan.sizes.prompts), how)]


def _drawn(plan: TrainingPlan) -> list[tuple[str, int, str]]:
    """Returns the row on dynamic sampling, if the recipe uses it."""
    g = plan.recipe.grpo
    if not g.dynamic:
        return []
    note = f"at most, in {g.dynamic_rounds} rounds; groups with equal rewards are replaced"
    return [("prompts drawn per step", g.dynamic_rounds * plan.sizes.prompts, note)]


def _memory(plan: TrainingPlan) -> Table:
    assert plan.memory is not None
    title = "Estimated memory of each GPU"
    if plan.recipe.hardware.threads:
        title += " (the recipe is meant for a CPU)"
    table = _table(title, ("Part", "GiB", "When", "How"), "lrl")
    order = {phase: n for n, phase in enumerate(ALWAYS)}
    for part in sorted(
        plan.memory.parts, key=lambda part: (-len(part.phases), order[part.phases[0]], -part.bytes)
    ):
        table.add_row(part.name, f"{part.bytes / GIB:.2f}", part.when, part.how)
    return table


def _verdict(plan: TrainingPlan) -> Text:
    assert plan.memory is not None
    memory, gpu_gib = plan.memory, plan.recipe.hardware.gpu_gib
    peak = memory.peak / GIB
    sums = (
        f"rollout {memory.during(*ROLLOUT) / GIB:.1f} GiB, scoring {memory.during('scoring') / GIB:.1f} GiB, "
        f"update {memory.during('update') / GIB:.1f} GiB of {gpu_gib:g} GiB"
    )
    most = plan.memory_at_most
    if most and most.peak > memory.peak:
        sums += f"; {most.peak / GIB:.1f} GiB with a prompt of {plan.recipe.grpo.max_prompt_tokens:,} tokens"
    if peak > gpu_gib:
        return Text.assemble(("does not fit", "red"), f": {sums}")
    if peak > FULL * gpu_gib:
        return Text.assemble(("tight", "yellow"), f": {sums} (over {FULL:.0%})")
    return Text.assemble(("fits", "green"), f": {sums}")


def _table(title: str, headers: tuple[str, ...], sides: str) -> Table:
    table = plain_table(title, headers, sides)
    table.padding = (0, 2, 0, 0)
    return table
