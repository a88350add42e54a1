"""Functions that several commands share: creation of consoles, and splitting of names in options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl4rl_bench.cli.screen import Screen

PLAIN_WIDTH = 110
"""The width in columns if the output is not a terminal."""


def console(stderr: bool = False) -> Screen:
    """Creates a console as wide as the terminal, or PLAIN_WIDTH without one. It does not interpret markup."""
    from ssl4rl_bench.cli.screen import Screen

    made = Screen(stderr=stderr)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Screen(stderr=stderr, width=PLAIN_WIDTH)
    return made


def split_names(values: Iterable[str]) -> list[str]:
    """Splits the values of a repeatable option at commas. Removes duplicates and keeps the order."""
    names = (name.strip() for value in values for name in value.split(","))
    return list(dict.fromkeys(name for name in names if name))
