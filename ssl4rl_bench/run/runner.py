"""Executes a run: plan, resume, engine, journal."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace

from ssl4rl_bench.core.errors import EngineError, Interrupted, TooManyErrors
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.core.types import (
    ChecksTasks,
    Completion,
    Drains,
    Engine,
    Request,
    Sample,
    SampleRecord,
    Task,
)
from ssl4rl_bench.run.journal import Answers, Journal, Place, answers
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec

DEAD_AFTER = 50
"""So many failed requests in a row mean that the engine is gone: the run stops and does not fail the rest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a run is. Counts are of requests: a sample times its repeats."""

    n_total: int
    n_done: int
    """Replies there are, those of earlier sittings included."""
    n_resumed: int
    """Those of earlier sittings."""
    n_errors: int
    """Requests that failed in this sitting."""
    n_stale: int
    """Records of another prompt, model or sampling that were ignored."""
    n_corrupt: int
    """Damaged journal lines that were ignored."""
    n_prompt_tokens: int
    """In this sitting, as are the next two."""
    n_completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show: a task begins (no sample, no record), or a request was answered and journaled."""

    task: str
    n_done: int
    """Requests of this task that have a reply or, in this sitting, an error."""
    n_total: int
    """Requests of this task."""
    sample: Sample | None
    record: SampleRecord | None
    so_far: Outcome
    """Of the whole run."""


@dataclass(slots=True)
class _Plan:
    """One task's part of a run."""

    task: Task
    journal: Journal
    keys: dict[Place, str]
    pending: list[Request]
    before: Answers


@dataclass(slots=True)
class _Tally:
    so_far: Outcome
    started: float = field(default_factory=time.monotonic)
    failures: Counter[str] = field(default_factory=Counter)
    streak: int = 0
    """Failures since the last reply."""

    def add(self, record: SampleRecord) -> None:
        if record.error is None:
            self.streak = 0
        else:
            self.failures[record.error] += 1
            self.streak += 1
        so_far = self.so_far
        self.so_far = replace(
            so_far,
            n_done=so_far.n_done + (record.error is None),
            n_errors=self.failures.total(),
            n_prompt_tokens=so_far.n_prompt_tokens + record.n_prompt_tokens,
            n_completion_tokens=so_far.n_completion_tokens + record.n_completion_tokens,
            seconds=time.monotonic() - self.started,
        )

    def commonest(self) -> str:
        return f"most often: {self.failures.most_common(1)[0][0]}"


