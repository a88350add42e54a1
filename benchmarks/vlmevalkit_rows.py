"""Benchmark files in VLMEvalKit's schemas with made-up questions, and replies to them, for `vlmevalkit_agreement.py`.

The questions and options are those of the labelled replies in `tests/data`, each of which a person has read; other
replies fill the natural phrasings there with a letter. The pictures are one grey pixel.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
FAILED = "failed"
"""The finish reason "error" in `ReplyTo`."""

ODD = (
    *(
        "",
        " ",
        "nan",
        "None",
        "NA",
        "null",
        "N/A",
        "=A",
        "+B",
        "-C",
        "@D",
        "=HYPERLINK(A)",
        "'B",
        "#N/A",
        "TRUE",
    ),
    *("A\nB", "B\tB", '"C"', "D\r\nD", "A.B", "(A)(B)", "Z", "z", "AA", "A B C D", "1", "0.5", "e", "E"),
    *(
        "Failed to obtain",
        "Cannot determine the answer",
        "I can't process this file.",
        "答案：B",
        "Ｂ",
        "𝐁",
        "b)",
    ),
)
"""Replies on which tables, spreadsheets and readers stumble."""

YES_NO = (
    *(
        "Yes",
        "No",
        "yes.",
        "no.",
        "YES!",
        "Yes, it is.",
        "No, it is not.",
        "**Yes**",
        "*No*",
        "<answer>Yes</answer>",
    ),
    *(
        "<answer>no</answer>",
        "<think>No?</think><answer>Yes</answer>",
        "The answer is yes.",
        "The answer is: No",
    ),
    *(
        "Yes, there is no dog but a cat.",
        "No, yes is wrong.",
        "It is not.",
        "It is.",
        "True",
        "False",
        "Correct.",
    ),
    *(
        "Incorrect",
        "The statement is true.",
        "Not true",
        "Yes and no",
        "yes/no",
        "Yes or no?",
        "I know nothing",
        "N",
    ),
    *(
        "Y",
        "Nope",
        "Yeah",
        "是",
        "不是",
        "There are no yes-men here.",
        "Yesterday",
        "noon",
        "Unsure",
        "",
        "Yes\nNo",
    ),
    *(
        "In the picture, the bar is larger, so yes.",
        "No. The bar is smaller.",
        "It has no bar. Yes.",
        "\\boxed{No}",
    ),
)
"""Replies to questions that are answered by yes or no."""


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """A reply to a row of a made-up benchmark."""

    text: str
    finish_reason: str = "stop"
    label: str | None = None
    """The letter that a person reads in the reply, empty for none; None if nobody has read it."""


@dataclass(frozen=True, slots=True)
class MadeBenchmark:
    """The rows of a file in VLMEvalKit's schema, with a reply for each."""

    dataset: str
    """VLMEvalKit's name of the data set."""
    rows: Sequence[Mapping[str, Any]]
    replies: Mapping[str, ReplyTo]

    def write(self, folder: Path) -> Path:
        """Writes the file that VLMEvalKit would have downloaded, and the replies for the engine `replay`."""
        path = folder / f"{self.dataset}.tsv"
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter="\t", restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        with (folder / "replies.jsonl").open("w", encoding="utf-8") as file:
            for id, reply in self.replies.items():
                failed = reply.finish_reason == FAILED
                line: dict[str, Any] = {"id": id, "text": "" if failed else reply.text}
                line |= {"error": "no answer"} if failed else {"finish_reason": reply.finish_reason}
                file.write(json.dumps(line) + "\n")
        return path


def make_benchmark(task: str, n: int, seed: int = 0) -> MadeBenchmark:
    """Returns a made-up file of a shipped task with about `n` rows.

    Raises:
        KeyError: no rows are made up for the task.
    """
    dataset, rows = BENCHMARKS[task]
    return _made(dataset, rows(Random(f"{task} {seed}"), n))


Asked = tuple[dict[str, Any], ReplyTo]


def _labelled(random: Random, n: int) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (DATA / "replies_labelled.jsonl").read_text("utf-8").splitlines()]
    return random.sample(lines, n)


def _natural() -> list[str]:
    lines = (DATA / "replies_natural.jsonl").read_text("utf-8").splitlines()
    return [text for line in lines if "{F}" not in (text := json.loads(line)["reply"])]


def _phrased(random: Random, choices: Mapping[str, str], right: str) -> ReplyTo:
    """Returns a natural phrasing of an answer, four times in five of the right one, sometimes an odd reply."""
    if random.random() < 0.1:
        return ReplyTo(random.choice(ODD))
    letter = right if random.random() < 0.8 else random.choice(list(choices))
    text = random.choice(_natural()).replace("{L}", letter).replace("{l}", letter.lower())
    return ReplyTo(text.replace("{T}", choices[letter]))


