"""The scores of all replies of a run, without the texts: all that a comparison needs, in one small file.

`outcomes.json` is written next to result.json and derived in the same way. It may be deleted: a comparison
derives it again from the journal if it is missing or out of date. With it, runs can be compared on a machine
without their data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.atomic import write_text
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import Categories, Sample, ScoredSample, Status, Task
from ssl4rl_bench.core.versioned import check_schema
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.margins import ProbeMargin
from ssl4rl_bench.score.scores import ABSENT, STATUSES, Scores
from ssl4rl_bench.task.extract import reader_version

SCHEMA = 1
FILE = "outcomes.json"
LETTERS: Mapping[Status, str] = {
    Status.TAG: "t",
    Status.LENIENT: "l",
    Status.JUDGE: "j",
    Status.NONE: "n",
    Status.NO_CONTENT: "c",
    Status.TRUNCATED: "x",
    Status.REFUSAL: "r",
    Status.ERROR: "e",
    Status.EXTERNAL: "o",
}
"""The letter of each status in files."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes(Scores):
    """One task of a run: its scores, the questions that were asked, and the answers that were extracted."""

    task: str
    version: str
    prompt: str
    data_sha256: str
    extractor: str
    image: str
    """"real", or the blinding that was shown instead."""
    probe: Mapping[str, Any] | None
    """The `kind`, `difficulty` and `chance` of a probe; None for a benchmark."""
    content: tuple[str, ...]
    """Digest of each group's question and right answer, independent of the prompt style, shape (groups,)."""
    ids: tuple[str, ...]
    """The sample id of each row, shape (rows,)."""
    answers: tuple[tuple[str | None, ...], ...]
    """The extracted answers, shape (rows, repeats)."""
    reader: int = 1
    """Version of the extractor (`extract.reader_version`). Omitted from files if 1."""
    margin_form: str = ""
    """The form in which answers were scored (`margins.margin_of_run`); empty without a margin."""
    margins: NDArray[np.float64] | None = None
    """The forced-choice margin of each row in nats, NaN where it is missing, shape (rows,); None without a margin."""


def outcomes_of(
    task: Task,
    scored: Iterable[ScoredSample],
    extractor: str,
    repeats: int,
    margin: ProbeMargin | None = None,
) -> Outcomes:
    """Arranges the scored replies of a task (`scoring.scored_samples`), and the margins of a probe's samples."""
    samples = sorted(task.samples, key=lambda sample: (sample.group, sample.roll, sample.id))
    row_of = {sample.id: row for row, sample in enumerate(samples)}
    values = np.full((len(samples), repeats), np.nan)
    status = np.full((len(samples), repeats), ABSENT, np.int8)
    answers: list[list[str | None]] = [[None] * repeats for _ in samples]
    for item in scored:
        row = row_of[item.id]
        values[row, item.repeat] = np.nan if item.score.value is None else item.score.value
        status[row, item.repeat] = STATUSES.index(item.score.status)
        answers[row][item.repeat] = item.score.answer
    groups = [sample.group for sample in samples]
    starts = [row for row, group in enumerate(groups) if not row or group != groups[row - 1]]
    ends = [*starts[1:], len(samples)]
    probe = task.probe
    return Outcomes(
        task=task.name,
        version=task.version,
        prompt=task.prompt,
        data_sha256=task.data_sha256,
        extractor=extractor,
        reader=reader_version(extractor),
        image=task.image,
        probe=None
        if probe is None
        else {"kind": probe.kind, "difficulty": probe.difficulty, "chance": probe.chance},
        groups=tuple(groups[start] for start in starts),
        content=tuple(
            sha256_json([task.content(sample) for sample in samples[start:end]])[:24]
            for start, end in zip(starts, ends, strict=True)
        ),
        places=tuple(samples[start].categories for start in starts),
        starts=np.array(starts, np.intp),
        ids=tuple(sample.id for sample in samples),
        rolls=np.array([sample.roll for sample in samples], np.intp),
        values=values,
        status=status,
        answers=tuple(map(tuple, answers)),
        **({} if margin is None or not margin.samples else _margins(samples, margin)),
    )


def _margins(samples: Sequence[Sample], margin: ProbeMargin) -> dict[str, Any]:
    values = [margin.samples.get(sample.id, np.nan) for sample in samples]
    return {"margin_form": margin.summary["form"], "margins": np.array(values, np.float64)}


