"""A handle on a task whose data is not loaded yet; `ssl4rl_bench.load_task` returns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Completion, FinishReason, Score, Task
from ssl4rl_bench.task import registry
from ssl4rl_bench.task.answers import score_answer
from ssl4rl_bench.task.extract import check_extractor
from ssl4rl_bench.task.mmbench.task import score_choice
from ssl4rl_bench.task.questions.schema import read_schema
from ssl4rl_bench.task.ssl.probe import ssl_task
from ssl4rl_bench.task.taskfile import TaskFile, load_taskfile


@dataclass(frozen=True, repr=False)
class TaskHandle:
    """A task as its file describes it. It scores replies, and loads the samples on demand."""

    given: str
    """The name or path that was passed to `load_task`."""
    file: TaskFile

    @property
    def name(self) -> str:
        """The task's name without the `ssl4rl_` prefix."""
        return short_name(self.file.name)

    @property
    def title(self) -> str:
        """A description of the task in a few words."""
        return self.file.title

    def load(
        self, data: str | Path | None = None, *, limit: int | None = None, prompt: str | None = None
    ) -> Task:
        """Loads the samples; images stay encoded. For arguments and errors see `task.registry.load_task`."""
        place = None if data is None else str(data)
        return registry.load_task(self.given, data=place, limit=limit, prompt=prompt)

    def score(
        self,
        reply: str,
        target: str,
        choices: Mapping[str, str] | None = None,
        *,
        extractor: str = "default",
        finish_reason: FinishReason = "stop",
    ) -> Score:
        """Reads a reply and scores it, as a run does and, for an SSL task, as its reward does.

        Args:
            reply: the text that the model wrote.
            target: the right answer.
            choices: letter to option text; for multiple-choice questions only. Without them, a benchmark of
                the kind `questions` scores the target as the first of its kinds of answers that it is of.
            extractor: the name of the extractor that reads the reply.
            finish_reason: "length" for a reply that was cut off.

        Returns:
            `value` (1.0, 0.0, or None if nothing could be scored), `answer`, `status`, and, for an SSL task,
            `parts`.

        Raises:
            UsageError: a target that is not an answer of the task; a question without choices; a kind of task
                whose replies can only be scored together with a sample: `load` it and call its `score`.

        Example:
            >>> load_task("ssl_rotation_90").score("<answer>90</answer>", "90").value
            1.0
        """
        check_extractor(extractor)
        completion = Completion(text=reply, finish_reason=finish_reason)
        if self.file.kind == "ssl":
            task = ssl_task(self.file)
            if not task.has_answer(target):
                raise UsageError(f"{self.name} has no answer {target!r}: give the target that a sample has")
            return task.score(completion, target, extractor)
        if self.file.kind not in ("mmbench", "questions"):
            raise UsageError(
                f"{self.name} is a task of the kind {self.file.kind}: load it, and score replies to its samples"
            )
        if self.file.kind == "questions" and choices is None:
            schema = read_schema(self.file.name, self.file.params)
            if (kind := schema.open_kind(target)) is not None:
                return score_answer(
                    kind,
                    target,
                    completion,
                    tolerance=schema.tolerance if kind == "number" else None,
                    extractor=extractor,
                )
        if choices is None or target not in choices:
            raise UsageError(
                f"{self.name} asks multiple-choice questions: give the choices (letter to option text), with the "
                "target among them"
            )
        return score_choice(choices, target, completion, extractor)

    def __repr__(self) -> str:
        return f"<Task {self.name}: {self.title}>"


def load_task(name: str) -> TaskHandle:
    """Finds a task by its name, with or without the `ssl4rl_` prefix, or by the path of its file.

    Raises:
        UsageError: there is no such task, or its file is invalid.

    Example:
        >>> load_task("ssl_rotation_90").title
        'Rotation, steps of 90 degrees'
    """
    return TaskHandle(name, load_taskfile(name))
