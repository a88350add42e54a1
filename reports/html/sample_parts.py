"""The packed parts of the sample browser: what a task asked, and what a run replied.

A part is JSON, deflated without a header (`deflate-raw`), in base64. Its groups are in the order of the benchmark,
and the rows (copies) of a group stand together.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.pairing import shared_groups
from ssl4rl_bench.core.types import ImagePart, Message, Sample, SampleRecord, Status, Task, TextPart
from ssl4rl_bench.reports.board.columns import Column
from ssl4rl_bench.reports.html.text import shortened, visible
from ssl4rl_bench.score.outcomes import LETTERS, Outcomes
from ssl4rl_bench.score.scores import ABSENT
from ssl4rl_bench.task.extract import tag_content
from ssl4rl_bench.task.ssl.probe import ProbeTask

INVALID_TAG = "i"
"""The letter of a reply with an answer tag that holds no valid answer; its status is `none` or `truncated`."""
READ_AS: Mapping[str, str] = {
    "t": "in its answer tag",
    "l": "from a clear statement, without the tag",
    "j": "by a judge model",
    "o": "scored by another program",
    "n": "no answer found",
    INVALID_TAG: "tag found, not a valid answer",
    "c": "reasoning without a reply: not scored",
    "x": "cut off before an answer",
    "r": "refused to answer",
    "e": "the request failed",
    "-": "no reply",
}
"""Descriptions by status letter."""
PROBE_QUESTIONS: Mapping[str, str] = {
    "rotation": "By how many degrees was the first image turned counter-clockwise to make the second?",
    "jigsaw": "Which piece belongs in each place of the picture, row by row from the top left?",
    "position": "From which part of the first image was the second one cut?",
    "contrastive": "Do both images come from the same picture?",
    "patch": "Which of the candidates A to D belongs in the black square?",
    "mirror": "Which of the four framed patches was mirrored left to right?",
    "count": "How many circles, squares and triangles were pasted in?",
    "caption": "Which word of the caption is false?",
    "pair": "Where does the first piece lie, seen from the second?",
}
"""What a kind of probe asks, for readers; the prompt itself is folded below it."""

Records = Mapping[str, SampleRecord]
"""The first repeat's record, by sample id."""
_Prompt = list[tuple[str, list[str | int]]]


def group_order(task: Task, outcomes: Outcomes) -> list[int]:
    """Returns the indices of the groups of outcomes in the order of the task's samples."""
    first: dict[str, int] = {}
    for index, sample in enumerate(task.samples):
        first.setdefault(sample.group, index)
    return sorted(range(len(outcomes.groups)), key=lambda group: first[outcomes.groups[group]])


def questions_part(
    task: Task, outcomes: Outcomes, image_names: Sequence[str], columns: Sequence[Column]
) -> dict[str, Any]:
    """Returns what a task asked; `image_names` are the hashes of its images in the order of the images' part."""
    samples = {sample.id: sample for sample in task.samples}
    order = group_order(task, outcomes)
    rows = _rows(outcomes)
    groups = [[samples[outcomes.ids[row]] for row in rows[group]] for group in order]
    ordered = [sample for group in groups for sample in group]
    places = list(dict.fromkeys(outcomes.places[group] for group in order))
    numbers = {place: index for index, place in enumerate(places)}
    index_of_image = {sha256: index for index, sha256 in enumerate(image_names)}
    return {
        "group": [visible(outcomes.groups[group]) for group in order],
        "start": np.cumsum([0, *(len(group) for group in groups[:-1])]).tolist(),
        "places": [[visible(place.l1), visible(place.l2), visible(place.l3)] for place in places],
        "place": [numbers[outcomes.places[group]] for group in order],
        "categories": list(_categories(outcomes, columns)),
        "id": [visible(sample.id) for sample in ordered],
        "roll": [sample.roll for sample in ordered],
        # Row by row, since a deflated prompt costs little right after the question that it repeats.
        "texts": [_texts(task, sample) for sample in ordered],
        "target": [visible(sample.target) for sample in ordered],
        "images": [[index_of_image[image.sha256] for image in sample.images] for sample in ordered],
    }


def _rows(outcomes: Outcomes) -> list[range]:
    """Returns the indices of the rows of each group."""
    starts = outcomes.starts.tolist()
    return [range(*ends) for ends in pairwise((*starts, outcomes.rolls.size))]


