"""MMBench's rows as the TSV that VLMEvalKit reads."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterable
from pathlib import Path

from ssl4rl_bench.errors import StoreError
from ssl4rl_bench.mmbench_rows import Row


def export_tsv(task_rows: Iterable[Row], path: Path) -> int:
    """Writes rows (`MMBenchTask.rows`) so that VLMEvalKit, and this project's reader, get the same back.

    An image is written once, as base64; later rows with the same image refer to the index of that row.
    Missing options and hints are empty. The file appears whole or not at all.

    Returns:
        The number of rows written.

    Raises:
        StoreError: if the file cannot be written.
    """
    rows = list(task_rows)
    letters = sorted({letter for row in rows for letter in row.choices} | set("ABCD"))
    holder: dict[str, int] = {}
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            # All quoted: the writer would leave a lone carriage return bare, and readers end a line there.
            writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writerow(
                ["index", "question", "hint", *letters, "answer", "category", "image", "l2-category", "split"]
            )
            for row in rows:
                index = holder.setdefault(row.image.sha256, row.index)
                image = base64.b64encode(row.image.data).decode() if index == row.index else str(index)
                options = [row.choices.get(letter, "") for letter in letters]
                writer.writerow(
                    [
                        row.index,
                        row.question,
                        row.hint,
                        *options,
                        row.answer,
                        row.category,
                        image,
                        row.l2,
                        row.split,
                    ]
                )
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written ({error.strerror}): check the folder and the disk."
        ) from None
    return len(rows)
