"""Plants a difference for `attend` to find, and measures how often it finds it and how often it errs.

    python benchmarks/attend_planted.py train DIR [--steps 60]     # ten trainings of two minutes each on one core
    python benchmarks/attend_planted.py measure DIR [-n 400]       # then the table

From tiny-base, each seed is trained twice on questions about one of several drawn objects: once on pictures that
show only the object that is asked about ("planted": answers can depend on nothing else), and once on pictures
without it ("control": answers cannot depend on it). `attend` compares the two checkpoints of each seed, where there
is a difference, and the seeds of each recipe with each other.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.signal.attend_store import Measured
from ssl4rl_bench.signal.attending import AttendSettings, measure_all
from ssl4rl_bench.signal.looked_at import QuestionSet
from ssl4rl_bench.signal.occlusion import background
from ssl4rl_bench.signal.sight import CONTRAST, difference_of, effect_of
from ssl4rl_bench.stats.clustered import ClusteredMean, clustered_mean
from ssl4rl_bench.task.prompts import render
from ssl4rl_bench.task.scenes import Question, asking
from ssl4rl_bench.train.tiny.scenes_sft import Example

KINDS = ("planted", "control")
SEEDS = range(1, 6)
POOL = 1_500
"""The number of questions of the train stream from which examples are made."""


def masked(question: Question, kind: str) -> Any:
    """Returns the picture with everything outside the asked object's box hidden, or with only that box hidden."""
    drawn = question.drawn
    assert drawn.asked is not None
    box, image = drawn.objects[drawn.asked].box, drawn.image.copy()
    paper = background(image)
    if kind == "control":
        image.paste(paper, box)
        return image
    shown = image.crop(box)
    image.paste(paper, (0, 0, *image.size))
    image.paste(shown, box[:2])
    return image


@dataclass(frozen=True)
class Masked:
    """The examples of a training: question and picture i, in an order that depends on the seed."""

    seed: int
    questions: tuple[Question, ...]

    def example(self, i: int) -> Example:
        """Returns example `i`, which depends only on the seed and `i`."""
        rng = Random(seed_of("attend planted", self.seed, i))
        index = rng.randrange(len(self.questions))
        question = self.questions[index]
        choices = question.choices(rng.randrange(question.n_rolls))
        answer = question.drawn.answer
        letter = next(letter for letter, text in choices.items() if text == answer)
        prompt = render("ssl4rl", question=question.drawn.question, hint="", choices=choices)
        return Example((index,), prompt, f"<think>{answer} {letter}</think> <answer>{letter}</answer>")


def train(kind: str, seed: int, steps: int, out: Path) -> None:
    """Trains tiny-base on masked pictures and saves the checkpoint in `out`."""
    import time

    from ssl4rl_bench.train.tiny.pixels import pixels_of
    from ssl4rl_bench.train.tiny.sft import Collator, Course, make_sft_trainer, save, start_of

    began = time.time()
    recipe = {
        "name": f"{kind}-seed{seed}",
        "seed": seed,
        "init": "tiny-base",
        "train": {
            "steps": steps,
            "batch_size": 16,
            "learning_rate": 4.0e-4,
            "warmup_steps": 10,
            "decay_steps": steps // 2,
            "weight_decay": 0.05,
            "clip": 1.0,
            "bf16": True,
            "save_every": steps,
            "log_every": 25,
        },
    }
    course = cast(Course, Masked(seed, tuple(asking("train", POOL))))
    model, processor, init = start_of(recipe, course)
    pixels = pixels_of(processor, [masked(question, kind) for question in course.questions])  # type: ignore[attr-defined]
    model.set_attn_implementation("eager")
    trainer = make_sft_trainer(recipe, out / "state", model, Collator(processor, pixels, course))
    trainer.train()
    save(trainer.model, processor, recipe, init, trainer.state.log_history, time.time() - began, out)


def measured(folder: Path, n: int) -> tuple[QuestionSet, dict[tuple[str, int], Measured]]:
    """Measures the checkpoints that exist; what was measured before is read."""
    names = [(kind, seed) for kind, seed in itertools.product(KINDS, SEEDS)]
    ready = [name for name in names if (_place(folder, *name) / "ssl4rl.json").exists()]
    models = tuple(str(_place(folder, *name)) for name in ready)
    settings = AttendSettings(models, n_questions=n, layers=False, out=folder / "attend")
    questions, results = measure_all(settings)
    return questions, dict(zip(ready, results, strict=True))


def _place(folder: Path, kind: str, seed: int) -> Path:
    return folder / f"{kind}-seed{seed}"


def report(folder: Path, n: int) -> None:
    """Prints the contrast of each checkpoint, and the differences between them."""
    questions, done = measured(folder, n)
    for (kind, seed), one in done.items():
        effect = clustered_mean(effect_of(one, CONTRAST, questions), one.margins.index)
        right = one.margins.is_right[:, 0].mean()
        print(f"{kind} {seed}: right {right:.1%}, contrast {shown(effect)}, {one.seconds:.0f} s")
    for seed in SEEDS:
        if ("planted", seed) in done and ("control", seed) in done:
            pair = done["control", seed], done["planted", seed]
            print(f"planted minus control, seed {seed}: {shown(difference_of(*pair, CONTRAST, questions))}")
    for kind in KINDS:
        for first, second in itertools.combinations([seed for seed in SEEDS if (kind, seed) in done], 2):
            pair = done[kind, first], done[kind, second]
            print(f"{kind}, seed {second} minus {first}: {shown(difference_of(*pair, CONTRAST, questions))}")


def shown(mean: ClusteredMean) -> str:
    """Formats a mean with its interval, p, standard deviation and the number of questions for 0.3 nats."""
    low, high = mean.ci95 or (0.0, 0.0)
    spread = (mean.se or 0.0) * mean.n**0.5
    return (
        f"{mean.value:+.3f} [{low:+.3f}, {high:+.3f}], p {mean.p:.4f}, sd {spread:.2f}, "
        f"n for 0.3 nats: {mean.needed(0.3)}"
    )


def main() -> None:
    """Trains or measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("train", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("-n", type=int, default=400)
    args = parser.parse_args()
    if args.what == "train":
        for seed in SEEDS:
            for kind in KINDS:
                out = _place(args.folder, kind, seed)
                if not (out / "ssl4rl.json").exists():
                    train(kind, seed, args.steps, out)
    else:
        report(args.folder, args.n)


if __name__ == "__main__":
    run_command(main)
