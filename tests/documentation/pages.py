"""Reads the commands and the Python code that the README and the pages of docs/ show.

A block of commands is a fenced block of sh, bash or console, or an indented block that begins with a program's name.
The comment `<!-- exempt: REASON -->` before a block says that CI cannot run it; `REASONS` are those that count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "tasks/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
REASONS = ("GPU", "hub", "hours", "service")
"""Needs a GPU; downloads from a hub; takes hours; needs an index, a server or a cluster."""
PROGRAMS = (
    *(
        "ssl4rl-bench",
        "python",
        "python3",
        "pip",
        "uv",
        "make",
        "bash",
        "accelerate",
        "sbatch",
        "vllm",
        "lmms-eval",
    ),
    *("trl", "GPUS=2", "SSL4RL_RECORD_TEXTS=1"),
)
_TAG = re.compile(r"<!-- exempt: (.*?) -->")
_FENCE = re.compile(r"^```(\w*)$")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    """The number of its first line."""
    language: str
    """"sh" also for bash, console and indented commands."""
    text: str
    reason: str = ""
    """Why CI does not run it; empty if it does."""

    def commands(self) -> list[Command]:
        """Returns the simple commands of the block, without comments; a line that begins otherwise is none."""
        text = re.sub(r"^\$ ", "", self.text, flags=re.MULTILINE).replace("\\\n", " ")
        text = re.sub(r"<<'(\w+)'\n.*?\n\1\n", "\n", text, flags=re.DOTALL)
        lines = (re.sub(r"(^|\s)#(?![^'\"]*['\"]$).*", "", line).strip() for line in text.splitlines())
        parts = (part.strip() for line in lines for part in re.split(r" && ", line))
        return [
            Command(self.page, re.sub(r"\s+", " ", part), self.reason)
            for part in parts
            if part.split(" ")[0] in PROGRAMS
        ]


@dataclass(frozen=True)
class Command:
    """A command of a page, on one line."""

    page: str
    text: str
    reason: str = ""


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """Returns the blocks of a page."""
    return tuple(read_blocks(page, (ROOT / page).read_text("utf-8")))


def read_blocks(page: str, text: str) -> Iterator[Block]:
    """Yields the blocks of a text."""
    lines = [*text.splitlines(), ""]
    start, language, reason = 0, "", ""
    for number, line in enumerate(lines):
        if start:
            if line == "```":
                yield Block(page, start + 1, language, "\n".join(lines[start:number]) + "\n", reason)
                start, reason = 0, ""
        elif match := _FENCE.match(line):
            language = {"bash": "sh", "console": "sh"}.get(match[1], match[1])
            start = number + 1
        elif match := _TAG.fullmatch(line.strip()):
            reason = match[1]
        elif line.startswith("    ") and not (number and lines[number - 1].strip()):
            end = next(i for i in range(number, len(lines)) if not lines[i].startswith("    "))
            if line.split()[0] in PROGRAMS:
                inner = "".join(f"{item[4:]}\n" for item in lines[number:end])
                yield Block(page, number + 1, "sh", inner, reason)
            reason = ""
        elif line.strip():
            reason = ""


def all_blocks(language: str) -> list[Block]:
    """Returns the blocks of all pages in a language."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def all_commands() -> list[Command]:
    """Returns the commands of all pages, in order."""
    return [command for block in all_blocks("sh") for command in block.commands()]
