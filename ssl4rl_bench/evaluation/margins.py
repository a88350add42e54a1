"""Asks an engine for the likelihoods of the answers to probes, and journals them (`run.likelihoods`).

This happens after all replies are journaled, as the replies determine the form in which answers are scored. It
changes neither replies nor scores. `score.margins` computes the margin from the records.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ssl4rl_bench.core.capabilities import ScoresAnswers
from ssl4rl_bench.core.errors import Interrupted
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.redaction import redact
from ssl4rl_bench.core.types import Completion, Engine, Request, Task
from ssl4rl_bench.engines.base import telling
from ssl4rl_bench.run.journal import Journal, answers
from ssl4rl_bench.run.likelihoods import (
    LikelihoodRecord,
    digest_of,
    encode_likelihoods,
    likelihoods_path,
    read_likelihoods,
)
from ssl4rl_bench.run.observing import Observer
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import Until, received
from ssl4rl_bench.score.forced_choice import AnswersToScore, answers_to_score
from ssl4rl_bench.score.margins import first_keys
from ssl4rl_bench.task.ssl.probe import ProbeTask


def measure_margins(
    tasks: Sequence[Task],
    engine: Engine,
    rundir: RunDir,
    extractor: str,
    observer: Observer,
    stop: threading.Event | None = None,
) -> dict[str, float]:
    """Records the likelihoods of the answers to the SSL tasks among `tasks`, where the engine gives them.

    Samples whose texts are recorded already are not asked again, except after an error.

    Args:
        tasks: the tasks of the run, all of whose replies are journaled.
        extractor: the extractor that reads the replies.
        stop: once set, no further sample is asked (`runner.execute`).

    Returns:
        The seconds that each task took, by its name; tasks for which nothing was asked are left out.

    Raises:
        Interrupted: `stop` was set before all samples were asked.
        EngineError: the engine gave up. Received likelihoods are kept.
        StoreError: as `runner.execute`.
    """
    seconds = {}
    if isinstance(engine, ScoresAnswers):
        for task in tasks:
            if isinstance(task, ProbeTask) and task.samples:
                began = time.monotonic()
                if n := _measure(task, engine, rundir, extractor, observer, stop or threading.Event()):
                    seconds[task.name] = time.monotonic() - began
                    took = f"{seconds[task.name]:.1f} s"
                    observer.say(f"{short_name(task.name)}: answers to {n} samples scored in {took}")
    return seconds


def _measure(
    task: ProbeTask,
    engine: Engine,
    rundir: RunDir,
    extractor: str,
    observer: Observer,
    stop: threading.Event,
) -> int:
    """Records the likelihoods of a task and returns the number of samples that were asked."""
    assert isinstance(engine, ScoresAnswers)
    keys = first_keys(rundir, task)
    path = likelihoods_path(rundir, task.name)
    known = read_likelihoods(path, keys)
    pending = {
        asked.sample.id: asked
        for asked in answers_to_score(task, _replies(task, rundir), extractor)
        if (record := known.get(asked.sample.id)) is None
        or record.error is not None
        or record.texts != digest_of(asked.texts)
    }
    if not pending:
        return 0
    observer.say(f"{short_name(task.name)}: scoring the answers to {len(pending)} samples")
    path.parent.mkdir(exist_ok=True)
    requests = [(Request(asked.sample, task=task.name), asked.texts) for asked in pending.values()]
    n = 0
    # An unexpected error of a library must not cost the run its result, as the replies are complete.
    with Journal(path) as journal, telling(f"engine {engine.name} cannot score answers"):
        for request, values in received(engine.score_answers(Until(stop, requests)), engine, stop):
            asked = pending[request.sample.id]
            journal.append_line(encode_likelihoods(_record(asked, keys[asked.sample.id], values)))
            n += 1
    if n < len(pending) and stop.is_set():
        raise Interrupted(
            f"interrupted: {n} of {len(pending)} samples of {task.name} have likelihoods; run the same command "
            "again to resume"
        )
    return n


def _replies(task: Task, rundir: RunDir) -> dict[str, list[Completion]]:
    """Returns the replies to each sample in the order of their repeats, without failed requests."""
    replies = defaultdict(list)
    records = answers(rundir.journal_path(task.name), rundir.spec.keys(task)).records
    for (id, _), record in sorted(records.items()):
        if record.error is None:
            replies[id].append(record.completion)
    return replies


def _record(asked: AnswersToScore, key: str, values: list[float] | str) -> LikelihoodRecord:
    record = LikelihoodRecord(asked.sample.id, key, digest_of(asked.texts), asked.form, asked.answers, ())
    if isinstance(values, str):
        return replace(record, error=redact(values) or "unknown error")
    size = len(asked.answers)
    rows = tuple(tuple(values[start : start + size]) for start in range(0, len(values), size))
    return replace(record, values=rows)
