"""Names the settings that can change a run's replies, besides its weights and its questions.

`pairing` compares the settings of two runs: a difference is refused, or allowed by name and then reported
with the numbers. The names are those of the fields of `RunSpec`, `TaskSpec`, `Sampling` and `EngineOptions`,
so a field that is added there is compared without a change here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.base import DTYPES, EngineOptions
from ssl4rl_bench.run.imported import IMPORTED
from ssl4rl_bench.run.spec import MOCK, REPLAY, RunSpec, TaskSpec
from ssl4rl_bench.score.outcomes import Outcomes

_NOT_COMPARED = {
    RunSpec: {
        "model": "a label",
        "fingerprint": "what is compared",
        "tasks": "read by task",
        "engine": "told in a note",
        "engine_version": "told in a note",
        "seed": "told in a note: runs of one experiment differ in it",
        "engine_options": "read one by one",
        "served": "read one by one",
        "scheme": "`pairing` compares it with this version's",
        "unused_defaults": "not applied",
        "shard": "reported as partial",
        "all_tasks": "reported as partial",
    },
    TaskSpec: {
        "sampling": "read one by one",
        "data_sha256": "`pairing` compares the questions' content",
        "n_samples": "as data_sha256",
    },
    EngineOptions: {
        "served_model": "what is compared",
        "base_urls": "where it ran",
        "device_map": "where it ran",
        "batch_size": "how fast it ran",
        "renderers": "how fast it ran",
        "vllm": "read one by one, as vllm.KEY",
        "tensor_parallel_size": "how fast it ran",
        "gpu_memory_utilization": "how fast it ran",
        "concurrency": "how fast it ran",
        "replies": "what is compared",
        "mock": "what is compared",
        "mock_latency": "how fast it ran",
        "mock_faults": "leaves replies out, and changes none",
        "margin": "changes no reply",
        "seed": "told in a note",
    },
}
"""Fields that are not compared as settings, with the reason. All other fields are compared."""
_UNHASHED = ("recorded_by", IMPORTED, *_NOT_COMPARED[EngineOptions])
"""Engine options in a spec that are not compared."""
ALIASES: Mapping[str, tuple[str, ...]] = {"sampling": ("temperature", "top_p", "top_k")}
"""Older names that `--allow` accepts, and the settings that they stand for."""
_MEANINGS = {
    "partial": "a run that is not of the whole benchmark, or not all answered",
    "version": "another version of the task",
    "data": "other questions under the same version",
    "prompt": "another prompt style",
    "extractor": "replies read by another extractor or version of it (`ssl4rl-bench score RUN` reads them again)",
    "image": "images blanked, shuffled or left out in one run only",
    "chat_template": "another chat template",
    "dtype": "another number format",
    "scheme": "weights fingerprinted by another scheme than this version's",
}
"""Descriptions of the differences whose names do not explain themselves."""
_OWN = "the checkpoint's own"


def _compared(cls: type) -> Iterator[str]:
    return (field.name for field in fields(cls) if field.name not in _NOT_COMPARED.get(cls, {}))


NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *("partial", "version", "data", "prompt", "extractor", "image", "chat_template", "scheme"),
            *_compared(Sampling),
            *_compared(RunSpec),
            *_compared(TaskSpec),
            *_compared(EngineOptions),
        )
    )
)
"""Settings that two runs must share unless they are allowed, by `--allow` or by a policy's `allow`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting in one run."""

    value: Any
    """None if it was not recorded, or does not apply to the run."""
    text: str
    """The value as messages print it."""
    is_default: bool = False
    """Whether the value is the checkpoint's default, which the run need not have recorded."""
    is_unknown: bool = False
    """Whether nobody knows the value, as of an imported run. It differs from every value, also an unknown one."""


UNKNOWN = Setting(None, "unknown", is_unknown=True)
"""A setting that the source of an imported run does not state."""


