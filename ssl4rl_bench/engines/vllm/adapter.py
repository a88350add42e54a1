"""All uses of vLLM's internals, which may change with any version. Checked with vLLM 0.26, 0.27 and 0.31.

A prompt that is ready for the model is an *engine input*: a dict with token ids and, per image or video, its
content hash, its place in the prompt and its preprocessed pixels (an *item*).
"""

from __future__ import annotations

import gc
import queue
import threading
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core.errors import EngineError, ModelError
from ssl4rl_bench.core.types import Message, Sampling
from ssl4rl_bench.engines.base import reason
from ssl4rl_bench.engines.inputs import Prompter, too_long

if TYPE_CHECKING:
    from ssl4rl_bench.engines.vllm.feed import Prepared

EngineInput = dict[str, Any]
_THREADS, _JOIN_S = ("MPClientEngineMonitor", "EngineCoreOutputQueueThread"), 5.0
_CHECK_S = 1.0
"""While nothing arrives from the engine's process, it is checked this often, in seconds."""
_CACHE_GB = 0.25
"""The size of a renderer process's cache of preprocessed images, in GB. It needs to hold one question."""


def on_cpu() -> bool:
    """Returns whether the installed vLLM runs on CPUs."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def argument_names() -> list[str]:
    """Returns the names of all arguments of an engine."""
    from vllm.engine.arg_utils import EngineArgs

    return [field.name for field in fields(EngineArgs)]


def make_config(arguments: Mapping[str, Any]) -> Any:
    """Returns vLLM's configuration, which can be sent to another process.

    The defaults are those of `vllm.LLM`; without a usage context, vLLM would put 2,048 tokens in a step.
    """
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    return EngineArgs(**arguments).create_engine_config(UsageContext.LLM_CLASS)


def max_running(config: Any) -> int:
    """Returns the maximum number of requests that the engine of this configuration runs at a time."""
    return int(config.scheduler_config.max_num_seqs)


class Renderer:
    """Turns messages into engine inputs. Images are decoded and preprocessed once, as long as caches hold them.

    Args:
        renderer: vLLM's renderer.
        config: vLLM's configuration.
        prompter: renders messages as text with the checkpoint's chat template.
    """

    def __init__(self, renderer: Any, config: Any, prompter: Prompter) -> None:
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        self._renderer = renderer
        self._model_config = config.model_config
        self._parse: Any = parse_model_prompt
        self._prompter = prompter

    @classmethod
    def in_own_process(cls, config: Any, prompter: Prompter) -> Renderer:
        """Creates a renderer in a process that has no engine."""
        from vllm.renderers import renderer_from_config

        if (of_images := config.model_config.multimodal_config) is not None:
            of_images.mm_processor_cache_gb = _CACHE_GB
            of_images.mm_processor_cache_type = "lru"
        return cls(renderer_from_config(config), config, prompter)

    def __call__(self, messages: Sequence[Message]) -> EngineInput:
        """Renders a prompt.

        Raises:
            UsageError: for a prompt that leaves no room for a reply.
            ModelError, images.ImageError: as `Prompter.render`.
        """
        rendered = self._prompter.render(messages)
        tokens = self._prompter.processor.tokenizer(rendered.text, add_special_tokens=False)["input_ids"]
        prompt: dict[str, Any] = {"prompt_token_ids": tokens}
        data = {
            "image": rendered.images,
            "video": [(v, about | {"do_sample_frames": False}) for v, about in rendered.videos],
        }
        if any(data.values()):
            prompt["multi_modal_data"] = {kind: items for kind, items in data.items() if items}
            prompt["multi_modal_uuids"] = {
                kind: ids
                for kind, ids in (("image", rendered.image_ids), ("video", rendered.video_ids))
                if ids
            }
        parsed = self._parse(self._model_config, prompt)
        # Which items the engine has is known only when the request is added (`LocalEngine.add`), so that here each
        # item is complete: `skip_mm_cache` avoids the cache that mirrors the engine's.
        (made,) = self._renderer.render_cmpl([parsed], skip_mm_cache=True)
        n_tokens = len(made["prompt_token_ids"])
        if n_tokens >= self._prompter.context:
            raise too_long(n_tokens, self._prompter.context)
        input_: EngineInput = made
        return input_


class LocalEngine:
    """A running vLLM engine. On a GPU, and on CPUs unless told otherwise, the model has a process of its own.

    Args:
        config: the result of `make_config`.
    """

    def __init__(self, config: Any) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        self._config = config
        self._sampling_params: Any = SamplingParams
        self._kinds: Any = RequestOutputKind
        self._engine: Any = LLMEngine.from_vllm_config(
            config, usage_context=UsageContext.LLM_CLASS, disable_log_stats=True
        )
        self._last: tuple[tuple[Sampling, bool], Any] | None = None

    @property
    def limits(self) -> dict[str, Any]:
        """The settings that matter for speed, as vLLM resolved them."""
        return {
            "max_num_seqs": max_running(self._config),
            "max_num_batched_tokens": self._config.scheduler_config.max_num_batched_tokens,
            "enforce_eager": bool(self._config.model_config.enforce_eager),
            "enable_prefix_caching": bool(self._config.cache_config.enable_prefix_caching),
        }

    def renderer(self, prompter: Prompter) -> Renderer:
        """Returns a renderer for use in this process."""
        return Renderer(self._engine.renderer, self._config, prompter)

    def add(self, key: str, prompt: EngineInput, sampling: Sampling, seed: int, delta: bool = False) -> None:
        """Starts a request.

        Args:
            key: the name of the request, which its outputs have.
            delta: whether to output pieces of the reply as they are generated, instead of the whole reply.

        Raises:
            EngineError: if the engine's process died.
            ValueError: if vLLM refuses the prompt.
        """
        self._start(key, prompt, self._params(sampling, seed, delta))

    def add_forced(self, key: str, prompt: EngineInput) -> None:
        """Starts a request for the log-likelihoods of the tokens of a prompt (`log_likelihood`).

        Raises:
            EngineError, ValueError: as `add`.
        """
        params = self._sampling_params(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, output_kind=self._kinds.FINAL_ONLY
        )
        self._start(key, prompt, params)

    def _start(self, key: str, prompt: EngineInput, params: Any) -> None:
        self._check_alive()
        cache = self._engine.renderer.mm_processor_cache
        if prompt["type"] != "multimodal" or cache is None:
            self._engine.add_request(key, prompt, params)
            return
        prompt, sent = _without_known_items(prompt, cache)
        try:
            self._engine.add_request(key, prompt, params)
        except BaseException:
            for item in sent:  # the engine has not received them
                _forget(cache, item)
            raise

    def step(self) -> list[Any]:
        """Waits for the model's next step and returns the outputs that it completes.

        Raises:
            EngineError: if the engine's process died. vLLM itself would wait for ever.
        """
        outputs = getattr(self._engine.engine_core, "outputs_queue", None)
        if isinstance(outputs, queue.Queue):
            with outputs.not_empty:
                while not outputs.queue:
                    self._check_alive()
                    outputs.not_empty.wait(_CHECK_S)
        return list(self._engine.step())

    def _check_alive(self) -> None:
        resources = getattr(self._engine.engine_core, "resources", None)
        if getattr(resources, "engine_dead", False):
            raise EngineError(
                "vLLM's process died; if memory ran out, allow fewer requests at a time: --set batch_size=N"
            )

    def abort(self, keys: Sequence[str]) -> None:
        """Ends requests without a reply."""
        self._engine.abort_request(list(keys))

    def close(self) -> None:
        """Stops vLLM and its processes."""
        self._engine.renderer.shutdown()
        self._engine.engine_core.shutdown()
        # If the engine's process died, one of these threads closes the sockets, and freeing them meanwhile can hang.
        for thread in [thread for thread in threading.enumerate() if thread.name in _THREADS]:
            thread.join(_JOIN_S)
        del self._engine
        gc.collect()

    def _params(self, sampling: Sampling, seed: int, delta: bool) -> Any:
        greedy = sampling.temperature == 0
        if greedy and self._last and self._last[0] == (sampling, delta):
            return self._last[1]  # vLLM copies it
        params = self._sampling_params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            seed=None if greedy else seed,
            output_kind=self._kinds.DELTA if delta else self._kinds.FINAL_ONLY,
        )
        self._last = (sampling, delta), params
        return params


def _without_known_items(prompt: EngineInput, cache: Any) -> tuple[EngineInput, list[str]]:
    """Removes the items that the engine already has.

    The engine keeps items in a cache, and `cache` mirrors it: both see the same items in the same order.

    Returns:
        A copy of the engine input, and the hashes of the items that are new to the engine.
    """
    items, hashes, places = prompt["mm_kwargs"], prompt["mm_hashes"], prompt["mm_placeholders"]
    order = sorted(
        (place.offset, kind, index) for kind, of_kind in places.items() for index, place in enumerate(of_kind)
    )
    for _, kind, index in order:
        cache.touch_sender_cache_item(hashes[kind][index])
    left: dict[str, list[Any]] = {kind: [None] * len(of_kind) for kind, of_kind in items.items()}
    new = []
    for _, kind, index in order:
        name = hashes[kind][index]
        known = cache.is_cached_item(name)
        left[kind][index], _ = cache.get_and_update_item((items[kind][index], ()), name)
        if not known:
            new.append(name)
    return {**prompt, "mm_kwargs": left}, new


def _forget(cache: Any, name: str) -> None:
    if hasattr(cache, "invalidate"):  # vLLM 0.31 has it
        cache.invalidate(name)
    else:
        cache._cache.pop(name, None)


def n_bytes(prompts: Iterable[Prepared]) -> int:
    """Returns the size of the pixels of prompts. What several of them share counts once."""
    items = {
        id(item): item
        for prompt in prompts
        if isinstance(prompt, dict)
        for of_kind in prompt.get("mm_kwargs", {}).values()
        for item in of_kind
    }
    return sum(getattr(field.data, "nbytes", 0) for item in items.values() if item for field in item.values())


def log_likelihood(output: Any, n_tokens: int) -> float:
    """Returns the sum of the log-likelihoods, in nats, of the last tokens of a prompt (`LocalEngine.add_forced`)."""
    ids, known = output.prompt_token_ids[-n_tokens:], output.prompt_logprobs[-n_tokens:]
    return float(sum(of_token[token].logprob for token, of_token in zip(ids, known, strict=True)))


def cached_tokens(output: Any) -> int:
    """Returns the number of prompt tokens whose keys and values were taken from the prefix cache."""
    return int(output.num_cached_tokens or 0)


class Wire:
    """Encodes the engine inputs of a unit for another process, with vLLM's own serializer (no pickle).

    Each item is encoded once, however many prompts show it, and its pixels are not copied.
    """

    def __init__(self) -> None:
        from vllm.multimodal.inputs import MultiModalKwargsItem, MultiModalKwargsItems, PlaceholderRange
        from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

        self._encoder = MsgpackEncoder()
        self._decoder = MsgpackDecoder(tuple[list[Any], list[MultiModalKwargsItem]])
        self._items: Any = MultiModalKwargsItems
        self._place: Any = PlaceholderRange

    def encode(self, prepared: Sequence[EngineInput | Exception]) -> list[Any]:
        """Returns buffers: the first describes all prompts, the others hold the pixels.

        Args:
            prepared: an engine input, or the error that preparing it raised, per request.
        """
        numbers: dict[tuple[str, str], int] = {}
        items: list[Any] = []
        prompts: list[Any] = []
        for made in prepared:
            if isinstance(made, Exception):
                prompts.append([reason(made), isinstance(made, ModelError)])
                continue
            parts = []
            for kind, hashes in made.get("mm_hashes", {}).items():
                for index, name in enumerate(hashes):
                    number = numbers.setdefault((kind, name), len(items))
                    if number == len(items):
                        items.append(made["mm_kwargs"][kind][index])
                    place = made["mm_placeholders"][kind][index]
                    mask = None if place.is_embed is None else place.is_embed.tolist()
                    parts.append([kind, name, number, place.offset, place.length, mask])
            prompts.append([array("i", made["prompt_token_ids"]).tobytes(), parts])
        return list(self._encoder.encode((prompts, items)))

    def decode(self, buffers: Sequence[Any]) -> list[Prepared]:
        """Reverses `encode`. The items refer to the memory of `buffers`, which they keep alive."""
        prompts, items = self._decoder.decode(buffers)
        out: list[Prepared] = []
        for first, second in prompts:
            if isinstance(first, str):
                out.append(ModelError(first) if second else first)
                continue
            tokens = array("i")
            tokens.frombytes(first)
            made: EngineInput = {"type": "token", "prompt_token_ids": tokens.tolist()}
            if second:
                made |= self._media(second, items)
            out.append(made)
        return out

    def _media(self, parts: Sequence[Any], items: Sequence[Any]) -> EngineInput:
        import torch

        kwargs: dict[str, list[Any]] = {}
        hashes: dict[str, list[str]] = {}
        places: dict[str, list[Any]] = {}
        for kind, name, number, offset, length, mask in parts:
            kwargs.setdefault(kind, []).append(items[number])
            hashes.setdefault(kind, []).append(name)
            is_embed = None if mask is None else torch.tensor(mask)
            places.setdefault(kind, []).append(self._place(offset=offset, length=length, is_embed=is_embed))
        return {
            "type": "multimodal",
            "mm_kwargs": self._items(kwargs),
            "mm_hashes": hashes,
            "mm_placeholders": places,
        }
