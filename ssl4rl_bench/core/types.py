"""The project's words as types. A leaf: no I/O, and no import from the rest of the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, Self, TypeVar, runtime_checkable

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "error"]


class Status(StrEnum):
    """How an answer was read from a reply."""

    TAG = "tag"
    LENIENT = "lenient"
    JUDGE = "judge"
    NONE = "none"
    NO_CONTENT = "no_content"
    """Reasoning, and no reply after it."""
    TRUNCATED = "truncated"
    REFUSAL = "refusal"
    ERROR = "error"


UNSCORED = frozenset({Status.NO_CONTENT, Status.ERROR})
"""Statuses of what has no value: a question with one of them is left out of every figure."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as the bytes it came in. It is decoded by `images.decode`, when an engine sends it."""

    data: bytes = field(repr=False)
    """PNG, JPEG or WebP."""
    sha256: str
    """Hex digest of `data`: the image's identity everywhere in the project."""


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    image: EncodedImage


@dataclass(frozen=True, slots=True)
class VideoPart:
    """A video as frames that were sampled from it, oldest first."""

    frames: tuple[EncodedImage, ...]
    fps: float
    """Sampled frames per second of video."""


Part = TextPart | ImagePart | VideoPart
P = TypeVar("P", TextPart, ImagePart, VideoPart)


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: tuple[Part, ...]


def parts_of(messages: Iterable[Message], kind: type[P]) -> Iterator[P]:
    """The parts of one kind, in order."""
    return (part for message in messages for part in message.content if isinstance(part, kind))


@dataclass(frozen=True, slots=True)
class Categories:
    """Where a sample stands in a three-level taxonomy (MMBench: level, ability, leaf)."""

    l1: str
    l2: str
    l3: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt to send."""

    id: str
    """Unique in its task. MMBench: the row's index as text."""
    group: str
    """The question that it asks; the unit of statistics."""
    messages: tuple[Message, ...]
    target: str
    """The right answer: a key of `choices` where there are choices."""
    choices: Mapping[str, str]
    """Letter to option text, in order. Empty for an open answer."""
    categories: Categories
    roll: int = 0
    """Which circular copy of the question this is; 0 is the main row."""

    @property
    def images(self) -> tuple[EncodedImage, ...]:
        """All images of the prompt, in order; frames of a video one by one."""
        found: list[EncodedImage] = []
        for message in self.messages:
            for part in message.content:
                if isinstance(part, ImagePart):
                    found.append(part.image)
                elif isinstance(part, VideoPart):
                    found += part.frames
        return tuple(found)

    def text(self, image: str = "", video: str = "") -> str:
        """The texts of the prompt, a line each.

        Args:
            image, video: what stands in the place of a picture; nothing by default.
        """
        lines = []
        for message in self.messages:
            for part in message.content:
                if isinstance(part, TextPart):
                    lines.append(part.text)
                elif mark := image if isinstance(part, ImagePart) else video:
                    lines.append(mark)
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """0: no limit."""
    max_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """A sample to be answered for the `repeat`-th time."""

    sample: Sample
    repeat: int = 0
    seed: int = 0
    """Sampling seed, from `identity.seed_of` of the sample, the repeat and the run's seed. Ignored when greedy."""
    task: str = ""
    """Name of the sample's task. Ids are unique inside a task only: SSL tasks of the same images share them."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine returned for one request: a reply, or an error."""

    text: str
    finish_reason: FinishReason
    n_prompt_tokens: int = 0
    n_completion_tokens: int = 0
    latency_s: float = 0.0
    error: str | None = None
    """Set if and only if `finish_reason` is "error"; then `text` is empty."""
    reasoning: str = ""
    """What a server gave apart from the reply's text. No answer is read from it."""

    @property
    def has_no_content(self) -> bool:
        """Whether there is reasoning and no text, whatever ended it: nothing to score."""
        return self.finish_reason != "error" and bool(self.reasoning.strip()) and not self.text.strip()


