"""Reads recorded replies (JSON Lines) from a file, a run's journal, a run directory, or a folder of files.

A line has `id` and `text`, and optionally `task`, `repeat` (default 0), `reasoning`, `finish_reason` (default
"stop"), `n_prompt_tokens`, `n_completion_tokens` and `error`; other keys are ignored. In a folder and in a
run's journal, the name of the file is the task. The engine `replay` answers with these replies.
"""

from __future__ import annotations

import codecs
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import sha256_hex, sha256_json
from ssl4rl_bench.core.names import full_name, task_of_stem
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import Completion, FinishReason
from ssl4rl_bench.run import journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec

Key = tuple[str | None, str, int]
"""Task (None if the file does not name it), sample id, and repeat."""
_CRC = b',"crc":"'


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """A recorded reply, with its file and line number."""

    completion: Completion
    path: Path
    line: int


@dataclass(slots=True)
class Recorded:
    """All recorded replies by task, id and repeat."""

    replies: dict[Key, RecordedReply] = field(default_factory=dict)
    digest: str = ""
    """The digest of the content of the replies (see the function `replies_digest`)."""
    images: dict[str, str] = field(default_factory=dict)
    """Maps a task to what the recording run showed: "real" or a blinding (`blinding.BLINDINGS`), if known."""

    def add(self, key: Key, reply: RecordedReply) -> None:
        """Adds a reply. A text replaces a failure with the same key, and a failure an earlier failure.

        Raises:
            DataError: there is another text with the same key; names both lines.
        """
        before = self.replies.get(key)
        if before is None or before.completion.error is not None:
            self.replies[key] = reply
        elif reply.completion.error is None:
            _same(before, reply, key)

    def find(self, task: str, id: str, repeat: int) -> Completion | None:
        """Returns the reply to a request; None if none is recorded."""
        reply = self.replies.get((task, id, repeat)) or self.replies.get((None, id, repeat))
        return None if reply is None else reply.completion

    def check(self, ids: Mapping[str, frozenset[str]], shown: Mapping[str, str]) -> None:
        """Checks that the replies belong to the tasks of a run and were recorded with the same images.

        Args:
            ids: sample ids by task.
            shown: "real" or a blinding by task (`blinding.BLINDINGS`).

        Raises:
            UsageError: lines without a task have ids that several tasks share, no reply belongs to these
                tasks, or the run that recorded the replies of a task showed other images.
            DataError: a line with a task and a line without one have different texts for the same request.
        """
        for task, image in shown.items():
            if (was := self.images.get(task, image)) != image:
                raise UsageError(
                    f"the replies to {task} were recorded with --image {was}, and this run has --image {image}: "
                    f"add --image {was}"
                )
        self._check_tasks(ids)

    def _check_tasks(self, ids: Mapping[str, frozenset[str]]) -> None:
        owners: dict[str, list[str]] = {}
        for task, sample_ids in ids.items():
            for id in sample_ids:
                owners.setdefault(id, []).append(task)
        known = False
        for key, reply in self.replies.items():
            of, sample, repeat = key
            tasks = owners.get(sample, [])
            if of is not None:
                known = known or of in ids
                continue
            known = known or bool(tasks)
            if len(tasks) > 1:
                raise UsageError(
                    f"{reply.path}, line {reply.line}: id {sample} is a sample of {' and of '.join(tasks)}, and the "
                    'line names no task: add "task" to each line, or give --replies a run directory or a folder '
                    "with a file TASK.jsonl for each task"
                )
            other = self.replies.get((tasks[0], sample, repeat)) if tasks else None
            if other and reply.completion.error is None and other.completion.error is None:
                first, second = sorted((reply, other), key=lambda recorded: recorded.line)
                _same(first, second, key)
        if self.replies and not known:
            recorded = sorted({key[0] for key in self.replies if key[0] is not None})
            held = f"are of {', '.join(recorded)}" if recorded else "have none of the ids"
            place = next(iter(self.replies.values())).path
            raise UsageError(
                f"the replies in {place} {held}, and the run's tasks are {', '.join(ids)}: select the tasks of the "
                "replies, or name other replies"
            )


