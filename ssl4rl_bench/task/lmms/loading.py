"""Makes the samples of a task of lmms-eval from its documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_json_list
from ssl4rl_bench.core.types import Categories, EncodedImage, Sample
from ssl4rl_bench.task.base import LoadOptions
from ssl4rl_bench.task.lmms.captions import is_corpus
from ssl4rl_bench.task.lmms.configured import Configured
from ssl4rl_bench.task.lmms.documents import Documents
from ssl4rl_bench.task.lmms.generation import chat_message
from ssl4rl_bench.task.lmms.layout import Layout, layout_of
from ssl4rl_bench.task.lmms.scope import refusal
from ssl4rl_bench.task.lmms.task import LmmsTask
from ssl4rl_bench.task.mmbench.task import limit_reason, limited_groups
from ssl4rl_bench.task.tables.hub import encoded
from ssl4rl_bench.task.taskfile import TaskFile

OTHER = "other"
"""The category of documents without one."""
UNSEEN = "lmms-eval does not say whether it found an answer in a reply, so only empty and cut replies count as unread"


def loaded(task: TaskFile, configured: Configured, documents: Documents, asked: LoadOptions) -> LmmsTask:
    """Renders the samples of a task, with the groups and categories over which lmms-eval averages.

    Raises:
        UsageError: for a task that is not supported.
        DataError: for a document that the task's functions do not accept, or an image that cannot be used.
    """
    targets = [configured.target(doc, number) for number, doc in enumerate(configured.plain_docs)]
    layout, results = _layout(configured, targets)
    report = asked.on_share or (lambda share: None)
    samples = list(_samples(configured, layout, results, targets, report))
    if not any(sample.images for sample in samples):
        raise refusal(configured.name, "its documents show no image")
    reasons = []
    if asked.limit is not None:
        numbers = {group: number for number, group in enumerate(dict.fromkeys(one.group for one in samples))}
        chosen = limited_groups(((numbers[one.group], one.categories) for one in samples), asked.limit)
        if len(chosen) < len(numbers):
            abilities = len({sample.categories.l2 for sample in samples})
            reasons.append(limit_reason(asked.limit, len(numbers), abilities))
        samples = [sample for sample in samples if numbers[sample.group] in chosen]
    contents = {
        sample.id: [_plain(configured.plain_docs[int(sample.id)]), [image.sha256 for image in sample.images]]
        for sample in samples
    }
    return LmmsTask(
        name=task.name,
        version=task.version,
        prompt=task.prompt,
        source=documents.name,
        samples=tuple(samples),
        sampling=task.sampling,
        data_sha256=sha256_json_list(
            {"index": sample.id, "group": sample.group, "document": contents[sample.id]}
            for sample in sorted(samples, key=lambda sample: int(sample.id))
        ),
        columns=tuple((name, name.title()) for name in layout.parts),
        warnings=(UNSEEN,),
        partial_reasons=tuple(reasons),
        hub=documents.hub,
        configured=configured,
        layout=layout,
        contents=contents,
    )


def _layout(configured: Configured, targets: Sequence[Any]) -> tuple[Layout, Sequence[Mapping[str, Any]]]:
    """Returns the layout of a task, and its results for the right answers."""
    if any(is_corpus(name) for name in configured.metrics):
        return Layout(), [{} for _ in targets]
    results = [configured.score(number, text_of(target)) for number, target in enumerate(targets)]
    return layout_of(results, list(configured.metrics), configured.aggregate), results


def _samples(
    configured: Configured,
    layout: Layout,
    results: Sequence[Mapping[str, Any]],
    targets: Sequence[Any],
    report: Callable[[float], None],
) -> Iterator[Sample]:
    pictures = [name for name, kind in configured.docs.features.items() if _is_image(kind)]
    raw = encoded(configured.docs).select_columns(pictures) if pictures else [{} for _ in targets]
    cache: dict[str, EncodedImage] = {}
    made = []
    for number, (doc, cells) in enumerate(zip(configured.docs, raw, strict=True)):
        if number % 100 == 0:
            report(number / len(targets))
        try:
            known = list(_known(cells.values()))
            messages = tuple(
                chat_message(f"lmms:{configured.name}", message, cache, known)
                for message in configured.messages(doc, number)
            )
        except images.ImageError as error:
            raise DataError(
                f"lmms:{configured.name}, document {number}: the image cannot be used, {error}"
            ) from None
        record = results[number].get(layout.metric) if layout.metric else None
        group = (
            str(number)
            if layout.group is None or record is None
            else f"{layout.group} {record[layout.group]}"
        )
        made.append(
            Sample(
                id=str(number),
                group=group,
                messages=messages,
                target=text_of(targets[number]),
                choices={},
                categories=_categories(layout, results[number]),
            )
        )
    first: dict[str, int] = {}
    for place, sample in enumerate(made):
        first.setdefault(sample.group, place)
    yield from sorted(made, key=lambda sample: first[sample.group])


def _known(cells: Iterable[Any]) -> Iterator[EncodedImage]:
    """Yields the images of a document that are in an encoding that the engines take."""
    for cell in cells:
        with suppress(images.ImageError):
            if cell and cell["bytes"]:
                yield images.from_bytes(cell["bytes"])


def _categories(layout: Layout, result: Mapping[str, Any]) -> Categories:
    part = next((name for name in layout.parts if name in result), OTHER)
    record = result.get(layout.metric) if layout.metric else None
    leaf = part if layout.leaf is None or record is None else str(record[layout.leaf])
    return Categories(OTHER, part, leaf)


def text_of(target: Any) -> str:
    """Returns a right answer as a reply: of several, the first."""
    if isinstance(target, list | tuple):
        target = target[0] if target else ""
    return str(target)


def _plain(doc: Mapping[str, Any]) -> Any:
    """Returns a document as JSON values."""
    text = json.dumps(dict(doc), default=str, sort_keys=True)
    return json.loads(text, parse_constant=str)


def _is_image(kind: Any) -> bool:
    import datasets

    return isinstance(kind, datasets.Image)
