"""What makes two runs the same experiment."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.identity import response_key, seed_of, sha256_json
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.core.scheme import SCHEME, WITHOUT_WEIGHTS
from ssl4rl_bench.core.types import HubSource, Request, Sample, Sampling, Task

SCHEMA = 1
"""Version of spec.json."""
MOCK, REPLAY = "mock", "replay"
"""Engines that ask no model."""


def engine_mark(name: object, options: Mapping[str, Any]) -> str:
    """What tables say of an engine that asked no model: "mock", "replay", "replay of mock"; else ""."""
    if name == REPLAY:
        return f"{REPLAY} of {MOCK}" if options.get("recorded_by") == MOCK else REPLAY
    return MOCK if name == MOCK else ""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task as a run asked it."""

    version: str
    data_sha256: str
    prompt: str
    n_samples: int
    """Of the data after limits; each is asked `RunSpec.repeats` times."""
    sampling: Sampling
    image: str = "real"
    """A blinding (`blinding.BLINDINGS`). "real" is not written, so that older specs keep their hash."""
    hub: HubSource | None = None
    """Where the data came from on the hub. Not compared and not hashed: the data's digest is."""

    @classmethod
    def of(cls, task: Task, sampling: Sampling | None = None) -> TaskSpec:
        """The task's own sampling unless another is given."""
        asked = sampling or task.sampling
        # 0 and 0.0 are one temperature, but two texts to a hash.
        exact = replace(asked, temperature=float(asked.temperature), top_p=float(asked.top_p))
        n_samples = len(task.samples)
        return cls(task.version, task.data_sha256, task.prompt, n_samples, exact, task.image, task.hub)

    def to_json(self) -> dict[str, Any]:
        """As in spec.json."""
        spec = asdict(self)
        if self.image == "real":
            del spec["image"]
        if self.hub is None:
            del spec["hub"]
        return spec

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TaskSpec:
        """The spec that `to_json` wrote.

        Raises:
            KeyError, TypeError: for anything else.
        """
        hub = HubSource(**value["hub"]) if "hub" in value else None
        return cls(**{**value, "sampling": Sampling(**value["sampling"]), "hub": hub})


