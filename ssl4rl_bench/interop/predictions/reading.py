"""Reads a file of predictions in any of the formats, which it recognizes by the suffix and the content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.interop.predictions import harness
from ssl4rl_bench.interop.predictions.predicted_tables import is_vlmevalkit, read_table
from ssl4rl_bench.interop.predictions.rows import Prediction, Predictions, refuse
from ssl4rl_bench.interop.predictions.tables import TABLE_SUFFIXES, json_file, json_lines, read_rows

VLMEVALKIT, LMMS_EVAL, LM_EVAL, PLAIN = "vlmevalkit", "lmms-eval", "lm-eval", "plain"
FORMATS: Mapping[str, str] = {
    VLMEVALKIT: "VLMEvalKit's prediction file: xlsx, tsv or json",
    LMMS_EVAL: "the samples that lmms-eval logs: jsonl",
    LM_EVAL: "the samples that lm-evaluation-harness logs: jsonl, or results json that holds them",
    PLAIN: "a table with id and text: csv, tsv, xlsx, json, jsonl or parquet",
}
"""The formats by name, with a description."""
_TOOLS = {VLMEVALKIT: "VLMEvalKit", LMMS_EVAL: "lmms-eval", LM_EVAL: "lm-evaluation-harness", PLAIN: ""}


def read_predictions(path: Path, format: str | None = None, task: str | None = None) -> Predictions:
    """Reads a file of predictions. Nothing in it is run or opened.

    Args:
        format: one of `FORMATS`; None recognizes it.
        task: the name of the task, which selects the rows of a file with several tasks.

    Raises:
        UsageError: an unknown format.
        DataError: the file cannot be read, is of no known format, or has a faulty row.
        MissingDependency: an .xlsx file without openpyxl.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"no format {format!r} (known: {', '.join(FORMATS)}){did_you_mean(format, FORMATS)}")
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        refuse(path, "is a pickle, which runs code when it is read: let the tool write xlsx, tsv or json")
    if not path.is_file():
        raise DataError(f"there is no file {path}: check the path")
    if suffix not in TABLE_SUFFIXES:
        refuse(path, f"has none of the suffixes {', '.join(TABLE_SUFFIXES)}: rename or convert it")
    results = json_file(path) if suffix == ".json" else None
    if isinstance(results, dict):
        return _of_results(path, results, task)
    chosen = format or _recognized(path)
    if chosen in (LMMS_EVAL, LM_EVAL):
        if suffix != ".jsonl":
            refuse(path, f"is not a .jsonl file, as the samples of {_TOOLS[chosen]} are: leave --format out")
        rows = harness.read_samples(path)
    else:
        rows = read_table(path, vlmevalkit=chosen == VLMEVALKIT, task=task)
    return Predictions(path, chosen, digest(path), rows, _TOOLS[chosen])


def digest(path: Path) -> str:
    """Computes the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recognized(path: Path) -> str:
    if path.suffix.lower() == ".jsonl":
        first = next((value for _, value in json_lines(path) if isinstance(value, dict)), {})
        if harness.is_samples(first):
            return LM_EVAL if harness.is_lm_eval(first) else LMMS_EVAL
    for _, row in islice(read_rows(path), 1):
        if isinstance(row, Mapping) and is_vlmevalkit(path, row):
            return VLMEVALKIT
    return PLAIN


def _of_results(path: Path, results: Mapping[str, Any], task: str | None) -> Predictions:
    """Reads the samples in a results file."""
    samples = results.get("samples")
    if not isinstance(samples, dict) or not samples:
        if "results" in results:
            refuse(
                path,
                "has aggregates only, and no replies: log the samples (--log_samples) and import the file of samples",
            )
        refuse(path, "is not a list of rows and has no samples: give a list of objects, or JSONL")
    chosen = _chosen(path, samples, task)
    rows = samples[chosen]
    if not isinstance(rows, list):
        refuse(path, f"has no list of samples of {clean(chosen, 60)}")
    predictions: list[Prediction] = harness.samples_of(path, rows)
    format = LMMS_EVAL if "lmms_eval_version" in results else LM_EVAL
    return Predictions(path, format, digest(path), predictions, _TOOLS[format])


def _chosen(path: Path, samples: Mapping[str, Any], task: str | None) -> str:
    if len(samples) == 1:
        return next(iter(samples))
    wanted = [name for name in samples if task is not None and short_name(name) == short_name(task)]
    if len(wanted) != 1:
        names = ", ".join(clean(name, 40) for name in list(samples)[:8])
        refuse(
            path,
            f"has samples of {names}, and it is not clear which are of {task}: give a file with one of them",
        )
    return wanted[0]
