"""Which test modules can have tests that `-m` selects, read from their text: importing all takes eight seconds."""

from __future__ import annotations

import re
from pathlib import Path

_MARK = re.compile(r"\bmark\.(\w+)")
_OF_ALL = re.compile(r"^pytestmark = (\[[^\]]*|.*)", re.MULTILINE)


def can_select(expression: str, module: Path) -> bool:
    """Returns whether an expression such as "slow and not engine" can select a test of the module.

    True for expressions of other forms.
    """
    terms = [term.split() for term in expression.split(" and ")]
    if not all(re.fullmatch(r"(not )?\w+", " ".join(term)) for term in terms):
        return True
    text = module.read_text(encoding="utf-8")
    of_all = _OF_ALL.search(text)
    required = {term[0] for term in terms if len(term) == 1}
    forbidden = {term[1] for term in terms if len(term) == 2}
    return required <= marks_in(text) and not forbidden & (marks_in(of_all[1]) if of_all else set())


def marks_in(text: str) -> set[str]:
    """Returns the marks that a text names."""
    return set(_MARK.findall(text))
