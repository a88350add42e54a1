"""Reads task files: YAML in lmms-eval's dialect, in the subset that `tasks/README.md` documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.names import LMMS, PREFIX, full_name, is_task_file
from ssl4rl_bench.core.parsing import parse_yaml
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.task.datasource import DataSource, parse_source
from ssl4rl_bench.task.prompts import check_style

_FUNCTION_PACKAGE = "ssl4rl_bench."
_KEYS: Mapping[str, tuple[str, ...]] = {
    "": (
        *("task", "tag", "include", "dataset_path", "dataset_name", "dataset_kwargs", "test_split"),
        *("output_type", "process_docs", "doc_to_visual", "doc_to_text", "doc_to_messages", "doc_to_target"),
        *(
            "process_results",
            "metric_list",
            "generation_kwargs",
            "reasoning_tags",
            "lmms_eval_specific_kwargs",
            "metadata",
        ),
    ),
    "dataset_kwargs": ("data_files", "delimiter", "keep_default_na", "revision"),
    "generation_kwargs": ("max_new_tokens", "temperature", "top_p", "top_k", "do_sample", "until"),
    "lmms_eval_specific_kwargs": ("default",),
    "lmms_eval_specific_kwargs.default": ("prompt",),
    "metadata": (
        *("version", "title", "kind", "params", "source", "edition", "columns", "builtin"),
        *("images", "n_images", "ssl"),
    ),
}
"""The documented keys, by the dotted path of the mapping that holds them."""


class FunctionName(str):
    """The dotted name after `!function`. It is data here: lmms-eval imports it, this project never does."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """The contents of a task file."""

    name: str
    """The full name, with the `ssl4rl_` prefix."""
    version: str
    title: str
    """A description for people, in a few words."""
    dataset_path: str
    """A hub id, or the kind of `data_files` ("csv", "parquet")."""
    dataset_name: str | None
    """The hub data set's configuration."""
    revision: str | None
    """The hub data set's branch or commit."""
    data_file: Path | None
    """A local file to use instead of a hub data set. It does not have to exist."""
    split: str
    prompt: str
    """The name of the default prompt style."""
    sampling: Sampling
    edition: str | None
    """The edition of MMBench (`mmbench.task.EDITIONS`) whose counts the data should match."""
    columns: tuple[tuple[str, str], ...]
    """The abilities (L2) in the order of the tables' columns, each with its header; empty for the default."""
    builtin: str | None
    """The generator in this package that draws the rows ("scenes"); used instead of a file."""
    kind: str = "mmbench"
    """The kind of task, which selects the loader: "mmbench", "ssl", or another one (`task.base`)."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the kind; "mmbench" and "ssl" use none."""
    ssl: Mapping[str, Any] | None = None
    """For an SSL task: its `kind` and the parameters of that kind (`ssl.make_task`)."""
    images: str | None = None
    """For an SSL task: the default source of its images ("scenes")."""
    n_images: int | None = None
    """For an SSL task: the number of images that are asked about; None for all."""
    source: DataSource | None = None
    """The published file of a benchmark, with its digest; None if the task file states none."""

    @property
    def data_name(self) -> str:
        """What the task reads, for display: a file, a hub data set, "built in", or its source of images."""
        if self.kind == "ssl":
            drawn = self.images is not None and self.images.startswith("scenes:")
            return f"made of {'scenes' if drawn else self.images} (--images)"
        if self.builtin:
            return "built in"
        return self.dataset_path if self.data_file is None else self.data_file.name


def task_names() -> list[str]:
    """Returns the full names of the shipped tasks, sorted."""
    return sorted(set(_shipped()) - set(group_names()))


@cache
def group_names() -> dict[str, tuple[str, ...]]:
    """Returns the full names of the shipped groups, sorted, mapped to the tasks of each group."""
    import yaml

    groups = {}
    for name, file in sorted(_shipped().items()):
        text = file.read_text("utf-8")
        if text.startswith("group:"):
            groups[name] = tuple(yaml.safe_load(text)["task"])
    return groups


def expand(names: Iterable[str]) -> list[str]:
    """Expands names of tasks and groups to full task names, in order and without duplicates.

    The path of a task file is kept unchanged, and so is an unknown name: `load_taskfile` reports the error.
    """
    out: list[str] = []
    for name in names:
        if is_task_file(name):
            out.append(name)
            continue
        full = full_name(name)
        out += group_names().get(full, (full,))
    return list(dict.fromkeys(out))


@cache
def _shipped() -> dict[str, Traversable]:
    entries = {Path(entry.name): entry for entry in files("ssl4rl_bench.tasks").iterdir()}
    return {
        PREFIX + path.stem: entry
        for path, entry in entries.items()
        if path.suffix == ".yaml" and not path.stem.startswith("_") and not path.stem.endswith("prompts")
    }


def load_taskfile(name: str) -> TaskFile:
    """Reads a shipped task by name, with or without the prefix, or a task file by its path (`*.yaml`).

    `lmms:NAME` is the task of this name in the installed lmms-eval.

    Raises:
        UsageError: for an unknown name, or a file outside the documented subset.
        MissingDependency: for a task of lmms-eval if that is not installed.
    """
    if is_task_file(name):
        return _Reader(Path(name)).taskfile()
    if name.startswith(LMMS):
        from ssl4rl_bench.task.lmms.registry_files import taskfile

        return taskfile(name)
    full = full_name(name)
    if full in group_names():
        raise UsageError(f"{name} is a group of tasks: name one of {', '.join(group_names()[full])}.")
    known = task_names()
    if full not in known:
        raise UsageError(
            f"There is no task {name}{did_you_mean(full, known)} (`ssl4rl-bench list tasks` shows them)."
        )
    return _Reader(Path(str(_shipped()[full]))).taskfile()


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> object:
    """Parses a task file; repeated parsing would take most of the time of loading a task."""
    return parse_yaml(data, ("!function", FunctionName))


