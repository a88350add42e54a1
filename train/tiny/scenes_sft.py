"""Makes supervised examples from the scenes' train stream: a picture, a prompt, and the reply to learn."""

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
    """Indices of the pictures in the trainer's list, which starts with the pool's, in the order shown."""
    prompt: str
    """The text that follows the pictures."""
    reply: str
    letters_only: bool = False
    """Whether only the letters in the reply contribute to the loss."""


@dataclass(frozen=True)
class ExamplePool:
    """The questions and words from which examples are made."""

    questions: tuple[Question, ...]
    words: tuple[str, ...]
    """All options that consist of one word, sorted."""


@dataclass(frozen=True)
class Schedule:
    """Determines example i from i alone, so that a resumed run sees the same order.

    The first batches are drills in finding the letter of a word. Descriptions follow, and then questions. A
    share of the later batches are also drills. Without drills, the letters stayed at chance for 3,000 steps
    while nearly everything else in the replies was correct; with drills on words only, they are learnt after
    about 250 steps.
    """

    seed: int
    batch_size: int
    drill_steps: int
    """Number of batches at the start that consist of drills."""
    describe_steps: int
    """Number of batches after these that have no questions."""
    drill_share: float
    """Share of drills among the batches after `drill_steps`."""
    describe_share: float
    """Share of descriptions in the batches with questions."""
    styles: tuple[str, ...]
    """Prompt styles, drawn uniformly."""

    def example(self, i: int, pool: ExamplePool) -> Example:
        """Returns example `i` about pictures of `pool`; it depends only on the seed and `i`."""
        rng = Random(seed_of("scenes sft", self.seed, i))
        step = i // self.batch_size
        # Either all examples of a batch are drills or none, so that batches of drills stay short.
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
    """Returns the reply to learn in a prompt style: the caption, the clue that decides, and the letter."""
    answer = question.drawn.answer
    letter = next(letter for letter, text in choices.items() if text == answer)
    seen = [question.drawn.caption, question.drawn.clue]
    thought = ". ".join(dict.fromkeys([*seen, f"{answer} {letter}"]))
    return styled(thought, letter, style)


def styled(thought: str, answer: str, style: str) -> str:
    """Formats a thought and an answer as a reply in a prompt style."""
    if style == "ssl4rl":
        return f"<think>{thought}</think> <answer>{answer}</answer>"
    return f"{thought}. The answer is {answer}." if style == "cot" else answer


def drill(rng: Random, pool: ExamplePool, words: bool) -> Example:
    """Returns an example without pictures: options in the prompt's layout, and their letters in random order.

    Args:
        words: whether the options are four random words, rather than the options of a question.
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


def make_pool(per_leaf: int) -> ExamplePool:
    """Returns the train stream without the pictures that are also in the dev stream."""
    taken = {sha256_hex(q.drawn.image.tobytes()) for q in questions("dev")}
    distinct = tuple(
        q for q in questions("train", per_leaf) if sha256_hex(q.drawn.image.tobytes()) not in taken
    )
    words = sorted({text for q in distinct for text in q.options if text.isalpha()})
    return ExamplePool(distinct, tuple(words))
