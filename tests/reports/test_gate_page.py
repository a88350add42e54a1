"""The judgement of a gate as views of the page: which views there are, what they draw, and where they stand."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape, unescape
from typing import Any

import numpy as np
import pytest
from html_runs import Parsed
from made_boards import rule_result
from simulated import TASK, run

from ssl4rl_bench.gating import judge
from ssl4rl_bench.gating.judge import Gate, Guarded, apply_policy
from ssl4rl_bench.gating.policy import Policy, Rule, parse_policy
from ssl4rl_bench.reports.gate.text import headline
from ssl4rl_bench.reports.gate.view import gate_views
from ssl4rl_bench.reports.html import assemble, render_page
from ssl4rl_bench.reports.views.base import View

MARGIN = Rule("scenes", "no_worse_than", margin=3)
GUARD = Guarded("unread replies", "scenes", "1.00%", "at most 2%", "pass")
RULES: list[dict[str, Any]] = [
    {"task": TASK, "kind": "no_worse_than", "margin": 5},
    {"task": TASK, "kind": "at_least", "value": 40},
]


def made(*tested: judge.Tested, guards: tuple[Guarded, ...] = (), notes: tuple[str, ...] = ()) -> Gate:
    return Gate("old", "new", Policy((MARGIN,)), 0.05, tested, guards, notes, ())


def views(gate: Gate) -> dict[str, View]:
    return {view.name: view for view in gate_views(gate)}


def drawn(gate: Gate) -> list[str]:
    """Returns the texts of the figure of a gate's rules."""
    sheet = views(gate)["gate"].sheet
    assert sheet is not None
    return [re.sub("<[^>]*>", "", text) for text in re.findall("<text.*?</text>", str(sheet.svg("x")))]


@pytest.fixture(scope="module")
def lossy() -> tuple[Gate, str]:
    """A gate that fails, and its page."""
    base = (np.arange(200) < 120).astype(float)
    old, new = run("old", base), run("new", np.where(np.arange(200) < 60, 0.0, base))
    gate = apply_policy(parse_policy({"rule": RULES}), old, new)
    return gate, render_page(assemble(old, [new], lead=gate_views(gate), title=headline(gate)))


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["gate"]),
        ({"notes": ("A note.",)}, ["gate", "notes"]),
        ({"guards": (GUARD,)}, ["gate", "guards"]),
        ({"guards": (GUARD,), "notes": ("A note.",)}, ["gate", "notes", "guards"]),
    ],
)
def test_views_without_rows_are_left_out(more: dict[str, Any], names: list[str]) -> None:
    assert list(views(made(rule_result(MARGIN), **more))) == names


def test_each_row_of_rules_has_as_many_cells_as_there_are_headers() -> None:
    rules = [rule_result(MARGIN, verdict) for verdict in ("pass", "fail", "inconclusive")]
    view = views(made(*rules[:1]))["gate"]
    assert view.headers == (
        "Rule", "Verdict", "n", "Difference", "95% interval", "Lower bound", "MDE", "p fail", "Decides at",
    )  # fmt: skip
    assert view.rows == (
        (
            "scenes, Average: at most 3 points worse",
            "pass",
            "600",
            "+12.34",
            "[+8.34, +16.34]",
            "-1.23",
            "4.56",
            "0.400",
            "",
        ),
    )


def test_the_number_of_questions_that_would_decide_is_shown_if_it_is_known() -> None:
    rules = (rule_result(MARGIN), rule_result(Rule("scenes", "at_least", value=60), needed=900))
    assert [row[-1] for row in views(made(*rules))["gate"].rows] == ["", "900"]


def test_a_floor_is_in_the_table_in_percent_but_not_in_the_figure_of_differences() -> None:
    gate = made(rule_result(MARGIN), rule_result(Rule("scenes", "at_least", value=60), lower=0.5512))
    assert [row[5] for row in views(gate)["gate"].rows] == ["-1.23", "55.12"]
    assert [text for text in drawn(gate) if "Average:" in text] == ["scenes, Average: at most 3 points worse"]
    assert unescape(drawn(gate)[-1]) == "Upright: the rule's limit. Floors (at least) are in the table only."


@pytest.mark.parametrize("rules", [(), (rule_result(Rule("scenes", "at_least", value=60)),)])
def test_a_gate_without_a_difference_can_be_drawn(rules: tuple[judge.Tested, ...]) -> None:
    texts = drawn(made(*rules, guards=(GUARD,)))
    assert texts[:3] == ["0", "2", "4"]  # a scale in points
    assert {"← worse", "Points against old", "better →"} <= set(texts)


def test_a_difference_of_exactly_0_without_an_interval_can_be_drawn() -> None:
    nothing = {"value": 0.0, "n": 1, "ci95": None}
    gate = made(rule_result(MARGIN, lower=0.0, difference=nothing))
    assert views(gate)["gate"].rows[0][2:6] == ("1", "+0.00", "–", "+0.00")
    assert "scenes, Average: at most 3 points worse" in drawn(gate)


