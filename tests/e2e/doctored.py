"""A tiny-base that prefers to reply with the placeholders of images and videos."""

from __future__ import annotations

import shutil
from pathlib import Path

from ssl4rl_bench.engines.checkpoints.weights import resolve_model

WORDS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
"""The tokens of pictures in tiny-base's tokenizer."""


def prefers_placeholders(folder: Path, factor: float = 1.0) -> Path:
    """Copies tiny-base to `folder` and gives the tokens of pictures the output weights of common tokens.

    The head is tied to the embedding, which the placeholders' inputs do not use: they are replaced by features.

    Args:
        factor: the logits of the placeholders are those of the common token times this factor.
    """
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    shutil.copytree(resolve_model("tiny-base").path, folder)
    folder.chmod(0o755)
    path = folder / "model.safetensors"
    path.chmod(0o644)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tensors = load_file(path)
    rows = tensors["model.embed_tokens.weight"]
    common = tokenizer.encode("<think>the picture is 0</think><answer>0</answer>")
    for word, token in zip(WORDS, [common[0], *common[3:6]], strict=True):
        rows[tokenizer.convert_tokens_to_ids(word)] = factor * rows[token]
    save_file(tensors, path, metadata={"format": "pt"})
    return folder
