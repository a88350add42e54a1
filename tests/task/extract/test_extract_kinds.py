"""Kinds of replies that tempt a reader: each kind is a list of templates, tried with every option set and letter.

{R} is the right letter, {W} and {V} wrong ones, {r} {w} {v} their options' texts. `read` kinds must be read as {R},
`none` kinds as nothing. In no kind may a wrong letter be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import pytest
from _pytest.mark import ParameterSet

from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.task.extract import read
from ssl4rl_bench.task.registry import load_ssl

OPTIONS: dict[str, Mapping[str, str]] = {
    "places": {"A": "above the dog", "B": "below the dog", "C": "left of the dog", "D": "right of the dog"},
    "words": {"A": "above", "B": "below", "C": "left", "D": "right"},
    "nested": {"A": "red", "B": "dark red", "C": "a cat", "D": "None of the above"},
    "numbers": {"A": "1", "B": "10", "C": "-1", "D": "3.5"},
    "sentences": {
        "A": "A man is riding a horse.",
        "B": "Two women are talking.",
        "C": "The dog is asleep.",
        "D": "A child flies a kite.",
    },
    "points": {"A": "Point B", "B": "Point C", "C": "Point D", "D": "Point A"},
    "ten": dict(
        zip(
            "ABCDEFGHIJ",
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
            strict=True,
        )
    ),
}
CHINESE: dict[str, Mapping[str, str]] = {
    "colours": {"A": "红色", "B": "蓝色", "C": "绿色", "D": "黄色"},
    "sides": {"A": "在狗的上面", "B": "在狗的下面", "C": "在狗的左边", "D": "在狗的右边"},
}

READ: dict[str, list[str]] = {
    "counterfactual after": [
        "The answer is {R}. If the cat were on top, the answer would be {W}.",
        "The answer is {R}. Had the cat been on the roof, {W} would be correct.",
        "The answer is {R}. Were it the other way round, the answer would be {W}.",
        "The answer is {R}. Otherwise, the answer would be {W}.",
        "The answer is {R}. Without the dog, the answer would be {W}.",
        "The answer is {R}. In a mirror image, the answer would be {W}.",
        "The answer is {R}. In the mirrored picture the answer is {W}.",
        "The answer is {R}. If you flipped it, then {W} is correct.",
        "The answer is {R}. Only if it were turned would the answer be {W}.",
        "The answer is {R}. When the picture is flipped, the answer is {W}.",
        "The answer is {R}. Suppose the cat jumped: the answer would be {W}.",
        "The correct answer is {R}, although the answer would be {W} if the dog moved.",
        "I choose {R}. I would choose {W} if the cat were elsewhere.",
        "{R}\n\nIf it were reversed, the answer would be {W}.",
        "The answer is {R}.\nIf the cat were on top, the answer would be {W}.",
        "Answer: {R}. Had it been darker, I would have picked {W}.",
    ],
    "counterfactual before": [
        "If the cat were on top, the answer would be {W}. It is not, so the answer is {R}.",
        "Had it been turned, {W} would be correct. The answer is {R}.",
        "The answer would be {W} if the cat were on top. But the answer is {R}.",
        "If you only glance at it, you might say the answer is {W}. The correct answer is {R}.",
    ],
    "quotation and report": [
        "The answer is {R}. Some would say that the answer is {W}.",
        "The answer is {R}. Many people think the answer is {W}.",
        "The answer is {R}. A student once said the answer is {W}.",
        "The answer is {R}. My friend believes that {W} is correct.",
        'The answer is {R}. The caption says "the answer is {W}".',
        'A note in the picture reads "The answer is {W}." The answer is {R}.',
        "Some may answer {W}, but I choose {R}.",
        "You might think the answer is {W}, but the answer is {R}.",
        "At first I thought the answer was {W}, but the answer is {R}.",
        "Initially I considered {W}, but {R} is the better choice.",
        "The answer is {R}. A common mistake is to choose {W}.",
        "Others claim that the answer is {W}; the answer is {R}.",
    ],
    "denial of another": [
        "The answer is {R}. It is false that the answer is {W}.",
        "The answer is {R}, not {W}.",
        "The answer is {R} (not {W}).",
        "The answer is {R} rather than {W}.",
        "The answer is {R}. I do not think that the answer is {W}.",
        "The answer is {R}. The answer is not {W}.",
        "The answer is {R}. {W} is incorrect.",
        "The answer is {R}. The answer {W} is wrong.",
        "The answer is not {W} but {R}.",
        "It is not {W}, so the answer is {R}.",
        "{W} is incorrect. {R} is correct.",
        "The answer can't be {W}, so it must be {R}.",
        "The answer is {R}. There is no way that the answer is {W}.",
        "The answer is {R}. I doubt that {W} is correct.",
        "The answer is {R}. Saying that the answer is {W} would be wrong.",
        "{R}, not {W}.",
        "{R} is correct while {W} is incorrect.",
    ],
    "retraction with a new answer": [
        "The answer is {W}. Sorry, I meant {R}.",
        "The answer is {W}. Wait, no. The answer is {R}.",
        "The answer is {W}. No, wait, it is {R}.",
        "The answer is {W}. Scratch that, the answer is {R}.",
        "The answer is {W}. Correction: {R}.",
        "The answer is {W}. Actually, the answer is {R}.",
        "The answer is {W}. On second thought, the answer is {R}.",
        "The answer is {W}. I take that back. The answer is {R}.",
        "The answer is {W}. Oops, I meant {R}.",
        "The answer is {W}. That is wrong. The correct answer is {R}.",
        "The answer is {W}. No, {R}.",
        "Answer: {W}\nActually, Answer: {R}",
        "{W}... wait, no, {R}",
        "\\boxed{{{W}}} ... no, \\boxed{{{R}}}",
        "I was wrong to say {W}; the right answer is {R}.",
        "The answer is {W}. Hmm, let me check again. The answer is {R}.",
        "<answer>{W}</answer> Wait, that is not right. <answer>{R}</answer>",
    ],
    "the others closed": [
        "The correct answer is {R}.\n\n{W} and {V} are incorrect.",
        "The correct answer is {R}.\n\n{W}, {V} are wrong.",
        "The answer is {R}.\n\nOptions {W} and {V} do not match the picture.",
        "The answer is {R}.\nThe other options ({W}, {V}) can be ruled out.",
        "The answer is {R}. {W} and {V} are not supported by the picture.",
        "**{R}**\n\n{W} is wrong because it is elsewhere. {V} is wrong too.",
        "We can rule out {W} and {V}. The answer is {R}.",
        "{W} and {V} can be ruled out, leaving {R}.",
        "Not {W}, not {V}. So {R}.",
        "Option {W} is wrong. Option {V} is wrong. That leaves option {R}.",
    ],
    "first line, then an explanation": [
        "The correct answer is {R}\n\n{W}: this is elsewhere\n{V}: this is not shown",
        "Answer: {R}\n\nExplanation:\n- {W}: not shown.\n- {V}: not shown.",
        "{R}\n\nExplanation: the picture shows it. Option {W} is incorrect.",
        "{R}. {r}\n\nExplanation: the picture shows it. Option {W} is incorrect, and option {V} does not match.",
        "{R}\n\n{W} is wrong.",
        "**{R}. {r}**\n\nThe picture shows it clearly.",
        "{R}, because {W} is wrong.",
    ],
    "blanks and tokens": [
        "{R}\u3000",
        "\u3000{R}",
        "{R}\u00a0",
        "\u00a0{R}.\u00a0",
        "{R}\u200b",
        "\u200b{R}\ufeff",
        "\u2003{R}\u2009",
        "{R}\u2028",
        "\ufeffThe answer is\u00a0{R}.",
        "<answer>\u3000{R}\u3000</answer>",
        "<answer>{R}\u200b</answer>",
        "{R}<|im_end|>",
        "{R}.<|endoftext|>",
        "The answer is {R}.<|im_end|>",
        "{R}</s>",
        "{R}<|eot_id|>",
        "{R}<end_of_turn>",
        "{R}<｜end▁of▁sentence｜>",
        "{R}<|im_end|>\n<|im_start|>user\nIs it {W}?",
        "<|begin_of_box|>{R}<|end_of_box|>",
        "The answer is <|begin_of_box|>{R}<|end_of_box|>.",
        "<answer>{R}<|im_end|></answer>",
    ],
    "tag with more": [
        "<answer>{R}) {r}</answer>",
        "<answer>{R}, not {W}</answer>",
        "<answer>{R} because {W} is wrong</answer>",
        "<answer>{R} (not {W})</answer>",
        "<answer>{R}. The picture shows it, so {W} is wrong.</answer>",
        "<think>Is it {W}? No.</think><answer>{R}</answer>",
        "<think>If it were turned, the answer would be {W}.</think> <answer>{R}</answer>",
    ],
}
NONE: dict[str, list[str]] = {
    "walk": [
        "({W}) no; ({R}) yes; ({V}) no",
        "{W}) no; {R}) yes; {V}) no",
        "{W}: no, {R}: yes, {V}: no",
        "{W} - no\n{R} - yes\n{V} - no",
        "{W}) This is incorrect because it is elsewhere. {R}) This is correct.",
        "{W}. This is not shown. {R}. This is shown.",
        "({W}) This is not shown.\n({R}) This is shown.",
        "{W}) not shown\n{R}) shown\n{V}) not shown",
        "Option {W}: not shown.\nOption {R}: shown.\nOption {V}: not shown.",
        "**{W}** no\n**{R}** yes",
        "- {W}: wrong\n- {R}: right",
        "1. {W}: wrong\n2. {R}: right",
        "{W}) wrong, {R}) wrong, {V}) wrong",
        "({W}) incorrect. ({R}) incorrect.",
        "{W} ✗\n{R} ✓\n{V} ✗",
        "| {W} | no |\n| {R} | yes |",
        "Let us look at the options. {W}) is not shown. {R}) is shown.",
    ],
    "echo": [
        "A. {a}\nB. {b}\nC. {c}\nD. {d}",
        "A {a}\nB {b}\nC {c}\nD {d}",
        "A - {a}\nB - {b}\nC - {c}\nD - {d}",
        "**A** {a}\n**B** {b}\n**C** {c}\n**D** {d}",
        "`A` {a}\n`B` {b}\n`C` {c}\n`D` {d}",
        '"A" {a}\n"B" {b}\n"C" {c}\n"D" {d}',
        "(A) {a} (B) {b} (C) {c} (D) {d}",
        "A: {a}, B: {b}, C: {c}, D: {d}",
        "A) {a}\n\nB) {b}\n\nC) {c}\n\nD) {d}",
        "- A. {a}\n- B. {b}\n- C. {c}\n- D. {d}",
        "Options:\nA. {a}\nB. {b}\nC. {c}\nD. {d}",
        "A\nB\nC\nD",
        "A, B, C, D",
        "A {a}\nB {b}",
        "A. {a}\nB. {b}",
        "C. {c}\nD. {d}",
        "Answer: A. {a} B. {b} C. {c} D. {d}",
        "Answer:\nA. {a}\nB. {b}\nC. {c}\nD. {d}",
        "<answer>A. {a}\nB. {b}\nC. {c}\nD. {d}</answer>",
        "<answer>A. {a}\nB. {b}</answer>",
        "<answer>A) {a}, B) {b}</answer>",
        "<answer>A {a} B {b}</answer>",
    ],
    "denied": [
        "It is false that the answer is {W}.",
        "It is not true that the answer is {W}.",
        "It is wrong to say that the answer is {W}.",
        "I do not think the answer is {W}.",
        "I doubt that the answer is {W}.",
        "The answer is not {W}.",
        "The answer isn't {W}.",
        "The answer cannot be {W}.",
        "The answer is anything but {W}.",
        "The answer is never {W}.",
        "There is no way the answer is {W}.",
        "The answer is {W} is false.",
        "The claim that the answer is {W} is wrong.",
        '"The answer is {W}" is incorrect.',
        "{W} is not the answer.",
        "{W} is wrong.",
        "I would not choose {W}.",
        "I refuse to choose {W}.",
        "No one would say the answer is {W}.",
        "It is unlikely that the answer is {W}.",
        "The answer is {W}. That is wrong.",
        "The answer is {W}. No, it is not.",
        "The answer is {W}. Scratch that.",
        "The answer is {W}. I take that back.",
        "The answer is {W}. Wait, no.",
        "The answer is {W}. {W} is wrong.",
        "<answer>({W}) incorrect</answer>",
        "<answer>{W} is incorrect</answer>",
        "<answer>{W}: no</answer>",
        "<answer>not {W}</answer>",
        "<answer>{W} - wrong</answer>",
        "<answer>{W} (wrong)</answer>",
    ],
    "supposed": [
        "If the cat were on top, the answer would be {W}.",
        "Had the cat been on top, the answer would be {W}.",
        "Suppose the answer is {W}.",
        "Assuming that the answer is {W}, the cat must be there.",
        "If the answer is {W}, the cat must be there.",
        "The answer would be {W} if the cat were on top.",
        "The answer is {W} only if the cat is on top.",
        "Unless the cat moves, the answer would be {W}.",
        "I do not know whether the answer is {W}.",
        "Were the cat on top, {W} would be correct.",
        "Otherwise, the answer would be {W}.",
    ],
    "reported or asked": [
        "Some people say that the answer is {W}.",
        "My teacher said the answer is {W}.",
        "Many would choose {W}.",
        "You might think the answer is {W}.",
        'The sign says "the answer is {W}".',
        "Is the answer {W}?",
        "Could the answer be {W}?",
        "The answer is {W}?",
        "Is {W} correct?",
        "Why is the answer {W}?",
    ],
    "several": [
        "{W} or {R}",
        "The answer is {W} or {R}.",
        "The answer is {W} and {R}.",
        "The answer is {W}, or maybe {R}.",
        "The answer is {W}, but it could also be {R}.",
        "The answer is {W} (or {R}).",
        "The answer is {W}/{R}.",
        "Maybe {W}, maybe {R}.",
        "It is either {W} or {R}.",
        "{W} is correct. {R} is correct.",
        "Both {W} and {R} are correct.",
        "The answer is {W}. The answer is {R}.",
        "<answer>{W} or {R}</answer>",
        "<answer>{W}, {R}</answer>",
        "<answer>{W} (or {R})</answer>",
        "<answer>{W} / {R}</answer>",
        "<answer>{W} and {R}</answer>",
        "<answer>{W}; {R}</answer>",
        "<answer>{W}\n{R}</answer>",
        "<answer>({W}) ({R})</answer>",
        "<answer>{W}, possibly {R}</answer>",
        "\\boxed{{{W}, {R}}}",
    ],
}
CUT = [
    "{W}) {w}: this is",
    "{W}. {w}\n{R}. {r}\n",
    "{W}) This is not shown. {R}) Thi",
    "({W}) because the picture",
    "{W} because the picture shows",
    "Let us see. {W}. {w}: the picture does",
    "The answer is {W} if the",
    "The answer is {W}. However, looking closer, the",
    "The answer is {W}. Wait, the",
    "Option {W} is correct if",
    "{W}\n\nBut on second thought",
]
READ_ZH: list[str] = [
    "答案是{R}，容易误选{W}。",
    "答案是{R}。如果猫在上面，答案就是{W}。",
    "答案是{R}。若图片翻转，则答案是{W}。",
    "答案是{R}，不是{W}。",
    "答案不是{W}，而是{R}。",
    "不是{W}，是{R}。",
    "答案是{W}。不对，答案是{R}。",
    "答案是{W}。更正：答案是{R}。",
    "答案是{W}。抱歉，应该是{R}。",
    "有人认为答案是{W}，但答案是{R}。",
    "很多人会选{W}，但正确答案是{R}。",
    "正确答案是{R}。{W}和{V}都不对。",
    "排除{W}和{V}，答案是{R}。",
    "【答案】{R}",
    "【答案】：{R}",
    "【答案】{R}\n【解析】图中如此，{W}错误。",
    "故选：{R}．",
    "故选：{R}。",
    "故选{R}．",
    "故答案为：{R}",
    "本题选{R}。",
    "因此选{R}。",
    "{R}．{r}",
    "{R}。",
    "{R}\u3000",
    "答案：{R}<|im_end|>",
    "选项{R}是正确的，选项{W}是错误的。",
    "所以正确选项是{R}。",
]
NONE_ZH: list[str] = [
    "答案不是{W}。",
    "如果猫在上面，答案就是{W}。",
    "若答案是{W}，则猫在上面。",
    "有人认为答案是{W}。",
    "很多人会选{W}。",
    "不应该选{W}。",
    "容易误选{W}。",
    "答案是{W}吗？",
    "答案是{W}或{R}。",
    "{W}不对，{R}对，{V}不对。",
    "A. {a}\nB. {b}\nC. {c}\nD. {d}",
    "A、{a}\nB、{b}\nC、{c}\nD、{d}",
    "（{W}）错；（{R}）对",
    "<answer>{W}和{R}</answer>",
    "<answer>{W}错误</answer>",
    "我不认为答案是{W}。",
    "答案是{W}是错误的。",
]


SOME = 5
"""Of the 24 choices of three letters each fifth is tried, among which each letter is right once; `slow` tries all."""


def choices(options: Mapping[str, str], every: int) -> Iterator[tuple[str, ...]]:
    return itertools.islice(itertools.permutations(list(options)[:4], 3), 0, None, every)


def filled(template: str, options: Mapping[str, str], every: int) -> Iterator[tuple[str, str]]:
    """The template with choices of letters, and the right letter."""
    texts = {letter.lower(): text.rstrip(".") for letter, text in list(options.items())[:4]}
    for right, wrong, other in choices(options, every):
        reply = template.format(
            R=right, W=wrong, V=other, r=options[right], w=options[wrong], v=options[other], **texts
        )
        yield reply, right
        if not any(mark in template for mark in ("{R}", "{W}", "{V}", "{r}")):
            return


def cases(kinds: Mapping[str, list[str]]) -> list[ParameterSet]:
    return [
        pytest.param(template, id=f"{kind}: {template[:60]}")
        for kind, templates in kinds.items()
        for template in templates
    ]


@pytest.mark.parametrize("template", cases(READ))
def test_an_answer_is_read_in_spite_of(template: str, every: int = SOME) -> None:
    for options in OPTIONS.values():
        for reply, right in filled(template, options, every):
            assert read(reply, options).answer == right, (reply, options)


@pytest.mark.parametrize("template", cases(NONE))
def test_nothing_is_read_from(template: str, every: int = SOME) -> None:
    for options in OPTIONS.values():
        for reply, _ in filled(template, options, every):
            assert read(reply, options).answer is None, (reply, options)


@pytest.mark.parametrize("template", CUT)
def test_a_cut_reply_is_not_read_by_its_opening(template: str, every: int = SOME) -> None:
    for options in OPTIONS.values():
        for reply, _ in filled(template, options, every):
            assert read(reply, options, "length").answer is None, (reply, options)


@pytest.mark.parametrize("template", READ_ZH)
def test_chinese_is_read(template: str, every: int = SOME) -> None:
    for options in CHINESE.values():
        for reply, right in filled(template, options, every):
            assert read(reply, options).answer == right, (reply, options)


@pytest.mark.parametrize("template", NONE_ZH)
def test_nothing_is_read_in_chinese(template: str, every: int = SOME) -> None:
    for options in CHINESE.values():
        for reply, _ in filled(template, options, every):
            assert read(reply, options).answer is None, (reply, options)


FREE: dict[str, tuple[str, str, str]] = {
    "ssl4rl_ssl_rotation_90": ("90", "270", "180"),
    "ssl4rl_ssl_jigsaw_2x2": ("2,3,1,4", "1,3,2,4", "4,3,2,1"),
    "ssl4rl_ssl_position": ("top-left", "bottom-right", "top-right"),
    "ssl4rl_ssl_contrastive_weak": ("positive", "negative", "negative"),
    "ssl4rl_ssl_pair_3x3": ("above-left", "below", "right"),
    "ssl4rl_ssl_patch_hard": ("B", "D", "A"),
    "ssl4rl_ssl_flip": ("2", "4", "1"),
    "ssl4rl_ssl_count": ("3,1,2", "1,3,2", "2,2,2"),
}
"""Task to a right answer and two others."""
FREE_READ = [
    "The answer is {R}. If it were turned clockwise, the answer would be {W}.",
    "The answer is {R}. Had it been turned the other way, the answer would be {W}.",
    "The answer is {R}. Otherwise, the answer would be {W}.",
    "The answer is {R}. In a mirror image, the answer would be {W}.",
    "If the tree were elsewhere, the answer would be {W}. The answer is {R}.",
    "The answer is {R}. Some would say that the answer is {W}.",
    "The answer is {R}. It is false that the answer is {W}.",
    "The answer is {R}, not {W}.",
    "The answer is {R} rather than {W}.",
    "The answer is not {W} but {R}.",
    "The answer is {W}. Sorry, I meant {R}.",
    "The answer is {W}. Wait, no. The answer is {R}.",
    "The answer is {W}. Scratch that, the answer is {R}.",
    "The answer is {W}. Correction: {R}.",
    "The answer is {W}. Actually, the answer is {R}.",
    "The answer is {R}.\n\n{W} and {V} are incorrect.",
    "{R}\n\nExplanation: {W} does not fit.",
    "{R}\u3000",
    "\u00a0{R}\u200b",
    "{R}<|im_end|>",
    "<answer>{R}\u200b</answer>",
    "<answer>{R}<|im_end|></answer>",
    "<answer>{R}, not {W}</answer>",
    "答案是{R}。如果翻转，答案就是{W}。",
    "答案不是{W}，而是{R}。",
    "【答案】{R}",
    "答案是{W}。不对，答案是{R}。",
]
FREE_NONE = [
    "It is false that the answer is {W}.",
    "I do not think that the answer is {W}.",
    "The answer is not {W}.",
    "If it were turned, the answer would be {W}.",
    "Suppose the answer is {W}.",
    'The note reads "the answer is {W}".',
    "Some people say that the answer is {W}.",
    "Is the answer {W}?",
    "The answer is {W} or {R}.",
    "The answer is {W} (or {R}).",
    "The answer is {W}, or maybe {R}.",
    "The answer is {W}. Scratch that.",
    "The answer is {W}. Wait, no.",
    "The answer is {W}. That is wrong.",
    "{W}: no; {R}: yes; {V}: no",
    "{W} - not shown\n{R} - shown",
    "<answer>{W} (or {R})</answer>",
    "<answer>{W} or {R}</answer>",
    "<answer>{W} (incorrect)</answer>",
    "<answer>{W} is wrong</answer>",
    "<answer>not {W}</answer>",
    "<answer>{W}</answer> or <answer>{R}</answer>",
    "如果翻转，答案就是{W}。",
    "答案不是{W}。",
    "答案是{W}吗？",
]


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("template", FREE_READ)
def test_an_open_answer_is_read_in_spite_of(template: str, name: str) -> None:
    right, wrong, other = FREE[name]
    score = load_ssl(name)[1].score(
        Completion(template.format(R=right, W=wrong, V=other), "stop"), right, "default"
    )
    assert score.answer == right
    assert score.value == 1.0


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("template", FREE_NONE)
def test_nothing_is_read_from_an_open_reply(template: str, name: str) -> None:
    right, wrong, other = FREE[name]
    score = load_ssl(name)[1].score(
        Completion(template.format(R=right, W=wrong, V=other), "stop"), right, "default"
    )
    assert score.answer is None
    assert score.value == 0.0


def by_text(kinds: Mapping[str, list[str]]) -> list[ParameterSet]:
    """The templates that hold under an option's own text instead of its letter."""
    texts = ("{r}", "{w}", "{v}", "{a}", "{b}", "{c}", "{d}")
    own = {
        kind: [t for t in templates if not any(mark in t for mark in texts)]
        for kind, templates in kinds.items()
    }
    return cases(own)


