"""Removes what is not text from a reply: the tokens of a chat template, and invisible characters."""

from __future__ import annotations

import re

_SPACES = "\t\u00a0\u1680\u202f\u205f\u3000\u3164" + "".join(map(chr, range(0x2000, 0x200B)))
_LINES = "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_INVISIBLE = (
    "\u00ad\u115f\u1160\u180e\ufe0e\ufe0f\ufeff"
    + "".join(map(chr, range(0x200B, 0x2010)))
    + "".join(map(chr, range(0x202A, 0x202F)))
    + "".join(map(chr, range(0x2060, 0x2070)))
)
_REPLACED = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_LINES, "\n"),
    **dict.fromkeys(_INVISIBLE, ""),
    "\uff0e": ".",  # the full-width full stop, as in "B．蓝色"
    "\uff61": "。",
}
_TABLE = str.maketrans(_REPLACED)
_BETWEEN = re.compile("(?<=[A-Za-z])[\u200b\u2060\ufeff]+(?=[A-Z](?![A-Za-z]))")
"""Invisible characters in the place of a blank: "is\u200bB"."""
_END = re.compile(
    r"<[|｜][ _▁]?(?:im_end|endoftext|eot_id|eom_id|end_of_text|end_of_turn|end[_▁]of[_▁]sentence|end"
    r"|eos)[ _▁]?[|｜]>"
    r"|</s>|<(?:eos|end_of_turn|end_of_utterance)>",
    re.IGNORECASE,
)
"""Tokens that end a turn. The text after one belongs to another turn."""
_MARK = re.compile(r"<[|｜][^<>|｜\n]{1,40}[|｜]>|</?(?:s|bos|pad|unk)>", re.IGNORECASE)

_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
"""Struck-through text in Markdown."""


def clean_reply(text: str) -> str:
    """Removes special tokens and invisible characters; every kind of blank becomes a space or a newline.

    A token that ends a turn ends the reply, unless there is no text before it. Struck-through text is
    removed.
    """
    if "<" in text:
        start = 0
        for match in _END.finditer(text):
            if text[start : match.start()].strip():
                text = text[: match.start()]
                break
            start = match.end()
        text = _MARK.sub("", text)
    if "~~" in text:
        text = _STRUCK.sub(" ", text)
    if not text.isascii() or "\t" in text or "\r" in text or "\v" in text or "\f" in text:
        text = _BETWEEN.sub(" ", text.replace("\r\n", "\n"))
        present = [char for char in _REPLACED if char in text]
        if len(present) > 8:
            return text.translate(_TABLE)  # a call of `replace` per character is faster for a few of them
        for char in present:
            text = text.replace(char, _REPLACED[char])
    return text