def check_allowed(names: Collection[str]) -> frozenset[str]:
    """Returns the names, with each older name replaced by the settings that it stands for.

    Raises:
        UsageError: an unknown name.
    """
    known = (*NAMES, *ALIASES)
    for name in names:
        if name not in known:
            raise UsageError(
                f"--allow {name} is unknown (known: {', '.join(NAMES)}){did_you_mean(name, known)}"
            )
    return frozenset(setting for name in names for setting in ALIASES.get(name, (name,)))


def settings(spec: RunSpec, result: Mapping[str, Any], outcomes: Outcomes) -> dict[str, Setting]:
    """Returns all settings of a task of a run that must be equal, except those of its data.

    Args:
        result: the run's result.json, which has the checkpoint's chat template and pixel limits if an older
            spec.json lacks them.
        outcomes: the outcomes of the task.
    """
    task = spec.tasks[outcomes.task]
    served = spec.served or result.get("model", {}).get("served", {})
    values = {name: getattr(task.sampling, name) for name in _compared(Sampling)}
    values |= {name: getattr(spec, name) for name in _compared(RunSpec)}
    values |= {name: getattr(outcomes, name, getattr(task, name, None)) for name in _compared(TaskSpec)}
    values |= dict.fromkeys(_compared(EngineOptions)) | {
        name: value for name, value in spec.engine_options.items() if name not in _UNHASHED
    }
    reader = f" version {outcomes.reader}" if outcomes.reader != 1 else ""
    dtype = str(spec.engine_options.get("dtype") or _version_and_dtype(spec)[1])
    values |= {"extractor": outcomes.extractor + reader, "dtype": dtype}
    out = {name: Setting(value, "none" if value is None else _text(value)) for name, value in values.items()}
    for name in ("min_pixels", "max_pixels"):
        asked, default = getattr(spec, name), served.get(name)
        text = str(asked) if asked else f"{_OWN} {default}" if default else f"{_OWN}, not recorded"
        out[name] = Setting(asked or default, text, is_default=not asked)
    template = served.get("chat_template")
    out |= {"chat_template": Setting(template, str(template), is_default=True)}
    return out | {name: UNKNOWN for name in NAMES if name in spec.unknown}


def setting_differences(one: Mapping[str, Setting], two: Mapping[str, Setting]) -> list[tuple[str, str]]:
    """Returns the name and the description of each setting that differs, with the first run's value first.

    A setting is not different if both runs use the checkpoint's default and one did not record it: see
    `unrecorded`. Settings that are unknown in a run are left out: see `Setting.is_unknown`.
    """
    out = []
    for name in dict.fromkeys((*one, *two)):
        mine, theirs = one.get(name, Setting(None, "none")), two.get(name, Setting(None, "none"))
        unknown = mine.is_default and theirs.is_default and None in (mine.value, theirs.value)
        unknown = unknown or mine.is_unknown or theirs.is_unknown
        if mine.value != theirs.value and not unknown:
            out.append((name, f"{_MEANINGS.get(name, f'another {name}')} ({mine.text} and {theirs.text})"))
    return out


def unrecorded(spec: RunSpec, recorded: Mapping[str, Setting]) -> list[str]:
    """Returns what a run did not record about its prompts; empty for a run that asked no model."""
    if spec.engine in (MOCK, REPLAY, IMPORTED):
        return []
    words = {"chat_template": "chat template", "min_pixels": "pixel limits", "max_pixels": "pixel limits"}
    return list(dict.fromkeys(text for name, text in words.items() if recorded[name].value is None))


def software(spec: RunSpec) -> str:
    """Returns the engine and its version for notes; only the engine for a mock or a replay."""
    if (imported := spec.imported) is not None:
        return f"an engine that is not known (imported from {imported.origin})"
    if spec.engine in (MOCK, REPLAY):  # their version identifies the weights, not the software
        return spec.engine
    return f"{spec.engine} {_version_and_dtype(spec)[0]}"


def _version_and_dtype(spec: RunSpec) -> tuple[str, str]:
    """Splits off the number format, which engines append to their version if it was requested."""
    head, plus, last = spec.engine_version.rpartition("+")
    return (head, last) if plus and last in DTYPES else (spec.engine_version, "auto")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
