"""What a run shows while it runs: a bar on a terminal, a line for every 5% elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.output import say
from ssl4rl_bench.core.types import Status, Task
from ssl4rl_bench.run.runner import Event

if TYPE_CHECKING:
    from rich.console import Console

SHARES = 20
"""Lines for a task where there is no terminal."""


class LoadProgress:
    """Shows how far a large file has been read, on stderr: a bar on a terminal, a line for every 5% elsewhere.

    A context manager that gives what the reader tells its shares to; silent for the first `AFTER_S` seconds.
    """

    AFTER_S = 2.0

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._started: float | None = None
        """When reading began; a download before it shows its own progress."""
        self._step = -1
        self._share = 0.0
        self._n_pass = 1
        self._bar: Any = None

    def __enter__(self) -> Callable[[float], None]:
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _tell(self, share: float) -> None:
        self._started = self._started or time.monotonic()
        if share < self._share:  # a second pass, over the images of the questions that --limit keeps
            self._n_pass += 1
            self._step = -1
        self._share = share
        seconds = time.monotonic() - self._started
        step = int(share * SHARES)
        if seconds < self.AFTER_S or step == self._step:
            return
        self._step = step
        again = f", pass {self._n_pass}" if self._n_pass > 1 else ""
        if not self._console.is_terminal:
            say(f"loading {self._name}{again}: {100 * step // SHARES}%", stderr=True)
            return
        if self._bar is None:
            from rich import progress as rp

            columns = (
                rp.TextColumn("{task.description}", markup=False),
                rp.BarColumn(),
                rp.TaskProgressColumn(),
                rp.TimeElapsedColumn(),
            )
            self._bar = rp.Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(f"loading {self._name}", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=share, description=f"loading {self._name}{again}")


class RunProgress:
    """Call it with each event of `runner.execute`: done/total, running row accuracy, tokens/s, errors, ETA."""

    def __init__(self, console: Console, tasks: Sequence[Task], extractor: str) -> None:
        self._console, self._extractor = console, extractor
        self._tasks = {task.name: task for task in tasks}
        self._right: dict[str, list[float]] = {name: [] for name in self._tasks}
        self._n_no_content: Counter[str] = Counter()
        self._printed: dict[str, int] = {}
        self._started = time.monotonic()
        self._bar: Any = None
        self._ids: dict[str, Any] = {}

    def __enter__(self) -> RunProgress:
        if self._console.is_terminal:
            from rich import progress as rp

            columns = (
                rp.TextColumn("{task.description}", markup=False),
                rp.BarColumn(),
                rp.MofNCompleteColumn(),
                rp.TextColumn("{task.fields[note]}", markup=False),
                rp.TimeRemainingColumn(),
            )
            self._bar = rp.Progress(*columns, console=self._console)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        if event.sample is not None and event.record is not None:
            score = self._tasks[event.task].score(event.sample, event.record.completion, self._extractor)
            if score.value is not None:
                self._right[event.task].append(score.value)
            self._n_no_content[event.task] += score.status is Status.NO_CONTENT
        note = self._note(event)
        if self._bar is not None:
            if event.task not in self._ids:
                self._ids[event.task] = self._bar.add_task(
                    one_line(event.task), total=event.n_total, note="starting"
                )
            self._bar.update(self._ids[event.task], completed=event.n_done, note=note)
            return
        step = event.n_done * SHARES // max(1, event.n_total)
        if event.sample is None or step != self._printed.get(event.task):
            self._printed[event.task] = step
            say(f"{event.task}: {event.n_done}/{event.n_total}  {note}{self._eta(event)}", stderr=True)

    def _note(self, event: Event) -> str:
        right, n_no_content = self._right[event.task], self._n_no_content[event.task]
        if not right and not n_no_content:
            return "starting the engine" if event.n_done < event.n_total else "answered before"
        # Counted from the first reply's arrival on, an engine's start would hide its speed for minutes.
        rate = event.so_far.n_completion_tokens / max(event.so_far.seconds, 1e-9)
        note = f"rows right {100 * sum(right) / len(right):.1f}%  " if right else ""
        note += f"{rate:.0f} tokens/s" + (f"  {n_no_content} no_content" if n_no_content else "")
        return note + (f"  {event.so_far.n_errors} errors" if event.so_far.n_errors else "")

    def _eta(self, event: Event) -> str:
        now = event.so_far.n_done + event.so_far.n_errors - event.so_far.n_resumed
        if event.sample is None or now <= 0:
            return ""
        left = (event.n_total - event.n_done) * (time.monotonic() - self._started) / now
        return f"  about {left:.0f} s left" if left >= 1 else ""


class Terminal:
    """Shows on stderr how loading and a run go on (`run.observing.Observer`)."""

    def __init__(self) -> None:
        self._console = console(stderr=True)

    def loading(self, task: str) -> LoadProgress:
        return LoadProgress(self._console, task)

    def running(self, tasks: Sequence[Task], extractor: str) -> RunProgress:
        return RunProgress(self._console, tasks, extractor)

    def say(self, text: str) -> None:
        say(text, stderr=True)

    def warn(self, text: str) -> None:
        self._console.print(one_line(f"warning: {text}"), style="yellow")
