"""The code between engines and libraries, with stand-ins for the libraries: no model is loaded."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mmbench_data import picture
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import EngineError, ModelError, UsageError
from ssl4rl_bench.core.types import ImagePart, Message, TextPart, VideoPart
from ssl4rl_bench.engines import inputs, loading, resolve_name, swapping
from ssl4rl_bench.engines.base import EngineOptions, telling
from ssl4rl_bench.engines.chat_input import load_image, read_batch
from ssl4rl_bench.engines.checkpoints.origin import read_origin

# --- prompts of the engines hf and vllm


class Processor:
    """Stands for a processor of transformers: its template is the number of parts."""

    def __init__(self, template: object = "from the processor") -> None:
        self.chat_template = template
        self.image_processor = SimpleNamespace(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
        self.tokenizer = SimpleNamespace(
            chat_template="from the tokenizer", special_tokens_map={"eos_token": "<end>"}
        )

    def apply_chat_template(self, chat: Any, **how: Any) -> str:
        assert how == {"add_generation_prompt": True, "tokenize": False}
        return " ".join(part.get("text", f"<{part['type']}>") for part in chat[0]["content"])


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces the process that tries templates; collects the templates and what they are tried with."""
    seen: list[Any] = []

    def guard(template: str, name: str) -> SimpleNamespace:
        seen.append(template)
        return SimpleNamespace(check=seen.append)

    monkeypatch.setattr(inputs.templates, "guard", guard)
    monkeypatch.setattr(inputs, "load_processor", lambda _: Processor({"default": "named", "tool": "other"}))
    monkeypatch.setattr(inputs, "context_length", lambda *_: 4096)
    return seen


def frame(shade: int, size: tuple[int, int] = (8, 6)) -> images.EncodedImage:
    return images.from_pil(Image.new("RGB", size, (shade, 0, 0)))


def test_a_prompt_has_its_text_and_its_pictures_in_order(guarded: list[Any]) -> None:
    prompter = inputs.Prompter(Path("x"), EngineOptions(max_pixels=10_000))
    still, film = frame(9), VideoPart((frame(1), frame(2)), fps=2.0)
    chat = (Message("user", (ImagePart(still), TextPart("and"), film)),)
    made = prompter.render(chat)
    assert made.text == "<image> and <video>"
    assert (prompter.limits, prompter.context) == ({"min_pixels": 3136, "max_pixels": 10_000}, 4096)
    assert made.image_ids == [still.sha256] and [image.size for image in made.images] == [(8, 6)]
    ((frames, about),) = made.videos
    assert frames.shape == (2, 6, 8, 3) and np.unique(frames[1]).tolist() == [0, 2]
    assert (about["total_num_frames"], about["fps"], about["duration"]) == (2, 2.0, 1.0)
    assert (
        made.video_ids
        != inputs.Prompter(Path("x"), EngineOptions())
        .render((Message("user", (VideoPart(film.frames, fps=1.0),)),))
        .video_ids
    ), "the same frames at another speed are another video"
    template, tried = guarded[:2]
    assert template == "named" and tried["eos_token"] == "<end>" and tried["add_generation_prompt"] is True


@pytest.mark.parametrize("frames", [(), (frame(1), frame(2, (6, 8)))])
def test_a_video_without_frames_of_one_size_is_refused(guarded: list[Any], frames: Any) -> None:
    with pytest.raises(UsageError, match="a video needs frames, all of one size"):
        inputs.Prompter(Path("x"), EngineOptions()).render((Message("user", (VideoPart(frames, fps=1.0),)),))


@pytest.mark.parametrize("template", [None, "", "its own"])
def test_a_processor_without_a_template_gets_the_tokenizer_s(
    template: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def from_pretrained(folder: Path, **how: Any) -> Processor:
        asked.update(how)
        return Processor(template)

    library = SimpleNamespace(AutoProcessor=SimpleNamespace(from_pretrained=from_pretrained))
    monkeypatch.setitem(sys.modules, "transformers", library)
    monkeypatch.setattr(inputs, "require_chat_template", lambda _: None)
    assert inputs.load_processor(Path("x")).chat_template == (template or "from the tokenizer")
    assert asked == {"local_files_only": True, "trust_remote_code": False}


def test_a_prompt_that_is_too_long_has_both_numbers() -> None:
    words = "the prompt has 5000 tokens, prompt and reply together may have 4096"
    assert str(inputs.too_long(5000, 4096)) == words


# --- loading with transformers


def load(monkeypatch: pytest.MonkeyPatch, info: Any) -> Any:
    """Loads a network whose library returns `info`, or raises it."""

    def from_pretrained(folder: Path, **how: Any) -> Any:
        assert how["use_safetensors"] and how["local_files_only"] and not how["trust_remote_code"]
        if isinstance(info, Exception):
            logging.getLogger("transformers.modeling_utils").warning("\x1b[31mMISMATCH:\x1b[0m\n a | %s", "b")
            raise info
        return "network", info

    auto = SimpleNamespace(from_pretrained=from_pretrained)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModelForImageTextToText=auto))
    return loading.load_network(Path("x"), dtype="auto")


