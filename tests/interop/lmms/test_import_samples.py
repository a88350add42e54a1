"""Samples that the real lmms-eval logs, imported as a run of its own task."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lmms_rows
import pytest

import ssl4rl_bench as sb
from ssl4rl_bench.run.observing import Observer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the lmms extra"),
]
RIGHT = 6
"""The number of documents that get the right letter; the others get a text without one."""


def log_samples(data: Path, folder: Path) -> Path:
    """Lets lmms-eval evaluate MMStar with made-up replies, and returns the samples that it logs."""
    from lmms_eval import evaluator
    from lmms_eval.api.model import lmms
    from lmms_eval.loggers.evaluation_tracker import EvaluationTracker
    from lmms_eval.tasks import TaskManager

    from ssl4rl_bench.task.lmms.registry_files import find_registered

    class Replies(lmms):  # type: ignore[misc]  # lmms-eval has no types
        def generate_until(self, requests: Any) -> list[str]:
            return ["ABCD"[n % 4] if n < RIGHT else "I cannot tell." for n in range(len(requests))]

        def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
            raise AssertionError("the task generates")

        def generate_until_multi_round(self, requests: Any) -> list[str]:
            raise AssertionError("the task has one turn")

    source = {
        "dataset_path": "parquet",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"val": str(data)}},
    }
    manager = TaskManager(include_path=str(find_registered("mmstar").path.parent), include_defaults=False)
    results = evaluator.simple_evaluate(
        model=Replies(), tasks=[{"task": "mmstar", **source}], task_manager=manager, bootstrap_iters=0
    )
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args("", "pretrained=org/model", "", "", False)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples, datetime_str="20261127")
    tracker.save_results_samples(task_name="mmstar", samples=samples["mmstar"])
    (path,) = folder.rglob("*_samples_mmstar.jsonl")
    return path


def test_logged_samples_are_a_run_with_the_scores_of_lmms_eval(tmp_path: Path) -> None:
    data, lines = tmp_path / "mmstar.parquet", []
    lmms_rows.write_documents("mmstar", data)
    said = type("Said", (Observer,), {"say": lambda self, text: lines.append(text)})()
    path = log_samples(data, tmp_path / "logs")
    run = sb.import_predictions(path, "lmms:mmstar", data=data, out=tmp_path / "run", progress=said)
    assert run.model == "org/model (imported)"
    assert f"scored as by lmms-eval in {lmms_rows.N} of {lmms_rows.N} rows" in lines
    assert run.samples().score.sum() == RIGHT
    assert "prompt" not in run.spec.unknown and "temperature" not in run.spec.unknown
    assert {"max_tokens", "max_pixels"} < run.spec.unknown


def test_a_task_with_a_registered_metric_loads_without_the_evaluator(tmp_path: Path) -> None:
    """In a process of its own, as lmms-eval's evaluator registers the metrics for the others."""
    lmms_rows.write_documents("ai2d", tmp_path / "ai2d.parquet")
    load = "load_task('lmms:ai2d', data='ai2d.parquet')"
    code = f"from ssl4rl_bench.task.registry import load_task; print(len({load}.samples))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == [str(lmms_rows.N)], done.stderr
