"""Opens the rows of a benchmark: a file or folder, a hub data set, or the file that the task file names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import HubName, short_name
from ssl4rl_bench.core.types import HubSource
from ssl4rl_bench.task.base import LoadOptions
from ssl4rl_bench.task.downloaded import downloaded_file
from ssl4rl_bench.task.missing import where_to_get
from ssl4rl_bench.task.tables.columns import MMBENCH, Columns, OnShare, Reader
from ssl4rl_bench.task.tables.files import read_path
from ssl4rl_bench.task.tables.hub import open_table
from ssl4rl_bench.task.taskfile import TaskFile


@dataclass(frozen=True, slots=True)
class RowSource:
    """The source of a task's rows."""

    name: str
    """The name that is recorded with the results."""
    where: str
    """The source as the user gave it, for messages."""
    rows: Reader
    path: Path | None = None
    """The file; None for a folder or a hub data set."""
    hub: HubSource | None = None


def open_rows(
    task: TaskFile, asked: LoadOptions, on_share: OnShare, *, columns: Columns = MMBENCH
) -> RowSource:
    """Opens the data that the user gave (`asked.data`), or else the downloaded file or the task file's data.

    Args:
        on_share: Callback that receives the share of the rows that has been read.
        columns: The columns that the rows must contain if the data has them.

    Raises:
        UsageError: `asked.data` is neither a path nor the name of a hub data set.
        DataError: there is no such file or data set.
        MissingDependency: for a hub data set without the packages that read it.
    """
    if asked.data is not None:
        path = Path(asked.data).expanduser()
        if path.exists():
            read = partial(read_path, path, folder=task.dataset_name, split=task.split)
            reader = partial(read, columns=columns, on_share=on_share)
            return RowSource(path.name, asked.data, reader, path if path.is_file() else None)
        name = HubName.parse(asked.data)
        if name is None:
            raise UsageError(
                f"--data {asked.data} is neither a file or folder nor a hub id (owner/name, owner/name@revision or "
                f"owner/name#configuration/split){_fix(task)}."
            )
    elif asked.commit is None and (file := downloaded_file(task.source)) is not None:
        reader = partial(read_path, file, columns=columns, on_share=on_share)
        return RowSource(file.name, str(file), reader, file)
    elif task.data_file is None:
        name = HubName(task.dataset_path, task.revision)
    elif not task.data_file.exists():
        if advice := where_to_get(task):
            raise DataError(f"the data of {task.name} is not on this machine: {advice}.")
        raise DataError(
            f"{task.name} reads {task.data_file.name}, which does not come with this package: download it and point "
            "--data at it."
        )
    else:
        reader = partial(read_path, task.data_file, columns=columns, on_share=on_share)
        return RowSource(task.data_file.name, str(task.data_file), reader, task.data_file)
    try:
        table = open_table(name, config=task.dataset_name, split=task.split, commit=asked.commit)
    except DataError as error:
        raise DataError(f"{error}{_fix(task)}") from None
    return RowSource(
        str(name), str(name), partial(table.rows, columns=columns, on_share=on_share), hub=table.source
    )


def _fix(task: TaskFile) -> str:
    """Returns a clause with the published file that the task reads otherwise."""
    advice = where_to_get(task)
    return f"; {short_name(task.name)} reads {advice}" if advice else ""
