"""The rich console of all commands. It escapes unsafe text and does not interpret text as markup."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from ssl4rl_bench.core.neutral import neutral
from ssl4rl_bench.core.output import GuardedStream, without_commands

_UNBROKEN = re.compile(r"n \d\S*|(?:\[[-+\d.,% ]+\]|\S)+")
"""A word, a number of questions ("n 600"), or an interval with the characters next to it."""


class Screen(Console):
    """A console that applies `neutral` to all texts and interprets markup only if a call sets `markup=True`.

    Args:
        file: the output; by default standard output, or standard error with `stderr`.
        options: options of `rich.console.Console`.
    """

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None, **options: Any) -> None:
        place = file or _unguarded(sys.stderr if stderr else sys.stdout)
        super().__init__(file=place, **({"highlight": False, "emoji": False, "markup": False} | options))

    def sentence(self, text: str, style: str = "") -> None:
        """Prints a text: broken between words on a terminal, and one line elsewhere, so that logs can be searched.

        Further lines are indented as the first. Intervals such as "[+1.00, +2.00]" are not broken.
        """
        if not self.is_terminal:
            self.print(Text(text, style), soft_wrap=True)
            return
        words = text.lstrip(" ")
        self.print(Padding(Sentence(words, style), (0, 0, 0, len(text) - len(words)), expand=False))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yields the segments to print, with texts escaped. All output of rich passes through this method."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if control:
                yield segment
                continue
            if style is not None and style.link:
                style = style.update_link(None)
            yield Segment(without_commands(neutral(text)), style)


class Sentence:
    """A text that is broken between words, and not inside intervals such as "[+1.00, +2.00]"."""

    def __init__(self, text: str, style: str = "") -> None:
        self._text, self._style = text, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        for line in wrapped(self._text, options.max_width):
            yield Text(line, self._style)


def wrapped(text: str, width: int) -> list[str]:
    """Breaks a text into lines between words, and not inside intervals such as "[+1.00, +2.00]"."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in _UNBROKEN.findall(paragraph):
            if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) > width:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _unguarded(stream: IO[str]) -> IO[str]:
    """Returns the unguarded stream for a terminal, as rich may write escape sequences only there."""
    return stream.unguarded if isinstance(stream, GuardedStream) and stream.isatty() else stream
