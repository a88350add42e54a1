"""Reads the settings of prompts from a checkpoint's folder: the chat template and the pixel limits in effect.

Both are covered by the weights fingerprint, so a run records them in addition and does not hash them. Two
checkpoints of one training run differ in their fingerprints but usually agree in these settings, which a
comparison checks. Only reads files; needs neither torch nor transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.engines.checkpoints.files import read_json

_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
"""The files that may hold an image processor's settings, in the order in which transformers reads them."""
TEMPLATE_FILES = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
"""The JSON files that may hold a chat template, in the order in which transformers reads them."""
_DIGITS = 16
"""The number of hex digits of a template's digest."""


def served(folder: Path) -> dict[str, Any]:
    """Returns the settings of a checkpoint's prompts.

    Keys: `chat_template` (16 hex digits of a sha256), `min_pixels` and `max_pixels` (per image). Keys without
    a value in the files are absent. Unreadable files are ignored here; the engine refuses them.
    """
    template = chat_template(folder)
    return ({} if template is None else {"chat_template": template_digest(template)}) | _pixels(folder)


def chat_template(folder: Path) -> str | None:
    """Returns the template that transformers applies: its own file, else the processor's or tokenizer's."""
    try:
        return (folder / "chat_template.jinja").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    for name in TEMPLATE_FILES:
        if (text := _default(_object(folder / name).get("chat_template"))) is not None:
            return text
    return None


def template_digest(text: str) -> str:
    """Returns a template's digest, which ignores line-ending styles and one final newline, as Jinja does."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    return sha256_hex(plain.encode("utf-8", "surrogatepass"))[:_DIGITS]


def _default(value: object) -> str | None:
    """Returns a template, or the default one of several: {name: template} or [{"name", "template"}]."""
    if isinstance(value, list):
        value = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
    if isinstance(value, dict):
        value = value.get("default")
    return value if isinstance(value, str) else None


def _pixels(folder: Path) -> dict[str, int]:
    for name in _PROCESSORS:
        values = _object(folder / name)
        values = inner if isinstance(inner := values.get("image_processor"), dict) else values
        size = values.get("size")
        size = size if isinstance(size, dict) else {}
        low = values.get("min_pixels", size.get("shortest_edge"))
        high = values.get("max_pixels", size.get("longest_edge"))
        limits = {"min_pixels": low, "max_pixels": high}
        if known := {key: value for key, value in limits.items() if type(value) is int}:
            return known
    return {}


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ModelError:
        return {}