def check_tasks(engine: Engine, tasks: Sequence[Task]) -> None:
    """Lets an engine of recorded replies see that they belong to the tasks, before anything is written.

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
) -> Outcome:
    """Asks the engine what the run directory does not answer yet, and journals each reply as it comes.

    Nothing that has a reply under the same response key is sent again; what failed before is. Requests that
    share an image are sent one after another, so that an engine can keep what it computed from it.

    Args:
        tasks: the tasks of `spec`, loaded.
        rundir: from `RunDir.create`, with `spec`.
        max_error_rate: share of all requests that may fail.
        on_event: called in this thread, with each request after it is in the journal.
        stop: once set, nothing more is sent; what is in flight is finished and kept. A `Stop` acts on signals also
            while the engine is waited for.

    Returns:
        The outcome of a complete run. The caller may then write its result.

    Raises:
        Interrupted: `stop` was set before all was answered. The same call resumes.
        TooManyErrors: more failed than allowed, or `DEAD_AFTER` in a row. What was answered is kept.
        EngineError: the engine gave up, or left requests unanswered.
        UsageError, DataError: recorded replies that do not say which of the tasks they are of.
        StoreError: full disk, no permission, or another process writes this run.
    """
    stop = stop or threading.Event()
    check_tasks(engine, tasks)
    with ExitStack() as stack:
        plans = [_plan(task, rundir, spec, stack) for task in tasks]
        if any(plan.pending for plan in plans):
            rundir.remove_result()
        n_total = sum(len(plan.keys) for plan in plans)
        n_resumed = n_total - sum(len(plan.pending) for plan in plans)
        n_stale = sum(plan.before.n_stale for plan in plans)
        n_corrupt = sum(len(plan.before.corrupt) for plan in plans)
        tally = _Tally(Outcome(n_total, n_resumed, n_resumed, 0, n_stale, n_corrupt, 0, 0, 0.0))
        rundir.log(f"start: {n_resumed} of {n_total} requests have a reply")
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
    before = answers(path, keys := spec.keys(task))
    if journal.torn_bytes:
        rundir.log(f"{path.name}: cut off an incomplete last line of {journal.torn_bytes} bytes")
    for number in before.corrupt:
        rundir.log(f"{path.name}: line {number} is damaged; what it answered is asked again")
    if before.n_stale:
        rundir.log(f"{path.name}: ignored {before.n_stale} records of another prompt, model or sampling")
    for image in {image.sha256: image for sample in task.samples for image in sample.images}.values():
        rundir.save_image(image)
    answered = {place for place, record in before.records.items() if record.error is None}
    pending = [
        request
        for request in spec.requests(_by_image(task.samples), task.name)
        if (request.sample.id, request.repeat) not in answered
    ]
    return _Plan(task, journal, keys, pending, before)


def _answer(
    plan: _Plan,
    engine: Engine,
    spec: RunSpec,
    tally: _Tally,
    on_event: Callable[[Event], None] | None,
    stop: threading.Event,
) -> int:
    """Runs one task's pending requests and returns how many stayed unanswered."""
    name, n_total = plan.task.name, len(plan.keys)
    waiting = {(request.sample.id, request.repeat) for request in plan.pending}

    def tell(sample: Sample | None, record: SampleRecord | None) -> None:
        if on_event is not None:
            on_event(Event(name, n_total - len(waiting), n_total, sample, record, tally.so_far))

    tell(None, None)
    if not waiting:
        return 0
    if stop.is_set():
        return len(waiting)
    results = engine.run(_until(stop, plan.pending), spec.tasks[name].sampling)
    try:
        for request, completion in _received(results, engine, stop):
            place = (request.sample.id, request.repeat)
            if place not in waiting:
                continue  # an engine may yield a retried request twice; the first reply counts
            waiting.remove(place)
            record = _record(request, plan.keys[place], completion)
            plan.journal.append(record)
            tally.add(record)
            tell(request.sample, record)
            if tally.streak >= DEAD_AFTER:
                raise TooManyErrors(
                    f"the last {DEAD_AFTER} requests all failed ({tally.commonest()}); "
                    "see that the engine is up, then run the same command again"
                )
    finally:
        if isinstance(results, Generator):
            results.close()
    plan.journal.flush()
    return len(waiting)


def _received(
    results: Iterable[tuple[Request, Completion]], engine: Engine, stop: threading.Event
) -> Iterator[tuple[Request, Completion]]:
    """What an engine yields, until it is done or `stop` ends the wait for it.

    A reply that is here is kept before a signal is acted upon.
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
            item = None  # asked to stop; or the engine died of the signal, which its processes got as well
        if item is None:
            if guard:
                guard.drained()
            return
        with guard.deferring() if guard else nullcontext():
            yield item


def drain(engine: Engine) -> int:
    """Tells an engine to begin nothing more; returns how many replies are in flight."""
    return engine.drain() if isinstance(engine, Drains) else 0


def _until(stop: threading.Event, requests: Sequence[Request]) -> Iterator[Request]:
    for request in requests:
        if stop.is_set():
            return
        yield request


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
    """Samples with the same images side by side, otherwise in order."""
    together: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        pictures = tuple(image.sha256 for image in sample.images)
        together.setdefault(pictures or ("no image", sample.id), []).append(sample)
    return [sample for same in together.values() for sample in same]
