"""The journal of likelihoods: for each sample of a probe, how likely the model finds each candidate answer.

It is a file of its own (likelihoods/TASK.jsonl) beside the journal of replies, with the same guarantees
(`run.journal`): a line per sample with a checksum, and at most a torn tail after a crash. Replies and their scores
never depend on it, and a run without it is complete.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.run.journal import CRC_SIZE, crc_field, has_checksum, numbered_lines
from ssl4rl_bench.run.rundir import RunDir

_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class LikelihoodRecord:
    """The log-likelihoods of the candidate answers to a sample, or the error that prevented them."""

    id: str
    """The sample's id."""
    key: str
    """The response key of the sample's first reply, so that other weights, prompts or images do not match."""
    texts: str
    """The digest of the scored texts (`digest_of`)."""
    form: str
    """The form in which the answers were scored. Model text; to be neutralised before it is shown."""
    answers: tuple[str, ...]
    """The candidate answers."""
    values: tuple[tuple[float, ...], ...]
    """The log-likelihoods in nats, of each beginning of a reply and each candidate; empty after an error."""
    error: str | None = None


def likelihoods_path(rundir: RunDir, task: str) -> Path:
    """Returns the path of the likelihoods of the answers to a task."""
    return rundir.path / "likelihoods" / rundir.journal_path(task).name


def digest_of(texts: Iterable[str]) -> str:
    """Returns the digest of the texts whose likelihoods are asked, in their order."""
    return sha256_json(list(texts))[:24]


def encode_likelihoods(record: LikelihoodRecord) -> bytes:
    """Returns the line of a record, including the line feed.

    Raises:
        ValueError: for a value that is not finite.
    """
    body = _ENCODE(asdict(record)).encode("ascii")
    return body[:-1] + crc_field(body) + b"\n"


def decode_likelihoods(line: bytes) -> LikelihoodRecord | None:
    """Returns the record of a line without its line feed; None if any bit of it is wrong, or it has another form."""
    if not has_checksum(line):
        return None
    try:
        value = json.loads(line[:-CRC_SIZE] + b"}")
        answers, rows = tuple(value.pop("answers")), tuple(tuple(row) for row in value.pop("values"))
        record = LikelihoodRecord(**value, answers=answers, values=rows)
    except (TypeError, ValueError, KeyError, RecursionError, AttributeError):
        return None
    texts = (record.id, record.key, record.texts, record.form, *answers)
    numbers = [number for row in rows for number in row]
    is_sound = (
        set(map(type, texts)) == {str}
        and (record.error is None) == bool(rows)
        and all(len(row) == len(answers) for row in rows)
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    )
    return record if is_sound else None


def read_likelihoods(path: Path, keys: Mapping[str, str]) -> dict[str, LikelihoodRecord]:
    """Reads the latest record of each sample. Damaged lines and records with another key are left out.

    Args:
        path: the file; a missing one counts as empty.
        keys: the response key of each sample's first reply.

    Raises:
        StoreError: the file cannot be read.
    """
    records = {}
    for _, line in numbered_lines(path):
        record = decode_likelihoods(line[:-1]) if line.endswith(b"\n") else None
        if record is not None and keys.get(record.id) == record.key:
            records[record.id] = record
    return records


def merge_likelihoods(paths: Iterable[Path], keys: Mapping[str, str], path: Path) -> None:
    """Joins the likelihoods of the shards of a run in a new file. Without any, there is no file.

    Raises:
        StoreError: a file cannot be read or written.
    """
    lines = [
        encode_likelihoods(record) for source in paths for record in read_likelihoods(source, keys).values()
    ]
    if lines:
        with reporting(path):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(lines))
