"""The sentences of a model card and of an audit of cards, in `tests/data/words`, for each thing that can be said.

`recorded` says how to write the files anew.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import recorded
from test_model_card import SCENES, benchmark, grpo

from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.reports.card_audit.audit import audit_card
from ssl4rl_bench.reports.html import provenance, samples
from ssl4rl_bench.reports.html.thumbnails import notes_on
from ssl4rl_bench.reports.model_card import sections
from ssl4rl_bench.reports.model_card.card import Card, CardRun
from ssl4rl_bench.run.spec import RunSpec, TaskSpec


def card(origin: dict[str, Any] | None = None, *runs: CardRun) -> Card:
    return Card("mine", "f" * 64, {"model_type": "qwen2_5_vl"}, origin or {}, runs)


def recipe(origin: dict[str, Any], part: str, **values: Any) -> dict[str, Any]:
    """Returns a copy with other values in a table of the recipe."""
    table = origin["recipe"].get(part) or {}
    return origin | {"recipe": origin["recipe"] | {part: table | values}}


OVERLAP = {"set": "mmbench_dev_en=/home/me/dev.tsv", "images": 1164, "exact": 1100, "near": 20}


def test_what_a_card_says_of_a_checkpoint_and_its_training() -> None:
    moved = grpo() | {"base": {"name": "/home/me/base", "fingerprint": "b" * 64}}
    left = {"over_long": 4, "left_out": 2, "unusable": 1}
    supervised = {
        "schema": 1,
        "kind": "sft",
        "recipe": {"init": "tiny-base", "steps": [1, 2], "data": ["a", "a"]},
    }
    summaries = {
        "trained elsewhere": card(),
        "trained with labels": card(supervised),
        "trained with labels, from nothing": card({"kind": "sft", "recipe": {}}),
        "reinforcement learning": card(grpo()),
        "reinforcement learning, base in a folder": card(moved),
        "interpolated": card(grpo() | {"interpolated": {"share": 0.5}}),
        "transductive": card(grpo(transductive=True, overlap=[OVERLAP])),
        "transductive, none found": card(
            grpo(transductive=True, overlap=[OVERLAP | {"exact": 0, "near": 0}])
        ),
        "transductive, not compared": card(grpo(transductive=True)),
        "a control": card(recipe(grpo(), "reward", shuffled=True)),
        "rewards as released": card(recipe(grpo(), "reward", scheme="released")),
    }
    trainings = {
        "trained with labels": card(supervised),
        "images left out": card(grpo(overlap=[OVERLAP], **left)),
        "the same corruptions": card(recipe(grpo(), "data", frozen=True)),
        "adapters, interpolated": card(
            recipe(recipe(grpo(), "lora", rank=16, alpha=32, dropout=0.0), "model", freeze_vision=True)
            | {"interpolated": {"share": 0.25}}
        ),
    }
    cases = {f"summary, {name}": sections.summary(each) for name, each in summaries.items()}
    cases |= {f"training, {name}": sections.training(each) for name, each in trainings.items()}
    recorded.check_cases("words/model_card", cases | {"training, elsewhere": sections.training(card())})


def evaluated(tasks: dict[str, Any], engine: str = "hf", partial: bool = False, **changes: Any) -> CardRun:
    task = TaskSpec("1", "0" * 64, "ssl4rl", 10, changes.pop("sampling", Sampling(max_tokens=128)))
    spec = RunSpec("mine", "f" * 64, dict.fromkeys(tasks, task), engine, "5.17.0")
    reasons = ["scenes: limited to 20 of 600 questions"] if partial else []
    result = {"tasks": tasks, "partial": partial, "partial_reasons": reasons}
    return CardRun(replace(spec, **changes), result, "2026-01-02T03:04:05+00:00")


def test_what_a_card_says_of_runs() -> None:
    scenes = {"ssl4rl_scenes": SCENES["ssl4rl_scenes"]}
    drawn = Sampling(max_tokens=64, temperature=0.7)
    seen = grpo(transductive=True, overlap=[OVERLAP | {"set": "scenes"}])
    excluded = benchmark() | {"n_groups_excluded": 2, "status": {"tag": 78, "error": 2}}
    cases = {
        "not evaluated": sections.evaluation(card()),
        "a benchmark and a probe": sections.evaluation(card(grpo(), evaluated(SCENES))),
        "partial": sections.evaluation(card(grpo(), evaluated(scenes, partial=True))),
        "replies of a server": sections.evaluation(card(grpo(), evaluated(scenes, "openai"))),
        "several replies, drawn, with limits": sections.evaluation(
            card(grpo(), evaluated(scenes, sampling=drawn, repeats=4, max_pixels=12_544))
        ),
        "trained on its images": sections.evaluation(card(seen, evaluated(scenes))),
        "questions left out": sections.evaluation(card(grpo(), evaluated({"ssl4rl_scenes": excluded}))),
    }
    # The tables and hashes are the same in each; `test_model_card` is about their numbers.
    words = {
        name: "\n".join(line for line in text.splitlines() if line and not line.startswith(("|", "Run spec")))
        for name, text in cases.items()
    }
    version = sections.__version__
    recorded.check_cases(
        "words/model_card_runs", {name: text.replace(version, "V") for name, text in words.items()}
    )


def markdown(*lines: str) -> str:
    header, *rows = (f"| {line} |" for line in lines)
    return "\n".join([header, "|---" * lines[0].count("|") + "|---|", *rows])


TABLES = {
    "a right improvement": ("Model | OCR | Style", "Base | 50.0 | 60.0", "New | 55.0 | 70.0", "Gain | 5.0 | 10.0"),
    "a wrong improvement": ("Model | OCR | Style", "Base | 50.0 | 60.0", "New | 55.0 | 70.0", "Gain | 5.0 | 11.0"),
    "a relative improvement": ("Model | A | B", "Base | 50.0 | 40.0", "New | 55.0 | 50.0", "Gain (%) | 10.0 | 25.0"),
    "points of fractions": ("Model | A | B", "Base | 0.50 | 0.40", "New | 0.55 | 0.50", "Gain | 5.0 | 10.0"),
    "an improvement that nothing explains": ("Model | A | B", "One | 1.0 | 2.0", "Two | 3.0 | 4.0", "Gain | 9.0 | 9"),
    "a maximum that nothing explains": (
        "Model | A | B", "Base | 1.0 | 2.0", "Two | 3.0 | 4.0", "Maximal gain | 9.0 | 9.0",
    ),
    "a change beside a score": ("Model | A | B", "Base | 50.0 | 60.0", "New | 55.0 (+5.0) | 66.0 (+7.0)"),
    "arrows beside scores": ("Model | A | B", "Base | 50.0 | 60.0", "New | 55.0 ↑ | 66.0 ↓"),
    "a right average": ("Model | A | B | Average", "One | 50.0 | 60.0 | 55.0", "Two | 10.0 | 20.0 | 15.0"),
    "a wrong average": (
        "Model | A | B | Average", "One | 50.0 | 60.0 | 55.0", "Two | 10.0 | 20.0 | 15.0", "Six | 30.0 | 40.0 | 36.0",
    ),
    "an average of other things": ("Model | A | B | Average", "One | 50.0 | 60.0 | 91.0", "Two | 10.0 | 20.0 | 92.0"),
    "an average of named columns": (
        "Model | A | B | C | Average of A and B", "One | 50.0 | 60.0 | 1.0 | 55.0", "Two | 10.0 | 20.0 | 2.0 | 15.0",
    ),
    "an overall score": ("Model | A | B | Overall", "One | 50.0 | 60.0 | 91.0", "Two | 10.0 | 20.0 | 92.0"),
    "an average of what is not there": (
        "Model | A | B | Average on video", "One | 50.0 | 60.0 | 91.0", "Two | 10.0 | 20.0 | 92.0",
    ),
    "an average by counts in the headers": (
        "Model | A (10) | B (30) | Average", "One | 50.0 | 60.0 | 57.5", "Two | 10.0 | 20.0 | 17.5",
    ),
    "an average by a row of counts": (
        "Model | A | B | Average", "# images | 10 | 30 | 40", "One | 50.0 | 60.0 | 57.5", "Two | 10.0 | 20.0 | 17.5",
    ),
    "bold marks the best": ("Model | A | B", "One | **50.0** | 60.0", "Two | 10.0 | **70.0**"),
    "bold marks another": ("Model | A | B", "One | **50.0** | **60.0**", "Two | 10.0 | 70.0", "Six | **90.0** | 5.0"),
    "bold marks the best of each row": ("Task | One | Two", "A | **50.0** | 40.0", "B | 60.0 | **70.0**"),
    "bold rows": ("Model | A | B", "One | 50.0 | 60.0", "Two | **10.0** | **20.0**"),
    "less is better": ("Model | A | Latency (ms) ↓", "One | 50.0 | **100.0**", "Two | 10.0 | 80.0"),
}  # fmt: skip
"""A header and rows of a card's table, by what the table is about."""


