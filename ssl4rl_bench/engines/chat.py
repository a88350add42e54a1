"""A conversation with a checkpoint in three lines.

```python
from ssl4rl_bench.chat import Chat
chat = Chat("tiny-base")
print(chat.ask("How many circles are there?", images=["scene.png"]))
```
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Categories, Completion, Message, Request, Sample, Sampling, VideoPart
from ssl4rl_bench.engines import create, resolve_name
from ssl4rl_bench.engines.base import EngineOptions, no_reply
from ssl4rl_bench.engines.chat_input import (
    ImageInput,
    build_messages,
    load_image,
    load_video,
    parse_messages,
)

DEFAULT_SAMPLING = Sampling(max_tokens=512)
"""Greedy decoding, with at most 512 tokens per reply."""


class Chat:
    """A model that answers questions about images. The weights are loaded with the first question.

    Args:
        model: a folder, a bundled checkpoint or a hub id; for the engine "openai", the model's name there.
        engine: one of `engines.ENGINES`; "auto" means "openai" if `options.base_urls` is set.

    Raises:
        UsageError, ModelError, MissingDependency: see `weights.resolve_model` and `engines.create`.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        engine: str = "auto",
        options: EngineOptions | None = None,
        sampling: Sampling = DEFAULT_SAMPLING,
    ) -> None:
        options = options or EngineOptions()
        engine = "openai" if engine == "auto" and options.base_urls else engine
        resolved = None
        if engine in ("auto", "vllm", "hf") and model:
            from ssl4rl_bench.engines.checkpoints.weights import resolve_model

            resolved = resolve_model(model, chat=True)  # before "auto" is resolved, which imports torch
        engine = resolve_name(engine)
        if engine == "openai":
            options = replace(options, served_model=model or options.served_model)
        self.sampling = sampling
        self.engine = create(engine, resolved, options)

    def ask(
        self,
        question: str,
        images: Iterable[ImageInput] = (),
        *,
        video: str | os.PathLike[str] | VideoPart | None = None,
        system: str | None = None,
    ) -> str:
        """Asks one question and returns the reply.

        Raises:
            EngineError: if the request failed or the model gave no reply.
            UsageError, DataError: for an image or video that cannot be used.
        """
        (completion,) = self.batch([build_messages(question, images, video=video, system=system)])
        if completion.error is not None:
            raise EngineError(completion.error)
        if completion.has_no_content:
            raise EngineError(no_reply(completion.reasoning, completion.finish_reason == "length"))
        return completion.text

    def stream(self, messages: Sequence[Message]) -> Iterator[str]:
        """Yields the reply in pieces as they are generated."""
        return self.engine.stream(messages, self.sampling)

    def batch(self, chats: Iterable[Any]) -> Iterator[Completion]:
        """Yields completions in the order of the chats, each as soon as all earlier ones are finished.

        Args:
            chats: each is a sequence of `Message`, or a list of dicts in the format of OpenAI's or Qwen's
                clients. Paths and URLs are opened, so pass only trusted chats; for files, use `read_batch`.
        """

        def requests() -> Iterator[Request]:
            for i, given in enumerate(chats):
                chat = tuple(given)
                typed = all(isinstance(m, Message) for m in chat)
                messages = chat if typed else parse_messages(chat, load_image, load_video)
                sample = Sample(str(i), str(i), messages, "", {}, Categories("", "", ""))
                yield Request(sample, seed=seed_of(str(i), 0))

        waiting: dict[int, Completion] = {}
        turn = 0
        for request, completion in self.engine.run(requests(), self.sampling):
            waiting[int(request.sample.id)] = completion
            while turn in waiting:
                yield waiting.pop(turn)
                turn += 1

    def close(self) -> None:
        """Frees the model."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
