"""Docstrings are plain technical English: phrases of a dialect that once grew in them stay out.

The list is no grammar. It holds what readers who did not know the code could not understand, each with what to write.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("ssl4rl_bench", "reports", "train", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
]
DIALECT = {
    r"^Of (?:the|a|an|all|its)\b": "name the thing: 'The seed of the sampling.'",
    r"^As `": "say what it is or does, then 'see' or 'like'",
    r"\bthe lot\b|\bby lot\b": "'all of them'; 'at random'",
    r"\bbut for\b": "'except'",
    r"\ba \w+ each\b|\bone \w+ each\b|\b\w+ each once\b": "'one line per run', 'without duplicates'",
    r"\b(?:one|a) (?:test|line|file|row|board|seed|value|process|module|prompt) an? \w+": "'one test per category'",
    r"\bthat there (?:is|are) not\b|\bthose that are there\b": "'unknown', 'the existing ones'",
    r"\bfor each in\b|\bfound of\b": "name the items",
    r"\bspeaks? of\b|\bis told\b|\bare told\b|\btold of\b": "'mentions', 'is reported'",
    r"\bSo many\b": "'The number of ...'",
    r"\bbeforehand\b|\bforthwith\b|\bwhither\b": "'before', 'at once'",
}
"""Pattern to what to write instead."""


@cache
def docstrings(path: Path) -> list[tuple[int, str]]:
    """Docstrings of a file and the strings under its fields and constants, each with its line, on one line."""
    strings = (
        node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Expr)
    )
    constants = (
        value for value in strings if isinstance(value, ast.Constant) and isinstance(value.value, str)
    )
    return [(value.lineno, " ".join(str(value.value).split())) for value in constants]


@pytest.mark.parametrize("pattern", DIALECT)
def test_no_docstring_has(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[max(0, match.start() - 30) : match.end() + 30]}"
        for path in SOURCES
        for line, text in docstrings(path)
        for match in re.finditer(pattern, text)
    ]
    assert not found, f"write {DIALECT[pattern]}\n" + "\n".join(found)


def test_the_search_sees_module_function_class_and_field_docstrings(tmp_path: Path) -> None:
    lines = ('"""Of the lot."""', "class A:", '    """Of all."""', "    x: int = 0", '    """So many."""')
    (tmp_path / "a.py").write_text("\n".join(lines))
    assert [text for _, text in docstrings(tmp_path / "a.py")] == ["Of the lot.", "Of all.", "So many."]
    assert re.search(next(iter(DIALECT)), "Of the category.")


DRAWN = ("icons.py", "perception.py", "reasoning.py")
"""Modules of `task/scenes` with one function per picture or leaf, named by it."""


def undocumented() -> Iterator[str]:
    """Public classes and functions without a docstring, unless they override a documented method of that name."""
    documented: set[str] = set()
    missing: list[tuple[str, str]] = []

    def visit(node: ast.AST, place: str, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if (
                isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and child.name[0] != "_"
            ):
                if ast.get_docstring(child):
                    documented.add(child.name)
                else:
                    missing.append((child.name if inside else "", f"{place}:{child.lineno}: {child.name}"))
                if isinstance(child, ast.ClassDef):
                    visit(child, place, True)

    for path in SOURCES:
        if path.name not in DRAWN and "benchmarks" not in path.parts:
            visit(ast.parse(path.read_text("utf-8")), str(path.relative_to(ROOT)), False)
    overrides = documented | {
        "list_commands",
        "get_command",
        "invoke",
        "resolve_command",
        "format_commands",
    }  # click's
    yield from (place for name, place in missing if name not in overrides)


def test_every_public_name_has_a_docstring() -> None:
    assert not [*undocumented()]
