"""Writes a benchmark as a validation file for a trainer: every row that `run` asks, with its answer key.

The reward of a row (`train.validation`) is the row's score in `run`, so a trainer's mean over the rows is the
benchmark's `row_micro`. Circular copies are rows of their own; only rows with a group can be reduced to
`circular_micro`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import reporting, to_text
from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import ImagePart, Message, Sample, Task, TextPart, VideoPart
from ssl4rl_bench.datasets import place
from ssl4rl_bench.datasets.files import DataFile
from ssl4rl_bench.datasets.manifest import CARD, FILE, KIND, SCHEMA, Manifest, package_versions
from ssl4rl_bench.datasets.parquet import ParquetWriter
from ssl4rl_bench.task.answer_key import AnswerKey, answer_keys
from ssl4rl_bench.task.extract import reader_version

SPLIT = "val"
PURPOSE = "validation"
"""The value of `purpose` in the manifest, which `refuse_validation` looks for."""
MEAN_OF_ROWS = "row_micro"
"""The aggregation that equals the mean reward over the rows of the file."""
REWARD_FILE = "reward.py"
PLACEHOLDERS = ("<image>", "<video>", "<audio>")
"""What verl replaces in a prompt's text (verl/utils/dataset/rl_dataset.py, `_build_messages`)."""
_REWARD = '''"""The rewards of this file's rows: the scores that `ssl4rl-bench run` gives to the same replies.

verl: custom_reward_function.path names this file and .name compute_score. TRL: reward_funcs=[reward].
The mean over the rows is the benchmark's {mean}. `python {file} {data} REPLIES.jsonl` computes its other
aggregations, such as circular_micro, from lines with "id" and "output" (verl's trainer.validation_data_dir with
reward_kwargs.details=true).
"""

from ssl4rl_bench.train.rewards import compute_score
from ssl4rl_bench.train.validation import ValidationReward, main

reward = ValidationReward()

__all__ = ["compute_score", "reward"]

if __name__ == "__main__":
    main()
'''


def build_validation(
    task: Task,
    out: Path,
    *,
    format: str,
    extractor: str = "default",
    force: bool = False,
) -> Manifest:
    """Writes all samples of a benchmark as `val.parquet`, with `reward.py`, a manifest and a card.

    The folder appears only at the end and complete.

    Args:
        task: A loaded benchmark (`registry.load_task`); with its limit and prompt style, if any.
        format: "verl" or "trl".
        extractor: How the reward reads replies.
        force: Replace an earlier data set in `out`.

    Raises:
        UsageError: for another format, an unknown extractor, or a task that has no answer keys.
        DataError: for a sample with a video, or a text that verl would take for an image.
        StoreError: if `out` is not empty or cannot be written.
    """
    if format not in _ROWS:
        raise UsageError(
            f"a benchmark is written as a validation file of a trainer, not as {format}"
            f"{did_you_mean(format, _ROWS)}: give --format verl or --format trl"
        )
    keys = answer_keys(task, extractor)
    place.check_destination(out, force)
    with place.replaced_folder(out) as folder, reporting(out):
        writer = ParquetWriter(folder, SPLIT)
        try:
            for row in _ROWS[format](task, keys):
                writer.add_row(row)
        finally:
            file = writer.close()
        reward = _REWARD.format(mean=MEAN_OF_ROWS, file=REWARD_FILE, data=file.name)
        (folder / REWARD_FILE).write_text(reward, "utf-8")
        manifest = _manifest(task, format, keys[0].extractor, file)
        (folder / FILE).write_text(to_text(manifest.data), "utf-8")
        (folder / CARD).write_text(_card(manifest.data, file), "utf-8")
    return manifest


