"""Builds a random Qwen2.5-VL or Qwen3-VL of a few million parameters, in a folder like that of a hub checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<|im_start|>{{ message['role'] }}\n"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif part['type'] == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>"
    "{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}<|im_end|>\n"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
)
CORPUS = (
    "Question: Which colour is the circle on the left? What is above the square? How many triangles?",
    "Options:\nA. red\nB. green\nC. blue\nD. yellow\nthe large purple star is to the right of the small cube",
    "Answer this multiple-choice question. Think step by step before answering. The last line of your",
    "response should be of the following format: <think>reasoning</think> <answer>$LETTER</answer>, where",
    "LETTER is one of the options. Hint: rotated clockwise by 90 degrees, 180 degrees, upside down, top left",
)


def build(
    folder: Path,
    *,
    family: str = "qwen2_5_vl",
    hidden: int = 192,
    layers: int = 4,
    vision_hidden: int = 128,
    vision_layers: int = 4,
    side: int = 112,
    vocab: int = 600,
    max_length: int = 1024,
    dtype: str = "float32",
    seed: int = 0,
) -> Path:
    """Writes the checkpoint and returns its folder.

    Args:
        folder: created if it does not exist.
        family: `model_type` of the checkpoint, "qwen2_5_vl" or "qwen3_vl".
        hidden: width of the text model; a multiple of 64.
        layers: number of layers of the text model.
        vision_hidden: width of the vision tower; a multiple of 32.
        vision_layers: number of layers of the vision tower.
        side: images are scaled down to about `side` * `side` pixels, with one token per 28 * 28 pixels
            (Qwen3-VL: 32 * 32).
        vocab: maximum size of the vocabulary.
        max_length: maximum number of tokens in a prompt and its reply.
        dtype: dtype of the weights on disk.
        seed: seed of the weights.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    tokenizer = build_tokenizer(vocab, max_length)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIALS}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": hidden * 3,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "num_key_value_heads": hidden // 64,
        "max_position_embeddings": max_length,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": vision_layers,
        "hidden_size": vision_hidden,
        "intermediate_size": vision_hidden * 2,
        "num_heads": vision_hidden // 32,
        "out_hidden_size": hidden,
    }
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(_config(family, text, vision, ids))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)  # so that logits are far enough apart for rounding not to change replies
        model.get_input_embeddings().weight[ids["<|im_end|>"]] *= 2  # so that some replies end early
    model.to(getattr(torch, dtype))
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.generation_config.bos_token_id = None

    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    _processor(family, tokenizer, side).save_pretrained(folder)
    return folder


def build_tokenizer(vocab: int, max_length: int) -> Any:
    """Trains a byte-level BPE on `CORPUS`; returns a fast tokenizer of transformers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIALS),
        model_max_length=max_length,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _config(family: str, text: dict[str, Any], vision: dict[str, Any], ids: dict[str, int]) -> Any:
    from transformers import AutoConfig

    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
    if family == "qwen3_vl":
        rope |= {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
        text = {**text, "head_dim": 32, "rope_parameters": rope}
        deep = list(range(vision["depth"] - 1))
        vision = {**vision, "deepstack_visual_indexes": deep, "num_position_embeddings": 64}
    else:
        text = {**text, "rope_parameters": rope}
        vision = {**vision, "fullatt_block_indexes": list(range(1, vision["depth"], 2))}
    return AutoConfig.for_model(
        family,
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def _processor(family: str, tokenizer: Any, side: int) -> Any:
    """Makes the family's processor. Images have 4 to about side * side / 28**2 (Qwen3-VL: / 32**2) tokens."""
    from transformers import (
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    if family == "qwen3_vl":
        # The processors of Qwen/Qwen3-VL-4B-Instruct, with smaller images.
        shared: dict[str, Any] = {
            "patch_size": 16,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "size": {"shortest_edge": 64 * 64, "longest_edge": side * side},
        }
        return Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(**shared),
            tokenizer=tokenizer,
            video_processor=Qwen3VLVideoProcessor(
                **{**shared, "size": {"shortest_edge": 64 * 64, "longest_edge": 4 * side * side}},
                cap_pixels_per_frame=False,
            ),
            chat_template=CHAT_TEMPLATE,
        )
    limits = {"shortest_edge": 56 * 56, "longest_edge": side * side}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(limits)),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=dict(limits), cap_pixels_per_frame=False),
        chat_template=CHAT_TEMPLATE,
    )
