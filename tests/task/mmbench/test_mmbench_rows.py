"""MMBench's rows: what the columns may look like, and what is wrong with a row."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from mmbench_data import located, picture, question, questions

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.task.mmbench.rows import MMBenchRow, Parsed, column_names, parse_rows


def parsed(*rows: dict[str, Any]) -> Parsed:
    return parse_rows("data.tsv", located(rows))


def only(row: dict[str, Any]) -> MMBenchRow:
    result = parsed(row)
    assert not result.problems
    return result.rows[0]


def main_row(**columns: Any) -> dict[str, Any]:
    return question(**columns)[0]


def reason(*rows: dict[str, Any]) -> str:
    """Of the one problem that the rows have."""
    (problem,) = parsed(*rows).problems
    return str(problem)


def test_index_tells_group_and_roll() -> None:
    row = only(main_row(index="3000042"))
    assert (row.index, row.group, row.roll) == (3000042, 42, 3)


def test_columns_are_found_in_any_spelling() -> None:
    assert column_names(["Index", "L2-category", "l2_category", "a", "B", "IMAGE", "comment", "source"]) == {
        "index": "Index",
        "l2-category": "L2-category",
        "A": "a",
        "B": "B",
        "image": "IMAGE",
    }


@pytest.mark.parametrize("name", ["l2-category", "L2-category", "L2_Category"])
def test_the_ability_column_in_both_spellings(name: str) -> None:
    row = main_row()
    row[name] = row.pop("l2-category")
    assert only(row).l2 == "coarse_perception"


@pytest.mark.parametrize("text", ["None", "NA", "N/A", "null", "nan", "NULL", "#N/A", "0", "false", "无"])
def test_option_texts_that_other_readers_drop_survive(text: str) -> None:
    assert only(main_row(A="yes", B=text, C="", D="")).choices == {"A": "yes", "B": text}
    assert only(main_row(D=text, answer="D")).choices["D"] == text


def test_nan_twice_in_a_row_can_only_be_a_missing_option() -> None:
    rows = parsed(
        main_row(A="yes", B="no", C="nan", D="nan"), main_row(group=1, D="nan"), main_row(group=2, A="nan")
    )
    assert rows.nan_is_missing
    assert [list(row.choices.values()) for row in rows.rows] == [
        ["yes", "no"],
        ["red", "green", "blue"],
        ["nan", "green", "blue", "none of these"],
    ]


@pytest.mark.parametrize("missing", ["", None, float("nan")])
def test_missing_options_and_hint(missing: Any) -> None:
    row = only(main_row(C=missing, D=missing, hint=missing))
    assert row.choices == {"A": "red", "B": "green"}
    assert row.hint == ""


def test_columns_that_may_be_absent() -> None:
    row = main_row()
    for name in ("C", "D", "hint", "category", "l2-category", "split"):
        del row[name]
    read = only(row)
    assert (list(read.choices), read.hint, read.category, read.l2, read.split) == (["A", "B"], "", "", "", "")


def test_more_than_four_options() -> None:
    assert list(only(main_row(E="a fifth", answer="E")).choices) == list("ABCDE")


def test_texts_are_kept_as_they_are() -> None:
    row = only(main_row(question=" 图中\n有什么?\t", hint="a\r\nb", A=" 红 ", B="“绿”"))
    assert (row.question, row.hint, row.choices["A"], row.choices["B"]) == (
        " 图中\n有什么?\t",
        "a\r\nb",
        " 红 ",
        "“绿”",
    )


@pytest.mark.parametrize("index", [7, "7", " 7 ", "7.0", 7.0])
def test_an_index_as_any_writer_leaves_it(index: Any) -> None:
    assert only(main_row(index=index)).index == 7


@pytest.mark.parametrize("index", ["", "x7", "-7", "7.5", None, "٧"])
def test_an_index_that_is_no_number(index: Any) -> None:
    assert "not a whole number" in reason(main_row(index=index))


def test_images_in_every_encoding_are_one_object() -> None:
    data = picture(1)
    text = base64.b64encode(data).decode()
    encodings = [data, text, f"data:image/png;base64,{text}", {"bytes": data, "path": None}, {"bytes": data}]
    rows = parsed(*(main_row(group=at, image=image) for at, image in enumerate(encodings))).rows
    assert len(rows) == len(encodings)
    assert {id(row.image) for row in rows} == {id(rows[0].image)}
    assert rows[0].image.data == data


TEXTS = [base64.b64encode(picture(seed)).decode() for seed in (1, 2, 3)]
SEVERAL: list[Any] = [
    str(TEXTS),
    json.dumps(TEXTS),
    json.dumps(TEXTS, indent=1),
    " " + str(TEXTS[:2]) + "\n",
    str([f"data:image/png;base64,{text}" for text in TEXTS]),
    str([*TEXTS[:1], "5"]),
    TEXTS,
    [picture(1), picture(2)],
    [{"bytes": picture(1), "path": None}, {"bytes": picture(2), "path": None}],
    "[1, 2]",
    "[]",
    [],
]


@pytest.mark.parametrize("image", SEVERAL)
def test_a_list_of_images_is_refused_and_not_asked_with_its_first(image: Any) -> None:
    assert "it is a list of" in reason(main_row(image=image))


@pytest.mark.parametrize("image", ["[" + TEXTS[0], "[" * 100_000, f"[{TEXTS[0]}]", "[" + TEXTS[0] + "]" * 3])
def test_what_begins_as_a_list_and_is_none(image: str) -> None:
    assert "begins like a list" in reason(main_row(image=image))


@pytest.mark.parametrize(
    "image", [str(TEXTS[:1]), json.dumps(TEXTS[:1]), TEXTS[:1], [picture(1)], [{"bytes": picture(1)}]]
)
def test_a_list_of_one_is_that_image(image: Any) -> None:
    assert only(main_row(image=image)).image.data == picture(1)


@pytest.mark.parametrize("reference", ["5", " 5", 5, "['5']", [5]])
def test_a_short_image_text_is_the_index_of_the_row_that_holds_it(reference: Any) -> None:
    before, holder, after = (
        main_row(group=4, image=reference),
        main_row(group=5),
        main_row(group=6, image=reference),
    )
    rows = parsed(before, holder, after).rows
    assert [row.image.data for row in rows] == [picture(5)] * 3


@pytest.mark.parametrize("reference", ["9", "4"])
def test_a_reference_to_a_row_without_an_image(reference: str) -> None:
    assert "which has no usable image" in reason(main_row(group=4, image=reference), main_row(group=5))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("images/0001.jpg", "neither base64 nor the index of a row"),
        ("/etc/passwd", "neither base64 nor the index of a row"),
        ("https://example.org/" + "a" * 80 + ".png", "the image cannot be used"),
        ({"bytes": None, "path": "/etc/passwd"}, "files that the data name are never opened"),
        ({"bytes": None, "path": None}, "it is missing"),
        ("", "it is missing"),
        (None, "it is missing"),
        (b"GIF89a" + bytes(100), "not PNG, JPEG or WebP"),
        (picture(1)[:-5], "cut off"),
    ],
)
def test_an_image_that_cannot_be_read(image: Any, words: str) -> None:
    message = reason(main_row(group=3) | {"image": image}, main_row(group=4))
    assert words in message
    assert message.startswith("row 1 (index 3): ")


@pytest.mark.parametrize("answer", ["E", "red", "a", "AB", "", None])
def test_an_answer_that_is_no_option(answer: Any) -> None:
    message = reason(main_row(answer=answer), main_row(group=1))
    assert "none of the options A, B, C, D" in message


def test_a_gap_in_the_options_and_a_single_option() -> None:
    assert "option B is empty" in reason(main_row(B=""))
    assert "fewer than two options" in reason(main_row(B="", C="", D=""))


def test_messages_escape_what_would_move_the_cursor() -> None:
    message = reason(main_row(answer="\x1b[2J\n\u202e" + "x" * 900), main_row(group=1))
    assert message.isprintable()
    assert len(message) < 200


def test_a_column_that_is_missing_is_named() -> None:
    row = main_row()
    del row["question"], row["image"]
    with pytest.raises(
        DataError, match=r"data\.tsv has no column question or image \(it has 'index', 'hint'"
    ):
        parsed(row)


def test_data_without_answers_say_so_and_what_to_do() -> None:
    without = main_row()
    del without["answer"]
    for rows in ([without], [row | {"answer": ""} for row in questions(2)]):
        with pytest.raises(DataError, match=r"has no answers.*ssl4rl_mmbench_dev_en.*`answer` column"):
            parsed(*rows)


def test_nothing_at_all() -> None:
    with pytest.raises(DataError, match="has no rows"):
        parsed()
