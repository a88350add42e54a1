"""Texts that tests compare with files in `tests/data`, which a reviewer can read.

After a change that is meant to change such texts, write them anew and read the difference:

    SSL4RL_RECORD_TEXTS=1 python -m pytest tests/cli tests/reports tests/engines
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

DATA = Path(__file__).parent / "data"


def check(name: str, text: str) -> None:
    """Compares a text with `tests/data/NAME.txt`, or writes that file if SSL4RL_RECORD_TEXTS is 1."""
    path = DATA / f"{name}.txt"
    if os.environ.get("SSL4RL_RECORD_TEXTS") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def check_cases(name: str, cases: Mapping[str, str]) -> None:
    """Compares the texts of several cases, each below its name, as `check` does."""
    check(name, "\n\n".join(f"[{case}]\n{text}" for case, text in cases.items()) + "\n")
