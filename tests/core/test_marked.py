"""No test that `-m` selects is in a module that is left out unread."""

from __future__ import annotations

from pathlib import Path

import pytest
from marked import marks_in, required_marks

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("expression", "marks"),
    [
        ("", set()),
        ("engine", {"engine"}),
        ("slow and not engine", {"slow"}),
        ("not engine and not slow", set()),
        ("slow and engine", {"slow", "engine"}),
        ("slow or engine", set()),
        ("not (slow and engine)", set()),
        ("slow and (engine or not engine)", set()),
        ("not not slow", set()),
    ],
)
def test_marks_that_a_test_needs(expression: str, marks: set[str]) -> None:
    assert required_marks(expression) == marks


def test_a_module_s_text_names_its_marks(tmp_path: Path) -> None:
    module = tmp_path / "test_a.py"
    module.write_text("pytestmark = [pytest.mark.engine]\nx = pytest.param(1, marks=pytest.mark.slow)\n")
    assert marks_in(module) == {"engine", "slow"}


def test_no_module_gets_a_mark_from_another() -> None:
    """Else its own text would not name the mark."""
    helpers = [path for path in TESTS.rglob("*.py") if not path.name.startswith("test_")]
    assert helpers and not [path.name for path in helpers if marks_in(path) & {"slow", "engine"}]
