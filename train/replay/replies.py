"""The base's own greedy replies to the replay questions, kept in the run's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import response_keys, sha256_json
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.core.types import Completion, Engine, Request, Sample, Sampling
from ssl4rl_bench.engines.checkpoints.weights import Model

REPLIES = "replay.jsonl"
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the base."""

    text: str
    ended: bool
    """Whether the base ended the reply; false if the maximum length cut it off."""


@dataclass(frozen=True)
class ReplyFile:
    """The replies in a run's folder. A reply counts only for the same base, question and settings."""

    path: Path
    base: Model
    max_tokens: int
    pixels: tuple[int | None, int | None]
    """The recipe's limits of an image's pixels."""

    @property
    def sampling(self) -> Sampling:
        """Greedy decoding up to the maximum length."""
        return Sampling(temperature=0.0, max_tokens=self.max_tokens)

    def keys(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Returns the key of each sample's reply by the sample's id."""
        key = response_keys(self.sampling, self.pixels, self.base.fingerprint, "hf", "")
        return {sample.id: key(sample.messages, None) for sample in samples}

    def read(self, samples: Sequence[Sample]) -> dict[str, Reply]:
        """Returns the replies to the samples that the file holds, by the sample's id."""
        by_key = {}
        with suppress(FileNotFoundError):
            for line in self.path.read_bytes().splitlines():
                with suppress(ValueError, TypeError, KeyError):  # a line of an interrupted run
                    value = parse_json(line)
                    by_key[value["key"]] = Reply(str(value["reply"]), bool(value["ended"]))
        keys = self.keys(samples)
        return {id: by_key[key] for id, key in keys.items() if key in by_key}

    def complete(
        self, samples: Sequence[Sample], engine: Callable[[], Engine], on_progress: Callable[[int, int], None]
    ) -> dict[str, Reply]:
        """Makes the replies that are missing, appends them to the file, and returns all.

        Args:
            engine: returns an engine that runs the base; called only if replies are missing.
            on_progress: called with the number of replies made and of those that were missing.

        Raises:
            DataError: the base cannot reply to a question.
        """
        done = self.read(samples)
        missing = [sample for sample in samples if sample.id not in done]
        if not missing:
            return done
        self._rewrite(samples, done)
        keys = self.keys(missing)
        running = engine()
        try:
            replies = running.run(map(Request, missing), self.sampling)
            for n, (request, completion) in enumerate(replies, start=1):
                done[request.sample.id] = self._append(request.sample, keys[request.sample.id], completion)
                on_progress(n, len(missing))
        finally:
            running.close()
        return done

    def wait(self, samples: Sequence[Sample]) -> dict[str, Reply]:
        """Returns all replies once the main process has made them.

        The file is polled, because a barrier of torch would give up after some minutes.
        """
        while len(done := self.read(samples)) < len(samples):
            time.sleep(_POLL_S)
        return done

    def _rewrite(self, samples: Sequence[Sample], done: Mapping[str, Reply]) -> None:
        """Writes the file anew with the replies that count, after a line that names the base."""
        keys = self.keys(samples)
        base = {"name": self.base.name, "fingerprint": self.base.fingerprint}
        header = {"base": base, "max_reply_tokens": self.max_tokens, "pixels": self.pixels}
        records = [
            _line(sample.id, keys[sample.id], done[sample.id]) for sample in samples if sample.id in done
        ]
        atomic.write_text(self.path, "".join(json.dumps(line) + "\n" for line in [header, *records]))

    def _append(self, sample: Sample, key: str, completion: Completion) -> Reply:
        if completion.error is not None:
            raise DataError(
                f"the base cannot reply to the replay question {sample.id}: {completion.error}; leave it out, or "
                "lower model.max_pixels"
            )
        reply = Reply(completion.text, completion.finish_reason == "stop")
        with atomic.reporting(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_line(sample.id, key, reply)) + "\n")
        return reply


def digest(samples: Sequence[Sample], replies: Mapping[str, Reply]) -> str:
    """Returns a SHA-256 of the samples' replies, in order."""
    return sha256_json([[s.id, replies[s.id].text, replies[s.id].ended] for s in samples])


def _line(id: str, key: str, reply: Reply) -> dict[str, Any]:
    return {"id": id, "reply": reply.text, "ended": reply.ended, "key": key}
