"""Supervised examples from the scenes' train stream: a picture, a prompt, the reply to learn."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ssl4rl_bench.core.identity import seed_of, sha256_hex
from ssl4rl_bench.task.prompts import render
from ssl4rl_bench.task.scenes import Question, questions

DESCRIBE = "Describe the picture."


@dataclass(frozen=True)
class Example:
    """A prompt and the reply to learn."""

    pictures: tuple[int, ...]
    """Positions of its pictures in the trainer's list, in the order shown; those of the pool come first in it."""
    prompt: str
    """The text, which stands behind the pictures."""
    reply: str
    letters_only: bool = False
    """Whether the loss is on the reply's letters alone."""


@dataclass(frozen=True)
class Pool:
    """What examples are made of."""

    questions: tuple[Question, ...]
    words: tuple[str, ...]
    """All options of one word, sorted."""


@dataclass(frozen=True)
class Schedule:
    """What example i is: a function of i alone, so that a resumed run sees the same order.

    First come batches that drill finding a word's letter; then descriptions; then questions. A share of the
    later batches are drills too. Without drills the letters stayed at chance for 3,000 steps while nearly
    everything else in the replies was right; with drills on words alone they are found after about 250.
    """

    seed: int
    batch_size: int
    drill_steps: int
    """Batches of nothing but drills."""
    describe_steps: int
    """Batches after those that have no questions."""
    drill_share: float
    """Share of drills in the batches after the first."""
    describe_share: float
    """Share of descriptions among questions."""
    styles: tuple[str, ...]
    """Prompt styles, drawn evenly."""

    def example(self, i: int, pool: Pool) -> Example:
        rng = Random(seed_of("scenes sft", self.seed, i))
        step = i // self.batch_size
        # All of a batch or none of it, so that drills stay short.
        dice = Random(seed_of("scenes sft batch", self.seed, step)).random()
        if step < self.drill_steps or dice < self.drill_share:
            return drill(rng, pool, words=step < self.drill_steps or dice < self.drill_share / 2)
        picture = rng.randrange(len(pool.questions))
        q = pool.questions[picture]
        if step < self.drill_steps + self.describe_steps or rng.random() < self.describe_share:
            return Example((picture,), DESCRIBE, q.drawn.caption)
        style = rng.choice(self.styles)
        choices = q.choices(rng.randrange(q.n_rolls))
        prompt = render(style, question=q.drawn.question, hint="", choices=choices)
        return Example((picture,), prompt, reply(q, choices, style))


def reply(question: Question, choices: dict[str, str], style: str) -> str:
    """The reply to learn in a prompt style: what is seen, what decides, then the letter."""
    answer = question.drawn.answer
    letter = next(letter for letter, text in choices.items() if text == answer)
    seen = [question.drawn.caption, question.drawn.clue]
    thought = ". ".join(dict.fromkeys([*seen, f"{answer} {letter}"]))
    return styled(thought, letter, style)


def styled(thought: str, answer: str, style: str) -> str:
    """The reply with this thought and answer in a prompt style."""
    if style == "ssl4rl":
        return f"<think>{thought}</think> <answer>{answer}</answer>"
    return f"{thought}. The answer is {answer}." if style == "cot" else answer


def drill(rng: Random, pool: Pool, words: bool) -> Example:
    """Text alone: options in the prompt's layout, and which has which letter, in any order.

    Args:
        words: four words that go together by chance; else a question's own options.
    """
    if words:
        choices = dict(zip("ABCD", rng.sample(pool.words, 4), strict=True))
    else:
        q = rng.choice(pool.questions)
        choices = q.choices(rng.randrange(q.n_rolls))
    pairs = [f"{text} {letter}" for letter, text in choices.items()]
    rng.shuffle(pairs)
    options = "".join(f"{letter}. {text}\n" for letter, text in choices.items())
    return Example((), f"Options:\n{options}Which is which?", " " + ". ".join(pairs), letters_only=True)


def make_pool(per_leaf: int) -> Pool:
    """The train stream without any picture that the dev stream shows."""
    taken = {sha256_hex(q.drawn.image.tobytes()) for q in questions("dev")}
    kept = tuple(q for q in questions("train", per_leaf) if sha256_hex(q.drawn.image.tobytes()) not in taken)
    words = sorted({text for q in kept for text in q.options if text.isalpha()})
    return Pool(kept, tuple(words))
