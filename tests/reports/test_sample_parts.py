"""The sample browser's data: the order of questions, their scores, what was sent, and how replies were read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from examples import examples
from html_runs import MadeTask, guess, make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import TASK, run

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.types import ImagePart, Message, Sample, TextPart
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.html.sample_parts import (
    READ_AS,
    _texts,
    group_order,
    questions_part,
    replies_part,
)
from ssl4rl_bench.reports.html.sample_scores import best_candidate, counted_by, question_scores, units
from ssl4rl_bench.run.journal import answers
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.task.registry import load_probe

AGGREGATIONS = ("circular_micro", "row_micro", "vanilla0_micro")


def scores_strategy() -> st.SearchStrategy[list[float]]:
    """Scores of 8 groups of 3 copies in 2 repeats; some replies have none."""
    value = st.sampled_from([0.0, 1.0, 1.0, 0.5, float("nan")])
    return st.lists(value, min_size=48, max_size=48)


@settings(max_examples=examples(20), deadline=None)
@given(before=scores_strategy(), after=scores_strategy(), order=st.permutations(range(8)))
@pytest.mark.slow
def test_as_many_questions_are_lost_and_gained_as_in_the_board(
    before: list[float], after: list[float], order: list[int]
) -> None:
    """Also where the other run has the questions in another order under other ids."""
    one = run("one", np.reshape(before, (24, 2)), copies=3, rolls=np.tile(np.arange(3), 8))
    table = np.reshape(after, (8, 3, 2))[order].reshape(24, 2)
    two = run(
        "two",
        table,
        copies=3,
        rolls=np.tile(np.arange(3), 8),
        content=[str(group) for group in order],
        ids=tuple(f"other {row}" for row in range(24)),
        places=tuple(one.outcomes[TASK].places[group] for group in order),
    )
    asked = one.outcomes[TASK]
    if not any(asked.counted[group] and two.outcomes[TASK].counted[order.index(group)] for group in range(8)):
        return
    for aggregation in AGGREGATIONS:
        (compared,) = compare_task(one, [two], TASK, aggregation=aggregation, replicates=50)
        scores = [question_scores(other.outcomes[TASK], asked, aggregation) for other in (one, two)]
        lost, gained = scores[1] < scores[0], scores[1] > scores[0]
        for cell in compared.cells:
            inside = np.array([cell.name in (place.l2, "overall") for place in asked.places])
            assert (cell.lost, cell.gained) == ((lost & inside).sum(), (gained & inside).sum())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"copies": 2, "rolls": np.tile([0, 1], 6)}, ("questions", "copies")),
        ({"copies": 2, "rolls": np.zeros(12, np.intp)}, ("groups", "rows")),
        ({}, ("questions", "")),
        ({"probe": {"chance": 0.5}}, ("samples", "")),
        ({"copies": 2, "rolls": np.tile([0, 1], 6), "probe": {"chance": 0.5}}, ("images", "samples")),
    ],
)
def test_units_are_named_after_what_the_groups_are(changes: dict[str, Any], words: tuple[str, str]) -> None:
    assert units(run("one", np.ones(12), **changes).outcomes[TASK]) == words


def test_questions_are_counted_as_the_benchmark_publishes_them_unless_asked_otherwise() -> None:
    one = run("one", np.ones(12), copies=2, rolls=np.tile([0, 1], 6))
    names = [name for name, *_ in counted_by([one], TASK)]
    assert names == ["circular_micro", "row_micro", "vanilla0_micro"]
    by_row = replace(one, result={"tasks": {TASK: {"headline": "row_l3_macro"}}})
    assert [name for name, *_ in counted_by([by_row], TASK)] == [
        "row_micro",
        "circular_micro",
        "vanilla0_micro",
    ]
    assert [name for name, *_ in counted_by([run("one", np.ones(12))], TASK)] == ["circular_micro"]


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], 2),
        ([[1.0, 1.0], [0.0, 1.0], None], 1),
        ([[1.0, 1.0], None, [np.nan, np.nan]], 0),
        ([[0.0, 0.0], [np.nan, 0.5], [0.0, 0.9]], 1),
        ([[1.0, 1.0]], 0),
    ],
)
def test_the_best_candidate_is_shown_first(scores: list[list[float] | None], best: int) -> None:
    assert best_candidate([None if row is None else np.array(row) for row in scores]) == best


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeTask, Evaluated]:
    """Twelve questions in two copies; some replies have a tag that holds no letter, some have no tag."""
    task = MadeTask(n_groups=12, n_rolls=2)

    def reply(sample: Sample) -> str:
        texts = {"3": "<answer>purple</answer>", "4": "I cannot see it.", "5": "<answer></answer>"}
        return texts.get(sample.id, guess("one", 1.0)(sample))

    path = make_run(tmp_path_factory.mktemp("parts") / "one", task, "one", reply)
    (evaluated,) = load_evaluated([path])
    return task, evaluated


def replies_of(made: tuple[MadeTask, Evaluated]) -> dict[str, Any]:
    task, one = made
    outcomes = one.outcomes[task.name]
    records = answers(RunDir(one.path, one.spec).journal_path(task.name), one.spec.keys(task)).records
    by_id = {id: record for (id, _), record in records.items()}
    scores = {"circular_micro": question_scores(outcomes, outcomes, "circular_micro")}
    return replies_part(by_id, outcomes, outcomes, group_order(task, outcomes), scores, 1000)


def test_questions_are_in_the_order_of_the_benchmark_with_their_copies(
    made: tuple[MadeTask, Evaluated],
) -> None:
    task, one = made
    assert one.outcomes[task.name].groups[:4] == ("0", "1", "10", "11")  # sorted as texts
    names = [image.sha256 for sample in task.samples for image in sample.images]
    part = questions_part(task, one.outcomes[task.name], names, COLUMNS)
    assert part["group"] == [str(group) for group in range(12)]
    assert part["start"] == list(range(0, 24, 2))
    assert part["id"][:4] == ["0", "1000000", "1", "1000001"]
    assert part["roll"] == [0, 1] * 12
    headers = [title for level, _, title in part["categories"] if level == "l2"]
    assert headers == ["Logical", "Coarse", "Single-Inst."]  # the order of the tables
    assert part["texts"][0][3] == []  # the question is the prompt


def test_a_tag_without_a_valid_answer_is_told_from_a_reply_without_a_tag(
    made: tuple[MadeTask, Evaluated],
) -> None:
    part = replies_of(made)
    assert part["status"][::2] == "tttinitttttt"
    assert READ_AS["i"] == "tag found, not a valid answer"
    assert part["scores"]["circular_micro"] == [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_the_prompt_is_sent_with_its_roles_and_the_places_of_its_images(
    made: tuple[MadeTask, Evaluated],
) -> None:
    task, one = made
    image = ImagePart(task.samples[0].images[0])
    messages = (
        Message("system", (TextPart("Be\x00 brief."),)),
        Message("user", (image, image, TextPart("Which one?"))),
    )
    task.samples[0] = replace(task.samples[0], messages=messages)
    names = [image.sha256 for sample in task.samples for image in sample.images]
    asked = replace(task)
    asked.__dict__["samples"] = task.samples
    asked.__dict__["question"] = lambda sample: ("Which one?", "a hint")
    texts = questions_part(asked, one.outcomes[task.name], names, COLUMNS)["texts"][0]
    assert texts[:2] == ["Which one?", "a hint"]
    assert texts[3] == [("system", ["Be␀ brief."]), ("user", [1, 1, "Which one?"])]


def test_a_run_without_a_question_has_an_empty_reply_and_no_score(made: tuple[MadeTask, Evaluated]) -> None:
    task, one = made
    asked = one.outcomes[task.name]
    other = replace(asked, content=("another", *asked.content[1:]))
    scores = {"row_micro": question_scores(other, asked, "row_micro")}
    part = replies_part({}, other, asked, group_order(task, asked), scores, 1000)
    assert part["scores"]["row_micro"][0] is None
    assert part["text"] == [None] * 24
    assert part["status"] == "-" * 24


def test_a_caption_stands_below_its_question_and_in_the_prompt() -> None:
    task = load_probe("ssl_caption_easy", data="scenes:page:3:attribute_recognition")
    for sample in task.samples:
        question, hint, options, ((role, parts),) = _texts(task, sample)
        assert (question, options, role) == ("Which word of the caption is false?", [], "user")
        assert hint == task.texts[sample.id] and parts[0] == 1 and parts[1].count(hint) == 1
