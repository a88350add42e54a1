"""Displays progress on standard error: bars on a terminal, and a line every ten seconds elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich import progress as rp
from rich.table import Column
from rich.text import Text

from ssl4rl_bench.cli.common import console
from ssl4rl_bench.core.capabilities import Waits
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.output import say
from ssl4rl_bench.core.types import UNSCORED, Status, Task
from ssl4rl_bench.run.observing import Observer
from ssl4rl_bench.run.runner import Event

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 10.0
"""The least time between two lines of progress without a terminal."""


class Pace:
    """Decides when a line of progress is due: the first one at once, then one every ten seconds.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -math.inf

    def is_due(self) -> bool:
        """Checks whether a line is due; if so, the next one is due ten seconds from now."""
        now = self._clock()
        due = now - self._last >= SECONDS_BETWEEN_LINES
        if due:
            self._last = now
        return due


class Bars:
    """Shows the progress of several items: bars on a terminal, elsewhere lines at a `Pace` and each item's last line.

    Args:
        screen: a console on standard error.
        columns: rich columns in addition to a description and the bar.
        pace: when a line is due; several `Bars` can share one.
        transient: whether bars disappear at the end.
    """

    def __init__(
        self,
        screen: Console,
        *columns: rp.ProgressColumn,
        pace: Pace | None = None,
        transient: bool = False,
    ) -> None:
        self.screen = screen
        self.bars: rp.Progress | None = None
        """The bars on a terminal, between `__enter__` and `__exit__`; otherwise None."""
        self._columns, self._pace, self._transient = columns, pace or Pace(), transient
        self._ids: dict[str, rp.TaskID] = {}
        self._waiting: dict[str, str] = {}
        """The last line of each item, while it has not been printed."""

    def __enter__(self) -> Self:
        if self.screen.is_terminal and self.bars is None:
            width = min(40, (self.screen.width - 60) // 2)  # the numbers come first on a narrow terminal
            bar = [rp.BarColumn(width)] if width > 0 else []
            columns = (rp.TextColumn("{task.description}", markup=False), *bar, *self._columns)
            self.bars = rp.Progress(*columns, console=self.screen, transient=self._transient)
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None
        for line in self._waiting.values():
            say(line, stderr=True)
        self._waiting.clear()

    def show(
        self,
        label: str,
        done: float,
        total: float | None,
        line: str,
        *,
        name: str | None = None,
        **fields: Any,
    ) -> None:
        """Updates a bar, or without a terminal prints `line` if it is due or the item is complete.

        Args:
            name: identifies the item if its label changes.
            fields: values for the columns.
        """
        name = name or label
        if self.bars is not None:
            if name not in self._ids:
                self._ids[name] = self.bars.add_task(label, total=total, **fields)
            self.bars.update(self._ids[name], description=label, completed=done, total=total, **fields)
            return
        if not done and not total:
            return
        if self._pace.is_due() or (total and done >= total):
            self._waiting.pop(name, None)
            say(line, stderr=True)
        else:
            self._waiting[name] = line


class LoadProgress:
    """Shows the progress of reading a large file.

    A context manager whose value is a callback for the share that was read. It shows nothing for the first
    `AFTER_S` seconds.
    """

    AFTER_S = 2.0

    def __init__(self, screen: Console, name: str, pace: Pace | None = None) -> None:
        self._name = name
        self._started: float | None = None
        """The time at which reading began. A download before that shows its progress separately."""
        self._share = 0.0
        self._n_pass = 1
        self._bars = Bars(screen, rp.TaskProgressColumn(), rp.TimeElapsedColumn(), pace=pace, transient=True)

    def __enter__(self) -> Callable[[float], None]:
        return self._set_share

    def __exit__(self, *_: object) -> None:
        self._bars.__exit__()

    def _set_share(self, share: float) -> None:
        self._started = self._started or time.monotonic()
        if share < self._share:  # a second pass, over the images of the questions that --limit selects
            self._n_pass += 1
        self._share = share
        if time.monotonic() - self._started >= self.AFTER_S:
            label = f"loading {self._name}" + (f", pass {self._n_pass}" if self._n_pass > 1 else "")
            line = f"{label}: {int(100 * share)}%"
            self._bars.__enter__().show(label, share, 1.0, line, name=self._name)


class MeasureProgress:
    """Shows how many parts of a measurement are done. A context manager whose value is a callback for that number."""

    def __init__(self, screen: Console, label: str, total: int, pace: Pace) -> None:
        self._label, self._total = one_line(label), total
        self._bars = Bars(
            screen, rp.MofNCompleteColumn(), rp.TimeRemainingColumn(), pace=pace, transient=True
        )

    def __enter__(self) -> Callable[[int], None]:
        self._bars.__enter__()
        return self._done

    def __exit__(self, *_: object) -> None:
        self._bars.__exit__()

    def _done(self, done: int) -> None:
        line = f"{self._label}: {done} of {self._total}"
        self._bars.show(self._label, done, self._total, line)


class _Remaining(rp.ProgressColumn):
    """Shows the field `left`, the remaining seconds of an item, as "1:02:03", and "-:--:--" if it is unknown."""

    def render(self, task: rp.Task) -> Text:
        left = task.fields.get("left")
        text = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
        return Text(text, style="progress.remaining")


class RunProgress(Bars):
    """Shows done/total, accuracy over rows, rates, what limits the engine, errors and remaining time of a run.

    Rates and the remaining time do not count the start of the engine (`RunCounts.seconds`). It is a callback
    for the events of `runner.execute`.
    """

    SHORTEST_S = 0.1
    """The time after which there is a rate."""

    def __init__(
        self, screen: Console, tasks: Sequence[Task], extractor: str, pace: Pace | None = None
    ) -> None:
        # The only column that is wrapped; rich would cut all of them alike.
        note = rp.TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=False))
        super().__init__(screen, rp.MofNCompleteColumn(), note, _Remaining(), pace=pace)
        self._extractor = extractor
        self._tasks = {task.name: task for task in tasks}
        self._n_scored: Counter[str] = Counter()
        self._right = dict.fromkeys(self._tasks, 0.0)
        """The sum of the scores of each task."""
        self._n_no_content: Counter[str] = Counter()
        self._n_of_corpus: Counter[str] = Counter()
        """The number of replies of each task that have no scores, as its metrics are of the whole corpus."""
        self._limit = Limit()

    def __call__(self, event: Event) -> None:
        if event.sample is not None and event.record is not None:
            score = self._tasks[event.task].score(event.sample, event.record.completion, self._extractor)
            if score.value is not None:
                self._n_scored[event.task] += 1
                self._right[event.task] += score.value
            self._n_no_content[event.task] += score.status is Status.NO_CONTENT
            self._n_of_corpus[event.task] += score.value is None and score.status not in UNSCORED
        note, left = self._note(event), self._left(event)
        line = f"{event.task}: {event.n_done}/{event.n_total}  {note}"
        if left is not None and left >= 1:
            line += f"  about {left:.0f} s left"
        self.show(one_line(event.task), event.n_done, event.n_total, line, note=note, left=left)

    def _note(self, event: Event) -> str:
        limit = self._limit.of(event.waits)
        n_scored, n_no_content = self._n_scored[event.task], self._n_no_content[event.task]
        if not n_scored and not n_no_content and not self._n_of_corpus[event.task]:
            return "starting the engine" if event.n_done < event.n_total else "answered before"
        parts = [f"rows right {100 * self._right[event.task] / n_scored:.1f}%"] if n_scored else []
        if (seconds := event.so_far.seconds) >= self.SHORTEST_S:
            rate = _answered(event) / seconds
            parts.append(f"{rate:.{0 if rate >= 100 else 1}f} replies/s")
            parts.append(f"{event.so_far.n_completion_tokens / seconds:.0f} tokens/s")
        if limit:
            parts.append(f"waiting for {limit}")
        if n_no_content:
            parts.append(f"{n_no_content} no_content")
        if event.so_far.n_errors:
            parts.append(f"{event.so_far.n_errors} errors")
        return "  ".join(parts)

    def _left(self, event: Event) -> float | None:
        """Returns the remaining seconds of a task; None if they are not known yet."""
        n_answered, seconds = _answered(event), event.so_far.seconds
        if event.n_done == event.n_total:
            return 0.0
        if event.sample is None or n_answered <= 0 or seconds < self.SHORTEST_S:
            return None
        return (event.n_total - event.n_done) * seconds / n_answered


