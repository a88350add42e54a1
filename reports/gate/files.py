"""Writes a gate's judgement for machines and CI: JSON, JUnit XML, a Markdown summary, GitHub annotations."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from ssl4rl_bench import __version__
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.gating.judge import Gate, Guarded
from ssl4rl_bench.reports.gate.text import (
    CELLS,
    LEGEND,
    describe_test,
    headline,
    lost_lines,
    test_cells,
    worst_first,
)
from ssl4rl_bench.reports.text.cells import escape, markdown_table

SCHEMA = 1
MARKER = "<!-- ssl4rl-bench gate -->"
"""The first line of a summary; CI finds the comment that it should replace by it."""


def to_json(gate: Gate) -> str:
    """Writes the whole judgement as JSON; numbers are fractions."""
    value = {
        "schema": SCHEMA,
        "version": __version__,
        "verdict": gate.verdict,
        "headline": headline(gate),
        "found": gate.raw_verdict,
        "baseline": gate.baseline,
        "candidate": gate.candidate,
        "alpha": gate.alpha,
        "policy": asdict(gate.policy),
        "rules": [asdict(tested) for tested in gate.tested],
        "guards": [_guard_json(guarded) for guarded in gate.guarded],
        "notes": list(gate.notes),
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _guard_json(guarded: Guarded) -> dict[str, str]:
    """Returns a guard with the keys of the file, where `measured` is called "found"."""
    return {"found" if key == "measured" else key: value for key, value in asdict(guarded).items()}


def to_junit(gate: Gate) -> str:
    """Writes JUnit XML for CI servers: one suite per task and one for the guards, one case per test.

    An inconclusive test is an error, or skipped if the policy lets it pass.
    """
    root = ElementTree.Element("testsuites", name=_xml(f"ssl4rl-bench gate: {headline(gate)}"))
    cases: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for tested in gate.tested:
        cases[tested.rule.full_task].append(
            (f"{tested.rule} [{tested.name}]", tested.verdict, describe_test(tested))
        )
    for guard in gate.guarded:
        cases["guards"].append((f"{guard.name} of {guard.task}", guard.verdict, _guard_text(guard)))
    tolerated = gate.policy.on_inconclusive == "pass"
    notes = [f"{gate.candidate} against {gate.baseline}", *(f"note: {note}" for note in gate.notes)]
    for suite, suite_cases in cases.items():
        verdicts = [verdict for _, verdict, _ in suite_cases]
        unsure = verdicts.count("inconclusive")
        node = ElementTree.SubElement(
            root,
            "testsuite",
            name=_xml(suite),
            tests=str(len(suite_cases)),
            failures=str(verdicts.count("fail")),
            errors="0" if tolerated else str(unsure),
            skipped=str(unsure) if tolerated else "0",
            time="0",
        )
        for name, verdict, text in suite_cases:
            case = ElementTree.SubElement(node, "testcase", classname=_xml(suite), name=_xml(name), time="0")
            if verdict == "fail":
                ElementTree.SubElement(case, "failure", message=_xml(text), type="fail").text = _xml(text)
            elif verdict == "inconclusive":
                kind = "skipped" if tolerated else "error"
                ElementTree.SubElement(case, kind, message=_xml(text), type="inconclusive")
            lines = [*([text] if verdict == "pass" else []), *notes]
            ElementTree.SubElement(case, "system-out").text = _xml(
                "\n".join(clean(line, 600) for line in lines)
            )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def to_summary(gate: Gate) -> str:
    """Writes a step summary or a comment in Markdown."""
    rules = []
    for tested in worst_first(gate):
        *numbers, p = test_cells(tested)
        rule, name = escape(clean(str(tested.rule), 120)), escape(clean(tested.name))
        rules.append([_strong(tested.verdict), rule, name, *numbers, escape(p)])
    headers = ("", "Rule", "Category", *CELLS)
    lines = [MARKER, f"## {escape(headline(gate))}", "", markdown_table(headers, rules, "---r")]
    if gate.guarded:
        guards = (
            [
                _strong(guarded.verdict),
                guarded.name,
                *(escape(clean(text)) for text in (guarded.task, guarded.measured)),
                guarded.limit,
            ]
            for guarded in gate.guarded
        )
        lines.append(markdown_table(("", "Guard", "Task", "Found", "Limit"), guards, "-"))
    lines.append(LEGEND)
    lost = list(lost_lines(gate, 3))
    if lost:
        lines += ["", "<details><summary>Questions that were lost</summary>", ""]
        lines += [f"- {escape(line)}" for line in lost[:30]]
        lines += ["", "</details>"]
    lines += ["", *(f"- {escape(clean(note, 600))}" for note in gate.notes)]
    return "\n".join(lines).rstrip() + "\n"


def workflow_commands(gate: Gate) -> Iterator[str]:
    """Yields GitHub Actions commands: errors for failures, warnings if inconclusive, notices for notes."""
    judged = [(tested.verdict, str(tested.rule), describe_test(tested)) for tested in worst_first(gate)]
    judged += [(guard.verdict, guard.name, _guard_text(guard)) for guard in gate.guarded]
    for verdict, title, text in judged:
        if verdict != "pass":
            yield _command("error" if verdict == "fail" else "warning", title, text)
    for note in gate.notes:
        yield _command("notice", "gate", note)


def _guard_text(guard: Guarded) -> str:
    return f"{guard.task}: {guard.measured}, limit {guard.limit}"


def _strong(verdict: str) -> str:
    return verdict if verdict == "pass" else f"**{verdict}**"


def _command(kind: str, title: str, text: str) -> str:
    """Formats a command as one line, escaped so that its texts cannot start another command."""
    data = clean(text, 600).replace("%", "%25").replace("::", ": :")
    name = clean(title, 120).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={name}::{data}"


def _xml(text: Any) -> str:
    """Removes characters that XML 1.0 does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", str(text))
