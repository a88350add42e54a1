"""Records where, when and how a run was executed. None of this is part of a run's identity."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ssl4rl_bench.core.redaction import redact, redact_argv
from ssl4rl_bench.run import doctor
from ssl4rl_bench.run.machine import gpus_of_driver, installed_versions

PACKAGES = ("ssl4rl-bench", *sorted(need.name for need in doctor.PACKAGES if need.extra != "video"))
"""Distributions whose versions an ExecInfo records if they are installed. The extra `video` is left out, as
no run shows a video."""


@dataclass(frozen=True, slots=True)
class ExecInfo:
    """Where, when and how a run was executed. A resumed run has one ExecInfo per sitting. Not hashed."""

    started: str
    """Start time in UTC, ISO 8601."""
    argv: Sequence[str]
    """The redacted command line."""
    python: str
    machine: Mapping[str, Any]
    """System, architecture, CPU cores and GPUs."""
    packages: Mapping[str, str]
    """Installed versions of `PACKAGES`."""
    engine_options: Mapping[str, Any]
    """All engine options, including those that do not change replies (parallelism, batch size)."""
    loading: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Maps each task name to `data`, `limit` and `skip_bad`, which are needed to load it for scoring."""
    finished: str | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    """How the engine ran (`capabilities.Measures`): settings that it chose, and counts. Empty for other engines."""
    outcome: str | None = None
    """How the sitting ended, in a few words; None while it runs, or if the process died."""
    shard: str | None = None
    """The shard that it ran, such as "2/4", so that the sittings of a merged run can be told apart. Omitted from
    exec.json if None."""

    @classmethod
    def capture(
        cls,
        argv: Sequence[str],
        engine_options: Mapping[str, Any],
        loading: Mapping[str, Mapping[str, Any]] | None = None,
        shard: str | None = None,
    ) -> ExecInfo:
        """Captures this machine and the present time. Imports none of the recorded packages."""
        return cls(
            started=_now(),
            argv=redact_argv(argv),
            python=platform.python_version(),
            machine={
                "system": platform.platform(),
                "architecture": platform.machine(),
                "cpus": os.cpu_count(),
                "gpus": [gpu.name for gpu in gpus_of_driver()],
            },
            packages=installed_versions(PACKAGES),
            engine_options=engine_options,
            loading=loading or {},
            shard=shard,
        )

    def ended(self, outcome: str, measures: Mapping[str, Any] | None = None) -> ExecInfo:
        """Returns a copy with the time of the end, the outcome and what the engine measured."""
        return replace(self, finished=_now(), outcome=outcome, measures=measures or {})

    def to_json(self) -> dict[str, Any]:
        """Returns the entry for exec.json, without secrets. Values that JSON lacks (paths) become text."""
        options = {
            key: value if isinstance(value, str | int | float | list | tuple | None) else str(value)
            for key, value in self.engine_options.items()
        }
        plain: dict[str, Any] = redact(
            {name: getattr(self, name) for name in self.__slots__} | {"engine_options": options}
        )
        if self.shard is None:
            del plain["shard"]
        return plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
