"""Encodes a reply's state in its text, since lmms-eval passes on nothing but the text."""

from __future__ import annotations

from ssl4rl_bench.core.types import Completion, SampleRecord

CUT_OFF = "[SSL4RL_REPLY_CUT_OFF]"
"""Appended to a reply that hit the token limit if model and task are this project's; parsed more strictly."""
NO_CONTENT = "[SSL4RL_REASONING_AND_NO_REPLY]"
"""Replaces a reply to a task of this project that has reasoning and no text."""
FAILED = "[LMMS_EVAL_REQUEST_FAILED"
"""The start of lmms-eval's text for a failed request."""


def completion(text: str) -> Completion:
    """Decodes the text that lmms-eval passes to a task. Other models' replies are assumed to be complete."""
    if text.startswith(FAILED):
        return Completion(text="", finish_reason="error", error=text)
    if text in (NO_CONTENT, NO_CONTENT + CUT_OFF):
        cut = text.endswith(CUT_OFF)
        return Completion(text="", finish_reason="length" if cut else "stop", reasoning=NO_CONTENT)
    complete = text.removesuffix(CUT_OFF)
    return Completion(text=complete, finish_reason="stop" if complete == text else "length")


def reply_text(record: SampleRecord) -> str:
    """Encodes a reply to a task of this project, so that `completion` decodes its state.

    A failed request has lmms-eval's mark and its error. This project's model in lmms-eval never returns one, since it
    refuses to score a run with failed requests.
    """
    if record.finish_reason == "error":
        return f"{FAILED}] {record.error or ''}"
    text = NO_CONTENT if record.completion.has_no_content else record.text
    return text + CUT_OFF if record.finish_reason == "length" else text