def test_what_an_audit_says_of_a_table() -> None:
    cases = {}
    for name, lines in TABLES.items():
        (found,) = audit_card(markdown(*lines))
        said = [*found.notes, *(f"finding: {finding.sentence}" for finding in found.findings)]
        cases[name] = "\n".join([*lines, "->", *said])
    recorded.check_cases("words/card_audit", cases)


@pytest.mark.parametrize(
    ("left_out", "damaged", "notes"),
    [
        (0, 0, ()),
        (
            1,
            1,
            ("1 image is left out to keep this file small.", "1 image cannot be decoded and is not shown."),
        ),
        (
            2,
            3,
            (
                "2 images are left out to keep this file small.",
                "3 images cannot be decoded and are not shown.",
            ),
        ),
    ],
)
def test_images_without_a_thumbnail_are_counted(left_out: int, damaged: int, notes: tuple[str, ...]) -> None:
    assert notes_on(left_out, damaged) == notes


def test_what_the_samples_of_a_page_lack_is_said() -> None:
    def run(label: str, repeats: int = 1) -> Any:
        return SimpleNamespace(label=label, spec=SimpleNamespace(repeats=repeats))

    record = SimpleNamespace(text="x" * 400, reasoning="")
    runs = [run("base", repeats=2), run("new")]
    found = samples._notes(
        runs, ["ssl4rl_scenes", "ssl4rl_gone"], ["ssl4rl_scenes"], [[{"0": record}, None]], 300
    )
    assert list(found) == [
        "The data of gone could not be loaded again: no samples are shown.",
        "new: no replies to scenes here.",
        "The middle of replies longer than 300 characters is left out.",
        "Only the first of several repeats is shown; what is right and what flipped counts all of them.",
    ]