def told(template: str, options: Mapping[str, str], every: int) -> Iterator[tuple[str, str]]:
    """The template with options' own texts where it has letters, and the right letter."""
    own = {letter: text.rstrip(".") for letter, text in options.items()}
    for right, wrong, other in choices(options, every):
        yield template.format(R=own[right], W=own[wrong], V=own[other]), right


@pytest.mark.parametrize("template", [*by_text(READ), *by_text({"Chinese": READ_ZH})])
def test_no_wrong_option_is_read_where_texts_stand_for_letters(template: str, every: int = SOME) -> None:
    chinese = any("\u4e00" <= char <= "\u9fff" for char in template)
    for options in (CHINESE if chinese else OPTIONS).values():
        for reply, right in told(template, options, every):
            assert read(reply, options).answer in (right, None), (reply, options)


@pytest.mark.parametrize("template", [*by_text(NONE), *by_text({"Chinese": NONE_ZH})])
def test_nothing_is_read_where_texts_stand_for_letters(template: str, every: int = SOME) -> None:
    chinese = any("\u4e00" <= char <= "\u9fff" for char in template)
    for options in (CHINESE if chinese else OPTIONS).values():
        for reply, _ in told(template, options, every):
            assert read(reply, options).answer is None, (reply, options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "templates"),
    [
        (test_an_answer_is_read_in_spite_of, cases(READ)),
        (test_nothing_is_read_from, cases(NONE)),
        (test_a_cut_reply_is_not_read_by_its_opening, cases({"cut": CUT})),
        (test_chinese_is_read, cases({"Chinese": READ_ZH})),
        (test_nothing_is_read_in_chinese, cases({"Chinese": NONE_ZH})),
        (
            test_no_wrong_option_is_read_where_texts_stand_for_letters,
            [*by_text(READ), *by_text({"Chinese": READ_ZH})],
        ),
        (
            test_nothing_is_read_where_texts_stand_for_letters,
            [*by_text(NONE), *by_text({"Chinese": NONE_ZH})],
        ),
    ],
)
def test_the_same_for_all_letters(check: Callable[[str, int], None], templates: list[ParameterSet]) -> None:
    for template in templates:
        check(str(template.values[0]), 1)
