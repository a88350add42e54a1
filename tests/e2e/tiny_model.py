"""Builds a random Qwen2.5-VL of a few million parameters, in a folder like that of a hub checkpoint."""

from __future__ import annotations

from pathlib import Path

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
        hidden: width of the text model; a multiple of 64.
        layers: number of layers of the text model.
        vision_hidden: width of the vision tower; a multiple of 32.
        vision_layers: number of layers of the vision tower.
        side: images are scaled down to about `side` * `side` pixels, with one token per 28 * 28 pixels.
        vocab: maximum size of the vocabulary.
        max_length: maximum number of tokens in a prompt and its reply.
        dtype: dtype of the weights on disk.
        seed: seed of the weights.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

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
    ids = {name: raw.token_to_id(name) for name in SPECIALS}

    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": raw.get_vocab_size(),
            "hidden_size": hidden,
            "intermediate_size": hidden * 3,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 32,
            "num_key_value_heads": hidden // 64,
            "max_position_embeddings": max_length,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": vision_layers,
            "hidden_size": vision_hidden,
            "intermediate_size": vision_hidden * 2,
            "num_heads": vision_hidden // 32,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": list(range(1, vision_layers, 2)),
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)  # so that logits are far enough apart for rounding not to change replies
        model.get_input_embeddings().weight[ids["<|im_end|>"]] *= 2  # so that some replies end early
    model.to(getattr(torch, dtype))
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.generation_config.bos_token_id = None

    limits = {"shortest_edge": 56 * 56, "longest_edge": side * side}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(limits)),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=dict(limits), cap_pixels_per_frame=False),
        chat_template=CHAT_TEMPLATE,
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
