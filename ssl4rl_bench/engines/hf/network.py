"""A loaded checkpoint with its processor, which answers batches with `generate` of transformers.

`sharing.SharingNetwork` replaces this for models whose structure it knows.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.types import Completion, Message, Request, Sampling
from ssl4rl_bench.engines import positions
from ssl4rl_bench.engines.base import reason
from ssl4rl_bench.engines.hf import sampling as draws
from ssl4rl_bench.engines.hf.grouping import Family, Key
from ssl4rl_bench.engines.hf.prompts import process
from ssl4rl_bench.engines.inputs import Prompter, too_long

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PER_TOKEN = frozenset({"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"})


class Prepared(Protocol):
    """A prepared prompt."""

    @property
    def n_tokens(self) -> int:
        """The number of tokens."""

    @property
    def key(self) -> Key:
        """See `grouping`."""


Item = tuple[Request, Prepared]


class Batch(Protocol):
    """Replies in progress."""

    @property
    def items(self) -> list[Item]:
        """The requests whose replies have not ended."""

    def step(self) -> list[tuple[Item, Completion]]:
        """Continues the replies, and removes and returns those that ended."""


@dataclass(frozen=True, eq=False)
class Features:
    """A prompt as the checkpoint's processor returns it."""

    features: dict[str, Any]
    """Tensors with a batch size of 1."""
    n_tokens: int

    @property
    def key(self) -> Key:
        """Equal only for the same object: such prompts share nothing."""
        return (id(self),)


