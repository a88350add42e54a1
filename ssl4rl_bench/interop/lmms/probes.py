"""What the SSL tasks' files name for lmms-eval: the samples, prompts and scores of `ssl4rl-bench run`.

lmms-eval calls these from its own process, `process_results` from several threads. They import neither torch
nor lmms-eval.
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
from ssl4rl_bench.task.ssl import SSLTask, make

if TYPE_CHECKING:
    from PIL import Image

Doc = Mapping[str, Any]
"""A sample as `process_docs` makes it."""


def process_docs(dataset: Any) -> Any:
    """The samples of the task whose own file lmms-eval has loaded, line by line, as a `datasets.Dataset`.

    Raises:
        UsageError: if the file declares no SSL task, or one with bad parameters.
        DataError: if its images cannot be used.
    """
    import datasets

    with TemporaryDirectory() as folder:
        path = str(_task_file(dataset["text"], Path(folder)))
        declared, _ = load_ssl(path)
        task = load_task(path)
    copies = Counter(sample.group for sample in task.samples)
    features = datasets.Features(
        {
            **dict.fromkeys(("id", "group", "ssl", "target", "data_sha256"), datasets.Value("string")),
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
            "target": sample.target,
            **asdict(sample.categories),
            "data_sha256": task.data_sha256,
            "images": [{"bytes": image.data, "path": None} for image in sample.images],
        }
        for sample in task.samples
    ]
    return datasets.Dataset.from_list(docs, features=features)


def doc_to_visual(doc: Doc) -> list[Image.Image]:
    """The decoded images, in the order shown."""
    return [images.decode(images.from_bytes(image["bytes"])) for image in doc["images"]]


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """The prompt, in the style that the task file names. Needs none of the images."""
    style = (lmms_eval_specific_kwargs or {}).get("prompt", "ssl4rl")
    messages = _ssl(doc["ssl"]).messages((), style)
    return "\n".join(part.text for part in parts_of(messages, TextPart))


def doc_to_target(doc: Doc) -> str:
    """The right answer in its canonical form."""
    return str(doc["target"])


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Scores one reply: what both aggregations need to know of it, as JSON values, and the sub-metrics."""
    ssl = _ssl(doc["ssl"])
    score = ssl.score(completion(results[0]), doc["target"])
    found = items.item(doc, score) | {"parts": dict(score.parts), "chance": ssl.chance}
    return {"accuracy": found, "chance_corrected": found}


def accuracy(scored: Iterable[Mapping[str, Any]]) -> float:
    """Share of the samples answered right, over whole groups (`aggregate`). NaN without one."""
    return items.value("row_micro", scored)


def chance_corrected(scored: Iterable[Mapping[str, Any]]) -> float:
    """(accuracy - chance) / (1 - chance): 0 for a blind guesser, 1 if all is right. NaN without a whole group."""
    scored = list(scored)
    if not scored:
        return float("nan")
    chance = float(scored[0]["chance"])
    return (items.value("row_micro", scored) - chance) / (1 - chance)


def _task_file(lines: Iterable[str], folder: Path) -> Path:
    """The file that lmms-eval has read, again as a file, with those beside it that it may include."""
    for entry in files("ssl4rl_bench.tasks").iterdir():
        if entry.name.startswith("_") and entry.name.endswith(".yaml"):
            (folder / entry.name).write_bytes(entry.read_bytes())
    path = folder / "task.yaml"
    path.write_text("\n".join(lines), "utf-8")
    return path


@cache
def _ssl(declared: str) -> SSLTask:
    params = json.loads(declared)
    return make(params.pop("kind"), params)
