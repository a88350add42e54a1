"""The answer reader against corpora of replies (tests/data/replies_*.jsonl), an oracle, and hostile text.

`replies_natural.jsonl`: phrasings of an answer ({L} letter, {l} lower case, {F} full width, {T} its text)
and the extractors that must read it for every letter. `replies_prose.jsonl`: texts that hold no answer, and
the extractors that must find none. `replies_cases.jsonl`: single replies with the exact reading.
"""

from __future__ import annotations

import importlib.util
import json
import random
import re
import string
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.task import extract
from ssl4rl_bench.task.extract import options, tags

ROOT = Path(__file__).resolve().parents[3]
NAMES = [name for name in extract.EXTRACTORS if extract.check_extractor(name) == name]
EN = {"A": "red", "B": "dark red", "C": "a cat", "D": "None"}
ZH = {"A": "红色", "B": "深红色", "C": "一只猫", "D": "以上都不对"}
TWO = {"A": "two dogs", "B": "Vitamin B"}
MANY = {letter: f"thing number {number + 10}" for number, letter in enumerate(string.ascii_uppercase)}
NUMBERS = dict(zip("ABCDEF", ["1", "10", "-1", "3.5", "3", "1,000"], strict=True))


def load(name: str) -> list[dict[str, Any]]:
    text = (ROOT / "tests" / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


NATURAL, PROSE, CASES = (load(f"replies_{name}.jsonl") for name in ("natural", "prose", "cases"))


def phrase(template: str, letter: str, text: str) -> str:
    return template.format(L=letter, l=letter.lower(), T=text, F=chr(ord(letter) + 0xFEE0))


@pytest.mark.parametrize("row", NATURAL, ids=lambda row: row["reply"][:40])
def test_natural_phrasing(row: dict[str, Any]) -> None:
    for choices in (EN, ZH, TWO, MANY, NUMBERS):
        for letter, text in choices.items():
            reply = phrase(row["reply"], letter, text)
            for name in row["by"]:
                if choices is NUMBERS and name.startswith("vlmevalkit"):
                    continue  # it looks for "1" anywhere
                assert extract.read(reply, choices, "stop", name).answer == letter, (name, reply)
            if "strict" not in row["by"]:
                assert extract.read(reply, choices, "stop", "strict").answer is None, reply


def test_of_two_statements_that_of_a_last_line_counts() -> None:
    reading = extract.read("The answer is A.\n\nThe answer is B.", EN, "stop")
    assert (reading.answer, reading.rule) == ("B", "last-line")
    assert extract.read("The answer is A. The answer is B.", EN, "stop").rule == "conflict"


@pytest.mark.parametrize("row", PROSE, ids=lambda row: row["reply"][:40])
def test_prose_is_no_answer(row: dict[str, Any]) -> None:
    for name in row["by"]:
        assert extract.read(row["reply"], EN, "stop", name).answer is None, name


@pytest.mark.parametrize("name", NAMES)
def test_the_corpora_cover_every_extractor(name: str) -> None:
    assert sum(name in row["by"] for row in NATURAL) >= 20
    assert sum(name in row["by"] for row in PROSE) >= 60


def test_default_reads_every_phrasing_and_no_prose() -> None:
    assert all("default" in row["by"] for row in [*NATURAL, *PROSE])
    assert sum(any("\u4e00" < char < "\u9fff" for char in row["reply"]) for row in NATURAL) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['extractor']}-{case['reply'][:40]}")
def test_case(case: dict[str, Any]) -> None:
    reading = extract.read(case["reply"], case["choices"], case["finish"], case["extractor"])
    assert (reading.answer, reading.status, reading.rule) == (case["answer"], case["status"], case["rule"])


def test_every_rule_is_documented_and_has_a_case() -> None:
    documented = set()
    for line in (extract.__doc__ or "").splitlines():
        if line.startswith("| `"):
            documented |= set(re.findall(r"`([a-z-]+)`", line.split("|")[1]))
    seen = {case["rule"] for case in CASES}
    seen |= {extract.read(phrase(row["reply"], "B", EN["B"]), EN).rule for row in NATURAL}
    assert seen == documented


