"""The provenance of each run: the model, the engine, the data, and the command that reproduces it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.result.tables import reading_line
from ssl4rl_bench.reports.text.cells import dig, import_line
from ssl4rl_bench.run.imported import IMPORTED
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec

_LONGEST = 400
"""The maximum length of a line, in characters."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run as described in the last part of the page."""

    label: str
    commands: tuple[str, ...]
    """The distinct command lines of the run's sittings, oldest first; empty if none was recorded."""
    facts: tuple[tuple[str, str], ...]
    """Pairs of name and value."""
    partial: tuple[str, ...]
    """The reasons why it lacks a part of the data or of the answers."""


def run_facts(run: Evaluated) -> RunFacts:
    """Collects facts from a run's spec, result and sittings, or without sittings if they cannot be read."""
    try:
        sittings = RunDir(run.path, run.spec).sittings()
    except StoreError:
        sittings = []
    spec = run.spec
    options = ", ".join(
        f"{name} {value}"
        for name, value in spec.engine_options.items()
        if value is not None and name != IMPORTED
    )
    facts = [
        ("Model", spec.model),
        ("Weights fingerprint", spec.fingerprint),
        ("Run directory", str(run.path)),
        ("Spec", spec.sha256),
        ("Engine", f"{spec.engine} {spec.engine_version}{options and f' ({options})'}"),
        ("Pixels", " to ".join(_limit(spec, name) for name in ("min_pixels", "max_pixels"))),
        ("Repeats", str(spec.repeats)),
    ]
    if (source := import_line(spec.imported)) is not None:
        facts.append(("Imported", source))
    for name, task in spec.tasks.items():
        task_result = dig(run.result, "tasks", name)
        s = task.sampling
        facts.append(
            (
                short_name(name),
                f"version {task.version}, data {task.data_sha256[:12]} ({task_result.get('source', '')}), "
                f"{task.n_samples} samples in {task_result.get('n_groups', '?')} groups, "
                f"prompt {spec.known('prompt', task.prompt)}, "
                f"temperature {spec.known('temperature', f'{s.temperature:g}')}, "
                f"at most {spec.known('max_tokens', str(s.max_tokens))} tokens, "
                f"extractor {task_result.get('extractor', '')}"
                f"{'' if task.image == 'real' else f', image {task.image}'}; "
                f"{reading_line(task_result)}",
            )
        )
    for number, sitting in enumerate(sittings, start=1):
        facts += _sitting(number, len(sittings), sitting)
    # Equal facts are dropped, so that a resumed run lists its packages again only if they change.
    facts = list(dict.fromkeys(facts))
    return RunFacts(
        clean(run.label),
        tuple(dict.fromkeys(filter(None, map(_command, sittings)))),
        tuple((clean(name), clean(value, _LONGEST)) for name, value in facts),
        tuple(clean(reason, _LONGEST) for reason in run.result.get("partial_reasons", ())),
    )


def _limit(spec: RunSpec, name: str) -> str:
    return spec.known(name, str(getattr(spec, name) or "model default"))


def _command(sitting: Mapping[str, Any]) -> str:
    argv = sitting.get("argv")
    if not isinstance(argv, Sequence) or isinstance(argv, str) or len(argv) < 2:
        return ""
    return clean(shlex.join(["ssl4rl-bench", *(str(word) for word in argv[1:])]), 4 * _LONGEST)


def _sitting(number: int, n: int, sitting: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine, packages = dig(sitting, "machine"), dig(sitting, "packages")
    title = "Executed" if n == 1 else f"Sitting {number}"
    if "shard" in sitting:
        title += f", shard {sitting['shard']}"
    gpus = machine.get("gpus")
    where = (
        ", ".join(map(str, gpus))
        if isinstance(gpus, list) and gpus
        else f"{machine.get('cpus', '?')} CPU cores"
    )
    when = f"{sitting.get('started', '?')} to {sitting.get('finished') or 'no end recorded'}"
    return [
        (title, f"{when}, Python {sitting.get('python', '?')}, {where}"),
        ("Packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
    ]