class Network:
    """A loaded checkpoint with its processor.

    Args:
        loaded: a model of transformers, in evaluation mode and on its device.
        prompter: renders prompts.
    """

    joins = False
    """Whether rows can join a batch in progress."""

    def __init__(self, loaded: Any, prompter: Prompter) -> None:
        from transformers import GenerationConfig

        self.prompter = prompter
        self.tokenizer: Any = prompter.processor.tokenizer
        self.model: Any = loaded
        positions.repair_positions(self.model)
        self.eos = _token_ids(self.model.generation_config.eos_token_id)
        self.eos |= _token_ids(self.tokenizer.eos_token_id)
        pad = self.tokenizer.pad_token_id
        self.pad: int = pad if pad is not None else min(self.eos, default=0)
        # generate() takes settings that a call omits from here, so the checkpoint's defaults must be gone.
        self.model.generation_config = GenerationConfig(
            eos_token_id=sorted(self.eos) or None, pad_token_id=self.pad, do_sample=False
        )

    def prepare(self, messages: Sequence[Message]) -> Prepared:
        """Renders and tokenizes one prompt and preprocesses its images.

        Raises:
            UsageError: for a prompt that leaves no room for a reply.
        """
        return self._features(messages)

    def start(self, families: Sequence[Family[Item]], sampling: Sampling) -> Batch:
        """Returns a batch with one reply per item."""
        return _Whole(self, [item for family in families for item in family.items], sampling)

    def stream(self, messages: Sequence[Message], seed: int, sampling: Sampling) -> Iterator[str]:
        """Yields the reply in pieces; a thread generates it."""
        from transformers import TextIteratorStreamer

        prompt = self._features(messages)
        streamer = TextIteratorStreamer(
            self.tokenizer, skip_prompt=True, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        stop = threading.Event()
        failures: list[Exception] = []

        def generate() -> None:
            try:
                self.generate(
                    [prompt], [seed], sampling, streamer=streamer, stopping_criteria=[_StopWhen(stop)]
                )
            except Exception as error:  # raised again in the thread that reads the pieces
                failures.append(error)
                streamer.end()

        thread = threading.Thread(target=generate, name="hf-generate", daemon=True)
        thread.start()
        try:
            yield from (piece for piece in streamer if piece)
        finally:
            stop.set()
            thread.join()
        if failures:
            raise EngineError(f"generation failed: {reason(failures[0])}") from failures[0]

    def generate(
        self, prompts: Sequence[Features], seeds: Sequence[int], sampling: Sampling, **more: Any
    ) -> Any:
        """Returns the tokens of the prompts, padded on the left, and of their replies."""
        import torch

        room = self.prompter.context - min(prompt.n_tokens for prompt in prompts)
        with torch.inference_mode():
            return self.model.generate(
                **self._collate(prompts),
                max_new_tokens=min(sampling.max_tokens, room),
                logits_processor=draws.processors(sampling, seeds),
                **more,
            )

    def likelihoods(self, pairs: Sequence[tuple[Prepared, Sequence[str]]]) -> list[list[float]]:
        """Returns the log-likelihoods in nats of each prompt's texts as the beginning of its reply.

        Args:
            pairs: prompts with non-empty texts.
        """
        return [[self._likelihood(prompt, text) for text in texts] for prompt, texts in pairs]

    def image_attention(self, prompts: Sequence[Prepared]) -> list[NDArray[np.float64] | str]:
        """Returns for each prompt the attention of its last token to its image, or the reason why there is none.

        Arrays have the shape (layers, rows, columns) of the image's tokens; attention is the mean over heads.

        Raises:
            EngineError: the structure of the model is not known.
        """
        raise EngineError(
            f"the attention of a {self.model.config.model_type} is not known by layer: add --no-layers"
        )

    def _likelihood(self, prompt: Prepared, text: str) -> float:
        import torch

        assert isinstance(prompt, Features)
        ids = torch.tensor(self._reply_ids(text))
        n_fed = len(ids) - 1
        batch = self._collate([prompt])
        for key in _PER_TOKEN & batch.keys():
            more = (
                ids[None, :-1] if key == "input_ids" else torch.full((1, n_fed), int(key == "attention_mask"))
            )
            batch[key] = torch.cat([batch[key], more.to(batch[key])], dim=1)
        with torch.inference_mode():
            scores = self.model(**batch, use_cache=False, logits_to_keep=len(ids)).logits[0].double()
        return float(scores.log_softmax(-1)[torch.arange(len(ids)), ids].sum())

    def _reply_ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def completion(self, tokens: list[int], n_prompt_tokens: int, latency_s: float) -> Completion:
        """Returns the completion of a reply, which ends at its first end-of-sequence token."""
        end = next((i for i, token in enumerate(tokens) if token in self.eos), None)
        text = self.tokenizer.decode(
            tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Completion(
            text=text.rstrip("\ufffd"),  # the last character may be cut in the middle; vLLM drops it too
            finish_reason="length" if end is None else "stop",
            n_prompt_tokens=n_prompt_tokens,
            n_completion_tokens=len(tokens) if end is None else end + 1,
            latency_s=latency_s,
        )

    def free_cache(self) -> None:
        """Drops what is only kept to save work, and returns unused memory to the GPU."""
        _empty_gpu_cache()

    def weights_changed(self) -> None:
        """Drops everything that was computed with earlier weights."""

    def unload(self) -> None:
        """Frees the memory of the model."""
        self.model = self.prompter.processor = self.tokenizer = None
        gc.collect()
        _empty_gpu_cache()

    def _features(self, messages: Sequence[Message]) -> Features:
        features = process(self.prompter, self.prompter.render(messages))
        n_tokens = int(features["input_ids"].shape[1])
        if n_tokens >= self.prompter.context:
            raise too_long(n_tokens, self.prompter.context)
        return Features(features, n_tokens)

    def _collate(self, prompts: Sequence[Features]) -> dict[str, Any]:
        """Builds one batch: pads per-token tensors on the left and concatenates the others."""
        import torch

        width = max(prompt.n_tokens for prompt in prompts)
        batch: dict[str, Any] = {}
        for key in dict.fromkeys(key for prompt in prompts for key in prompt.features):
            tensors = [torch.as_tensor(p.features[key]) for p in prompts if key in p.features]
            if key in _PER_TOKEN:
                fill = self.pad if key == "input_ids" else 0
                tensors = [
                    torch.nn.functional.pad(tensor, (width - tensor.shape[1], 0), value=fill)
                    for tensor in tensors
                ]
            joined = torch.cat(tensors)
            if joined.is_floating_point() and key.startswith("pixel_values"):
                joined = joined.to(self.model.dtype)
            batch[key] = joined.to(self.model.device)
        return batch


class _Whole:
    """A batch that `generate` answers in one step."""

    def __init__(self, network: Network, items: list[Item], sampling: Sampling) -> None:
        self._network = network
        self.items = items
        self._sampling = sampling

    def step(self) -> list[tuple[Item, Completion]]:
        network, began = self._network, time.perf_counter()
        prompts = [prompt for _, prompt in self.items]
        width = max(prompt.n_tokens for prompt in prompts)
        seeds = [request.seed for request, _ in self.items]
        rows = network.generate(prompts, seeds, self._sampling)[:, width:].tolist()  # type: ignore[arg-type]  # its own prompts
        latency = time.perf_counter() - began
        done = []
        for item, row in zip(self.items, rows, strict=True):
            n_tokens = item[1].n_tokens
            limit = min(self._sampling.max_tokens, network.prompter.context - n_tokens)
            done.append((item, network.completion(row[:limit], n_tokens, latency)))
        self.items = []
        return done


class _StopWhen:
    """Ends a generation when the event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device)


def _empty_gpu_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _token_ids(value: int | list[int] | None) -> set[int]:
    return set() if value is None else {value} if isinstance(value, int) else set(value)
