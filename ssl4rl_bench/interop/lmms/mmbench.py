"""The functions that `tasks/*.yaml` name for lmms-eval: this project's rows, prompts, parsing and aggregates.

lmms-eval calls these functions in its own process. They are pure and import neither torch nor lmms-eval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core import images
from ssl4rl_bench.interop.lmms import items
from ssl4rl_bench.interop.lmms.reply import completion
from ssl4rl_bench.task import prompts
from ssl4rl_bench.task.mmbench.circular import check_rows
from ssl4rl_bench.task.mmbench.task import adjacent, rows_digest, score_choice
from ssl4rl_bench.task.mmbench.taxonomy import categories
from ssl4rl_bench.task.tables.columns import LocatedRow
from ssl4rl_bench.task.tables.hub import encoded

if TYPE_CHECKING:
    from PIL import Image

Doc = Mapping[str, Any]
"""A row in the form that `process_docs` returns."""


def process_docs(dataset: Any) -> Any:
    """Reads and checks the rows of a `datasets.Dataset` as `ssl4rl-bench run` does.

    Raises:
        DataError: for data that cannot be used.
    """
    return _docs("the data set", encoded(dataset))


def scenes_docs(dataset: Any) -> Any:  # noqa: ARG001
    """Returns the rows of the built-in scenes. The data set that lmms-eval has loaded is a placeholder."""
    from ssl4rl_bench.task import scenes  # imported here, since only drawing needs Pillow

    return _docs("scenes", scenes.rows("dev"))


def doc_to_visual(doc: Doc) -> list[Image.Image]:
    """Returns the decoded image as a list of one."""
    return [images.decode(images.from_bytes(doc["image"]["bytes"]))]


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """Returns the prompt in the style that the task file names."""
    style = (lmms_eval_specific_kwargs or {}).get("prompt", "ssl4rl")
    return prompts.render(style, question=doc["question"], hint=doc["hint"], choices=_choices(doc))


def doc_to_target(doc: Doc) -> str:
    """Returns the right letter."""
    return str(doc["answer"])


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Scores one reply. Returns the input of both aggregations as JSON values."""
    score = score_choice(_choices(doc), doc["answer"], completion(results[0]))
    item = items.score_item({**doc, "id": str(doc["index"]), "group": str(doc["group"])}, score)
    return {"circular_micro": item, "row_micro": item}


def circular_micro(scored: Iterable[Mapping[str, Any]]) -> float:
    """Computes the share of questions answered right in every copy (`aggregate`). NaN if none is complete."""
    return items.value("circular_micro", scored)


def row_micro(scored: Iterable[Mapping[str, Any]]) -> float:
    """Computes the share of rows answered right over complete questions (`aggregate`). NaN without any."""
    return items.value("row_micro", scored)


def _docs(source: str, rows: Iterable[Mapping[str, Any]]) -> Any:
    import datasets

    located: Iterator[LocatedRow] = ((f"row {number}", row) for number, row in enumerate(rows, start=1))
    checked = adjacent(check_rows(source, located).rows)
    copies = Counter(row.group for row in checked)
    data_sha256 = rows_digest(checked)
    docs = [
        {
            "data_sha256": data_sha256,
            "index": row.index,
            "group": row.group,
            "roll": row.roll,
            "copies": copies[row.group],
            "question": row.question,
            "hint": row.hint,
            "letters": list(row.choices),
            "options": list(row.choices.values()),
            "answer": row.answer,
            **asdict(categories(row.category, row.l2)),
            "image": {"bytes": row.image.data, "path": None},
        }
        for row in checked
    ]
    table = datasets.Dataset.from_list(docs)
    return table.cast_column("image", datasets.Image(decode=False))


def _choices(doc: Doc) -> dict[str, str]:
    return dict(zip(doc["letters"], doc["options"], strict=True))
