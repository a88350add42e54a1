"""Where, when and how a run was executed: what does not make it another experiment."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ssl4rl_bench.core.redaction import redact, redact_argv
from ssl4rl_bench.run import doctor
from ssl4rl_bench.run.machine import gpus_of_driver, versions

PACKAGES = ("ssl4rl-bench", *sorted(need.name for need in doctor.PACKAGES if need.extra != "video"))
"""Distributions whose versions an ExecInfo names, where they are installed. No run shows a video."""


@dataclass(frozen=True, slots=True)
class ExecInfo:
    """Where, when and how a run, or one sitting of a resumed run, was executed. Recorded, not hashed."""

    started: str
    """UTC, ISO 8601."""
    argv: Sequence[str]
    """Redacted."""
    python: str
    machine: Mapping[str, Any]
    """System, architecture, CPU cores, GPUs."""
    packages: Mapping[str, str]
    """Installed versions of `PACKAGES`."""
    engine_options: Mapping[str, Any]
    """All of them, also those that do not change replies (parallelism, batch size)."""
    loading: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Task name to `data`, `limit` and `skip_bad`: how to load the task again, to score the run anew."""
    finished: str | None = None
    outcome: str | None = None
    """How it ended, in a few words; None while it runs, or if it died."""

    @classmethod
    def capture(
        cls,
        argv: Sequence[str],
        engine_options: Mapping[str, Any],
        loading: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ExecInfo:
        """This machine, now. Imports none of the packages that it names."""
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
            packages=versions(PACKAGES),
            engine_options=engine_options,
            loading=loading or {},
        )

    def ended(self, outcome: str) -> ExecInfo:
        """The same with the time and manner of its end."""
        return replace(self, finished=_now(), outcome=outcome)

    def to_json(self) -> dict[str, Any]:
        """For exec.json, without secrets; what JSON cannot hold (paths) as text."""
        options = {
            key: value if isinstance(value, str | int | float | list | tuple | None) else str(value)
            for key, value in self.engine_options.items()
        }
        plain: dict[str, Any] = redact(
            {name: getattr(self, name) for name in self.__slots__} | {"engine_options": options}
        )
        return plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
