"""Makes small files in the exact schemas of the benchmarks that the task files describe, with awkward rows.

The rows are invented; no real data is in them. `BENCHMARKS` has one entry per task file of the kind `questions`.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench_data import picture

Row = dict[str, Any]


def encoded(*seeds: int) -> str:
    """Returns one picture as base64, or several as the text of a Python list, as VLMEvalKit writes them."""
    texts = [base64.b64encode(picture(seed)).decode() for seed in seeds]
    return texts[0] if len(texts) == 1 else str(texts)


def choice(index: Any, right: str = "A", options: str = "ABCD", image: Any = None, **columns: Any) -> Row:
    """Returns a multiple-choice row; only the letters in `options` have an option, so there may be gaps."""
    return {
        "index": index,
        "question": f"Question {index}?",
        **{letter: f"option {letter} of {index}" if letter in options else "" for letter in "ABCD"},
        "answer": right,
        "image": encoded(sum(map(ord, str(index)))) if image is None else image,
        **columns,
    }


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    """Writes rows as the TSV that VLMEvalKit publishes; a missing column is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter="\t", restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


@dataclass(frozen=True)
class Example:
    """A small file of a benchmark, and what has to be read from it."""

    rows: Callable[[], list[Row]]
    n_samples: int
    n_groups: int
    abilities: Mapping[str, int]
    """The number of groups in each category of the level l2."""
    n_left_out: int = 0


def _mmstar() -> list[Row]:
    places = [("math", "geometry"), ("coarse perception", "image emotion"), ("math", "statistical reasoning")]
    rows = [choice(n, "BCD"[n], category=l2, l2_category=l3, bench="x") for n, (l2, l3) in enumerate(places)]
    rows[1] |= {"question": "<image 1>\nWhat is it?", "image": "0"}  # the picture of row 0
    return rows


def _seedbench() -> list[Row]:
    names = ("Scene Understanding", "Instance Counting", "Scene Understanding")
    return [choice(n, category=name) for n, name in enumerate(names)]


def _blink() -> list[Row]:
    rows = [choice(n, category="Art_Style", image=encoded(n, n + 50, n + 100)) for n in range(2)]
    rows.append(choice(2, "C", "ACD", category="Relative_Reflectance"))  # a gap: there is no option B
    rows.append(choice(3, "(B)", "AB", category="Counting", image=encoded(7, 7)))  # one picture twice
    return rows


def _realworldqa() -> list[Row]:
    rows = [choice(n, "B", "ABC") for n in range(2)]
    rows.append(choice(2, "3", ""))
    rows.append(choice(3, "Yes", ""))
    rows.append(choice(4, "Downhill", ""))
    return rows


def _mmvp() -> list[Row]:
    rows = [choice(n, "AB"[n % 2], "AB", question=f"Pair {n // 2}?") for n in range(1, 7)]
    for row in rows:
        row["question"] = f"Pair {(row['index'] - 1) // 2}?"
    return rows[::-1]  # the file's order does not matter


def _hallusionbench() -> list[Row]:
    rows = []
    for kind, name, figures in (("VD", "figure", (0, 1)), ("VS", "chart", (1, 2))):
        for figure in figures:
            for question in (0, 1):
                rows.append(
                    {
                        "index": f"hallusion_{kind}_{name}_0_{figure}_{question}",
                        "question": f"Is {name} {question} larger?",
                        "answer": ("Yes", "No")[(figure + question) % 2],
                        "category": kind,
                        "l2-category": f"{kind}_{name}",
                        "image": encoded(figure + 10),
                    }
                )
    rows.append(rows[-1] | {"index": "hallusion_VS_chart_1_0_0", "image": ""})  # a question without a figure
    return rows


def _vstar() -> list[Row]:
    return [
        choice(0, "D", category="direct_attributes"),
        choice(1, "B", "AB", category="relative_position"),
    ]


def _hrbench() -> list[Row]:
    rows = []
    for question, kind in enumerate(("single", "cross")):
        for cycle in range(4):
            texts = [f"colour {(n - cycle) % 4}" for n in range(4)]
            row = choice(cycle * 2 + question, "ABCD"[cycle], category=kind, cycle_category=cycle)
            row |= dict(zip("ABCD", texts, strict=True))
            row |= {"question": f"Which colour is thing {question}?", "image": encoded(question)}
            rows.append(row)
    return rows


