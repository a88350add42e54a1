"""Names the command-line options behind the keys in which two specs differ."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ssl4rl_bench.run.spec import RunSpec

_OPTIONS = (
    (r"tasks\.[^.]+\.n_samples", "--limit, --data or --skip-bad"),
    (r"tasks\.[^.]+\.data_sha256", "--data"),
    (r"tasks\.[^.]+\.prompt", "--prompt"),
    (r"tasks\.[^.]+\.image", "--image"),
    (r"tasks\.[^.]+\.sampling\.temperature", "--temperature"),
    (r"tasks\.[^.]+\.sampling\.max_tokens", "--max-tokens"),
    (r"tasks\.[^.]+\.sampling\.top_[pk]", "--preset"),
    (r"model\.fingerprint", "--model"),
    (r"engine\.name", "--engine"),
    (r"engine\.options\.(?P<key>.+)", "--set {key}"),
    (r"pixels\.(?P<key>min|max)", "--set {key}_pixels"),
    (r"repeats", "--repeats"),
    (r"seed", "--seed"),
    (r"shard(\..*)?", "--shard"),
)
"""Patterns of keys of spec.json, and the option of `run` that sets them."""
_OF_VERSION = {"mock": "--set mock", "replay": "--set replies"}
"""The options that determine the version of an engine without a model."""


def with_other_options(spec: RunSpec, stored: RunSpec) -> str:
    """Returns `differing_options` as a clause: ", with another `--limit`"; "" if there are none."""
    options = differing_options(spec, stored)
    return f", with another `{', '.join(options)}`" if options else ""


def differing_options(spec: RunSpec, stored: RunSpec) -> list[str]:
    """Returns the options of `run` by which a spec may differ from a stored one; empty if none is known."""
    return list(dict.fromkeys(_options(spec, stored)))


def _options(spec: RunSpec, stored: RunSpec) -> Iterator[str]:
    if set(spec.tasks) ^ set(stored.tasks):
        yield "--tasks"
    for key in spec.diff(stored):
        task = key.split(".")[1] if key.startswith("tasks.") else None
        if task is not None:
            here, before = spec.tasks.get(task), stored.tasks.get(task)
            if here is None or before is None:
                continue
            if key.endswith(".data_sha256") and here.n_samples != before.n_samples:
                continue  # other samples have another digest
        if key == "engine.version" and spec.engine == stored.engine and spec.engine in _OF_VERSION:
            yield _OF_VERSION[spec.engine]
        for pattern, option in _OPTIONS:
            if match := re.fullmatch(pattern, key):
                yield option.format(**match.groupdict())
                break
