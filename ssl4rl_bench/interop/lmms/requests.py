"""Converts lmms-eval's requests to a task of this project, so that `runner.execute` can answer them.

Imports neither lmms-eval nor torch; lmms-eval's objects are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import PREFIX
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    ImagePart,
    Message,
    Part,
    Role,
    Sample,
    Sampling,
    Score,
    TextPart,
)
from ssl4rl_bench.task.base import LoadedTask
from ssl4rl_bench.task.questions.wording import parts_of_text

_CAPS = ("max_new_tokens", "max_gen_toks", "max_tokens")
"""lmms-eval's names for the limit on a reply's tokens; the first one that is set counts."""
_ONLY = {"num_beams": 1, "n": 1, "best_of": 1, "num_return_sequences": 1, "repetition_penalty": 1}
"""Generation settings that the engines do not support, with the value that has no effect."""
_NOWHERE = Categories("", "", "")
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, kw_only=True)
class AskedTask(LoadedTask):
    """The requests of one call of lmms-eval for one task. It cannot score replies, since lmms-eval does that.

    `data_sha256` is the same as in `ssl4rl-bench run` if the documents have it (column `data_sha256`), else
    empty.
    """

    until: tuple[str, ...]
    """The stop strings at which lmms-eval cuts a reply."""
    n_docs: int
    """The number of documents in the whole split, regardless of --limit."""
    source: str = "lmms-eval"

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns an empty dict, since the categories are unknown."""
        return {}

    def content(self, sample: Sample) -> list[Any]:
        """Returns only the sample's id, since runs of lmms-eval are not paired."""
        return [sample.id]

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Raises UsageError, since lmms-eval scores the task."""
        raise UsageError(f"{self.name} is scored by lmms-eval")


def gather_tasks(name: str, requests: Sequence[Any], docs: Sequence[Mapping[str, Any]]) -> AskedTask:
    """Collects the distinct requests of one task, in order. Each distinct image is stored once.

    Args:
        name: the name of the task.
        requests: lmms-eval's `Instance`s of a chat model; repeats of an instance are the same request.
        docs: the documents of the split.

    Raises:
        UsageError: for a request that the engines do not support: video, audio, beams, a penalty.
        DataError: for an image that cannot be used.
    """
    _, to_messages, settings, number, _, _ = requests[0].args
    our_task = getattr(to_messages, "__self__", None) if name.startswith(PREFIX) else None
    cache: dict[str, EncodedImage] = {}
    samples: dict[int, Sample] = {}
    for request in requests:
        _, to_messages, wanted, index, _, _ = request.args
        if wanted != settings:
            raise UsageError(f"{name} asks its questions with different generation settings")
        if index in samples:
            continue
        doc = docs[index]
        if our_task is not None:
            samples[index] = _own_sample(our_task, doc, cache)
        else:
            messages = tuple(_message(name, message, cache) for message in to_messages(doc))
            samples[index] = Sample(str(index), str(index), messages, "", {}, _NOWHERE)
    return AskedTask(
        name=name,
        version=str(requests[0].metadata.get("version", "")),
        prompt="" if our_task is None else our_task.lmms_eval_specific_kwargs["prompt"],
        samples=tuple(samples.values()),
        sampling=sampling(settings, name),
        until=_until(settings),
        n_docs=len(docs),
        data_sha256="" if our_task is None else str(docs[number].get("data_sha256", "")),
    )


def _own_sample(task: Any, doc: Mapping[str, Any], cache: dict[str, EncodedImage]) -> Sample:
    """Converts a document of one of this project's tasks back to the sample from which it was made.

    The images keep their original bytes and are not re-encoded, so the response key equals that of
    `ssl4rl-bench run`.
    """
    pictures = doc["images"] if "images" in doc else [doc["image"]]
    parts = [ImagePart(_keep(images.from_bytes(picture["bytes"]), cache)) for picture in pictures]
    text: str = task.doc_to_text(doc)
    content: tuple[Part, ...] = (*parts, TextPart(text))
    if "kind" in doc:  # the kind `questions`, whose texts have places for images
        content = parts_of_text(text, len(parts), parts.__getitem__)
    id = str(doc["id"] if "id" in doc else doc["index"])
    return Sample(
        id=id,
        group=str(doc["group"]),
        messages=(Message("user", content),),
        target=str(task.doc_to_target(doc)),
        choices={},
        categories=_NOWHERE,
    )


def _message(name: str, message: Mapping[str, Any], cache: dict[str, EncodedImage]) -> Message:
    if message["role"] not in _ROLES:
        raise UsageError(f"{name} has a message of role {message['role']}, which ssl4rl_vllm does not take")
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return Message(_ROLES[message["role"]], tuple(_part(name, part, cache) for part in content))


def _part(name: str, part: Mapping[str, Any], cache: dict[str, EncodedImage]) -> Part:
    if part["type"] == "text":
        return TextPart(part["text"])
    picture = part.get("url")
    if part["type"] != "image" or picture is None or not hasattr(picture, "convert"):
        kind = part["type"] if part["type"] != "image" else "image that is only named"
        raise UsageError(f"{name} asks about a {kind}: ssl4rl_vllm takes text and decoded images only")
    return ImagePart(_keep(images.from_pil(picture), cache))


def _keep(image: EncodedImage, cache: dict[str, EncodedImage]) -> EncodedImage:
    return cache.setdefault(image.sha256, image)


def sampling(settings: Mapping[str, Any], name: str) -> Sampling:
    """Converts a task's `generation_kwargs` to sampling settings.

    A temperature above 0 samples regardless of `do_sample`; `do_sample` alone means temperature 1. The task's
    limit on new tokens is never raised. Settings about images ("image_aspect_ratio") are ignored.

    Raises:
        UsageError: for beams or a penalty, which the engines do not support.
    """
    for key, absent in _ONLY.items():
        if settings.get(key) is not None and settings[key] != absent:
            raise UsageError(f"{name} sets {key} to {settings[key]}: ssl4rl_vllm has only {absent}")
    temperature = settings.get("temperature")
    if temperature is None:
        temperature = 1.0 if settings.get("do_sample") else 0.0
    caps = [settings[key] for key in _CAPS if settings.get(key) is not None]
    default = Sampling()
    top_k = settings.get("top_k")
    return Sampling(
        temperature=float(temperature),
        top_p=default.top_p if settings.get("top_p") is None else float(settings["top_p"]),
        top_k=default.top_k if top_k is None else max(0, int(top_k)),
        max_tokens=int(caps[0]) if caps else default.max_tokens,
    )


def cut(text: str, until: Sequence[str]) -> str:
    """Returns the text up to the first occurrence of any stop string."""
    return text[: min((index for stop in until if (index := text.find(stop)) >= 0), default=len(text))]


def _until(settings: Mapping[str, Any]) -> tuple[str, ...]:
    until = settings.get("until") or ()
    return tuple(text for text in ([until] if isinstance(until, str) else until) if text)
