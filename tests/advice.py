"""The options of each command, and a check that advice names only those."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import typer

from ssl4rl_bench.cli import COMMANDS, app

OPTION = re.compile(r"(?<![\w/-])--[a-z][a-z0-9-]*")
QUOTED = re.compile(r"`[^`]*`")


@cache
def options() -> dict[str, set[str]]:
    """Returns the options of each command, hidden ones and those of its parts included."""
    group: Any = typer.main.get_command(app)
    return {name: set(_options(group.get_command(None, name))) for name in COMMANDS}


def _options(command: Any) -> Iterator[str]:
    yield "--help"
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for part in getattr(command, "commands", {}).values():
        yield from _options(part)


def foreign_options(argv: Sequence[str], message: str) -> list[str]:
    """Returns the options in a command's error message that the command does not have.

    Options of other commands may stand in backticks, as in `run --skip-bad`, and those that were typed may be
    repeated.
    """
    if not argv or argv[0] not in COMMANDS or "--" not in message or "No such option" in message:
        return []
    typed = {word.partition("=")[0] for word in argv}
    plain = QUOTED.sub("", message)
    named = [option for option in OPTION.findall(plain) if option not in typed]
    return [option for option in named if option not in options()[argv[0]]]
