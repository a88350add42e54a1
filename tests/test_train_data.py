"""What the bundled checkpoint learns from: the same for the same number, and never the benchmark."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from ssl4rl_bench import extract, scenes
from ssl4rl_bench.hashing import sha256_hex
from ssl4rl_bench.train.scenes_sft import DESCRIBE, Pool, Schedule, make_pool, reply

RECIPES = Path(scenes.__file__).parents[2] / "train" / "recipes"


@pytest.fixture(scope="module")
def pool() -> Pool:
    return make_pool(8)


SCHEDULE = Schedule(
    seed=3,
    batch_size=4,
    drill_steps=5,
    describe_steps=10,
    drill_share=0.4,
    describe_share=0.25,
    styles=("ssl4rl", "cot", "direct"),
)


def test_the_pool_has_no_picture_of_the_benchmark(pool: Pool) -> None:
    dev = {sha256_hex(q.drawn.image.tobytes()) for q in scenes.questions("dev")}
    assert len(pool.questions) == 8 * len(scenes.LEAVES)
    assert not dev & {sha256_hex(q.drawn.image.tobytes()) for q in pool.questions}
    assert {"red", "happy"} <= set(pool.words) and not any(" " in word for word in pool.words)


def test_an_example_depends_on_its_number_alone(pool: Pool) -> None:
    forward = [SCHEDULE.example(i, pool) for i in range(200)]
    assert [SCHEDULE.example(i, pool) for i in reversed(range(200))] == forward[::-1]
    assert len({e.prompt for e in forward}) > 50


def test_first_drills_then_descriptions_then_questions(pool: Pool) -> None:
    def kinds(steps: range) -> Counter[str]:
        numbers = range(steps.start * 4, steps.stop * 4)
        examples = [SCHEDULE.example(i, pool) for i in numbers]
        return Counter(
            "drill" if e.picture is None else "describe" if e.prompt == DESCRIBE else "question"
            for e in examples
        )

    assert set(kinds(range(0, 5))) == {"drill"}
    assert set(kinds(range(5, 15))) == {"drill", "describe"}
    later = kinds(range(15, 415))
    assert 0.3 < later["drill"] / later.total() < 0.5
    assert 0.15 < later["describe"] / (later["describe"] + later["question"]) < 0.35


def test_every_reply_to_learn_reads_as_the_right_letter(pool: Pool) -> None:
    for q in pool.questions:
        for roll in range(q.n_rolls):
            choices = q.choices(roll)
            right = next(letter for letter, text in choices.items() if text == q.drawn.answer)
            for style in SCHEDULE.styles:
                assert extract.read(reply(q, choices, style), choices).answer == right


def test_recipes_are_toml_with_the_keys_that_the_trainer_reads() -> None:
    for path in RECIPES.glob("*.toml"):
        recipe = tomllib.loads(path.read_text())
        assert {"name", "seed", "tokenizer", "processor", "text", "vision", "data", "train"} <= set(recipe)
