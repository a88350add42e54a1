"""Names of tasks and of repositories on the hub.

The name of a task begins with "ssl4rl_". Both user input and displayed text may omit this prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "ssl4rl_"
"""The prefix of every task name. It makes the tasks easy to find among lmms-eval's own tasks."""
LMMS = "lmms:"
"""The prefix of a task that lmms-eval defines, such as `lmms:mmstar`."""
_LMMS_FILE = "lmms."
"""Stands for `LMMS` in the names of files, where some systems allow no colon."""
_HUB_ID = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?(#(?P<part>[^#@]+))?"
)
FILE_SUFFIXES = (".tsv", ".csv", ".parquet", ".txt", ".json", ".jsonl", ".xlsx", ".zip")
"""Suffixes of files. A name that ends in one of them is not a repository."""


@dataclass(frozen=True, slots=True)
class HubName:
    """A name of a repository in the form `owner/name[@revision][#configuration/split]`."""

    repo: str
    revision: str | None = None
    """A branch, a tag or a commit; None for the default branch."""
    part: str | None = None
    """The part after "#", for data sets: `configuration/split`, or one of the two."""

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """Parses a name; returns None if it has another form, such as the name of a file.

        A path can have this form too, so callers check first whether such a path exists.
        """
        match = _HUB_ID.fullmatch(text)
        if match is None or match["repo"].lower().endswith(FILE_SUFFIXES):
            return None
        return cls(**match.groupdict())

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}#{self.part}" if self.part else f"{self.repo}{revision}"


def full_name(task: str) -> str:
    """Returns the name of a task with its prefix.

    The path of a task file and the name of a task of lmms-eval are returned unchanged.
    """
    return task if task.startswith((PREFIX, LMMS)) or is_task_file(task) else PREFIX + task


def short_name(task: str) -> str:
    """Returns the name of a task without its prefix."""
    return task.removeprefix(PREFIX)


def file_stem(task: str) -> str:
    """Returns a task's name in the form of a file name without a suffix."""
    return _LMMS_FILE + task.removeprefix(LMMS) if task.startswith(LMMS) else task


def task_of_stem(stem: str) -> str:
    """Returns the full name of the task that a file is named after (`file_stem`), with or without the prefix."""
    return LMMS + stem.removeprefix(_LMMS_FILE) if stem.startswith(_LMMS_FILE) else full_name(stem)


def is_task_file(name: str) -> bool:
    """Checks whether a name is the path of a task file rather than the name of a task."""
    return name.endswith((".yaml", ".yml"))


def hub_id(name: str) -> tuple[str, str | None] | None:
    """Returns repository and revision of "owner/name" or "owner/name@revision"; None for anything else."""
    on_hub = HubName.parse(name)
    return None if on_hub is None or on_hub.part else (on_hub.repo, on_hub.revision)
