"""Log-likelihoods of given replies from vLLM, which returns those of a prompt's tokens (`prompt_logprobs`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ssl4rl_bench.core.errors import EngineError, ModelError
from ssl4rl_bench.core.types import Message, Request
from ssl4rl_bench.engines.base import reason, telling
from ssl4rl_bench.engines.vllm.adapter import LocalEngine, log_likelihood

Scored = tuple[Request, list[float] | str]
"""A request with a log-likelihood per text, or with the message of the error that failed it."""


def likelihoods(
    engine: LocalEngine,
    render: Callable[[Sequence[Message]], dict[str, Any]],
    tokenize: Callable[[str], list[int]],
    limit: int,
    asked: Iterable[tuple[Request, Sequence[str]]],
) -> Iterator[Scored]:
    """Yields the log-likelihoods in nats of texts as the beginning of the reply to their requests.

    Each text is a prompt of its own that ends in the text. vLLM does not take such prompts from its prefix cache, but
    encodes each image once.

    Args:
        render: returns the engine input of a prompt.
        tokenize: returns the tokens of a text.
        limit: the maximum number of texts in the engine.
    """
    source = iter(asked)
    values: dict[str, list[float | None]] = {}
    requests: dict[str, Request] = {}
    running: dict[str, tuple[str, int, int]] = {}
    number = 0
    more = True
    while more or running:
        while more and len(running) < limit:
            pair = next(source, None)
            if pair is None:
                more = False
                break
            request, texts = pair
            name, number = f"forced-{number}", number + 1
            try:
                prompt = render(request.sample.messages)
            except ModelError:
                raise
            except Exception as error:  # a prompt that cannot be rendered fails only its own request
                yield request, reason(error)
                continue
            requests[name], values[name] = request, [None] * len(texts)
            for index, text in enumerate(texts):
                ids = tokenize(text)
                key = f"{name}-{index}"
                running[key] = name, index, len(ids)
                engine.add_forced(key, {**prompt, "prompt_token_ids": [*prompt["prompt_token_ids"], *ids]})
        with telling("vLLM stopped"):
            outputs = engine.step() if running else []
        for output in outputs:
            if output.finished:
                name, index, n_tokens = running.pop(output.request_id)
                values[name][index] = log_likelihood(output, n_tokens)
                done = [value for value in values[name] if value is not None]
                if len(done) == len(values[name]):
                    yield requests.pop(name), done
    if requests:
        raise EngineError("vLLM did not return all log-likelihoods")
