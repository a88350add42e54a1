"""The kinds of causes, the settings that belong to each, and the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from ssl4rl_bench.engines.base import EngineOptions

WEIGHTS, SPLIT, IMAGES, PROMPT, TEMPLATE, PIXELS = (
    "weights",
    "split",
    "images",
    "prompt",
    "chat_template",
    "pixels",
)
EXTRACTOR, AGGREGATION = "extractor", "aggregation"
TRUNCATION, REPETITION, UNREAD = "truncation", "repetition", "unread"
DECODING, ENGINE = "decoding", "engine"

KINDS: Mapping[str, str] = {
    WEIGHTS: "another checkpoint",
    SPLIT: "other questions: split, edition or number",
    IMAGES: "images blanked, shuffled or left out",
    PROMPT: "another prompt style",
    TEMPLATE: "another chat template",
    PIXELS: "images shown at another resolution",
    EXTRACTOR: "replies read by another extractor",
    AGGREGATION: "scores combined in another way",
    REPETITION: "replies that repeat themselves up to the token limit",
    TRUNCATION: "replies cut off at the token limit",
    UNREAD: "replies without an answer that can be read",
    DECODING: "other sampling",
    ENGINE: "another engine, version of it, or number format",
}
"""The kinds of causes with their descriptions.

The order is that in which differences of equal rank are listed. It is a judgement of this project, not a measured
ranking: first what makes the numbers different quantities (checkpoint, questions), then what changes the input of
the model, from more to less of it, then how replies are read and counted, how long they may be, how they are
sampled, and last the software, with which greedy replies change only where two tokens are nearly equally likely.
"""
ORDER: Mapping[str, int] = {kind: index for index, kind in enumerate(KINDS)}

INCOMPARABLE = (WEIGHTS, SPLIT)
"""Kinds that make the numbers different quantities. If their effect cannot be computed, they come first."""
LIKELY = (REPETITION, TRUNCATION, EXTRACTOR, UNREAD, AGGREGATION)
"""The order in which readings that explain a published number equally well are preferred: those that are seen in
the run's replies come before guesses about the other side. A judgement of this project, too."""

_OF_SETTING: Mapping[str, str] = {
    "weights": WEIGHTS,
    "scheme": WEIGHTS,
    "task": SPLIT,
    "version": SPLIT,
    "questions": SPLIT,
    "image": IMAGES,
    "prompt": PROMPT,
    "chat_template": TEMPLATE,
    "min_pixels": PIXELS,
    "max_pixels": PIXELS,
    "extractor": EXTRACTOR,
    "aggregation": AGGREGATION,
    "max_tokens": TRUNCATION,
    "temperature": DECODING,
    "top_p": DECODING,
    "top_k": DECODING,
    "repeats": DECODING,
    "repetition_penalty": DECODING,
    "engine": ENGINE,
}
SHOWN_ONLY = (
    "seed",
    "prompt tokens",
    "visual tokens",
    "unread replies",
    "truncated replies",
    "repeating replies",
)
"""Lines that are shown and are not settings: a seed is chance, and the others describe replies."""
STATED: tuple[str, ...] = tuple(
    name for name in _OF_SETTING if name not in ("weights", "scheme", "task", "questions")
)
"""The names of settings that a published table can state."""


def kind_of(name: str) -> str | None:
    """Returns the kind of cause that a setting belongs to; None for a line that is only shown."""
    if name in SHOWN_ONLY:
        return None
    if name in _OF_SETTING:
        return _OF_SETTING[name]
    options = {field.name for field in fields(EngineOptions)}
    return ENGINE if name in options or name.startswith("vllm.") else DECODING
