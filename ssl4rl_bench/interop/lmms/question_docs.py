"""One function per shipped task of the kind `questions`, for `process_docs` of its task file.

lmms-eval passes only the data set to `process_docs`, so the function's name has to say which task it is:
`question_docs.mmstar` makes the documents of `tasks/mmstar.yaml` (`questions.make_docs`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.interop.lmms.questions import make_docs
from ssl4rl_bench.task.taskfile import task_names


def __getattr__(name: str) -> Callable[[Any], Any]:
    if full_name(name) not in task_names():
        raise AttributeError(f"module {__name__} has no attribute {name}")

    def process_docs(dataset: Any) -> Any:
        return make_docs(name, dataset)

    return process_docs
