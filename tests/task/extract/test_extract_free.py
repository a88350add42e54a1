"""The reader of open answers: where an answer may stand, what is none, and what holds of any text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.task.extract import EXTRACTORS, free, tags
from ssl4rl_bench.task.extract.free import read_free
from ssl4rl_bench.task.ssl.answers import angle, label, permutation

QUADRANTS = ("top-left", "top-right", "bottom-left", "bottom-right")
KINDS: dict[str, tuple[Callable[[str], str | None], tuple[str, str]]] = {
    "angle": (angle, ("90", "270")),
    "permutation": (lambda text: permutation(text, 4), ("2,3,1,4", "1,3,2,4")),
    "label": (lambda text: label(text, QUADRANTS), ("top-left", "bottom-right")),
}
"""A parser with two of its answers."""

NATURAL = [
    ("<answer>{a}</answer>", "tag-answer"),
    ("<think>perhaps {b}</think> <answer>{a}</answer>", "tag-answer"),
    (
        "<think>In <answer></answer> tags: <answer>{b}</answer></think>\n<answer>\n{a}\n</answer>",
        "tag-answer",
    ),
    ("thought without an opening tag {b}</think><ANSWER>**{a}**.</ANSWER>", "tag-answer"),
    ("<answer>{b}</answer> No. <answer>{a}</answer>", "tag-answer"),
    ("<answer>Answer: {a}</answer>", "tag-answer"),
    ("<answer>\\boxed{{{a}}}</answer>", "tag-answer"),
    ("<answer>{a} because the sky is there</answer>", "tag-phrase"),
    ("<answer>I looked twice. The answer is {a}.</answer>", "tag-phrase"),
    ("<answer>{a}. That fits.</answer>", "tag-phrase"),
    ("{a}", "only-answer"),
    ("  **{a}**.\n", "only-answer"),
    ("Answer: {a}", "only-answer"),
    ("**Final Answer:** {a}", "only-answer"),
    ("So, the correct answer is {a}.", "only-answer"),
    ("答案是{a}。", "only-answer"),
    ("<think>{b}</think>{a}", "only-answer"),
    ("I see a tree.\n\n{a}", "last-line"),
    ("It is not {b}.\nFinal answer: {a}.", "last-line"),
    ("I use the tag <answer>answer</answer> as told.\n{a}", "last-line"),
    ("Therefore \\boxed{{{a}}} as shown.", "boxed"),
    ("$\\boxed{{\\text{{{a}}}}}$ fits.", "boxed"),
    ("The answer is {a}. It fits.", "statement"),
    ("The answer is {a}, because the sky is up.", "statement"),
    ("I think the answer to the question is **{a}**. Sure.", "statement"),
    ("The answer is {b}. No, wait. The answer is {a}. Yes.", "statement"),
    ("The answer is {a} (as the first image shows).", "statement"),
    ("Answer:\n{a}\nThe sky is there.", "statement"),
    ("In the form <answer>x</answer>: the answer is {a}. Done.", "statement"),
    ("{a}\n\nThe sky is there.", "opening"),
    ("{a}. The sky is there.", "opening"),
    ("{a} because the sky is there.", "opening"),
    ("I see it. <answer>{a}", "open-tag"),
    ("<think>It must be. <answer>{a}</answer>", "thought-tag"),
    ("<think>So the answer is {a}. Yes.</think>", "thought-statement"),
]
CONFLICTS = [
    "<answer>{a} or {b}</answer>",
    "<answer>{a}/{b}</answer>",
    "<answer>{a}. {b}.</answer>",
    "<answer>{a}; {b}</answer>",
    "The answer is {a}. <answer>{a} or {b}</answer>",
    "The answer is {a} or {b}.",
]
NOTHING = [
    "",
    "\n \n",
    "<answer></answer>",
    "<answer>your answer</answer>",
    "<answer>{b}</answer> or rather <answer>?</answer>",
    "It could be {a} and it could be {b}",
    "I don't think that the answer is {a}.",
    "If the answer is {a}, the sky would be there.",
    "The answer is not {a}.",
    "The answer is unclear, as {a} is hard to see.",
    "The options are:\n{a}\n{b}",
    "- {a}\n- {b}",
    "{a}\n{b}\nBoth fit.",
    "<think>I compare {a}",
    "<think>The answer is {a}.</think> I cannot tell which fits",
    "It looks like {a} to me",
    "{a}?",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("template", "rule"), NATURAL)
def test_an_answer_is_found(template: str, rule: str, kind: str) -> None:
    parse, (a, b) = KINDS[kind]
    for one, other in ((a, b), (b, a)):
        reading = read_free(template.format(a=one, b=other), parse)
        status = Status.TAG if rule.startswith("tag-") else Status.LENIENT
        assert (reading.answer, reading.status, reading.rule) == (one, status, rule)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", CONFLICTS)
def test_two_answers_are_none(template: str, kind: str) -> None:
    parse, (a, b) = KINDS[kind]
    if kind == "permutation" and re.search(r"[/;]", template.replace("</", "")):
        return  # one list of eight numbers: see test_two_permutations_in_one_list
    reading = read_free(template.format(a=a, b=b), parse)
    assert (reading.answer, reading.status, reading.rule) == (None, Status.NONE, "conflict")
    assert read_free(template.format(a=a, b=b), parse, "length").status is Status.TRUNCATED


@pytest.mark.parametrize("comma", ["; ", "/", " and ", "\n"])
def test_two_permutations_in_one_list(comma: str) -> None:
    parse, (a, b) = KINDS["permutation"]
    assert read_free(f"<answer>{a}{comma}{b}</answer>", parse).answer == f"{a},{b}"  # no permutation: worth 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", NOTHING)
def test_no_answer_is_found(template: str, kind: str) -> None:
    parse, (a, b) = KINDS[kind]
    if template.startswith("- ") and kind == "angle":
        pytest.skip("-90 after a bullet is no list")
    reading = read_free(template.format(a=a, b=b), parse)
    assert (reading.answer, reading.status, reading.rule) == (None, Status.NONE, "no-answer")


@pytest.mark.parametrize(
    "text", ["I'm sorry, I cannot see the images.", "I am unable to tell.", "抱歉，我无法回答"]
)
def test_refusal(text: str) -> None:
    assert read_free(text, angle).status is Status.REFUSAL
    assert read_free(text, angle, "length").status is Status.TRUNCATED


def test_a_failed_request_is_never_read() -> None:
    reading = read_free("<answer>90</answer>", angle, "error")
    assert (reading.answer, reading.status, reading.rule) == (None, Status.ERROR, "failed")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("template", "rule"), NATURAL)
def test_a_reply_cut_anywhere_never_answers_with_its_last_word(template: str, rule: str, kind: str) -> None:
    parse, (a, b) = KINDS[kind]
    text = template.format(a=a, b=b)
    for end in range(len(text)):
        reading = read_free(text[:end], parse, "length")
        if reading.answer is None:
            assert reading.status is Status.TRUNCATED
        else:  # whatever had come next, the answer was complete
            assert reading.answer in (a, b)
            assert not text[:end].endswith(reading.answer)


def test_the_last_word_of_a_cut_reply_is_no_answer() -> None:
    for text in ("9", "The answer is 18", "<answer>18", "so\n90", "<think>x</think> 27", "The answer is 90."):
        assert read_free(text, angle).answer is not None
        assert read_free(text, angle, "length").status is Status.TRUNCATED
    for text in ("<answer>90</answer>", "<answer>90</answer> and", "The answer is 90. And", "\\boxed{90} so"):
        assert read_free(text, angle, "length").answer == "90"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>x</think> <answer>90</answer>", "90"),
        ("<answer> 90\n</answer>", "90"),
        ("<answer>180</answer><answer>90</answer>", None),
        ("<answer>180</answer> No: <answer>90</answer>", "90"),
        ("<answer>90 degrees</answer>", None),
        ("<answer>450</answer>", None),
        ("<answer>90.0</answer>", None),
        ("<answer>**90**</answer>", None),
        ("<answer>90</answer><think>x</think>", None),
        ("<answer>90</answer><answer>x</answer>", None),
        ("90", None),
        ("The answer is 90.", None),
        ("", None),
    ],
)
def test_strict(text: str, answer: str | None) -> None:
    reading = read_free(text, angle, "stop", "strict")
    assert reading.answer == answer
    assert reading.status is (Status.TAG if answer else Status.NONE)


def test_extractor_names() -> None:
    for name in EXTRACTORS:
        assert read_free("The answer is 90.", angle, "stop", name).answer == (
            None if name == "strict" else "90"
        )
    with pytest.raises(UsageError, match="There is no extractor 'nonsense'"):
        read_free("90", angle, "stop", "nonsense")


def test_every_rule_is_documented_and_has_a_case() -> None:
    documented = set(re.findall(r"^\| `([a-z-]+)`", free.__doc__ or "", re.MULTILINE))
    assert documented == {rule for _, rule in NATURAL} | {"conflict", "refusal", "no-answer", "failed"}


def test_what_parse_is_given_is_short_and_stripped() -> None:
    seen: list[str] = []

    def parse(text: str) -> str | None:
        seen.append(text)
        return None

    for text in (
        "x" * 10_000,
        "The answer is " + "y " * 5_000,
        "<answer>" + "z" * 500 + "</answer>",
        " a \n b ",
    ):
        read_free(text, parse)
    assert seen
    assert all(len(text) <= free.LONGEST and text == text.strip() for text in seen)


TAGS = "<think>|</think>|<answer>|</answer>|<answer>90</answer>|The answer is |Answer: |\\boxed{|}|(|)|/|<|{"
ANSWERS = "90|270|450|-90|９０|2,3,1,4|1,1,1,1|top-left|bottom-right|degrees|°|clockwise|-|the "
WORDS = " or |, |. |\n| |**|not |if |because |答案是|sorry, I can't |İ|\ud800|\ufffd"
FRAGMENTS = [*TAGS.split("|"), *ANSWERS.split("|"), *WORDS.split("|")]
REPLIES = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8)), max_size=16).map("".join),
)


@settings(max_examples=examples(400), deadline=None)
@given(REPLIES, st.sampled_from(sorted(KINDS)), st.sampled_from(["stop", "length"]))
def test_any_text_is_read(text: str, kind: str, finish: str) -> None:
    parse, _ = KINDS[kind]
    default, strict = (read_free(text, parse, finish, name) for name in ("default", "strict"))  # type: ignore[arg-type]
    for reading in (default, strict):
        if reading.answer is not None:
            assert reading.status in (Status.TAG, Status.LENIENT)
            assert parse(reading.answer) == reading.answer
        elif finish == "length":
            assert reading.status is Status.TRUNCATED
        else:
            assert reading.status in (Status.NONE, Status.REFUSAL)
    if strict.answer is not None:
        assert default == strict


@settings(max_examples=examples(200), deadline=None)
@given(REPLIES, st.sampled_from(sorted(KINDS)))
def test_a_closing_tag_after_thinking_always_counts(thought: str, kind: str) -> None:
    parse, (a, _) = KINDS[kind]
    for name in ("default", "strict"):
        reading = read_free(f"<think>{thought}</think> <answer>{a}</answer>", parse, "stop", name)
        assert (reading.answer, reading.rule) == (a, "tag-answer")


FILLERS = (
    "A man walks. |<|<think>|<answer>|</answer>|<answer>90</answer>|答案是|\n|answer is 90 or |1,|90\n|the "
)
MORE_FILLERS = "boxed{|{|The answer is |answer        |90 (|<answer>90 or |-|1 2 3 4. "


@pytest.mark.slow
@pytest.mark.parametrize("filler", [*FILLERS.split("|"), *MORE_FILLERS.split("|")])
def test_a_megabyte_is_read_at_its_end_in_bounded_time(filler: str) -> None:
    body = (filler * 1_000_000)[:1_000_000]
    for parse, (a, _) in KINDS.values():
        started = time.process_time()
        read_free(body, parse)
        assert read_free(f"<think>{body}</think> <answer>{a}</answer>", parse).answer == a
        assert read_free(f"<think>{body}", parse, "length").status is Status.TRUNCATED
        assert time.process_time() - started < 0.5


def test_only_head_and_tail_of_a_huge_reply_are_read() -> None:
    far = "x" * tags.LIMIT
    assert read_free(f"{far}\nThe answer is 90.\n{far}", angle).answer is None
    assert read_free(f"The answer is 90. Yes\n{far}{far}", angle).answer == "90"
