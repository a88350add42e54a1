"""The form of a model's answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.task.ssl.forms import AnswerForm, asked_form, thinking, usual_form


def test_the_usual_form_has_a_gap_wherever_the_answer_is() -> None:
    readings = [(f"<think>{a}</think> <answer>{a}</answer>", a) for a in ("0", "90", "180", "90")]
    form = usual_form([*readings, ("about 90, I guess", "90"), ("what?", None)])
    assert form is not None
    assert form.reply("270") == "<think>270</think> <answer>270</answer>"
    assert str(form) == "<think>…</think> <answer>…</answer>"


def test_an_answer_inside_another_word_is_no_gap() -> None:
    form = usual_form([("10 or 1.0 or 0.5 or top-0, so <answer>0</answer>", "0")] * 2)
    assert form is not None
    assert form.reply("X") == "10 or 1.0 or 0.5 or top-0, so <answer>X</answer>"


def test_free_thinking_has_no_usual_form() -> None:
    assert usual_form([(f"<think>Case {'x' * n}</think><answer>90</answer>", "90") for n in range(9)]) is None
    assert usual_form([("nothing", None)]) is None
    assert usual_form([("The picture stands on its head.", "180")]) is None
    assert usual_form([]) is None


def test_no_answer_begins_another_in_a_form() -> None:
    bare = usual_form([("30", "30")] * 2)
    assert bare is not None
    for form in (bare, *map(asked_form, ("direct", "cot", "boxed", "ssl4rl"))):
        assert not form.reply("300").startswith(form.reply("30"))


def test_thinking_ends_at_the_last_answer_tag() -> None:
    assert thinking("<answer>1</answer> no: <answer>2</answer>") == "<answer>1</answer> no: <answer>"
    assert thinking("2") is None


@given(st.text(), st.sampled_from(["0", "top-left", "2,3,1,4"]))
def test_a_form_gives_back_the_reply_that_it_was_made_of(text: str, answer: str) -> None:
    reply = f"{text} <answer>{answer}</answer>"
    form = usual_form([(reply, answer)] * 2)
    assert form is not None
    assert form.reply(answer) == reply


def test_a_form_is_a_value() -> None:
    assert AnswerForm(("a", "b")) == AnswerForm(("a", "b"))
