"""Finds the weights inside a trainer's checkpoint folder, or what must be merged into weights first.

The layouts are those of verl, EasyR1, ms-swift, LLaMA-Factory, TRL and transformers (docs/other-tools.md lists the
source files from which they are known). Only names and file headers are read.
"""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.tensors import list_names, read_header

_SHARD = re.compile(r"model_world_size_(?P<world>\d+)_rank_(?P<rank>\d+)\.pt")
_MERGED = ("actor/huggingface", "huggingface")
"""Where verl and EasyR1 put merged weights. The second place is that of verl's trainer for supervised training."""
LORA = "lora_adapter"
"""The folder in which verl and EasyR1 save an adapter, and verl's merger the adapter that it leaves unmerged."""
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
ADAPTER_COMMAND = "python -m ssl4rl_bench.merge_adapter"

Kind = Literal["fsdp", "megatron", "adapter"]


@dataclass(frozen=True, slots=True)
class Unmerged:
    """Shards or an adapter, which no engine loads."""

    kind: Kind
    folder: Path
    """The folder with the shards' or the adapter's files."""
    trainer: str = ""
    """The trainer that wrote the shards: "verl" or "EasyR1"; empty for an adapter."""

    def __str__(self) -> str:
        if self.kind == "adapter":
            return "a LoRA adapter (PEFT) without its base"
        return f"{'FSDP' if self.kind == 'fsdp' else self.kind} shards of {self.trainer}"

    def files(self) -> list[Path]:
        """Returns the files that determine the merged weights, sorted."""
        match self.kind:
            case "fsdp":
                inside = [path for path in self.folder.iterdir() if _SHARD.fullmatch(path.name)]
            case "megatron":
                inside = [path for path in (self.folder / "dist_ckpt").rglob("*") if path.is_file()]
            case "adapter":
                inside = list(self.folder.glob("adapter_*"))
        return sorted([*inside, *(self.folder / "huggingface").glob("*.json")])

    def check(self) -> None:
        """Checks from names and the ends of files that the trainer finished writing.

        Raises:
            ModelError: if a file is missing, cut off, or a pickled adapter.
        """
        if self.kind == "fsdp":
            self._check_shards()
        elif self.kind == "megatron" and not any((self.folder / "dist_ckpt").glob("*metadata*")):
            raise ModelError(
                f"{self.folder / 'dist_ckpt'} has no metadata, which is saved last: it is incomplete"
            )
        elif self.kind == "adapter":
            if not (self.folder / "adapter_config.json").is_file():
                raise ModelError(
                    f"{self.folder} lacks adapter_config.json; copy it from the trainer's folder"
                )
            if not (self.folder / "adapter_model.safetensors").is_file():
                raise ModelError(
                    f"{self.folder} has no adapter_model.safetensors (a pickled adapter is never loaded); "
                    "save it with save_pretrained of peft"
                )
            read_header(self.folder / "adapter_model.safetensors")

    def _check_shards(self) -> None:
        names = [match for path in self.folder.iterdir() if (match := _SHARD.fullmatch(path.name))]
        worlds = {int(name["world"]) for name in names}
        if len(worlds) > 1:
            raise ModelError(
                f"{self.folder} holds shards of {len(worlds)} saves, by {list_names(map(str, sorted(worlds)))} "
                "processes; delete those of the earlier one"
            )
        ranks = {int(name["rank"]) for name in names}
        missing = sorted(set(range(max(worlds, default=0))) - ranks)
        if missing:
            raise ModelError(
                f"{self.folder} lacks {len(missing)} of {max(worlds)} shards (first that of rank {missing[0]}); "
                "the trainer was stopped while it saved them"
            )
        for name in names:
            if not zipfile.is_zipfile(self.folder / name.string):  # the form of torch.save, with its end last
                raise ModelError(f"{self.folder / name.string} is cut off; save or copy the checkpoint again")

    def command_words(self, target: Path) -> list[str]:
        """Returns the words of the command that makes a checkpoint of them in the new folder `target`."""
        if self.kind == "adapter":
            return ["python", "-m", "ssl4rl_bench.merge_adapter", str(self.folder), str(target)]
        if self.trainer == "EasyR1":
            return ["python", "scripts/model_merger.py", "--local_dir", str(self.folder)]
        words = ["python", "-m", "verl.model_merger", "merge", "--backend", self.kind]
        return [*words, "--local_dir", str(self.folder), "--target_dir", str(target)]

    def command(self) -> str:
        """Returns the command for messages, with NEW as the folder of the result."""
        text = shlex.join(self.command_words(Path("NEW")))
        if self.trainer == "EasyR1":
            text += f" (in a checkout of EasyR1), which writes {self.folder / 'huggingface'}"
        return text


def locate(folder: Path) -> Path | Unmerged | None:
    """Returns the folder of a checkpoint's weights, or what must be merged, or None if it has neither.

    An adapter counts as merged if `FOLDER-merged` has weights, where ms-swift puts them.
    """
    for place in (folder, *(folder / inner for inner in _MERGED)):
        # verl's merger writes the base, without the adapter, and the adapter into a sub-folder.
        if has_weights(place) and not (place / LORA).is_dir():
            return place
    if any(folder.glob("adapter_config.json")) or any(folder.glob("adapter_model.*")):
        merged = folder.with_name(f"{folder.name}-merged")
        return merged if has_weights(merged) else Unmerged("adapter", folder)
    shards = next(find_shards(folder), None)
    if shards is None or shards.trainer == "EasyR1":  # whose command merges adapters too
        return shards
    adapter = shards.folder / LORA
    complete = all((adapter / name).is_file() for name in _ADAPTER)
    return Unmerged("adapter", adapter) if complete else shards


def has_weights(folder: Path) -> bool:
    """Whether a folder holds safetensors files other than an adapter's."""
    return any(not path.name.startswith("adapter_") for path in folder.glob("*.safetensors"))


def find_shards(folder: Path) -> Iterator[Unmerged]:
    """Yields the shards of verl or EasyR1 in a folder: its own, those of `actor/`, those of the last step in it."""
    for place in (folder, folder / "actor", *sorted(folder.glob("global_step_*/actor"))[-1:]):
        names = [path.name for path in place.iterdir()] if place.is_dir() else []
        kind: Kind = "fsdp" if any(map(_SHARD.fullmatch, names)) else "megatron"
        if kind == "fsdp" or "dist_ckpt" in names:
            step = place.parent if place.name == "actor" else place
            # EasyR1 names its data loader's state and its list of checkpoints in another way than verl.
            easy = (step / "dataloader.pt").is_file() or (step.parent / "checkpoint_tracker.json").is_file()
            yield Unmerged(kind, place, "EasyR1" if easy else "verl")