SITTING = {"started": "2026-01-01T00:00:00+00:00", "python": "3.11", "machine": {"cpus": 2, "gpus": []}}


@pytest.mark.parametrize(
    ("number", "n", "changes", "title", "words"),
    [
        (
            1,
            1,
            {"finished": "2026-01-01T01:00:00+00:00"},
            "Executed",
            "2026-01-01T01:00:00+00:00, Python 3.11, 2 CPU cores",
        ),
        (1, 2, {}, "Sitting 1", "no end recorded, Python 3.11, 2 CPU cores"),
        (
            2,
            2,
            {"machine": {"gpus": ["H100", "H100"]}},
            "Sitting 2",
            "no end recorded, Python 3.11, H100, H100",
        ),
        (2, 2, {"machine": {}, "python": None}, "Sitting 2", "no end recorded, Python None, ? CPU cores"),
    ],
)
def test_when_and_where_a_run_was_made(
    number: int, n: int, changes: dict[str, Any], title: str, words: str
) -> None:
    (found, text), (packages, versions) = provenance._sitting(
        number, n, SITTING | changes | {"packages": {"torch": "2.13.0"}}
    )
    assert (found, text) == (title, f"2026-01-01T00:00:00+00:00 to {words}")
    assert (packages, versions) == ("Packages", "torch 2.13.0")


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/usr/bin/x", "run", "--model", "a b"], "ssl4rl-bench run --model 'a b'"),
        (["x"], ""),
        ("x run", ""),
        (None, ""),
    ],
)
def test_the_command_that_repeats_a_run_is_shown_if_it_was_recorded(argv: Any, command: str) -> None:
    assert provenance._command({"argv": argv}) == command
