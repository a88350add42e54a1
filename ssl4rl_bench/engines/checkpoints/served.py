"""What a checkpoint's folder says of its prompts: the chat template and the pixel limits that are in force.

Both follow from the weights fingerprint, so a run records them beside it and does not hash them. Two checkpoints of
one training differ in their fingerprints but usually agree here, which is what a comparison has to know. Reads files
only; needs neither torch nor transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.engines.checkpoints.files import read_json

_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
"""Where an image processor's settings stand, in the order in which transformers looks."""
TEMPLATE_FILES = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
"""JSON files that may hold a chat template, in the order in which transformers looks."""
_DIGITS = 16
"""Hex digits of a template's digest."""


def served(folder: Path) -> dict[str, Any]:
    """What is known of a checkpoint's prompts.

    Keys: `chat_template` (16 hex digits of a sha256), `min_pixels` and `max_pixels` (of an image). A key without a
    value in the files is absent; files that cannot be read are left to the engine, which refuses them.
    """
    template = chat_template(folder)
    return ({} if template is None else {"chat_template": template_digest(template)}) | _pixels(folder)


def chat_template(folder: Path) -> str | None:
    """The template that transformers applies: its own file, the processor's, else the tokenizer's."""
    try:
        return (folder / "chat_template.jinja").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    for name in TEMPLATE_FILES:
        if (text := _default(_object(folder / name).get("chat_template"))) is not None:
            return text
    return None


def template_digest(text: str) -> str:
    """The same for texts that Jinja renders alike: line ends, and one line end at the end, do not count."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    return sha256_hex(plain.encode("utf-8", "surrogatepass"))[:_DIGITS]


def _default(value: object) -> str | None:
    """A template, or the default one of several: {name: template} or [{"name", "template"}]."""
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
        if found := {key: value for key, value in limits.items() if type(value) is int}:
            return found
    return {}


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ModelError:
        return {}
