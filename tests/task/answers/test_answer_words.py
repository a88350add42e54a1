"""Yes, no and short texts: what is read and what is right; and what holds of every kind of answer."""

from __future__ import annotations

import time

import pytest
from examples import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Completion, FinishReason, Status
from ssl4rl_bench.task.answers import KINDS, check_target, gold_replies, score_answer, wrong_replies
from ssl4rl_bench.task.answers.texts import LONGEST, TextTarget, normalised, text_target
from ssl4rl_bench.task.answers.yes_no import parse_yes_no
from ssl4rl_bench.task.extract.resolve import CONFLICT

SIDES = {
    "yes": "yes|Yes.|YES|**Yes**|True|correct|\\boxed{yes}|Yes, there is a dog in the picture.|Yes. The dog is red."
    "|Yes, it is.|Yes it is.|The answer is yes.|The statement is true.|It is correct.|So yes|是"
    "|Based on the image, yes.|Yes, the left one is not as long.|Yes\n\nThe left one is not longer.|Definitely yes."
    "|Yes, because neither is longer.|是的，图中有一只狗。|Yes, no doubt about it.",
    "no": "no|No.|NO|False|incorrect|No, there is no dog.|No, it is a cat.|The statement is not true.|Not true"
    "|This claim is false.|The answer is no.|No it isn't.|否|From this picture, no."
    "|No, there is no dog or cat.|No, it is not red but blue.|不，图中没有狗。|No\nIt is a cat.",
}
NEITHER = (
    "Yes and no|Yes or no|yes/no|not false|It is not incorrect.|No doubt it is a dog|Yes, but it is not red|Yes, no"
    "|No, yes|maybe|Yes?|No. Yes.|Yes, unless it is dark|Not sure|Yes, if it is a dog|Yesterday|None"
    "|The answer is not yes"
    "|Yes, it is not.|Yes, it isn't.|No, it is.|No, they are.|Yes, no wait|Yes, or no|是的，但是不红|Yes, not really"
    "|Yes: no|No. That is correct.|There is a dog|No dogs, only cats or so|it is not yes|true or false|"
)


@pytest.mark.parametrize(
    ("text", "side"), [(t, side) for side, texts in SIDES.items() for t in texts.split("|")]
)
def test_a_side_is_read(text: str, side: str) -> None:
    assert parse_yes_no(text) == side
    assert value("yes_no", side, text) == 1.0
    assert value("yes_no", side, f"<think>Is it?</think> <answer>{text}</answer>") == 1.0


@pytest.mark.parametrize("text", NEITHER.split("|"))
def test_neither_side_is_read(text: str) -> None:
    assert parse_yes_no(text) in (None, CONFLICT)
    score = score_answer("yes_no", "yes", Completion(text, "stop"))
    assert (score.value, score.answer, score.status) == (0.0, None, Status.NONE)


def value(kind: str, target: str, reply: str, finish: FinishReason = "stop") -> float | None:
    return score_answer(kind, target, Completion(reply, finish)).value


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("elephant", 1),
        ("An Elephant.", 1),
        ("It is an elephant.", 1),
        ("**Answer:** “elephant”", 1),
        ("ｅｌｅｐｈａｎｔ", 1),
        ("I see a tree.\n\nElephant.", 1),
        ("The answer is elephant, not lion.", 1),
        ("\\boxed{\\text{elephant}}", 1),
        ("The answer is lion. No, wait. The answer is elephant.", 1),
        ("lion", 0),
        ("elephants", 0),
        ("elephant or lion", 0),
        ("elephant\nlion", 0),
        ("- elephant\n- lion", 0),
        ("The answer is not elephant.", 0),
        ("If the answer is elephant, it would be grey.", 0),
        ("I saw an elephant and a lion", 0),
        ("elephant?", 0),
        ("", 0),
    ],
)
def test_a_short_text(reply: str, expected: int) -> None:
    assert value("text", "elephant", reply) == expected


def test_each_accepted_answer_is_right_and_reported_as_the_first() -> None:
    for reply in ("colour", "The answer is Color.", "<answer>color</answer>"):
        score = score_answer("text", "Colour || color", Completion(reply, "stop"))
        assert (score.value, score.answer) == (1.0, "Colour")
    assert value("text", "Colour || color", "The answer is hue.") == 0.0


@pytest.mark.parametrize(
    ("kind", "target", "reason"),
    [
        ("text", "", "it is empty"),
        ("text", " . ", "an accepted answer is empty"),
        ("text", "red ||", "an accepted answer is empty"),
        ("text", "one two three four five six seven eight nine", "it has more than 8 words or 80 characters"),
        ("text", "x" * 81, "it has more than 8 words or 80 characters"),
        ("text", "<b>red</b>", "it has markup, several lines or an ellipsis"),
        ("text", "red\nblue", "it has markup, several lines or an ellipsis"),
        ("yes_no", "maybe", "it is neither yes nor no"),
    ],
)
def test_why_a_target_cannot_be_scored(kind: str, target: str, reason: str) -> None:
    assert check_target(kind, target) == reason


def test_errors_name_the_kind_and_the_target() -> None:
    with pytest.raises(UsageError, match="There is no kind of answer 'numbr'; did you mean number"):
        score_answer("numbr", "5", Completion("5", "stop"))
    with pytest.raises(
        UsageError, match=r"The target '\[1, 2\]' is not a number answer: it is several numbers"
    ):
        score_answer("number", "[1, 2]", Completion("5", "stop"))


TARGETS = {"number": ("12", "13"), "yes_no": ("yes", "no"), "text": ("elephant", "lion")}


