"""Writes to Weights & Biases, or without a network or a key to its offline folder, which `wandb sync` sends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.engines.reach import unreachable
from ssl4rl_bench.reports.dashboards.base import Header, Log, StepRecord

PROJECT = "ssl4rl-bench"
STEP = "trainer_step"
"""The axis of all charts. wandb's own step only rises, while checkpoints may be evaluated in any order."""


class WandbLog:
    """A run of a project; `WANDB_RUN_ID` continues a run of the trainer."""

    def __init__(self, header: Header, project: str, entity: str | None, offline: str) -> None:
        import wandb

        self._offline = offline
        self._axes: set[str] = set()
        # Nothing is collected besides what is logged: no command line, code, packages, console or machine data.
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            init_timeout=20.0,
            reinit="create_new",  # a run of the same process, such as a notebook's, goes on
        )
        self._run: Any = wandb.init(
            project=project,
            entity=entity,
            id=os.environ.get("WANDB_RUN_ID") or header.id,
            name=None if os.environ.get("WANDB_RUN_ID") else header.name,
            config={"ssl4rl_bench": dict(header.facts)},
            tags=list(header.tags) or None,
            mode="offline" if offline else None,
            resume=None if offline else "allow",
            settings=quiet,
        )

    @property
    def place(self) -> str:
        if self._offline:
            return f"wandb sync --append {Path(self._run.settings.sync_dir)} ({self._offline})"
        return str(self._run.url or "nowhere, as WANDB_MODE says")

    def write(self, record: StepRecord) -> None:
        values: Mapping[str, Any] = {**record.scalars, **record.texts}
        for axis in {name.partition("/")[0] for name in values} - self._axes:
            self._run.define_metric(f"{axis}/*", step_metric=STEP)
            self._axes.add(axis)
        self._run.log({**values, **({} if record.step is None else {STEP: record.step})})

    def close(self) -> None:
        self._run.finish(exit_code=0)


def open_wandb(header: Header, folder: Path, destination: str) -> Log:  # noqa: ARG001
    """Opens a run of the project `destination`, which may be ENTITY/PROJECT."""
    entity, _, project = destination.rpartition("/")
    project = project or os.environ.get("WANDB_PROJECT") or PROJECT
    return WandbLog(header, project, entity or None, why_offline())


def why_offline() -> str:
    """Returns why the run is kept offline; empty if it is sent."""
    import wandb

    asked = os.environ.get("WANDB_MODE", "")
    if asked == "disabled":
        return ""
    if asked in ("offline", "dryrun"):
        return f"WANDB_MODE={asked}"
    if not wandb.api.api_key:  # otherwise `wandb.init` would ask for it
        return "no key: `wandb login`"
    reason = unreachable(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    return f"the server cannot be reached: {reason}" if reason else ""