@dataclass(frozen=True, slots=True)
class Score:
    """What a reply is worth. A reply that could not be scored has no value; it is not worth 0."""

    value: float | None
    answer: str | None
    """What was read from the reply, in the form of the sample's target."""
    status: Status
    parts: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Sub-metrics by name, each in [0, 1] (an SSL task's `per_position`, `valid`, ...); empty without a value."""


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One line of a journal. What can be derived from the task is not in it."""

    id: str
    repeat: int
    group: str
    key: str
    """Content hash of all that determines the reply (`identity.response_key`)."""
    text: str
    finish_reason: FinishReason
    n_prompt_tokens: int
    n_completion_tokens: int
    latency_s: float
    error: str | None
    reasoning: str = ""
    """As `Completion.reasoning`; left out of the line where there is none."""

    @property
    def completion(self) -> Completion:
        return Completion(
            text=self.text,
            finish_reason=self.finish_reason,
            n_prompt_tokens=self.n_prompt_tokens,
            n_completion_tokens=self.n_completion_tokens,
            latency_s=self.latency_s,
            error=self.error,
            reasoning=self.reasoning,
        )


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """A sample's place in the taxonomy with the score of one of its replies: what `aggregate` aggregates."""

    id: str
    group: str
    roll: int
    repeat: int
    categories: Categories
    score: Score


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """What makes a task a probe: an exercise with a chance level, told beside abilities and not among them."""

    kind: str
    """ "rotation", "jigsaw", ..."""
    difficulty: str
    chance: float
    """Accuracy of a blind guess, in [0, 1)."""
    by_target: bool = True
    """Whether accuracy is told for each right answer; not where there are too many."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where data came from on the Hugging Face hub."""

    asked: str
    """As the user or the task file named it: `owner/name`, with `@revision` or `#configuration/split` if given."""
    commit: str
    """The 40-hex commit that answered."""
    config: str
    split: str


@runtime_checkable
class Task(Protocol):
    """A benchmark or a probe: yields samples, scores a reply. Everything after it works on any task."""

    @property
    def name(self) -> str:
        """With the `ssl4rl_` prefix."""
        ...

    @property
    def version(self) -> str: ...

    @property
    def prompt(self) -> str:
        """Name of the prompt style that the messages were rendered with."""
        ...

    @property
    def source(self) -> str:
        """Where the data came from, for people: a path's name, a hub id, or "built in"."""
        ...

    @property
    def samples(self) -> Sequence[Sample]: ...

    @property
    def n_groups_skipped(self) -> int:
        """Groups left out on request because their rows were bad."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What a user should know about the data, one sentence each."""
        ...

    @property
    def data_sha256(self) -> str: ...

    @property
    def sampling(self) -> Sampling:
        """What its task file asks for."""
        ...

    @property
    def partial_reasons(self) -> tuple[str, ...]:
        """Why these are not all of its samples, one phrase each."""
        ...

    @property
    def image(self) -> str:
        """What its samples show: "real", or a blinding (`blinding.BLINDINGS`)."""
        ...

    @property
    def hub(self) -> HubSource | None:
        """Where its data came from on the hub; None for other data."""
        ...

    @property
    def n_groups(self) -> int: ...

    def counts(self) -> dict[str, dict[str, int]]:
        """How many groups or samples there are by category: what is counted by, to category, to number."""
        ...

    @property
    def probe(self) -> ProbeInfo | None:
        """What a probe is told by; None for a benchmark, whose accuracy is told by ability."""
        ...

    def content(self, sample: Sample) -> list[Any]:
        """What a sample asks, as JSON values: the same whatever the prompt style, and whatever is shown (`image`).

        Runs are paired by it, so it must hold all that makes a sample another question.
        """
        ...

    def question(self, sample: Sample) -> tuple[str, str]:
        """A sample for a reader: its question and its hint, without options and instructions."""
        ...

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Pure. An errored completion gets no value."""
        ...

    def showing(self, samples: Sequence[Sample], image: str) -> Self:
        """The same task with other pictures in its samples (`blinding.apply`)."""
        ...

    def drawing(self, sampling: Sampling) -> Self:
        """The same task with other sampling."""
        ...

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Replies that must score 1, and replies that must score 0 (`validate`)."""
        ...

    def defects(self) -> Iterator[str]:
        """What else is wrong with the samples, one sentence each (`validate`)."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Runs samples on a model."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Of the software that generates, e.g. "0.31.0"; part of a response's identity."""
        ...

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Answers requests and yields each with its completion as soon as that is there, in any order.

        Requests are pulled lazily, a bounded number ahead; when the stream of requests ends early (a drain),
        what is in flight is still finished and yielded. A failed request is a completion with an error, never
        an exception; only what makes every further request pointless raises (`errors.EngineError`).
        """
        ...

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """One reply, in pieces as they are generated (`ask`)."""
        ...

    def close(self) -> None:
        """Frees the model. Safe to call twice."""
        ...


@runtime_checkable
class ChecksTasks(Protocol):
    """An engine that can see before the first request whether it can answer these tasks."""

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Raises UsageError or DataError if it cannot."""
        ...


@runtime_checkable
class Drains(Protocol):
    """An engine that can be told to begin nothing more."""

    def drain(self) -> int:
        """Begins no further request; returns how many are in flight."""
        ...


@runtime_checkable
class Swaps(Protocol):
    """An engine that may take other weights without a new start."""

    def swap(self, model: Any) -> bool:
        """Takes the weights of another `Model`; False if it cannot, and is then to be closed."""
        ...


@runtime_checkable
class Serves(Protocol):
    """An engine of a server, which says itself what model it has."""

    @property
    def served_model(self) -> str:
        """The model's name at the server."""
        ...
