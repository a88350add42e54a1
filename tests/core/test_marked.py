"""No test that `-m` selects is in a module that is left out unread."""

from __future__ import annotations

from pathlib import Path

import pytest
from marked import can_select, marks_in

TESTS = Path(__file__).parents[1]
SOME = "@pytest.mark.slow\ndef test_a(): ...\n@pytest.mark.engine\ndef test_b(): ...\n"
MODULES = {
    "none": "def test_a(): ...\n",
    "some": SOME,
    "all slow": "pytestmark = pytest.mark.slow\n" + SOME,
    "all engine": "pytestmark = [\n    pytest.mark.engine,\n    pytest.mark.skipif(f([1]), reason='x'),\n]\n",
    "param": "CASES = [pytest.param(1, marks=pytest.mark.slow), 2]\n",
}
OTHER_FORMS = (
    "",
    "slow or engine",
    "not (slow and engine)",
    "slow and (engine or not engine)",
    "not not slow",
)


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("not engine and not slow", {"none", "some", "param"}),
        ("slow and not engine", {"some", "all slow", "param"}),
        ("engine", {"some", "all slow", "all engine"}),
        ("slow and engine", {"some", "all slow"}),
        *((other, {*MODULES}) for other in OTHER_FORMS),
    ],
)
def test_modules_that_can_have_such_a_test(expression: str, selected: set[str], tmp_path: Path) -> None:
    for name, text in MODULES.items():
        module = tmp_path / "test_a.py"
        module.write_text(text)
        assert can_select(expression, module) is (name in selected), name


def test_no_module_gets_a_mark_from_another() -> None:
    """Else its own text would not name the mark."""
    helpers = [path for path in TESTS.rglob("*.py") if not path.name.startswith("test_")]
    named = [path.name for path in helpers if marks_in(path.read_text()) & {"slow", "engine"}]
    assert helpers and not named