def _answered(event: Event) -> int:
    """Returns the number of requests that were answered or failed in this sitting."""
    return event.so_far.n_done + event.so_far.n_errors - event.so_far.n_resumed


class Limit:
    """Names what an engine has mostly waited for in the last seconds."""

    WINDOW_S = 2.0
    NAMES: ClassVar[Mapping[str, str]] = {
        "prompts_s": "images",
        "model_s": "the model",
        "rest_s": "the last replies",
    }

    def __init__(self) -> None:
        self._before: Waits | None = None
        self._name = ""

    def of(self, waits: Waits | None) -> str:
        """Returns the name, and an empty text if it is not known yet or the engine does not report it."""
        if waits is None:
            return ""
        if self._before is None or waits.total_s < self._before.total_s:  # an engine that started again
            self._before, self._name = waits, ""
        elif waits.total_s - self._before.total_s >= self.WINDOW_S:
            before = self._before
            most = max(self.NAMES, key=lambda name: getattr(waits, name) - getattr(before, name))
            self._before, self._name = waits, self.NAMES[most]
        return self._name


class Terminal(Observer):
    """Shows the progress of loading and of runs on standard error."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._pace = Pace()

    def loading(self, task: str) -> LoadProgress:
        return LoadProgress(self._console, task, self._pace)

    def running(self, tasks: Sequence[Task], extractor: str) -> RunProgress:
        return RunProgress(self._console, tasks, extractor, self._pace)

    def measuring(self, label: str, total: int) -> MeasureProgress:
        return MeasureProgress(self._console, label, total, self._pace)

    def say(self, text: str) -> None:
        say(text, stderr=True)

    def warn(self, text: str) -> None:
        self._console.print(one_line(f"warning: {text}"), style="yellow")


class WrappedTerminal(Terminal):
    """A terminal on which lines that are said are broken between words."""

    def say(self, text: str) -> None:
        self._console.sentence(one_line(text))
