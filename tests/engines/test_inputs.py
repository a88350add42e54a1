"""What becomes of messages before a model sees them, as far as it needs no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import EncodedImage, ImagePart, Message, TextPart, VideoPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.inputs import chat_messages, context_length, decoder, pixel_limits, text_config

QWEN_SIZE = {"shortest_edge": 3136, "longest_edge": 12_845_056}


def picture(level: int, side: int = 8) -> EncodedImage:
    return images.from_pil(Image.new("RGB", (side, side), (level, level, level)))


def test_parts_keep_their_order_and_pixels_stay_out() -> None:
    messages = (
        Message("system", (TextPart("be brief"),)),
        Message(
            "user", (ImagePart(picture(1)), TextPart("<image>"), VideoPart((picture(2),), 1.0), TextPart("?"))
        ),
    )
    assert chat_messages(messages) == [
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {
            "role": "user",
            "content": [
                {"type": "image"},
                {"type": "text", "text": "<image>"},
                {"type": "video"},
                {"type": "text", "text": "?"},
            ],
        },
    ]


def test_an_image_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def count(image: EncodedImage) -> Image.Image:
        seen.append(image.sha256)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(images, "decode", count)
    decode = decoder()
    a, b = picture(1), picture(2)
    assert decode(a) is decode(a)
    decode(b)
    decode(a)
    assert seen == [a.sha256, b.sha256]


def test_the_decoder_forgets_what_was_used_longest_ago() -> None:
    decode = decoder(max_pixels=2 * 64)
    a, b, c = picture(1), picture(2), picture(3)
    first, second = decode(a), decode(b)
    assert decode(a) is first
    decode(c)
    assert decode(a) is first
    assert decode(b) is not second


def test_the_decoder_keeps_an_image_over_its_limit_while_it_is_in_use() -> None:
    decode = decoder(max_pixels=1)
    big = picture(1, side=20)
    assert decode(big) is decode(big)


@pytest.mark.parametrize(
    ("config", "options", "tokens"),
    [
        ({"max_position_embeddings": 1024}, EngineOptions(), 1024),
        ({"text_config": {"max_position_embeddings": 2048}}, EngineOptions(), 2048),
        ({"max_position_embeddings": 128_000}, EngineOptions(), 32_768),
        ({}, EngineOptions(), 32_768),
        ({"max_position_embeddings": 1024}, EngineOptions(max_model_len=50_000), 50_000),
    ],
)
def test_context_length(
    tmp_path: Path, config: dict[str, object], options: EngineOptions, tokens: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_length(tmp_path, options) == tokens


def test_a_nested_text_config_wins(tmp_path: Path) -> None:
    config = {"hidden_size": 1, "text_config": {"hidden_size": 2}, "model_type": "x"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert text_config(tmp_path)["hidden_size"] == 2
    assert text_config(tmp_path)["model_type"] == "x"


def test_no_limits_leave_the_checkpoint_its_own() -> None:
    assert pixel_limits(QWEN_SIZE, EngineOptions()) == {}


@pytest.mark.parametrize(
    ("low", "high", "limits"),
    [(None, 50_000, (3136, 50_000)), (35_840, None, (35_840, 12_845_056)), (10, 20, (10, 20))],
)
def test_limits_come_in_pairs(low: int | None, high: int | None, limits: tuple[int, int]) -> None:
    made = pixel_limits(QWEN_SIZE, EngineOptions(min_pixels=low, max_pixels=high))
    assert (made["min_pixels"], made["max_pixels"]) == limits


def test_a_limit_beyond_the_checkpoints_other_one_is_told() -> None:
    with pytest.raises(UsageError, match="set both"):
        pixel_limits(QWEN_SIZE, EngineOptions(max_pixels=1000))