@dataclass(frozen=True, slots=True)
class RunSpec:
    """All that determines the replies of a run."""

    model: str
    """As the user named it: a label, not compared and not hashed."""
    fingerprint: str
    """Of the weights (`weights.Model.fingerprint`), or what stands for them at an engine without any."""
    tasks: Mapping[str, TaskSpec]
    """By task name, in the order asked."""
    engine: str
    engine_version: str
    min_pixels: int | None = None
    max_pixels: int | None = None
    repeats: int = 1
    seed: int = 0
    """Of sampling. Absent from spec.json where it is 0, so that runs from before it was there stay the same."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Those that change replies, such as the dtype. The others belong in an ExecInfo."""
    scheme: int = SCHEME
    """Of the fingerprint (`scheme.SCHEME`). Not hashed: equal digests of two schemes are of the same files."""
    unused_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Sampling defaults in the checkpoint's generation_config.json, which no engine here applies. Not hashed: the
    file is in the fingerprint."""
    served: Mapping[str, Any] = field(default_factory=dict)
    """The checkpoint's chat template and pixel limits (`served.served`), which follow from its fingerprint: not
    compared and not hashed here. Empty for engines that do not see them, and for runs from before it was there."""
    commit: str | None = None
    """The 40-hex commit that a hub model's name stood for. Not compared and not hashed: the fingerprint is."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSpec:
        """The spec that `to_json` wrote.

        Raises:
            KeyError, TypeError, AttributeError: for anything else.
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
        )

    def to_json(self) -> dict[str, Any]:
        """The content of spec.json, without secrets."""
        spec = {
            "schema": SCHEMA,
            "model": self._model(),
            "tasks": {name: task.to_json() for name, task in self.tasks.items()},
            "repeats": self.repeats,
            **({"seed": self.seed} if self.seed else {}),
            "pixels": {"min": self.min_pixels, "max": self.max_pixels},
            "engine": {
                "name": self.engine,
                "version": self.engine_version,
                "options": dict(self.engine_options),
            },
        }
        redacted: dict[str, Any] = redact(spec)
        return redacted

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
        """What tables say of a run that asked no model (`engine_mark`)."""
        return engine_mark(self.engine, self.engine_options)

    @property
    def mocked(self) -> bool:
        """Whether its replies are made up: of the mock engine, or recorded from it."""
        return MOCK in self.mark

    def _identity(self) -> dict[str, Any]:
        spec = self.to_json()
        spec["model"] = {"fingerprint": spec["model"]["fingerprint"]}
        for task in spec["tasks"].values():
            task.pop("hub", None)
        return spec

    def not_comparable(self, out: str = "NEW") -> str | None:
        """Why a run of this spec must not be compared with others, and the command that renews it; None if it may be.

        A fingerprint of another scheme does not say that the weights were whole, nor that no other file changed them.

        Args:
            out: the run's directory. There the command asks nothing anew if the checkpoint is whole and unchanged.
        """
        if self.scheme == SCHEME or self.engine in WITHOUT_WEIGHTS:
            return None
        if self.scheme > SCHEME:
            return (
                f"its weights fingerprint is of scheme {self.scheme}, newer than this version's {SCHEME}: "
                "update ssl4rl-bench"
            )
        tasks = ",".join(short_name(name) for name in self.tasks)
        return (
            f"its weights fingerprint is of scheme {self.scheme}, and this version makes {SCHEME}; renew it: "
            f"ssl4rl-bench run --model {shlex.quote(self.model)} --tasks {tasks} --engine {self.engine} "
            f"--out {shlex.quote(out)}"
        )

    @property
    def sha256(self) -> str:
        """Hex digest of `to_json` without the model's name and the fingerprint's scheme."""
        return sha256_json(self._identity())

    def diff(self, other: RunSpec) -> list[str]:
        """Dotted keys whose values differ, sorted; empty if both are the same experiment."""
        mine, theirs = dict(_leaves(self._identity())), dict(_leaves(other._identity()))
        absent = object()
        return sorted(key for key in mine.keys() | theirs if mine.get(key, absent) != theirs.get(key, absent))

    def recorded_by(self, earlier: RunSpec) -> RunSpec:
        """This spec with the commits that an equal, earlier one recorded: those that the run was begun with."""
        tasks = {name: replace(task, hub=earlier.tasks[name].hub) for name, task in self.tasks.items()}
        return replace(self, commit=earlier.commit, tasks=tasks)

    def moved(self, earlier: RunSpec) -> list[str]:
        """Names that stood for another commit in an earlier spec, one clause per name."""
        clauses = []
        if earlier.commit and self.commit and self.model == earlier.model:
            clauses += _moved(self.model, earlier.commit, self.commit)
        for name, task in self.tasks.items():
            before = earlier.tasks[name].hub if name in earlier.tasks else None
            if task.hub is not None and before is not None and task.hub.asked == before.asked:
                clauses += _moved(task.hub.asked, before.commit, task.hub.commit)
        return clauses

    def keys(self, task: Task) -> dict[tuple[str, int], str]:
        """The response key of each (sample id, repeat) of a task of this run."""
        sampling = self.tasks[task.name].sampling
        pixels = (self.min_pixels, self.max_pixels)
        return {
            (request.sample.id, request.repeat): response_key(
                request.sample.messages,
                sampling,
                request.seed,
                pixels,
                self.fingerprint,
                self.engine,
                self.engine_version,
            )
            for request in self.requests(task.samples, task.name)
        }

    def requests(self, samples: Iterable[Sample], task: str = "") -> Iterator[Request]:
        """Each sample of a task as often as this run asks it, repeats of a sample side by side."""
        own = (self.seed,) if self.seed else ()
        for sample in samples:
            for repeat in range(self.repeats):
                yield Request(sample, repeat, seed_of(sample.id, repeat, *own), task)


def _scheme(value: Mapping[str, Any]) -> int:
    """The scheme of a spec.json's fingerprint; 1 where none is written. Raises TypeError for what is no number."""
    if value["engine"]["name"] in WITHOUT_WEIGHTS:
        return SCHEME
    scheme = value["model"].get("scheme", 1)
    if not isinstance(scheme, int):
        raise TypeError(f"scheme {scheme!r}")
    return scheme


def _moved(name: str, before: str, now: str) -> list[str]:
    return [f"{name} was commit {before[:12]} and is {now[:12]} now"] if before != now else []


def _check_types(value: Mapping[str, Any]) -> None:
    """Raises TypeError for a spec.json whose values have other types; KeyError where one is missing."""
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
    try:
        for name, task in value["tasks"].items():
            fill(TaskSpec, task, "spec.json", f"tasks.{name}")
    except UsageError as error:
        raise TypeError(str(error)) from None


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))
