"""Names of tasks and of repositories on the hub.

A task's name begins with "ssl4rl_"; what people type and read may leave that out.
"""

from __future__ import annotations

import re

PREFIX = "ssl4rl_"
"""Of every task's name: among lmms-eval's own tasks it would otherwise not be found."""
_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


def full_name(task: str) -> str:
    """A task's name with its prefix; the path of a task file as it is."""
    return task if task.startswith(PREFIX) or is_task_file(task) else PREFIX + task


def short_name(task: str) -> str:
    """A task's name without its prefix."""
    return task.removeprefix(PREFIX)


def is_task_file(name: str) -> bool:
    """Whether a name is the path of a task file rather than a task's name."""
    return name.endswith((".yaml", ".yml"))


def hub_id(name: str) -> tuple[str, str | None] | None:
    """Repository and revision of "owner/name" or "owner/name@revision"; None for anything else.

    A path can have this form too: see first whether it exists.
    """
    match = _HUB_ID.fullmatch(name)
    return None if match is None else (match["repo"], match["revision"])
