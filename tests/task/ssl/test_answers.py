"""What counts as an angle, a permutation or a label; and that no text whatever breaks or stalls the parsers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.task.ssl import make_task
from ssl4rl_bench.task.ssl.answers import angle, label, pair_label, permutation

QUADRANTS = ("top-left", "top-right", "bottom-left", "bottom-right")
NINE = (
    *("top-left", "top-center", "top-right"),
    *("middle-left", "center", "middle-right"),
    *("bottom-left", "bottom-center", "bottom-right"),
)
PAIR = {"positive": ("same", "the same picture"), "negative": ("different",)}

PARSERS: dict[str, Callable[[str], str | None]] = {
    "angle": angle,
    "permutation of 4": lambda text: permutation(text, 4),
    "permutation of 36": lambda text: permutation(text, 36),
    "quadrant": lambda text: label(text, QUADRANTS),
    "cell": lambda text: label(text, NINE),
    "aliases": lambda text: label(text, PAIR),
    "pair": pair_label,
}


@pytest.mark.parametrize(
    "text",
    [
        *("90", "90.0", "+90", "090", "-270", "450", "810", "−270", "–270", "minus 270", "-270.000"),
        *("90°", "90 °", "90º", "90˚", "90⁰", "90 degrees", "90 Degree", "90 deg", "90deg.", "90度"),
        *(
            "90 degrees counter-clockwise",
            "90° anticlockwise",
            "90 CCW",
            "90 counter clockwise",
            "逆时针旋转90度",
        ),
        *("270 degrees clockwise", "270° CW", "clockwise by 270 degrees", "-90 clockwise", "顺时针270度"),
        *("rotated by 90 degrees", "The image is rotated by 90 degrees.", "Rotation angle: 90°"),
        *("The second image was rotated 90 degrees counter-clockwise relative to the first image.",),
        *("$90^\\circ$", "$90^{\\circ}$", "\\boxed{90}", "\\text{90 degrees}", "\\(90\\degree\\)"),
        *(
            "**90**",
            "`90`",
            '"90"',
            "“90”",
            "'90'",
            "(90)",
            "[90]",
            "{90}",
            "90.",
            " 90\n",
            "90 degrees (counter-clockwise)",
        ),
        *("９０", "९०", "٩٠", "𝟗𝟎", "9\ufe0f\u20e30\ufe0f\u20e3", "9\u200b0"),
    ],
)
def test_ninety(text: str) -> None:
    assert angle(text) == "90"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("360°", "0"),
        ("-360.0", "0"),
        ("0 degrees (no rotation)", "0"),
        ("22.5", "22.5"),
        ("-22.50 degrees", "337.5"),
        ("22.5 CW", "337.5"),
        ("359.999999", "359.999999"),
        ("-0.000001", "359.999999"),
        ("999999", "279"),
    ],
)
def test_angle_is_canonical(text: str, expected: str) -> None:
    assert angle(text) == expected
    assert angle(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "degrees",
            "number_of_degrees",
            "90 or 180",
            "90/180",
            "0-90",
            "0–90",
            "90, 180",
            "9 0",
            "9,0",
        ),
        *("not 90", "90 not", "90?", "90%", "90 cm", "90x", "x90", "--90", "+-90", "- 90", "90-", "90 90"),
        *("9" * 5000, "9" * 7, "1e400", "1e2", "inf", "-inf", "nan", "0x5A", "1_000", "90.1234567"),
        *("9²", "9₀", "½", "90 clockwise (270 counter-clockwise)", "clockwise 90 ccw", "90 left"),
        *(
            "the first image is rotated by 90",
            "90\N{REPLACEMENT CHARACTER}",
            "ninety",
            "\ud800",
            "90\ud800",
            "\x00",
        ),
    ],
)
def test_no_angle(text: str) -> None:
    assert angle(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2,3,1,4",
            "2, 3, 1, 4",
            "2 3 1 4",
            "2;3;1;4",
            "2-3-1-4",
            "2 - 3 - 1 - 4",
            "2/3/1/4",
            "2|3|1|4",
            "2、3、1、4",
        ),
        *("2→3→1→4", "2 -> 3 -> 1 -> 4", "2, 3, 1 and 4", "2, 3, 1, and 4", "2314", "02,03,01,04"),
        *(
            "[2, 3, 1, 4]",
            "(2,3,1,4)",
            "{2,3,1,4}",
            "$[2,3,1,4]$",
            "**2,3,1,4**",
            '"2,3,1,4"',
            "2,3,1,4.",
            "2,3,1,4,",
        ),
        *("2,3\n1,4", "2\n3\n1\n4", "[[2, 3], [1, 4]]".replace("], [", ", "), "\\boxed{2,3,1,4}"),
        *("The correct order is 2, 3, 1, 4.", "Permutation: 2,3,1,4", "patch 2, patch 3, patch 1, patch 4"),
        *(
            "２，３，１，４",
            "②③①④",
            "२,३,१,४",
            "२३१४",
            "2\ufe0f\u20e33\ufe0f\u20e31\ufe0f\u20e34\ufe0f\u20e3",
        ),
    ],
)
def test_the_cycle(text: str) -> None:
    assert permutation(text, 4) == "2,3,1,4"


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("1,1,1,1", 4, "1,1,1,1"),
        ("1,2,3", 4, "1,2,3"),
        ("1,2,3,4,5", 4, "1,2,3,4,5"),
        ("0,1,2,3", 4, "0,1,2,3"),
        ("100, 200", 4, "100,200"),
        ("123456789", 9, "1,2,3,4,5,6,7,8,9"),
        ("12 3 4", 4, "12,3,4"),
        (",".join(["1"] * 16), 4, ",".join(["1"] * 16)),
    ],
)
def test_a_list_need_not_be_a_permutation(text: str, n: int, expected: str) -> None:
    assert permutation(text, n) == expected
    assert permutation(expected, n) == expected


@pytest.mark.parametrize(
    ("text", "n"),
    [
        *(
            (text, 4)
            for text in ("", "a,b,c,d", "1,2,,3", "2.3.1.4", "-2,3,1,4", "2,-3,1,4", "4", "23145", "231")
        ),
        *(
            (text, 4)
            for text in ("2,3,1,4 or 1,2,3,4", "not 2,3,1,4", "2,3,1,x", "2,3,1,…", "1,2,3,4\ufffd", "1.5,2")
        ),
        *((text, 4) for text in (",".join(["1"] * 17), "1234567,1", "9" * 5000, "2³14", "order", "1e3,2")),
        ("1" * 16, 16),
    ],
)
def test_no_permutation(text: str, n: int) -> None:
    assert permutation(text, n) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "top-left",
            "Top-Left.",
            "TOP LEFT",
            "top_left",
            "topleft",
            "TopLeft",
            "top, left",
            "left top",
            "left-top",
        ),
        *(
            "upper left",
            "Upper-Left",
            "upperleft",
            "the top-left",
            "top-left corner",
            "top-left quadrant",
            "top–left",
        ),
        *(
            "in the top-left part of the image",
            "The crop comes from the upper left quadrant.",
            "top-left section",
        ),
        *(
            "**top-left**",
            '"top-left"',
            "'top-left'",
            "(top-left)",
            "[top-left]",
            "`top-left`",
            "\\text{top-left}",
        ),
        *("ｔｏｐ－ｌｅｆｔ", "top\u2011left", "top\u00adleft", "top-left\n"),
    ],
)
def test_top_left(text: str) -> None:
    assert label(text, QUADRANTS) == "top-left"
    assert label(text, NINE) == "top-left"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lower right", "bottom-right"),
        ("middle", None),
        ("top", None),
        ("top left right", None),
        ("top-left or top-right", None),
        ("top-left, bottom-left", None),
        ("top-left/top-right", None),
        ("not top-left", None),
        ("top-left?", None),
        ("probably top-left", None),
        ("top-left\N{REPLACEMENT CHARACTER}", None),
        ("t0p-left", None),
        ("the image", None),
        ("-", None),
        ("", None),
        ("top-left " * 100, None),
    ],
)
def test_quadrants(text: str, expected: str | None) -> None:
    assert label(text, QUADRANTS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("center", "center"),
        ("Centre.", "center"),
        ("the middle", "center"),
        ("middle center", "center"),
        ("center-left", "middle-left"),
        ("left middle", "middle-left"),
        ("upper middle", "top-center"),
        ("bottom-centre", "bottom-center"),
        ("left", None),
    ],
)
def test_nine_cells(text: str, expected: str | None) -> None:
    assert label(text, NINE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("positive", "positive"),
        ("Positive.", "positive"),
        ("a positive pair", "positive"),
        ("SAME", "positive"),
        ("the same picture", "positive"),
        ("different", "negative"),
        ("positive/negative", None),
        ("positive or negative", None),
        ("not positive", None),
        ("non-positive", None),
        ("positively", None),
        ("yes", None),
    ],
)
def test_aliases(text: str, expected: str | None) -> None:
    assert label(text, PAIR) == expected


def test_an_alias_of_two_labels_names_none() -> None:
    assert label("either", {"a": ("either",), "b": ("either",)}) is None


SIGNS = "0123456789 ,.-+°%()[]$*_\\;|/\n\t−９①⁰½İ…\u200b\ud800\ufffd"
WORDS = "90|top|left|or| or |degrees|clockwise|ccw|and|positive|the |rotated |by |image |is |negative|center"
ALPHABET = st.sampled_from([*SIGNS, *WORDS.split("|")])
TEXTS = st.one_of(st.text(max_size=60), st.lists(ALPHABET, max_size=40).map("".join))
FORM = {
    "angle": re.compile(r"0|[1-9]\d{0,2}(\.\d{0,5}[1-9])?|0\.\d{0,5}[1-9]"),
    "permutation of 4": re.compile(r"\d{1,6}(,\d{1,6}){1,15}"),
    "permutation of 36": re.compile(r"\d{1,6}(,\d{1,6}){1,143}"),
    "quadrant": re.compile("|".join(QUADRANTS)),
    "cell": re.compile("|".join(NINE)),
    "aliases": re.compile("|".join(PAIR)),
    "pair": re.compile("|".join(PAIR)),
}


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=examples(300), deadline=None)
@given(text=TEXTS)
def test_any_text_gives_a_canonical_answer_or_none(name: str, text: str) -> None:
    answer = PARSERS[name](text)
    if answer is not None:
        assert FORM[name].fullmatch(answer)
        assert answer.isascii()
        assert PARSERS[name](answer) == answer
        assert PARSERS[name](f" {text}\n") == answer
        assert PARSERS[name](f"**{text}**") == answer


@given(st.integers(-999_999, 999_999), st.sampled_from(["", "°", " degrees", ".0", " CCW"]))
def test_every_whole_angle(degrees: int, unit: str) -> None:
    assert angle(f"{degrees}{unit}") == str(degrees % 360)
    assert angle(f"{degrees} degrees clockwise") == str(-degrees % 360)


@given(
    st.integers(2, 6).flatmap(lambda k: st.permutations(range(1, k * k + 1))),
    st.sampled_from([",", ", ", " ", "; ", "-"]),
)
def test_every_permutation(order: list[int], comma: str) -> None:
    assert permutation(comma.join(map(str, order)), len(order)) == ",".join(map(str, order))


@pytest.mark.parametrize(
    "piece", ["the ", "1,", "1 ", "rotated by ", "top ", "9", "-", "and ", "patch ", "(", "\\circ", "of: "]
)
def test_time_is_bounded(piece: str) -> None:
    for length in (400, 1_000_000):
        for parse in PARSERS.values():
            started = time.process_time()
            parse((piece * length)[:length])
            assert time.process_time() - started < 0.1


NO_ROTATION = [
    *("no rotation", "No rotation.", "**No rotation**", "`no rotation`", "no rotation at all", "no turn"),
    *(
        "no rotation (0 degrees)",
        "no rotation, 0°",
        "no rotation: 0",
        "no rotation = 0.0",
        "without any rotation",
    ),
    *(
        "0 degrees (not rotated)",
        "0 degrees, no rotation",
        "0 (no rotation)",
        "0 degrees (i.e., no rotation)",
    ),
    *("360 degrees (no rotation)", "zero degrees", "rotated by zero degrees", "zero rotation", "zero"),
    *("not rotated", "Not turned.", "unrotated", "the image is unrotated", "no rotation was applied"),
    *("The image is not rotated.", "The second image was not rotated at all.", "It has not been rotated."),
    *(
        "The image isn't rotated",
        "The picture isn’t turned",
        "it hasn't been rotated",
        "There is no rotation.",
    ),
    *("There was no rotation", "The image has no rotation", "that there is no rotation"),
    *("没有旋转", "未旋转", "无旋转", "图像没有旋转。", "图片未旋转", "没有被旋转", "图像未经过任何旋转"),
    *("第二张图没有旋转", "没有旋转，0度", "0度（没有旋转）"),
]
NOT_NO_ROTATION = [
    *(
        "It is not true that there is no rotation",
        "not unrotated",
        "not no rotation",
        "there is not no rotation",
    ),
    *(
        "90 (no rotation)",
        "no rotation (90 degrees)",
        "no rotation 180",
        "no rotation, 90",
        "zero 90",
        "0, 90",
    ),
    *(
        "not rotated by 90 degrees",
        "not rotated by 0",
        "not turned 90",
        "no rotation of 90",
        "no rotation or 90",
    ),
    *("the first image is not rotated", "the image is rotated", "rotated or not rotated", "no rotation?"),
    *(
        "no",
        "not",
        "none",
        "rotation",
        "upright",
        "never",
        "zeroth",
        "no rotation is visible in the first image",
    ),
    *("不是没有旋转", "并非没有旋转", "没有旋转90度", "旋转", "没有"),
]


@pytest.mark.parametrize("text", NO_ROTATION)
def test_no_rotation_is_an_answer_of_0(text: str) -> None:
    assert angle(text) == "0"
    for said in (text, f"<answer>{text}</answer>", f"They look alike.\n{text}", f"The answer is: {text}"):
        assert make_task("rotation").score(Completion(said, "stop"), "0").value == 1.0, said


@pytest.mark.parametrize("text", NOT_NO_ROTATION)
def test_what_is_no_statement_of_no_rotation(text: str) -> None:
    assert angle(text) is None
    score = make_task("rotation").score(Completion(f"<answer>{text}</answer>", "stop"), "0")
    assert score.answer != "0", score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is no rotation. It is rotated by 90.", None),
        ("No rotation would align them. The answer is 90.", "90"),
        ("The image was not rotated by 90 degrees.", None),
        ("The image is not rotated by 90 but by 180.", "180"),
        ("It is not true that there is no rotation.", None),
        ("I see no rotation", None),
    ],
)
def test_no_rotation_in_passing_is_no_answer(text: str, expected: str | None) -> None:
    assert make_task("rotation").score(Completion(text, "stop"), "0").answer == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("左上", "top-left"), ("左上角", "top-left"), ("上左", "top-left"), ("答案是左上。", "top-left")),
        *(("在图像的右下角", "bottom-right"), ("位于原图左下方", "bottom-left"), ("右上部分", "top-right")),
        *(("不在左上", None), ("非左上", None), ("左", None), ("左上或右下", None), ("左上、右上", None)),
    ],
)
def test_quadrants_in_chinese(text: str, expected: str | None) -> None:
    assert label(text, QUADRANTS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("中间", "center"), ("中心", "center"), ("左中", "middle-left"), ("中上", "top-center"), ("正中", None)],
)
def test_cells_in_chinese(text: str, expected: str | None) -> None:
    assert label(text, NINE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            ("positive", "positive"),
            ("Negative.", "negative"),
            ("same", "positive"),
            ("different", "negative"),
        ),
        *(("the same picture", "positive"), ("They come from the same picture.", "positive")),
        *(("Both images are from the same image", "positive"), ("Different pictures.", "negative")),
        *(("from different images", "negative"), ("the two images are from different pictures", "negative")),
        *(("not the same picture", "negative"), ("both images come from two different pictures", "negative")),
        *(("the images are different", None), ("they are different", None), ("not different", None)),
        *(("same or different", None), ("not positive", None), ("not same", None), ("same different", None)),
    ],
)
def test_pairs_as_the_question_puts_them(text: str, expected: str | None) -> None:
    assert pair_label(text) == expected
