"""Writes model cards into a checkpoint's folder: README.md with YAML metadata, and `.eval_results/`.

Text between two marks (`<!-- ssl4rl:evaluation -->` and `<!-- /ssl4rl:evaluation -->`) is generated. The rest
is written by people and stays unchanged when the card is written again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting, write_bytes
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.model_card.card import Card, load_card
from ssl4rl_bench.reports.model_card.metadata import dump, eval_results, metadata, parse_metadata
from ssl4rl_bench.reports.model_card.sections import SECTIONS
from ssl4rl_bench.reports.text.cells import escape
from ssl4rl_bench.run.rundir import RunDir

README = "README.md"
RESULTS = ".eval_results"
"""The folder from which the Hub reads evaluation results."""

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def write_card(checkpoint: Path, runs: Sequence[RunDir] = (), out: Path | None = None) -> list[Path]:
    """Writes a checkpoint's card, or updates an existing one, and returns the files written.

    With `runs`, the evaluation section and `model-index` show only these runs; without, they are not changed.
    A card without any marks was written by a person: with `runs`, it only gets an evaluation section at its
    end; without, it is not changed. Of the sections that a person has deleted, only the evaluation is written
    again, and only with `runs`.

    Args:
        out: the folder for the card, which is made if necessary; by default the checkpoint's folder.

    Raises:
        ModelError, StoreError, UsageError: as for `card.load_card`; StoreError also if the disk is full.
        DataError: the existing card is not a text file, or its metadata or marks are damaged.
    """
    card = load_card(checkpoint, runs)
    folder = out or checkpoint
    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
    place = folder / README
    old = _read(place)
    written = []
    if old is None or runs or _mark("").search(old):
        newline = "\r\n" if old and "\r\n" in old else "\n"
        text = render_card(card, None if old is None else old.replace("\r\n", "\n"), place)
        write_bytes(place, text.replace("\n", newline).encode())
        written.append(place)
    for name, entries in eval_results(card).items():
        with reporting(folder):
            (folder / RESULTS).mkdir(exist_ok=True)
        path = folder / RESULTS / name
        write_bytes(path, dump(entries).encode())
        written.append(path)
    return written


def render_card(card: Card, old: str | None, place: Path) -> str:
    r"""Returns the card's text; `old` is the existing text, with "\n" as line ends.

    Raises:
        DataError: as for `write_card`.
    """
    if old is None:
        body = f"# {escape(clean(card.name))}\n\n" + "\n\n".join(
            _section(name, text) for name, write in SECTIONS.items() if (text := write(card))
        )
        return f"---\n{dump(metadata(card, {}))}---\n\n{body}\n"
    front = _FRONT.match(old)
    body = old[front.end() :] if front else old
    for name, write in SECTIONS.items():
        marks = list(_mark(name).finditer(body))
        if not marks:
            if name == "evaluation" and card.runs:
                body = f"{body.rstrip()}\n\n{_section(name, write(card))}\n"
            continue
        if [mark[1] for mark in marks] != ["", "/"]:
            raise DataError(
                f"{place}: the marks of section {name} are not one <!-- ssl4rl:{name} --> and, after it, one "
                f"<!-- /ssl4rl:{name} -->: correct or delete them."
            )
        if name != "evaluation" or card.runs:
            body = body[: marks[0].start()] + _section(name, write(card)) + body[marks[1].end() :]
    data = metadata(card, parse_metadata(front[1], place) if front else {})
    return f"---\n{dump(data)}---\n{'' if front else chr(10)}{body}"


def _section(name: str, text: str) -> str:
    return f"<!-- ssl4rl:{name} -->\n{text}\n<!-- /ssl4rl:{name} -->"


def _mark(name: str) -> re.Pattern[str]:
    """Returns a pattern of both marks of a section, or of any section if the name is empty."""
    return re.compile(rf"<!-- (/?)ssl4rl:{name or '[a-z]+'} -->")


def _read(path: Path) -> str | None:
    """Returns the text of a card, or None if there is no card."""
    if not path.exists():
        return None
    try:
        with reporting(path, "read"):
            return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text: correct or delete it.") from None
