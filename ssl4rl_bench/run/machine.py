"""Inspects the machine for `doctor`: reads versions from package metadata and GPUs from the driver."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from ssl4rl_bench.run.doctor import PACKAGES, Gpu, Inventory


def take_inventory(runs: Path) -> Inventory:
    """Takes the inventory of this machine and this Python environment. `runs` need not exist yet."""
    return Inventory(
        python=sys.version_info[:3],
        system=f"{platform.system()} {platform.machine()}",
        packages=installed_versions(need.name for need in PACKAGES),
        gpus=parse_nvidia_smi(_nvidia_smi()) or gpus_of_driver(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_flags=parse_cpu_flags(_read(Path("/proc/cpuinfo"))),
        free_bytes=_free_bytes(runs),
        hf_token=_has_hf_token(),
        api_key=bool(os.environ.get("OPENAI_API_KEY", "").strip()),
    )


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """Parses lines such as "NVIDIA H100 80GB HBM3, 81559, 570.86.15"; other lines are ignored."""
    gpus = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[0]:
            memory = int(fields[1]) if fields[1].isdecimal() else None
            gpus.append(Gpu(fields[0], memory, f"driver {fields[2]}"))
    return tuple(gpus)


def parse_cpu_flags(cpuinfo: str) -> frozenset[str] | None:
    """Returns the instruction sets of the first core; None if the text lists none."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return None


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of the installed distributions among `packages`, without importing them."""
    installed = {name: _version(name) for name in packages}
    return {name: version for name, version in installed.items() if version is not None}


@cache
def _version(package: str) -> str | None:
    """Returns the version of a distribution, or None. Each takes a millisecond to look up, so it is cached."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _nvidia_smi() -> str:
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def gpus_of_driver(root: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[Gpu, ...]:
    """Returns the GPUs that NVIDIA's driver lists. Many containers lack nvidia-smi."""
    gpus = []
    for path in sorted(root.glob("*/information")):
        fields = dict(line.split(":", 1) for line in _read(path).splitlines() if ":" in line)
        gpus.append(Gpu(fields.get("Model", "NVIDIA GPU").strip(), None, None))
    return tuple(gpus)


def _free_bytes(runs: Path) -> int:
    existing = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _has_hf_token() -> bool:
    """Checks whether a token exists. A token file is not read."""
    if any(os.environ.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")):
        return True
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    path = Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").expanduser()
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
