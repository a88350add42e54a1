"""What a checkpoint was trained on: from `ssl4rl.json` next to its weights, its name, or `--trained`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from ssl4rl_bench.comparison.pairing import Evaluated, unmarked
from ssl4rl_bench.comparison.seeds import Method
from ssl4rl_bench.core.errors import ModelError, UsageError, did_you_mean
from ssl4rl_bench.core.names import PREFIX, is_task_file, short_name
from ssl4rl_bench.engines.checkpoints.origin import FILE, read_origin
from ssl4rl_bench.engines.checkpoints.weights import bundled_names, fingerprint
from ssl4rl_bench.task.ssl import KINDS
from ssl4rl_bench.task.taskfile import load_taskfile, task_names

MIX = "mix"
"""Stands for several tasks, when a name does not say which."""
_SEED = re.compile(r"[-_. ]?seed[-_. ]?\d+|(?<=.)[-_. ]s\d+(?=/|$)")


def trained_on(run: Evaluated) -> tuple[str, ...] | None:
    """Returns task names ("ssl_rotation_90"), or a kind ("rotation") or `MIX` from the label alone, or None.

    `ssl4rl.json` is used only if the folder still holds the weights that the run was made with.
    """
    return _from_origin(run) or _from_label(run.label)


def parse_trained(values: Sequence[str], runs: Sequence[Evaluated]) -> dict[str, tuple[str, ...]]:
    """Parses `--trained LABEL=TASK[+TASK]` into tasks by label.

    Raises:
        UsageError: a value has another form, or names an unknown run or task.
    """
    out = {}
    shown = {
        name: run.label for run in runs for name in (run.path.name, run.spec.model, unmarked(run), run.label)
    }
    for value in values:
        label, equals, asked = value.rpartition("=")
        if not equals or not label or not asked.strip("+ "):
            raise UsageError(f"--trained {value} is not LABEL=TASK or LABEL=TASK+TASK")
        if label not in shown:
            raise UsageError(
                f"--trained {value}: {label} is not among the runs ({', '.join(run.label for run in runs)})"
                f"{did_you_mean(label, shown)}"
            )
        out[shown[label]] = tuple(_known(name.strip(), value) for name in asked.split("+") if name.strip())
    return out


def kind_of(task: str) -> str:
    """Returns a task's kind, or the name itself if it is not an SSL task."""
    if task in KINDS or task == MIX:
        return task
    try:
        return str((load_taskfile(task).ssl or {}).get("kind", task))
    except UsageError:
        return next((kind for kind in KINDS if kind in task), task)


def same_task(one: str, other: str) -> bool:
    """Whether two names mean the same task; a bare kind matches all tasks of that kind."""
    if one in KINDS or other in KINDS:
        return kind_of(one) == kind_of(other)
    return full(one) == full(other)


def full(task: str) -> str:
    """Returns a task's name with its prefix; for a task file, from the file's name without its folder."""
    stem = Path(task).stem if is_task_file(task) else task
    return stem if stem.startswith(PREFIX) or stem in KINDS else PREFIX + stem


def words(tasks: Sequence[str] | None) -> str:
    """Formats tasks for people: "rotation 90 + jigsaw 2x2"; more than two tasks as "mix of 4"."""
    if not tasks:
        return "not known"
    if len(tasks) > 2:
        return f"mix of {len(tasks)}"
    return " + ".join(short_name(full(task)).removeprefix("ssl_").replace("_", " ") for task in tasks)


def methods(runs: Sequence[Evaluated]) -> list[Method]:
    """Groups runs whose labels differ only in a seed ("tiny-mix", "tiny-mix-seed2")."""
    together: dict[str, list[Evaluated]] = {}
    for run in runs:
        together.setdefault(_SEED.sub("", run.label.partition(" (")[0]), []).append(run)
    return [Method(name, tuple(members)) for name, members in together.items()]


def _from_origin(run: Evaluated) -> tuple[str, ...] | None:
    name = run.spec.model
    folder = Path(name).expanduser()
    if not (folder / FILE).is_file():
        if name not in bundled_names():
            return None
        with as_file(files("ssl4rl_bench") / "checkpoints" / name) as path:
            folder = path
    try:
        if run.spec.fingerprint not in (fingerprint(folder, full_digest=full_) for full_ in (False, True)):
            return None
    except (OSError, ModelError):
        return None
    try:
        tasks = read_origin(folder)["recipe"]["tasks"]
        return tuple(str(task) for task, weight in tasks.items() if weight) or None
    except (KeyError, TypeError, AttributeError):
        return None


def _from_label(label: str) -> tuple[str, ...] | None:
    name = label.partition(" (")[0].lower()
    # Whole words only: "patch14" of an image encoder and "repaired" name no task.
    words = re.findall(r"[a-z0-9]+", name)
    if MIX in words:
        return (MIX,)
    kinds = tuple(kind for kind in KINDS if kind in words)
    return kinds if len(kinds) == 1 else None


def _known(name: str, value: str) -> str:
    known = [
        *KINDS,
        *(short_name(task) for task in task_names() if task.startswith(f"{PREFIX}ssl_")),
    ]
    if short_name(name) not in known and not is_task_file(name):
        raise UsageError(f"--trained {value}: {name} is not an SSL task{did_you_mean(name, known)}")
    return short_name(name)
