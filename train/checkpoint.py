"""Saves checkpoints as folders that transformers and vLLM can load.

A checkpoint is written to a temporary folder and then renamed. Its layout is

step-000300/                weights in the base's dtype, config, tokenizer, processor, chat template
    ssl4rl.json README.md   provenance and model card
    adapter/                with LoRA: the adapter alone (it is merged into the weights above)
    trainer/                the files needed to resume; may be deleted
        files.json          their names and sizes
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError, TrainingError
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.adapters import merged_network
from ssl4rl_bench.engines.checkpoints.origin import FILE
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.train.agreement import on_main
from ssl4rl_bench.train.sharded import drop_tied_head

TRAINER = "trainer"
FILES = "files.json"
ADAPTER = "adapter"
_SAVING = ".saving"
_RESUMING = ".resuming"
_REMOVING = ".removing"
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
    "zero_to_*.py",
)
"""Files and folders in which transformers, accelerate (FSDP) and DeepSpeed save their state."""
_LITTLE = 64 << 20
"""A failed save is attributed to a full disk if less than this many bytes are free."""


def folder_name(updates: int, updates_a_step: int) -> str:
    """Returns the name of a checkpoint: "step-000300", or "step-000300.2" two updates into step 301."""
    step, more = divmod(updates, updates_a_step)
    return f"step-{step:06d}" + (f".{more}" if more else "")


def complete_checkpoints(out: Path) -> list[Path]:
    """Returns the run's checkpoints, oldest first. All are complete, since a folder is renamed when it is."""
    matches = [(match, path) for path in out.glob("step-*") if (match := _NAME.fullmatch(path.name))]
    return [p for _, p in sorted(matches, key=lambda item: (int(item[0][1]), int(item[0][2] or 0)))]


def last_resumable(out: Path) -> Path | None:
    """Returns the newest checkpoint that can be resumed, or None."""
    return next((p for p in reversed(complete_checkpoints(out)) if _is_resumable(p)), None)


def _is_resumable(checkpoint: Path) -> bool:
    """Whether the files needed to resume are complete; those of older versions have no list of files."""
    state = checkpoint / TRAINER
    if not (state / "trainer_state.json").is_file():
        return False
    try:
        sizes = parse_json((state / FILES).read_bytes())
        return all((state / name).stat().st_size == size for name, size in sizes.items())
    except FileNotFoundError:
        return not (state / FILES).exists()
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def remove_interrupted(out: Path) -> None:
    """Removes the temporary files of interrupted saves."""
    for name in (_SAVING, _RESUMING, _REMOVING):
        shutil.rmtree(out / name, ignore_errors=True)
    atomic.sweep(out)


