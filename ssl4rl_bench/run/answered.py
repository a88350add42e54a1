"""Finds the requests that a journal answers without parsing the replies, which a run that resumes does not need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from ssl4rl_bench.run.journal import Place, decode_record, numbered_lines

_STRING = rb'"(?:[^"\\\x00-\x1f\x80-\xff]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_WRITTEN = re.compile(
    rb'\{"id":"([^"\\\x00-\x1f\x80-\xff]*+)","repeat":(0|[1-9][0-9]{0,8}),"group":%(string)b,"key":"([0-9a-f]*+)"'
    rb',"text":%(string)b,"finish_reason":%(string)b,"n_prompt_tokens":%(number)b,"n_completion_tokens":%(number)b'
    rb',"latency_s":%(number)b,"error":(null|%(string)b)(?:,"reasoning":%(string)b)?+,"crc":"([0-9a-f]{8})"\}\n'
    % {b"string": _STRING, b"number": _NUMBER}
)
"""Matches a line as `journal.encode_record` writes it, with the id, the repeat, the key, the error and the checksum
in groups.

Other lines, such as those with special characters in the id, are decoded as JSON.
"""
_BODY = -len(',"crc":"00000000"}\n')


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
    places, wanted, match_of, checksum = result.places, keys.get, _WRITTEN.fullmatch, crc32
    for number, line in numbered_lines(path):
        match = match_of(line)
        if match is not None:
            text, repeat, key, error, crc = match.groups()
            place = (text.decode("ascii"), int(repeat))
            # The checksum is that of the line without it, which ends in a brace. A wrong one is reported below.
            if checksum(b"}", checksum(line[:_BODY])) == int(crc, 16):
                if wanted(place) != key.decode("ascii"):
                    result.n_stale += 1
                elif error == b"null":
                    places.add(place)
                continue
        _decode(line, number, keys, result)
    return result


def _decode(line: bytes, number: int, keys: Mapping[Place, str], result: Answered) -> None:
    """Adds a line that is not as `journal.encode_record` writes it, or is damaged."""
    if not line.endswith(b"\n"):
        result.torn = True
        return
    record = decode_record(line[:-1])
    if record is None:
        result.corrupt.append(number)
    elif keys.get(place := (record.id, record.repeat)) != record.key:
        result.n_stale += 1
    elif record.error is None:
        result.places.add(place)
