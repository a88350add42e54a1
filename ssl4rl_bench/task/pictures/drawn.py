"""The built-in drawings as pictures: what `scenes:STREAM:N:LEAF` stands for, and what a drawing shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.task.mmbench.rows import GROUP_STRIDE

if TYPE_CHECKING:
    from ssl4rl_bench.task.scenes import Question
    from ssl4rl_bench.task.scenes.question import PlacedShape

_SPEC = re.compile(r"scenes(?::([\w-]+)(?::([1-9][0-9]{0,5})(?::(\w+))?)?)?")
_NAME = re.compile(r"([\w-]+)/(\w+)/([0-9]{1,6})")
_DEV = "dev"


@dataclass(frozen=True, slots=True)
class DrawnSet:
    """A set of built-in drawings, as `scenes`, `scenes:STREAM`, `scenes:STREAM:N` or `scenes:STREAM:N:LEAF`."""

    stream: str
    per_leaf: int | None
    """The number of drawings of each leaf; None for the counts of the benchmark."""
    leaf: str | None = None
    """The only leaf; None for all of them."""

    @classmethod
    def parse(cls, spec: str) -> DrawnSet | None:
        """Returns the set that a text stands for, or None if it does not have this form.

        Raises:
            UsageError: there is no such leaf.
        """
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        leaf = match[3]
        if leaf is not None:
            from ssl4rl_bench.task.scenes import LEAVES  # here, because drawing needs Pillow

            names = [known.name for known in LEAVES]
            if leaf not in names:
                raise UsageError(
                    f"scenes has no questions {leaf!r}{did_you_mean(leaf, names)} (there are {', '.join(names)})"
                )
        return cls(match[1] or _DEV, int(match[2]) if match[2] else None, leaf)

    @property
    def is_benchmark(self) -> bool:
        """Whether these are drawings of the stream that the task `scenes` asks about."""
        return self.stream == _DEV

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Yields the name ("STREAM/LEAF/NUMBER") and the PNG of each drawing."""
        from ssl4rl_bench.task import scenes

        if self.per_leaf is not None:
            for question in scenes.questions(self.stream, self.per_leaf, self.leaf):
                yield f"{self.stream}/{question.leaf.name}/{question.number}", scenes.png(question.drawn)
            return
        seen = Counter[str]()
        for row in scenes.rows(self.stream):  # which are drawn once per process
            if row["index"] < GROUP_STRIDE:
                leaf = row["category"]
                yield f"{self.stream}/{leaf}/{seen[leaf]}", row["image"]
                seen[leaf] += 1


def question_of(name: str) -> Question | None:
    """Draws the question whose picture has a name ("STREAM/LEAF/NUMBER"); None if it is not such a name."""
    from ssl4rl_bench.task import scenes

    match = _NAME.fullmatch(name)
    leaf = next((leaf for leaf in scenes.LEAVES if match and leaf.name == match[2]), None)
    return scenes.question(match[1], leaf, int(match[3])) if match and leaf else None


@lru_cache(maxsize=8192)
def shapes_of(name: str, sha256: str) -> tuple[PlacedShape, ...] | None:
    """Returns what a picture of this name and content shows; None if it is not a built-in drawing.

    The drawing of the name is made again, and its bytes are compared, so that a file that merely has such a name
    is not taken for it.
    """
    from ssl4rl_bench.task import scenes

    question = question_of(name)
    if question is None or sha256_hex(scenes.png(question.drawn)) != sha256:
        return None
    return question.drawn.shapes
