"""Small data sets in the column format of tasks of lmms-eval, with drawings, and replies to them.

Replies are right, wrong, not readable, empty or cut off, in turn, so that each status occurs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

N = 24
"""Documents of each data set."""
_COLOURS = ("red", "green", "blue", "orange", "purple", "brown")
_SHAPES = ("circle", "square", "triangle", "ring")
_MMSTAR = {
    "coarse perception": ("image scene and topic", "image emotion"),
    "fine-grained perception": ("object counting", "recognition", "localization"),
    "math": ("geometry",),
}


def drawing(number: int) -> Any:
    """Draws a coloured shape; no two numbers give the same picture."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (48, 40), (240, 240, 232 - number % 100))
    draw = ImageDraw.Draw(image)
    colour, box = _COLOURS[number % 6], (8 + number % 5, 6, 34 + number % 7, 32)
    if _SHAPES[number % 4] == "square":
        draw.rectangle(box, fill=colour)
    elif _SHAPES[number % 4] == "triangle":
        draw.polygon([(box[0], box[3]), (box[2], box[3]), (20, box[1])], fill=colour)
    else:
        draw.ellipse(box, fill=colour if _SHAPES[number % 4] == "circle" else None, outline=colour, width=4)
    return image


def _mmstar(number: int) -> dict[str, Any]:
    places = [(l1, l2) for l1, leaves in _MMSTAR.items() for l2 in leaves]
    category, leaf = places[(0, 1, 2, 3, 4, 5, 0, 0, 1, 2, 2, 2)[number % 12]]  # leaves of several sizes
    return {
        "index": number,
        "question": f"What is shown in picture {number}?\nOptions: A: ring, B: square, C: circle, D: triangle",
        "image": drawing(number),
        "answer": "ABCD"[number % 4],
        "category": category,
        "l2_category": leaf,
        "meta_info": {"source": "drawn", "split": "val", "image_path": f"{number}.png"},
    }


def _ai2d(number: int) -> dict[str, Any]:
    return {
        "question": f"Which shape is drawn in figure {number}?",
        "options": list(_SHAPES),
        "answer": str(number % 4),
        "image": drawing(number),
    }


def _mmvp(number: int) -> dict[str, Any]:
    return {
        "Index": number + 1,
        "Question": f"Is the shape of pair {number // 2} filled or open?",
        "Options": "(a) Filled (b) Open",
        "Correct Answer": "(a)" if number % 2 == 0 else "(b)",
        "image": drawing(number),
    }


def _realworldqa(number: int) -> dict[str, Any]:
    ends = number % 3 == 0
    text = (
        f"How many shapes are in picture {number}?"
        if ends
        else f"What colour is shape {number}?\n\nA. red\nB. blue"
    )
    return {
        "image": drawing(number),
        "image_path": f"{number}.webp",
        "question": f"{text}\nPlease answer directly with a single word or number.",
        "answer": str(number % 5) if ends else "AB"[number % 2],
    }


def _coco(number: int) -> dict[str, Any]:
    colour, shape = _COLOURS[number % 6], _SHAPES[number % 4]
    return {
        "question_id": f"COCO_val2014_{number:012d}.jpg",
        "image": drawing(number),
        "question": "Please carefully observe the image and come up with a caption for the image",
        "answer": [
            f"A {('large', 'small', 'bright', 'lonely', 'crooked')[number % 5]} {colour} {shape} on grey.",
            f"There is one {shape}, painted {colour}, in the middle of the picture number {number}.",
            f"a drawing of a {colour} {shape}",
        ],
        "id": number,
        "license": 1,
        "file_name": f"COCO_val2014_{number:012d}.jpg",
        "coco_url": f"http://images.invalid/{number}.jpg",
        "height": 40,
        "width": 48,
        "date_captured": "2013-11-14 11:18:45",
    }


ROWS = {
    "mmstar": _mmstar,
    "ai2d": _ai2d,
    "mmvp": _mmvp,
    "realworldqa": _realworldqa,
    "coco2014_cap_val": _coco,
}
"""Makes a row of each task."""


def write_documents(name: str, path: Path, n: int = N) -> Path:
    """Writes a parquet file as the hub has it, with images that are declared as such."""
    import datasets

    rows = [ROWS[name](number) for number in range(n)]
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    return path


def gold(name: str, number: int) -> str:
    """The right answer, as a model that was asked for it writes it."""
    row = ROWS[name](number)
    if name == "ai2d":
        return "ABCD"[number % 4]
    if name == "mmvp":
        return "AB"[number % 2]
    answer = row["answer"]
    return str(answer[0] if isinstance(answer, list) else answer)


def replies(name: str, n: int = N) -> list[dict[str, Any]]:
    """Replies in the form that the engine `replay` reads: right, reasoned, wrong, unreadable, empty, cut off."""
    out = []
    for number in range(n):
        right = gold(name, number)
        wrong = gold(name, number + 1)
        texts = (
            right,
            f"<think>It could be {wrong}.\n\nNo.</think>\n{right}",
            f"The answer is {right}." if name == "mmstar" else right,
            wrong,
            "I cannot see any picture here",
            "",
            f"{wrong} because the",
        )
        text = texts[(number * 3) % 7]
        cut = {"finish_reason": "length"} if text.endswith("because the") else {}
        out.append({"task": f"lmms:{name}", "id": str(number), "text": text, **cut})
    return out


def write_replies(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Writes a file for the engine `replay`."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
