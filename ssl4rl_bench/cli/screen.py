"""The rich console of all commands. It escapes unsafe text and does not interpret text as markup."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from ssl4rl_bench.core.neutral import neutral
from ssl4rl_bench.core.output import GuardedStream, without_commands


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

        Further lines are indented as the first.
        """
        if not self.is_terminal:
            self.print(Text(text, style), soft_wrap=True)
            return
        words = text.lstrip(" ")
        self.print(Padding(Text(words, style), (0, 0, 0, len(text) - len(words)), expand=False))

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


def _unguarded(stream: IO[str]) -> IO[str]:
    """Returns the unguarded stream for a terminal, as rich may write escape sequences only there."""
    return stream.unguarded if isinstance(stream, GuardedStream) and stream.isatty() else stream
