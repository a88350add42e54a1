"""Caption: the answer is the one word that is false of the saved picture, and the text alone does not tell it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Literal

import commands
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_reader import read_shapes
from ssl_pictures import noise, said

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.images import from_bytes
from ssl4rl_bench.core.types import Completion, Status
from ssl4rl_bench.datasets import build_dataset
from ssl4rl_bench.task import scenes
from ssl4rl_bench.task.pictures import make
from ssl4rl_bench.task.pictures.making import Made, Opened
from ssl4rl_bench.task.registry import load_probe
from ssl4rl_bench.task.scenes.draw import COLOURS, QUADRANTS, SHAPES
from ssl4rl_bench.task.scenes.question import PlacedShape
from ssl4rl_bench.task.ssl import Unusable, make_task
from ssl4rl_bench.task.ssl.caption import WORDS, Caption
from ssl4rl_bench.train.rewards import compute_score, make_reward

Level = Literal["easy", "hard"]
PHRASE = re.compile(r"\ban? (\w+) (\w+) at the ([\w-]+)")
LEAVES = ("attribute_recognition", "object_localization", "image_style", "image_quality")
FEW = "scenes:caption-test:8:attribute_recognition"
LEVELS: tuple[Level, ...] = ("easy", "hard")


def sample(task: Caption, leaf: str, number: int, index: int = 0) -> Made | None:
    """A sample of a drawing; None if its shapes are too few, or it shows something else."""
    (place,) = (place for place in scenes.LEAVES if place.name == leaf)
    png = scenes.png(scenes.question("eye", place, number).drawn)
    try:
        return make(task, Opened.of(from_bytes(png), f"eye/{leaf}/{number}"), index)[0]
    except Unusable:
        return None


def drawn(rng: Random, n: int) -> list[PlacedShape]:
    """Shapes as scenes draws them."""
    columns = (rng.sample(list(names), n) for names in (COLOURS, SHAPES, QUADRANTS))
    return [PlacedShape(*row) for row in zip(*columns, strict=True)]


@given(st.sampled_from(LEVELS), st.sampled_from(LEAVES), st.integers(0, 10**4), st.integers(0, 50))
@settings(max_examples=examples(200), deadline=None)
def test_one_word_is_false_of_the_saved_picture_and_all_others_are_true(
    level: Level, leaf: str, number: int, index: int
) -> None:
    made = sample(Caption(level), leaf, number, index)
    if made is None:
        return
    (picture,) = made.images
    seen = read_shapes(picture.data)
    phrases = PHRASE.findall(made.text)
    assert len(set(phrases)) == made.text.count(" at the ") == 2
    (false,) = (phrase for phrase in phrases if phrase not in seen)
    # Two words of the false phrase are true of one shape, which the other phrase does not describe, so that the third
    # is the false one; no two words are true of another shape.
    differing = [
        [word for word, true in zip(false, shape, strict=True) if word != true]
        for shape in seen
        if shape not in phrases
    ]
    assert [words for words in differing if len(words) == 1] == [[made.target]]
    assert sum(phrase.count(made.target) for phrase in phrases) == 1
    assert any(made.target in shape for shape in seen) == (level == "hard")


def test_every_word_is_equally_likely_and_a_false_caption_looks_like_a_true_one() -> None:
    """Uniform for each pair of words, so that no combination in a text tells which word is false."""
    rng, picture = Random(0), noise(32, 32)
    levels: list[tuple[Level, int]] = [("easy", 2), ("easy", 3), ("hard", 3), ("hard", 4)]
    for level, of in levels:
        task, places, words, pairs = Caption(level), Counter[int](), Counter[str](), Counter[frozenset[str]]()
        for seed in range(2400):
            made = task.corrupt_drawing(picture, drawn(rng, of), seed)
            candidates = task.candidates(made.text)
            assert len(set(candidates)) == len(candidates) == 6
            places[list(candidates).index(made.target)] += 1
            words.update(candidates)
            pairs[frozenset(candidates[:3:2])] += 1
        assert _chi_square(places, 6) < 22.1  # p = 0.0005
        for kind in (COLOURS, SHAPES):
            assert _chi_square(Counter({word: words[word] for word in kind}), 6) < 25
        assert _chi_square(pairs, 24) < 55  # each colour in each place


def _chi_square(counts: Counter[object] | Counter[str] | Counter[int], n: int) -> float:
    expected = sum(counts.values()) / n
    return sum((count - expected) ** 2 for count in counts.values()) / expected


def test_samples_depend_on_the_drawing_and_the_index_alone() -> None:
    first, again = (load_probe("ssl_caption_easy", data=FEW) for _ in range(2))
    few = load_probe("ssl_caption_easy", data=FEW, limit=5)
    assert first == again and few.samples == first.samples[:5]
    assert first.data_sha256 != few.data_sha256 != load_probe("ssl_caption_hard", data=FEW).data_sha256
    task = Caption()
    one, other = (sample(task, "attribute_recognition", 1, index) for index in (0, 1))
    assert one is not None and other is not None and one.text != other.text


@pytest.mark.parametrize("style", ["ssl4rl", "direct", "cot", "boxed"])
def test_the_prompt_has_the_caption_of_its_sample(style: str) -> None:
    probe = load_probe("ssl_caption_easy", data=FEW, prompt=style)
    assert not list(probe.defects())
    assert len(set(probe.texts.values())) == len(probe.samples) == 8
    for one in probe.samples:
        caption = probe.texts[one.id]
        assert one.text().count(caption) == 1
        assert one.target in probe.candidates(one) and len(probe.candidates(one)) == 6
        # No other word of the prompt can be an answer.
        assert not Caption().candidates(one.text().replace(caption, ""))


@pytest.mark.parametrize("format", ["parquet", "jsonl", "verl", "trl", "tsv"])
def test_the_rows_of_data_sets_ask_what_the_probe_asks(format: str, tmp_path: Path) -> None:
    probe = load_probe("ssl_caption_easy", data=FEW)
    build_dataset(Caption(), "ssl4rl_ssl_caption_easy", FEW, tmp_path / "set", format=format, workers=1)
    prompts = {one.text(): one.target for one in probe.samples}
    if format in ("parquet", "verl", "trl"):
        import pyarrow.parquet as pq

        rows = pq.read_table(tmp_path / "set" / "data.parquet").to_pylist()
        asked = [row["prompt"] if format == "parquet" else row["prompt"][0]["content"] for row in rows]
        assert {text.removeprefix("<image>") for text in asked} == prompts.keys()
    else:
        (file,) = (tmp_path / "set").glob("data.*")
        text = file.read_text()
        assert all(text.count(caption) == 1 for caption in probe.texts.values())


def test_rewards_are_the_scores(tmp_path: Path) -> None:
    reward = make_reward(["ssl_caption_easy"])
    probe = load_probe("ssl_caption_easy", data=FEW)
    for one in probe.samples:
        words = probe.candidates(one)
        replies = [f"<think>?</think> <answer>{word}</answer>" for word in words]
        values = reward(replies, target=[one.target] * len(words))
        assert values == [float(word == one.target) for word in words]
        assert sum(filter(None, values)) / len(words) == pytest.approx(probe.ssl.chance)
        assert compute_score("ssl4rl_ssl_caption_easy", f"<answer>{one.target}</answer>", one.target) == 1.0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("red", "red"),
        ("Red.", "red"),
        ('"red"', "red"),
        ("'Star'", "star"),
        ("The false word is 'red'", "red"),
        ("the colour red is wrong", "red"),
        ("the incorrect word in the caption is: star", "star"),
        ("top-left", "top-left"),
        ("Top left", "top-left"),
        ("the lower right corner", "bottom-right"),
        ("red, not blue", None),
        ("red should be blue", None),
        ("not red", None),
        ("red or star", None),
        ("left", None),
        ("banana", None),
        ("picture", None),
        ("", None),
    ],
)
def test_replies(text: str, word: str | None) -> None:
    assert Caption().parse(text) == word
    if word is not None:
        score = Caption().score(said(text), "red")
        assert (score.value, score.answer, score.status) == (float(word == "red"), word, Status.TAG)


def test_another_word_is_wrong_and_what_is_no_such_word_is_not_read() -> None:
    for text in ("banana", "the picture", "left", "red or star", "I see no error."):
        assert Caption().score(said(text), "red").answer is None, text
    assert Caption().score(said("blue"), "red").answer == "blue"


def test_a_statement_without_a_tag_is_read() -> None:
    for text in ("The answer is red.", "The false word is red.", "I looked at it.\n\nred", r"\boxed{red}"):
        assert Caption().score(Completion(text=text, finish_reason="stop"), "red").value == 1.0, text


@given(st.text(max_size=60), st.sampled_from(WORDS), st.sampled_from(WORDS))
@settings(max_examples=examples(200), deadline=None)
def test_any_text_is_a_word_or_none(text: str, one: str, other: str) -> None:
    assert Caption().parse(text) in (None, *WORDS)
    assert Caption().parse(f"  {one.upper()} ") == one
    if one != other:
        assert Caption().parse(f"{one} {text} {other}") not in WORDS or text


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "dev" / "attribute_recognition"
    folder.mkdir(parents=True)
    noise(224, 224).save(folder / "3.png")
    message = r"caption asks about built-in drawings only, and \S*3\.png is not one: choose the images scenes"
    with pytest.raises(UsageError, match=f"^ssl4rl_ssl_caption_easy: {message}"):
        load_probe("ssl_caption_easy", data=str(tmp_path))
    with pytest.raises(UsageError, match=message):
        build_dataset(Caption(), "ssl4rl_ssl_caption_easy", str(tmp_path), tmp_path / "set", workers=1)
    done = commands.bench("validate", "ssl_caption_easy", "--images", tmp_path, "--samples", "0")
    assert done.code == 2 and "choose the images scenes" in " ".join(done.err.split())
    # The bytes decide, not the name alone.
    with pytest.raises(UsageError, match="is not one"):
        make(Caption(), Opened.of(from_bytes(scenes_png(0)), "eye/attribute_recognition/1"))


def scenes_png(number: int) -> bytes:
    (leaf,) = (leaf for leaf in scenes.LEAVES if leaf.name == "attribute_recognition")
    return scenes.png(scenes.question("eye", leaf, number).drawn)


def test_drawings_of_something_else_are_left_out() -> None:
    for leaf in scenes.LEAVES:
        if leaf.name not in LEAVES:
            assert sample(Caption(), leaf.name, 0) is None
    for level, n in (("easy", 1), ("easy", 4), ("hard", 2)):
        with pytest.raises(Unusable, match="it does not show"):
            Caption(level).corrupt_drawing(noise(32, 32), drawn(Random(0), n), 0)  # type: ignore[arg-type]
    with pytest.raises(Unusable, match="not known what it shows"):
        Caption().corrupt(noise(32, 32), 0)
    with pytest.raises(UsageError, match="distractors"):
        make_task("caption", {"distractors": "none"})
