from __future__ import annotations

import io
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbers_shown import broken_numbers, numbers_of
from rich.console import Console
from rich.table import Table

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Categories, Score, ScoredSample, Status
from ssl4rl_bench.reports.result.tables import card_table, clean, leaf_table, status_line, to_markdown
from ssl4rl_bench.score.aggregate import AGGREGATIONS, aggregate
from ssl4rl_bench.score.scores import arrange
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS, L1_OF, L2_OF

any_speed = settings(deadline=None)
TASK = "ssl4rl_mmbench_dev_en"
BASE = (61.77, 41.54, 76.62, 73.55, 64.32, 82.06)
HOSTILE = "\x1b]0;gone\x07\x1b[31m[bold red]x[/]\r\n\u202e<b>|`\u200b:smile:"


def cell(percent: float, n: int = 118) -> dict[str, Any]:
    value = percent / 100
    return {
        "value": value,
        "n": n,
        "n_groups": n,
        "se": 0.01,
        "ci95": [value - 0.02, value + 0.02],
        "unread": 0.0125,
    }


def result(name: str = "base", *, partial: bool = False, aggregates: Any = None) -> dict[str, Any]:
    """A result.json with the published numbers of the base model as if they had been measured."""
    levels = {
        "overall": cell(72.99, 4329),
        "l1": {level: cell(50.0) for level in L1_OF.values()},
        "l2": {ability: cell(value) for (_, ability), value in zip(CARD_COLUMNS, BASE, strict=True)},
        "l3": {leaf: cell(10 + number) for number, leaf in enumerate(sorted(L2_OF))},
    }
    return {
        "schema": 1,
        "model": {"name": name, "fingerprint": "0" * 64},
        "partial": partial,
        "tasks": {TASK: {"aggregates": aggregates or dict.fromkeys(AGGREGATIONS, levels)}},
    }


def show(table: Table, width: int = 100) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def measured() -> dict[str, Any]:
    """Scores of two copies of each of three questions in every leaf."""
    scored = [
        ScoredSample(
            f"{leaf}/{group}/{roll}",
            f"{leaf}/{group}",
            roll,
            0,
            Categories(L1_OF[ability], ability, leaf),
            Score(float(group > 0 or roll > 0), "A", Status.TAG if group else Status.LENIENT),
        )
        for leaf, ability in L2_OF.items()
        for group in range(3)
        for roll in range(2)
    ]
    measured = result("measured", aggregates=aggregate(arrange(scored)))
    measured["tasks"][TASK]["status"] = arrange(scored).status_counts
    return measured


def test_the_cards_row_is_printed_as_the_card_prints_it() -> None:
    lines = show(card_table([result()], TASK, "row_micro"))
    assert lines[0] == f"{TASK} · row_micro"
    assert lines[-1].split() == [
        *("base", "61.77", "41.54", "76.62", "73.55", "64.32", "82.06", "72.99"),
        *("4329", "[70.99,", "74.99]", "1.25"),
    ]


def test_columns_are_the_cards_and_n_an_interval_and_the_unread_share() -> None:
    table = card_table([result()], TASK)
    headers = [str(column.header).replace("-\n", "-").replace("\n", " ") for column in table.columns]
    card = ["Logical", "Relation", "Attribute", "Coarse", "Cross-Inst.", "Single-Inst.", "Average"]
    assert headers == ["Model", *card, "n groups", "95% interval", "Unread %"]
    assert all(column.justify == "right" for column in table.columns[1:])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_110_columns_hold_everything_of_a_long_name(aggregation: str) -> None:
    full = result("PKU-ML/SSL4RL-MMBench-Rotation-3B", partial=True)
    for level in full["tasks"][TASK]["aggregates"][aggregation]["l2"].values():
        level["value"] = 1.0
    full["tasks"][TASK]["aggregates"][aggregation]["overall"] |= {
        "value": 1.0,
        "ci95": [0.995, 1.0],
        "unread": 1.0,
    }
    lines = show(card_table([full], TASK, aggregation), 110)
    assert max(map(len, lines)) <= 110
    text = " ".join(lines)
    assert text.count(" 100.00") == 9
    assert "[99.50, 100.00]" in text
    assert "names are shortened" in lines[-1]
    (row,) = (line for line in lines if line.startswith("PKU-ML"))
    assert row.split(" ")[0].count("…") == 1


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_number_is_lost_or_broken_at_other_widths(width: int) -> None:
    wide = "\n".join(show(card_table([result("m")], TASK), 200))
    narrow = "\n".join(show(card_table([result("m")], TASK), width))
    assert max(map(len, narrow.splitlines())) <= width
    assert numbers_of(narrow) == numbers_of(wide) and not broken_numbers(narrow, wide)


def test_numbers_are_those_of_the_result_rounded() -> None:
    one = result()
    one["tasks"][TASK]["aggregates"]["row_micro"]["overall"] |= {"value": 3160 / 4329}
    # The card cuts off and prints 72.99.
    assert " 73.00 " in show(card_table([one], TASK, "row_micro"))[-1]


def test_a_partial_run_is_marked_in_title_and_row() -> None:
    table = card_table([result("whole"), result("cut", partial=True)], TASK)
    lines = show(table, 140)
    assert lines[0].endswith("· partial")
    assert lines[-1].startswith("cut (partial) ")
    assert lines[-2].startswith("whole  ")
    assert "partial" not in " ".join(show(card_table([result()], TASK)))


def test_what_is_missing_is_a_dash() -> None:
    nothing = result("nothing", aggregates=aggregate(arrange([])))
    other = {"model": {"name": "other"}, "tasks": {}}
    broken = result("broken")
    broken["tasks"][TASK]["aggregates"] = {
        "circular_micro": {"overall": {"value": float("nan"), "ci95": [None]}}
    }
    lines = show(card_table([result(), nothing, other, broken], TASK))
    for line, name in zip(lines[-3:], ("nothing", "other", "broken"), strict=True):
        assert line.split() == [name, *"–" * 10]


