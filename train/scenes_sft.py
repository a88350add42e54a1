"""Supervised examples from the scenes' train stream: a picture, a prompt, the reply to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ssl4rl_bench.hashing import seed_of, sha256_hex
from ssl4rl_bench.prompts import render
from ssl4rl_bench.scenes import Question, questions

DESCRIBE = "Describe the picture."


@dataclass(frozen=True)
class Example:
    picture: int | None
    """Position of its picture in the pool; None for text alone."""
    prompt: str
    reply: str


@dataclass(frozen=True)
class Schedule:
    """What example i is: a function of i alone, so that a resumed run sees the same order."""

    seed: int
    n_describe: int
    """The first examples only describe: short, and every token is about the picture."""
    describe_share: float
    """Share of descriptions after that."""
    styles: tuple[str, ...]
    """Prompt styles, drawn evenly."""
    batch_size: int
    """A batch is all drill or has none, so that drills stay short."""
    drill_from: int
    """The first example of the first batch that may be a drill."""
    drill_share: float
    """Share of drills in the batches from there on."""

    def example(self, i: int, pool: Sequence[Question]) -> Example:
        rng = Random(seed_of("scenes sft", self.seed, i))
        if i >= self.drill_from:
            batch = Random(seed_of("scenes sft batch", self.seed, i // self.batch_size))
            if batch.random() < self.drill_share:
                return drill(rng, pool)
        picture = rng.randrange(len(pool))
        q = pool[picture]
        if i < self.n_describe or rng.random() < self.describe_share:
            return Example(picture, DESCRIBE, q.drawn.caption)
        style = rng.choice(self.styles)
        choices = q.choices(rng.randrange(q.n_rolls))
        prompt = render(style, question=q.drawn.question, hint="", choices=choices)
        return Example(picture, prompt, reply(q, choices, style))


def reply(question: Question, choices: dict[str, str], style: str) -> str:
    """The reply to learn in a prompt style: what is seen, what decides, then the letter."""
    answer = question.drawn.answer
    letter = next(letter for letter, text in choices.items() if text == answer)
    seen = [question.drawn.caption, question.drawn.clue]
    thought = ". ".join(dict.fromkeys([*seen, f"{answer} is {letter}"]))
    if style == "ssl4rl":
        return f"<think>{thought}</think> <answer>{letter}</answer>"
    return f"{thought}. The answer is {letter}." if style == "cot" else letter


def drill(rng: Random, pool: Sequence[Question]) -> Example:
    """Text alone: options in the prompt's layout, and which text has which letter, in any order.

    Finding an option's letter is a skill of its own. Without drills the letters stayed at chance for the
    first 1,250 steps, while nearly everything else in the replies was already right.
    """
    q = rng.choice(pool)
    choices = q.choices(rng.randrange(q.n_rolls))
    if rng.random() < 0.5:
        texts = [text for other in rng.choices(pool, k=4) for text in rng.sample(other.options, 1)]
        choices = dict(zip("ABCD", dict.fromkeys(texts), strict=False))
    pairs = [f"{text} is {letter}" for letter, text in choices.items()]
    rng.shuffle(pairs)
    options = "".join(f"{letter}. {text}\n" for letter, text in choices.items())
    return Example(None, f"Options:\n{options}Which is which?", ". ".join(pairs))


def pool(per_leaf: int) -> list[Question]:
    """The train stream without any picture that the dev stream shows."""
    taken = {sha256_hex(q.drawn.image.tobytes()) for q in questions("dev")}
    return [q for q in questions("train", per_leaf) if sha256_hex(q.drawn.image.tobytes()) not in taken]


def pixel_values(processor: Any, pictures: Sequence[Any]) -> Any:
    """What the image processor makes of pictures of one size: bf16, (pictures, patches, 3 * 14 * 14).

    The processor repeats a still picture's patches for two points in time; one of them is kept.
    """
    import torch

    size = processor.image_processor.patch_size
    out = []
    for start in range(0, len(pictures), 256):
        batch = list(pictures[start : start + 256])
        values = processor.image_processor(images=batch, return_tensors="pt")["pixel_values"]
        values = values.reshape(len(batch), -1, 3, 2, size * size)[:, :, :, 0]
        out.append(values.flatten(2).to(torch.bfloat16))
    return torch.cat(out)


def both_times(values: Any) -> Any:
    """Undoes the halving of `pixel_values`: float32, (pictures * patches, 3 * 2 * 14 * 14)."""
    n, patches, _ = values.shape
    still = values.float().reshape(n * patches, 3, 1, -1)
    return still.expand(-1, -1, 2, -1).flatten(1)
