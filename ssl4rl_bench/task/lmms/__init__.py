"""The kind `lmms`: tasks that lmms-eval defines, named `lmms:NAME`, with its documents, prompts and scores."""

from __future__ import annotations

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import LMMS, HubName
from ssl4rl_bench.task.base import LoadOptions
from ssl4rl_bench.task.lmms.registry_files import PROMPT, find_registered
from ssl4rl_bench.task.lmms.scope import check_config
from ssl4rl_bench.task.lmms.task import LmmsTask
from ssl4rl_bench.task.taskfile import TaskFile


def load(task: TaskFile, asked: LoadOptions) -> LmmsTask:
    """Makes the task as lmms-eval does, and renders its samples. Imports lmms-eval, which takes ten seconds.

    Raises:
        UsageError: for a task that is not supported, another prompt style, or a limit below 1.
        DataError: for data that cannot be used.
        MissingDependency: without lmms-eval, or without the Java that the metrics of captions need.
    """
    registered = find_registered(task.name.removeprefix(LMMS))
    check_config(registered)
    if asked.prompt not in (None, PROMPT):
        raise UsageError(
            f"{task.name} has the prompt that lmms-eval makes: leave --prompt {asked.prompt} out"
        )
    if asked.limit is not None and asked.limit < 1:
        raise UsageError(f"--limit {asked.limit} leaves nothing to ask: give 1 or more questions.")
    from ssl4rl_bench.task.lmms.captions import check_java
    from ssl4rl_bench.task.lmms.configured import Configured
    from ssl4rl_bench.task.lmms.documents import open_documents
    from ssl4rl_bench.task.lmms.loading import loaded

    check_java(registered)
    default = HubName.parse(task.dataset_path)
    if default is None and asked.data is None:
        raise DataError(f"{task.name} has no data set on the hub: give its documents with --data")
    documents = open_documents(
        HubName(task.dataset_path if default is None else default.repo, task.revision),
        data=asked.data,
        config=task.dataset_name,
        split=task.split,
        commit=asked.commit,
    )
    return loaded(task, Configured(registered, documents), documents, asked)