def _cvbench(split: str) -> list[Row]:
    sources = {"2D": ("ADE20K", "COCO"), "3D": ("Omni3D", "Omni3D")}[split]
    rows = []
    for n in range(4):
        task = {"2D": ("Count", "Relation"), "3D": ("Depth", "Distance")}[split][n % 2]
        more = {"prompt": "as asked", "split": split, "source": sources[n // 2], "task": task}
        rows.append(choice(n, "(A)", "AB" if n % 2 else "ABCD", **more))
    return rows


def _mmmu() -> list[Row]:
    places = {"l2-category": "Science", "category": "Chemistry", "split": "validation"}
    rows = [choice(n, "A", **places) for n in range(3)]
    rows[0] |= {"question": "Compare <image 2> with <image 1>.", "image": encoded(1, 2)}
    rows[1] |= {"A": "<image 2>", "B": "<image 3>", "C": "", "D": "", "image": encoded(3, 4, 5)}
    rows[2] |= {letter: f"option {letter}" for letter in "EFGHI"} | {"answer": "I"}
    rows.append(choice(3, "0.45", "", **places))
    rows.append(choice(4, "['1/2', '0.5']", "", **places))  # a list, which is left out
    rows.append(choice(5, "A", **{**places, "split": "dev"}))  # not a row of the task
    return rows


def _mathvista() -> list[Row]:
    shared = {
        "task": "figure question answering",
        "unit": "",
        "precision": "",
        "choices": "",
        "answer_option": "",
    }
    row = {**shared, "question_type": "free_form", "image": encoded(1), "metadata": "{'task': 'x'}"}
    listed = "Choices:\n(A) red\n(B) blue"
    rows = [
        row | {"question_type": "multi_choice", "choices": "['red', 'blue']", "answer": "blue"},
        row | {"answer_type": "integer", "answer": "14"},
        row | {"answer_type": "float", "answer": "1.45", "precision": "2.0", "unit": "$"},
        row | {"answer_type": "text", "answer": "Tuesday", "task": "textbook question answering"},
        row | {"answer_type": "list", "answer": "[2007, 2008]"},
    ]
    rows[0] |= {"answer_option": "B", "answer_type": "text"}
    return [
        r | {"index": n, "question": f"Hint: Answer.\nQuestion: q{n}?\n{listed if n == 0 else ''}"}
        for n, r in enumerate(rows)
    ]


def _mathverse() -> list[Row]:
    shared = {
        "question": "",
        "question_type": "multi-choice",
        "problem_version": "Vision Only",
        "metadata": "{'split': 'testmini', 'source': 'x', 'subject': 'Plane Geometry', 'subfield': 'Angle'}",
    }
    asked = "Find the angle.\nChoices:\nA:30°\nB:45°\nC:60°\nD:90°"
    rows = [
        shared | {"question_for_eval": asked, "answer": "C"},
        shared | {"question_for_eval": "Find x.", "question_type": "free-form", "answer": "12"},
        shared | {"question_for_eval": "Find x.", "question_type": "free-form", "answer": "[-4, 0)"},
    ]
    return [row | {"index": n, "image": encoded(n + 20)} for n, row in enumerate(rows)]


def _mathvision() -> list[Row]:
    rows = [
        {"answer": "D", "choices": "['1', '2', '3', '4']", "category": "counting"},
        {"answer": "3/4", "choices": "[]", "category": "arithmetic"},
        {"answer": "x+y", "choices": "[]", "category": "algebra"},
    ]
    return [row | {"index": n, "question": f"q{n}?", "image": encoded(n + 30)} for n, row in enumerate(rows)]


def _ai2d() -> list[Row]:
    rows = [choice(n, "B", category=name) for n, name in enumerate(("foodChainsWebs", "volcano"))]
    rows[1] |= {"A": "None", "B": "NA", "C": "nan"}  # real options
    return rows


BENCHMARKS: Mapping[str, Example] = {
    "mmstar": Example(_mmstar, 3, 3, {"math": 2, "coarse perception": 1}),
    "seedbench_img": Example(_seedbench, 3, 3, {"Scene Understanding": 2, "Instance Counting": 1}),
    "blink": Example(_blink, 4, 4, {"Art_Style": 2, "Relative_Reflectance": 1, "Counting": 1}),
    "realworldqa": Example(_realworldqa, 5, 5, {"all": 5}),
    "mmvp": Example(_mmvp, 6, 3, {"all": 3}),
    "hallusionbench": Example(_hallusionbench, 8, 4, {"VD": 2, "VS": 2}, 1),
    "vstar": Example(_vstar, 2, 2, {"direct_attributes": 1, "relative_position": 1}),
    "hrbench_4k": Example(_hrbench, 8, 2, {"single": 1, "cross": 1}),
    "hrbench_8k": Example(_hrbench, 8, 2, {"single": 1, "cross": 1}),
    "cvbench_2d": Example(lambda: _cvbench("2D"), 4, 4, {"Count": 2, "Relation": 2}),
    "cvbench_3d": Example(lambda: _cvbench("3D"), 4, 4, {"Depth": 2, "Distance": 2}),
    "mmmu_val": Example(_mmmu, 4, 4, {"Science": 4}, 1),
    "mathvista_mini": Example(
        _mathvista, 4, 4, {"figure question answering": 3, "textbook question answering": 1}, 1
    ),
    "mathverse_mini_vision_only": Example(_mathverse, 2, 2, {"Plane Geometry": 2}, 1),
    "mathvision_mini": Example(_mathvision, 2, 2, {"counting": 1, "arithmetic": 1}, 1),
    "ai2d_test": Example(_ai2d, 2, 2, {"foodChainsWebs": 1, "volcano": 1}),
}
"""The tasks of the kind `questions`."""
