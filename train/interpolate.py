"""Interpolates between a base and a checkpoint trained from it.

Each weight is base + share * (trained - base). Interpolation can recover much of what training forgot while
keeping much of what it taught: "WiSE-FT", Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR
2022, arXiv:2109.01903.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import ModelError, UsageError
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.checkpoints.files import INDEX, weight_files
from ssl4rl_bench.engines.checkpoints.origin import FILE, read_origin
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model, side_files
from ssl4rl_bench.reports.model_card.write import write_card
from ssl4rl_bench.train.checkpoint import sync


def interpolate_checkpoints(trained: Model, share: float, out: Path, base: str | None = None) -> Path:
    """Writes a checkpoint whose weights lie between those of the base and of the trained checkpoint.

    One file of weights is in memory at a time. The folder `out` appears only when it is complete.

    Args:
        share: position between the base (0) and the trained checkpoint (1).
        base: folder, bundled name or hub id of the base; the default is the name in the checkpoint's
            ssl4rl.json.

    Raises:
        ModelError: the base is unknown, the checkpoint was trained from another one, or names or shapes of
            weights differ.
        UsageError: the share is outside 0 to 1, or `out` exists already.
        StoreError: the disk is full, or permission is denied.
    """
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"--share {share:g} is outside 0 (the base) to 1 (the trained checkpoint)")
    if out.exists():
        raise UsageError(f"{out} already exists: name another folder with --out")
    origin = read_origin(trained.path)
    start = base_of(trained, base)
    known = {"name": Path(start.name).name, "fingerprint": start.fingerprint, "revision": start.revision}
    origin["base"] = {**known, **(origin.get("base") or {}), "fingerprint": start.fingerprint}
    origin["fingerprint_scheme"] = SCHEME
    origin["interpolated"] = {"share": share, "trained": trained.fingerprint}
    scratch = out.with_name(f".{out.name}.saving")
    with atomic.reporting(out):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            _write(trained.path, start.path, share, scratch)
            atomic.write_json(scratch / FILE, origin)
            write_card(scratch)
            sync(scratch)
            scratch.rename(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return out


def base_of(trained: Model, asked: str | None) -> Model:
    """Returns the checkpoint that another was trained from: `asked`, or the one that its ssl4rl.json names.

    Raises:
        ModelError: the base is unknown or incomplete, or its fingerprint differs from the one in ssl4rl.json.
    """
    origin = read_origin(trained.path)
    about = origin.get("base") or {}
    name = asked or about.get("name")
    if not name:
        raise ModelError(
            f"{trained.name} does not record the checkpoint that it was trained from: name it with --base"
        )
    if not asked and about.get("revision"):
        name = f"{str(name).partition('@')[0]}@{about['revision']}"
    base = resolve_model(str(name))
    known = about.get("fingerprint")
    if known and known != base.fingerprint:
        scheme = origin.get("fingerprint_scheme", 1)
        older = (
            f" (the fingerprint in its {FILE} uses scheme {scheme}, not comparable with this version's {SCHEME}: "
            "if it is the base nevertheless, delete the fingerprint there)"
        )
        raise ModelError(
            f"{base.name} is not the checkpoint that {trained.name} was trained from: name that one with --base"
            + (older if scheme != SCHEME else "")
        )
    return base


def _write(trained: Path, base: Path, share: float, out: Path) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    place: dict[str, Path] = {}
    for path in weight_files(base):
        with safe_open(path, "pt") as file:
            place |= dict.fromkeys(file.keys(), path)
    for path in weight_files(trained):
        mixed: dict[str, Any] = {}
        with safe_open(path, "pt") as file:
            about = file.metadata()
            for name in file.keys():  # noqa: SIM118
                new = file.get_tensor(name)
                if name not in place:
                    raise ModelError(f"{base} has no weights {name}, which {trained} has")
                with safe_open(place[name], "pt") as other:
                    old = other.get_tensor(name)
                if old.shape != new.shape:
                    raise ModelError(
                        f"{name} has the shape {tuple(old.shape)} in {base} and {tuple(new.shape)} in {trained}"
                    )
                if new.is_floating_point():
                    new = torch.lerp(old.float(), new.float(), share).to(new.dtype)
                mixed[name] = new
        save_file(mixed, out / path.name, metadata=about)
    if (trained / INDEX).is_file():
        shutil.copyfile(trained / INDEX, out / INDEX)
    for name, content in side_files(trained).items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(content)
