"""`advise`: says for each task whether rewards differ, whether a model sees, and what training takes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ssl4rl_bench.core.capabilities import ScoresAnswers
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Engine
from ssl4rl_bench.evaluation.plan import EvaluationPlan, engine_for, load_tasks, subjects_of
from ssl4rl_bench.run.observing import SILENT, Observer
from ssl4rl_bench.run.spec import engine_mark
from ssl4rl_bench.score.forced_choice import ForcedChoice, forced_choice
from ssl4rl_bench.signal.asking import AdviseSettings, Asked, ask
from ssl4rl_bench.signal.rewards import Earned, MeanShare, blind_reward, earn, mean_share
from ssl4rl_bench.signal.verdicts import ALPHA, Verdict, advice_for, verdict_of
from ssl4rl_bench.stats.alignment import TargetEffect, alignment, choices
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.train.rewards import make_reward

if TYPE_CHECKING:
    import pandas as pd

PREFILL, DECODE = 10_000.0, 2_500.0
"""Assumed tokens per second of a 3B model on one 80 GB GPU with vLLM, over prompts and in replies; not measured."""


@dataclass(frozen=True, slots=True)
class TaskAdvice:
    """The numbers and the verdict of one task. Rewards and shares are fractions."""

    task: str
    """Without the prefix."""
    scheme: str
    """The reward scheme; "exact" for tasks without parts, whatever was asked for."""
    n_pictures: int
    n_replies: int
    n_failed: int
    """Requests that failed; they are left out."""
    mean: MeanShare
    """The mean reward."""
    blind: float
    """What the best constant readable answer earns."""
    unread: float
    """The share of replies from which no answer was read."""
    spread: MeanShare
    """The share of groups whose replies do not all earn the same."""
    spread_by_guessing: float
    """That share if replies did not depend on the picture."""
    alignment: TargetEffect
    """The reward on the own target minus that on other samples' targets ("right by looking")."""
    choice: ForcedChoice | None
    """The forced-choice margin; None if the engine gives no likelihoods."""
    verdict: Verdict
    sentence: str
    """What to change."""
    seconds: float
    seconds_3b: float
    """The estimate for a 3B model on one GPU."""
    p_alignment: float = 1.0
    """Corrected for all tests of the table (Holm)."""
    p_margin: float | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """The result of `advise`."""

    model: str
    engine: str
    """The engine's name and version."""
    settings: AdviseSettings
    images: str
    """The source of the images."""
    tasks: Sequence[TaskAdvice]
    n_tests: int
    """The number of tests that Holm's correction counts."""

    def table(self) -> pd.DataFrame:
        """Returns the numbers as a data frame, one row per task.

        Columns: `task`, `verdict`, `sentence` (what to change), `scheme`, `n_pictures`, `mean`, `mean_low`,
        `mean_high`, `blind`, `unread`, `spread`, `spread_low`, `spread_high`, `spread_by_guessing`, `by_looking`,
        `by_looking_low`, `by_looking_high`, `p_by_looking`, `margin`, `margin_low`, `margin_high`, `p_margin`
        (p-values corrected), `form`, `seconds`. Rewards and shares are fractions; margins are in nats, NaN if the
        engine gives no likelihoods.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "task": row.task,
                "verdict": row.verdict,
                "sentence": row.sentence,
                "scheme": row.scheme,
                "n_pictures": row.n_pictures,
                **_bounded("mean", row.mean),
                "blind": row.blind,
                "unread": row.unread,
                **_bounded("spread", row.spread),
                "spread_by_guessing": row.spread_by_guessing,
                **_bounded("by_looking", row.alignment),
                "p_by_looking": row.p_alignment,
                **_bounded("margin", row.choice.sight if row.choice else None),
                "p_margin": row.p_margin,
                "form": row.choice.form if row.choice else None,
                "seconds": row.seconds,
            }
            for row in self.tasks
        )


def _bounded(name: str, estimate: MeanShare | TargetEffect | None) -> dict[str, float | None]:
    """Returns a value and the ends of its interval under their names."""
    low, high = (estimate.ci95 if estimate else None) or (None, None)
    return {name: estimate.value if estimate else None, f"{name}_low": low, f"{name}_high": high}


def advise(settings: AdviseSettings, observer: Observer = SILENT) -> Advice:
    """Samples replies to the tasks, measures the forced-choice margin where the engine allows it, and judges.

    Raises:
        UsageError: an unknown model, task, scheme or engine, or a task that is not an SSL task.
        DataError: images that cannot be used.
        EngineError: the engine failed.
    """
    reward = make_reward(settings.tasks, settings.scheme, extractor=settings.extractor)
    plan = EvaluationPlan.of(
        [settings.model],
        settings.tasks,
        [settings.images] if settings.images else (),
        limit=settings.n_pictures,
        engine=settings.engine,
        options=settings.options,
        prompt=settings.prompt,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        max_tokens=settings.max_tokens,
        extractor=settings.extractor,
    )
    name, (subject,) = subjects_of(plan)
    if name == "replay":
        raise UsageError("`advise` samples replies, which engine replay cannot: choose another --engine")
    tasks = [task for task in load_tasks(plan, observer) if isinstance(task, ProbeTask)]
    engine = engine_for(name, subject, plan)
    try:
        rows = []
        for task in tasks:
            observer.say(f"{short_name(task.name)}: {len(task.samples)} samples x {settings.replies} replies")
            rows.append(
                _measure(task, engine, settings, lambda task, asked: earn(task, reward, asked.replies))
            )
        blinds = [blind_reward(task, reward) for task in tasks]
    finally:
        engine.close()
    version = f"{engine.name} {engine.version}"
    judged, n_tests = _judged([replace(row, blind=blind) for row, blind in zip(rows, blinds, strict=True)])
    mark = engine_mark(engine.name, {})
    label = f"{subject.label} ({mark})" if mark else subject.label
    return Advice(label, version, settings, tasks[0].source, judged, n_tests)


def _measure(
    task: ProbeTask,
    engine: Engine,
    settings: AdviseSettings,
    earning: Callable[[ProbeTask, Asked], Earned],
) -> TaskAdvice:
    """Returns the numbers of a task, without what needs the other tasks."""
    began = time.monotonic()
    asked = ask(task, engine, settings)
    earned = earning(task, asked)
    choice = None
    if isinstance(engine, ScoresAnswers):
        choice = forced_choice(task, engine, asked.replies, settings.extractor)
    rewards, pictures = earned.by_sample(), earned.pictures()
    table = np.array([group.mean(axis=0) for group in earned.rewards])
    aligned = alignment(choices(table, earned.right, pictures))
    n_forced = 0 if choice is None else choice.n_candidates
    return TaskAdvice(
        task=short_name(task.name),
        scheme=settings.scheme
        if "per_position" in task.ssl.parts or settings.scheme == "released"
        else "exact",
        n_pictures=int(pictures.max()) + 1,
        n_replies=earned.n_replies,
        n_failed=asked.n_failed,
        mean=mean_share(rewards, pictures),
        blind=0.0,
        unread=earned.n_unread / earned.n_replies,
        spread=mean_share([np.array([float(np.ptp(group) > 0)]) for group in rewards], pictures),
        spread_by_guessing=earned.spread_by_guessing(settings.replies),
        alignment=aligned,
        choice=choice,
        verdict="guesses",
        sentence="",
        seconds=time.monotonic() - began,
        seconds_3b=asked.n_prompt_tokens * (1 + n_forced) / PREFILL + asked.n_reply_tokens / DECODE,
    )


def _judged(rows: Sequence[TaskAdvice]) -> tuple[list[TaskAdvice], int]:
    """Returns the rows with corrected p-values and verdicts, and the number of tests."""
    p_values = [row.alignment.p for row in rows] + [row.choice.sight.p for row in rows if row.choice]
    corrected = [float(p) for p in holm(p_values)]
    margins = iter(corrected[len(rows) :])
    judged = []
    for row, p_alignment in zip(rows, corrected, strict=False):
        p_margin = next(margins) if row.choice else None
        tests = (p_alignment,) if p_margin is None else (p_alignment, p_margin)
        high = [1.0 if share.ci95 is None else share.ci95[1] for share in (row.spread, row.mean)]
        verdict = verdict_of(row.n_pictures, high[0], row.blind, row.mean.value, high[1], tests)
        sees = any(p < ALPHA for p in tests)
        sentence = advice_for(verdict, row.blind, row.mean.value, row.unread, sees)
        judged.append(
            replace(row, p_alignment=p_alignment, p_margin=p_margin, verdict=verdict, sentence=sentence)
        )
    return judged, len(p_values)
