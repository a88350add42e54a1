"""Makes small data sets in MMBench's schema, as rows and as files."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

LETTERS = "ABCDEFGH"
COLUMNS = ("index", "question", "hint", *"ABCD", "answer", "category", "image", "l2-category", "split")

ABILITIES = (
    ("image_style", "coarse_perception"),
    ("image_scene", "coarse_perception"),
    ("ocr", "finegrained_perception (instance-level)"),
    ("spatial_relationship", "finegrained_perception (cross-instance)"),
    ("function_reasoning", "attribute_reasoning"),
    ("nature_relation", "relation_reasoning"),
    ("future_prediction", "logic_reasoning"),
)
"""Categories with their abilities; all six abilities are among them."""


@cache
def picture(seed: int = 0, format: str = "PNG") -> bytes:
    """Returns a small encoded image, which depends on the seed."""
    out = BytesIO()
    Image.frombytes("RGB", (8, 6), Random(seed).randbytes(8 * 6 * 3)).save(out, format=format)
    return out.getvalue()


def question(
    group: int = 0,
    options: Sequence[str] = ("red", "green", "blue", "none of these"),
    *,
    right: int = 0,
    pinned: bool = False,
    image: Any = None,
    **columns: Any,
) -> list[dict[str, Any]]:
    """Returns all circular copies of a question; with `pinned`, the last option stays last."""
    n = len(options) - pinned
    rows = []
    for roll in range(n):
        order = [(j - roll) % n for j in range(n)] + list(range(n, len(options)))
        texts = {letter: options[at] for letter, at in zip(LETTERS, order, strict=False)}
        rows.append(
            {
                "index": group + roll * 1_000_000,
                "question": f"Question {group}?",
                "hint": "",
                **dict.fromkeys("ABCD", ""),
                **texts,
                "answer": LETTERS[order.index(right)],
                "category": "image_scene",
                "image": picture(group) if image is None else image,
                "l2-category": "coarse_perception",
                "split": "dev",
            }
            | columns
        )
    return rows


def questions(n: int, **columns: Any) -> list[dict[str, Any]]:
    """Returns questions 0 to n - 1, with the main rows first as in the published files."""
    rows = [row for group in range(n) for row in question(group, **columns)]
    return sorted(rows, key=lambda row: int(row["index"]))


def questions_by_ability(n: int) -> list[dict[str, Any]]:
    """Returns `questions(n)`, whose categories are those in `ABILITIES` in turn."""
    return [
        row | dict(zip(("category", "l2-category"), ABILITIES[int(row["index"]) % 10**6 % 7], strict=True))
        for row in questions(n)
    ]


def located(rows: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Returns rows with their locations, as a reader yields them."""
    return [(f"row {number}", row) for number, row in enumerate(rows, start=1)]


def write_tsv(path: Path, rows: Sequence[dict[str, Any]], *, quote_all: bool = False) -> Path:
    """Writes VLMEvalKit's layout (base64 images); `quote_all` also quotes the fields that do not need it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, list(rows[0]), delimiter="\t", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
        )
        writer.writeheader()
        for row in rows:
            image = row["image"]
            text = base64.b64encode(image).decode() if isinstance(image, bytes) else image
            writer.writerow(row | {"image": text})
    return path


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], *, base64_images: bool = False) -> Path:
    """Writes lmms-lab's layout (image as a struct, missing texts null), or HuggingFaceM4's (base64 text)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = []
    for row in rows:
        values = {key: value if value != "" else None for key, value in row.items()}
        image = row["image"]
        if isinstance(image, bytes):
            values["image"] = (
                base64.b64encode(image).decode()
                if base64_images
                else {"bytes": image, "path": f"{row['index']}.jpg"}
            )
        table.append(values)
    pq.write_table(pa.Table.from_pylist(table), path)
    return path
