"""lmms-eval's requests as a task of this project, so that `runner.execute` can answer them.

Neither lmms-eval nor torch is imported: its objects come in as they are.
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

_CAPS = ("max_new_tokens", "max_gen_toks", "max_tokens")
"""lmms-eval's names of one thing; the first that is there counts."""
_ONLY = {"num_beams": 1, "n": 1, "best_of": 1, "num_return_sequences": 1, "repetition_penalty": 1}
"""Generation settings that our engines have not, and the value that means their absence."""
_NOWHERE = Categories("", "", "")
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, kw_only=True)
class AskedTask(LoadedTask):
    """What one call of lmms-eval asks of one task. It cannot score: lmms-eval does that.

    `data_sha256` is as `ssl4rl-bench run` has it for tasks that say it (column `data_sha256`), else empty.
    """

    until: tuple[str, ...]
    """Texts that end a reply, where lmms-eval wants it cut."""
    n_docs: int
    """Of the whole split, whatever --limit says."""
    source: str = "lmms-eval"

    def counts(self) -> dict[str, dict[str, int]]:
        """Nothing is known of categories here."""
        return {}

    def content(self, sample: Sample) -> list[Any]:
        """Its id: lmms-eval's runs are not paired here."""
        return [sample.id]

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Raises UsageError."""
        raise UsageError(f"{self.name} is scored by lmms-eval")


def gather(name: str, requests: Sequence[Any], docs: Sequence[Mapping[str, Any]]) -> AskedTask:
    """The distinct requests of one task, in order. Each distinct image is kept once.

    Args:
        name: of the task.
        requests: lmms-eval's `Instance`s of a chat model; repeats of one are the same request.
        docs: the split that they are from.

    Raises:
        UsageError: for a request that our engines cannot take: video, audio, beams, a penalty.
        DataError: for an image that cannot be used.
    """
    _, to_messages, settings, number, _, _ = requests[0].args
    own = getattr(to_messages, "__self__", None) if name.startswith(PREFIX) else None
    kept: dict[str, EncodedImage] = {}
    samples: dict[int, Sample] = {}
    for request in requests:
        _, to_messages, wanted, at, _, _ = request.args
        if wanted != settings:
            raise UsageError(f"{name} asks its questions with different generation settings")
        if at in samples:
            continue
        doc = docs[at]
        if own is not None:
            samples[at] = _own_sample(own, doc, kept)
        else:
            messages = tuple(_message(name, message, kept) for message in to_messages(doc))
            samples[at] = Sample(str(at), str(at), messages, "", {}, _NOWHERE)
    return AskedTask(
        name=name,
        version=str(requests[0].metadata.get("version", "")),
        prompt="" if own is None else own.lmms_eval_specific_kwargs["prompt"],
        samples=tuple(samples.values()),
        sampling=sampling(settings, name),
        until=_until(settings),
        n_docs=len(docs),
        data_sha256="" if own is None else str(docs[number].get("data_sha256", "")),
    )


def _own_sample(task: Any, doc: Mapping[str, Any], kept: dict[str, EncodedImage]) -> Sample:
    """A document of our own task as the sample that it was made from.

    Its images are taken as the bytes that they came in: nothing is decoded and encoded again, and the response key
    is that of `ssl4rl-bench run`.
    """
    pictures = doc["images"] if "images" in doc else [doc["image"]]
    parts = [ImagePart(_keep(images.from_bytes(picture["bytes"]), kept)) for picture in pictures]
    id = str(doc["id"] if "id" in doc else doc["index"])
    return Sample(
        id=id,
        group=str(doc["group"]),
        messages=(Message("user", (*parts, TextPart(task.doc_to_text(doc)))),),
        target=str(task.doc_to_target(doc)),
        choices={},
        categories=_NOWHERE,
    )


def _message(name: str, message: Mapping[str, Any], kept: dict[str, EncodedImage]) -> Message:
    if message["role"] not in _ROLES:
        raise UsageError(f"{name} has a message of role {message['role']}, which ssl4rl_vllm does not take")
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return Message(_ROLES[message["role"]], tuple(_part(name, part, kept) for part in content))


def _part(name: str, part: Mapping[str, Any], kept: dict[str, EncodedImage]) -> Part:
    if part["type"] == "text":
        return TextPart(part["text"])
    picture = part.get("url")
    if part["type"] != "image" or picture is None or not hasattr(picture, "convert"):
        kind = part["type"] if part["type"] != "image" else "image that is only named"
        raise UsageError(f"{name} asks about a {kind}: ssl4rl_vllm takes text and decoded images only")
    return ImagePart(_keep(images.from_pil(picture), kept))


def _keep(image: EncodedImage, kept: dict[str, EncodedImage]) -> EncodedImage:
    return kept.setdefault(image.sha256, image)


def sampling(settings: Mapping[str, Any], name: str) -> Sampling:
    """How a task's `generation_kwargs` want tokens drawn.

    A temperature above 0 draws, whatever `do_sample` says; `do_sample` alone means temperature 1. The cap on
    new tokens is the task's own, never raised. Settings about images ("image_aspect_ratio") are left alone.

    Raises:
        UsageError: for beams or a penalty, which our engines have not.
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
    """The text up to the first of the texts that end a reply."""
    return text[: min((at for stop in until if (at := text.find(stop)) >= 0), default=len(text))]


def _until(settings: Mapping[str, Any]) -> tuple[str, ...]:
    until = settings.get("until") or ()
    return tuple(text for text in ([until] if isinstance(until, str) else until) if text)