def read_replies(place: Path) -> Recorded:
    """Reads all replies of a file, a run directory or a folder.

    Raises:
        DataError: a file or line cannot be read, or a request has two texts; names the file and line.
        UsageError: the folder has no replies.
    """
    recorded = Recorded(digest=replies_digest(place))
    for task, path in sources(place):
        run = None if task is None else _run_of(path)
        in_run = run is not None
        if task is not None and run is not None and task in run.tasks:
            recorded.images[task] = run.tasks[task].image
        for number, line in enumerate(_bytes(path).removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
            if line.strip() and (parsed := _parse(line, path, number, task, in_run)) is not None:
                recorded.add(*parsed)
    return recorded


def identity(place: Path, model: str | None) -> str:
    """Returns the stand-in for the weights of a replay: the model that gave the replies, if it is named.

    Replies of one model in several files (real images, blank images) are then runs of the same model; the
    version of the engine identifies the replies. Without a name, each set of replies counts as a separate
    model.

    Raises:
        DataError, UsageError: as `read_replies`.
    """
    return f"replies {replies_digest(place)}" if model is None else f"replies of {model}"


def replies_digest(place: Path) -> str:
    """Computes the digest of the replies' content: the sha256 of the file, or of all files with their tasks.

    Raises:
        DataError, UsageError: as `read_replies`.
    """
    if not place.is_dir():
        return sha256_hex(_bytes(place))
    return sha256_json([[task, sha256_hex(_bytes(path))] for task, path in sources(place)])


def sources(place: Path) -> list[tuple[str | None, Path]]:
    """Lists the files of replies with the task in each file's name; None for a single file outside a run.

    Raises:
        UsageError: the folder has no files of replies.
    """
    if not place.is_dir():
        run = _run_of(place)
        task = task_of_stem(place.stem)
        return [(task if run is not None and task in run.tasks else None, place)]
    folder = place / "journal" if (place / "journal").is_dir() else place
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UsageError(
            f"{place} contains no replies: name a file, a run directory, or a folder of TASK.jsonl files"
        )
    return [(task_of_stem(path.stem), path) for path in files]


def recorded_by(place: Path) -> str | None:
    """Returns the engine of the run that recorded the replies; None if they are not in a run directory.

    Raises:
        StoreError: the run's spec.json cannot be read.
    """
    run = _run_of(sources(place)[0][1])
    if run is None:
        return None
    return str(run.engine_options.get("recorded_by", run.engine))


def _run_of(path: Path) -> RunSpec | None:
    """Returns the spec of the run that a journal file belongs to; None for another file."""
    folder = path.parent.parent
    in_run = path.parent.name == "journal" and (folder / "spec.json").is_file()
    return RunDir.open(folder).spec if in_run else None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise DataError(f"cannot read the replies {path}: {reason}") from error


def _same(before: RecordedReply, reply: RecordedReply, key: Key) -> None:
    one, two = before.completion, reply.completion
    if (one.text, one.finish_reason) == (two.text, two.finish_reason):
        return
    first = f"line {before.line}" if before.path == reply.path else f"{before.path}, line {before.line}"
    raise DataError(
        f"{reply.path}, line {reply.line}: sample {key[1]}, repeat {key[2]} has another reply at {first}; remove one "
        'of the lines, or give each its "task" or "repeat"'
    )


def _parse(
    line: bytes, path: Path, number: int, task: str | None, in_run: bool
) -> tuple[Key, RecordedReply] | None:
    """Parses the key and reply of a line; None for a damaged line of a journal, which its run ignores too."""

    def bad(what: str) -> DataError:
        return DataError(f"{path}, line {number}: {what}; correct or remove the line")

    if in_run or _CRC in line[-len(_CRC) - 12 :]:
        record = journal.decode_record(line)
        if record is not None:
            return (task, record.id, record.repeat), RecordedReply(record.completion, path, number)
        if in_run:
            return None  # torn or damaged: the run has repeated the request or lacks a reply
    try:
        value: Any = parse_json(line)
    except ValueError as error:
        raise bad(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise bad("not a JSON object")
    if "crc" in value and "task" not in value and _CRC in line[-len(_CRC) - 12 :]:
        raise bad("its checksum differs, so it was damaged or edited")
    key, completion = _values(value, task, bad)
    return key, RecordedReply(completion, path, number)


def _values(
    value: Mapping[str, Any], task: str | None, bad: Callable[[str], DataError]
) -> tuple[Key, Completion]:
    def take(key: str, default: Any, *kinds: type) -> Any:
        entry = value.get(key, default)
        if type(entry) not in kinds:
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise bad(f'no "{key}"' if key not in value else f'"{key}" must be {wanted}')
        return entry

    named = take("task", None, str, type(None))
    if named is not None:
        full = full_name(named)
        if task not in (None, full):
            raise bad(f"it belongs to task {named}, and the file's name says {task}")
        task = full
    key = (task, str(take("id", None, str, int)), take("repeat", 0, int))
    error = take("error", None, str, type(None))
    finish_reason: Any = "error" if error is not None else take("finish_reason", "stop", str)
    if finish_reason == "error":
        return key, Completion("", "error", error=error or "recorded as an error")
    if finish_reason not in typing.get_args(FinishReason):
        raise bad(f'"finish_reason" must be one of {", ".join(typing.get_args(FinishReason))}')
    return key, Completion(
        text=take("text", None, str),
        finish_reason=finish_reason,
        n_prompt_tokens=take("n_prompt_tokens", 0, int),
        n_completion_tokens=take("n_completion_tokens", 0, int),
        reasoning=take("reasoning", "", str, type(None)) or "",
    )
