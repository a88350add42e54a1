"""Measures what one long reply costs a GRPO step, as a ratio to the same step without it.

    python benchmarks/long_reply.py                          # one reply of 400 tokens among 64 of 11
    python benchmarks/long_reply.py --length 2000 --set model.share_prompts=false

Log-probabilities and an update (loss and backward pass) are computed for 8 prompts x 8 replies of random tokens,
once with 64 short replies and once with one long reply among them, in turn. Prints CPU seconds (user and system,
medians of the rounds) and their ratios, which other work on the machine affects little.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.task.registry import select_images
from ssl4rl_bench.train.grpo import process
from ssl4rl_bench.train.grpo.assembly import make_trainer
from ssl4rl_bench.train.grpo.dataset import load_training_processor, prepared
from ssl4rl_bench.train.grpo.job import TrainingJob
from ssl4rl_bench.train.journal import Metrics
from ssl4rl_bench.train.planning.sizes import sizes
from ssl4rl_bench.train.recipe import Recipe, find_recipe, read_recipe
from ssl4rl_bench.train.reporting import Reporter
from ssl4rl_bench.train.stopping import Stopping

SETTINGS = {
    "data.images": "scenes:train:2",
    "data.audit": [],
    "grpo.prompts": 8,
    "grpo.group": 8,
    "grpo.micro_batch": 64,
    "grpo.steps": 2,
    "log.to": [],
}


def trainer_of(recipe: Recipe, out: Path, stack: ExitStack) -> Any:
    """Makes the trainer of a recipe, whose images stay open until `stack` is closed."""
    process.start(recipe)
    parts, base, report = sizes(recipe, 1), resolve_model(recipe.model.base), Reporter()
    selection = stack.enter_context(select_images(recipe.data.images, split=recipe.data.images_split))
    processor = load_training_processor(recipe, base)
    data = prepared(recipe, selection, processor, report)
    metrics = Metrics(out, parts, 1, from_step=0, main=True, report=report)
    return make_trainer(
        TrainingJob(recipe, out, base, parts, 1, 1, report), data, processor, metrics, Stopping()
    )


def batch_of(trainer: Any, lengths: list[int]) -> dict[str, Any]:
    """Returns TRL's inputs of an update on random replies.

    Args:
        lengths: tokens of each reply, including the end token.
    """
    tokenizer = trainer.processing_class.tokenizer
    ordinary = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.get_added_vocab().values()))
    dice, end = Random(1), trainer.eos_token_ids[0]
    return inputs_of(trainer, [[*dice.choices(ordinary, k=n - 1), end] for n in lengths])


def rows_of(trainer: Any, replies: int) -> list[dict[str, Any]]:
    """Returns the first rows of the training set, as many as give this number of replies."""
    columns = trainer.rows({"row": [i // trainer.num_generations for i in range(replies)]})
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def inputs_of(trainer: Any, replies: list[list[int]]) -> dict[str, Any]:
    """Returns TRL's inputs of an update on these replies to the first rows."""
    generate, trainer._generate_single_turn = trainer._generate_single_turn, lambda *_, **__: (replies, None)
    try:
        inputs: dict[str, Any] = trainer._generate_and_score_completions(rows_of(trainer, len(replies)))
    finally:
        trainer._generate_single_turn = generate
    return inputs


def log_probabilities(trainer: Any, inputs: dict[str, Any]) -> None:
    """Computes the replies' log-probabilities, as before an update."""
    import torch

    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    images = {
        key: inputs[key]
        for key in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
        if key in inputs
    }
    with torch.no_grad():
        trainer._get_per_token_logps_and_entropies(
            trainer.model,
            ids,
            mask,
            inputs["completion_ids"].shape[1],
            batch_size=trainer.args.per_device_train_batch_size,
            **images,
        )


def update(trainer: Any, inputs: dict[str, Any]) -> None:
    """Computes the loss and its gradients, one micro-batch after another."""
    from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

    for part in split_tensor_dict(split_pixel_values_by_grid(inputs), trainer.args.steps_per_generation):
        trainer._compute_loss(trainer.model, unsplit_pixel_values_by_grid(part)).backward()
    trainer.model.zero_grad()


def cpu_seconds(work: Callable[[], None]) -> float:
    """Returns the processor time of a call, user and system."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="tiny_rotation")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--short", type=int, default=11, help="tokens of the other replies")
    parser.add_argument("--length", type=int, default=400, help="tokens of the long reply")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    from ssl4rl_bench.cli.train import parse_changes

    recipe = read_recipe(find_recipe(args.recipe), SETTINGS | parse_changes(args.changes))
    replies = recipe.grpo.prompts * recipe.grpo.group
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        trainer = trainer_of(recipe, Path(scratch), stack)
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        short = [args.short] * replies
        batches = {"short": batch_of(trainer, short), "long": batch_of(trainer, [args.length, *short[1:]])}
        spent: dict[tuple[str, str], list[float]] = {}
        for turn in range(args.rounds + 1):
            for name, inputs in batches.items():
                for work in (log_probabilities, update):
                    seconds = cpu_seconds(lambda work=work, inputs=inputs: work(trainer, inputs))  # type: ignore[misc]
                    if turn:  # the first round warms up
                        spent.setdefault((name, work.__name__), []).append(seconds)
    print(
        f"{recipe.name}: {replies} replies of {args.short} tokens, and with one of {args.length} among them"
    )
    _report("log-probabilities", spent["short", "log_probabilities"], spent["long", "log_probabilities"])
    _report("update", spent["short", "update"], spent["long", "update"])
    sums = [
        [a + b for a, b in zip(spent[n, "log_probabilities"], spent[n, "update"], strict=True)]
        for n in batches
    ]
    _report("both", *sums)


def _report(what: str, short: list[float], long: list[float]) -> None:
    ratios = [b / a for a, b in zip(short, long, strict=True)]
    print(
        f"  {what:<18}{statistics.median(short):8.2f} s {statistics.median(long):8.2f} s"
        f"   ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
