"""What stands between the commands and the terminal: no text from outside can act on it, whoever prints it.

`guarded` puts standard output and standard error behind `Guard`, so that no call of `print` can forget it.
`cli.screen` does the same for rich, which writes escape sequences of its own.
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
"""One character each, so that columns stay aligned."""
# GitHub reads "::" where a line starts after blanks, and "##[" anywhere; others read "##vso[" and "##teamcity[".
_COMMAND = re.compile(r"(?m)^(?P<blanks>[^\S\n]*:):|(?P<hashes>##[A-Za-z]{0,16})\[")
_TAIL = re.compile(r"(?:^|\n)(?P<start>[^\S\n]*:?)\Z|(?P<hashes>#{1,2}[A-Za-z]{0,16})\Z")
_CURSOR_UP = re.compile(r"(?:\x1b\[A)+")


def without_commands(text: str) -> str:
    """The text with what a CI system takes for a command escaped: "::" at a line's start, "##[" anywhere."""
    return _COMMAND.sub(_broken, text) if "::" in text or "##" in text else text


def _broken(match: re.Match[str]) -> str:
    if (blanks := match["blanks"]) is not None:
        return blanks + escaped(":")
    return match["hashes"] + escaped("[")


def say(line: object, *, stderr: bool = False) -> None:
    """Prints one line; line breaks in it, of a label or an error, become blanks."""
    print(one_line(line), file=sys.stderr if stderr else sys.stdout, flush=stderr)


def say_command(line: str) -> None:
    """Prints a command for a CI system on standard output; its caller has made the texts in it harmless."""
    sys.stdout.flush()
    stream = sys.stdout.unguarded if isinstance(sys.stdout, Guard) else sys.stdout
    stream.write(line + "\n")


class Guard:
    """A text stream that writes no control character and no CI command. All else is the stream's own.

    Args:
        stream: where it writes.
        redacted: whether secrets are taken out, as of error messages.
    """

    def __init__(self, stream: TextIO, redacted: bool = False) -> None:
        self._redacted = redacted
        self.unguarded = stream
        """For rich and for `say_command`, whose escape sequences and commands are meant."""
        self._tail = ""

    def write(self, text: str) -> int:
        """Writes the text, neutral; returns the number of characters that were given."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self.unguarded.write(self._safe(_without_secrets(text) if self._redacted else text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def _safe(self, text: str) -> str:
        begin = ""
        # Progress bars of other libraries: each drawing starts with a carriage return.
        if text.startswith("\r"):
            text = text[1:]
            if self._tail:
                begin = "\r" if self.unguarded.isatty() else "\n"
            self._tail = ""
        elif self.unguarded.isatty() and _CURSOR_UP.fullmatch(text):
            return text
        text = without_commands(neutral(text))
        if self._tail not in ("", "."):
            # What began in the write before may end here: ":" and ":", or "##" and "[".
            text = without_commands(self._tail + text)[len(self._tail) :]
        self._tail = self._end_of(text)
        return begin + text

    def _end_of(self, text: str) -> str:
        """The begin of a command at the end of what was written; "" at a line's start, "." elsewhere."""
        match = _TAIL.search(text if "\n" in text or self._tail == "." else self._tail + text)
        if match is None or (match["start"] is None and match["hashes"] is None):
            return "."
        return match["hashes"] or match["start"] or ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Puts standard output and standard error behind a `Guard`, for the time of a command.

    What a stream's encoding cannot hold is written as an escape instead of raising an error.
    """
    codecs.register_error("ssl4rl_bench.escape", _unencodable)
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(AttributeError, ValueError):
            cast(Any, stream).reconfigure(errors="ssl4rl_bench.escape")
    sys.stdout, sys.stderr = cast(TextIO, Guard(before[0])), cast(TextIO, Guard(before[1], redacted=True))
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
