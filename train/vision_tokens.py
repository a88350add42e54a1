"""Keeps the tokens that stand for pictures out of replies, and replies that hold one from failing a forward pass.

A model replaces each image placeholder in its input with the features of an image, and refuses an input whose
placeholders and features differ in number. A sampled placeholder would therefore end the run.
"""

from __future__ import annotations

from typing import Any

_CONFIG_KEYS = (
    "image_token_id",
    "video_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
    "vision_token_id",
)
"""Keys of config.json in Qwen's vision-language models."""
_WORDS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
"""The same tokens in their tokenizers."""


def vision_token_ids(config: Any, tokenizer: Any) -> list[int]:
    """Returns the ids of the placeholders and marks of images and videos, by the config and by the tokenizer."""
    unknown = (None, tokenizer.unk_token_id)
    by_config = (getattr(config, key, None) for key in _CONFIG_KEYS)
    by_word = (tokenizer.convert_tokens_to_ids(word) for word in _WORDS)
    return sorted({int(i) for i in (*by_config, *by_word) if i not in unknown})


def excluding(ids: list[int], tokenizer: Any, *, vllm: bool) -> dict[str, Any]:
    """Returns TRL's `generation_kwargs` that give these tokens the probability 0 in rollouts.

    vLLM excludes `bad_words`, which it tokenizes itself, completely. It limits a `logit_bias` to -100, which
    large logits outweigh; this is used only for a token that its own text does not give.
    """
    if not vllm:
        return {"suppress_tokens": ids}
    words = {i: tokenizer.convert_ids_to_tokens(i) for i in ids}
    exact = {i: w for i, w in words.items() if w and tokenizer.encode(w, add_special_tokens=False) == [i]}
    biased = {i: -100.0 for i in ids if i not in exact}
    return {"bad_words": list(exact.values())} | ({"logit_bias": biased} if biased else {})


def shield(model: Any, ids: list[int], pad: int) -> None:
    """Makes the model read `pad` instead of these tokens where they have labels, that is, within replies.

    Their labels remain, so that their log-probabilities are computed. Prompts have no labels.
    """
    import torch

    def replace(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:  # noqa: ARG001
        tokens, labels = kwargs.get("input_ids"), kwargs.get("labels")
        if tokens is None or labels is None:
            return None
        within = torch.isin(tokens, torch.tensor(ids, device=tokens.device)) & (labels != -100)
        return args, {**kwargs, "input_ids": tokens.masked_fill(within, pad)}

    model.register_forward_pre_hook(replace, with_kwargs=True)
