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
    Sample,
    Score,
    TextPart,
)
from ssl4rl_bench.task.base import LoadedTask
from ssl4rl_bench.task.lmms.generation import chat_message, sampling, shared, stops
from ssl4rl_bench.task.questions.wording import parts_of_text

_NOWHERE = Categories("", "", "")


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
            messages = tuple(chat_message(name, message, cache) for message in to_messages(doc))
            samples[index] = Sample(str(index), str(index), messages, "", {}, _NOWHERE)
    return AskedTask(
        name=name,
        version=str(requests[0].metadata.get("version", "")),
        prompt="" if our_task is None else our_task.lmms_eval_specific_kwargs["prompt"],
        samples=tuple(samples.values()),
        sampling=sampling(settings, name),
        until=stops(settings),
        n_docs=len(docs),
        data_sha256="" if our_task is None else str(docs[number].get("data_sha256", "")),
    )


def _own_sample(task: Any, doc: Mapping[str, Any], cache: dict[str, EncodedImage]) -> Sample:
    """Converts a document of one of this project's tasks back to the sample from which it was made.

    The images keep their original bytes and are not re-encoded, so the response key equals that of
    `ssl4rl-bench run`.
    """
    pictures = doc["images"] if "images" in doc else [doc["image"]]
    parts = [ImagePart(shared(images.from_bytes(picture["bytes"]), cache)) for picture in pictures]
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
