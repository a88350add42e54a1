"""Makes run directories of a simulated model, in which one setting or another is planted.

The model is a function of the question: it knows some of them, and answers the others wrongly. What is planted
changes some replies. Nothing else does, so the cause of a gap between two runs is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from mmbench_data import questions_by_ability, write_tsv

from ssl4rl_bench.core.types import Sample, SampleRecord, Sampling, Task
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score.scoring import score_and_write
from ssl4rl_bench.task.registry import load_task

N_QUESTIONS = 140
"""Twenty questions of each category of `mmbench_data.ABILITIES`, with four copies."""
SERVED = {"chat_template": "0" * 16, "min_pixels": 3136, "max_pixels": 1003520}
LOOP = "<think>" + "The object on the left is larger than the object on the right. " * 30
CUT = (
    "<think>First I look at the picture as a whole, which seems to show several things at once. Some of them are "
    "close to the edge, others are in the middle, and a few overlap. To answer, I would have to compare"
)


@dataclass(frozen=True)
class Planted:
    """What a simulated run is like."""

    prompt: str = "ssl4rl"
    engine: str = "hf"
    version: str = "5.17.0"
    dtype: str | None = None
    max_pixels: int | None = None
    max_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    fingerprint: str = "0" * 64
    extractor: str = "default"
    task: str = "mmbench_dev_en"
    limit: int | None = None
    wrong: Mapping[str, float] = field(default_factory=dict)
    """By a name, the share of questions that this makes wrong."""
    cut: float = 0.0
    """The share of questions whose first copy is cut off."""
    loops: float = 0.0
    """The share of questions whose first copy repeats itself up to the token limit."""
    unread: float = 0.0
    """The share of questions whose first copy has no answer that can be read."""
    loose: float = 0.0
    """The share of questions that are answered without a tag, which `strict` does not read."""
    slips: float = 0.0
    """The share of copies that are answered wrongly, drawn by the seed."""
    prompt_tokens: int = 300
    unanswered: float = 0.0
    """The share of questions without a reply."""
    world: str = ""
    """Another world has other questions that the model knows, and other ones that are changed."""

    def but(self, **changes: Any) -> Planted:
        """Returns a copy with changes."""
        return replace(self, **changes)


def data_file(folder: Path, name: str = "dev.tsv", first: int = 0, n: int = N_QUESTIONS) -> Path:
    """Writes questions `first` to `first + n - 1` as a TSV, unless it exists."""
    path = folder / name
    if not path.exists():
        rows = [row for row in questions_by_ability(first + n) if int(row["index"]) % 10**6 >= first]
        write_tsv(path, rows)
    return path


@lru_cache(maxsize=16)
def loaded(task: str, data: Path, prompt: str, limit: int | None) -> Task:
    """Loads a task once for all runs."""
    return load_task(task, data=str(data), prompt=prompt, limit=limit)


def make(path: Path, data: Path, planted: Planted, model: str = "base") -> Path:
    """Writes a run directory, complete unless some replies are missing. Returns the path."""
    task = loaded(planted.task, data, planted.prompt, planted.limit)
    sampling = Sampling(temperature=planted.temperature, max_tokens=planted.max_tokens)
    spec = RunSpec(
        model=model,
        fingerprint=planted.fingerprint,
        tasks={task.name: TaskSpec.of(task, sampling)},
        engine=planted.engine,
        engine_version=planted.version,
        max_pixels=planted.max_pixels,
        seed=planted.seed,
        engine_options={} if planted.dtype is None else {"dtype": planted.dtype},
        served=SERVED,
    )
    loading = {task.name: {"data": str(data), "limit": planted.limit, "skip_bad": False}}
    with RunDir.create(path, spec) as run:
        run.record(ExecInfo.capture((), {}, loading))
        run.save_images(task.samples)
        keys = spec.keys(task)
        with Journal(run.journal_path(task.name)) as journal:
            for sample in task.samples:
                if _drawn(f"{planted.world} unanswered", sample.group, planted.unanswered):
                    continue
                text, cut = reply(sample, planted)
                record = SampleRecord(
                    sample.id,
                    0,
                    sample.group,
                    keys[sample.id, 0],
                    text,
                    "length" if cut else "stop",
                    planted.prompt_tokens,
                    planted.max_tokens if cut else len(text.split()),
                    0.0,
                    None,
                )
                journal.append(record)
        if not planted.unanswered:
            score_and_write(run, [task], planted.extractor)
    return path


def reply(sample: Sample, planted: Planted) -> tuple[str, bool]:
    """Returns the simulated reply to a sample, and whether it hit the token limit."""
    group, world = sample.group, planted.world
    for name, text, cut in (
        ("loops", LOOP, True),
        ("cut", CUT, True),
        ("unread", "I see several things.", False),
    ):
        if sample.roll == 0 and _drawn(f"{world} {name}", group, getattr(planted, name)):
            return text, cut
    knows = _drawn(f"{world} knows", group, 0.75)
    wrong = any(_drawn(f"{world} {name}", group, share) for name, share in planted.wrong.items())
    slips = _drawn(f"{world} slips {planted.seed}", sample.id, planted.slips)
    letters = sorted(sample.choices)
    answer = sample.target
    if not knows or wrong or slips:
        answer = letters[(letters.index(sample.target) + 1) % len(letters)]
    if _drawn(f"{world} loose", group, planted.loose):
        return f"The answer is {answer}.", False
    return f"<think>It is clear.</think> <answer>{answer}</answer>", False


def _drawn(what: str, which: str, share: float) -> bool:
    return Random(f"{what} {which}").random() < share
