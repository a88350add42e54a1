"""Splits a reply at its `<think>` and `<answer>` tags, in one pass over at most `LIMIT` characters."""

from __future__ import annotations

import re
from dataclasses import dataclass

LIMIT = 16_384
"""The number of characters read: a quarter from the start of a longer reply, the rest from its end."""

CROWD = 256
"""A reply with more "<" than this is assumed to be a loop: only a quarter of `LIMIT` is read."""

GAP = "\n…\n"
"""Replaces the middle part that was left out."""

_TAG = re.compile(r"< ?(/?) ?(think|answer) ?>", re.IGNORECASE | re.ASCII)

_JOINED = re.compile(r"[\s,;/|]*(?:or|and|或者?|和)?\s*", re.IGNORECASE)
"""The text between two answers of which neither retracts the other."""


@dataclass(frozen=True, slots=True)
class ReplyParts:
    """The parts of a reply."""

    tag: str | None
    """The content of the last well-formed `<answer>` outside `<think>`, unmodified."""
    ordered: bool
    """Whether no thinking begins after `tag`."""
    open_tag: str | None
    """The text after an `<answer>` that is never closed."""
    visible: str
    """All text outside `<think>`."""
    thought: str
    """The last part of the thinking if nothing follows it, otherwise empty."""
    rivals: bool = False
    """Whether another `<answer>` with different content precedes `tag` directly or with "or" between them."""
    before_tag: str = ""
    """Up to 100 characters before `tag`."""


def clip(text: str, limit: int = LIMIT, gap: str = GAP) -> str:
    """Returns the text, or its head and tail if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return text[:head] + gap + text[head - limit :]


def split(text: str) -> ReplyParts:
    """Splits a reply of at most `LIMIT` characters into its parts.

    Tags do not nest: an opening tag inside a tag of the same kind restarts it.

    A `</think>` before any `<think>` closes thinking that began with the reply, because chat templates
    often write the opening tag into the prompt.
    """
    crowd = text.count("<")
    if crowd > CROWD:
        text = clip(text, LIMIT // 4)
    elif not crowd:
        return ReplyParts(None, True, None, text, "")
    tag: str | None = None
    ordered = True
    open_tag: str | None = None
    opened: int | None = None
    visible: list[str] = []
    thought = ""
    thinking = seen = rivals = False
    start = ended = opens = tag_start = 0
    for match in _TAG.finditer(text):
        closes, name = match[1], match[2]
        if name[0] in "tT":
            if not closes and not thinking:
                visible.append(text[start : match.start()])
                start, thinking, ordered, opened = match.end(), True, False, None
            elif closes and (thinking or not seen):
                if not seen:
                    tag = open_tag = opened = None
                thought = text[start : match.start()]
                start, thinking = match.end(), False
            seen = True
        elif thinking:
            continue
        elif not closes:
            if opened is not None:
                open_tag = text[opened : match.start()]
            opened, opens = match.end(), match.start()
        elif opened is not None:
            content = text[opened : match.start()]
            if tag is not None and _JOINED.fullmatch(text, ended, opens):
                rivals = rivals or tag.strip() != content.strip()
            else:
                rivals = False
            tag, ordered, opened, open_tag = content, True, None, None
            ended, tag_start = match.end(), opens
    rest = text[start:]
    if thinking:
        thought = rest
    else:
        visible.append(rest)
        if rest.strip():
            thought = ""
    if opened is not None and text[opened:].strip():
        open_tag = text[opened:]
    before = text[max(0, tag_start - 100) : tag_start]
    return ReplyParts(tag, ordered, open_tag, "\n".join(visible), thought, rivals, before)


def closing_tag(thought: str) -> str | None:
    """Returns the content of the `<answer>` at the end of a thinking part, or None."""
    end = None
    for match in reversed(list(_TAG.finditer(thought))):
        if match[2][0] in "tT":
            continue
        if end is not None:
            return None if match[1] else thought[match.end() : end]
        if not match[1] or thought[match.end() :].strip():
            return None
        end = match.start()
    return None


_EXAMPLE = re.compile(
    r"\b(?:please|must|should|respond|reply|write|give|told|asked|use|instructed)\b[^.\n]{0,60}"
    r"\b(?:form|format|template|style|like|as|such as|e\.g\.,?|for example,?)[\s:\"'`“]{0,4}\Z",
    re.IGNORECASE,
)
"""The text before a tag that only shows the form of an answer."""


_FORM_ENDS = (
    "form",
    "format",
    "template",
    "style",
    "like",
    "as",
    "e.g",
    "e.g.",
    "e.g.,",
    "example",
    "example,",
)


def shows_form(parts: ReplyParts) -> bool:
    """Checks whether the tag of a reply only shows the required form of an answer."""
    before = parts.before_tag
    if before.isascii() and not before.rstrip(" \t\n\r\v\f\x1c\x1d\x1e\x1f:\"'`").lower().endswith(
        _FORM_ENDS
    ):
        return False  # faster than the search
    return _EXAMPLE.search(parts.before_tag) is not None
