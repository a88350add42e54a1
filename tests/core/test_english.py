"""Docstrings, messages and names are plain technical English: phrases of a former private dialect stay out.

The lists are not a grammar. They contain what readers who did not know the code could not understand, with
replacements.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
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
MESSAGE_DIALECT = {
    r"\bstands? (?:twice|beside|in)\b": "'appears twice', 'next to'",
    r"\b(?:is|are) there (?:already|twice)\b|\b(?:is|are) not there\b": "'already exists', 'is missing'",
    r"\banew\b": "'again'",
    r"\b(?:goes|going|go) on (?:from|where|with)\b|--resume goes on\b": "'continues'",
    r"(?<![Tt]here )\bis no \w|\band is none\b": "'is not a'",
    r"\bbeside\b": "'next to', 'in addition to'",
    r"\bfor want of\b|\ball the same\b|\bfor ever\b": "'for lack of', 'nevertheless', 'forever'",
    r"\bof (?:its|their) own\b": "'separate'",
    r"\bsays? nothing of\b|\bnothing is said of\b": "'says nothing about'",
    r"\bis of (?:a|an|another|scheme|the)\b": "'belongs to', 'uses'",
    r"\bin a line\b|\bbroke off\b|\ball alike\b|\bmade up\b": "'per line', 'ended early', 'all equal'",
}
"""More patterns, for messages, help and page texts."""
DIALECT_NAMES = frozenset(
    {"at", "each", "found", "kept", "lot", "own", "said", "tells", "there", "told", "whole"},
)
"""Names that say nothing of what they hold. Write `index`, `run`, `match`, `rows`, `text` and the like."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def docstrings(path: Path) -> list[tuple[int, str]]:
    """Docstrings of a file and the strings under its fields and constants, each with its line, on one line."""
    strings = (node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Expr))
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


@cache
def messages(path: Path) -> list[tuple[int, str]]:
    """Strings of three or more words that are not docstrings, each with its line; `{}` stands for a value."""
    nodes = [*ast.walk(parsed(path))]
    skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node) if part is not node}
    out = []
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        else:
            continue
        if len(re.findall(r"[a-z]{2,}", text)) >= 3:
            out.append((node.lineno, " ".join(text.split())))
    return out


NOT_MESSAGES = ("extract", "scenes", "tiny")
"""Folders whose strings are mostly patterns of replies, or texts that models read."""


@pytest.mark.parametrize("pattern", MESSAGE_DIALECT)
def test_no_message_has(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[max(0, match.start() - 30) : match.end() + 30]}"
        for path in SOURCES
        if path.parent.name not in NOT_MESSAGES and "benchmarks" not in path.parts
        for line, text in messages(path)
        for match in re.finditer(pattern, text)
    ]
    assert not found, f"write {MESSAGE_DIALECT[pattern]}\n" + "\n".join(found)


def test_no_page_text_has() -> None:
    found = [
        f"{path.name}: {text[max(0, match.start() - 30) : match.end() + 30]}"
        for path in (ROOT / "reports" / "templates").glob("*.j2")
        for text in [re.sub(r"\{[{%#].*?[}%#]\}|<[^>]*>", " ", path.read_text("utf-8"))]
        for pattern in MESSAGE_DIALECT
        for match in re.finditer(pattern, text)
    ]
    assert not found, "\n".join(found)


def test_the_search_sees_messages_and_no_docstrings(tmp_path: Path) -> None:
    lines = (
        '"""It is no docstring of a message."""',
        'raise ValueError(f"{x} is no " "number of the list")',
        'Option(help="Where it stands twice.")',
        'PATTERN = "ab"',
    )
    (tmp_path / "a.py").write_text("\n".join(lines))
    texts = [text for _, text in messages(tmp_path / "a.py")]
    assert texts == ["{} is no number of the list", "Where it stands twice."]
    assert all(any(re.search(pattern, text) for pattern in MESSAGE_DIALECT) for text in texts)


def dialect_names(path: Path) -> list[str]:
    """Variables, parameters, fields, functions and import aliases with a name of `DIALECT_NAMES`."""
    out = []
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.Attribute(attr=name):
                pass
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case ast.alias(name=name, asname=asname):
                name = asname or name.rpartition(".")[2]
            case _:
                continue
        if name in DIALECT_NAMES:
            out.append(f"{path.name}:{getattr(node, 'lineno', 0)}: {name}")
    return out


def test_no_name_is_of_the_dialect() -> None:
    assert not [name for path in SOURCES for name in dialect_names(path)]


def test_the_search_sees_names_of_every_kind(tmp_path: Path) -> None:
    lines = (
        "import os as lot",
        "for each in x: found = 1",
        "def told(own): return [at for at in own]",
        "class A: kept: int",
        "f = lambda whole: whole.there",
        "index = x.index",
    )
    (tmp_path / "a.py").write_text("\n".join(lines))
    names = {name.rpartition(" ")[2] for name in dialect_names(tmp_path / "a.py")}
    assert names == {"lot", "each", "found", "told", "own", "at", "kept", "whole", "there"}


def public_classes(paths: Iterable[Path]) -> dict[str, list[str]]:
    """Where each public class is defined, by its name."""
    out: dict[str, list[str]] = {}
    for path in paths:
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and node.name[0] != "_":
                out.setdefault(node.name, []).append(str(path))
    return out


def test_no_two_public_classes_have_the_same_name(tmp_path: Path) -> None:
    paths = [path for path in SOURCES if "benchmarks" not in path.parts]
    assert not {name: places for name, places in public_classes(paths).items() if len(places) > 1}
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("class Row: ...\nclass _Row: ...")
    assert [*map(len, public_classes(tmp_path.glob("*.py")).values())] == [2]


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
            visit(parsed(path), str(path.relative_to(ROOT)), False)
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
