"""Finds the requests that a journal answers without parsing the replies, which a run that resumes does not need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ssl4rl_bench.run.journal import BadLine, Place, decode_record, has_checksum, numbered_lines

_STRING = rb'"(?:[^"\\\x00-\x1f\x80-\xff]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_WRITTEN = re.compile(
    rb'\{"id":"([^"\\\x00-\x1f\x80-\xff]*+)","repeat":(0|[1-9][0-9]{0,8}),"group":%(string)b,"key":"([0-9a-f]*+)"'
    rb',"text":%(string)b,"finish_reason":%(string)b,"n_prompt_tokens":%(number)b,"n_completion_tokens":%(number)b'
    rb',"latency_s":%(number)b,"error":(null|%(string)b)(?:,"reasoning":%(string)b)?+,"crc":"[0-9a-f]{8}"\}'
    % {b"string": _STRING, b"number": _NUMBER}
)
"""Matches a line as `journal.encode_record` writes it, with the id, the repeat, the key and the error in groups.

Other lines, such as those with special characters in the id, are decoded as JSON.
"""


@dataclass(slots=True)
class Answered:
    """What a journal contains for the requests of a run, like `journal.Answers` without the records."""

    places: set[Place] = field(default_factory=set)
    """The requests that have a reply."""
    n_stale: int = 0
    corrupt: list[int] = field(default_factory=list)
    torn: bool = False


def find_answered(path: Path, keys: Mapping[Place, str]) -> Answered:
    """Reads a journal as `journal.answers` does, in a fifth of the time and memory.

    Raises:
        StoreError: the file cannot be read.
    """
    result = Answered()
    for number, line in numbered_lines(path):
        entry = _place_key_error(number, line)
        if isinstance(entry, BadLine):
            if entry.torn:
                result.torn = True
            else:
                result.corrupt.append(number)
            continue
        place, key, failed = entry
        if keys.get(place) != key:
            result.n_stale += 1
        elif not failed:
            result.places.add(place)
    return result


def _place_key_error(number: int, line: bytes) -> tuple[Place, str, bool] | BadLine:
    """Returns the place and the key of a line, and whether the request failed."""
    if not line.endswith(b"\n"):
        return BadLine(number, torn=True)
    if has_checksum(line[:-1]) and (match := _WRITTEN.fullmatch(line, 0, len(line) - 1)):
        id, repeat, key, error = match.groups()
        return (id.decode("ascii"), int(repeat)), key.decode("ascii"), error != b"null"
    record = decode_record(line[:-1])
    if record is None:
        return BadLine(number, torn=False)
    return (record.id, record.repeat), record.key, record.error is not None
