"""The functions that task files of the kind `questions` name for lmms-eval: rows, prompts, scores as in a run.

lmms-eval calls these functions in its own process. They are pure and import neither torch nor lmms-eval.
`question_docs` has one function per task that makes the documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Categories, ImagePart, TextPart
from ssl4rl_bench.interop.lmms import items
from ssl4rl_bench.interop.lmms.reply import completion
from ssl4rl_bench.task.questions.groups import group_rows
from ssl4rl_bench.task.questions.rows import QuestionRow, parse_questions
from ssl4rl_bench.task.questions.schema import read_schema
from ssl4rl_bench.task.questions.task import questions_digest, score_row
from ssl4rl_bench.task.questions.wording import parts_of_text, question_text
from ssl4rl_bench.task.tables.hub import encoded
from ssl4rl_bench.task.taskfile import load_taskfile

if TYPE_CHECKING:
    from PIL import Image

Doc = Mapping[str, Any]
"""A row in the form that `make_docs` returns."""


def make_docs(task: str, dataset: Any) -> Any:
    """Reads and checks the rows of a `datasets.Dataset` as `ssl4rl-bench run` does.

    Args:
        task: the name of a shipped task, or the path of a task file.

    Raises:
        UsageError: for an unknown task or parameters that are not those of the kind.
        DataError: for data that cannot be used.
    """
    import datasets

    declared = load_taskfile(task)
    schema = read_schema(declared.name, declared.params)
    located = ((f"row {number}", row) for number, row in enumerate(encoded(dataset), start=1))
    may_leave_out = declared.source is not None and declared.source.left_out is not None
    parsed = parse_questions("the data set", located, schema)
    rows = group_rows("the data set", parsed, schema, may_leave_out=may_leave_out).rows
    copies, data_sha256 = Counter(row.group for row in rows), questions_digest(rows)
    texts, numbers = datasets.Value("string"), datasets.Value("int64")
    features = datasets.Features(
        {
            **dict.fromkeys(("id", "group", "question", "hint", "kind", "target", "unit"), texts),
            **dict.fromkeys(("l1", "l2", "l3", "data_sha256"), texts),
            **dict.fromkeys(("roll", "copies", "decimals"), numbers),
            "tolerance": datasets.Value("float64"),
            "shown": datasets.Value("bool"),
            **dict.fromkeys(("letters", "options"), datasets.Sequence(texts)),
            "images": datasets.Sequence(datasets.Image(decode=False)),
        }
    )
    docs = [
        {
            **{name: getattr(row, name) for name in _PLAIN},
            **asdict(row.categories),
            "copies": copies[row.group],
            "tolerance": schema.tolerance,
            "shown": schema.options.shown,
            "letters": list(row.choices),
            "options": list(row.choices.values()),
            "data_sha256": data_sha256,
            "images": [{"bytes": image.data, "path": None} for image in row.images],
        }
        for row in rows
    ]
    return datasets.Dataset.from_list(docs, features=features)


_PLAIN = ("id", "group", "roll", "question", "hint", "kind", "target", "unit", "decimals")
"""The fields of a row that a document has under the same name."""


def doc_to_visual(doc: Doc) -> list[Image.Image]:
    """Returns the decoded images in the order of the data."""
    return [images.decode(images.from_bytes(image["bytes"])) for image in doc["images"]]


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """Returns the prompt in the style that the task file names; `<image N>` stays at the place of an image."""
    style = (lmms_eval_specific_kwargs or {}).get("prompt", "ssl4rl")
    return question_text(_row(doc), style, shown=bool(doc["shown"]))


def doc_to_messages(
    doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Returns the chat message with each image at its place in the text."""
    shown = doc_to_visual(doc)
    text = doc_to_text(doc, lmms_eval_specific_kwargs)
    parts = parts_of_text(text, len(shown), lambda index: ImagePart(images.from_bytes(_image(doc, index))))
    pictures = {images.from_bytes(_image(doc, index)).sha256: image for index, image in enumerate(shown)}
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            content.append({"type": "image", "url": pictures[part.image.sha256]})
    return [{"role": "user", "content": content}]


def doc_to_target(doc: Doc) -> str:
    """Returns the right letter, number or text."""
    return str(doc["target"])


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Scores one reply. Returns the input of both aggregations as JSON values."""
    score = score_row(_row(doc), doc["tolerance"], completion(results[0]), "default")
    item = items.score_item(doc, score)
    return {"circular_micro": item, "row_micro": item}


def _image(doc: Doc, index: int) -> bytes:
    data: bytes = doc["images"][index]["bytes"]
    return data


def _row(doc: Doc) -> QuestionRow:
    """Returns the row of a document without its images."""
    return QuestionRow(
        **{name: doc[name] for name in _PLAIN},
        choices=dict(zip(doc["letters"], doc["options"], strict=True)),
        categories=Categories(doc["l1"], doc["l2"], doc["l3"]),
        images=(),
        keys=(),
        same=(),
        cycle="",
        where="",
    )
