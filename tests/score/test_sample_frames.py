"""`Run.samples()` holds any text, also what UTF-8 cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import ssl4rl_bench as sb
from ssl4rl_bench.score.runs import Run, _frame

ANY = st.text(st.characters(exclude_categories=()), max_size=8)


@given(st.lists(st.tuples(ANY, ANY | st.none(), st.floats(0, 1) | st.none()), min_size=1, max_size=5))
@settings(max_examples=examples(50))
def test_any_text_is_in_the_table_unchanged(rows: list[tuple[str, str | None, float | None]]) -> None:
    records = [{"reply": reply, "answer": answer, "score": score} for reply, answer, score in rows]
    table = _frame(records)
    assert list(table.columns) == ["reply", "answer", "score"]
    assert table.reply.tolist() == [reply for reply, _, _ in rows]
    known = table.answer.notna()
    assert table.answer[known].tolist() == [answer for _, answer, _ in rows if answer is not None]
    assert table.score.isna().tolist() == [score is None for _, _, score in rows]


def test_columns_that_utf_8_can_hold_keep_their_type() -> None:
    plain, odd = _frame([{"a": "x", "b": "x"}]), _frame([{"a": "x", "b": "\ud800"}])
    assert odd.a.dtype == plain.a.dtype and odd.b.dtype == object
    assert _frame([]).empty


@pytest.mark.parametrize("text", ["\ud800", "A\udfff", "\udc00\ud83d", "<answer>A</answer>"])
def test_a_run_with_such_a_reply_has_samples(text: str, tmp_path: Path) -> None:
    samples = sb.load_task("scenes").load(limit=1).samples
    lines = [{"id": sample.id, "text": text} for sample in samples]
    file = tmp_path / "replies.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = sb.evaluate(
        "m", "scenes", limit=1, engine="replay", options={"replies": str(file)}, out=tmp_path / "run"
    )
    assert isinstance(run, Run)
    assert set(run.samples().reply) == {text}
