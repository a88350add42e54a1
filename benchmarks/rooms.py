"""Counts the "rooms" of the package (files and folders directly in ssl4rl_bench/) and the imports among them.

    python benchmarks/rooms.py [CHECKOUT]

Prints the number of rooms, of floors (the length of the longest chain of imports) and of arrows (pairs of
rooms where one imports the other), then a Mermaid diagram. Imports inside functions count. A forwarding
file, which only re-exports a public name, is not a room.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "ssl4rl_bench"
TOP = ("reports", "tasks", "train")
"""Folders at the top level of a checkout that are part of the package."""
FORWARDING = ("chat", "lmms", "merge_adapter", "repair", "__main__", "__init__")


def modules(root: Path) -> dict[str, Path]:
    """Returns the files of the package's modules that git tracks, by module name."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True)
    by_name = {}
    for name in listed.stdout.split():
        parts = list(Path(name).with_suffix("").parts)
        if parts[0] in TOP:
            parts.insert(0, PACKAGE)
        if parts[0] == PACKAGE:
            by_name[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = root / name
    return by_name


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yields the modules of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else str(node.module)


def arrows(root: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """Returns the rooms, and the pairs of a room and a room that it imports."""
    known = modules(root)
    moved = (root / PACKAGE / "interop" / "lmms").is_dir()
    left_out = FORWARDING if moved else ("__main__", "__init__")

    def room(module: str) -> str:
        return module.split(".")[1] if "." in module else "__init__"

    pairs = {(room(name), room(other)) for name, path in known.items() for other in imported(path, known)}
    rooms = {room(name) for name in known} - set(left_out)
    return rooms, {(a, b) for a, b in pairs if a != b and a in rooms and b in rooms}


def main(root: Path) -> None:
    rooms, pairs = arrows(root)
    below = {room: {b for a, b in pairs if a == room} for room in rooms}

    @cache
    def floor(room: str) -> int:
        return 1 + max((floor(other) for other in below[room]), default=0)

    floors = {room: floor(room) for room in sorted(rooms)}  # circular imports would raise a RecursionError
    print(f"{len(rooms)} rooms, {max(floors.values())} floors, {len(pairs)} arrows")
    print("```mermaid\ngraph TD")
    for level in sorted(set(floors.values()), reverse=True):
        names = [room for room, floor in floors.items() if floor == level]
        print(f"  subgraph floor {level}\n    " + "\n    ".join(f"{room}" for room in names) + "\n  end")
    # The diagram omits an arrow if a longer path connects the same rooms, to remain readable.
    for a, b in sorted(pairs):
        if not any(b in _reach(other, below) for other in below[a] if other != b):
            print(f"  {a} --> {b}")
    print("```")


def _reach(room: str, below: dict[str, set[str]]) -> set[str]:
    return below[room].union(*(_reach(other, below) for other in below[room]))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
