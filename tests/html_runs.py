"""Makes runs for the HTML page by writing their journals directly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from random import Random

from mmbench_data import picture
from synthetic import LEAVES, SyntheticTask, spec_of

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core import images
from ssl4rl_bench.core.identity import seed_of, sha256_hex
from ssl4rl_bench.core.types import Categories, ImagePart, Message, Sample, SampleRecord, TextPart
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.scoring import score_and_write

Replier = Callable[[Sample], str]


@dataclass(frozen=True)
class MadeTask(SyntheticTask):
    """A synthetic task with pictures that can be decoded and with given texts in its questions."""

    texts: tuple[str, ...] = ()
    """Texts of the groups, added to the question, the options and the leaf."""

    @cached_property
    def samples(self) -> list[Sample]:
        return [self._made(group, roll) for roll in range(self.n_rolls) for group in range(self.n_groups)]

    def _made(self, group: int, roll: int) -> Sample:
        plain = self._sample(group, roll)
        image = ImagePart(images.from_bytes(picture(group)))
        text = self.texts[group % len(self.texts)] if self.texts else ""
        place = LEAVES[group % len(LEAVES)]
        return replace(
            plain,
            messages=(Message("user", (image, TextPart(f"Question {group}, copy {roll}? {text}"))),),
            choices={letter: f"option {letter} {text}" for letter in "ABCD"},
            categories=Categories(place.l1, place.l2, f"{place.l3}{text}"),
        )


def guess(name: str, skill: float, unread: float = 0.0) -> Replier:
    """Returns a replier that is right for a group with probability `skill`, with `name` as the seed."""

    def reply(sample: Sample) -> str:
        draw = Random(seed_of(name, int(sample.group))).random()
        answer = sample.target if draw < skill else "ABCD"[("ABCD".index(sample.target) + 1) % 4]
        if draw > 1.0 - unread:
            return "It is hard to say what this shows."
        return f"<think>The question is {sample.id}.</think> <answer>{answer}</answer>"

    return reply


def make_run(
    path: Path,
    task: SyntheticTask,
    name: str,
    reply: Replier,
    *,
    errors: Callable[[Sample], str | None] = lambda _: None,
    reasoning: Callable[[Sample], str] = lambda _: "",
    argv: Sequence[str] = (),
) -> Path:
    """Makes a complete run of one task."""
    engine = MockEngine(None, EngineOptions())
    spec = replace(spec_of(task, engine), model=name, fingerprint=sha256_hex(name.encode("utf-8", "replace")))
    with RunDir.create(path, spec) as rundir:
        keys = spec.keys(task)
        journal = Journal(rundir.journal_path(task.name), every=1_000_000, interval_s=1e9)
        for sample in task.samples:
            error = errors(sample)
            journal.append(
                SampleRecord(
                    id=sample.id,
                    repeat=0,
                    group=sample.group,
                    key=keys[sample.id, 0],
                    text="" if error else reply(sample),
                    finish_reason="error" if error else "stop",
                    n_prompt_tokens=10,
                    n_completion_tokens=5,
                    latency_s=0.1,
                    error=error,
                    reasoning=reasoning(sample),
                )
            )
        journal.close()
        score_and_write(rundir, [task])
    sitting = {
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "python": "3.11",
    }
    record = sitting | {
        "argv": ["x", "run", "--model", name, *argv],
        "machine": {"cpus": 2, "gpus": []},
        "packages": {},
    }
    (path / "exec.json").write_text(json.dumps({"schema": 1, "sittings": [record]}))
    return path


def three_runs(root: Path, n_groups: int = 30, n_rolls: int = 2) -> tuple[MadeTask, list[Evaluated]]:
    """Makes the runs of a baseline, a better model and a worse one, and returns them with their task."""
    task = MadeTask(n_groups=n_groups, n_rolls=n_rolls)
    paths = [
        make_run(root / name, task, name, guess(name, skill, unread))
        for name, skill, unread in (("base", 0.6, 0.05), ("better", 0.98, 0.0), ("worse", 0.05, 0.3))
    ]
    return task, load_evaluated(paths)


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and the text of each script and style, as in a browser."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is not None:
            tag, attrs, before = self.raw[-1]
            self.raw[-1] = (tag, attrs, before + data)
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        """The texts that a reader sees or hears, a line each: labels and tooltips, then the rest without numbers."""
        labels = [
            f"{tag} {key}: {value}"
            for tag, attrs in self.tags
            for key, value in attrs.items()
            if key in ("aria-label", "placeholder", "title")
            and value
            and not value.startswith(("rank ", "["))
        ]
        lines = [" ".join(text.split()) for text in [*labels, "", *self.text]]
        return "\n".join(dict.fromkeys(line for line in lines if re.search("[A-Za-z]{2}", line))) + "\n"

    @property
    def names(self) -> list[str]:
        return [tag for tag, _ in self.tags]