FRAGMENTS = (
    *(
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "<answer>B</answer>",
        "The answer is ",
        "answer: ",
        "\\boxed{",
    ),
    *(
        "A",
        "B",
        "C",
        "Z",
        "a",
        "b",
        "Ａ",
        " or ",
        ", ",
        ". ",
        ") ",
        "(",
        "**",
        "$",
        "\n",
        " ",
        "red",
        "dark red",
        "is ",
    ),
    *(
        "correct ",
        "I choose ",
        "答案是",
        "选",
        "正确",
        "。",
        "not ",
        "if ",
        "so ",
        "option ",
        "İ",
        "ſ",
        "\ud800",
        "None",
    ),
    *(
        "sorry, I can't ",
        "Failed to obtain answer via API",
        "Cannot determine the answer",
        "answer is **",
        "thing",
    ),
)
REPLIES = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), max_size=16).map("".join),
)
OPTION_TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "B", "red", "dark red", "None", "红色", "1", "(a+)+$"])
)
CHOICES = st.lists(OPTION_TEXTS, min_size=2, max_size=26).map(
    lambda texts: dict(zip(string.ascii_uppercase, texts, strict=False))
)
FINISH = st.sampled_from(["stop", "length", "error"])


def check(text: str, choices: Mapping[str, str], finish: Any, name: str) -> extract.Reading:
    """Reads, and demands what must hold of any reading of anything."""
    reading = extract.read(text, choices, finish, name)
    assert reading.answer is None or reading.answer in choices
    if reading.answer is not None:
        assert reading.status in (Status.TAG, Status.LENIENT)
    elif finish == "stop":
        assert reading.status in (Status.NONE, Status.REFUSAL)
    else:
        assert reading.status is (Status.ERROR if finish == "error" else Status.TRUNCATED)
    return reading


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@given(REPLIES, CHOICES, FINISH)
def test_any_text_is_read(text: str, choices: dict[str, str], finish: str) -> None:
    readings = {name: check(text, choices, finish, name) for name in NAMES}
    if readings["strict"].answer is not None:
        assert readings["default"] == readings["strict"]


@settings(max_examples=examples(200), deadline=None)
@given(REPLIES, CHOICES)
def test_a_closing_tag_after_thinking_always_counts(thought: str, choices: dict[str, str]) -> None:
    letter = max(choices)
    for name in ("default", "strict"):
        reading = extract.read(f"<think>{thought}</think> <answer>{letter}</answer>", choices, "stop", name)
        assert reading == extract.Reading(letter, Status.TAG, "tag-letter")


def bag_of_words(text: str, choices: Mapping[str, str], date: str) -> str | None:
    """The letter finder as its description reads, word by word: the oracle for `vlmevalkit`."""
    if "Failed to obtain answer via API" not in text:
        if "I can't process this file." in text or "Cannot determine the answer" in text:
            return None
        if "Sorry, I can't help with images of people yet." in text or "without the image provided" in text:
            return None
        words = "".join(" " if char in ".()[],:;!*#{}" else char for char in text).split()
        present = [letter for letter in choices if letter in words]
        if len(present) == 1 and (date == "2025-07" or present[0] not in words[:-4]):
            return present[0]
        if not present and "Z" in words:
            return None
        match = re.search(r"answer\s+is\s+\**([A-D])", text, re.IGNORECASE)
        if date == "2026-06" and match and match[1].upper() in choices:
            return match[1].upper()
    if date != "2025-07" and len(text.lower()) > 2 * len("".join(choices.values())):
        return None
    held = [letter for letter, option in choices.items() if option.lower() in text.lower()]
    return held[0] if len(held) == 1 else None


@settings(max_examples=examples(300), deadline=None)
@given(REPLIES, CHOICES)
def test_vlmevalkit_agrees_with_its_description(text: str, choices: dict[str, str]) -> None:
    for date in ("2025-07", "2025-09", "2026-06"):
        reading = extract.read(text, choices, "stop", f"vlmevalkit-{date}")
        assert reading.answer == bag_of_words(text, choices, date), date


def test_vlmevalkit_separates_words_like_the_original_at_every_character() -> None:
    for code in range(sys.maxunicode + 1):
        if chr(code).isspace() or code < 0x400:
            reply = f"see{chr(code)}B"
            expected = bag_of_words(reply, EN, "2025-09")
            assert extract.read(reply, EN, "stop", "vlmevalkit").answer == expected, hex(code)


