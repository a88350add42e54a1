"""A model card's metadata and file: cards by hand in every form, results that lack numbers, and hostile names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_card_words import OVERLAP, card, evaluated
from test_model_card import SCENES, benchmark, checkpoint, front, grpo, probe, run_of

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.reports.model_card.metadata import (
    dump,
    eval_results,
    metadata,
    model_results,
    parse_metadata,
)
from ssl4rl_bench.reports.model_card.write import README, render_card, write_card
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec

PLACE = Path("README.md")
OURS = {"metrics": [{"args": {"ssl4rl_spec_sha256": "a" * 64}}]}
THEIRS = {"metrics": [{"args": {"n": 3}}]}


def metric(task_result: dict[str, Any], name: str, task: str = "ssl4rl_scenes") -> dict[str, Any]:
    (found,) = model_results(card(None, evaluated({task: task_result})))
    return next(item for item in found["metrics"] if item["name"] == name)


# Numbers in the metadata.


def test_numbers_of_the_metadata_are_percent_with_two_decimals() -> None:
    task = benchmark()
    task["aggregates"]["circular_micro"]["overall"] = {
        "value": 0.123456, "n": 20, "ci95": [0.1, 0.98765], "unread": 1 / 3,
    }  # fmt: skip
    made = metric(task, "CircularEval accuracy")
    assert made["value"] == 12.35
    assert made["args"] | {"n": 20, "ci95": [10.0, 98.77], "unread": 33.33} == made["args"]


@pytest.mark.parametrize("ends", [None, [], [None, None], [None, 0.5], [0.5]])
def test_a_number_without_an_interval_has_an_empty_one(ends: Any) -> None:
    task = benchmark()
    task["aggregates"]["circular_micro"]["overall"]["ci95"] = ends
    assert metric(task, "CircularEval accuracy")["args"]["ci95"] == []


def test_a_task_without_values_has_no_metrics_and_is_not_published() -> None:
    task = benchmark("lmms-lab/MMBench")
    task["aggregates"] = {"circular_micro": {"overall": {"value": None, "n": 0, "ci95": None}}}
    made = card(None, evaluated({"ssl4rl_mmbench_dev_en": task}))
    assert model_results(made)[0]["metrics"] == []
    assert eval_results(made) == {}


def test_an_ability_without_questions_has_no_metric() -> None:
    names = [item["name"] for item in model_results(card(None, evaluated(SCENES)))[0]["metrics"]]
    assert names == [
        "CircularEval accuracy",
        "Accuracy over rows",
        "CircularEval accuracy, Coarse",
        "CircularEval accuracy, Single-Inst.",
    ]


def test_a_probe_has_one_metric_with_its_chance() -> None:
    made = metric(probe(), "Accuracy", "ssl4rl_ssl_rotation_90")
    assert (made["value"], made["args"]["chance"], made["args"]["n"], made["args"]["unread"]) == (
        40.0,
        25.0,
        200,
        1.0,
    )


def test_a_partial_run_is_not_in_the_metadata_and_a_whole_one_beside_it_is() -> None:
    both = card(None, evaluated(SCENES, partial=True), evaluated({"ssl4rl_scenes": benchmark()}))
    assert [found["dataset"]["type"] for found in model_results(both)] == ["ssl4rl_scenes"]


def test_training_on_images_of_a_set_is_beside_its_numbers_only_if_it_was_on_purpose() -> None:
    overlap = [OVERLAP | {"set": "scenes"}, OVERLAP | {"set": "another"}]
    run = evaluated({"ssl4rl_scenes": benchmark()})
    for on_purpose in (True, False):
        made = card(grpo(transductive=on_purpose, overlap=overlap), run)
        args = model_results(made)[0]["metrics"][0]["args"]
        assert args.get("trained_on_images_of_it") == (1120 if on_purpose else None)  # 1100 equal, 20 alike


# Metadata of a card that exists.


def test_entries_of_a_person_are_kept_and_tags_added_once() -> None:
    old = {"license": "mit", "pipeline_tag": "other", "tags": ["mine", "ssl4rl-bench"], "extra": [1]}
    made = metadata(card(grpo()), old)
    assert (made["license"], made["pipeline_tag"], made["extra"]) == ("mit", "other", [1])
    assert made["tags"][:2] == ["mine", "ssl4rl-bench"] and len(set(made["tags"])) == len(made["tags"])
    assert old["tags"] == ["mine", "ssl4rl-bench"]


@pytest.mark.parametrize(("tags", "first"), [("mine", "mine"), (None, "qwen2_5_vl"), ([], "qwen2_5_vl")])
def test_tags_may_be_one_text_or_missing(tags: Any, first: str) -> None:
    assert metadata(card(), {"tags": tags})["tags"] == list(
        dict.fromkeys([first, "qwen2_5_vl", "ssl4rl-bench"])
    )


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (None, []),
        ("text", []),
        ([None, 3, {"name": "x"}, {"name": "x", "results": None}], []),
        ([{"name": "x", "results": [OURS]}], []),
        ([{"name": "x", "results": [OURS, THEIRS]}], [{"name": "x", "results": [THEIRS]}]),
        ([{"results": [None, {"metrics": None}]}], [{"results": [None, {"metrics": None}]}]),
    ],
)
def test_only_results_that_were_written_here_are_replaced(index: Any, kept: list[Any]) -> None:
    made = metadata(card(None, evaluated({"ssl4rl_scenes": benchmark()})), {"model-index": index})
    assert made["model-index"][:-1] == kept
    assert made["model-index"][-1]["name"] == "mine"


def test_without_runs_a_model_index_stays_as_it_is() -> None:
    index = [{"name": "x", "results": [OURS]}]
    assert metadata(card(), {"model-index": index})["model-index"] == index
    assert "model-index" not in metadata(card(), {"model-index": []})


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_text_is_read_back_from_the_yaml_as_the_same_text(texts: list[str]) -> None:
    assert yaml.safe_load(dump({"key": texts})) == {"key": texts}


LOOKALIKES = (
    "null",
    "yes",
    "1",
    "1e3",
    "2026-01-02",
    "a: b",
    "- a",
    "#",
    "'",
    '"',
    "*a",
    "~",
    "",
    "\x85",
    "a\u2028",
)


@pytest.mark.parametrize("text", LOOKALIKES)
def test_a_text_that_looks_like_another_value_stays_that_text(text: str) -> None:
    assert yaml.safe_load(dump({text: text})) == {text: text}


@pytest.mark.parametrize("text", ["[1, 2]", "text", "a: [", "a: 1\na: 2", "a: *b", "\x00"])
def test_metadata_that_are_no_mapping_are_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(DataError, match=r"^README\.md: the text between the lines --- is not a YAML mapping"):
        parse_metadata(text, PLACE)
    assert parse_metadata("", PLACE) == {} and parse_metadata("# nothing\n", PLACE) == {}


# The file.


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_a_card_by_hand_keeps_its_metadata_at_the_top(tmp_path: Path, mark: str) -> None:
    folder = checkpoint(tmp_path / "m")
    (folder / README).write_text(f"{mark}---\nlicense: mit\n---\n# By hand\n", encoding="utf-8")
    write_card(folder, [run_of(tmp_path / "run", folder, {"ssl4rl_scenes": benchmark()})])
    text = (folder / README).read_text("utf-8")
    assert front(text)["license"] == "mit" and front(text)["model-index"]
    assert text.count("license: mit") == 1 and text.count("\n---\n") == 1


@pytest.mark.parametrize("old", ["", "\n", "---\n---\n", "---\n# nothing\n---", "no metadata\n---\nat all\n"])
def test_a_card_without_metadata_gets_them_and_the_evaluation_once(old: str) -> None:
    made = card(None, evaluated({"ssl4rl_scenes": benchmark()}))
    text = render_card(made, old, PLACE)
    assert front(text)["model-index"][0]["name"] == "mine"
    assert text.count("<!-- ssl4rl:evaluation -->") == 1
    assert render_card(made, text, PLACE) == text
    if old.startswith("no"):
        assert old.rstrip() in text


def test_sections_that_a_person_deleted_are_not_written_again() -> None:
    whole = render_card(card(grpo()), None, PLACE)
    start, end = "<!-- ssl4rl:use -->", "<!-- /ssl4rl:use -->"
    without = whole[: whole.index(start)] + whole[whole.index(end) + len(end) :]
    assert render_card(card(grpo()), without, PLACE) == without
    assert "## Use" not in render_card(card(grpo(), evaluated(SCENES)), without, PLACE)


@pytest.mark.parametrize(
    "name", ["# x", "a\nb", "<!-- /ssl4rl:summary -->", "[x](y)", "*", "www.example.org", "$x$", "|"]
)
def test_a_name_is_one_heading_and_no_mark_or_link(name: str) -> None:
    text = render_card(replace(card(), name=name), None, PLACE)
    (heading,) = [line for line in text.splitlines() if line.startswith("# ")]
    assert heading.replace("\\", "") == f"# {' '.join(name.split())}"
    assert text.count("<!-- /ssl4rl:summary -->") == 1
    assert "](y)" not in text and "www." not in heading


def test_runs_that_do_not_speak_for_the_checkpoint_are_refused_by_name(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    blank = TaskSpec("1", "0" * 64, "ssl4rl", 10, Sampling(max_tokens=8), image="blank")
    spec = RunSpec(str(folder), fingerprint(folder), {"ssl4rl_scenes": blank}, "hf", "5.17.0")
    with (
        RunDir.create(tmp_path / "run", spec) as run,
        pytest.raises(UsageError, match="scenes with --image blank"),
    ):
        write_card(folder, [run])
    assert not (folder / README).exists()
