"""The training set: which row asks what, that it depends on nothing but seed, images and number."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from examples import examples

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task import scenes
from ssl4rl_bench.task.pictures import Selection, make, open_source, select
from ssl4rl_bench.task.pictures.making import Opened
from ssl4rl_bench.train.data import Rows, RowSettings, TrainingSet, training_tasks

ROTATION, CONTRASTIVE = "ssl4rl_ssl_rotation_90", "ssl4rl_ssl_contrastive_weak"


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> Selection:
    folder = tmp_path_factory.mktemp("pictures")
    for number, question in enumerate(islice(scenes.questions("train", 3), 14)):
        (folder / f"{number:02d}.png").write_bytes(scenes.png(question.drawn))
    return select(open_source(str(folder), spool=folder))


def training_set(
    selection: Selection, tasks: dict[str, float] | None = None, **kwargs: object
) -> TrainingSet:
    settings = RowSettings(seed=7, **kwargs)  # type: ignore[arg-type]
    return TrainingSet(selection, training_tasks(tasks or {ROTATION: 1}, "ssl4rl"), settings)


def test_rows_are_the_same_again_and_a_longer_run_begins_as_a_shorter_one(selection: Selection) -> None:
    a, b = training_set(selection), training_set(selection)
    assert a.first(40) == b.first(60)[:40]
    assert a.manifest() == b.manifest()
    for row in a.first(5):
        one, again = a.make(row), b.make(row)
        assert one.target == again.target
        assert [i.tobytes() for i in one.images] == [i.tobytes() for i in again.images]


def test_an_epoch_asks_each_image_once_in_an_order_of_its_own(selection: Selection) -> None:
    made = training_set(selection)
    n = made.rows_an_epoch
    rows = made.first(3 * n)
    assert n == made.n_images
    for epoch in range(3):
        part = rows[epoch * n : (epoch + 1) * n]
        assert {row.epoch for row in part} == {epoch}
        assert len({row.image for row in part}) == n
    assert [row.image for row in rows[:n]] != [row.image for row in rows[n : 2 * n]]


def test_the_first_epoch_shows_what_build_writes_and_later_ones_something_else(selection: Selection) -> None:
    made = training_set(selection)
    a = made.tasks[0]
    by_epoch = []
    for epoch in range(4):
        rows = [row for row in made.first(4 * made.rows_an_epoch) if row.epoch == epoch]
        by_epoch.append({row.image: made.make(row).target for row in rows})
    for image, target in by_epoch[0].items():
        picture = made.pictures[image]
        assert make(a.task, Opened.of(picture.read()))[0].target == target
    assert any(by_epoch[0] != later for later in by_epoch[1:])
    frozen = training_set(selection, frozen=True)
    for row in frozen.first(3 * frozen.rows_an_epoch):
        assert frozen.make(row).target == by_epoch[0][row.image]


@pytest.mark.slow
def test_a_mix_keeps_the_weights_and_gives_pairs_both_their_roles(selection: Selection) -> None:
    made = training_set(selection, {ROTATION: 3, CONTRASTIVE: 1})
    rows = made.first(examples(40) * made.rows_an_epoch)
    asked_images = Counter((row.epoch, row.image, row.task) for row in rows)
    share = sum(task == 0 for _, _, task in asked_images) / len(asked_images)
    both = sum(len(tasks) == 2 for tasks in made.usable) / len(made.usable)
    assert both > 0.5
    assert share == pytest.approx(1 - both * 0.25, abs=0.08)
    roles = Counter(row.role for row in rows if row.task == 1)
    assert roles["alone"] == roles["other"] > 0
    targets = {row.role: made.make(row).target for row in rows if row.task == 1}
    assert targets == {"alone": "positive", "other": "negative"}


def test_long_prompts_and_evaluation_images_are_left_out_and_counted(selection: Selection) -> None:
    widths = {p.sha256: p.width for p in selection.pictures}
    narrow = min(widths.values())
    made = training_set(
        selection,
        tokens=lambda a, shown: (100 + shown.images[0].width, shown.images[0].width),
        max_tokens=100 + narrow,
        leave_out=frozenset([selection.pictures[0].sha256]),
    )
    assert made.n_left_out == 1
    assert made.n_over_long + made.n_images + sum(made.unusable.values()) == len(selection.pictures) - 1
    assert all(n <= 100 + narrow for n, _ in made.tokens_seen)
    none = training_set(selection, tokens=lambda a, shown: (9, 3), max_tokens=8)
    assert none.n_images == 0
    assert none.longest == 9
    with pytest.raises(DataError, match=r"\(\d+ with prompts that are too long\)"):
        none.require_images()


@pytest.mark.slow
def test_shuffled_targets_are_valid_and_say_nothing(selection: Selection) -> None:
    plain, lot = training_set(selection), training_set(selection, shuffled=True)
    rows = plain.first(20 * plain.rows_an_epoch)
    pairs = [(plain.make(row), lot.make(row)) for row in rows]
    assert all(
        [i.tobytes() for i in a.images] == [i.tobytes() for i in b.images]
        for a, b in pairs[: len(pairs) // 4]
    )
    assert {b.target for _, b in pairs} <= {"0", "90", "180", "270"}
    same = sum(a.target == b.target for a, b in pairs)
    assert abs(same / len(pairs) - 0.25) < 4 * (0.25 * 0.75 / len(pairs)) ** 0.5


def test_columns_repeat_a_row_for_its_group_and_make_it_once(selection: Selection) -> None:
    made = training_set(selection)
    rows = Rows(made, made.first(10), keep=4)
    columns = rows({"row": [3, 3, 3, 4, 4, 4]})
    assert columns["row"] == [3, 3, 3, 4, 4, 4]
    assert columns["target"][0] == columns["target"][2] == made.make(made.first(10)[3]).target
    assert columns["images"][0][0] is columns["images"][1][0]
    assert columns["prompt"][0] == [{"role": "user", "content": made.tasks[0].prompt()}]
    assert set(columns["task"]) == {ROTATION}
    again = rows({"row": [4]})
    assert again["images"][0][0] is columns["images"][3][0]


def test_each_row_of_captions_has_a_prompt_with_its_own_caption(tmp_path: Path) -> None:
    drawings = select(open_source("scenes:train:8:attribute_recognition", spool=tmp_path))
    task = {"ssl4rl_ssl_caption_easy": 1.0}
    made, shuffled = (training_set(drawings, task, shuffled=given) for given in (False, True))
    columns = Rows(made, made.first(16), keep=16)({"row": list(range(16))})
    prompts = [prompt[0]["content"] for prompt in columns["prompt"]]
    assert len(set(prompts)) == 16  # also in the second epoch, which shows the same pictures
    for row, prompt, target in zip(made.first(16), prompts, columns["target"], strict=True):
        sample = made.make(row)
        assert sample.target == target and prompt.count(sample.text) == 1
        assert shuffled.make(row).target in made.tasks[0].task.candidates(sample.text)
    assert any(shuffled.make(row).target != made.make(row).target for row in made.first(16))


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    for number, question in enumerate(islice(scenes.questions("train", 3), 3)):
        (tmp_path / f"{number}.png").write_bytes(scenes.png(question.drawn))
    found = select(open_source(str(tmp_path), spool=tmp_path))
    made = training_set(found)
    made._open.cache_clear()
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"other")
    with pytest.raises(DataError, match=r"\.png changed while"):
        made.make(made.first(1)[0])


def test_rows_after_those_given_continue_the_training_set(selection: Selection) -> None:
    made = training_set(selection)
    given, all_of_them = Rows(made, made.first(2), keep=4), Rows(made, made.first(9), keep=4)
    for numbers in ([0], [5, 1], [8]):
        a, b = given({"row": numbers}), all_of_them({"row": numbers})
        assert (a["row"], a["task"], a["target"]) == (b["row"], b["task"], b["target"])
        assert [x.tobytes() for x in a["images"][0]] == [x.tobytes() for x in b["images"][0]]
