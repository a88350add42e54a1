"""Measures how much of the SSL tasks tiny-base learns with labels: a ceiling for what rewards can teach it.

    python benchmarks/ssl_ceiling.py                                    # the four classic tasks, 200 steps each
    python benchmarks/ssl_ceiling.py --tasks ssl_count --pixels 50176   # pictures of up to 64 tokens instead of 16

Each step has 32 new samples of pictures of the scenes' train stream, a prompt of one word, and the right answer as
the reply. Accuracy is the share of 400 samples of other pictures of this stream for which each token of the right
reply is the likeliest one, so that greedy decoding gives exactly this reply. One process, one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, Any

import torch
from transformers import PrinterCallback, TrainerCallback

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.stats.estimates import wilson
from ssl4rl_bench.task.registry import load_ssl
from ssl4rl_bench.task.scenes import Question
from ssl4rl_bench.task.ssl import SSLTask, Unusable
from ssl4rl_bench.train.tiny import sft
from ssl4rl_bench.train.tiny.pixels import pixels_of
from ssl4rl_bench.train.tiny.scenes_sft import Example, make_pool, styled

TASKS = "ssl_rotation_90,ssl_position,ssl_jigsaw_2x2,ssl_contrastive_weak"
BATCH, N_TEST, MIN_PIXELS = 32, 400, 3136
PER_LEAF, TEST_PER_LEAF = 120, 40
"""Pictures of each of the 15 leaves for training, and for the test."""


@dataclass(frozen=True)
class Labelled:
    """Samples of a task with their pictures; example i is sample i, and the samples repeat after the last one."""

    examples: Sequence[Example]
    pictures: Sequence[Any]

    def example(self, i: int) -> Example:
        return self.examples[i % len(self.examples)]


def labelled(task: SSLTask, questions: Sequence[Question], n: int, seed: int) -> Labelled:
    """Makes `n` samples of a task from random pictures."""
    examples: list[Example] = []
    pictures: list[Any] = []
    rng = Random(seed_of("ceiling", task.identity, seed))
    while len(examples) < n:
        image, other = (rng.choice(questions).drawn.image.convert("RGB") for _ in range(2))
        alone = not task.pairs or rng.random() < 0.5
        try:
            made = task.corrupt(image, rng.getrandbits(63), None if alone else other)
        except Unusable:
            continue
        places = tuple(range(len(pictures), len(pictures) + len(made.images)))
        pictures += made.images
        examples.append(Example(places, f"{task.kind}?", styled(made.target, made.target, "ssl4rl")))
    return Labelled(examples, pictures)


def n_right(model: Any, collator: sft.Collator, n: int) -> int:
    """Returns for how many of the first `n` samples each token of the right reply is the likeliest one."""
    model.eval()
    right = 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, n, 16):
            batch = collator(list(range(start, min(start + 16, n))))
            labels = batch.pop("labels")[:, 1:]
            likeliest = model(**batch).logits[:, :-1].argmax(-1)
            right += int(((likeliest == labels) | (labels == sft.IGNORED)).all(1).sum())
    model.train()
    return right


def train(
    name: str, steps: int, every: int, pixels: int, rate: float, seed: int, out: IO[str] | None
) -> None:
    """Trains tiny-base on a task, and prints the accuracy after each `every` steps."""
    _, task = load_ssl(name)
    known = make_pool(PER_LEAF).questions
    seen = {question.drawn.image.tobytes() for question in known}
    more = make_pool(PER_LEAF + TEST_PER_LEAF).questions
    new = [question for question in more if question.drawn.image.tobytes() not in seen]
    train_set, test_set = labelled(task, known, steps * BATCH, seed), labelled(task, new, N_TEST, 0)
    recipe = {
        "seed": seed,
        "init": "tiny-base",
        "train": {
            "steps": steps, "batch_size": BATCH, "learning_rate": rate, "warmup_steps": 20, "decay_steps": steps // 2,
            "weight_decay": 0.05, "clip": 1.0, "bf16": True, "save_every": steps,
        },
    }  # fmt: skip
    model, processor, _ = sft.start_of(recipe, train_set)  # type: ignore[arg-type]  # only `init` is used
    processor.image_processor.size = {"shortest_edge": MIN_PIXELS, "longest_edge": pixels}
    model.set_attn_implementation("eager")  # its backward pass is faster on a CPU
    collators = [
        sft.Collator(processor, pixels_of(processor, one.pictures), one)  # type: ignore[arg-type]  # as a course
        for one in (train_set, test_set)
    ]
    began = time.monotonic()

    def report(step: int) -> None:
        right = n_right(model, collators[1], N_TEST)
        low, high = wilson(right / N_TEST, N_TEST)
        seconds = time.monotonic() - began
        row = {"task": name, "pixels": pixels, "rate": rate, "seed": seed, "step": step, "right": right}
        print(
            f"| {name} | {step} | {100 * right / N_TEST:.2f} [{100 * low:.2f}, {100 * high:.2f}] | {N_TEST} "
            f"| {100 * task.chance:.2f} | {seconds:.0f} |",
            flush=True,
        )
        if out is not None:
            out.write(json.dumps({**row, "n": N_TEST, "seconds": round(seconds)}) + "\n")
            out.flush()

    class Reports(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % every == 0 or state.global_step == steps:
                report(state.global_step)

    with tempfile.TemporaryDirectory() as state:
        trainer = sft.make_sft_trainer(recipe, Path(state), model, collators[0])
        trainer.args.save_strategy = "no"
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Reports())
        report(0)
        trainer.train()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default=TASKS, help="names of SSL tasks, with commas")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=50, help="steps between two tests")
    parser.add_argument("--pixels", type=int, default=12544, help="maximum per picture; 784 are a token")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of Muon")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file of JSON lines to which each result is added")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| task | step | accuracy, % | n | chance, % | seconds |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    with args.out.open("a", encoding="utf-8") if args.out else nullcontext() as out:
        for name in args.tasks.split(","):
            train(name, args.steps, args.every, args.pixels, args.rate, args.seed, out)


if __name__ == "__main__":
    main()
