"""An engine that reads replies from a file, made by this project or by another.

One JSON object a line: `id` and `text`, and where they are known `repeat` (0), `reasoning`, `finish_reason` ("stop"),
`n_prompt_tokens`, `n_completion_tokens` and `error`; other keys are ignored, so a run's journal is such a
file. Of several lines for one request the last one counts.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.errors import DataError, EngineError, UsageError
from ssl4rl_bench.hashing import sha256_hex
from ssl4rl_bench.types import Completion, FinishReason, Message, Request, Sampling

if TYPE_CHECKING:
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.weights import Model

Place = tuple[str, int]


class ReplayEngine:
    """Answers each request with its recorded reply; a request without one fails."""

    name = "replay"

    def __init__(self, model: Model | None, options: EngineOptions) -> None:
        """Reads the whole file. The model is ignored.

        Raises:
            UsageError: no file of replies is given.
            DataError: it cannot be read, or a line of it.
        """
        if options.replies is None:
            raise UsageError("the replay engine needs a file of replies: set replies=FILE")
        try:
            data = options.replies.read_bytes()
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise DataError(f"cannot read the replies {options.replies}: {reason}") from error
        self.version = f"1 {sha256_hex(data)[:16]}"
        """Names the file's content: another file is another model."""
        self._replies = dict(
            _parse(line, options.replies, number)
            for number, line in enumerate(data.split(b"\n"), start=1)
            if line.strip()
        )

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """As `types.Engine.run`, in order."""
        for request in requests:
            id, repeat = request.sample.id, request.repeat
            missing = f"no recorded reply for sample {id}, repeat {repeat}"
            yield request, self._replies.get((id, repeat)) or Completion("", "error", error=missing)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Raises EngineError: a recorded reply belongs to a sample, not to a prompt."""
        raise EngineError("the replay engine cannot answer a question of its own; use another engine")

    def close(self) -> None:
        """Nothing to free."""


def _parse(line: bytes, path: Path, number: int) -> tuple[Place, Completion]:
    def bad(what: str) -> DataError:
        return DataError(f"{path}, line {number}: {what}; correct or remove the line")

    try:
        value: Any = json.loads(line)
    except ValueError:
        raise bad("not JSON") from None
    if not isinstance(value, dict):
        raise bad("not a JSON object")

    def take(key: str, default: Any, *kinds: type) -> Any:
        found = value.get(key, default)
        if type(found) not in kinds:
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise bad(f'no "{key}"' if key not in value else f'"{key}" must be {wanted}')
        return found

    place = (str(take("id", None, str, int)), take("repeat", 0, int))
    error = take("error", None, str, type(None))
    finish_reason: Any = "error" if error is not None else take("finish_reason", "stop", str)
    if finish_reason == "error":
        return place, Completion("", "error", error=error or "recorded as an error")
    if finish_reason not in typing.get_args(FinishReason):
        raise bad(f'"finish_reason" must be one of {", ".join(typing.get_args(FinishReason))}')
    return place, Completion(
        text=take("text", None, str),
        finish_reason=finish_reason,
        n_prompt_tokens=take("n_prompt_tokens", 0, int),
        n_completion_tokens=take("n_completion_tokens", 0, int),
        reasoning=take("reasoning", "", str, type(None)) or "",
    )
