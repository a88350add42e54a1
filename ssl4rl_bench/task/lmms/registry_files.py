"""Finds the YAML file of one of lmms-eval's tasks by name, without importing lmms-eval.

lmms-eval itself parses all of its 1,900 files to build an index. Here, their texts are searched for the line
`task: NAME`, and only the file of the task that is asked for is parsed, with the files that it includes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import MissingDependency, UsageError, did_you_mean
from ssl4rl_bench.core.identity import sha256_hex, sha256_json
from ssl4rl_bench.core.names import LMMS
from ssl4rl_bench.task.taskfile import FunctionName, TaskFile

_NAME = re.compile(r"^task[ \t]*:[ \t]*[\"']?([\w.+-]+)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)
_GROUP = re.compile(r"^(?:group|tag)[ \t]*:[ \t]*[\"']?([\w.+-]+)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)
PROMPT = "lmms-eval"
"""The name of the prompt style of these tasks: the prompt is the one that lmms-eval makes."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The file of a task, parsed without importing the functions that it names."""

    name: str
    """The name in lmms-eval."""
    path: Path
    config: Mapping[str, Any]
    """The content with that of included files. A function is a `FunctionName`."""
    version: str
    """The version of lmms-eval."""
    sha256: str
    """Digest of the file, of those that it includes, and of the modules beside them whose functions they name."""

    def taskfile(self) -> TaskFile:
        """Returns what the rest of this package reads of a task file."""
        from ssl4rl_bench.task.lmms.generation import sampling

        name = LMMS + self.name
        split = self.config.get("test_split") or self.config.get("validation_split") or "test"
        config_name = self.config.get("dataset_name")
        return TaskFile(
            name=name,
            version=f"lmms-eval {self.version}, {self.path.name} {self.sha256[:12]}",
            title=f"{self.name} of lmms-eval",
            dataset_path=str(self.config.get("dataset_path", "")),
            dataset_name=None if config_name is None else str(config_name),
            revision=(self.config.get("dataset_kwargs") or {}).get("revision"),
            data_file=None,
            split=str(split),
            prompt=PROMPT,
            sampling=sampling(self.config.get("generation_kwargs") or {}, name),
            edition=None,
            columns=(),
            builtin=None,
            kind="lmms",
        )


def taskfile(name: str) -> TaskFile:
    """Returns the task file of `lmms:NAME`, as `taskfile.load_taskfile` does for the tasks of this package.

    Raises:
        MissingDependency, UsageError: as `find_registered`.
    """
    return find_registered(name.removeprefix(LMMS)).taskfile()


def find_registered(name: str, folder: Path | None = None) -> Registered:
    """Finds a task of the installed lmms-eval.

    Args:
        name: the name in lmms-eval, without `lmms:`.
        folder: the folder of the task files; by default that of the installed lmms-eval.

    Raises:
        MissingDependency: lmms-eval is not installed.
        UsageError: there is no such task, its name is that of a group, or its file cannot be read.
    """
    place = folder or tasks_folder()
    files = _indexed(place)
    if name in files.tasks:
        return _read(name, files.tasks[name][-1], place)
    if name in files.groups:
        members = [f"{LMMS}{member}" for member in files.members(name)]
        which = f"name one of {', '.join(members)}" if members else "name its tasks"
        raise UsageError(f"{LMMS}{name} is a group or tag of lmms-eval: {which}")
    raise UsageError(
        f"lmms-eval {_version()} has no task {name}{did_you_mean(name, [*files.tasks, *files.groups])}"
    )


def tasks_folder() -> Path:
    """Returns the folder of the installed lmms-eval's task files. Raises MissingDependency without lmms-eval."""
    spec = find_spec("lmms_eval")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency.of(f"a task named {LMMS}NAME needs lmms-eval", "lmms")
    return Path(next(iter(spec.submodule_search_locations))) / "tasks"


@dataclass(frozen=True, slots=True)
class _Index:
    tasks: Mapping[str, list[Path]]
    groups: Mapping[str, list[Path]]

    def members(self, group: str) -> list[str]:
        """Returns the tasks of a group or tag: those that its file lists, or whose files name it."""
        listed = [name for path in self.groups[group] for name in _listed(path)]
        naming = [name for name, paths in self.tasks.items() if paths[-1] in self.groups[group]]
        return list(dict.fromkeys(listed + naming))


@cache
def _indexed(folder: Path) -> _Index:
    """Searches the texts of all task files. A later file of a name replaces an earlier one, as in lmms-eval."""
    tasks: dict[str, list[Path]] = {}
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text("utf-8", errors="replace")
        for pattern, table in ((_NAME, tasks), (_GROUP, groups)):
            for match in pattern.finditer(text):
                table.setdefault(match[1], []).append(path)
    return _Index(tasks, groups)


def _listed(path: Path) -> Iterator[str]:
    try:
        content = _parsed(path.read_bytes())
    except (OSError, ValueError):
        return
    members = content.get("task") if isinstance(content, dict) else None
    for member in members if isinstance(members, list) else []:
        if isinstance(member, str):
            yield member


def _read(name: str, path: Path, folder: Path) -> Registered:
    parts: dict[str, str] = {}
    config = _with_includes(name, path, folder, parts)
    for named in sorted(set(_functions(config))):
        module = path.parent / f"{named.partition('.')[0]}.py"
        if module.is_file():
            parts[module.relative_to(folder).as_posix()] = sha256_hex(module.read_bytes())
    return Registered(name, path, config, _version(), sha256_json(parts))


def _with_includes(name: str, path: Path, folder: Path, parts: dict[str, str]) -> dict[str, Any]:
    """Parses a file and those that it includes, and adds their digests to `parts`."""
    try:
        data = path.read_bytes()
        config = _parsed(data)
    except (OSError, ValueError) as error:
        raise UsageError(f"{LMMS}{name} cannot be read from lmms-eval's {path.name}: {error}") from None
    if not isinstance(config, dict):
        raise UsageError(f"{LMMS}{name} cannot be read from lmms-eval's {path.name}: it is not a mapping")
    below = path.resolve().is_relative_to(folder.resolve())
    key = path.resolve().relative_to(folder.resolve()).as_posix() if below else path.name
    if key in parts:
        raise UsageError(f"{LMMS}{name} cannot be read: lmms-eval's {path.name} includes itself")
    parts[key] = sha256_hex(data)
    included = config.pop("include", None) or []
    out: dict[str, Any] = {}
    for one in reversed([included] if isinstance(included, str) else list(included)):
        out |= _with_includes(name, path.parent / str(one), folder, parts)
    return out | config


def _parsed(data: bytes) -> Any:
    """Parses a file as lmms-eval does, of two equal keys taking the last. Raises ValueError if it is not YAML."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda _, node: FunctionName(node.value))
    try:
        return yaml.load(data, Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from None


def _functions(value: Any) -> Iterator[str]:
    """Yields the names of functions in a parsed file."""
    if isinstance(value, FunctionName):
        yield str(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _functions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _functions(inner)


def _version() -> str:
    try:
        return metadata.version("lmms_eval")
    except metadata.PackageNotFoundError:
        return "without a version"
