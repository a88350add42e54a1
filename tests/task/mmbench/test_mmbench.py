"""MMBench as a task: taxonomy, samples, warnings, limits and scores."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import located, picture, question, questions

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.types import Categories, Completion, ImagePart, Status, Task, TextPart
from ssl4rl_bench.task.mmbench import task as mmbench
from ssl4rl_bench.task.mmbench.task import MMBenchTask
from ssl4rl_bench.task.mmbench.taxonomy import (
    CARD_COLUMNS,
    EDITIONS,
    L1_OF,
    L2_OF,
    categories,
    edition_warning,
)
from ssl4rl_bench.task.taskfile import load_taskfile

SCENES = load_taskfile("scenes")
DEV = load_taskfile("mmbench_dev_en")


def load(rows: list[dict[str, Any]], task: Any = SCENES, **options: Any) -> MMBenchTask:
    return mmbench.load_mmbench(task, located(rows), source="a.tsv", where="data/a.tsv", **options)


def reply(text: str) -> Completion:
    return Completion(text=text, finish_reason="stop")


def test_the_card_s_columns_are_the_six_abilities() -> None:
    assert [header for header, _ in CARD_COLUMNS] == [
        "Logical",
        "Relation",
        "Attribute",
        "Coarse",
        "Cross-Inst.",
        "Single-Inst.",
    ]
    assert {ability for _, ability in CARD_COLUMNS} == set(L1_OF) == set(L2_OF.values())
    assert Counter(L1_OF.values()) == {"perception": 3, "reasoning": 3}


@pytest.mark.parametrize(
    ("name", "by_ability"),
    [("dev_v1.0", [118, 115, 199, 296, 143, 293]), ("dev_v1.1", [124, 174, 164, 362, 179, 289])],
)
def test_the_editions_counts_add_up(name: str, by_ability: list[int]) -> None:
    edition = EDITIONS[name]
    assert edition.leaves is not None
    assert len(edition.leaves) == 20
    assert sum(edition.leaves.values()) == edition.n_groups == sum(by_ability)
    sums = Counter[str]()
    for leaf, n in edition.leaves.items():
        sums[L2_OF[leaf]] += n
    assert [sums[ability] for _, ability in CARD_COLUMNS] == by_ability


@pytest.mark.parametrize(
    ("category", "l2", "expected"),
    [
        ("ocr", "", ("perception", "finegrained_perception (instance-level)", "ocr")),
        ("future_prediction", "logic_reasoning", ("reasoning", "logic_reasoning", "future_prediction")),
        ("future_prediction", "logical_reasoning", ("reasoning", "logic_reasoning", "future_prediction")),
        (" Image_Style ", "Coarse_Perception", ("perception", "coarse_perception", "image_style")),
        ("", "", ("other", "other", "other")),
        ("traffic_show", "", ("other", "other", "traffic_show")),
        ("traffic_show", "driving", ("other", "driving", "traffic_show")),
    ],
)
def test_categories(category: str, l2: str, expected: tuple[str, str, str]) -> None:
    assert categories(category, l2) == Categories(*expected)


def test_counts_that_are_known_bring_no_warning() -> None:
    edition = EDITIONS["dev_v1.0"]
    assert edition_warning("dev_v1.0", edition.leaves or {}, 4329) is None
    assert edition_warning("test_v1.0", {"ocr": 1784}, 6666) is None


def test_other_counts_are_named() -> None:
    leaves = dict(EDITIONS["dev_v1.0"].leaves or {})
    assert "legacy MMBench dev of 2023-07-12" in (
        edition_warning("dev_v1.0", leaves | {"ocr": leaves["ocr"] + 12}, 4377) or ""
    )
    one_less = edition_warning("dev_v1.0", leaves | {"ocr": 38}, 4325) or ""
    assert (
        "1163 questions and 4325 rows instead of 1164 questions and 4329 rows: ocr 38 instead of 39"
        in one_less
    )
    assert "dev v1.1" in (edition_warning("dev_v1.1", leaves, 4329) or "")
    assert "and 18 more leaves" in (edition_warning("dev_v1.0", {"ocr": 39 * 2, "x": 1}, 300) or "")
    assert edition_warning("test_v1.0", {"ocr": 1783}, 6666)


def test_a_file_that_is_not_the_edition_is_warned_of() -> None:
    (warning,) = load(questions(2), DEV).warnings
    assert "not the questions of MMBench dev v1.0: 2 questions and 8 rows" in warning


def test_a_loaded_task() -> None:
    task: Task = load(questions(3))
    assert (task.name, task.version, task.prompt, task.source) == ("ssl4rl_scenes", "1", "ssl4rl", "a.tsv")
    assert isinstance(task, MMBenchTask)
    assert (len(task.samples), task.n_groups, task.n_groups_skipped, task.warnings) == (12, 3, 0, ())
    assert task.partial_reasons == ()
    assert task.sampling.max_tokens == 128
    assert load(questions(3), DEV).sampling.max_tokens == 2048
    sample = task.samples[1]
    assert (sample.id, sample.group, sample.roll, sample.target) == ("1000000", "0", 1, "B")
    (message,) = sample.messages
    image, text = message.content
    assert message.role == "user"
    assert isinstance(image, ImagePart) and image.image.data == picture(0)
    assert isinstance(text, TextPart) and text.text.startswith(
        "Question: Question 0?\nOptions:\nA. none of these\nB. red\nC. green\nD. blue\n"
    )
    assert task.counts()["l2"] == {"coarse_perception": 3}


def test_copies_and_questions_on_one_image_stand_together() -> None:
    shared = picture(77)
    rows = questions(4)
    for row in rows:
        if row["index"] % 1_000_000 in (1, 3):
            row["image"] = shared
    task = load(rows)
    assert [sample.group for sample in task.samples[::4]] == ["0", "1", "3", "2"]
    assert [sample.roll for sample in task.samples] == [0, 1, 2, 3] * 4
    parts = [sample.messages[0].content[0] for sample in task.samples]
    assert len({id(part) for part in parts}) == 3


def test_the_digest_is_of_the_content() -> None:
    digest = load(questions(3)).data_sha256
    assert load(questions(3)[::-1]).data_sha256 == digest
    assert load(questions(3), DEV, prompt="direct").data_sha256 == digest
    assert load(questions(3, hint="h")).data_sha256 != digest
    assert load(questions(3, image=picture(9))).data_sha256 != digest
    assert load(questions(3), limit=2).data_sha256 == load(questions(2)).data_sha256 != digest


def test_a_limit_keeps_whole_groups_of_all_leaves() -> None:
    ability: dict[str, Any] = {"l2-category": ""}
    rows = [
        row
        for group in range(40)
        for row in question(group, category="ocr" if group < 30 else "image_style", **ability)
    ]
    task = load(rows, limit=6)
    assert [sample.group for sample in task.samples[::4]] == ["0", "1", "2", "30", "31", "32"]
    assert task.counts()["l3"] == {"ocr": 3, "image_style": 3}
    assert task.partial_reasons == ("limited to 6 of 40 questions",)
    assert load(rows, limit=40).partial_reasons == ()
    with pytest.raises(UsageError, match="--limit 0"):
        load(rows, limit=0)


LEAVES = [*L2_OF, "a foreign leaf", ""]


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(st.sampled_from(LEAVES), min_size=1, max_size=30), st.data())
def test_a_limit_takes_abilities_then_leaves_in_turn(leaves: list[str], data: st.DataObject) -> None:
    columns: dict[str, Any] = {"l2-category": "", "image": picture(1)}
    rows = [
        row for group, leaf in enumerate(leaves) for row in question(group, "xy", category=leaf, **columns)
    ]
    limit = data.draw(st.integers(1, len(leaves)))
    task = load(rows, limit=limit)
    assert Counter(sample.group for sample in task.samples) == dict.fromkeys(
        {sample.group for sample in task.samples}, 2
    )
    assert task.n_groups == limit
    full, kept = load(rows).counts(), task.counts()
    for level, inside in (("l2", [set(full["l2"])]), ("l3", _leaves_by_ability(leaves))):
        for names in inside:
            spread = [kept[level].get(name, 0) for name in names]
            # A category is behind another one only if all of its questions are asked.
            assert all(
                kept[level].get(name, 0) in (full[level][name], max(spread), max(spread) - 1)
                for name in names
            )
    smaller = load(rows, limit=data.draw(st.integers(1, limit)))
    assert {sample.id for sample in smaller.samples} <= {sample.id for sample in task.samples}


def _leaves_by_ability(leaves: list[str]) -> list[set[str]]:
    places = {categories(leaf, "") for leaf in leaves}
    return [{at.l3 for at in places if at.l2 == l2} for l2 in {at.l2 for at in places}]


def test_six_questions_of_the_published_order_cover_the_six_abilities() -> None:
    edition = EDITIONS["dev_v1.0"].leaves
    assert edition is not None
    names = [leaf for leaf, n in edition.items() for _ in range(n)]  # an ability's leaves stand together
    columns: dict[str, Any] = {"image": picture(1), "l2-category": ""}
    rows = [question(group, "xy", category=leaf, **columns)[0] for group, leaf in enumerate(names)]
    assert set(load(rows, limit=6).counts()["l2"].values()) == {1}
    assert set(load(rows, limit=60).counts()["l2"].values()) == {10}


def test_without_categories_a_limit_keeps_the_first_questions() -> None:
    columns: dict[str, Any] = {"category": "", "l2-category": ""}
    task = load(questions(9, **columns), limit=4)
    assert {sample.group for sample in task.samples} == {"0", "1", "2", "3"}


def test_groups_left_out_make_a_task_partial() -> None:
    rows = questions(3)
    rows[0]["answer"] = "Z"
    with pytest.raises(DataError, match="--skip-bad"):
        load(rows)
    task = load(rows, skip_bad=True)
    assert (task.n_groups, task.n_groups_skipped) == (2, 1)
    (reason,) = task.partial_reasons
    assert reason.startswith("questions left out for bad rows: 1; row 1 (index 0): the answer 'Z' is none")


def test_warnings_about_the_rows() -> None:
    alone = [row for row in questions(3) if row["index"] < 1_000_000]
    assert "no circular copies" in load(alone).warnings[0]
    assert '"nan"' in load(questions(2) + question(5, ["yes", "no"], C="nan", D="nan")).warnings[0]


def test_another_prompt_style() -> None:
    task = load(questions(1), prompt="direct")
    assert task.prompt == "direct"
    assert "<think>" not in str(task.samples[0].messages)
    with pytest.raises(UsageError, match="did you mean direct"):
        load(questions(1), prompt="dirct")


@pytest.mark.parametrize(
    ("completion", "value", "answer", "status"),
    [
        (reply("<think>x</think> <answer>A</answer>"), 1.0, "A", Status.TAG),
        (reply("<answer>C</answer>"), 0.0, "C", Status.TAG),
        (reply("No idea at all what this shows, sorry"), 0.0, None, Status.NONE),
        (Completion(text="<think>so", finish_reason="length"), 0.0, None, Status.TRUNCATED),
        (Completion(text="", finish_reason="error", error="timeout"), None, None, Status.ERROR),
    ],
)
def test_score(completion: Completion, value: float | None, answer: str | None, status: Status) -> None:
    task = load(questions(1))
    score = task.score(task.samples[0], completion)
    assert (score.value, score.answer) == (value, answer)
    assert score.status in (status, Status.REFUSAL) if status is Status.NONE else score.status is status


def test_score_uses_the_extractor_asked_for() -> None:
    task = load(questions(1))
    lenient = reply("The answer is A.")
    assert task.score(task.samples[0], lenient).value == 1.0
    assert task.score(task.samples[0], lenient, extractor="strict").value == 0.0