@pytest.mark.parametrize("filler", ["A man walks. ", "<", "<think>", "答案是", "\n", "answer is A or "])
@pytest.mark.parametrize("name", ["default", "strict"])
def test_the_end_of_a_huge_reply_is_read(filler: str, name: str) -> None:
    body = (filler * 1_000_000)[:1_000_000]
    assert extract.read(f"<think>{body}</think> <answer>B</answer>", EN, "stop", name).answer == "B"
    assert extract.read(f"<think>{body}", EN, "length", name).status is Status.TRUNCATED


def test_only_head_and_tail_of_a_huge_reply_are_read() -> None:
    middle = "x" * tags.LIMIT + "\nThe answer is B.\n" + "x" * tags.LIMIT
    for name in NAMES:
        assert extract.read(middle, EN, "stop", name).answer is None
    assert extract.read("Therefore B is correct.\n" + "x" * 1_000_000, EN).answer == "B"
    assert len(tags.clip("x" * 1_000_000)) == tags.LIMIT + len(tags.GAP)


def test_only_one_character_grows_in_lower_case() -> None:
    assert [code for code in range(sys.maxunicode + 1) if len(chr(code).lower()) != 1] == [ord("İ")]
    assert extract.read("İİİ: the answer is B\nİ", EN).answer == "B"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("<answer> 90 degrees\n</answer>", "90 degrees"),
        ("<think>as <answer>$LETTER</answer></think> <answer>2,1,4,3</answer>", "2,1,4,3"),
        ("<answer>180</answer> and <answer>270</answer>", "270"),
        ("<answer><answer>top-left</answer></answer>", "top-left"),
        ("<ANSWER>positive</ANSWER>", "positive"),
        ("<answer></answer>", ""),
        ("<answer>90", None),
        ("90</answer>", None),
        ("<think><answer>90</answer></think>", None),
        ("<think><answer>90</answer>", None),
        ("prefilled <answer>90</answer></think> <answer>180</answer>", "180"),
        ("<think>a</think> <answer>90</answer> <think>b</think> end", "90"),
        ("<answer>9<think>0</answer></think>", None),
        ("90", None),
        ("", None),
    ],
)
def test_tag_content(text: str, content: str | None) -> None:
    assert extract.tag_content(text) == content


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("Dark  Red.", "dark red", True),
        ('**"The man"**', "a man", True),
        ("(five)", "five", True),
        ("$x$", "x", True),
        ("１０", "10", True),
        ("-5", "5", False),
        ("3.5", "35", False),
        ("a", "the a", True),
        ("f(x)", "f(x", False),
        (".", "", False),
    ],
)
def test_fold(text: str, other: str, same: bool) -> None:
    assert (options.fold(text) == options.fold(other)) is same


def test_unknown_extractor() -> None:
    with pytest.raises(UsageError, match=r"did you mean vlmevalkit-2025-09\?"):
        extract.check_extractor("vlmevalkit-2025-9")
    with pytest.raises(UsageError, match="There is no extractor 'nonsense'"):
        extract.read("B", EN, "stop", "nonsense")
    assert extract.check_extractor("vlmevalkit") == "vlmevalkit-2025-09"
    assert extract.check_extractor("default") == "default"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_100_000_random_and_10_000_adversarial_replies(name: str) -> None:
    path = ROOT / "benchmarks" / "read_replies.py"
    spec = importlib.util.spec_from_file_location("read_replies", path)
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    rng = random.Random(1)
    answered = tagged = 0
    for text, choices in benchmark.random_replies(100_000, seed=1):
        reading = check(text, choices, rng.choice(["stop", "stop", "length"]), name)
        answered += reading.answer is not None
        if name in ("default", "strict") and (
            match := re.search(r"</think> <answer>([A-Z])</answer>\Z", text)
        ):
            assert reading.answer == match[1], text
            tagged += 1
    assert answered > 1_000
    assert tagged > 40_000 or name not in ("default", "strict")
    sizes = []
    for text, choices in benchmark.adversarial_replies(10_000, seed=1):
        check(text, choices, rng.choice(["stop", "length", "error"]), name)
        sizes.append(len(text))
    assert len(sizes) == 10_000
    assert sum(size >= 1_000_000 for size in sizes) == 500
