"""Protects the terminal and CI systems from text of outside origin, whichever code prints it.

`guarded` wraps standard output and standard error in a `GuardedStream`, so that no call of `print` can bypass it.
`cli.screen` does the same for rich, which writes its own escape sequences.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from ssl4rl_bench.core.neutral import escaped, neutral, one_line

_SUBSTITUTES = {"–": "-", "—": "-", "·": "*", "…": "~", "±": "~", "×": "x", "−": "-", "▲": "^", "▼": "v"}
"""Replacements for characters that the encoding lacks. One character each, so that columns stay aligned."""
# GitHub reads "::" at the start of a line, after blanks, and "##[" anywhere. Others read "##vso[", "##teamcity[".
_COMMAND = re.compile(r"(?m)^(?P<blanks>[^\S\n]*:):|(?P<hashes>##[A-Za-z]{0,16})\[")
_TAIL = re.compile(r"(?:^|\n)(?P<start>[^\S\n]*:?)\Z|(?P<hashes>#{1,2}[A-Za-z]{0,16})\Z")
_CURSOR_UP = re.compile(r"(?:\x1b\[A)+")


def without_commands(text: str) -> str:
    """Escapes what a CI system takes for a command: "::" at the start of a line, "##[" anywhere."""
    return _COMMAND.sub(_broken, text) if "::" in text or "##" in text else text


def _broken(match: re.Match[str]) -> str:
    if (blanks := match["blanks"]) is not None:
        return blanks + escaped(":")
    return match["hashes"] + escaped("[")


def say(line: object, *, stderr: bool = False) -> None:
    """Prints one line. Line breaks inside it, such as those of a label or an error, become blanks."""
    print(one_line(line), file=sys.stderr if stderr else sys.stdout, flush=stderr)


def say_command(line: str) -> None:
    """Prints a command for a CI system on standard output. The caller must have escaped the texts in it."""
    sys.stdout.flush()
    stream = sys.stdout.unguarded if isinstance(sys.stdout, GuardedStream) else sys.stdout
    stream.write(line + "\n")


class GuardedStream:
    """A text stream that writes no control characters and no CI commands.

    All other attributes are those of the wrapped stream.

    Args:
        stream: the stream to write to.
        redacted: whether to remove secrets, which is done on standard error.
    """

    def __init__(self, stream: TextIO, redacted: bool = False) -> None:
        self._redacted = redacted
        self.unguarded = stream
        """The wrapped stream. Rich and `say_command` use it for intended escape sequences and commands."""
        self._tail = ""

    def write(self, text: str) -> int:
        """Writes the text with unsafe characters escaped; returns the length of the original text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self.unguarded.write(self._safe(_without_secrets(text) if self._redacted else text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each text as `write` does."""
        for line in lines:
            self.write(line)

    def _safe(self, text: str) -> str:
        begin = ""
        # Progress bars of other libraries start each update with a carriage return.
        if text.startswith("\r"):
            text = text[1:]
            if self._tail:
                begin = "\r" if self.unguarded.isatty() else "\n"
            self._tail = ""
        elif self.unguarded.isatty() and _CURSOR_UP.fullmatch(text):
            return text
        text = without_commands(neutral(text))
        if self._tail not in ("", "."):
            # A command may be split over two writes: ":" and ":", or "##" and "[".
            text = without_commands(self._tail + text)[len(self._tail) :]
        self._tail = self._end_of(text)
        return begin + text

    def _end_of(self, text: str) -> str:
        """Returns a possible beginning of a command at the end of the output.

        "" stands for the start of a line, "." for any other end.
        """
        match = _TAIL.search(text if "\n" in text or self._tail == "." else self._tail + text)
        if match is None or (match["start"] is None and match["hashes"] is None):
            return "."
        return match["hashes"] or match["start"] or ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Wraps standard output and standard error in a `GuardedStream` while a command runs.

    Characters that the encoding of a stream lacks are escaped instead of raising an error.
    """
    codecs.register_error("ssl4rl_bench.escape", _unencodable)
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(AttributeError, ValueError):
            cast(Any, stream).reconfigure(errors="ssl4rl_bench.escape")
    sys.stdout, sys.stderr = (
        cast(TextIO, GuardedStream(before[0])),
        cast(TextIO, GuardedStream(before[1], redacted=True)),
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _without_secrets(text: str) -> str:
    if text.isspace():
        return text
    from ssl4rl_bench.core.redaction import redact  # compiles its patterns, which --help need not wait for

    return str(redact(text))


def _unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_SUBSTITUTES.get(char) or escaped(char) for char in text), error.end