def _texts(task: Task, sample: Sample) -> list[Any]:
    """Returns the question, the hint (a caption for a probe with one), the options, and the prompt.

    The prompt is empty if it is the question itself.
    """
    question, hint = task.question(sample)
    if task.probe is not None:
        question = PROBE_QUESTIONS.get(task.probe.kind, question)
    if isinstance(task, ProbeTask):
        hint = task.texts.get(sample.id, hint)
    options = [[visible(letter), visible(option)] for letter, option in sample.choices.items()]
    is_prompt = question in (sample.text(), sample.text("[image]", "[video]"))
    prompt = [] if is_prompt else _prompt(sample.messages)
    return [visible(question), visible(hint), options, prompt]


def _prompt(messages: Sequence[Message]) -> _Prompt:
    """Returns the role of each message, and its parts: a text, or the number of images that stand there."""
    return [
        (
            message.role,
            [
                visible(part.text)
                if isinstance(part, TextPart)
                else 1
                if isinstance(part, ImagePart)
                else len(part.frames)
                for part in message.content
            ],
        )
        for message in messages
    ]


def _categories(outcomes: Outcomes, columns: Sequence[Column]) -> Iterator[tuple[str, str, str]]:
    """Yields the level, name and title of each category: abilities in the order of the tables, with their leaves."""
    titles = {column.name: column.header for column in columns if column.level == "l2"}
    places = list(dict.fromkeys(outcomes.places))
    known = {place.l2 for place in places}
    tops = sorted({place.l1 for place in places})
    if len(tops) > 1:
        yield from (("l1", visible(top), _title(top)) for top in tops)
    abilities = [*(name for name in titles if name in known), *sorted(known - titles.keys())]
    for ability in abilities:
        yield "l2", visible(ability), titles.get(ability, _title(ability))
        leaves = sorted({place.l3 for place in places if place.l2 == ability})
        yield from (("l3", visible(leaf), _title(leaf)) for leaf in leaves)


def _title(name: str) -> str:
    return visible(name.replace("_", " "))


def replies_part(
    records: Records,
    outcomes: Outcomes,
    asked: Outcomes,
    order: Sequence[int],
    scores: Mapping[str, NDArray[np.float64]],
    most: int,
) -> dict[str, Any]:
    """Returns a run's replies to the questions of `asked`, with each cut to `most` characters.

    Args:
        order: `group_order` of the task that `asked` it.
        scores: `question_scores` by aggregation.
    """
    group_of = dict(shared_groups(asked, outcomes).tolist())
    shown: list[tuple[str | None, str, str | None, float | None]] = []
    reasoning: dict[int, str] = {}
    rows, n_asked = _rows(outcomes), asked.sizes.tolist()
    for group in order:
        of_group = rows[group_of[group]] if group in group_of else [None] * n_asked[group]
        for row in of_group:
            record = None if row is None else records.get(outcomes.ids[row])
            if row is None or record is None:
                shown.append((None, "-", None, None))
                continue
            if record.reasoning:
                reasoning[len(shown)] = visible(shortened(record.reasoning, most))
            answer, value = outcomes.answers[row][0], float(outcomes.values[row, 0])
            text = visible(shortened(record.text if record.error is None else record.error, most))
            read = None if answer is None else visible(answer[:200])
            letter = _letter(int(outcomes.status[row, 0]), record)
            shown.append((text, letter, read, None if value != value else value))
    return {
        "text": [text for text, *_ in shown],
        "reasoning": reasoning,
        "status": "".join(status for _, status, *_ in shown),
        "answer": [read for _, _, read, _ in shown],
        "value": [value for *_, value in shown],
        "scores": {name: [_number(values[group]) for group in order] for name, values in scores.items()},
    }


def _letter(number: int, record: SampleRecord) -> str:
    """Returns the key of `READ_AS` for the number of a status."""
    if number == ABSENT:
        return "-"
    status = tuple(Status)[number]
    if status in (Status.NONE, Status.TRUNCATED) and tag_content(record.text) is not None:
        return INVALID_TAG
    return LETTERS[status]


def _number(score: float) -> float | int | None:
    return None if score != score else int(score) if score in (0.0, 1.0) else float(score)


def pack(value: Any) -> str:
    """Returns JSON, deflated without a header, in base64."""
    data = json.dumps(value, separators=(",", ":")).encode("ascii")
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode("ascii")
