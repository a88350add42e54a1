"""Reading rows by a schema: awkward data, bad input in one line each, and properties of the parsers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest
import yaml
from benchmark_rows import Row, choice, encoded, write_table
from hypothesis import example, given
from hypothesis import strategies as st
from mmbench_data import picture

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.task.base import LoadOptions
from ssl4rl_bench.task.questions import load
from ssl4rl_bench.task.questions.cells import options_in, read_target
from ssl4rl_bench.task.questions.groups import group_rows
from ssl4rl_bench.task.questions.rows import parse_questions
from ssl4rl_bench.task.questions.schema import read_schema
from ssl4rl_bench.task.questions.task import QuestionsTask, questions_digest
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.tables.cells import image_items, list_of, literal
from ssl4rl_bench.task.taskfile import load_taskfile
from ssl4rl_bench.task.validate import validate_task

PLAIN: dict[str, Any] = {"levels": {"l2": "category"}}


def task_file(folder: Path, params: dict[str, Any], **source: Any) -> str:
    metadata = {"version": 1, "title": "Mine", "kind": "questions", "params": params, "source": source}
    config = {
        "include": "_questions.yaml",
        "task": "ssl4rl_mine",
        "dataset_path": "a/b",
        "metadata": metadata,
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def loaded(folder: Path, rows: list[Row], params: dict[str, Any] = PLAIN, **how: Any) -> QuestionsTask:
    source = how.pop("source", {})
    data = write_table(folder / "rows.tsv", rows) if rows else folder / "rows.tsv"
    return load(load_taskfile(task_file(folder, params, **source)), LoadOptions(data=str(data), **how))


def grouped(rows: list[Row], params: dict[str, Any]) -> dict[str, str]:
    schema = read_schema("t", params)
    located = [(f"row {n}", row) for n, row in enumerate(rows)]
    done = group_rows("t", parse_questions("t", located, schema), schema, may_leave_out=False)
    return {row.id: row.group for row in done.rows}


BAD_ROWS = [
    ({"answer": "E"}, "the answer 'E' is none of the options A, B, C, D"),
    ({"A": "", "B": "", "C": ""}, "it has fewer than two options"),
    ({"image": encoded(1)[:100]}, "the image cannot be used, it is cut off"),
    ({"image": f"['{encoded(1)}', '{encoded(2)[:99]}']"}, "the image cannot be used"),
    ({"image": "[oops"}, "begins like a list of images but is not one"),
    ({"image": "pictures/1.jpg"}, "the image refers to row 'pictures/1.jpg'"),
    ({"image": "77"}, "the image refers to row '77', which has no usable image"),
    ({"image": ""}, "it has no image"),
    ({"index": ""}, "the index is ''"),
    ({"index": 1}, "its index appears twice"),
]


@pytest.mark.parametrize(("change", "words"), BAD_ROWS)
def test_a_bad_row_is_one_sentence_and_may_be_skipped(change: Row, words: str, tmp_path: Path) -> None:
    rows = [choice(n, category="x") for n in range(3)]
    rows[2] |= change
    with pytest.raises(DataError, match=re.escape(words)) as error:
        loaded(tmp_path, rows)
    assert str(error.value).startswith(f"{tmp_path}/rows.tsv, line ") and "\n" not in str(error.value)
    assert "leave the question out with --skip-bad" in str(error.value)
    task = loaded(tmp_path, rows, skip_bad=True)
    assert (task.n_groups, task.n_groups_skipped) == (1 if change == {"index": 1} else 2, 1)
    assert task.partial_reasons and "left out for bad rows" in task.partial_reasons[0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"index": 1, "question": "?", "image": "x"}], "has no column answer"),
        ([{"index": 1, "question": "?", "answer": "A"}], "has no column image"),
        ([{"question": "?", "image": "x", "A": "a", "answer": "A"}], "has no column index"),
        ([choice(1) | {"answer": ""}], "has no answers"),
    ],
)
def test_a_missing_column(rows: list[Row], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        loaded(tmp_path, rows)


def test_an_empty_file_and_one_with_a_header_only(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("")
    with pytest.raises(
        DataError, match="is empty: give a TSV or parquet file with the columns that the task"
    ):
        loaded(tmp_path, [])
    (tmp_path / "rows.tsv").write_text("index\tquestion\timage\tA\tB\tanswer\n")
    with pytest.raises(DataError, match="has no rows"):
        loaded(tmp_path, [])
    rows = [choice(1, split="dev")]
    with pytest.raises(DataError, match="has no rows with split validation"):
        loaded(tmp_path, rows, {"rows": {"split": "validation"}})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"levls": {}}, "unknown key levls in metadata.params; did you mean levels?"),
        ({"levels": {"l4": "x"}}, "unknown key l4 in metadata.params.levels"),
        ({"levels": "category"}, "metadata.params.levels must be a mapping"),
        ({"images": []}, "metadata.params.images must be"),
        ({"answer": "letter"}, "metadata.params.answer must be choice, number, yes_no, text, a list"),
        ({"answer": {"by": "kind"}}, "metadata.params.answer must be"),
        ({"answer": {"by": "options", "yes": "choice"}}, "present and absent"),
        ({"answer": {"by": "kind", "a": "letter"}}, "metadata.params.answer.a must be"),
        ({"options": {"list": "a", "text": "b"}}, "metadata.params.options must be"),
        ({"group_by": "figure"}, "metadata.params.group_by must be index"),
        ({"group_by": {"pairs": 1}}, "metadata.params.group_by.pairs must be"),
        ({"group_by": {"pairs": 2, "columns": ["a"]}}, "either pairs, or columns"),
        ({"group_by": {"same": ["a"]}}, "either pairs, or columns"),
        ({"copies": True, "group_by": ["a"]}, "metadata.params.copies must be false if"),
        ({"copies": 1}, "metadata.params.copies must be true or false"),
        ({"headline": "accuracy"}, "metadata.params.headline must be one of circular_micro"),
        ({"tolerance": "5%"}, "metadata.params.tolerance must be a number"),
    ],
)
def test_a_schema_of_another_form(params: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        load_task(task_file(tmp_path, params))
    assert "ssl4rl_mine" in str(error.value)


def test_columns_that_the_schema_names_must_exist(tmp_path: Path) -> None:
    rows = [choice(1)]
    for params in (
        {"answer": {"by": "kind", "a": "choice"}},
        {"group_by": ["kind"]},
        {"group_by": {"pairs": 2, "same": ["kind"]}},
        {"rows": {"kind": "a"}},
        {"options": {"list": "kind"}},
    ):
        with pytest.raises(DataError, match="has no column kind "):
            loaded(tmp_path, rows, params)


def test_a_level_without_a_column_is_a_warning(tmp_path: Path) -> None:
    task = loaded(tmp_path, [choice(1)], {"levels": {"l2": ["task", "type"], "l1": {"value": "vision"}}})
    assert task.warnings == (
        "The data has no column task or type for the level l2: these levels have one category, other.",
    )
    assert task.counts() == {"l1": {"vision": 1}, "l2": {"other": 1}, "l3": {"other": 1}}


def test_rows_that_need_a_judge_are_left_out_only_where_the_file_says_so(tmp_path: Path) -> None:
    rows = [choice(n, "12", "") for n in range(3)]
    rows[1] |= {"answer": "because of\nthe sky"}
    rows[2] |= {"image": ""}
    with pytest.raises(DataError, match="cannot be scored without a judge, it is not one number"):
        loaded(tmp_path, rows, {"answer": "number"})
    task = loaded(tmp_path, rows, {"answer": "number"}, source={"left_out": "long answers"})
    assert (task.n_groups, task.n_groups_skipped, task.partial_reasons) == (1, 2, ())
    (warning,) = task.warnings
    assert "2 of 3 questions are left out" in warning and "1: it has no image" in warning


def test_a_group_that_loses_a_row_is_left_out_as_a_whole(tmp_path: Path) -> None:
    rows = [choice(n, "12", "", question="?") for n in range(4)]
    rows[3] |= {"answer": "x"}
    params = {"answer": "number", "group_by": {"pairs": 2}}
    task = loaded(tmp_path, rows, params, source={"left_out": "words"})
    assert [sample.id for sample in task.samples] == ["0", "1"]


def test_a_pair_that_is_no_pair(tmp_path: Path) -> None:
    rows = [choice(n, question=f"Pair {n // 2}?") for n in range(4)]
    params = {"group_by": {"pairs": 2, "same": ["question"]}}
    assert loaded(tmp_path, rows, params).n_groups == 2
    with pytest.raises(DataError, match=r"the rows 1, 2 are one group but differ in question"):
        loaded(tmp_path, rows[1:], params)
    with pytest.raises(DataError, match="its group has 1 rows instead of 2"):
        loaded(tmp_path, rows[:3], params)


def test_cycles_must_be_complete(tmp_path: Path) -> None:
    shared = {"question": "?", "image": encoded(1), **{letter: f"option {letter}" for letter in "ABCD"}}
    params = {"group_by": {"columns": ["question", "image"], "cycle": "turn"}}
    rows = [choice(n, turn=n % 2) | shared for n in range(2)]
    other = [row | {"index": row["index"] + 5, "image": encoded(2)} for row in rows]
    assert loaded(tmp_path, rows + other, params).n_groups == 2
    with pytest.raises(DataError, match="its group has 1 of 2 values of turn"):
        loaded(tmp_path, rows + other[:1], params)
    with pytest.raises(DataError, match="its group has 1 of 2 values of turn"):  # no picture is shared
        loaded(tmp_path, [row | {"image": encoded(row["index"])} for row in rows], params)
    with pytest.raises(DataError, match="have the same turn"):
        loaded(tmp_path, [rows[0], rows[1] | {"turn": 0}], params)
    with pytest.raises(DataError, match="different options"):
        loaded(tmp_path, [rows[0], rows[1] | {"C": "another"}], params)
    with pytest.raises(DataError, match="different right answers"):
        loaded(tmp_path, [rows[0], rows[1] | {"answer": "B"}], params)


def test_an_index_above_a_million_is_a_copy_only_where_the_file_says_so(tmp_path: Path) -> None:
    first = choice(5, "A", "AB")
    copy = first | {"index": 1_000_005, "A": first["B"], "B": first["A"], "answer": "B"}
    plain = loaded(tmp_path, [first, copy])
    assert (plain.n_groups, [sample.roll for sample in plain.samples]) == (2, [0, 0])
    task = loaded(tmp_path, [first, copy], {"copies": True})
    assert (task.n_groups, [sample.roll for sample in task.samples]) == (1, [0, 1])
    with pytest.raises(DataError, match="has another right answer"):
        loaded(tmp_path, [first, copy | {"answer": "A"}], {"copies": True})


def test_as_many_options_as_letters_with_gaps(tmp_path: Path) -> None:
    letters = "ACDFGHIJKLMNOPQRSTUVWXYZ"
    rows = [
        {"index": n, "question": "?", "image": encoded(n), "answer": letter}
        | {one: f"thing {one}{n}" if one in letters else "" for one in ascii_uppercase}
        for n, letter in enumerate(letters)
    ]
    task = loaded(tmp_path, rows)
    assert [sample.target for sample in task.samples] == list(letters)
    assert validate_task(task).failures == ()


def test_several_image_columns_and_a_reference_to_another_row(tmp_path: Path) -> None:
    rows = [choice(0, image=encoded(1), image2=encoded(2)), choice(1, image="0", image2="")]
    task = loaded(tmp_path, rows, {"images": ["image", "image2"]})
    assert [image.data for image in task.rows[0].images] == [picture(1), picture(2)]
    assert task.rows[1].images == task.rows[0].images


def test_the_digest_covers_what_identifies_a_question(tmp_path: Path) -> None:
    rows = [choice(n, category="x", unit="cm") for n in range(2)]
    base = loaded(tmp_path, rows)
    assert loaded(tmp_path, rows[::-1]).data_sha256 == base.data_sha256
    for change in (
        {"question": "other"},
        {"A": "other"},
        {"answer": "B"},
        {"image": encoded(5)},
        {"image": encoded(1, 1)},
        {"category": "y"},
        {"index": 9},
        {"hint": "h"},
    ):
        other = loaded(tmp_path, [rows[0], rows[1] | change])
        assert other.data_sha256 != base.data_sha256, change
    pairs = loaded(tmp_path, rows, {**PLAIN, "group_by": {"pairs": 2}})
    assert pairs.data_sha256 != base.data_sha256
    contents = {json.dumps(base.content(sample)) for sample in base.samples}
    assert len(contents) == 2


@given(st.permutations(range(6)))
def test_groups_do_not_depend_on_the_order_of_the_rows(order: list[int]) -> None:
    rows = [choice(n, question=f"{n // 2}?", image=encoded(1)) for n in range(6)]
    shuffled = [rows[n] for n in order]
    expected = {"0": "0", "1": "0", "2": "2", "3": "2", "4": "4", "5": "4"}
    assert grouped(shuffled, {"group_by": {"pairs": 2}}) == expected
    assert grouped(shuffled, {"group_by": ["question"]}) == expected


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(
    st.lists(TEXTS.map(str.strip).filter(bool), min_size=1, max_size=26),
    st.sampled_from(["dot", "colon", "bracket"]),
)
def test_options_in_a_text_are_read_back(options: list[str], form: str) -> None:
    letters = [chr(ord("A") + n) for n in range(len(options))]
    mark = {"dot": "{}. {}", "colon": "{}:{}", "bracket": "({}) {}"}[form]
    text = "A. no option\nChoices:\n" + "\n".join(map(mark.format, letters, options))
    assert options_in(text) == dict(zip(letters, options, strict=True))


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    options = options_in(text)
    assert list(options) == [chr(ord("A") + n) for n in range(len(options))]
    target = read_target({"A": "x", "C": "y", "I": text}, text)
    assert target in ("A", "C", "I", None)
    literal(text)
    try:
        assert isinstance(list_of(text), list)
    except ValueError as error:
        assert str(error) == "it is not a list"


@given(st.dictionaries(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), TEXTS, min_size=2), st.data())
def test_a_letter_in_any_form_is_read(options: dict[str, str], data: st.DataObject) -> None:
    letter = data.draw(st.sampled_from(sorted(options)))
    for form in ("{}", "({})", "{}.", "{})", "({})."):
        assert read_target(options, form.format(letter)) == letter
    assert read_target(options, letter.lower()) == letter
    missing = next((one for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if one not in options), None)
    if missing is not None and missing not in options.values():
        assert read_target(options, missing) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans())
def test_images_keep_their_order_in_any_list(seeds: list[int], as_json: bool) -> None:
    import base64

    texts = [base64.b64encode(picture(seed)).decode() for seed in seeds]
    cell: Any = json.dumps(texts) if as_json else str(texts)
    for value in (cell, texts, tuple(texts)):
        assert image_items(value) == texts
    assert image_items(None) == image_items("") == image_items([]) == image_items(float("nan")) == []
    schema = read_schema("t", {})
    parsed = parse_questions("t", [("row 1", choice(1, image=cell))], schema)
    assert [image.data for image in parsed.rows[0].images] == [picture(seed) for seed in seeds]
    assert questions_digest(parsed.rows) == questions_digest(parsed.rows[::-1])


CELLS = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(max_size=9),
    st.text(max_size=90),
    st.sampled_from(
        ["[]", "{", "['a']", "nan", "A", "1", encoded(1), encoded(1, 2), encoded(1)[:99], {"bytes": b"x"}]
    ),
    st.lists(st.sampled_from([encoded(1), 7, None, {"path": "a.png"}, [encoded(1)]]), max_size=3),
)
COLUMNS = ("index", "question", "hint", "A", "B", "answer", "image")
ODD_ROW: Row = {"index": "\u00b2"}  # a digit, and no number
SCHEMAS: list[dict[str, Any]] = [
    {},
    {"copies": True},
    {"group_by": {"pairs": 2}, "answer": "number", "fields": {"unit": "hint"}},
    {"group_by": ["question", "image"], "answer": ["number", "yes_no", "text"]},
    {
        "group_by": {"index_parts": [1]},
        "options": {"list": "A"},
        "answer": {"by": "options", "present": "choice"},
    },
    {
        "group_by": {"columns": ["B"], "cycle": "A"},
        "levels": {"l2": "B.key"},
        "rows": {"hint": ["A", "1", "nan"]},
    },
]


@given(
    st.sampled_from(SCHEMAS),
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(["index", "question", "hint", "A", "B", "answer", "image"], CELLS)
        ),
        max_size=5,
    ),
    st.booleans(),
)
@example({"copies": True}, [ODD_ROW], False)
@example({"group_by": {"pairs": 2}}, [ODD_ROW], False)
def test_any_rows_are_read_or_refused_in_one_line(
    params: dict[str, Any], rows: list[Row], may_leave_out: bool
) -> None:
    schema = read_schema("t", params)
    located = [(f"row {n}", row) for n, row in enumerate(rows)]
    try:
        parsed = parse_questions("t", located, schema)
        assert len(parsed.rows) + len(parsed.refused) == parsed.n_rows <= len(rows)
        done = group_rows("t", parsed, schema, may_leave_out=may_leave_out, skip_bad=True)
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert done.rows and len({row.group for row in done.rows}) == done.n_groups
    for row in done.rows:
        assert row.images and row.target and row.group in {other.id for other in done.rows}
