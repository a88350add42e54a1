"""The sentences of reports, in `tests/data/words`: each way in which a result can come out, and its words.

`recorded` says how to write the files anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import recorded
from made_boards import NOT_SHOWN, board, difference, probe, rule_result

from ssl4rl_bench.comparison.result import BestDifference, Share
from ssl4rl_bench.gating import judge
from ssl4rl_bench.gating.policy import Policy, Rule
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.board.probes import probe_notes
from ssl4rl_bench.reports.board.text import sentence, winners
from ssl4rl_bench.reports.gate.text import describe_test, headline
from ssl4rl_bench.reports.html.verdict import BoardVerdict, probe_verdict, verdict
from ssl4rl_bench.reports.result.probes import other_convention
from ssl4rl_bench.reports.result.tables import reading_line
from ssl4rl_bench.reports.text import numbers
from ssl4rl_bench.reports.views.curves import CurvePoint, curves
from ssl4rl_bench.reports.views.wording import MOST, noted


def told(said: BoardVerdict) -> str:
    lines = [said.opening]
    for finding in said.candidates:
        lines += [f"{finding.label} {finding.text}".rstrip(), *(f"  {line}" for line in finding.details)]
    return "\n".join([*lines, *said.closing])


def test_verdicts_of_a_page() -> None:
    better, worse = difference(), difference(-0.1234)
    unsure = difference(**NOT_SHOWN)
    read = {"from_reading": Share(0.05, None), "from_answers": Share(0.0734, None)}
    best = BestDifference("overall", "overall", "new", 0.1234, 0.0002, 2)
    abilities = {"Logical": better, "Relation": better, "Coarse": worse, "Attribute": unsure}
    later = probe("new", unsure, task="ssl4rl_ssl_position")
    cases = {
        "no second run": verdict(board()),
        "better on average": verdict(board(("new", {"Average": better}))),
        "worse on average": verdict(board(("new", {"Average": worse}))),
        "not told apart": verdict(board(("new", {"Average": unsure}))),
        "not told apart, and more questions are needed": verdict(
            board(("new", {"Average": replace(unsure, needed=23_456)}))
        ),
        "a part of the difference comes from reading": verdict(
            board(("new", {"Average": replace(better, **read)}))
        ),
        "abilities of all three kinds": verdict(board(("new", {"Average": better, **abilities}))),
        "one ability, nothing shown": verdict(board(("new", {"Average": unsure, "Logical": unsure}))),
        "abilities with different powers": verdict(
            board(("new", {"Average": unsure, "Logical": unsure, "Coarse": replace(unsure, mde=0.2)}))
        ),
        "a run without an average": verdict(board(("new", {"Logical": better}))),
        "the best of two": verdict(
            board(("new", {"Average": better}), ("old", {"Average": unsure}), improvement=(best,))
        ),
        "rows, without a correction": verdict(
            board(("new", {"Average": better}), aggregation="row_micro", correction="none")
        ),
        "probes beside a benchmark": verdict(
            board(("new", {"Average": better})), [probe("base"), probe("new", better), later]
        ),
        "probes alone": probe_verdict([probe("base"), probe("new", better), later]),
        "nothing": probe_verdict([]),
    }
    recorded.check_cases("words/verdicts", {name: told(said) for name, said in cases.items()})


def test_sentences_of_compare() -> None:
    unsure = difference(**NOT_SHOWN)
    bests = [
        BestDifference(column.level, column.name, name, 0.1, 0.01, 2)
        for column, name in zip(COLUMNS, ("new", "old", "new"), strict=False)
    ]
    two = board(("new", {}), ("old", {}), improvement=(*bests, *[None] * 4))
    found = {
        "better": sentence(difference(), "new", "base", "scenes"),
        "worse": sentence(difference(-0.1), "new", "base", "scenes"),
        "not told apart": sentence(unsure, "new", "base", "scenes"),
        "not told apart, equal": sentence(replace(unsure, needed=None), "new", "base", "scenes"),
        "one question": sentence(replace(unsure, n=1, ci95=None), "new", "base", "scenes"),
        "winners": winners(two),
        "no winner of one candidate": winners(board(("new", {}))),
        "a note on all probes": "\n".join(
            probe_notes([probe("a", notes=("Note.",)), probe("b", task="ssl4rl_x", notes=("Note.",))])
        ),
        "a note on one probe": "\n".join(
            probe_notes([probe("a", notes=("Note.",)), probe("b", task="ssl4rl_x")])
        ),
    }
    recorded.check_cases("words/compare", found)


def test_reasons_and_headlines_of_a_gate() -> None:
    rule = Rule("scenes", "no_worse_than", margin=3)
    floor, drop = Rule("scenes", "at_least", value=60), Rule("scenes", "not_significantly_worse", "l2")
    why = "2 of 600 questions have no value in a run, more than 1% allows"
    found = {
        "no worse than": describe_test(rule_result(rule)),
        "no worse than, fails": describe_test(rule_result(rule, "fail")),
        "no worse than, cannot tell": describe_test(rule_result(rule, "inconclusive")),
        "no worse than, cannot tell yet": describe_test(rule_result(rule, "inconclusive", needed=900)),
        "too many left out": describe_test(rule_result(rule, "inconclusive", why=why, needed=900)),
        "another aggregation": describe_test(rule_result(replace(rule, aggregation="row_micro"))),
        "an ability": describe_test(rule_result(drop, name="coarse_perception")),
        "at least": describe_test(rule_result(floor, lower=0.5512)),
    }
    for kinds in ("pass", "fail pass", "inconclusive pass"):
        for policy in ("inconclusive", "pass", "fail"):
            rules = tuple(rule_result(rule, kind) for kind in kinds.split())
            guards = (judge.Guarded("unread replies", "scenes", "1.00%", "at most 2%", "pass"),)
            gate = judge.Gate(
                "old", "new", Policy((rule,), on_inconclusive=policy), 0.05, rules, guards, (), ()
            )  # type: ignore[arg-type]  # a verdict
            found[f"{kinds}, on_inconclusive = {policy}"] = headline(gate)
    recorded.check_cases("words/gates", found)


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, ""),
        (MOST, " " + " ".join(f"Note {number}." for number in range(MOST))),
        (
            MOST + 2,
            " "
            + " ".join(f"Note {number}." for number in range(MOST))
            + " 2 more notes are left out; `compare` prints them.",
        ),
    ],
)
def test_notes_of_a_view_come_to_an_end(n: int, words: str) -> None:
    assert noted([f"Note {number}." for number in range(n)] * 2) == words


def test_words_of_a_training_s_curves() -> None:
    def points(*verdicts: str) -> str:
        made = [
            CurvePoint(50.0 * at, f"step-{at}", verdict, {"tasks": {}}) for at, verdict in enumerate(verdicts)
        ]
        return curves(made).sentence.partition(". ")[0]

    assert points("baseline") == "1 checkpoint: none judged yet"
    assert points("baseline", "pass", "fail", "pass") == "4 checkpoints: 2 pass, 1 fail"
    assert points("inconclusive") == "1 checkpoint: 1 inconclusive"


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"status": {}}, "replies: 0"),
        ({"status": {"tag": 2311, "lenient": 12, "none": 20}}, "replies: 2311 tag, 12 lenient, 20 none"),
        ({"status": {"tag": 1, "guessed": 2}}, "replies: 1 tag, 2 other"),
        (
            {"status": {"no_content": 3}, "n_no_content_cut": 2},
            "replies: 3 no_content (2 at the token limit)",
        ),
        (
            {"status": {"error": 3}, "n_groups_excluded": 2},
            "replies: 3 error; 2 questions left out for failed or missing replies",
        ),
        (
            {"status": {"no_content": 3}, "n_groups_excluded": 2},
            "replies: 3 no_content; 2 questions left out for failed, missing or no_content replies",
        ),
    ],
)
def test_how_replies_were_read(found: dict[str, Any], line: str) -> None:
    assert reading_line(found) == line


@pytest.mark.parametrize(
    ("exact", "other", "low", "told"),
    [(0.1, 0.9, 0.8, True), (0.1, 0.9, 0.05, False), (0.9, 0.1, 0.05, False), (0.1, None, None, False)],
)
def test_a_jigsaw_read_the_other_way_is_noted(exact: float, other: Any, low: Any, told: bool) -> None:
    cell = {} if other is None else {"value": other, "ci95": [low, 1.0]}
    parts = {"exact": {"value": exact}, "other_exact": cell}
    result = {
        "model": {"name": "new"},
        "tasks": {"ssl4rl_ssl_jigsaw_2x2": {"probe": {"chance": 1 / 24, "parts": parts}}},
    }
    words = (
        "new: ssl_jigsaw_2x2: the replies fit the other convention better: 90.00% are right if they name for each "
        "piece its place, 10.00% if for each place its piece, as asked"
    )
    assert other_convention(result, ["ssl4rl_ssl_jigsaw_2x2"]) == [words] * told


NUMBERS: list[tuple[Callable[..., str], tuple[Any, ...], str]] = [
    (numbers.percent, (0.12345,), "12.35"),
    (numbers.percent, (None,), "–"),
    (numbers.percent, ("a text",), "–"),
    (numbers.percent, (float("nan"),), "–"),
    (numbers.points, (0.01,), "+1.00"),
    (numbers.points, (-0.000001,), "+0.00"),
    (numbers.points, (None,), "–"),
    (numbers.interval, ((0.1, 0.2),), "[10.00, 20.00]"),
    (numbers.interval, ((-0.1, 0.2), True), "[-10.00, +20.00]"),
    (numbers.interval, (None,), "–"),
    (numbers.p_value, (0.0009,), "<0.001"),
    (numbers.p_value, (0.001,), "0.001"),
    (numbers.p_is, (0.0009,), "p < 0.001"),
    (numbers.p_is, (0.05,), "p = 0.050"),
    (numbers.listed, (["a"],), "a"),
    (numbers.listed, (["a", "b"],), "a and b"),
    (numbers.listed, (["a", "b", "c"],), "a, b and c"),
]


@pytest.mark.parametrize(("function", "given", "text"), NUMBERS)
def test_numbers_are_spelt_alike_everywhere(
    function: Callable[..., str], given: tuple[Any, ...], text: str
) -> None:
    assert function(*given) == text
