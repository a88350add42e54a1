"""A synthetic multiple-choice task, and a script that runs it and that a test can kill.

`python synthetic.py DIRECTORY N_GROUPS [N_BYTES]` runs the task, prints "ID REPEAT" after each journaled
reply, writes result.json and then prints "done". With N_BYTES, no file may exceed this number of bytes.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import (
    Categories,
    Completion,
    EncodedImage,
    HubSource,
    ImagePart,
    Message,
    Sample,
    Sampling,
    Score,
    Status,
    TextPart,
)
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import Event, execute
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.task.extract import read

LEAVES = [
    Categories("perception", "coarse_perception", "image_style"),
    Categories("perception", "finegrained_perception (instance-level)", "ocr"),
    Categories("reasoning", "logic_reasoning", "future_prediction"),
]
SAMPLING = Sampling(max_tokens=64)


@dataclass(frozen=True)
class SyntheticTask:
    """Questions with options A to D in circular copies; each question has a different image."""

    n_groups: int = 6
    n_rolls: int = 4
    name: str = "ssl4rl_synthetic"
    version: str = "1"
    prompt: str = "plain"
    source: str = "made up"
    n_groups_skipped: int = 0
    warnings: tuple[str, ...] = ()
    data_sha256: str = "0" * 64
    sampling: Sampling = SAMPLING
    partial_reasons: tuple[str, ...] = ()
    image: str = "real"
    hub: HubSource | None = None
    probe: None = None

    @cached_property
    def samples(self) -> list[Sample]:
        """The samples: all first copies, then all second copies, and so on, as in MMBench's files."""
        return [self._sample(group, roll) for roll in range(self.n_rolls) for group in range(self.n_groups)]

    def _sample(self, group: int, roll: int) -> Sample:
        data = b"image %d" % group
        image = EncodedImage(data, hashlib.sha256(data).hexdigest())
        question = TextPart(f"Question {group}, copy {roll}: which option is right?")
        return Sample(
            id=str(group + roll * 1_000_000),
            group=str(group),
            messages=(Message("user", (ImagePart(image), question)),),
            target="ABCD"[(seed_of("target", group) + roll) % 4],
            choices={letter: f"option {letter}" for letter in "ABCD"},
            categories=LEAVES[group % len(LEAVES)],
            roll=roll,
        )

    def content(self, sample: Sample) -> list[str]:
        return [sample.id, sample.group, sample.target]

    def question(self, sample: Sample) -> tuple[str, str]:
        return sample.text(), ""

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        if completion.error is not None:
            return Score(None, None, Status.ERROR)
        if completion.has_no_content:
            return Score(None, None, Status.NO_CONTENT)
        reading = read(completion.text, sample.choices, completion.finish_reason, extractor)
        return Score(float(reading.answer == sample.target), reading.answer, reading.status)


def spec_of(task: SyntheticTask, engine: MockEngine, repeats: int = 1) -> RunSpec:
    return RunSpec(
        model="none",
        fingerprint="f" * 64,
        tasks={task.name: TaskSpec.of(task)},
        engine=engine.name,
        engine_version=engine.version,
        repeats=repeats,
    )


def options(**changes: object) -> EngineOptions:
    return replace(EngineOptions(), **changes)  # type: ignore[arg-type]  # names are checked at run time


def run_and_score(path: Path, n_groups: int) -> None:
    """Completes a run and prints a line for each journaled reply."""

    def announce(event: Event) -> None:
        if event.record is not None:
            os.write(1, f"{event.record.id} {event.record.repeat}\n".encode())

    task, engine = SyntheticTask(n_groups), MockEngine(None, options(mock="random"))
    spec = spec_of(task, engine)
    with RunDir.create(path, spec) as rundir:
        execute([task], engine, rundir, spec, on_event=announce)
        from ssl4rl_bench.score.scoring import (
            score_run,  # imported late, because it loads numpy, and kills should happen during the run
        )

        rundir.write_result(score_run(rundir, [task]))


def main() -> int:
    path, n_groups = Path(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        run_and_score(path, n_groups)
    except BenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    os.write(1, b"done\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
