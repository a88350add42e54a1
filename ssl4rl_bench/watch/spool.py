"""Reads a spool file, to which a trainer or a script beside it appends one line per checkpoint: STEP<TAB>FOLDER.

A relative folder is relative to the file. Blank lines and lines that begin with "#" are skipped. A last line without
a line feed is still being written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"(?P<step>[0-9]{1,15})\t(?P<folder>[^\0]*[^\0\s][^\0]*)")


@dataclass(frozen=True, slots=True)
class SpoolLine:
    """A line that names a checkpoint."""

    number: int
    """The number of the line, from 1."""
    step: int
    folder: str


def parse_spool(data: bytes) -> tuple[list[SpoolLine], dict[int, str]]:
    """Parses the content of a spool file.

    Returns:
        The lines in their order, without repetitions of the same step and folder; and the numbers of lines that
        cannot be read, with the reason.
    """
    lines: dict[tuple[int, str], SpoolLine] = {}
    bad: dict[int, str] = {}
    for number, raw in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            text = raw.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError:
            bad[number] = "it is not UTF-8"
            continue
        if not text.strip() or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            bad[number] = "it is not a step, a tab and a folder"
            continue
        key = int(match["step"]), match["folder"]
        lines.setdefault(key, SpoolLine(number, *key))
    return list(lines.values()), bad
