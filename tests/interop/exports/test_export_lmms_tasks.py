"""Exports of runs on tasks that lmms-eval defines."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from lmms_rows import replies, write_documents, write_replies

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.score.runs import Run

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the lmms extra"),
]


def run_of(name: str, folder: Path) -> Run:
    data = write_documents(name, folder / f"{name}.parquet")
    file = write_replies(folder / "replies.jsonl", replies(name))
    made = sb.evaluate(
        "model",
        f"lmms:{name}",
        data=data,
        engine="replay",
        options={"replies": str(file)},
        out=folder / "run",
    )
    assert isinstance(made, Run)
    return made


def test_metrics_of_lmms_eval_are_in_the_results(tmp_path: Path) -> None:
    run = run_of("mmstar", tmp_path)
    results, samples = sb.export_run(run, "lm-eval", tmp_path / "out").paths
    assert "lmms__mmstar" in samples.name
    lines = [json.loads(line) for line in samples.read_text("ascii").splitlines()]
    scored = run.samples().dropna(subset="score")
    assert [line["acc"] for line in lines] == list(scored.score)
    entry = json.loads(results.read_text("ascii"))["results"]["lmms:mmstar"]
    metrics = run.result["tasks"]["lmms:mmstar"]["metrics"]
    assert metrics and {name: entry[f"{name},none"] for name in metrics} == {
        name: metric["value"] for name, metric in metrics.items()
    }
    assert sb.export_run(run, "parquet", tmp_path / "out").paths[0].name.endswith("_lmms__mmstar.parquet")
    for to, words in (("lmms-eval", "metrics of lmms-eval"), ("vlmevalkit", "not written for VLMEvalKit")):
        with pytest.raises(UsageError, match=words):
            sb.export_run(run, to, tmp_path / "out")


@pytest.mark.skipif(shutil.which("java") is None, reason="CIDEr's tokenizer needs a JRE")
def test_replies_without_scores_are_written_as_parquet_only(tmp_path: Path) -> None:
    run = run_of("coco2014_cap_val", tmp_path)
    with pytest.raises(UsageError, match="has metrics of the corpus only, and no scores of replies"):
        sb.export_run(run, "lm-eval", tmp_path / "out")
    assert sb.export_run(run, "parquet", tmp_path / "out").paths[0].is_file()
