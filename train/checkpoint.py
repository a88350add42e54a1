"""Checkpoints: folders that transformers and vLLM load, written beside their place and renamed into it.

step-000300/                weights in the base's dtype, config, tokenizer, processor, chat template
    ssl4rl.json README.md   where it comes from, the model card
    adapter/                with LoRA: the adapter alone (the weights above have it merged in)
    trainer/                what resuming needs; may be deleted
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.engines.checkpoints.origin import FILE
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.engines.loading import load_network

TRAINER = "trainer"
ADAPTER = "adapter"
_SAVING = ".saving"
_RESUMING = ".resuming"
_NAME = re.compile(r"step-(\d{6,})(?:\.(\d+))?")
_OF_TRAINER = (
    "optimizer*",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*",
    "trainer_state.json",
    "pytorch_model_fsdp*",
    "global_step*",
    "latest",
    "zero_to_fp32.py",
)
"""Files and folders that transformers, accelerate (FSDP) and DeepSpeed write for themselves."""
_LITTLE = 64 << 20
"""Bytes. With less free space than this a failed save is taken to be one of a full disk."""


def folder_name(updates: int, updates_a_step: int) -> str:
    """ "step-000300"; "step-000300.2" two updates into step 301."""
    step, more = divmod(updates, updates_a_step)
    return f"step-{step:06d}" + (f".{more}" if more else "")


def whole(out: Path) -> list[Path]:
    """The run's checkpoints, oldest first. A folder gets its name when it is whole, so all of them are."""
    found = [(match, path) for path in out.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    return [p for _, p in sorted(found, key=lambda item: (int(item[0][1]), int(item[0][2] or 0)))]


def last_resumable(out: Path) -> Path | None:
    """The newest checkpoint that has what resuming needs."""
    return next((p for p in reversed(whole(out)) if (p / TRAINER / "trainer_state.json").is_file()), None)


def clean(out: Path) -> None:
    """Removes what a killed save left behind."""
    for name in (_SAVING, _RESUMING):
        shutil.rmtree(out / name, ignore_errors=True)
    atomic.sweep(out)


@contextmanager
def as_trainer_wrote(checkpoint: Path, state: Any) -> Iterator[Path]:
    """The checkpoint as transformers' Trainer wants to resume it: one flat folder, of links.

    Args:
        state: accelerate's PartialState; all processes enter and leave together.
    """
    view = checkpoint.parent / _RESUMING
    if state.is_main_process:
        _link(checkpoint, view)
    state.wait_for_everyone()
    try:
        yield view
    finally:
        if state.is_main_process:
            shutil.rmtree(view, ignore_errors=True)


def _link(checkpoint: Path, view: Path) -> None:
    shutil.rmtree(view, ignore_errors=True)
    view.mkdir()
    state = list((checkpoint / TRAINER).iterdir())
    adapter = list((checkpoint / ADAPTER).glob("*"))
    shipped = [path for path in checkpoint.iterdir() if path.name not in (TRAINER, ADAPTER)]
    if adapter or any(_is_weights(path) for path in state):
        # The trainer's own count. Merged weights beside an adapter would be taken for a full model's.
        shipped = [path for path in shipped if not _is_weights(path)]
    for path in [*shipped, *adapter, *state]:
        (view / path.name).symlink_to(path.resolve())


def _is_weights(path: Path) -> bool:
    return path.name.endswith((".safetensors", ".safetensors.index.json"))


@dataclass(frozen=True)
class Saver:
    """Writes a run's checkpoints. Called by the trainer, on every process."""

    out: Path
    updates_a_step: int
    keep: int
    """Checkpoints that keep what resuming needs."""
    dtype: str
    """Of the weights to ship: the base's, "bfloat16"."""
    base: Path
    """Folder of the base, to merge an adapter into."""
    origin: Callable[[int], dict[str, Any]]
    """From updates done to the contents of ssl4rl.json."""
    on_saved: Callable[[Path], None]
    """Called on the main process with each whole checkpoint."""

    def __call__(self, trainer: Any, write: Callable[[Path], None]) -> None:
        """Writes a checkpoint, or leaves none.

        Args:
            write: writes what transformers' Trainer writes, below the folder given.

        Raises:
            StoreError: full disk, no permission.
            ModelError: what was written is not what its config.json says; tells how.
        """
        updates = trainer.state.global_step
        place = self.out / folder_name(updates, self.updates_a_step)
        scratch = self.out / _SAVING
        main = trainer.accelerator.is_main_process
        if place.exists():
            return
        try:
            if main:
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir()
            trainer.accelerator.wait_for_everyone()
            write(scratch)
            trainer.accelerator.wait_for_everyone()
            if main:
                made = next(scratch.glob("checkpoint-*"))
                self._arrange(made, trainer.processing_class, self.origin(updates))
                fingerprint(made)
                sync(made)
                made.rename(place)
                atomic.sync_directory(self.out)
                scratch.rmdir()
                self._prune()
                self.on_saved(place)
        except Exception as error:
            full = shutil.disk_usage(self.out).free < _LITTLE
            if main:
                shutil.rmtree(scratch, ignore_errors=True)
            raise self._explained(error, place, full) from error
        trainer.accelerator.wait_for_everyone()

    def _explained(self, error: Exception, place: Path, full: bool) -> Exception:
        """The error as one line, if it is the disk's."""
        number = error.errno if isinstance(error, OSError) else None
        text = str(error).lower()
        if full or number in (errno.ENOSPC, errno.EDQUOT) or "no space left" in text:
            reason = "the disk is full"
        elif number == errno.EFBIG or "file too large" in text:
            reason = "the file would be larger than this system allows (see `ulimit -f`)"
        elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "the folder may not be written to"
        else:
            return error
        last = last_resumable(self.out)
        kept = f"{last.name} is whole" if last else "there is no earlier one"
        return StoreError(
            f"cannot save {place}: {reason}; {kept}; free some space and run the same command with --resume"
        )

    def _arrange(self, folder: Path, processor: Any, origin: dict[str, Any]) -> None:
        """From what the Trainer wrote to this project's layout."""
        state = folder / TRAINER
        state.mkdir()
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nothing reads
        for pattern in _OF_TRAINER:
            for path in folder.glob(pattern):
                path.rename(state / path.name)
        if (folder / "adapter_config.json").is_file():
            self._merge(folder)
        else:
            self._cast(folder, state)
        save_processor(processor, folder)
        (folder / "README.md").unlink(missing_ok=True)
        atomic.write_json(folder / FILE, origin)

    def _cast(self, folder: Path, state: Path) -> None:
        """Ships weights in the base's dtype; where training keeps more bits, those stay in trainer/."""
        import torch
        from safetensors.torch import load_file, save_file

        wanted = getattr(torch, self.dtype)
        total = 0
        for path in sorted(folder.glob("*.safetensors")):
            tensors = load_file(path)
            if all(not t.is_floating_point() or t.dtype == wanted for t in tensors.values()):
                return
            path.rename(state / path.name)
            shipped = {n: t.to(wanted) if t.is_floating_point() else t for n, t in tensors.items()}
            save_file(shipped, path, metadata={"format": "pt"})
            total += sum(t.numel() * t.element_size() for t in shipped.values())
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            shutil.copyfile(index, state / index.name)
            values = json.loads(index.read_text())
            values.setdefault("metadata", {})["total_size"] = total
            index.write_text(json.dumps(values, indent=2) + "\n")
        config = folder / "config.json"
        text = re.sub(r'("(?:torch_)?dtype": )"float32"', rf'\1"{self.dtype}"', config.read_text())
        config.write_text(text)

    def _merge(self, folder: Path) -> None:
        """The base with the adapter merged in, as a folder of its own."""
        import torch
        from peft import PeftModel

        adapter = folder / ADAPTER
        adapter.mkdir()
        for path in folder.glob("adapter_*"):
            if path.is_file():
                path.rename(adapter / path.name)
        merged = PeftModel.from_pretrained(
            load_network(self.base, dtype=torch.float32), adapter
        ).merge_and_unload()
        merged.to(getattr(torch, self.dtype)).save_pretrained(folder)

    def _prune(self) -> None:
        for path in whole(self.out)[: -self.keep]:
            shutil.rmtree(path / TRAINER, ignore_errors=True)


def save_processor(processor: Any, folder: Path) -> None:
    """Saves a processor, without what its tokenizer keeps about how it was loaded."""
    tokenizer = getattr(processor, "tokenizer", None)
    for key in ("is_local", "local_files_only"):
        getattr(tokenizer, "init_kwargs", {}).pop(key, None)
    processor.save_pretrained(folder)


def sync(folder: Path) -> None:
    """Makes a folder outlive a power cut."""
    for path in [*folder.rglob("*"), folder]:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
