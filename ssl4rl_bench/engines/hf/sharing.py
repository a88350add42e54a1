"""Answers batches of a Qwen2-VL, Qwen2.5-VL or Qwen3-VL without computing anything twice.

Each image goes through the vision encoder once. The tokens that the prompts of a family have in common go
through the language model once, then the rest of each distinct prompt; its repeats start from copies of its keys
and values. Replies equal those of `generate` for each prompt alone, up to the order of floating-point sums.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ssl4rl_bench.core.types import Message, Sampling
from ssl4rl_bench.engines.hf import attention, forced, looking
from ssl4rl_bench.engines.hf.cache import KeyValues
from ssl4rl_bench.engines.hf.grouping import Family, chunks
from ssl4rl_bench.engines.hf.network import Item, Network, Prepared
from ssl4rl_bench.engines.hf.prompts import IMAGE, Preparer, VisualPrompt
from ssl4rl_bench.engines.hf.rows import Part, Row, RowBatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ssl4rl_bench.engines.inputs import Prompter

_FAMILIES = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl"})
_PASS_TOKENS = {"cpu": 4096}
"""The most tokens of a forward pass over prompts, by type of device."""
_PASS_TOKENS_ELSE = 32_768


def can_share(model: Any) -> bool:
    """Whether `SharingNetwork` supports a loaded model: its structure, attention and placement."""
    text = model.config.get_text_config()
    return (
        model.config.model_type in _FAMILIES
        and len(set((getattr(model, "hf_device_map", None) or {"": 0}).values())) == 1
        and text._attn_implementation in ("sdpa", "eager")
        and set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    )


class SharingNetwork(Network):
    """A loaded checkpoint of a model for which `can_share` holds; see `Network`."""

    joins = True

    def __init__(self, loaded: Any, prompter: Prompter) -> None:
        super().__init__(loaded, prompter)
        self._inner = loaded.model
        self._takes_masks_by_layer = loaded.config.model_type != "qwen3_vl"
        text = self._inner.language_model.config
        self._is_causal_without_mask = text._attn_implementation == "sdpa" and self._takes_masks_by_layer
        if text._attn_implementation == "sdpa":
            text._attn_implementation = attention.register()
        self._device = loaded.device
        self._preparer = Preparer(prompter, self._inner.get_rope_index, loaded.config)
        self._pass_tokens = _PASS_TOKENS.get(self._device.type, _PASS_TOKENS_ELSE)

    def prepare(self, messages: Sequence[Message]) -> VisualPrompt:
        """See `Network.prepare`."""
        return self._preparer.prepare(messages)

    def weights_changed(self) -> None:
        """See `Network.weights_changed`."""
        self._preparer.forget()

    def free_cache(self) -> None:
        """See `Network.free_cache`."""
        self._preparer.forget()
        super().free_cache()

    def unload(self) -> None:
        """See `Network.unload`."""
        del self._inner, self._preparer
        super().unload()

    def start(self, families: Sequence[Family[Item]], sampling: Sampling) -> RowBatch:
        """Computes the prompts. See `Network.start`."""
        import torch

        began = time.perf_counter()
        with torch.inference_mode():
            self._encode([_prompt(member[0]) for family in families for member in family.members])
            parts = []
            for chunk in chunks(families, self._pass_tokens):
                part, starts = self._prefill(chunk)
                members = [member for family in chunk for member in family.members]
                rows = [
                    (self._row(item, starts[index], sampling, began), index)
                    for index, member in enumerate(members)
                    for item in member
                ]
                parts.append((part, rows))
            return RowBatch(self, parts, sampling)

    def decode(self, tokens: Any, positions: Any, bias: Any, kv: KeyValues) -> Any:
        """Returns the scores after one more token per row, of shape (rows, vocabulary).

        Args:
            tokens: array of shape (rows, 1).
            positions: array of shape (rows,).
            bias: array of shape (rows, 1, 1, columns), added to the scores of attention.
            kv: the keys and values so far; those of the tokens are appended.
        """
        embeds = self._inner.get_input_embeddings()(tokens)
        hidden = self._forward(embeds, positions[None, :, None].expand(3, -1, 1), bias, kv)
        return self.model.lm_head(hidden[:, -1])

    def likelihoods(self, pairs: Sequence[tuple[Prepared, Sequence[str]]]) -> list[list[float]]:
        """See `Network.likelihoods`. Each prompt is computed once; its texts start from copies of its keys."""
        import torch

        out: list[list[float]] = [[] for _ in pairs]
        with torch.inference_mode():
            self._encode([cast(VisualPrompt, prompt) for prompt, _ in pairs])
            families = [
                forced.family(index, cast(VisualPrompt, prompt), map(self._reply_ids, texts))
                for index, (prompt, texts) in enumerate(pairs)
            ]
            for chunk in chunks(families, self._pass_tokens):
                replies = [[member[0] for member in family.members] for family in chunk]
                prompts = [[reply.prompt for reply in members] for members in replies]
                _, _, hidden, _ = self._computed(prompts, [family.prefix for family in chunk])
                ids = [reply.ids for members in replies for reply in members]
                values = iter(forced.log_likelihoods(hidden, ids, self.model.lm_head))
                for family, members in zip(chunk, replies, strict=True):
                    out[members[0].owner] = list(itertools.islice(values, len(family)))
        return out

    def image_attention(self, prompts: Sequence[Prepared]) -> list[NDArray[np.float64] | str]:
        """See `Network.image_attention`."""
        import torch

        texts = [cast(VisualPrompt, prompt) for prompt in prompts]
        merge = int(self.model.config.vision_config.spatial_merge_size)
        with torch.inference_mode():
            self._encode(texts)
            with looking.recording(self._inner.language_model.config) as rows:
                self._computed([[prompt] for prompt in texts], [0] * len(texts))
        return looking.image_maps(texts, rows.layers, merge)

    def _row(self, item: Item, start: int, sampling: Sampling, began: float) -> Row:
        import torch

        request, prompt = item
        generator = torch.Generator(self._device).manual_seed(request.seed) if sampling.temperature else None
        limit = min(sampling.max_tokens, self.prompter.context - prompt.n_tokens)
        return Row(item, start, generator, limit, began)

    def _forward(self, embeds: Any, positions: Any, bias: Any, kv: KeyValues, deep: Any = None) -> Any:
        """Runs the language model; returns its last hidden states, of shape (rows, tokens, hidden size)."""
        more = {} if deep is None else {"visual_pos_masks": deep[0], "deepstack_visual_embeds": deep[1]}
        hidden = self._inner.language_model(
            inputs_embeds=embeds,
            position_ids=positions,
            attention_mask={"full_attention": bias} if self._takes_masks_by_layer else bias,
            past_key_values=kv,
            use_cache=True,
            **more,
        ).last_hidden_state
        kv.width += embeds.shape[1]
        return hidden

    def _prefill(self, chunk: Sequence[Family[Item]]) -> tuple[Part, list[int]]:
        """Computes the prompts of some families in two passes: common prefixes, then what follows them.

        Returns:
            One row per distinct prompt, and for each the number of columns from its first token to its end.
        """
        import torch

        prompts = [[_prompt(member[0]) for member in family.members] for family in chunk]
        kv, valid, hidden, spans = self._computed(prompts, [family.prefix for family in chunk])
        bias = torch.zeros(valid.shape, dtype=self.model.dtype)
        bias = bias.masked_fill(~valid, torch.finfo(bias.dtype).min)[:, None, None].to(self._device)
        ends = [prompt.positions.max() + 1 for members in prompts for prompt in members]
        width = max(family.prefix for family in chunk)
        starts = [kv.width - (width - start if start else kv.width - end) for start, end in spans]
        return Part(kv, bias, torch.stack(ends).to(self._device), self.model.lm_head(hidden[:, -1])), starts

    def _computed(
        self, families: Sequence[Sequence[VisualPrompt]], prefixes: Sequence[int]
    ) -> tuple[KeyValues, Any, Any, list[tuple[int, int]]]:
        """Computes prompts in two passes: the prefix of each family, then what follows it in each prompt.

        Args:
            families: prompts with a common start, per family.
            prefixes: the number of tokens in common, per family.

        Returns:
            The keys and values; which of their columns hold tokens, of shape (prompts, columns); the hidden states of
            the second pass, aligned on the right; and the tokens of each prompt in the second pass (start, end).
        """
        import torch

        kv = KeyValues()
        width = max(prefixes)
        valid = torch.zeros(len(families), width, dtype=torch.bool)
        if width:
            firsts = [members[0] for members in families]
            valid, _ = self._segments(firsts, [(0, prefix) for prefix in prefixes], kv, valid[:, :0])
        prompts = [prompt for members in families for prompt in members]
        owners = [index for index, members in enumerate(families) for _ in members]
        spans = [(prefixes[owner], prompt.n_tokens) for owner, prompt in zip(owners, prompts, strict=True)]
        if width:
            kv = kv.repeated(owners, max(end - start for start, end in spans))
        valid, hidden = self._segments(prompts, spans, kv, valid[owners])
        return kv, valid, hidden, spans

    def _segments(
        self, prompts: Sequence[VisualPrompt], spans: Sequence[tuple[int, int]], kv: KeyValues, earlier: Any
    ) -> tuple[Any, Any]:
        """Computes a span of tokens of each prompt, after those whose keys and values are in `kv`.

        Args:
            earlier: boolean array of shape (prompts, columns of kv): where there are tokens.

        Returns:
            `earlier` with the new columns, and the hidden states, of shape (prompts, new columns, hidden size).
        """
        import torch

        width = max(end - start for start, end in spans)
        shape = (len(prompts), width)
        ids = torch.full(shape, self.pad)
        positions = torch.zeros(3, *shape, dtype=torch.long)
        seen = torch.zeros(shape, dtype=torch.bool)
        visual = torch.zeros(shape, dtype=torch.bool)
        features = []
        for row, (prompt, (start, end)) in enumerate(zip(prompts, spans, strict=True)):
            if start == end:
                continue
            ids[row, start - end :] = prompt.ids[start:end]
            positions[:, row, start - end :] = prompt.positions[:, start:end]
            seen[row, start - end :] = True
            if prompt.visuals and (count := int(prompt.is_visual[start:end].sum())):
                visual[row, start - end :] = prompt.is_visual[start:end]
                before = int(prompt.is_visual[:start].sum())
                of_prompt = torch.cat([v.features for v in prompt.visuals], dim=1)
                features.append(of_prompt[:, before : before + count])
        embeds = self._inner.get_input_embeddings()(ids.to(self._device))
        deep = None
        if features:
            joined = torch.cat(features, dim=1).to(embeds.dtype)
            where = visual.to(self._device)
            embeds[where] = joined[0]
            deep = (where, list(joined[1:])) if len(joined) > 1 else None
        valid = torch.cat([earlier, seen], dim=1)
        hidden = self._forward(embeds, positions.to(self._device), self._mask(valid, width), kv, deep)
        return valid, hidden

    def _mask(self, valid: Any, width: int) -> Any:
        """Returns what to add to the scores of attention of the last `width` columns; None if only causality counts.

        Args:
            valid: boolean array of shape (rows, columns): where there are tokens.
        """
        import torch

        columns = valid.shape[1]
        if columns == width and self._is_causal_without_mask and bool(valid.all()):
            return None
        causal = torch.ones(width, columns, dtype=torch.bool, device=self._device).tril(columns - width)
        # Padding attends to itself: the softmax of a row without any key is not a number.
        itself = causal.triu(columns - width)
        allowed = (valid.to(self._device)[:, None, :] & causal) | itself
        bias = torch.zeros(allowed.shape, dtype=self.model.dtype, device=self._device)
        return bias.masked_fill(~allowed, torch.finfo(bias.dtype).min)[:, None]

    def _encode(self, prompts: Sequence[VisualPrompt]) -> None:
        """Runs the vision encoder on the images and videos that have no features yet."""
        import torch

        pending = {v.number: v for prompt in prompts for v in prompt.visuals if v.features is None}
        twins = [v for prompt in prompts for v in prompt.visuals if v.features is None]
        for kind, group in itertools.groupby(
            sorted(pending.values(), key=lambda v: v.kind), key=lambda v: v.kind
        ):
            visuals = list(group)
            encode = self._inner.get_image_features if kind == IMAGE else self._inner.get_video_features
            pixels = torch.cat([v.pixels for v in visuals]).to(self._device, self.model.dtype)
            grids = torch.tensor([v.grid for v in visuals], device=self._device)
            out = encode(pixels, grids, return_dict=True)
            deep = getattr(out, "deepstack_features", None) or []
            layers = torch.stack([_joined(out.pooler_output), *map(_joined, deep)])
            for v, part in zip(visuals, layers.split([v.n_tokens for v in visuals], dim=1), strict=True):
                v.features, v.pixels = part, None
        for v in twins:
            if v.features is None:
                v.features, v.pixels = pending[v.number].features, None


def _joined(features: Any) -> Any:
    """Returns features of shape (tokens, hidden size), which transformers may split by image or video.

    Those of the deepstack layers are one tensor up to transformers 5.17 and split in 5.24.
    """
    import torch

    return features if isinstance(features, torch.Tensor) else torch.cat(list(features))


def _prompt(item: Item) -> VisualPrompt:
    return cast(VisualPrompt, item[1])
