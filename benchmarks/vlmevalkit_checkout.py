"""Loads the evaluation of a checkout of VLMEvalKit without the packages of its models (`vlmevalkit_agreement.py`).

`vlmeval/__init__.py` and `vlmeval/dataset/__init__.py` import every model and data set, so empty packages stand for
these two files. `sty` (colours) and `validators` (whether a path is a URL: no) are replaced where they are missing.
All else is VLMEvalKit's code: reading the file, extracting answers, circular groups, and tables.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

EXACT = "exact_matching"
"""VLMEvalKit's name for an evaluation without a judge model."""
_SPECIAL = {"MMVP": "ImageMCQDataset", "CV-Bench-2D": "CVBench", "CV-Bench-3D": "CVBench"}
_SPECIAL |= {
    "HRBench4K": "HRBenchDataset",
    "HRBench8K": "HRBenchDataset",
    "HallusionBench": "ImageYORNDataset",
}
"""The classes of data sets that `ImageMCQDataset` does not evaluate."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What VLMEvalKit makes of a row."""

    answer: str
    """The letter that it extracted, "Z" for none; "Yes", "No" or "Unknown" for a yes/no question."""
    hit: bool | None
    """Whether its evaluation counts the row as right; of a circular group, only the main row has this."""


class _Missing(ModuleType):
    """A module whose functions return None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: None


class Checkout:
    """A checkout of VLMEvalKit; there can be one in a process."""

    def __init__(self, root: Path) -> None:
        for name in ("sty", "validators"):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:
                sys.modules[name] = _Missing(name)
        for name in ("vlmeval", "vlmeval.dataset"):
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")))]
            sys.modules[name] = package
        os.environ["PRED_FORMAT"] = "tsv"  # of its intermediate files; xlsx would need xlsxwriter
        self._mcq = importlib.import_module("vlmeval.dataset.image_mcq")
        self._yes_no = importlib.import_module("vlmeval.dataset.image_yorn")
        self._choice = importlib.import_module("vlmeval.dataset.utils.multiple_choice")
        self._load = importlib.import_module("vlmeval.smp").load
        self.root = root

    def commit(self) -> str:
        """Returns the commit of the checkout, or "unknown" if it is not a git checkout."""
        command = ["git", "-C", str(self.root), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    def evaluate(self, dataset: str, data: Path, predictions: Path) -> Mapping[str, Verdict]:
        """Evaluates a prediction file with `dataset.evaluate(file)` and returns the verdicts by index.

        Args:
            dataset: VLMEvalKit's name of the data set.
            data: the data set's TSV file.
        """
        kind = _SPECIAL.get(dataset, "ImageMCQDataset")
        made = object.__new__(getattr(self._yes_no if kind == "ImageYORNDataset" else self._mcq, kind))
        made.dataset_name = dataset
        made.data = self._load(str(data))
        table = self._load(str(predictions))
        made.evaluate(str(predictions), model=EXACT, nproc=1)
        stem = predictions.with_suffix("")
        if kind == "ImageYORNDataset":
            scored = self._load(f"{stem}_auxmatch.tsv")
            return {
                str(row["index"]): Verdict(str(row["extracted"]), bool(row["score"]))
                for _, row in scored.iterrows()
            }
        scored = self._load(f"{stem}_{EXACT}_result.tsv")
        hits = {str(index): bool(hit) for index, hit in zip(scored["index"], scored["hit"], strict=True)}
        verdicts = {}
        table["prediction"] = [str(text) for text in table["prediction"]]
        for _, row in table.iterrows():
            answer = self._choice.extract_answer_from_item(None, row)["opt"]
            verdicts[str(row["index"])] = Verdict(str(answer), hits.get(str(row["index"])))
        return verdicts