@pytest.mark.parametrize("kind", KINDS)
def test_statuses(kind: str) -> None:
    right, other = TARGETS[kind]

    def status(completion: Completion) -> tuple[float | None, Status]:
        score = score_answer(kind, right, completion)
        return score.value, score.status

    assert status(Completion(f"<answer>{right}</answer>", "stop")) == (1.0, Status.TAG)
    assert status(Completion(f"The answer is {right}.", "stop")) == (1.0, Status.LENIENT)
    assert status(Completion(f"<answer>{other}</answer>", "stop")) == (0.0, Status.TAG)
    assert status(Completion("I cannot tell", "stop")) == (0.0, Status.NONE)
    assert status(Completion("I'm sorry, I cannot see the image.", "stop")) == (0.0, Status.REFUSAL)
    assert status(Completion(f"The answer is {right}", "length")) == (0.0, Status.TRUNCATED)
    assert status(Completion(f"<answer>{right}</answer> a", "length")) == (1.0, Status.TAG)
    assert status(Completion("", "stop", reasoning="hm")) == (None, Status.NO_CONTENT)
    assert status(Completion("", "error", error="timeout")) == (None, Status.ERROR)


@pytest.mark.parametrize("kind", KINDS)
def test_strict_reads_a_tag_with_nothing_but_an_answer(kind: str) -> None:
    right, other = TARGETS[kind]

    def read(reply: str) -> str | None:
        return score_answer(kind, right, Completion(reply, "stop"), extractor="strict").answer

    assert read(f"<answer>{right}</answer>") == right
    assert read(f"The answer is {right}.") is None
    assert read(f"<answer>{right} because of the sky</answer>") is None
    assert read(f"<answer>{other}</answer><answer>{right}</answer>") is None


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    "end", [end for code in range(0x2030) if len(f"a{(end := chr(code))}b".splitlines()) > 1]
)
def test_an_answer_of_several_lines_is_refused(end: str) -> None:
    assert check_target("text", f"0{end}.") is not None


@settings(max_examples=examples(300), deadline=None)
@given(WORDS)
def test_gold_replies_of_every_accepted_text_are_right_and_wrong_ones_are_not(target: str) -> None:
    assume(check_target("text", target) is None)
    for reply in gold_replies("text", target):
        assert value("text", target, reply) == 1.0
    for reply in wrong_replies("text", target):
        assert value("text", target, reply) == 0.0


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(
        st.sampled_from(["red", "the", "big car", "New York", "St. Louis", "it's", "A", "x=3", "10:30"]),
        max_size=2,
    )
)
def test_ordinary_texts_are_accepted(parts: list[str]) -> None:
    target = " ".join(parts)
    assume(normalised(target))
    assert check_target("text", target) is None


@settings(max_examples=examples(500), deadline=None)
@given(st.text(max_size=4 * LONGEST))
def test_normalisation_is_idempotent(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)
    target = text_target("elephant")
    assert isinstance(target, TextTarget)
    if (answer := target.parse(text)) is not None:
        assert target.parse(answer) == answer


PIECES = (
    "<think>|</think>|<answer>|</answer>|The answer is |yes|no|not |true|12|13|elephant|lion| or |, |. |\n|but "
    "|\\boxed{|}"
)
REPLIES = st.one_of(
    st.text(max_size=100),
    st.lists(st.one_of(st.sampled_from(PIECES.split("|")), st.text(max_size=4)), max_size=16).map("".join),
)


@settings(max_examples=examples(300), deadline=None)
@given(REPLIES, st.sampled_from(KINDS), st.sampled_from(["stop", "length"]))
def test_any_reply_is_scored(text: str, kind: str, finish: FinishReason) -> None:
    right, _ = TARGETS[kind]
    score = score_answer(kind, right, Completion(text, finish))
    assert score.value == float(score.answer == right)
    if score.answer is None:
        assert score.status in (Status.NONE, Status.REFUSAL, Status.TRUNCATED)


TWO = (
    "<answer>{a} or {b}</answer>|<answer>{a}; {b}</answer>|The answer is {a} or {b}.|{a}\n{b}|{a} or {b}"
    "|The answer is {a}. The answer is {b}.|{a}. {b}.|{a} - {b}|- {a}\n- {b}|both {a} and {b}"
    "|\\boxed{{{a}}} \\boxed{{{b}}}"
    "|The answer is {a}, maybe {b}.|<answer>{a}</answer><answer>{b}</answer>|{a}, {b}|{a}/{b}|{a} and {b}|{a} {b}"
    "|{a} <br> {b}|<answer>{a}. {b}</answer>|{a}: {b}"
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TWO.split("|"))
def test_a_right_and_another_answer_are_never_right(template: str, kind: str) -> None:
    right, other = TARGETS[kind]
    for a, b in ((right, other), (other, right)):
        assert value(kind, right, template.format(a=a, b=b)) == 0.0


FILLERS = (
    "A man walks. |<|<think>|<answer>|12|1,|√|$|{|(|yes |no, |answer is 12 or |boxed{|elephant |\n|=|\\frac{|-"
    "|12 = "
)


@pytest.mark.slow
@pytest.mark.parametrize("filler", FILLERS.split("|"))
def test_a_million_characters_are_read_in_bounded_time(filler: str) -> None:
    body = (filler * 1_000_000)[:1_000_000]
    for kind in KINDS:
        right, _ = TARGETS[kind]
        started = time.process_time()
        value(kind, right, body)
        assert value(kind, right, f"<think>{body}</think> <answer>{right}</answer>") == 1.0
        assert time.process_time() - started < 1