@pytest.mark.parametrize(
    ("rule", "n_limits"),
    [
        (MARGIN, 1),
        (Rule("scenes", "better_than", margin=2), 1),
        (Rule("scenes", "better_than"), 1),
        (Rule("scenes", "not_significantly_worse"), 0),
    ],
)
def test_the_limit_of_a_rule_is_a_thick_upright_line(rule: Rule, n_limits: int) -> None:
    sheet = views(made(rule_result(rule)))["gate"].sheet
    assert sheet is not None
    assert str(sheet.svg("x")).count('stroke-width="1.4"') == n_limits


def test_hostile_names_in_guards_and_notes_are_text_on_one_line() -> None:
    guard = Guarded("unread replies", "a\n<b>\x1b[31m", "1\t%", "at most 2%", "fail")
    shown = views(made(rule_result(MARGIN), guards=(guard,), notes=("x\ny" * 400,)))
    assert shown["guards"].rows == (
        ("unread replies, a <b>\\u001b[31m", "fail, decided", "1 %", "at most 2%"),
    )
    ((note,),) = shown["notes"].rows
    assert "\n" not in note
    assert len(note) == 600


def test_reasons_of_doubt_stand_before_the_notes() -> None:
    why = rule_result(MARGIN, "pass", why="9 of 600 questions are left out")
    rows = views(made(why, rule_result(MARGIN), notes=("A note.",)))["notes"].rows
    assert len(rows) == 2
    assert rows[0][0].endswith("n 600; 9 of 600 questions are left out.")
    assert rows[1] == ("A note.",)


def test_questions_that_were_lost_are_those_of_rules_that_did_not_pass(lossy: tuple[Gate, str]) -> None:
    gate, _ = lossy
    verdicts = {tested.rule.kind: tested.verdict for tested in gate.tested}
    assert verdicts == {"no_worse_than": "fail", "at_least": "fail"}
    lines = [line for (line,) in views(gate)["lost"].rows]
    assert len(lines) == 20  # ten for each rule
    assert len(set(lines)) == 20


def test_the_gate_is_the_first_part_of_its_page_and_its_verdict_the_heading(lossy: tuple[Gate, str]) -> None:
    gate, page = lossy
    parsed = Parsed(page)
    sections = [attrs["id"] for tag, attrs in parsed.tags if tag == "section"]
    assert list(views(gate)) == ["gate", "notes", "lost"]
    assert sections[:4] == ["lead-1", "lead-2", "lead-3", "leaderboard"]
    heading = escape(headline(gate).replace("-30", "−30").replace("p < 0", "p\u00a0<\u00a00"))
    assert f'<h1 class="judged fail">{heading}</h1>' in page
    assert headline(gate).startswith(
        "FAIL: rule 1, no_worse_than on Average of simulated, decided (-30.00 points, "
    )
    links = [attrs["href"] for tag, attrs in parsed.tags if tag == "a"]
    assert links[1:5] == ["#lead-1", "#lead-2", "#lead-3", "#leaderboard"]


def test_the_deciding_test_is_first_and_the_others_are_in_the_order_of_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ssl4rl_bench.reports.gate.view.lost_flips", lambda *_: iter(()))
    rule = Rule("scenes", "not_significantly_worse", level="l2")
    names = ("attribute_reasoning", "logic_reasoning", "other", "relation_reasoning")
    tested = [replace(rule_result(rule, "fail"), name=name, p_fail=0.02) for name in names]
    tested[3] = replace(tested[3], p_fail=0.001)
    view = views(made(*tested))["gate"]
    assert [row[0].partition(":")[0] for row in view.rows] == [
        "scenes, Relation", "scenes, Logical", "scenes, Attribute", "scenes, other",
    ]  # fmt: skip
    assert [row[1] for row in view.rows] == ["fail, decided", "fail", "fail", "fail"]


def test_verdicts_are_words_with_a_colour_and_a_question_leads_to_its_replies(
    lossy: tuple[Gate, str],
) -> None:
    gate, page = lossy
    assert page.count('<span class="verdict fail">fail, decided</span>') == 1
    assert page.count('<span class="verdict fail">fail</span>') == 1
    view = views(gate)["lost"]
    assert view.links[0] == "#task=simulated&a=old&b=new&show=lost&count=circular_micro&sample=0"
    assert len(view.links) == len(view.rows)
    assert "#task=" not in page.split("<script")[0]  # a page without replies has no links to them


def test_losses_on_the_page_have_minus_signs_and_names_keep_their_hyphens(lossy: tuple[Gate, str]) -> None:
    page = lossy[1]
    gate = page.split('<section id="lead-1"')[1].partition("</section>")[0]
    assert "−30.00" in gate
    assert not re.search(r"[\[ >]-\d", gate)
