"""Splits a reply at its `<think>` and `<answer>` tags, in one pass over at most `LIMIT` characters."""

from __future__ import annotations

import re
from dataclasses import dataclass

LIMIT = 16_384
"""Characters of a reply that are read; of a longer one, a quarter from its start, the rest from its end."""

CROWD = 256
"""A reply with more "<" than this is no reply but a loop: only a quarter of `LIMIT` is read of it."""

GAP = "\n…\n"
"""Stands for what was left out of the middle."""

_TAG = re.compile(r"< ?(/?) ?(think|answer) ?>", re.IGNORECASE | re.ASCII)

_JOINED = re.compile(r"[\s,;/|]*(?:or|and|或者?|和)?\s*", re.IGNORECASE)
"""Between two answers neither of which takes the other back."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A reply, taken apart."""

    tag: str | None
    """Content of the last well-formed `<answer>` outside `<think>`, as it was written."""
    ordered: bool
    """No thinking begins after `tag`."""
    open_tag: str | None
    """What follows an `<answer>` that is never closed."""
    visible: str
    """All text outside `<think>`."""
    thought: str
    """The last thinking part if nothing follows it, otherwise empty."""
    rivals: bool = False
    """Another `<answer>` with other content stands directly before `tag`, or with "or" between."""
    before_tag: str = ""
    """Up to 100 characters before `tag`."""


def clip(text: str, limit: int = LIMIT, gap: str = GAP) -> str:
    """The text, or its head and tail if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return text[:head] + gap + text[head - limit :]


def split(text: str) -> Parts:
    """Takes a reply of at most `LIMIT` characters apart.

    Tags do not nest: an opening tag inside the same kind of tag starts it afresh.

    A `</think>` before any `<think>` closes thinking that began with the reply, because chat templates
    often write the opening tag into the prompt.
    """
    crowd = text.count("<")
    if crowd > CROWD:
        text = clip(text, LIMIT // 4)
    elif not crowd:
        return Parts(None, True, None, text, "")
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
    return Parts(tag, ordered, open_tag, "\n".join(visible), thought, rivals, before)


def closing_tag(thought: str) -> str | None:
    """Content of the `<answer>` that a thinking part ends in, or None."""
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
"""Before a tag: it only shows the form of an answer."""


def shows_form(parts: Parts) -> bool:
    """Whether the tag of a reply only shows in which form an answer is wanted."""
    return _EXAMPLE.search(parts.before_tag) is not None
