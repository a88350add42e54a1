"""Which test modules can have tests that `-m` selects, read from their text: importing all takes eight seconds."""

from __future__ import annotations

import re
from pathlib import Path


def required_marks(expression: str) -> set[str]:
    """Returns the marks that a test needs for a conjunction such as "slow and not engine"; none for other forms."""
    terms = [term.split() for term in expression.split(" and ")]
    if not all(re.fullmatch(r"(not )?\w+", " ".join(term)) for term in terms):
        return set()
    return {term[0] for term in terms if len(term) == 1}


def marks_in(module: Path) -> set[str]:
    """Returns the marks that a module's text names."""
    return set(re.findall(r"\bmark\.(\w+)", module.read_text(encoding="utf-8")))
