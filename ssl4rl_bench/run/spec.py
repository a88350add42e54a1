"""The specification of a run. Two runs with equal specifications are the same experiment."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.identity import response_keys, seed_of, sha256_json
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.core.scheme import SCHEME, WITHOUT_WEIGHTS
from ssl4rl_bench.core.types import HubSource, Request, Sample, Sampling, Task
from ssl4rl_bench.run.imported import IMPORTED, Imported, imported_of
from ssl4rl_bench.run.shards import SPLIT, Shard

SPEC_SCHEMA = 1
"""The schema version of spec.json."""
MOCK, REPLAY = "mock", "replay"
"""Engines that do not run a model."""


def engine_mark(name: object, options: Mapping[str, Any]) -> str:
    """Returns the mark in tables of a run that asked no model.

    It is "mock", "replay", "replay of mock", "imported" or "imported from mock", and "" for other engines.
    """
    if name == REPLAY:
        return f"{REPLAY} of {MOCK}" if options.get("recorded_by") == MOCK else REPLAY
    if name == IMPORTED and options.get(IMPORTED, {}).get("recorded_by") == MOCK:
        return f"{IMPORTED} from {MOCK}"
    return str(name) if name in (MOCK, IMPORTED) else ""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """The specification of a task in a run."""

    version: str
    data_sha256: str
    prompt: str
    n_samples: int
    """The number of samples after limits. Each is asked `RunSpec.repeats` times."""
    sampling: Sampling
    image: str = "real"
    """The blinding (`blinding.BLINDINGS`), or "real", which is not written: older specs keep their hash."""
    hub: HubSource | None = None
    """The origin of the data on the hub. It is not compared or hashed, as the digest of the data is."""

    @classmethod
    def of(cls, task: Task, sampling: Sampling | None = None) -> TaskSpec:
        """Creates the spec of a task, with the task's sampling unless another is given."""
        asked = sampling or task.sampling
        # 0 and 0.0 are the same temperature, but their JSON texts have different hashes.
        exact = replace(asked, temperature=float(asked.temperature), top_p=float(asked.top_p))
        n_samples = len(task.samples)
        return cls(task.version, task.data_sha256, task.prompt, n_samples, exact, task.image, task.hub)

    def to_json(self) -> dict[str, Any]:
        """Returns the task's entry in spec.json."""
        spec = asdict(self)
        if self.image == "real":
            del spec["image"]
        if self.hub is None:
            del spec["hub"]
        return spec

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TaskSpec:
        """Creates a spec from the output of `to_json`.

        Raises:
            KeyError, TypeError: for any other value.
        """
        hub = HubSource(**value["hub"]) if "hub" in value else None
        return cls(**{**value, "sampling": Sampling(**value["sampling"]), "hub": hub})


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that determines the replies of a run."""

    model: str
    """The name that the user gave. A label only: it is not compared or hashed."""
    fingerprint: str
    """The fingerprint of the weights (`weights.Model.fingerprint`), or its stand-in if there are none."""
    tasks: Mapping[str, TaskSpec]
    """Specs by task name, in the order in which the tasks are asked."""
    engine: str
    engine_version: str
    min_pixels: int | None = None
    max_pixels: int | None = None
    repeats: int = 1
    seed: int = 0
    """The seed of the sampling. Omitted from spec.json if 0, so that older runs keep their hash."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Engine options that change replies, such as the dtype. The others belong in an ExecInfo."""
    scheme: int = SCHEME
    """The scheme of the fingerprint (`scheme.SCHEME`). It is not hashed: equal digests under two schemes mean
    the same files."""
    unused_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Sampling defaults in the checkpoint's generation_config.json, which no engine of this project applies.
    They are not hashed, as the fingerprint covers that file."""
    served: Mapping[str, Any] = field(default_factory=dict)
    """The checkpoint's chat template and pixel limits (`served.served`). They follow from the fingerprint, so
    they are not compared or hashed. Empty for engines that do not see them, and for older runs."""
    commit: str | None = None
    """The commit (40 hex digits) that a hub model's name resolved to. It is not compared or hashed, as the
    fingerprint is."""
    shard: Shard | None = None
    """The shard of a run that this is; None for a whole run. `tasks` then has the tasks with samples in it."""
    all_tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    """For a shard, the specs of all tasks of the whole run; otherwise empty."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSpec:
        """Creates a spec from the output of `to_json`.

        Raises:
            KeyError, TypeError, AttributeError: for any other value.
        """
        _check_types(value)
        tasks = {name: TaskSpec.from_json(task) for name, task in value["tasks"].items()}
        return cls(
            model=value["model"]["name"],
            fingerprint=value["model"]["fingerprint"],
            tasks=tasks,
            engine=value["engine"]["name"],
            engine_version=value["engine"]["version"],
            min_pixels=value["pixels"]["min"],
            max_pixels=value["pixels"]["max"],
            repeats=value["repeats"],
            seed=value.get("seed", 0),
            engine_options=value["engine"]["options"],
            scheme=_scheme(value),
            unused_defaults={**value["model"].get("unused_defaults", {})},
            served=value["model"].get("served", {}),
            commit=value["model"].get("commit"),
            **_shard(value),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the content of spec.json, without secrets."""
        spec = {
            "schema": SPEC_SCHEMA,
            "model": self._model(),
            "tasks": {name: task.to_json() for name, task in self.tasks.items()},
            "repeats": self.repeats,
            **({"seed": self.seed} if self.seed else {}),
            "pixels": {"min": self.min_pixels, "max": self.max_pixels},
            "engine": self.engine_json(),
        }
        if self.shard is not None:
            all_tasks = {name: task.to_json() for name, task in self.all_tasks.items()}
            spec["shard"] = {"part": str(self.shard), "split": SPLIT, "tasks": all_tasks}
        redacted: dict[str, Any] = redact(spec)
        return redacted

    def engine_json(self) -> dict[str, Any]:
        """Returns the entry "engine" of `to_json`."""
        engine: dict[str, Any] = redact(
            {"name": self.engine, "version": self.engine_version, "options": self.engine_options}
        )
        return engine

    def _model(self) -> dict[str, Any]:
        model: dict[str, Any] = {"name": self.model, "fingerprint": self.fingerprint}
        if self.commit is not None:
            model["commit"] = self.commit
        if self.scheme > 1 and self.engine not in WITHOUT_WEIGHTS:
            model["scheme"] = self.scheme
        if self.served:
            model["served"] = dict(self.served)
        if self.unused_defaults:
            model["unused_defaults"] = dict(self.unused_defaults)
        return model

    @property
    def mark(self) -> str:
        """The mark in tables of a run without a model (`engine_mark`)."""
        return engine_mark(self.engine, self.engine_options)

    @property
    def qualifier(self) -> str:
        """What follows the model's name in brackets, such as "mock, shard 2/4"; "" for a whole run of a model."""
        return ", ".join(filter(None, (self.mark, f"shard {self.shard}" if self.shard else "")))

    def for_shard(self, shard: Shard, parts: Sequence[Task]) -> RunSpec:
        """Returns the spec of a shard of this whole run.

        Args:
            parts: the tasks with the samples of the shard, without tasks that have none.
        """
        tasks = {part.name: replace(self.tasks[part.name], n_samples=len(part.samples)) for part in parts}
        return replace(self, shard=shard, tasks=tasks, all_tasks=self.tasks)

    def without_shard(self) -> RunSpec:
        """Returns the spec of the whole run that a shard belongs to, or this spec if it is a whole run's."""
        return self if self.shard is None else replace(self, shard=None, tasks=self.all_tasks, all_tasks={})

    @property
    def imported(self) -> Imported | None:
        """The source of an imported run; None for other runs."""
        return imported_of(self.engine, self.engine_options)

    @property
    def unknown(self) -> frozenset[str]:
        """The settings of an imported run that nobody states; their values in this spec are stand-ins."""
        imported = self.imported
        return frozenset() if imported is None else frozenset(imported.unknown)

    def known(self, name: str, text: str) -> str:
        """Returns the text of a setting, or "unknown" if the setting is (`unknown`)."""
        return "unknown" if name in self.unknown else text

    @property
    def mocked(self) -> bool:
        """Whether the replies are made up: generated by the mock engine, or recorded from it."""
        return MOCK in self.mark

    def _identity(self) -> dict[str, Any]:
        spec = self.to_json()
        spec["model"] = {"fingerprint": spec["model"]["fingerprint"]}
        for task in (*spec["tasks"].values(), *spec.get("shard", {}).get("tasks", {}).values()):
            task.pop("hub", None)
        return spec

    def not_comparable(self, out: str = "NEW") -> str | None:
        """Returns why this run must not be compared with others and the command that renews it, or None.

        A fingerprint of another scheme does not guarantee that the weights were complete, or that all files
        that change replies were covered.

        Args:
            out: the run's directory. If the checkpoint is complete and unchanged, the command repeats no
                request there.
        """
        if self.scheme == SCHEME or self.engine in WITHOUT_WEIGHTS:
            return None
        if self.scheme > SCHEME:
            return (
                f"its weights fingerprint uses scheme {self.scheme}, newer than this version's {SCHEME}: "
                "update ssl4rl-bench"
            )
        tasks = ",".join(short_name(name) for name in self.all_tasks or self.tasks)
        part = f" --shard {self.shard}" if self.shard else ""
        return (
            f"its weights fingerprint uses scheme {self.scheme}, and this version uses {SCHEME}; renew it: "
            f"ssl4rl-bench run --model {shlex.quote(self.model)} --tasks {tasks} --engine {self.engine}"
            f"{part} --out {shlex.quote(out)}"
        )

    @property
    def sha256(self) -> str:
        """Hex digest of the spec without the fields that are not hashed, such as the model's name."""
        return sha256_json(self._identity())

    def diff(self, other: RunSpec) -> list[str]:
        """Returns the dotted keys whose values differ, sorted. Empty if both are the same experiment."""
        mine, theirs = dict(_leaves(self._identity())), dict(_leaves(other._identity()))
        absent = object()
        return sorted(key for key in mine.keys() | theirs if mine.get(key, absent) != theirs.get(key, absent))

    def recorded_by(self, earlier: RunSpec) -> RunSpec:
        """Returns this spec with the commits of an equal, earlier one, with which the run was started."""
        tasks = {name: replace(task, hub=earlier.tasks[name].hub) for name, task in self.tasks.items()}
        all_tasks = {
            name: replace(task, hub=earlier.all_tasks[name].hub) for name, task in self.all_tasks.items()
        }
        return replace(self, commit=earlier.commit, tasks=tasks, all_tasks=all_tasks)

    def moved(self, earlier: RunSpec) -> list[str]:
        """Returns the names that resolved to another commit in an earlier spec, one clause per name."""
        clauses = []
        if earlier.commit and self.commit and self.model == earlier.model:
            clauses += _moved(self.model, earlier.commit, self.commit)
        for name, task in self.tasks.items():
            before = earlier.tasks[name].hub if name in earlier.tasks else None
            if task.hub is not None and before is not None and task.hub.asked == before.asked:
                clauses += _moved(task.hub.asked, before.commit, task.hub.commit)
        return clauses

    def keys(self, task: Task) -> dict[tuple[str, int], str]:
        """Computes the response key of each (sample id, repeat) of a task of this run."""
        sampling = self.tasks[task.name].sampling
        pixels = (self.min_pixels, self.max_pixels)
        key = response_keys(sampling, pixels, self.fingerprint, self.engine, self.engine_version)
        keys: dict[tuple[str, int], str] = {}
        for sample in task.samples:
            greedy = None if sampling.temperature > 0 else key(sample.messages, None)
            for repeat in range(self.repeats):
                keys[sample.id, repeat] = greedy or key(sample.messages, self._seed(sample, repeat))
        return keys

    def requests(
        self, samples: Iterable[Sample], task: str = "", without: Container[tuple[str, int]] = ()
    ) -> Iterator[Request]:
        """Yields the requests of a task, except `without`; the repeats of a sample are consecutive."""
        for sample in samples:
            for repeat in range(self.repeats):
                if (sample.id, repeat) not in without:
                    yield Request(sample, repeat, self._seed(sample, repeat), task)

    def _seed(self, sample: Sample, repeat: int) -> int:
        return seed_of(sample.id, repeat, *((self.seed,) if self.seed else ()))


def _scheme(value: Mapping[str, Any]) -> int:
    """Returns the fingerprint scheme of a spec.json; 1 if absent. Raises TypeError if it is not a number."""
    if value["engine"]["name"] in WITHOUT_WEIGHTS:
        return SCHEME
    scheme = value["model"].get("scheme", 1)
    if not isinstance(scheme, int):
        raise TypeError(f"scheme {scheme!r}")
    return scheme


def _shard(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that only the spec.json of a shard has. Raises KeyError or TypeError."""
    if "shard" not in value:
        return {}
    entry = value["shard"]
    if entry["split"] != SPLIT:
        raise TypeError(f"shard.split is {entry['split']}")
    try:
        shard = Shard.parse(entry["part"])
    except UsageError as error:
        raise TypeError(str(error)) from None
    all_tasks = {name: TaskSpec.from_json(task) for name, task in entry["tasks"].items()}
    return {"shard": shard, "all_tasks": all_tasks}


def _moved(name: str, before: str, now: str) -> list[str]:
    return [f"{name} was commit {before[:12]} and is {now[:12]} now"] if before != now else []


def _check_types(value: Mapping[str, Any]) -> None:
    """Raises TypeError if a value of spec.json has a wrong type, and KeyError if one is missing."""
    model, engine = value["model"], value["engine"]
    texts = {"model.name": model["name"], "model.fingerprint": model["fingerprint"]}
    texts |= {f"engine.{key}": engine[key] for key in ("name", "version")}
    if "commit" in model:
        texts["model.commit"] = model["commit"]
    counts = {"repeats": value["repeats"], "seed": value.get("seed", 0)}
    counts |= {f"pixels.{key}": value["pixels"][key] or 0 for key in ("min", "max")}
    tables = {"tasks": value["tasks"], "engine.options": engine["options"]}
    tables |= {f"model.{key}": model.get(key, {}) for key in ("served", "unused_defaults")}
    kinds = ((texts, str, "a text"), (counts, int, "a whole number"), (tables, dict, "an object"))
    for values, kind, called in kinds:
        for key, item in values.items():
            if not isinstance(item, kind) or isinstance(item, bool):
                raise TypeError(f"{key} is not {called}")
    if value["repeats"] < 1:
        raise TypeError("repeats is below 1")
    imported_of(engine["name"], engine["options"])
    all_tasks = value.get("shard", {}).get("tasks", {})
    try:
        for name, task in (*value["tasks"].items(), *all_tasks.items()):
            fill(TaskSpec, task, "spec.json", f"tasks.{name}")
    except UsageError as error:
        raise TypeError(str(error)) from None


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))
