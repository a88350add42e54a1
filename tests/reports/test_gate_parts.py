"""The judgement of a gate as text, JSON, JUnit XML, Markdown and annotations, for each verdict and guard."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from made_boards import rule_result
from simulated import TASK, run

from ssl4rl_bench import __version__
from ssl4rl_bench.gating import judge
from ssl4rl_bench.gating.judge import Gate, Guarded, apply_policy
from ssl4rl_bench.gating.policy import Policy, Rule, parse_policy
from ssl4rl_bench.reports.gate.files import MARKER, to_json, to_junit, to_summary, workflow_commands
from ssl4rl_bench.reports.gate.text import (
    describe_test,
    gate_table,
    guard_table,
    headline,
    lost_lines,
    worst_first,
)
from ssl4rl_bench.reports.text.cells import escape

RULE = Rule("scenes", "no_worse_than", margin=3)
VERDICTS = ("pass", "inconclusive", "fail")


def guard(verdict: Any = "pass", **changes: str) -> Guarded:
    fields = {"name": "unread replies", "task": "scenes", "measured": "1.00%", "limit": "at most 2%"}
    return Guarded(**(fields | changes), verdict=verdict)


def made(
    *tested: judge.Tested, guards: tuple[Guarded, ...] = (), notes: tuple[str, ...] = (), **policy: Any
) -> Gate:
    """A gate of tests that all pass, so that it needs no comparisons to name lost questions."""
    return Gate("old", "new", Policy((RULE,), **policy), 0.05, tested, guards, notes, ())


def judged(n: int, lost: int, *rules: dict[str, Any], gained: int = 0, **policy: Any) -> Gate:
    """Judges a candidate that loses the first questions and gains the last ones of those the baseline has right."""
    base = (np.arange(n) < 0.6 * n).astype(float)
    new = base.copy()
    new[:lost] = 0.0
    new[n - gained :] = 1.0
    asked = rules or ({"task": TASK, "kind": "no_worse_than", "margin": 5},)
    return apply_policy(parse_policy({"rule": list(asked), **policy}), run("old", base), run("new", new))


PASSED, FAILED, UNSURE = (judged(1000, 20, gained=20), judged(1000, 120, gained=20), judged(60, 5, gained=3))
GATES = dict(zip(VERDICTS, (PASSED, UNSURE, FAILED), strict=True))


HEADLINES = {
    "pass": "PASS: every rule passes; 1 pass; new against old, alpha 0.05",
    "inconclusive": "INCONCLUSIVE: rule 1, no_worse_than on Average of simulated, is undecided (-3.33 points, "
    "n = 60; about 2,943 questions would decide it); 1 inconclusive; new against old, alpha 0.05",
    "fail": "FAIL: rule 1, no_worse_than on Average of simulated, decided (-10.00 points, corrected p < 0.001); "
    "1 fail; new against old, alpha 0.05",
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_one_headline_with_what_decided_is_in_every_text(verdict: str) -> None:
    gate, expected = GATES[verdict], HEADLINES[verdict]
    assert headline(gate) == expected
    assert json.loads(to_json(gate))["headline"] == expected
    assert ElementTree.fromstring(to_junit(gate)).get("name") == f"ssl4rl-bench gate: {expected}"
    assert to_summary(gate).splitlines()[:2] == [
        MARKER,
        f"## {escape(expected)}",
    ]
    value = json.loads(to_json(gate))
    assert (value["verdict"], value["found"]) == (verdict, verdict)


def test_a_guard_decides_where_no_rule_fails_and_both_are_counted_worst_first() -> None:
    gate = made(
        rule_result(RULE), rule_result(RULE, "inconclusive"), guards=(guard("fail"), guard(), guard("fail"))
    )
    assert gate.deciding == guard("fail")
    assert headline(gate) == (
        "FAIL: guard unread replies on scenes, decided (1.00%, limit: at most 2%); "
        "2 fail, 1 inconclusive, 2 pass; new against old, alpha 0.05"
    )


def test_the_strongest_evidence_decides_a_failure_and_has_the_number_of_its_rule() -> None:
    rules = [
        {"task": TASK, "kind": "at_least", "value": 20},
        {"task": TASK, "kind": "at_least", "value": 54},
        {"task": TASK, "kind": "not_significantly_worse"},
    ]
    gate = judged(1000, 150, *rules)
    assert [(part.number, part.verdict) for part in gate.tested] == [(1, "pass"), (2, "fail"), (3, "fail")]
    assert headline(gate).startswith(
        "FAIL: rule 3, not_significantly_worse on Average of simulated, decided (-15.00"
    )
    gate = judged(1000, 150, *rules[:2])
    assert headline(gate).startswith(
        "FAIL: rule 2, at_least on Average of simulated, decided (45.00%, corrected p < "
    )


def test_an_ability_has_the_name_of_the_tables_and_a_probe_only_that_of_its_task() -> None:
    ability = rule_result(
        Rule("scenes", "not_significantly_worse", "l2"), "fail", name="logic_reasoning", number=4
    )
    probe = rule_result(Rule("ssl_rotation_90", "better_than", "probe"), "fail", number=2)
    assert headline(made(ability)).startswith(
        "FAIL: rule 4, not_significantly_worse on Logical of scenes, decided"
    )
    assert headline(made(probe)).startswith("FAIL: rule 2, better_than on ssl_rotation_90, decided")


def test_of_inconclusive_tests_lost_questions_decide_then_the_one_that_needs_most() -> None:
    few, many = (rule_result(RULE, "inconclusive", number=n, needed=n * 500) for n in (1, 2))
    assert made(few, many).deciding == many
    never = rule_result(RULE, "inconclusive", number=3)
    assert made(few, never, many).deciding == never
    lost = rule_result(RULE, "inconclusive", number=4, why="9 of 600 questions are left out")
    assert (
        "rule 4, no_worse_than on Average of scenes, is undecided (9 of 600 questions are left out)"
        in headline(made(few, never, lost))
    )


@pytest.mark.parametrize(
    ("mapped", "word"),
    [
        ("pass", "PASS (inconclusive, which the policy maps to pass)"),
        ("fail", "FAIL (inconclusive, which the policy maps to fail)"),
        ("inconclusive", "INCONCLUSIVE"),
    ],
)
def test_a_verdict_that_the_policy_mapped_says_what_it_was(mapped: str, word: str) -> None:
    gate = judged(60, 5, gained=3, on_inconclusive=mapped)
    assert headline(gate).startswith(f"{word}: rule 1, no_worse_than on Average of simulated, is undecided")
    value = json.loads(to_json(gate))
    assert (value["verdict"], value["found"]) == (mapped, "inconclusive")


@pytest.mark.parametrize("mapped", VERDICTS)
def test_a_failure_is_not_mapped(mapped: str) -> None:
    gate = judged(1000, 120, gained=20, on_inconclusive=mapped)
    assert headline(gate).startswith("FAIL: rule 1, ")


def test_json_has_these_keys_of_these_types() -> None:
    value = json.loads(to_json(made(rule_result(RULE), guards=(guard(),), notes=("A note.",))))
    types = {key: type(item).__name__ for key, item in value.items()}
    assert types == {
        "schema": "int",
        "version": "str",
        "verdict": "str",
        "headline": "str",
        "found": "str",
        "baseline": "str",
        "candidate": "str",
        "alpha": "float",
        "policy": "dict",
        "rules": "list",
        "guards": "list",
        "notes": "list",
    }
    assert value["version"] == __version__
    assert value["guards"] == [
        {
            "name": "unread replies",
            "task": "scenes",
            "found": "1.00%",
            "limit": "at most 2%",
            "verdict": "pass",
        }
    ]
    assert value["policy"]["rule"][0]["margin"] == 3


def test_numbers_of_a_rule_in_json_are_fractions() -> None:
    (rule,) = json.loads(to_json(FAILED))["rules"]
    cell = rule["difference"]
    assert (cell["n"], cell["gained"], cell["lost"]) == (1000, 20, 120)
    assert (cell["baseline"], cell["candidate"]) == (pytest.approx(0.6), pytest.approx(0.5))
    assert cell["value"] == pytest.approx(-0.1)
    assert rule["lower"] < cell["value"] < 0
    assert rule["rule"] == {
        "task": TASK,
        "kind": "no_worse_than",
        "level": "overall",
        "category": None,
        "aggregation": None,
        "margin": 5,
        "value": None,
    }


@pytest.mark.parametrize(
    ("mapped", "errors", "skipped", "element"),
    [("inconclusive", "2", "0", "error"), ("fail", "2", "0", "error"), ("pass", "0", "2", "skipped")],
)
def test_junit_counts_what_is_inconclusive_as_errors_unless_the_policy_lets_it_pass(
    mapped: str, errors: str, skipped: str, element: str
) -> None:
    rules = (rule_result(RULE, "inconclusive"), rule_result(RULE, "fail"), rule_result(RULE))
    gate = made(*rules, rule_result(RULE, "inconclusive", needed=900), on_inconclusive=mapped)
    (suite,) = ElementTree.fromstring(to_junit(gate))
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "ssl4rl_scenes",
        "tests": "4",
        "failures": "1",
        "errors": errors,
        "skipped": skipped,
    }
    assert [case[0].tag for case in suite] == [element, "failure", "system-out", element]
    assert "about 900 questions would" in str(suite[3][0].get("message"))


def test_junit_has_a_suite_of_guards_only_if_there_are_guards() -> None:
    rules = (rule_result(RULE),)
    bare, guarded = (
        ElementTree.fromstring(to_junit(made(*rules, guards=guards)))
        for guards in ((), (guard(), guard("fail", name="failed requests"), guard("inconclusive")))
    )
    assert [suite.get("name") for suite in bare] == ["ssl4rl_scenes"]
    assert [suite.get("name") for suite in guarded] == ["ssl4rl_scenes", "guards"]
    assert (guarded[1].get("failures"), guarded[1].get("errors")) == ("1", "1")
    failure = guarded[1][1].find("failure")
    assert failure is not None
    assert failure.text == "scenes: 1.00%, limit at most 2%"
    assert guarded[1][1].get("name") == "failed requests of scenes"


def test_junit_has_the_notes_and_drops_characters_that_xml_forbids() -> None:
    text = to_junit(
        made(rule_result(RULE), guards=(guard(measured="a\x00b\ufffe"),), notes=("Mind <this>.",))
    )
    assert "\x00" not in text
    assert "note: Mind &lt;this&gt;." in text
    root = ElementTree.fromstring(text)
    assert root[1][0][0].text is not None
    assert root[1][0][0].text.splitlines()[-2:] == ["new against old", "note: Mind <this>."]


def test_the_summary_has_a_table_of_guards_only_if_there_are_guards() -> None:
    assert "| Guard |" not in to_summary(made(rule_result(RULE)))
    lines = to_summary(made(rule_result(RULE), guards=(guard("fail"), guard()))).splitlines()
    assert "| | Guard | Task | Found | Limit |" in [" ".join(line.split()) for line in lines]
    assert "| **fail** | unread replies | scenes | 1.00% | at most 2% |" in lines
    assert "| pass | unread replies | scenes | 1.00% | at most 2% |" in lines


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_summary_lists_lost_questions_unless_all_passes(verdict: str) -> None:
    text = to_summary(GATES[verdict])
    assert ("<details><summary>Questions that were lost</summary>" in text) == (verdict != "pass")
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("\n") and not text.endswith("\n\n")


@pytest.mark.parametrize(
    ("gate", "kinds"),
    [
        (PASSED, []),
        (FAILED, ["error"]),
        (UNSURE, ["warning", "notice"]),
        (
            made(rule_result(RULE), guards=(guard(), guard("fail"), guard("inconclusive"))),
            ["error", "warning"],
        ),
    ],
)
def test_a_failure_is_an_error_and_doubt_a_warning_on_github(gate: Gate, kinds: list[str]) -> None:
    assert [line.split(" ")[0] for line in workflow_commands(gate)] == [f"::{kind}" for kind in kinds]


def test_an_annotation_is_one_line_that_starts_no_other_command() -> None:
    hostile = guard("fail", name="a,b:c", measured="50%\n::error::owned\r\n%0A::stop-commands::x")
    (line,) = workflow_commands(made(rule_result(RULE), guards=(hostile,)))
    assert line == (
        "::error title=a%2Cb%3Ac::"
        "scenes: 50%25 : :error: :owned %250A: :stop-commands: :x, limit at most 2%25"
    )


def test_tests_are_listed_worst_first_and_else_in_the_order_of_the_policy() -> None:
    names = ("a", "b", "c", "d", "e")
    verdicts = ("pass", "fail", "inconclusive", "fail", "pass")
    gate = made(*(rule_result(RULE, v, name=n) for n, v in zip(names, verdicts, strict=True)))
    assert [tested.name for tested in worst_first(gate)] == ["b", "d", "c", "a", "e"]
    assert list(map(str, gate_table(gate).columns[2].cells)) == ["b", "d", "c", "a", "e"]
    guards = tuple(guard(v, task=n) for n, v in zip(names, verdicts, strict=True))
    listed = guard_table(made(rule_result(RULE), guards=guards)).columns[2].cells
    assert list(map(str, listed)) == ["b", "d", "c", "a", "e"]


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        (Rule("scenes", "no_worse_than", margin=3), "3"),
        (Rule("scenes", "better_than", margin=0.5), "0.5"),
        (Rule("scenes", "better_than"), "–"),
        (Rule("scenes", "not_significantly_worse"), "–"),
        (Rule("scenes", "at_least", value=60), "60"),
        (Rule("scenes", "at_least", value=0), "0"),
    ],
)
def test_the_table_shows_the_limit_of_each_kind_of_rule(rule: Rule, limit: str) -> None:
    table = gate_table(made(rule_result(rule)))
    headers = [column.header for column in table.columns]
    assert list(table.columns[headers.index("Margin")].cells) == [limit]
    assert list(table.columns[headers.index("Decides at")].cells) == [""]


def test_a_difference_of_exactly_0_is_told_with_what_would_rarely_be_found() -> None:
    (tested,) = judged(400, 0, {"task": TASK, "kind": "not_significantly_worse"}).tested
    assert tested.verdict == "pass"
    text = describe_test(tested)
    assert text.startswith("simulated, Average: +0.00 points, lower bound ")
    assert f"n 400; a drop below {100 * tested.mde:.2f} points would rarely be found" in text


def test_one_question_has_a_verdict_and_no_power() -> None:
    gate = judged(1, 0, {"task": TASK, "kind": "not_significantly_worse"})
    assert gate.verdict == "pass"
    assert "n 1; a drop below 100.00 points would rarely be found" in describe_test(gate.tested[0])


def test_each_lost_question_is_named_once_and_at_most_as_many_as_asked_for_each_test() -> None:
    rules = [
        {"task": TASK, "kind": "no_worse_than", "margin": 1, "level": level} for level in ("overall", "l2")
    ]
    gate = judged(400, 60, *rules)
    assert [tested.verdict for tested in gate.tested] == ["fail"] * 3
    lines = list(lost_lines(gate, 4))
    questions = [line.split("question ")[1].split(" ")[0] for line in lines]
    assert len(questions) == len(set(questions)) == 12
    assert set(questions) <= {f"g{index:05d}" for index in range(60)}
    assert list(lost_lines(PASSED)) == []


def test_a_category_in_which_no_question_counts_is_a_guard_that_cannot_tell() -> None:
    base = np.ones(40)
    new = np.where(np.arange(40) % 2 == 1, np.nan, 1.0)
    rule = {"task": TASK, "kind": "not_significantly_worse", "level": "l2"}
    gate = apply_policy(parse_policy({"rule": [rule], "left_out": 100}), run("old", base), run("new", new))
    (empty,) = [guarded for guarded in gate.guarded if guarded.name == "answered questions"]
    assert (empty.measured, empty.limit, empty.verdict) == (
        "coarse_perception: 0 of 20",
        "at least 1",
        "inconclusive",
    )
    assert gate.verdict == "inconclusive"
    assert any("answered questions of simulated" in line for line in to_junit(gate).splitlines())
