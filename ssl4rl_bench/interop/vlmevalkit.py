"""Exports MMBench's rows as a TSV file that VLMEvalKit reads.

VLMEvalKit scores rows as circular groups only if the file's name contains "mmbench" or "ccbench"
(`ImageMCQDataset.evaluate`). Under any other name, each copy of a question counts as a separate question.
"""

from __future__ import annotations

import base64
import csv
import re
from collections.abc import Iterable
from pathlib import Path

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.task.mmbench.rows import MMBenchRow

CIRCULAR = ("mmbench", "ccbench")
"""VLMEvalKit scores rows as circular groups if the file's name contains one of these, ignoring case."""
_ITS_OWN = re.compile(
    r"CCBench|MMBench(_CN)?(_V11)?|MMBench_(DEV|TEST)_(EN|CN)(_V11)?|MMBench_dev_(ar|cn|en|pt|ru|tr)"
)
"""Names of VLMEvalKit's own data sets. It downloads a file of such a name again if the digest differs."""


def is_circular(rows: Iterable[MMBenchRow]) -> bool:
    """Whether any question has copies in addition to its main row."""
    return any(row.roll for row in rows)


def file_name(task: str, *, circular: bool) -> str:
    """Returns a file name for a task under which VLMEvalKit scores it as this project does."""
    marked = not circular or any(mark in task.lower() for mark in CIRCULAR)
    return f"{task}.tsv" if marked else f"{task}_mmbench.tsv"


def name_problem(path: Path, *, circular: bool) -> str | None:
    """Explains in a sentence why VLMEvalKit would not score a file of this name as this project does, if so.

    None means that VLMEvalKit reads it as a custom data set and scores it the same way.
    """
    name = path.name.removesuffix(".tsv")
    if name == path.name:
        return f"VLMEvalKit reads NAME.tsv files only: rename {path.name} to {file_name(name, circular=circular)}"
    if _ITS_OWN.fullmatch(name):
        return f"{name} is the name of a data set of VLMEvalKit, which would download it again: choose another name"
    if "openended" in name.lower():
        return f"VLMEvalKit treats {name} as open questions: choose a name without openended"
    if circular and not any(mark in name.lower() for mark in CIRCULAR):
        return (
            "VLMEvalKit scores circular copies as separate questions unless the file's name contains mmbench: "
            f"rename it to {file_name(name, circular=True)}"
        )
    return None


def export_tsv(task_rows: Iterable[MMBenchRow], path: Path) -> int:
    """Writes rows (`MMBenchTask.rows`) so that VLMEvalKit and this project's reader read them back unchanged.

    Each image is written once, as base64; later rows with the same image refer to the index of that row.
    Missing options and hints are empty. The file is written atomically.

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
            # Quote everything: the writer does not quote a lone carriage return, where readers end a line.
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
