"""Rewrites a checkpoint's weights under the names that engines read, without loading them.

    python -m ssl4rl_bench.repair checkpoints/broken checkpoints/repaired

Takes the prefixes of training wrappers off the names, leaves out value heads, and writes an index that names every
tensor. Tensors keep their bytes. The result is checked as `run --model` checks it; where something is still wrong, no
folder is left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import BenchError, ModelError, UsageError
from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.engines.checkpoints.architecture import Expected, expected
from ssl4rl_bench.engines.checkpoints.completeness import is_extra_head, strip_wrappers
from ssl4rl_bench.engines.checkpoints.files import INDEX, SINGLE, read_config, weight_map
from ssl4rl_bench.engines.checkpoints.tensors import Tensor, TensorFile, list_names, read_header
from ssl4rl_bench.engines.checkpoints.weights import fingerprint, side_files

_BLOCK = 1 << 24
"""The number of bytes to copy at a time."""


def repair_checkpoint(
    folder: Path, out: Path, drop: Collection[str] = (), *, only_known: bool = False
) -> Path:
    """Writes the repaired checkpoint and returns `out`, which appears only when it is complete.

    Args:
        drop: the tensors to leave out, by their names in `folder`.
        only_known: leave out all tensors that config.json does not require, not only value heads.

    Raises:
        ModelError: if the result would still not be a complete checkpoint; the message says why.
        UsageError: if `out` exists, `folder` lacks a tensor in `drop`, or `only_known` is set for an unknown
            architecture.
        StoreError: if the disk is full or permission is denied.
    """
    if out.exists():
        raise UsageError(f"{out} already exists: name another folder")
    wanted = expected(read_config(folder))
    if only_known and wanted is None:
        raise UsageError(
            f"{folder}: the tensors that its config.json asks for are unknown; name the ones to leave out with --drop"
        )
    files = [read_header(path) for path in _sources(folder)]
    held = {name for file in files for name in file.tensors}
    if unknown := [name for name in drop if name not in held]:
        raise UsageError(f"{folder} has no {list_names(unknown)}")
    left_out = {name for name in held if name in drop or _is_extra(name, wanted, only_known)}
    scratch = out.with_name(f".{out.name}.saving")
    with atomic.reporting(out):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            _write(files, wanted, left_out, scratch)
            for name, content in side_files(folder).items():
                (scratch / name).parent.mkdir(exist_ok=True)
                (scratch / name).write_bytes(content)
            try:
                fingerprint(scratch)
            except ModelError as error:
                raise ModelError(
                    f"{folder} cannot be repaired by renaming alone: the result {error}"
                ) from None
            scratch.rename(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return out


def _sources(folder: Path) -> list[Path]:
    """Returns all files that hold weights, whether or not the index contains them."""
    paths = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_"))
    if (
        (folder / INDEX).is_file()
        and (folder / SINGLE).is_file()
        and SINGLE not in weight_map(folder).values()
    ):
        raise ModelError(f"{folder} contains both {SINGLE} and shards: delete the stale ones first")
    if not paths:
        raise ModelError(f"{folder} contains no safetensors files")
    return paths


def _write(
    files: Sequence[TensorFile], wanted: Expected | None, left_out: Collection[str], out: Path
) -> None:
    names: dict[str, str] = {}
    for number, file in enumerate(files, 1):
        tensors = {
            _renamed(name, wanted): tensor for name, tensor in file.tensors.items() if name not in left_out
        }
        place = SINGLE if len(files) == 1 else f"model-{number:05d}-of-{len(files):05d}.safetensors"
        if twice := [name for name in tensors if name in names]:
            raise ModelError(f"{file.path} holds {list_names(twice)} again: delete the stale file first")
        names |= dict.fromkeys(tensors, place)
        _write_file(out / place, tensors)
    if len(files) > 1:
        atomic.write_json(out / INDEX, {"metadata": {}, "weight_map": names})


def _renamed(name: str, wanted: Expected | None) -> str:
    plain = strip_wrappers(name)
    if wanted is None or wanted.knows(plain):
        return plain
    inner = f"model.{plain}"
    return inner if wanted.knows(inner) else wanted.tail(plain)


def _is_extra(name: str, wanted: Expected | None, only_known: bool) -> bool:
    if wanted is None or wanted.knows(_renamed(name, wanted)):
        return False
    return only_known or is_extra_head(name)


def _write_file(path: Path, tensors: dict[str, Tensor]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.size],
        }
        end += tensor.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data to 8 bytes
    with path.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            with tensor.path.open("rb") as source:
                source.seek(tensor.begin)
                left = tensor.size
                while left:
                    block = source.read(min(left, _BLOCK))
                    target.write(block)
                    left -= len(block)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ssl4rl_bench.repair", description=__doc__)
    parser.add_argument("folder", type=Path, help="the checkpoint to repair")
    parser.add_argument("out", type=Path, help="the folder of the repaired checkpoint; must not exist")
    parser.add_argument("--drop", action="append", default=[], metavar="NAME", help="a tensor to leave out")
    parser.add_argument(
        "--only-known", action="store_true", help="leave out all tensors that config.json does not ask for"
    )
    asked = parser.parse_args(arguments)
    try:
        print(repair_checkpoint(asked.folder, asked.out, asked.drop, only_known=asked.only_known))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    run_command(main)
