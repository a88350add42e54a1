"""What several commands share: consoles, and names in options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 110
"""Columns where the output is no terminal."""


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal; PLAIN_WIDTH where there is none. It reads no markup."""
    from ssl4rl_bench.cli.screen import Screen

    made = Screen(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Screen(stderr=stderr, width=PLAIN_WIDTH)
    return made


def split_names(values: Iterable[str]) -> list[str]:
    """Values of a repeatable option that also takes commas, each once, in order."""
    names = (name.strip() for value in values for name in value.split(","))
    return list(dict.fromkeys(name for name in names if name))
