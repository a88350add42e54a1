"""The forced-choice margin of a run's probes, from the likelihoods that the run recorded.

`evaluation.margins` asks the engine and writes the likelihoods; this module only reads them, so that a run can be
scored again, merged and compared without a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl4rl_bench.core.types import Task
from ssl4rl_bench.run.likelihoods import LikelihoodRecord, likelihoods_path, read_likelihoods
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.forced_choice import ScoredAnswers, choice_of, sample_margins
from ssl4rl_bench.task.ssl.probe import ProbeTask

SCORING_ENGINES = ("hf", "vllm")
"""The engines that give likelihoods of answers."""


@dataclass(frozen=True, slots=True)
class ProbeMargin:
    """The margin of a probe in a run."""

    summary: Mapping[str, Any]
    """The entry "margin" of result.json (`margin_of_run`)."""
    samples: Mapping[str, float] = field(default_factory=dict)
    """The margin of each sample in nats, by its id."""


def first_keys(rundir: RunDir, task: Task) -> dict[str, str]:
    """Returns the response key of the first reply to each sample, by its id."""
    return {id: key for (id, repeat), key in rundir.spec.keys(task).items() if repeat == 0}


def margin_of_run(rundir: RunDir, task: Task) -> ProbeMargin:
    """Computes the margin of a probe from the likelihoods in a run directory.

    Keys of the summary: `value` in nats, `ci95`, `p`, `z`, `n` samples and `n_pictures` (see
    `stats.alignment.TargetEffect`); `n_left_out`, the samples without likelihoods; `n_candidates`, the maximum number
    of answers per sample; `form`, the form in which the answers were scored. Without a margin, `value` is None, `n`
    is 0, and `reason` says why.

    Raises:
        StoreError: the file cannot be read.
    """
    if not isinstance(task, ProbeTask):
        return _without("the task is not an SSL task of this package")
    path = likelihoods_path(rundir, task.name)
    records = read_likelihoods(path, first_keys(rundir, task)) if path.exists() else {}
    targets = {sample.id: sample.target for sample in task.samples}
    scored = {
        id: ScoredAnswers(record.form, record.answers, np.array(record.values, np.float64))
        for id, record in records.items()
        if record.error is None and targets[id] in record.answers
    }
    if len({answers.form for answers in scored.values()}) > 1:
        return _without("answers were scored in different forms, which cannot be joined")
    choice = choice_of(task, scored)
    if choice is None:
        return _without(_reason(rundir, records))
    effect = choice.sight
    return ProbeMargin(
        {
            "value": effect.value,
            "ci95": None if effect.ci95 is None else list(effect.ci95),
            "p": effect.p,
            "z": effect.z,
            "n": effect.n,
            "n_pictures": effect.n_clusters,
            "n_left_out": choice.n_failed,
            "n_candidates": choice.n_candidates,
            "form": choice.form,
        },
        sample_margins(task, scored),
    )


def _without(reason: str) -> ProbeMargin:
    return ProbeMargin({"value": None, "n": 0, "reason": reason})


def _reason(rundir: RunDir, records: Mapping[str, LikelihoodRecord]) -> str:
    error = next((record.error for record in records.values() if record.error is not None), None)
    if error is not None:
        return f"the likelihoods of all samples failed: {error}"
    engine = rundir.spec.engine
    if engine not in SCORING_ENGINES:
        return f"engine {engine} gives no likelihoods of answers"
    return "no likelihoods of answers are recorded, as in workers, with margin=false, or by an older version"