def write_outcomes(rundir: RunDir, outcomes: Sequence[Outcomes]) -> None:
    """Writes the outcomes of a run. Must be called before `RunDir.write_result`.

    Raises:
        StoreError: full disk, no permission.
    """
    tasks = {
        task_outcomes.task: to_json(task_outcomes) | {"journal": _length(rundir, task_outcomes.task)}
        for task_outcomes in outcomes
    }
    value = {"schema": SCHEMA, "spec_sha256": rundir.spec.sha256, "tasks": tasks}
    write_text(rundir.path / FILE, json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n")


def read_outcomes(rundir: RunDir, extractor: str | None = None) -> dict[str, Outcomes] | None:
    """Reads the outcomes by task; None if the file is missing, damaged, out of date, or of an older version.

    Args:
        extractor: if given, only outcomes of this extractor (full name) in its present version are accepted.

    Raises:
        StoreError: the file has a newer version, so it must not be replaced.
    """
    try:
        content = parse_json((rundir.path / FILE).read_bytes())
        if type(content["schema"]) is int and content["schema"] > SCHEMA:
            check_schema(content, rundir.path / FILE, SCHEMA)
        if content["schema"] != SCHEMA or content["spec_sha256"] != rundir.spec.sha256:
            return None
        tasks = content["tasks"]
        if set(tasks) != set(rundir.spec.tasks):
            return None
        for name, value in tasks.items():
            wanted = extractor is None or (extractor, reader_version(extractor)) == (
                value["extractor"],
                value.get("reader", 1),
            )
            if value["journal"] != _length(rundir, name) or not wanted:
                return None
        return {name: from_json(name, value) for name, value in tasks.items()}
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
        return None


def _length(rundir: RunDir, task: str) -> int:
    path: Path = rundir.journal_path(task)
    return path.stat().st_size if path.exists() else 0


def to_json(outcomes: Outcomes) -> dict[str, Any]:
    """Converts the outcomes of a task to JSON values."""
    places = list(dict.fromkeys(outcomes.places))
    return {
        "version": outcomes.version,
        "prompt": outcomes.prompt,
        "data_sha256": outcomes.data_sha256,
        "extractor": outcomes.extractor,
        **({"reader": outcomes.reader} if outcomes.reader != 1 else {}),
        "image": outcomes.image,
        "probe": outcomes.probe,
        "groups": outcomes.groups,
        "content": outcomes.content,
        "categories": [[place.l1, place.l2, place.l3] for place in places],
        "places": [places.index(place) for place in outcomes.places],
        "starts": outcomes.starts.tolist(),
        "ids": outcomes.ids,
        "rolls": outcomes.rolls.tolist(),
        "values": [
            [None if value != value else int(value) if value in (0, 1) else value for value in column]
            for column in outcomes.values.T.tolist()
        ],
        "status": [
            "".join(LETTERS[STATUSES[s]] if s >= 0 else "-" for s in column) for column in outcomes.status.T
        ],
        "answers": list(zip(*outcomes.answers, strict=True)),
        **(
            {}
            if outcomes.margins is None
            else {"margin": _margins_json(outcomes.margin_form, outcomes.margins)}
        ),
    }


def _margins_json(form: str, margins: NDArray[np.float64]) -> dict[str, Any]:
    return {"form": form, "values": [None if value != value else value for value in margins.tolist()]}


def from_json(name: str, value: Mapping[str, Any]) -> Outcomes:
    """Creates the outcomes of a task from the output of `to_json`.

    Raises:
        ValueError, LookupError, TypeError, ArithmeticError: for any other value.
    """
    places = [Categories(*place) for place in value["categories"]]
    margin = value.get("margin")
    made = Outcomes(
        task=name,
        version=value["version"],
        prompt=value["prompt"],
        data_sha256=value["data_sha256"],
        extractor=value["extractor"],
        reader=value.get("reader", 1),
        image=value["image"],
        probe=value["probe"],
        groups=tuple(value["groups"]),
        content=tuple(value["content"]),
        places=tuple(places[index] for index in value["places"]),
        starts=np.array(value["starts"], np.intp),
        ids=tuple(value["ids"]),
        rolls=np.array(value["rolls"], np.intp),
        values=np.array(value["values"], np.float64).T,  # null becomes NaN
        status=np.array([_numbers(column) for column in value["status"]], np.int8).T,
        answers=tuple(zip(*value["answers"], strict=True)),
        margin_form="" if margin is None else margin["form"],
        margins=None if margin is None else np.array(margin["values"], np.float64),
    )
    if not _is_sound(made):
        raise ValueError("its parts do not fit together")
    return made


_NUMBERS = np.full(128, ABSENT - 1, np.int8)
_NUMBERS[[ord(letter) for letter in LETTERS.values()]] = [STATUSES.index(status) for status in LETTERS]
_NUMBERS[ord("-")] = ABSENT


def _numbers(letters: str) -> NDArray[np.int8]:
    numbers: NDArray[np.int8] = _NUMBERS[np.frombuffer(letters.encode("ascii"), np.uint8)]
    if (numbers < ABSENT).any():
        raise ValueError("a letter that stands for no status")
    return numbers


def _is_sound(made: Outcomes) -> bool:
    """Checks that texts are strings and that the lengths of all lists match the groups, rows and repeats."""
    n_rows, n_groups = len(made.ids), len(made.groups)
    names = (made.version, made.prompt, made.data_sha256, made.extractor, made.image, made.margin_form)
    places = ((place.l1, place.l2, place.l3) for place in made.places)
    texts = (*names, *made.groups, *made.content, *made.ids, *chain.from_iterable(places))
    probe = made.probe
    return (
        set(map(type, texts)) <= {str}
        and set(map(type, chain.from_iterable(made.answers))) <= {str, NoneType}
        and type(made.reader) is int
        and len(made.content) == len(made.places) == made.starts.size == n_groups > 0
        and made.starts.ndim == made.rolls.ndim == 1
        and made.starts[0] == 0
        and bool((made.sizes > 0).all())
        and made.rolls.size == len(made.answers) == n_rows
        and made.values.shape == made.status.shape == (n_rows, len(made.answers[0]))
        and not np.isinf(made.values).any()
        and (made.margins is None or (made.margins.shape == (n_rows,) and not np.isinf(made.margins).any()))
        and (
            probe is None
            or (
                isinstance(probe, Mapping)
                and isinstance(probe.get("chance"), int | float)
                and 0 <= probe["chance"] < 1
            )
        )
    )
