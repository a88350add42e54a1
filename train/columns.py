"""Reads what a trainer passes to a reward function: replies as texts or chats, and how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl4rl_bench.core.types import FinishReason

_END_MARKS = ("<|im_end|>", "<|endoftext|>")


def completion_text(completion: Any) -> str:
    """Returns the text of a reply; of a chat, the text of the assistant's last message."""
    if isinstance(completion, str):
        return completion
    messages = [message for message in completion if message.get("role", "assistant") == "assistant"]
    content = messages[-1].get("content") if messages else None
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text") or "" for part in content)


def without_end_marks(text: str) -> str:
    """Removes the end tokens of a reply. White space is kept, since a reward may depend on it."""
    while (stripped := text.rstrip()).endswith(_END_MARKS):
        text = stripped[: stripped.rfind("<|")]
    return text


def finish_reasons(n: int, columns: Mapping[str, Any], end_ids: Sequence[int] = ()) -> list[FinishReason]:
    """Returns how each of n replies ended, from TRL's columns; "stop" if they do not say.

    Args:
        columns: may have `finish_reason`, `truncated` and `completion_ids`.
        end_ids: tokens that end a reply. A reply whose `completion_ids` end in none of them was truncated.
    """
    reasons = columns.get("finish_reason") or [None] * n
    cut = columns.get("truncated") or [False] * n
    if end_ids and "completion_ids" in columns:
        ends = set(end_ids)
        cut = [
            flag or not ids or ids[-1] not in ends
            for flag, ids in zip(cut, columns["completion_ids"], strict=True)
        ]
    return [
        "error" if reason == "error" else "length" if reason == "length" or flag else "stop"
        for reason, flag in zip(reasons, cut, strict=True)
    ]
