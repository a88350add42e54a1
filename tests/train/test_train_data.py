"""What the bundled checkpoint learns from: the same for the same number, and never the benchmark."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from examples import examples

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.types import Completion, EncodedImage, TextPart
from ssl4rl_bench.task import extract, scenes
from ssl4rl_bench.task.registry import load_ssl
from ssl4rl_bench.task.ssl import Unusable
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.train.tiny import ssl_sft
from ssl4rl_bench.train.tiny.scenes_sft import DESCRIBE, ExamplePool, Schedule, make_pool, reply, styled
from ssl4rl_bench.train.tiny.sft import Course

RECIPES = Path(scenes.__file__).parents[3] / "train" / "recipes"


@pytest.fixture(scope="module")
def pool() -> ExamplePool:
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


@pytest.mark.slow
def test_the_pool_has_no_picture_of_the_benchmark(pool: ExamplePool) -> None:
    dev = {sha256_hex(q.drawn.image.tobytes()) for q in scenes.questions("dev")}
    assert len(pool.questions) == 8 * len(scenes.LEAVES)
    assert not dev & {sha256_hex(q.drawn.image.tobytes()) for q in pool.questions}
    assert {"red", "happy"} <= set(pool.words) and not any(" " in word for word in pool.words)


@pytest.mark.slow
def test_an_example_depends_on_its_number_alone(pool: ExamplePool) -> None:
    forward = [SCHEDULE.example(i, pool) for i in range(200)]
    assert [SCHEDULE.example(i, pool) for i in reversed(range(200))] == forward[::-1]
    assert len({e.prompt for e in forward}) > 50


@pytest.mark.slow
def test_first_drills_then_descriptions_then_questions(pool: ExamplePool) -> None:
    def kinds(steps: range) -> Counter[str]:
        numbers = range(steps.start * 4, steps.stop * 4)
        examples = [SCHEDULE.example(i, pool) for i in numbers]
        return Counter(
            "drill" if not e.pictures else "describe" if e.prompt == DESCRIBE else "question"
            for e in examples
        )

    assert set(kinds(range(0, 5))) == {"drill"}
    assert set(kinds(range(5, 15))) == {"drill", "describe"}
    later = kinds(range(15, 415))
    assert 0.3 < later["drill"] / later.total() < 0.5
    assert 0.15 < later["describe"] / (later["describe"] + later["question"]) < 0.35


def test_every_reply_to_learn_reads_as_the_right_letter(pool: ExamplePool) -> None:
    for q in pool.questions:
        for roll in range(q.n_rolls):
            choices = q.choices(roll)
            right = next(letter for letter, text in choices.items() if text == q.drawn.answer)
            for style in SCHEDULE.styles:
                assert extract.read(reply(q, choices, style), choices).answer == right


FORMS_RECIPE = tomllib.loads((RECIPES / "tiny_base_forms.toml").read_text())
NAMES = list(FORMS_RECIPE["ssl"]["tasks"])


@pytest.fixture(scope="module")
def made(pool: ExamplePool) -> tuple[ssl_sft.Forms, list[Any]]:
    ssl = FORMS_RECIPE["ssl"]
    return ssl_sft.make_forms(ssl["tasks"], ssl["styles"], pool, per_task=2, batch_size=4, seed=4)


@pytest.mark.slow
def test_forms_are_made_of_every_task_of_the_card_s_kinds(
    made: tuple[ssl_sft.Forms, list[Any]], pool: ExamplePool
) -> None:
    forms, pictures = made
    assert sorted(f"ssl4rl_{name}" for name in NAMES) == sorted(
        name
        for name in task_names()
        if (ssl := load_taskfile(name).ssl)
        and ssl["kind"] in ("contrastive", "jigsaw", "position", "rotation")
    )
    used = [picture for form in forms.forms for sample in form.samples for picture in sample.pictures]
    assert used == list(range(len(pool.questions), len(pool.questions) + len(pictures)))
    assert all(len(form.samples) == 2 for form in forms.forms)
    assert {len(form.samples[0].pictures) for form in forms.forms if form.task.kind == "jigsaw"} == {4, 9, 16}


def test_a_form_depends_on_its_number_alone_and_asks_as_the_task_does(
    made: tuple[ssl_sft.Forms, list[Any]],
) -> None:
    forms, _ = made
    examples = [forms.example(i) for i in range(300)]
    assert [forms.example(i) for i in reversed(range(300))] == examples[::-1]
    blank = EncodedImage(b"", "")
    asked = set()
    for form in forms.forms:
        for style in forms.styles:
            (message,) = form.task.messages([blank] * len(form.samples[0].pictures), style)
            *shown, text = message.content
            assert len(shown) == len(form.samples[0].pictures) and isinstance(text, TextPart)
            asked.add(text.text)
    assert {e.prompt for e in examples} <= asked


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_replies_to_learn_are_valid_answers_by_lot(name: str) -> None:
    _, task = load_ssl(name)
    rng = Random(1)
    drawn = Counter(ssl_sft.any_answer(task, rng) for _ in range(2000))
    for answer in list(drawn)[: examples(2000)]:
        for style in ("ssl4rl", "cot", "direct"):
            score = task.score(Completion(styled(answer, answer, style), "stop"), answer)
            assert score.value == 1.0, (answer, style)
        assert task.score(Completion(styled(answer, answer, "ssl4rl"), "stop"), answer, "strict").value == 1.0
    if task.chance > 0.02:
        assert len(drawn) == round(1 / task.chance)
        assert all(abs(n / 2000 - task.chance) < 0.05 for n in drawn.values())
    else:
        assert len(drawn) > 1900


def test_a_task_that_can_use_no_picture_is_named(pool: ExamplePool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        pairs, identity = False, "never/1"

        def corrupt_drawing(self, *_: Any) -> Any:
            raise Unusable("it is never usable")

    monkeypatch.setattr(ssl_sft, "load_ssl", lambda name: (None, Never()))
    with pytest.raises(DataError, match="never/1"):
        ssl_sft.make_forms({"ssl_never": 1.0}, ["ssl4rl"], pool, per_task=1, batch_size=1, seed=1)


def test_every_third_batch_is_of_forms(made: tuple[ssl_sft.Forms, list[Any]], pool: ExamplePool) -> None:
    course = Course(SCHEDULE, pool, made[0], every=3)
    batches = [[course.example(b * 4 + at) for at in range(4)] for b in range(9)]
    assert [batches[b] for b in (2, 5, 8)] == [
        [made[0].example(n * 4 + at) for at in range(4)] for n in range(3)
    ]
    scenes_only = Course(SCHEDULE, pool)
    rest = [e for b, batch in enumerate(batches) if b % 3 < 2 for e in batch]
    assert rest == [scenes_only.example(i) for i in range(24)]


def test_supervised_recipes_are_toml_with_the_keys_that_the_trainer_reads() -> None:
    for path in RECIPES.glob("tiny_base*.toml"):
        recipe = tomllib.loads(path.read_text())
        assert {"name", "seed", "data", "train"} <= set(recipe)
        assert {"init"} <= set(recipe) or {"tokenizer", "processor", "text", "vision"} <= set(recipe)