def refuse_validation(images: str) -> None:
    """Refuses to train on a validation file, its folder, or a file in its folder.

    Raises:
        UsageError: `images` is one.
    """
    path = Path(images)
    for folder in (path, path.parent):
        try:
            manifest = parse_json((folder / FILE).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(manifest, Mapping) and manifest.get("purpose") == PURPOSE:
            name = short_name(str(manifest.get("task")))
            raise UsageError(
                f"{images} is the benchmark {name} as a validation file, and training on it would make every later "
                "number on it worthless: name other images"
            )


def _trl_rows(task: Task, keys: list[AnswerKey]) -> Iterator[dict[str, Any]]:
    """Yields rows for TRL.

    The contents are texts if all images stand before the text, where TRL puts them, and otherwise lists of
    parts (trl/data_utils.py, `prepare_multimodal_messages`).
    """
    plain = all(_images_come_first(sample) for sample in task.samples)
    for sample, key in zip(task.samples, keys, strict=True):
        messages: list[dict[str, Any]] = []
        for message in sample.messages:
            parts = _merged(message, sample)
            if plain:
                content: Any = "".join(part for part in parts if part is not None)
            else:
                content = [
                    {"type": "image", "text": None} if part is None else {"type": "text", "text": part}
                    for part in parts
                ]
            messages.append({"role": message.role, "content": content})
        yield {
            "prompt": messages,
            "images": _structs(sample),
            "target": sample.target,
            "task": task.name,
            "id": sample.id,
            "group": sample.group,
            "answer_key": key.to_json(),
        }


def _verl_rows(task: Task, keys: list[AnswerKey]) -> Iterator[dict[str, Any]]:
    for sample, key in zip(task.samples, keys, strict=True):
        for part in (part for message in sample.messages for part in message.content):
            if isinstance(part, TextPart) and (marks := [m for m in PLACEHOLDERS if m in part.text]):
                raise DataError(
                    f"sample {sample.id} of {task.name} has {marks[0]} in its text, which verl would replace: "
                    "use --format trl"
                )
        yield {
            "data_source": task.name,
            "prompt": [
                {
                    "role": message.role,
                    "content": "".join(PLACEHOLDERS[0] if p is None else p for p in _merged(message, sample)),
                }
                for message in sample.messages
            ],
            "images": _structs(sample),
            "ability": sample.categories.l2,
            "reward_model": {"style": "rule", "ground_truth": sample.target},
            "extra_info": {
                "split": SPLIT,
                "index": seed_of("sample", sample.id) >> 10,
                "id": sample.id,
                "group": sample.group,
                "answer_key": key.to_json(),
            },
        }


_ROWS = {"verl": _verl_rows, "trl": _trl_rows}


def _merged(message: Message, sample: Sample) -> list[str | None]:
    """Returns the texts of a message, with None for each image; adjacent texts are joined."""
    out: list[str | None] = []
    for part in message.content:
        if isinstance(part, VideoPart):
            raise DataError(f"sample {sample.id} has a video: validation files hold images only")
        text = None if isinstance(part, ImagePart) else part.text
        if out and text is not None and (before := out[-1]) is not None:
            out[-1] = before + text
        else:
            out.append(text)
    return out


def _images_come_first(sample: Sample) -> bool:
    """Whether all images stand at the start of the first message of the user."""
    users = [number for number, message in enumerate(sample.messages) if message.role == "user"]
    for number, message in enumerate(sample.messages):
        parts = _merged(message, sample)
        n_images = parts.count(None)
        if n_images and (number != users[0] or any(part is not None for part in parts[:n_images])):
            return False
    return True


def _structs(sample: Sample) -> list[dict[str, Any]]:
    return [{"bytes": image.data, "path": None} for image in sample.images]


def _manifest(task: Task, format: str, extractor: str, file: DataFile) -> Manifest:
    return Manifest(
        {
            "schema": SCHEMA,
            "kind": KIND,
            "purpose": PURPOSE,
            "task": task.name,
            "version": task.version,
            "format": format,
            "prompt": task.prompt,
            "extractor": extractor,
            "reader": reader_version(extractor),
            "image": task.image,
            "source": task.source,
            **({"hub": asdict(task.hub)} if task.hub is not None else {}),
            "data_sha256": task.data_sha256,
            "partial_reasons": list(task.partial_reasons),
            "sampling": asdict(task.sampling),
            "mean_of_rows": MEAN_OF_ROWS,
            "counts": {"samples": {SPLIT: len(task.samples)}, "groups": {SPLIT: task.n_groups}},
            "files": {file.name: {"samples": file.n_samples, "bytes": file.n_bytes, "sha256": file.sha256}},
            "versions": package_versions(),
        }
    )


def _card(data: Mapping[str, Any], file: DataFile) -> str:
    """Returns the card, from which `datasets.load_dataset` reads the split."""
    counts = data["counts"]
    return "\n".join(
        [
            *("---", "configs:", "- config_name: default", "  data_files:"),
            *(f"  - split: {SPLIT}", f"    path: {file.name}", "---", ""),
            f"# {data['task']}, for validation only",
            "",
            f"All {counts['samples'][SPLIT]} rows of {counts['groups'][SPLIT]} questions, as `ssl4rl-bench run` asks",
            f"them, in the format `{data['format']}`. Do not train on this file. The mean reward of `{REWARD_FILE}`",
            f"over the rows is the benchmark's `{MEAN_OF_ROWS}`, not its `circular_micro`. `{FILE}` has the",
            "settings.",
            "",
        ]
    )
