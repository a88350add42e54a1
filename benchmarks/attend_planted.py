"""Plants a difference for `attend` to find, and measures how often it finds it and how often it errs.

    python benchmarks/attend_planted.py train DIR [--steps 60]     # ten trainings of about 75 s of CPU time
    python benchmarks/attend_planted.py measure DIR [-n 400]       # then the table

From tiny-base, each seed is trained twice on questions about one of several drawn objects: once on pictures that
show only the object that is asked about ("planted": answers can depend on nothing else), and once on pictures
without it ("control": answers cannot depend on it). `attend` compares the two checkpoints of each seed, where there
is a difference, and the seeds of each recipe with each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from pathlib import Path
from random import Random
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.signal.looked_at import ASKED, OTHER, scenes_questions
from ssl4rl_bench.signal.margins import measure_margins
from ssl4rl_bench.signal.occlusion import background
from ssl4rl_bench.signal.sight import LEAST
from ssl4rl_bench.stats.clustered import ClusteredMean, clustered_mean, p_beyond
from ssl4rl_bench.task.prompts import render
from ssl4rl_bench.task.scenes import Question, asking
from ssl4rl_bench.train.tiny.scenes_sft import Example

Floats = NDArray[np.float64]
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


@dataclasses.dataclass(frozen=True)
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


def contrasts(folder: Path, n: int) -> dict[tuple[str, int], Floats]:
    """Measures the contrast per question of each checkpoint that exists; what was measured before is read."""
    from ssl4rl_bench.engines import EngineOptions
    from ssl4rl_bench.engines.checkpoints.weights import resolve_model
    from ssl4rl_bench.engines.hf import HfEngine

    questions = dataclasses.replace(scenes_questions(n), conditions=(ASKED, OTHER))
    out = {}
    for seed, kind in itertools.product(SEEDS, KINDS):
        place = _place(folder, kind, seed)
        saved = place / f"contrasts-{n}.json"
        if not (place / "ssl4rl.json").exists():
            continue
        if not saved.exists():
            began = time.monotonic()
            engine = HfEngine(resolve_model(str(place), chat=True), EngineOptions())
            margins = measure_margins(questions, engine, "option")
            assert len(margins.index) == n, "a question failed"
            saved.write_text(json.dumps((margins.values[:, 0] - margins.values[:, 1]).tolist()))
            print(f"{kind}-seed{seed}: {time.monotonic() - began:.0f} s", flush=True)
        out[kind, seed] = np.array(json.loads(saved.read_text()))
    return out


def _place(folder: Path, kind: str, seed: int) -> Path:
    return folder / f"{kind}-seed{seed}"


def report(folder: Path, n: int) -> None:
    """Prints the contrast of each checkpoint, and the differences between them."""
    done = contrasts(folder, n)
    for (kind, seed), values in done.items():
        print(f"{kind} {seed}: {shown(clustered_mean(values, range(n)))}")
    for seed in SEEDS:
        if ("planted", seed) in done and ("control", seed) in done:
            difference = done["planted", seed] - done["control", seed]
            print(f"planted minus control, seed {seed}: {compared(difference)}")
    for kind in KINDS:
        for first, second in itertools.combinations([seed for seed in SEEDS if (kind, seed) in done], 2):
            print(f"{kind}, seed {second} minus {first}: {compared(done[kind, second] - done[kind, first])}")


def compared(values: Floats) -> str:
    """Formats the difference of two checkpoints, with the p of a difference of at most `LEAST`."""
    index = range(len(values))
    return f"{shown(clustered_mean(values, index))}, p beyond {LEAST:g}: {p_beyond(values, index, LEAST):.4f}"


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
