"""Writes to trackio: its local database, or the Space or server that its environment variables name."""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.engines.reach import unreachable
from ssl4rl_bench.reports.dashboards.base import Header, Log, StepRecord

PROJECT = "ssl4rl-bench"


class TrackioLog:
    """A run of a project.

    trackio prints to standard output, which belongs to the command's tables, and it has a current run in a context
    variable, which would be finished and announced again when the process ends.
    """

    def __init__(self, project: str, header: Header) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            import trackio

            self._project = project
            self._context = contextvars.copy_context()
            self._run: Any = self._context.run(
                trackio.init,
                project=project,
                name=header.name,
                resume="allow",
                config={**header.facts, "tags": list(header.tags)},
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    @property
    def place(self) -> str:
        return f"trackio show --project {self._project}"

    def write(self, record: StepRecord) -> None:
        self._run.log({**record.scalars, **record.texts}, step=record.step)

    def close(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._run.finish()


def open_trackio(header: Header, folder: Path, destination: str) -> Log:  # noqa: ARG001
    """Opens a run of the project `destination`.

    Raises:
        UsageError: the Space or the server cannot be reached.
    """
    server = os.environ.get("TRACKIO_SERVER_URL")
    if os.environ.get("TRACKIO_SPACE_ID"):
        server = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if server and (reason := unreachable(server)):
        raise UsageError(f"trackio's server cannot be reached: {reason}")
    return TrackioLog(destination or PROJECT, header)
