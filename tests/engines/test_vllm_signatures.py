"""The script that compares the signatures of vLLM's versions with what the adapter uses."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vllm_signatures", ROOT / ".ci" / "vllm_signatures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SOURCE = """
from .other import imported

class Options:
    field: int = 0
    def __init__(self, first, *, second=None):
        self.attribute = first
    def method(self, argument): ...

def function(one, /, two, *, three): ...
"""


@pytest.fixture
def used(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, tuple[str, ...]]]:
    table: dict[str, dict[str, tuple[str, ...]]] = {}
    monkeypatch.setattr(script, "USED", table)
    return table


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("imported", ()),
        ("Options", ("field", "first", "second", "attribute", "method")),
        ("Options.method", ("argument",)),
        ("function", ("one", "two", "three")),
    ],
)
def test_what_is_there_is_found(
    script: ModuleType, used: dict[str, dict[str, tuple[str, ...]]], name: str, wanted: tuple[str, ...]
) -> None:
    used["a.py"] = {name: wanted}
    assert list(script.problems({"a.py": SOURCE})) == []


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("gone", (), "a.py has no gone"),
        ("Options.gone", (), "a.py has no Options.gone"),
        ("Options", ("field", "gone", "lost"), "a.py: Options has no gone, lost"),
        ("Options.method", ("other",), "a.py: Options.method has no other"),
        ("function", ("four",), "a.py: function has no four"),
    ],
)
def test_what_is_missing_is_named(
    script: ModuleType,
    used: dict[str, dict[str, tuple[str, ...]]],
    name: str,
    wanted: tuple[str, ...],
    message: str,
) -> None:
    used["a.py"] = {name: wanted}
    assert list(script.problems({"a.py": SOURCE})) == [message]


def test_a_file_may_have_had_several_names(
    script: ModuleType, used: dict[str, dict[str, tuple[str, ...]]]
) -> None:
    used["old.py|new.py"] = {"function": ("two",)}
    assert list(script.problems({"new.py": SOURCE})) == list(script.problems({"old.py": SOURCE})) == []
    assert list(script.problems({})) == ["old.py or new.py is missing"]


def test_only_files_that_are_used_are_read(
    script: ModuleType, used: dict[str, dict[str, tuple[str, ...]]]
) -> None:
    used["old.py|new.py"] = {}
    assert script.read_sources(["new.py", "large.so"], lambda name: name.encode()) == {"new.py": "new.py"}


@pytest.mark.engine
def test_the_installed_version_has_all_that_the_table_names(script: ModuleType) -> None:
    """The adapter works with this version (tests/e2e), so that the table names nothing that is not there."""
    vllm = importlib.util.find_spec("vllm")
    assert vllm is not None and vllm.origin is not None
    folder = Path(vllm.origin).parents[1]
    names = [path.relative_to(folder).as_posix() for path in (folder / "vllm").rglob("*.py")]
    assert list(script.problems(script.read_sources(names, lambda name: (folder / name).read_bytes()))) == []