def test_no_results_make_an_empty_table() -> None:
    assert card_table([], TASK).row_count == 0
    assert to_markdown([], TASK).count("\n") == 4


@pytest.mark.parametrize(
    ("task", "aggregation", "message"),
    [
        (TASK, "circular_mikro", "no aggregation circular_mikro; did you mean circular_micro?"),
        (
            "ssl4rl_mmbench_dev_cn",
            "row_micro",
            f"no run has results of task ssl4rl_mmbench_dev_cn; did you mean {TASK}?",
        ),
    ],
)
def test_unknown_names_are_usage_errors(task: str, aggregation: str, message: str) -> None:
    for render in (card_table, to_markdown):
        with pytest.raises(UsageError) as caught:
            render([result()], task, aggregation)
        assert str(caught.value) == message
    with pytest.raises(UsageError):
        leaf_table(result(), task, aggregation)


def test_a_hostile_name_stays_text() -> None:
    lines = show(card_table([result(HOSTILE)], TASK), 160)
    assert len(lines) == 5
    assert lines[-1].startswith(r"\u001b]0;gone\u0007\u001b[31m[bold red]x[/] \u202e<b>|`\u200b:smile: ")
    markdown = to_markdown([result(HOSTILE)], TASK)
    row = markdown.splitlines()[-1]
    assert row.startswith(
        r"| \\u001b\]0;gone\\u0007\\u001b\[31m\[bold red\]x\[/\] \\u202e\<b\>\|\`\\u200b\:smile\: | 61.77 |"
    )
    assert len(re.split(r"(?<!\\)\|", row)) == 13


def test_hostile_categories_stay_text() -> None:
    levels = {"overall": cell(50), "l1": {}, "l2": {}, "l3": {"[red]\x1b[2J": cell(20)}}
    lines = show(leaf_table(result(HOSTILE, aggregates={"circular_micro": levels}), TASK), 120)
    assert "\x1b" not in "".join(lines)
    assert lines[-1].split()[0] == r"[red]\u001b[2J"


@any_speed
@given(st.text(), st.integers(1, 40))
def test_clean_text_is_one_visible_line(text: str, limit: int) -> None:
    line = clean(text, limit)
    assert len(line) <= limit
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Cs", "Zl", "Zp"}
    assert clean(line, limit) == line


def test_clean_leaves_names_alone() -> None:
    assert clean("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert clean("模型 é 🙂") == "模型 é 🙂"
    assert clean("x" * 1000) == "x" * 79 + "…"


def test_markdown_has_the_tables_numbers() -> None:
    results = [result(), result("a_b", partial=True)]
    title, blank, headers, rule, first, second = to_markdown(results, TASK, "row_micro").splitlines()
    assert title == r"**ssl4rl\_mmbench\_dev\_en · row\_micro · partial**"
    assert blank == ""
    assert headers.split(" | ")[5:7] == ["Cross-Inst.", "Single-Inst."]
    assert rule == "| :--- |" + " ---: |" * 10
    shown = show(card_table(results, TASK, "row_micro"), 140)
    assert first.strip("|").replace("|", " ").split() == shown[-2].split()
    assert second.startswith(r"| a\_b \(partial\) | 61.77 | 41.54 |")


ABILITIES = dict(CARD_COLUMNS)
"""Maps the names that tables use to the abilities."""


def test_leaves_stand_under_their_ability_with_n_interval_and_unread() -> None:
    lines = show(leaf_table(measured(), TASK, "row_micro"))
    assert lines[0] == f"measured · {TASK} · row_micro"
    assert lines[1].split() == ["Category", "n", "rows", "Score", "95%", "interval", "Unread", "%"]
    body = lines[3:]
    assert len(body) == 1 + 2 + 6 + 20
    assert body[0].split()[:3] == ["Average", "120", "83.33"]
    assert [line.split()[0] for line in body[1:3]] == ["reasoning", "Logical"]
    for line in body:
        name, indent = line.split()[0], len(line) - len(line.lstrip())
        assert indent == (
            6 if name in L2_OF else {"Average": 0, "perception": 2, "reasoning": 2}.get(name, 4)
        )
    parents = [line for line in body if line.startswith("    ")]
    ability = ""
    for line in parents:
        name = re.split(r"\s{2,}|\s(?=\d)", line.strip())[0]
        if name in ABILITIES:
            ability = ABILITIES[name]
        else:
            assert L2_OF[name] == ability


def test_categories_that_mmbench_lacks_come_last() -> None:
    levels = {
        "overall": cell(50),
        "l1": {"other": cell(1), "reasoning": cell(2)},
        "l2": {"charts": cell(3), "logic_reasoning": cell(4)},
        "l3": {"bars": cell(5), "future_prediction": cell(6)},
    }
    lines = show(leaf_table(result(aggregates={"circular_micro": levels}), TASK))
    names = [line.split()[0] for line in lines[3:]]
    assert names == [
        "Average",
        "reasoning",
        "Logical",
        "future_prediction",
        "other",
        "charts",
        "bars",
    ]


def test_status_line() -> None:
    assert status_line({"none": 20, "tag": 2311, "lenient": 12}) == "replies: 2311 tag, 12 lenient, 20 none"
    assert status_line(measured()["tasks"][TASK]["status"]) == "replies: 80 tag, 40 lenient"
    assert status_line({"tag": 1, "\x1b[2J": 2}) == "replies: 1 tag, 2 other"
    assert status_line({}) == "replies: 0"
