"""Names of tasks and of repositories on the hub.

A task's name begins with "ssl4rl_"; what people type and read may leave that out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "ssl4rl_"
"""Of every task's name: among lmms-eval's own tasks it would otherwise not be found."""
_HUB_ID = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?(#(?P<part>[^#@]+))?"
)
FILE_SUFFIXES = (".tsv", ".csv", ".parquet", ".txt", ".json", ".jsonl", ".xlsx", ".zip")
"""Of files, which no repository's name ends in."""


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository as users and task files name it: `owner/name`, `owner/name@revision#configuration/split`."""

    repo: str
    revision: str | None = None
    """A branch, a tag or a commit; None for the default branch."""
    part: str | None = None
    """What stands after "#", for data sets: `configuration/split`, or one of them."""

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """None for what is no such name, as that of a file. A path can have this form too: see first if it exists."""
        match = _HUB_ID.fullmatch(text)
        if match is None or match["repo"].lower().endswith(FILE_SUFFIXES):
            return None
        return cls(**match.groupdict())

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}#{self.part}" if self.part else f"{self.repo}{revision}"


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
    """Repository and revision of "owner/name" or "owner/name@revision"; None for anything else."""
    on_hub = HubName.parse(name)
    return None if on_hub is None or on_hub.part else (on_hub.repo, on_hub.revision)