def _choice(random: Random, n: int, **columns: Callable[[int], Any]) -> Iterator[Asked]:
    """Yields multiple-choice rows with labelled replies, a tenth of them odd, and two failed requests."""
    for index, line in enumerate(_labelled(random, n)):
        choices = line["choices"]
        right = line["answer"] if line["answer"] and random.random() < 0.7 else random.choice(list(choices))
        reply = ReplyTo(line["reply"], line["finish_reason"], line["answer"] or "")
        if random.random() < 0.1:
            reply = ReplyTo(random.choice(ODD))
        if index in (3, 5):
            reply = ReplyTo("", FAILED)
        row = {"index": index, "question": f"Question {index}: what is it?", **choices, "answer": right}
        yield row | {name: make(index) for name, make in columns.items()}, reply


def _circular(random: Random, n: int) -> Iterator[Asked]:
    """Yields questions with all their circular copies; a group's replies are mostly of one phrasing's letter."""
    places = (("image_scene", "coarse_perception"), ("ocr", "finegrained_perception (instance-level)"))
    for group, line in enumerate(_labelled(random, max(1, n // 4))):
        texts = list(dict.fromkeys(line["choices"].values()))
        right = random.choice(texts)
        for roll in range(len(texts)):
            order = [texts[(place - roll) % len(texts)] for place in range(len(texts))]
            choices = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", order, strict=False))
            letter = next(key for key, text in choices.items() if text == right)
            category, ability = places[group % 2]
            row = {"index": group + 1_000_000 * roll, "question": f"Question {group}?", **choices}
            row |= {"answer": letter, "category": category, "l2-category": ability, "split": "dev"}
            yield row, ReplyTo("", FAILED) if row["index"] == 1_000_002 else _phrased(random, choices, letter)


def _pairs(random: Random, n: int) -> Iterator[Asked]:
    for index in range(1, n // 2 * 2 + 1):
        choices = {"A": "(a) Open", "B": "(b) Closed"}
        right = random.choice("AB")
        row = {"index": index, "question": f"Pair {(index - 1) // 2}?", **choices, "answer": right}
        yield row, _phrased(random, choices, right)


def _cycles(random: Random, n: int) -> Iterator[Asked]:
    for question in range(n // 4):
        for cycle in range(4):
            choices = {"ABCD"[place]: f"colour {(place - cycle) % 4}" for place in range(4)}
            right = "ABCD"[(question + cycle) % 4]
            row = {"index": 4 * question + cycle, "question": f"Which colour is thing {question}?", **choices}
            row |= {"answer": right, "category": ("single", "cross")[question % 2], "cycle_category": cycle}
            yield row, _phrased(random, choices, right)


def _yes_no(random: Random, n: int) -> Iterator[Asked]:
    for index in range(n):
        kind, (pair, question) = ("VD", "VS")[index % 2], divmod(index // 2, 2)
        row = {
            "index": f"hallusion_{kind}_figure_0_{pair}_{question}",
            "question": f"Is bar {index} larger?",
            "answer": random.choice(("Yes", "No")),
            "category": kind,
            "l2-category": f"{kind}_figure",
        }
        yield row, ReplyTo(YES_NO[index % len(YES_NO)])


def _made(dataset: str, asked: Iterator[Asked]) -> MadeBenchmark:
    rows, replies = [], {}
    for row, reply in asked:
        grey = sum(map(ord, str(row["question"])))
        rows.append(row | {"image": _picture(grey)})
        replies[str(row["index"])] = reply
    return MadeBenchmark(dataset, rows, replies)


def _picture(grey: int) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), (grey % 256, grey // 256 % 256, 0)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


BENCHMARKS: Mapping[str, tuple[str, Callable[[Random, int], Iterator[Asked]]]] = {
    "mmbench_dev_en": ("MMBench_DEV_EN", _circular),
    "mmstar": (
        "MMStar",
        lambda random, n: _choice(
            random, n, category=lambda i: "math", l2_category=lambda i: f"leaf {i % 3}"
        ),
    ),
    "realworldqa": ("RealWorldQA", _choice),
    "ai2d_test": ("AI2D_TEST", lambda random, n: _choice(random, n, category=lambda i: f"diagram {i % 2}")),
    "seedbench_img": (
        "SEEDBench_IMG",
        lambda random, n: _choice(random, n, category=lambda i: f"kind {i % 3}"),
    ),
    "cvbench_2d": (
        "CV-Bench-2D",
        lambda random, n: _choice(
            random,
            n,
            task=lambda i: "Count",
            source=lambda i: ("ADE20K", "COCO")[i % 2],
            split=lambda i: "2D",
        ),
    ),
    "hrbench_4k": ("HRBench4K", _cycles),
    "mmvp": ("MMVP", _pairs),
    "hallusionbench": ("HallusionBench", _yes_no),
}
"""Task to VLMEvalKit's name of its data set, and the function that makes rows and replies."""