@contextmanager
def as_trainer_wrote(checkpoint: Path, state: Any) -> Iterator[Path]:
    """Provides a checkpoint as the flat folder that transformers' Trainer expects, made of symbolic links.

    Args:
        state: accelerate's PartialState; all processes must enter and leave the context together.
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
        # The Trainer resumes from its own weights. It would load merged weights as those of a full model.
        shipped = [path for path in shipped if not _is_weights(path)]
    for path in [*shipped, *adapter, *state]:
        (view / path.name).symlink_to(path.resolve())


def _is_weights(path: Path) -> bool:
    return path.name.endswith((".safetensors", ".safetensors.index.json"))


@dataclass(frozen=True)
class Saver:
    """Writes the checkpoints of a run. The trainer calls it on every process."""

    out: Path
    updates_a_step: int
    keep: int
    """Number of the newest checkpoints that keep the files needed to resume."""
    dtype: str
    """The dtype of the saved weights, which is that of the base, such as "bfloat16"."""
    base: Path
    """Folder of the base, into which adapters are merged."""
    origin: Callable[[int], dict[str, Any]]
    """Returns the contents of ssl4rl.json after the given number of updates."""
    on_saved: Callable[[Path], None]
    """Called on the main process with each complete checkpoint."""

    def __call__(self, trainer: Any, write: Callable[[Path], None]) -> None:
        """Writes a checkpoint; after an error, none is left.

        Args:
            write: writes the files of transformers' Trainer below the given folder.

        Raises:
            StoreError: the disk is full, or permission is denied.
            ModelError: the files that were written do not match their config.json; the message explains how.
            TrainingError: a weight is not finite.
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
            on_main(trainer.accelerator, lambda: self._finish(scratch, place, trainer, updates))
        except Exception as error:
            full = shutil.disk_usage(self.out).free < _LITTLE
            if main:
                shutil.rmtree(scratch, ignore_errors=True)
            raise self._explained(error, place, full) from error

    def _finish(self, scratch: Path, place: Path, trainer: Any, updates: int) -> None:
        """Turns the files that the Trainer wrote below `scratch` into the checkpoint `place`."""
        made = next(scratch.glob("checkpoint-*"))
        self._arrange(made, trainer.processing_class, self.origin(updates))
        self._require_finite(made, place)
        fingerprint(made)
        sync(made)
        made.rename(place)
        atomic.sync_directory(self.out)
        scratch.rmdir()
        self._prune()
        self.on_saved(place)

    def _require_finite(self, folder: Path, place: Path) -> None:
        """Raises TrainingError if a weight is NaN or infinite."""
        name = non_finite_weights(folder)
        if name is None:
            return
        last = last_resumable(self.out)
        raise TrainingError(
            f"cannot save {place}: {name} is not finite; "
            + (f"{last} is the last good checkpoint" if last else "there is no earlier checkpoint")
            + "; train again with a lower optimizer.learning_rate"
        )

    def _explained(self, error: Exception, place: Path, full: bool) -> Exception:
        """Returns a StoreError with a one-line message if the disk caused the error, else the error."""
        if isinstance(error, TrainingError):
            return error
        number = error.errno if isinstance(error, OSError) else None
        text = str(error).lower()
        if full or number in (errno.ENOSPC, errno.EDQUOT) or "no space left" in text:
            reason = "the disk is full"
        elif number == errno.EFBIG or "file too large" in text:
            reason = "the file would be larger than this system allows (see `ulimit -f`)"
        elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "the folder is not writable"
        else:
            return error
        last = last_resumable(self.out)
        remaining = f"{last.name} is complete" if last else "there is no earlier one"
        return StoreError(
            f"cannot save {place}: {reason}; {remaining}; free some space and run the same command with --resume"
        )

    def _arrange(self, folder: Path, processor: Any, origin: dict[str, Any]) -> None:
        """Rearranges the files of the Trainer into the layout of checkpoints."""
        state = folder / TRAINER
        state.mkdir()
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle that is never read
        for pattern in _OF_TRAINER:
            for path in folder.glob(pattern):
                path.rename(state / path.name)
        if (folder / "adapter_config.json").is_file():
            self._merge(folder)
        else:
            drop_tied_head(folder)
            self._cast(folder, state)
        save_processor(processor, folder)
        (folder / "README.md").unlink(missing_ok=True)
        atomic.write_json(folder / FILE, origin)
        list_files(state)

    def _cast(self, folder: Path, state: Path) -> None:
        """Casts the weights to the base's dtype; originals of another dtype are moved to trainer/."""
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
        """Moves the adapter to its sub-folder, and saves the base with the adapter merged into it."""
        import torch

        adapter = folder / ADAPTER
        adapter.mkdir()
        for path in folder.glob("adapter_*"):
            if path.is_file():
                path.rename(adapter / path.name)
        merged, _ = merged_network(self.base, adapter)
        merged.to(getattr(torch, self.dtype)).save_pretrained(folder)

    def _prune(self) -> None:
        """Removes the files needed to resume from all but the newest checkpoints.

        They are first moved out of the checkpoint, so that a kill never leaves a part of them in it.
        """
        removing = self.out / _REMOVING
        for path in complete_checkpoints(self.out)[: -self.keep]:
            shutil.rmtree(removing, ignore_errors=True)
            with suppress(OSError):
                (path / TRAINER).rename(removing)
                atomic.sync_directory(path)
        shutil.rmtree(removing, ignore_errors=True)


def list_files(state: Path) -> None:
    """Writes the names and sizes of the files needed to resume to `FILES`, which must come last."""
    sizes = {str(p.relative_to(state)): p.stat().st_size for p in sorted(state.rglob("*")) if p.is_file()}
    atomic.write_json(state / FILES, sizes)


def non_finite_weights(folder: Path) -> str | None:
    """Returns the name of a tensor of a checkpoint that contains NaN or infinity, or None.

    Both the weights in the base's dtype and those in full precision are read.
    """
    import torch
    from safetensors import safe_open

    for path in sorted([*folder.glob("*.safetensors"), *(folder / TRAINER).glob("*.safetensors")]):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # not a mapping
                if not bool(torch.isfinite(file.get_tensor(name)).all()):
                    return str(name)
    return None


def save_processor(processor: Any, folder: Path) -> None:
    """Saves a processor, without the options with which its tokenizer was loaded."""
    tokenizer = getattr(processor, "tokenizer", None)
    for key in ("is_local", "local_files_only"):
        getattr(tokenizer, "init_kwargs", {}).pop(key, None)
    processor.save_pretrained(folder)


def sync(folder: Path) -> None:
    """Flushes a folder's files to disk, so that they survive a power failure."""
    for path in [*folder.rglob("*"), folder]:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
