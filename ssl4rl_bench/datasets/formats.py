"""The file formats of data sets. Each sample is one row, and rows are independent of each other.

Each split is one file, named after the split. Images are lossless PNG, or the source's original bytes if a
task shows an image unchanged.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.datasets.files import Writer
from ssl4rl_bench.datasets.parquet import ParquetWriter
from ssl4rl_bench.datasets.work import Record

REWARD_FILE = "reward.py"
"""The file next to verl's parquet files that `custom_reward_function.path` refers to."""
_REWARD = '''"""verl's reward for this data: custom_reward_function.path names this file, .name compute_score."""

from ssl4rl_bench.train.rewards import compute_score

__all__ = ["compute_score"]
'''


def _plain(record: Record) -> dict[str, Any]:
    return {
        "id": record.made.id,
        "task": record.recipe.name,
        "images": _structs(record),
        "prompt": record.prompt,
        "target": record.made.target,
        "split": record.split,
        "index": record.made.index,
        "sources": list(record.made.sources),
    }


def _trl(record: Record) -> dict[str, Any]:
    """Returns a row without image placeholders, since TRL puts the images before the first user message."""
    return {
        "prompt": [{"role": "user", "content": record.prompt}],
        "images": _structs(record),
        "target": record.made.target,
        "task": record.recipe.name,
        "id": record.made.id,
    }


def _verl(record: Record) -> dict[str, Any]:
    placeholders = "<image>" * len(record.made.images)
    return {
        "data_source": record.recipe.name,
        "prompt": [{"role": "user", "content": placeholders + record.prompt}],
        "images": _structs(record),
        "ability": record.recipe.task.kind,
        "reward_model": {"style": "rule", "ground_truth": record.made.target},
        "extra_info": {
            "split": record.split,
            "index": record.number,
            "id": record.made.id,
            "sources": list(record.made.sources),
        },
    }


def _structs(record: Record) -> list[dict[str, Any]]:
    return [{"bytes": image.data, "path": None} for image in record.made.images]


class JsonlWriter(Writer):
    """Writes one JSON object per line. Images are separate files, named by hash and shared by samples."""

    suffix = "jsonl"

    def add(self, record: Record) -> None:
        row = _plain(record) | {"images": [self._image(image) for image in record.made.images]}
        self.file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
        self.n_samples += 1

    def _image(self, image: EncodedImage) -> str:
        suffix = images.mime(image).removeprefix("image/").replace("jpeg", "jpg")
        path = self.path.with_name("images") / image.sha256[:2] / f"{image.sha256}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(image.data)
        return path.relative_to(self.path.parent).as_posix()


class TsvWriter(Writer):
    """Writes VLMEvalKit's layout: a sample's images are a list of base64 strings and a list of names."""

    suffix = "tsv"
    HEADER = ("index", "image", "image_path", "question", "answer", "category", "split")

    def __init__(self, folder: Path, split: str) -> None:
        super().__init__(folder, split)
        self._row(self.HEADER)

    def add(self, record: Record) -> None:
        encoded = [base64.b64encode(image.data).decode("ascii") for image in record.made.images]
        names = [f"{record.made.id}_{number}.png" for number in range(1, len(encoded) + 1)]
        shown = [record.made.id, _list(encoded), _list(names)]
        self._row([*shown, record.prompt, record.made.target, record.recipe.name, record.split])
        self.n_samples += 1

    def _row(self, fields: Sequence[str]) -> None:
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerow(fields)
        self.file.write(text.getvalue().encode())


def _list(texts: list[str]) -> str:
    return "[" + ", ".join(f"'{text}'" for text in texts) + "]"


FORMATS: Mapping[str, Callable[[Path, str], Writer]] = {
    "parquet": partial(ParquetWriter, row_of=_plain),
    "jsonl": JsonlWriter,
    "verl": partial(ParquetWriter, row_of=_verl),
    "trl": partial(ParquetWriter, row_of=_trl),
    "tsv": TsvWriter,
}
"""Maps a format's name to a function that creates the writer for a folder and a split."""


def extra_files(format: str) -> dict[str, str]:
    """Returns the names and contents of a format's additional files."""
    return {REWARD_FILE: _REWARD} if format == "verl" else {}