SHAPES = [("model.norm", (4,), (8,)), ("a", (1, 2), (2, 1))]


@pytest.mark.parametrize(
    ("info", "problems"),
    [
        ({"missing_keys": ["b", "a", "d", "c"]}, "4 tensors are missing (a, b, c and 1 more)"),
        (
            {"mismatched_keys": SHAPES},
            "2 tensors have another shape than config.json asks for (first a: [1, 2], not [2, 1])",
        ),
        ({"error_msgs": ["size\n  mismatch", "more"]}, "size mismatch"),
        ({"missing_keys": ["a"], "error_msgs": ["bad"]}, "1 tensors are missing (a) and bad"),
    ],
)
def test_tensors_that_would_be_random_are_refused(
    info: Any, problems: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError) as caught:
        load(monkeypatch, info)
    assert str(caught.value).startswith(
        f"x is incomplete: {problems}, so transformers would use random numbers"
    )


def test_a_whole_checkpoint_loads_and_leaves_the_log_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("transformers.modeling_utils")
    before = (logger.level, logger.propagate, list(logger.handlers))
    assert load(monkeypatch, {"missing_keys": [], "mismatched_keys": set(), "error_msgs": None}) == "network"
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ("see the above report", "MISMATCH: a | b"),
        ("another reason", "another reason"),
    ],
)
def test_an_error_that_refers_to_the_log_has_the_log_s_words(
    raised: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError) as caught:
        load(monkeypatch, RuntimeError(raised))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("name", "content", "same"),
    [
        ("config.json", '{"hidden_size": 8, "transformers_version": "4", "_name_or_path": "me"}', True),
        ("config.json", '{"hidden_size": 9}', False),
        ("tokenizer.json", "{}", False),
        ("README.md", "text", True),
    ],
)
def test_checkpoints_of_one_training_differ_in_their_weights_only(
    name: str, content: str, same: bool, tmp_path: Path
) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "config.json").write_text('{"hidden_size": 8}')
    (tmp_path / "two" / name).write_text(content)
    assert swapping.same_kind(tmp_path / "one", tmp_path / "two") is same


# --- small things of engines


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad"), "the model could not be loaded: ValueError: bad"),
        (RuntimeError(), "the model could not be loaded: RuntimeError"),
        (
            RuntimeError("CUDA:\n\n out of memory\nmore"),
            "the model could not be loaded: RuntimeError: CUDA: out of memory",
        ),
    ],
)
def test_a_library_s_error_is_one_sentence(error: Exception, words: str) -> None:
    with pytest.raises(EngineError) as caught, telling("the model could not be loaded"):
        raise error
    assert str(caught.value) == words
    with pytest.raises(UsageError, match="ours"), telling("x"):
        raise UsageError("ours")


@pytest.mark.parametrize(
    ("installed", "has_gpu", "name"),
    [
        (("vllm", "torch"), True, "vllm"),
        (("vllm", "torch"), False, "hf"),
        (("torch",), True, "hf"),
        (("vllm",), True, "hf"),
    ],
)
def test_auto_is_vllm_on_a_gpu_only(
    installed: tuple[str, ...], has_gpu: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl4rl_bench.engines._installed", lambda package: package in installed)
    cuda = SimpleNamespace(is_available=lambda: has_gpu)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert resolve_name("auto") == name


def test_an_origin_that_cannot_be_read_is_told_and_none_is_empty(tmp_path: Path) -> None:
    assert read_origin(tmp_path) == read_origin(tmp_path / "no") == {}
    (tmp_path / "ssl4rl.json").write_text('{"kind": "sft"}')
    assert read_origin(tmp_path) == {"kind": "sft"}
    for text in ("{", "[]", '{"schema": 99}'):
        (tmp_path / "ssl4rl.json").write_text(text)
        with pytest.raises(ModelError, match=r"ssl4rl\.json"):
            read_origin(tmp_path)
    (tmp_path / "ssl4rl.json").unlink()
    (tmp_path / "ssl4rl.json").mkdir()
    with pytest.raises(ModelError) as caught:
        read_origin(tmp_path)
    assert str(caught.value) == f"cannot read {tmp_path}/ssl4rl.json: is a directory"


def test_an_image_that_is_one_already_is_taken_as_it_is(tmp_path: Path) -> None:
    image = frame(1)
    assert load_image(image) is image
    assert load_image(picture()).data == picture()
    unreadable = tmp_path / "a.png"
    unreadable.write_bytes(picture())

    @contextmanager
    def refused(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")
        yield

    with pytest.MonkeyPatch.context() as patch, pytest.raises(UsageError) as caught:
        patch.setattr(Path, "open", refused)
        load_image(unreadable)
    assert str(caught.value).endswith("a.png: Permission denied")


def test_a_batch_needs_its_file_and_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no batch file"):
        list(read_batch(tmp_path / "no.jsonl"))
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(UsageError, match=r"--image-root .*no is not a directory"):
        list(read_batch(tmp_path / "a.jsonl", tmp_path / "no"))
    assert list(read_batch(tmp_path / "a.jsonl")) == []
