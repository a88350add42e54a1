"""Runs a command once and shows what terminals of several widths would show."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from commands import run

from ssl4rl_bench.cli.screen import Screen

WIDTHS = (60, 80, 110, 200)


class _Terminal(io.StringIO):
    """Collects what is written to it, also by writers that ask for a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class _Terminals(_Terminal):
    """Writes to several terminals."""

    def __init__(self, terminals: Sequence[_Terminal]) -> None:
        super().__init__()
        self._terminals = terminals

    def write(self, text: str) -> int:
        for terminal in self._terminals:
            terminal.write(text)
        return len(text)


@contextmanager
def terminals() -> Iterator[list[_Terminal]]:
    """Yields a terminal without colours for each of `WIDTHS`; a screen made meanwhile prints on all of them.

    Bars of progress are not shown, as they tell the time; `test_progress` has them.
    """
    made = [_Terminal() for _ in WIDTHS]

    class Screens(Screen):
        def __init__(self, *, stderr: bool = False, **options: Any) -> None:
            first, *others = (
                options | {"file": terminal, "width": width, "height": 50, "color_system": None}
                for terminal, width in zip(made, WIDTHS, strict=True)
            )
            super().__init__(**first)
            self._others = [Screen(**how) for how in others]

        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*objects, **options)
            for other in self._others:
                other.print(*objects, **options)

    silent = mock.patch.multiple(
        "ssl4rl_bench.cli.progress.Bars", __enter__=lambda self: self, show=mock.Mock()
    )
    env = {"TERM": "dumb", "COLUMNS": "80", "GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}
    screens = mock.patch("ssl4rl_bench.cli.screen.Screen", Screens)
    with screens, silent, mock.patch.dict("os.environ", env):
        yield made


def shown(*args: str | Path) -> tuple[int, list[str]]:
    """Runs a command whose two standard streams go to terminals.

    Returns:
        The exit code, and the text on the terminal of each width in `WIDTHS`.
    """
    with terminals() as made:
        stream = _Terminals(made)
        code = run(args, stream, stream, {})
    return code, [terminal.getvalue() for terminal in made]
