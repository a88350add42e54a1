"""The functions that SSL tasks' files name for lmms-eval: samples, prompts, scores as in `ssl4rl-bench run`.

lmms-eval calls these functions in its own process, and `process_results` in several threads. They import
neither torch nor lmms-eval.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.identity import canonical_json
from ssl4rl_bench.core.types import TextPart, parts_of
from ssl4rl_bench.interop.lmms import items
from ssl4rl_bench.interop.lmms.reply import completion
from ssl4rl_bench.task.registry import load_ssl, load_task
from ssl4rl_bench.task.ssl import SSLTask, make_task
from ssl4rl_bench.task.ssl.probe import ProbeTask

if TYPE_CHECKING:
    from PIL import Image

Doc = Mapping[str, Any]
"""A sample in the form that `process_docs` returns."""


def process_docs(dataset: Any) -> Any:
    """Returns the samples of a task as a `datasets.Dataset`.

    Args:
        dataset: the lines of the task's own file, as lmms-eval has loaded them.

    Raises:
        UsageError: if the file declares no SSL task, or one with invalid parameters.
        DataError: if its images cannot be used.
    """
    import datasets

    with TemporaryDirectory() as folder:
        path = str(_task_file(dataset["text"], Path(folder)))
        declared, _ = load_ssl(path)
        task = load_task(path)
    texts = task.texts if isinstance(task, ProbeTask) else {}
    copies = Counter(sample.group for sample in task.samples)
    features = datasets.Features(
        {
            **dict.fromkeys(
                ("id", "group", "ssl", "text", "target", "data_sha256"), datasets.Value("string")
            ),
            **dict.fromkeys(("l1", "l2", "l3"), datasets.Value("string")),
            **dict.fromkeys(("roll", "copies"), datasets.Value("int64")),
            "images": datasets.Sequence(datasets.Image(decode=False)),
        }
    )
    docs = [
        {
            "id": sample.id,
            "group": sample.group,
            "roll": sample.roll,
            "copies": copies[sample.group],
            "ssl": canonical_json(declared.ssl),
            "text": texts.get(sample.id, ""),
            "target": sample.target,
            **asdict(sample.categories),
            "data_sha256": task.data_sha256,
            "images": [{"bytes": image.data, "path": None} for image in sample.images],
        }
        for sample in task.samples
    ]
    return datasets.Dataset.from_list(docs, features=features)


def doc_to_visual(doc: Doc) -> list[Image.Image]:
    """Returns the decoded images in the order in which they are shown."""
    return [images.decode(images.from_bytes(image["bytes"])) for image in doc["images"]]


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """Returns the prompt in the style that the task file names. Does not need the images."""
    style = (lmms_eval_specific_kwargs or {}).get("prompt", "ssl4rl")
    messages = _ssl(doc["ssl"]).messages((), style, doc["text"])
    return "\n".join(part.text for part in parts_of(messages, TextPart))


def doc_to_target(doc: Doc) -> str:
    """Returns the right answer in its canonical form."""
    return str(doc["target"])


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Scores one reply. Returns the input of both aggregations as JSON values, with the sub-metrics."""
    ssl = _ssl(doc["ssl"])
    score = ssl.score(completion(results[0]), doc["target"])
    item = items.score_item(doc, score) | {"parts": dict(score.parts), "chance": ssl.chance}
    return {"accuracy": item, "chance_corrected": item}


def accuracy(scored: Iterable[Mapping[str, Any]]) -> float:
    """Computes the share of samples answered right over complete groups (`aggregate`). NaN without any."""
    return items.value("row_micro", scored)


def chance_corrected(scored: Iterable[Mapping[str, Any]]) -> float:
    """Computes (accuracy - chance) / (1 - chance): 0 for blind guessing, 1 if all samples are right.

    NaN without a complete group.
    """
    scored = list(scored)
    if not scored:
        return float("nan")
    chance = float(scored[0]["chance"])
    return (items.value("row_micro", scored) - chance) / (1 - chance)


def _task_file(lines: Iterable[str], folder: Path) -> Path:
    """Writes the lines of a task file back to a file, along with the files that it may include."""
    for entry in files("ssl4rl_bench.tasks").iterdir():
        if entry.name.startswith("_") and entry.name.endswith(".yaml"):
            (folder / entry.name).write_bytes(entry.read_bytes())
    path = folder / "task.yaml"
    path.write_text("\n".join(lines), "utf-8")
    return path


@cache
def _ssl(declared: str) -> SSLTask:
    params = json.loads(declared)
    return make_task(params.pop("kind"), params)