class _Reader:
    """Reads one file together with the file that it includes; errors name the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = self._with_include(path)
        self._check_keys("", self.config)

    def taskfile(self) -> TaskFile:
        name = self._get("task", str)
        if not name.startswith(PREFIX):
            raise self._error(f"the task's name must start with {PREFIX}")
        generation = "generation_kwargs"
        if self._get(f"{generation}.until", list) or self._get("reasoning_tags", str) != "none":
            raise self._error(
                "replies are scored unmodified: set generation_kwargs.until to [], reasoning_tags to none"
            )
        split = self._get("test_split", str)
        data_files = self._get("dataset_kwargs.data_files", dict, {})
        style = self._get("lmms_eval_specific_kwargs.default.prompt", str)
        sampling = Sampling(
            temperature=float(self._get(f"{generation}.temperature", (int, float), 0)),
            top_p=float(self._get(f"{generation}.top_p", (int, float), 1)),
            top_k=self._get(f"{generation}.top_k", int, 0),
            max_tokens=self._get(f"{generation}.max_new_tokens", int),
        )
        return TaskFile(
            name=name,
            version=str(self._get("metadata.version", (str, int, float))),
            title=self._get("metadata.title", str),
            dataset_path=self._get("dataset_path", str),
            dataset_name=self._get("dataset_name", str, None),
            revision=self._get("dataset_kwargs.revision", str, None),
            data_file=self.path.parent / data_files[split] if split in data_files else None,
            split=split,
            prompt=check_style(style),
            sampling=sampling,
            edition=self._get("metadata.edition", str, None),
            columns=self._columns(),
            builtin=self._get("metadata.builtin", str, None),
            kind=self._kind(),
            params=self._get("metadata.params", dict, {}),
            ssl=self._get("metadata.ssl", dict, None),
            images=self._get("metadata.images", str, None),
            n_images=self._get("metadata.n_images", int, None),
            source=self._source(),
        )

    def _source(self) -> DataSource | None:
        value = self._get("metadata.source", dict, None)
        try:
            return None if value is None else parse_source(value)
        except ValueError as reason:
            raise self._error(str(reason)) from None

    def _columns(self) -> tuple[tuple[str, str], ...]:
        columns = self._get("metadata.columns", dict, {})
        if not all(isinstance(text, str) and text.strip() for pair in columns.items() for text in pair):
            raise self._error("metadata.columns maps abilities to headers, both texts that are not empty")
        return tuple(columns.items())

    def _kind(self) -> str:
        implied = "mmbench" if self._get("metadata.ssl", dict, None) is None else "ssl"
        kind: str = self._get("metadata.kind", str, implied)
        if kind != "ssl" and implied == "ssl":
            raise self._error(f"metadata.ssl is only for tasks of the kind ssl, and metadata.kind is {kind}")
        if not kind.isidentifier():
            raise self._error(f"metadata.kind {kind!r} is not the name of a kind, such as mmbench")
        return kind

    def _with_include(self, path: Path) -> dict[str, Any]:
        config = self._parse(path)
        included = config.pop("include", None)
        if included is None:
            return config
        if not isinstance(included, str) or Path(included).name != included:
            raise self._error(
                "include must be the name of a file in the same folder or of this package's tasks"
            )
        beside, shipped = path.parent / included, Path(str(files("ssl4rl_bench.tasks"))) / included
        if not beside.exists() and not shipped.exists():
            raise self._error(
                f"it includes {included}, which is neither in its folder nor in this package's tasks"
            )
        return self._parse(beside if beside.exists() else shipped) | config

    def _parse(self, path: Path) -> dict[str, Any]:
        try:
            config = deepcopy(_parsed(path.read_bytes()))
        except OSError as error:
            raise UsageError(f"The task file {path} cannot be read: {error}.") from None
        except ValueError as error:
            raise UsageError(f"The task file {path} is not YAML: {error}.") from None
        if not isinstance(config, dict):
            raise UsageError(f"The task file {path} is not a mapping of keys to values.")
        return config

    def _check_keys(self, path: str, value: Any) -> None:
        known = _KEYS.get(path)
        if known is None:
            self._check_functions(path, value)
            return
        if not isinstance(value, dict):
            raise self._error(f"{path} must be a mapping")
        for key, inner in value.items():
            if key not in known:
                where = f" in {path}" if path else ""
                raise self._error(f"unknown key {key}{where}{did_you_mean(str(key), known)}")
            self._check_keys(f"{path}.{key}" if path else key, inner)

    def _check_functions(self, path: str, value: Any) -> None:
        if isinstance(value, FunctionName) and not value.startswith(_FUNCTION_PACKAGE):
            raise self._error(f"{path} names {value}, which is outside {_FUNCTION_PACKAGE.rstrip('.')}")
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for inner in value:
                self._check_functions(path, inner)

    def _get(self, path: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        value: Any = self.config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and default:
            return default[0]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._error(f"{path} is missing" if value is None else f"{path} has the wrong type")
        return value

    def _error(self, reason: str) -> UsageError:
        return UsageError(f"Task file {self.path.name}: {reason}{'' if reason.endswith('?') else '.'}")
