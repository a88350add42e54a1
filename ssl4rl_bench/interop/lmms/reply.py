"""A reply on its way through lmms-eval, which passes on its text and nothing else of it."""

from __future__ import annotations

from ssl4rl_bench.core.types import Completion

CUT_OFF = "[SSL4RL_REPLY_CUT_OFF]"
"""Ends a reply that hit the token limit, where our model answers our task. Such a reply is read with more care."""
NO_CONTENT = "[SSL4RL_REASONING_AND_NO_REPLY]"
"""Stands for a reply to our task that has reasoning and no text."""
FAILED = "[LMMS_EVAL_REQUEST_FAILED"
"""lmms-eval's text in place of a reply that never came."""


def completion(text: str) -> Completion:
    """The reply behind what lmms-eval hands to a task. Of another model, it is taken to have ended by itself."""
    if text.startswith(FAILED):
        return Completion(text="", finish_reason="error", error=text)
    if text in (NO_CONTENT, NO_CONTENT + CUT_OFF):
        cut = text.endswith(CUT_OFF)
        return Completion(text="", finish_reason="length" if cut else "stop", reasoning=NO_CONTENT)
    whole = text.removesuffix(CUT_OFF)
    return Completion(text=whole, finish_reason="stop" if whole == text else "length")
