"""A run that is exported and imported again: the same replies, scores and aggregates, in every format."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from exported_runs import MIXED, run_of, write_data
from hypothesis import given, settings
from hypothesis import strategies as st

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.runs import Run
from ssl4rl_bench.score.scoring import replies

WAYS = {
    "xlsx": ("vlmevalkit", "file.xlsx"),
    "tsv": ("vlmevalkit", "file.tsv"),
    "lm-eval": ("lm-eval", "."),
    "lmms-eval": ("lmms-eval", "."),
    "parquet": ("parquet", "file.parquet"),
}
"""The formats that can be imported again: the export's format and place."""
TEXTS = st.one_of(
    st.sampled_from(
        ("A", "B", "=A", "+B", "-C", "@D", "#N/A", "nan", "None", "", " ", "1", "TRUE", "'A", '"B"')
    ),
    st.sampled_from(
        ("A\nB", "A\r\nB", "A\tB", "\0", "\ud800", "_x0041_", "x" * 32_768, "汉字 A", "👩 B", "\ufeffA")
    ),
    st.text(max_size=40),
)


def back(run: Run, task: str, way: str, folder: Path, data: Path | None) -> Run:
    """Exports a task of a run and imports the file with the replies."""
    to, name = WAYS[way]
    written = sb.export_run(run, to, folder / name, tasks=[task])
    return sb.import_predictions(
        written.paths[-1], task, data=data, out=folder / "back", allow_partial=True, model="my/model"
    )


def scores(run: Run) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What this project makes of each reply that has a score."""
    opened = RunDir.open(run.path)
    return {
        (sample.id, record.repeat): (record.text, score.status, score.answer, score.value)
        for task in reload_tasks(opened, {})
        for sample, record, score in replies(opened, task)
        if score.value is not None
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", ["mmbench_dev_en", "mmstar", "hallusionbench", "hrbench_4k", "cvbench_2d"])
def test_replies_scores_and_aggregates_come_back(task: str, way: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, task, MIXED)
    again = back(run, task, way, tmp_path, write_data(tmp_path, task))
    assert scores(again) == scores(run) and scores(run)
    before, after = run.result["tasks"][f"ssl4rl_{task}"], again.result["tasks"][f"ssl4rl_{task}"]
    assert after["aggregates"] == before["aggregates"]
    if way != "lm-eval":  # which leaves out the replies that have no score
        assert after["status"] == before["status"]
        assert after["n_groups_excluded"] == before["n_groups_excluded"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["lm-eval", "lmms-eval", "parquet"])
def test_a_probe_comes_back(way: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, "ssl_rotation_90", {}, limit=4)
    again = back(run, "ssl_rotation_90", way, tmp_path, write_data(tmp_path, "ssl_rotation_90"))
    assert scores(again) == scores(run)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [2, 3])
def test_repeats_come_back_from_parquet(repeats: int, tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmstar", {"1": {"text": "<answer>C</answer>"}}, repeats=repeats)
    again = back(run, "mmstar", "parquet", tmp_path, write_data(tmp_path, "mmstar"))
    assert scores(again) == scores(run) and len(scores(run)) == 3 * repeats


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@given(st.lists(TEXTS, min_size=3, max_size=3))
@settings(max_examples=examples(12), deadline=None)
def test_any_text_comes_back_or_is_refused_by_its_row(way: str, texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = run_of(folder, "mmstar", {str(n): {"text": text} for n, text in enumerate(texts)})
        try:
            again = back(run, "mmstar", way, folder, write_data(folder, "mmstar"))
        except DataError as error:
            assert "cannot hold row" in str(error) and way not in ("lm-eval", "lmms-eval"), error
            return
        assert scores(again) == scores(run)
