"""Executes a run: finds the requests without a reply, sends them to the engine, and journals the replies."""

from __future__ import annotations

import operator
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ssl4rl_bench.core.capabilities import ChecksTasks, Drains, Expects, ReportsWaits, Waits
from ssl4rl_bench.core.errors import EngineError, Interrupted, TooManyErrors
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.core.types import (
    Completion,
    Engine,
    Request,
    Sample,
    SampleRecord,
    Task,
)
from ssl4rl_bench.run.answered import Answered, find_answered
from ssl4rl_bench.run.journal import Journal, Place
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec

Item = TypeVar("Item")
Result = TypeVar("Result")
DEAD_AFTER = 50
"""Number of consecutive failures after which the engine is taken for dead and the run stops."""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Progress of a run. Counts are requests (samples x repeats).

    A sitting is one execution of the command; a resumed run has several.
    """

    n_total: int
    n_done: int
    """Requests with a reply, including replies of earlier sittings."""
    n_resumed: int
    """Requests with a reply from an earlier sitting."""
    n_errors: int
    """Requests that failed in this sitting."""
    n_stale: int
    """Ignored records of another prompt, model or sampling."""
    n_corrupt: int
    """Ignored damaged lines of the journal."""
    n_prompt_tokens: int
    """In this sitting only, like the next two fields."""
    n_completion_tokens: int
    seconds: float
    """Time since the first answered request was sent. The start of the engine before that does not count."""


@dataclass(frozen=True, slots=True)
class Event:
    """Progress to show: a task begins (no sample, no record), or a request was answered and journaled."""

    task: str
    n_done: int
    """Requests of this task with a reply, or with an error in this sitting."""
    n_total: int
    """All requests of this task."""
    sample: Sample | None
    record: SampleRecord | None
    so_far: RunCounts
    """Progress of the complete run."""
    waits: Waits | None = None
    """What has limited the engine so far; None for an engine that does not report it."""


@dataclass(slots=True)
class _Plan:
    """The part of a run that belongs to one task."""

    task: Task
    journal: Journal
    keys: dict[Place, str]
    pending: list[Request]
    before: Answered


@dataclass(slots=True)
class _Tally:
    so_far: RunCounts
    created: float
    started: float | None = None
    """The time at which the first answered request was sent; None before the first reply."""
    failures: Counter[str] = field(default_factory=Counter)
    streak: int = 0
    """Number of failures since the last reply."""

    def add(self, record: SampleRecord) -> None:
        if record.error is None:
            self.streak = 0
        else:
            self.failures[record.error] += 1
            self.streak += 1
        now = time.monotonic()
        if self.started is None:  # the latency of a replayed reply may be older than this sitting
            self.started = max(self.created, now - record.latency_s)
        so_far = self.so_far
        self.so_far = replace(
            so_far,
            n_done=so_far.n_done + (record.error is None),
            n_errors=self.failures.total(),
            n_prompt_tokens=so_far.n_prompt_tokens + record.n_prompt_tokens,
            n_completion_tokens=so_far.n_completion_tokens + record.n_completion_tokens,
            seconds=now - self.started,
        )

    def commonest(self) -> str:
        return f"most often: {self.failures.most_common(1)[0][0]}"


def check_tasks(engine: Engine, tasks: Sequence[Task]) -> None:
    """Lets an engine of recorded replies check that these belong to the tasks, before anything is written.

    Raises:
        UsageError, DataError: as `recorded.Recorded.check`.
    """
    if isinstance(engine, ChecksTasks):
        engine.check_tasks(tasks)


def execute(
    tasks: Sequence[Task],
    engine: Engine,
    rundir: RunDir,
    spec: RunSpec,
    *,
    max_error_rate: float = 0.01,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
) -> RunCounts:
    """Sends all requests without a reply in the run directory to the engine, and journals each reply.

    Requests that have a reply under the same response key are not sent again; failed requests are. Requests
    with the same image are sent one after another, so that an engine can reuse what it computed from it.

    Args:
        tasks: the loaded tasks of `spec`.
        rundir: the result of `RunDir.create` with `spec`.
        max_error_rate: the share of all requests that may fail.
        on_event: called in this thread for each request, after its record is in the journal.
        stop: once set, no further request is sent; requests in flight are finished and kept. A `Stop` also
            handles signals while the program waits for the engine.

    Returns:
        The outcome of a complete run. The caller may then write its result.

    Raises:
        Interrupted: `stop` was set before all requests were answered. The same call resumes the run.
        TooManyErrors: more requests failed than allowed, or `DEAD_AFTER` in a row. Received replies are kept.
        EngineError: the engine gave up, or left requests unanswered.
        UsageError, DataError: it is not clear to which of the tasks recorded replies belong.
        StoreError: full disk, no permission, or another process writes this run.
    """
    stop = stop or threading.Event()
    # The samples of a shard alone may have no recorded reply, so `evaluation` checks the tasks of the whole run.
    if spec.shard is None:
        check_tasks(engine, tasks)
    with ExitStack() as stack:
        plans = [_plan(task, rundir, spec, stack) for task in tasks]
        if any(plan.pending for plan in plans):
            rundir.remove_result()
        n_total = sum(len(plan.keys) for plan in plans)
        n_resumed = n_total - sum(len(plan.pending) for plan in plans)
        n_stale = sum(plan.before.n_stale for plan in plans)
        n_corrupt = sum(len(plan.before.corrupt) for plan in plans)
        counts = RunCounts(n_total, n_resumed, n_resumed, 0, n_stale, n_corrupt, 0, 0, 0.0)
        tally = _Tally(counts, time.monotonic())
        rundir.log(f"start: {n_resumed} of {n_total} requests have a reply")
        if isinstance(engine, Expects):
            engine.expect(n_total - n_resumed)
        n_unanswered = 0
        for plan in plans:
            left = _answer(plan, engine, spec, tally, on_event, stop)
            if left and not stop.is_set():
                raise EngineError(
                    f"the {engine.name} engine left {left} of {len(plan.pending)} requests unanswered; "
                    "run the same command again to ask them"
                )
            n_unanswered += left
    outcome = tally.so_far
    state = f"{outcome.n_done} of {outcome.n_total} requests have a reply, {outcome.n_errors} failed"
    rundir.log(f"end: {state}")
    if n_unanswered:
        raise Interrupted(f"interrupted: {state}; run the same command again to resume")
    if outcome.n_errors > max_error_rate * outcome.n_total:
        raise TooManyErrors(
            f"{outcome.n_errors} of {outcome.n_total} requests failed, more than --max-error-rate "
            f"{max_error_rate:g} allows ({tally.commonest()}); run the same command again to retry them"
        )
    return outcome


def _plan(task: Task, rundir: RunDir, spec: RunSpec, stack: ExitStack) -> _Plan:
    path = rundir.journal_path(task.name)
    journal = stack.enter_context(Journal(path))
    before = find_answered(path, keys := spec.keys(task))
    if journal.torn_bytes:
        rundir.log(f"{path.name}: cut off an incomplete last line of {journal.torn_bytes} bytes")
    for number in before.corrupt:
        rundir.log(f"{path.name}: line {number} is damaged; its request is sent again")
    if before.n_stale:
        rundir.log(f"{path.name}: ignored {before.n_stale} records of another prompt, model or sampling")
    rundir.save_images(task.samples)
    left = [] if len(before.places) == len(keys) else _by_image(task.samples)
    pending = list(spec.requests(left, task.name, before.places))
    return _Plan(task, journal, keys, pending, before)


def _answer(
    plan: _Plan,
    engine: Engine,
    spec: RunSpec,
    tally: _Tally,
    on_event: Callable[[Event], None] | None,
    stop: threading.Event,
) -> int:
    """Runs the pending requests of one task and returns the number left unanswered."""
    name, n_total = plan.task.name, len(plan.keys)
    waiting = {(request.sample.id, request.repeat) for request in plan.pending}

    watched = engine if isinstance(engine, ReportsWaits) else None

    def emit(sample: Sample | None, record: SampleRecord | None) -> None:
        if on_event is not None:
            waits = None if watched is None else watched.waits()
            on_event(Event(name, n_total - len(waiting), n_total, sample, record, tally.so_far, waits))

    emit(None, None)
    if not waiting:
        return 0
    if stop.is_set():
        return len(waiting)
    results = engine.run(Until(stop, plan.pending), spec.tasks[name].sampling)
    try:
        for request, completion in received(results, engine, stop):
            place = (request.sample.id, request.repeat)
            if place not in waiting:
                continue  # an engine may yield a retried request twice; the first reply counts
            waiting.remove(place)
            record = _record(request, plan.keys[place], completion)
            plan.journal.append(record)
            tally.add(record)
            emit(request.sample, record)
            if tally.streak >= DEAD_AFTER:
                raise TooManyErrors(
                    f"the last {DEAD_AFTER} requests all failed ({tally.commonest()}); "
                    "check that the engine is running, then run the same command again"
                )
    finally:
        if isinstance(results, Generator):
            results.close()
    plan.journal.flush()
    return len(waiting)


def received(
    results: Iterable[tuple[Request, Result]], engine: Engine, stop: threading.Event
) -> Iterator[tuple[Request, Result]]:
    """Yields the results of an engine until it is done or `stop` ends the wait.

    A reply that has arrived is saved before a signal takes effect.
    """
    iterator = iter(results)
    guard = stop if isinstance(stop, Stop) else None
    while True:
        try:
            with guard.waiting(lambda: drain(engine)) if guard else nullcontext():
                item = next(iterator, None)
        except (KeyboardInterrupt, EngineError):
            if not stop.is_set():
                raise
            item = None  # asked to stop; or the engine died of the signal, which its processes received too
        if item is None:
            if guard:
                guard.drained()
            return
        with guard.deferring() if guard else nullcontext():
            yield item


def drain(engine: Engine) -> int:
    """Stops an engine from starting requests and returns the number of replies in flight."""
    return engine.drain() if isinstance(engine, Drains) else 0


class Until(Iterator[Item]):
    """Requests until `stop` is set. Its length hint tells an engine how many will come."""

    def __init__(self, stop: threading.Event, requests: Sequence[Item]) -> None:
        self._stop, self._requests = stop, iter(requests)

    def __next__(self) -> Item:
        if self._stop.is_set():
            raise StopIteration
        return next(self._requests)

    def __length_hint__(self) -> int:
        return 0 if self._stop.is_set() else operator.length_hint(self._requests)


def _record(request: Request, key: str, completion: Completion) -> SampleRecord:
    error = completion.error
    if error is None and completion.finish_reason == "error":
        error = "unknown error"
    return SampleRecord(
        id=request.sample.id,
        repeat=request.repeat,
        group=request.sample.group,
        key=key,
        text=completion.text if error is None else "",
        finish_reason=completion.finish_reason if error is None else "error",
        n_prompt_tokens=completion.n_prompt_tokens,
        n_completion_tokens=completion.n_completion_tokens,
        latency_s=completion.latency_s,
        error=None if error is None else redact(error),
        reasoning=completion.reasoning if error is None else "",
    )


def _by_image(samples: Sequence[Sample]) -> list[Sample]:
    """Reorders samples so that those with the same images are consecutive; otherwise keeps the order."""
    together: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        pictures = tuple(image.sha256 for image in sample.images)
        together.setdefault(pictures or ("no image", sample.id), []).append(sample)
    return [sample for same in together.values() for sample in same]
