"""`ssl4rl-bench train`: trains checkpoints by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ssl4rl_bench.cli.completion import complete_recipes
from ssl4rl_bench.cli.options import OptionValues


def train(
    recipe: Annotated[
        str,
        Argument(
            help="TOML file, or the name of a bundled recipe (`list recipes`).",
            autocompletion=complete_recipes,
        ),
    ],
    out: Annotated[
        Path | None, Option("--out", "-o", help="Folder of the run (default: checkpoints/NAME).")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Continue from the newest checkpoint in --out.")] = False,
    max_steps: Annotated[
        int | None, Option(help="Stop after this many steps of the run; --resume continues.", min=1)
    ] = None,
    stop_file: Annotated[
        Path | None,
        Option(help="Save and stop after the step in which this file appears, as `watch` writes it."),
    ] = None,
    set_: Annotated[
        OptionValues,
        Option("--set", metavar="KEY=VALUE", help="Set a key of the recipe: grpo.steps=100. Repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Print settings, sizes and estimated memory without training.")
    ] = False,
) -> None:
    """Train a checkpoint with GRPO, rewarded by SSL tasks.

    A step is one batch of replies and the updates on it. Ctrl-C and SIGTERM save and exit 130; --resume continues.
    On several GPUs: accelerate launch --config_file FILE -m ssl4rl_bench train RECIPE

    Examples:
      ssl4rl-bench train tiny_rotation --max-steps 5
      ssl4rl-bench train ssl4rl_3b_rotation --dry-run

    Exit codes: 0 done; 2 bad input; 4 the training failed; 130 interrupted, --resume continues.
    """
    from ssl4rl_bench.cli.common import console
    from ssl4rl_bench.train.recipe import find_recipe, read_recipe

    path = find_recipe(recipe)
    resolved = read_recipe(path, parse_changes(set_ or []))
    if dry_run:
        from ssl4rl_bench.cli.train_plan import print_training_plan
        from ssl4rl_bench.train.planning.plan import plan_training

        print_training_plan(console(), plan_training(resolved))
        return
    run_training(resolved, out or Path("checkpoints") / resolved.name, resume, max_steps, stop_file)


def run_training(
    recipe: Any, out: Path, resume: bool, max_steps: int | None, stop_file: Path | None = None
) -> None:
    """Trains by a resolved recipe. Shows a bar on a terminal and lines elsewhere."""
    from ssl4rl_bench.cli.train_progress import TrainingProgress
    from ssl4rl_bench.core.errors import Interrupted, MissingDependency
    from ssl4rl_bench.engines.checkpoints.weights import resolve_model

    resolve_model(recipe.model.base, chat=True)  # reports a broken base before torch is imported
    try:
        import trl  # noqa: F401
    except ImportError:
        raise MissingDependency.of("training needs TRL", "train") from None
    from ssl4rl_bench.train.grpo import is_main, train_grpo

    try:
        with TrainingProgress(recipe.name) as screen:
            done = train_grpo(
                recipe, out, resume=resume, max_steps=max_steps, report=screen, stop_file=stop_file
            )
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; --resume continues from the last checkpoint in {out}") from None
    if is_main():
        screen.note(f"{done}: evaluate it with `ssl4rl-bench run --model {done}`")


def parse_changes(values: list[str]) -> dict[str, Any]:
    """Parses `--set` values such as "grpo.steps=100". A value that is not TOML is taken as a string."""
    import tomllib

    from ssl4rl_bench.core.errors import UsageError

    out: dict[str, Any] = {}
    for item in values:
        key, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item} has no value: write {item}=VALUE")
        try:
            out[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            out[key.strip()] = text
    return out
