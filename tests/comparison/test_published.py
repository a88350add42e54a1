"""Published numbers: those that come with the package, and files of the same form, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.comparison import published
from ssl4rl_bench.core.errors import BenchError, DataError, UsageError
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.task.mmbench.taxonomy import CARD_COLUMNS

CARD = {
    "title": "A card",
    "source": "somewhere",
    "benchmark": ["mmbench_dev_en"],
    "unit": "percent",
    "columns": ["logic_reasoning", "average"],
    "rows": [{"name": "base", "model": "a/b", "values": [61.77, None]}],
}


def changed(**changes: Any) -> bytes:
    return json.dumps({key: value for key, value in (CARD | changes).items() if value != "gone"}).encode()


def test_the_card_s_numbers_come_with_the_package() -> None:
    assert published.names() == ["ssl4rl_mmbench"]
    table = published.load_published("ssl4rl_mmbench")
    assert table.columns == (*(ability for _, ability in CARD_COLUMNS), "average")
    assert [row.name for row in table.rows] == ["base", "rotation", "jigsaw", "contrastive", "position"]
    assert table.row("rotation").values["attribute_reasoning"] == pytest.approx(0.8389)
    assert table.row("base").model == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert table.improvement["attribute_reasoning"] == pytest.approx(0.0677)
    assert all(len(row.values) == 7 and 0 < min(row.values.values()) < 1 for row in table.rows)
    assert "2510.16416" in table.source
    assert table.benchmark == ("ssl4rl_mmbench_dev_en",)


def test_a_file_of_the_same_form_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(changed())
    assert published.load_published(path) == published.load_published(str(path))
    table = published.load_published(path)
    assert dict(table.row("base").values) == {"logic_reasoning": pytest.approx(0.6177)}
    assert dict(table.improvement) == {}
    path.write_bytes(changed(unit="fraction", rows=[{"name": "base", "model": "a/b", "values": [0.5, 1]}]))
    assert dict(published.load_published(path).row("base").values) == {"logic_reasoning": 0.5, "average": 1.0}


def test_unknown_names_are_told() -> None:
    with pytest.raises(UsageError, match="did you mean ssl4rl_mmbench"):
        published.load_published("ssl4rl_mbench")
    with pytest.raises(UsageError, match=r"nowhere\.json: no such file"):
        published.load_published("nowhere.json")
    with pytest.raises(UsageError, match="did you mean rotation"):
        published.load_published("ssl4rl_mmbench").row("rotatoin")


ROW = CARD["rows"][0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (changed(title="gone"), "has no title"),
        (
            changed(benchmark="gone"),
            "has no benchmark, so its numbers could be shown next to those of another one; say",
        ),
        (changed(benchmark=[]), "benchmark must be a list of task names"),
        (changed(benchmark=[7]), "benchmark must be a list of task names"),
        (changed(benchmark=["a b"]), "is not the name of a task"),
        (
            changed(schema=3),
            "was written by a newer ssl4rl-bench (schema 3; this one reads up to 2): upgrade",
        ),
        (changed(schema="2"), "is damaged: it has schema '2'"),
        (changed(title=" "), "title must be a non-empty string"),
        (changed(note="x"), "unknown key note"),
        (changed(rowz=[]), "did you mean rows"),
        (changed(unit="points"), '"percent" or "fraction"'),
        (changed(unit=["percent"]), '"percent" or "fraction"'),
        (changed(columns=["logical_reasoning", "average"]), "did you mean logic_reasoning"),
        (changed(columns=["average", "average"]), "appears twice"),
        (changed(columns=[["average"]]), "no column"),
        (changed(columns={}), "list of names"),
        (changed(rows=[]), "at least one row"),
        (changed(rows=[7]), "row 1 is not an object"),
        (changed(rows=[ROW, ROW]), "row 2 has the name base again"),
        (changed(rows=[ROW | {"values": [1.0]}]), "needs 2 values"),
        (changed(rows=[ROW | {"values": [1.0, 101]}]), "not a number from 0 to 100"),
        (changed(rows=[ROW | {"values": [1.0, -1]}]), "not a number from 0 to 100"),
        (changed(rows=[ROW | {"values": [1.0, "7"]}]), "not a number"),
        (changed(rows=[ROW | {"values": [1.0, True]}]), "not a number"),
        (changed(rows=[ROW | {"values": [1.0, float("nan")]}]), "NaN is not JSON"),
        (changed(rows=[ROW | {"values": [1.0, 10**400]}]), "401 digits"),
        (changed(rows=[ROW | {"extra": 1}]), "row 1 has an unknown key extra"),
        (changed(printed_maximal_improvement=[1.0]), "printed_maximal_improvement needs 2 values"),
    ],
)
def test_another_form_is_one_sentence(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        published.load_published(path)
    assert words in str(caught.value) and "mine.json" in str(caught.value) and "\n" not in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CARD, values)))
def test_no_file_does_more_than_be_refused(changes: dict[str, Any]) -> None:
    try:
        table = published.parse_published(json.dumps(CARD | changes).encode(), "x.json")
    except BenchError as error:
        assert one_line(error) == str(error)
    else:
        assert all(0 <= value <= 1 for row in table.rows for value in row.values.values())


def test_settings_are_stated_with_their_source() -> None:
    stated = {"max_tokens": 2048, "temperature": 0.01, "prompt": "ssl4rl"}
    table = published.parse_published(changed(settings=stated, settings_source="its appendix"), "mine")
    assert table.settings == stated
    assert table.settings_source == "its appendix"
    assert published.parse_published(changed(), "mine").settings == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"max_token": 1}, "settings_source": "x"}, "did you mean max_tokens"),
        ({"settings": {"max_tokens": [1]}, "settings_source": "x"}, "is not a text or a number"),
        ({"settings": [], "settings_source": "x"}, "settings must be an object"),
        ({"settings": {}}, "no settings_source"),
        ({"settings": {}, "settings_source": " "}, "settings_source must be a non-empty string"),
        ({"settings": {"extractor": "strikt"}, "settings_source": "x"}, "did you mean 'strict'|strict"),
        ({"settings": {"aggregation": "row"}, "settings_source": "x"}, "row_micro"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=words) as raised:
        published.parse_published(changed(**changes), "mine")
    assert "\n" not in str(raised.value)
