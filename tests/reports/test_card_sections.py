"""The sections of a model card: numbers and sets that are missing, several benchmarks, and hostile names."""

from __future__ import annotations

from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_card_words import OVERLAP, card, evaluated, recipe
from test_model_card import benchmark, grpo, probe

from ssl4rl_bench.reports.model_card import sections
from ssl4rl_bench.reports.model_card.card import Card, hub_data, without_path


def with_overlap(**counts: Any) -> Card:
    return card(grpo(transductive=True, overlap=[OVERLAP | counts]))


def test_sets_without_common_images_are_not_in_the_warning() -> None:
    overlap = [OVERLAP, OVERLAP | {"set": "other", "exact": 0, "near": 0}]
    text = sections.summary(card(grpo(transductive=True, overlap=overlap)))
    assert "1,100 equal and 20 that look alike" in text and "other" not in text
    assert "that look alike" not in sections.summary(with_overlap(near=0))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"over_long": 1}, "1 was left out because its prompt is too long."),
        ({"over_long": 2000}, "2,000 were left out because their prompts are too long."),
        ({"unusable": 1}, "1 was left out because no task can use it."),
        ({"left_out": 0, "unusable": 0}, ""),
    ],
)
def test_images_that_were_left_out_are_counted_with_their_reason(counts: dict[str, int], said: str) -> None:
    text = sections.training(card(grpo(**({"unusable": 0} | counts))))
    assert ("left out" in text) is bool(said) and said in text


def test_settings_that_a_recipe_lacks_are_left_out_and_numbers_are_dashes() -> None:
    origin = {
        key: value
        for key, value in grpo().items()
        if key not in ("step", "epochs", "updates", "seed", "metrics")
    }
    text = sections.training(card(origin))
    assert "| Steps | –, each of 512 prompts with 5 replies |" in text
    assert "| Epochs | 0.00 \\(153,600 prompts\\) |" in text
    assert "| Processes, seed | 8, – |" in text
    assert "Metrics of the last step" not in text


def test_metrics_that_are_no_numbers_are_left_out() -> None:
    metrics = {"reward": float("nan"), "kl": None, "entropy": "x", "format": True, "reply_tokens": 12.0}
    text = sections.training(card(grpo() | {"metrics": metrics}))
    assert text.endswith("Metrics of the last step: reply tokens 12.") or "reply\\_tokens 12." in text
    assert "nan" not in text


def test_iterations_are_said_in_words() -> None:
    assert "in 4 parts, gone through once" in sections.training(card(grpo()))
    assert "gone through 3 times" in sections.training(card(recipe(grpo(), "grpo", iterations=3)))


def test_a_missing_ability_is_a_row_of_dashes_and_numbers_are_at_their_bounds() -> None:
    task = benchmark(leaves={"ocr": 10})
    task["aggregates"]["circular_micro"]["overall"] = {"value": 1.0, "n": 10, "ci95": [0.0, 1.0]}
    text = sections.evaluation(card(None, evaluated({"ssl4rl_scenes": task})))
    assert "| Coarse | – | – | – | – | – | – | – |" in text
    assert "| Average | 100.00 | [0.00, 100.00] | 10 | 81.23 |" in text


def test_several_benchmarks_have_a_heading_and_a_table_each_and_probes_share_one() -> None:
    tasks = {"ssl4rl_scenes": benchmark(), "ssl4rl_mmbench_dev_en": benchmark(), "ssl4rl_ssl_rotation_90": probe(),
             "ssl4rl_ssl_rotation_45": probe()}  # fmt: skip
    text = sections.evaluation(card(None, evaluated(tasks)))
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        "### scenes", "### mmbench\\_dev\\_en", "### Self-supervised probes",
    ]  # fmt: skip
    assert text.count("| Average |") == 2 and text.count("| Probe |") == 1
    assert text.count(sections.SCENES_NOTE) == 1


def test_a_run_without_tasks_has_its_specification_alone() -> None:
    text = sections.evaluation(card(None, evaluated({})))
    assert "###" not in text and text.rpartition("\n\n")[2].startswith("Run specification: `")


@pytest.mark.parametrize("source", ["a|b", "<b>", "`x`", "[x](y)", "a\nb", "/home/me/secret/x.tsv"])
def test_a_source_is_escaped_and_without_its_folder(source: str) -> None:
    text = sections.evaluation(card(None, evaluated({"ssl4rl_scenes": benchmark(source)})))
    line = next(line for line in text.splitlines() if line.startswith("Data: "))
    assert "<b>" not in line and "](y)" not in line and "secret" not in line
    assert "a|b" not in line and "; engine hf" in line


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_setting_adds_a_cell_or_a_line_to_its_table(key: str, value: str) -> None:
    text = sections.training(card({"kind": "sft", "recipe": {"x" + key: value, "last": 1}}))
    rows = text[text.index("| Setting | Value |") :].split("\n\n")[0].splitlines()
    assert len(rows) == 4 and rows[3] == "| last | 1 |"
    assert len(rows[2].replace("\\\\", "").replace("\\|", "").strip("|").split("|")) == 2


def test_a_list_of_a_recipe_counts_equal_texts() -> None:
    made = card(
        {
            "kind": "sft",
            "recipe": {"data": ["a", "b", "a"], "steps": [1, 2], "none": [], "deep": {"x": {"y": 2}}},
        }
    )
    text = sections.training(made)
    assert "| data | a \\(x2\\), b |" in text and "| steps | 1, 2 |" in text
    assert "| none | – |" in text and "| deep.x.y | 2 |" in text


def test_a_data_set_is_named_only_if_its_source_can_be_one() -> None:
    assert hub_data("not_a_task", benchmark("lmms-lab/MMBench")) is None
    assert hub_data("ssl4rl_ssl_rotation_90", probe()) is None
    assert hub_data("ssl4rl_mmbench_dev_en", benchmark("mine.tsv")) is None
    repo, _, split, revision = hub_data("ssl4rl_mmbench_dev_en", benchmark("lmms-lab/MMBench")) or ("",) * 4
    assert (repo, split, revision) == ("lmms-lab/MMBench", "dev", None)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("/", ""),
        ("a/b/c", "c"),
        ("x=/a/b=c/d", "x=d"),
        ("/home/me/lr=0.1/photos", "photos"),
        ("./a", "a"),
        ("C:\\x", "C:\\x"),
        ("set=", "set="),
    ],
)
def test_of_a_path_the_last_part_is_shown(name: str, shown: str) -> None:
    assert without_path(name) == shown


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "self",
            "own replies to 8 questions of `scenes:train` per step were part of the loss, with weight 0.5",
        ),
        ("reward", "**Replay with labels:** 8 questions of `scenes:train` per step"),
    ],
)
def test_a_card_states_what_was_replayed(kind: str, said: str) -> None:
    replayed = {"questions": "scenes:train", "kind": kind, "weight": 0.5, "per_step": 8}
    assert said in sections.summary(card(grpo(replay=replayed)))
    assert "Replay" not in sections.summary(card(grpo())) + sections.training(card(grpo()))


def test_evaluation_images_among_those_of_the_replay_are_counted() -> None:
    replayed = {"questions": "a/b.tsv", "kind": "self", "overlap": [OVERLAP]}
    of_replay = card(grpo(transductive=True, overlap=[], replay=replayed))
    text = sections.summary(of_replay)
    assert "1,100 equal and 20 that look alike" in text
    assert "`b.tsv`" in text and "a/b.tsv" not in text
