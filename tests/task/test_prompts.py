"""Prompts, word for word: a change here changes what every model is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.prompts import open_renderer, prompt_styles, render

SENTENCES = {
    "direct": "Answer with the letter of the correct option and nothing else.",
    "cot": (
        'Think step by step. End your response with the line "The answer is $LETTER.", '
        "where LETTER is one of the options."
    ),
    "ssl4rl": (
        "Answer this multiple-choice question. Think step by step before answering. The last line of your "
        "response should be of the following format: <think>step-by-step reasoning</think> "
        "<answer>$LETTER</answer>, where LETTER is one of the options."
    ),
    "boxed": (
        "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. "
        "The reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in "
        "\\boxed{}."
    ),
    "vlmevalkit": "Please select the correct answer from the options above. \n",
}


def test_all_styles_are_here() -> None:
    assert set(prompt_styles()) == {*SENTENCES, "lmms-eval"}


def test_the_prompt_of_lmms_eval_word_for_word() -> None:
    lines = "What is it? There are several options:\nA. a cat\nB. a dog\n\n"
    sentence = "Answer with the option's letter from the given choices directly."
    choices = {"A": "a cat", "B": "a dog"}
    assert render("lmms-eval", question="What is it?", hint="", choices=choices) == f"{lines}{sentence}"
    assert (
        render("lmms-eval", question="What is it?", hint="Look.", choices=choices)
        == f"Look. {lines}{sentence}"
    )


@pytest.mark.parametrize("kind", ["number", "yes_no", "text"])
def test_other_answers_have_the_styles_of_this_project_and_boxed(kind: str) -> None:
    for style in ("direct", "cot", "ssl4rl", "boxed"):
        assert open_renderer(style, kind)("What?", "").startswith("Question: What?\n")
    assert open_renderer("boxed", kind)("What?", "").endswith(SENTENCES["boxed"])
    for style in ("vlmevalkit", "lmms-eval"):
        with pytest.raises(
            UsageError, match=f"{style} has no wording for {kind} answers: use one of direct, cot"
        ):
            open_renderer(style, kind)


@pytest.mark.parametrize("style", SENTENCES)
def test_a_prompt_word_for_word(style: str) -> None:
    assert render(style, question="What is it?", hint="Look.", choices={"A": "a cat", "B": "“None”"}) == (
        f"Hint: Look.\nQuestion: What is it?\nOptions:\nA. a cat\nB. “None”\n{SENTENCES[style]}"
    )
    assert render(style, question="图中有什么?", hint="", choices={"A": "猫", "B": "狗", "C": "鸟"}) == (
        f"Question: 图中有什么?\nOptions:\nA. 猫\nB. 狗\nC. 鸟\n{SENTENCES[style]}"
    )


@given(st.text(), st.text(min_size=1), st.lists(st.text(), min_size=1, max_size=5))
def test_texts_go_in_as_they_are(question: str, hint: str, options: list[str]) -> None:
    """Template syntax and markup in the data are text; nothing is stripped or escaped."""
    choices = dict(zip("ABCDE", options, strict=False))
    lines = "".join(f"{letter}. {text}\n" for letter, text in choices.items())
    assert render("direct", question=question, hint=hint, choices=choices) == (
        f"Hint: {hint}\nQuestion: {question}\nOptions:\n{lines}{SENTENCES['direct']}"
    )


def test_template_syntax_in_the_data_is_not_run() -> None:
    text = "{{ choices.__class__ }} {% for x in y %} {# no #}"
    assert text in render("cot", question=text, hint="", choices={"A": "x"})


def test_an_unknown_style() -> None:
    with pytest.raises(UsageError) as error:
        render("cott", question="", hint="", choices={})
    assert (
        str(error.value)
        == "No prompt style 'cott'; did you mean cot? (there are direct, cot, ssl4rl, boxed, vlmevalkit, lmms-eval)."
    )
