"""The shared types of the project. This module does no I/O and imports no other module of the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, Self, TypeVar, runtime_checkable

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "error"]


class Status(StrEnum):
    """How an answer was extracted from a reply, or why none was."""

    TAG = "tag"
    LENIENT = "lenient"
    JUDGE = "judge"
    NONE = "none"
    NO_CONTENT = "no_content"
    """The reply consists of reasoning only."""
    TRUNCATED = "truncated"
    REFUSAL = "refusal"
    ERROR = "error"
    EXTERNAL = "external"
    """Another program scored the reply, without saying whether it found an answer in it."""


UNSCORED = frozenset({Status.NO_CONTENT, Status.ERROR})
"""Statuses of replies without a value. A question with such a reply is left out of every figure."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image in its original encoding. `images.decode` decodes it when an engine sends it."""

    data: bytes = field(repr=False)
    """PNG, JPEG or WebP."""
    sha256: str
    """Hex digest of `data`, which identifies the image everywhere in the project."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image in a message."""

    image: EncodedImage


@dataclass(frozen=True, slots=True)
class VideoPart:
    """A video, represented by frames that were sampled from it, in order of time."""

    frames: tuple[EncodedImage, ...]
    fps: float
    """Sampled frames per second of video."""


Part = TextPart | ImagePart | VideoPart
P = TypeVar("P", TextPart, ImagePart, VideoPart)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat: its role, and its parts in order."""

    role: Role
    content: tuple[Part, ...]


def parts_of(messages: Iterable[Message], kind: type[P]) -> Iterator[P]:
    """Returns an iterator over the message parts of one type, in order."""
    return (part for message in messages for part in message.content if isinstance(part, kind))


@dataclass(frozen=True, slots=True)
class Categories:
    """A sample's categories in a three-level taxonomy (MMBench: level, ability, leaf)."""

    l1: str
    l2: str
    l3: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt to send, with its target."""

    id: str
    """Unique within the task. For MMBench, the index of the row as text."""
    group: str
    """The question that the sample asks; the unit of all statistics."""
    messages: tuple[Message, ...]
    target: str
    """The right answer; a key of `choices` if there are choices."""
    choices: Mapping[str, str]
    """Maps each letter to the text of the option, in order. Empty for an open answer."""
    categories: Categories
    roll: int = 0
    """The index of this circular copy of the question; 0 is the main row."""

    @property
    def images(self) -> tuple[EncodedImage, ...]:
        """All images of the prompt, in order. A video contributes each of its frames."""
        images: list[EncodedImage] = []
        for message in self.messages:
            for part in message.content:
                if isinstance(part, ImagePart):
                    images.append(part.image)
                elif isinstance(part, VideoPart):
                    images += part.frames
        return tuple(images)

    def text(self, image: str = "", video: str = "") -> str:
        """Returns the text parts of the prompt, one per line.

        Args:
            image, video: placeholders for images and videos; by default these are left out.
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
    """Sampling parameters. Temperature 0 means greedy decoding."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """0 means no limit."""
    max_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """A sample to be answered, with the index of the repeat."""

    sample: Sample
    repeat: int = 0
    seed: int = 0
    """The sampling seed, from `identity.seed_of` of the sample, the repeat and the run's seed. Greedy
    decoding ignores it."""
    task: str = ""
    """The name of the sample's task. Ids are unique only within a task: SSL tasks of the same images share
    them."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The result that an engine returned for one request: a reply or an error."""

    text: str
    finish_reason: FinishReason
    n_prompt_tokens: int = 0
    n_completion_tokens: int = 0
    latency_s: float = 0.0
    error: str | None = None
    """Set if and only if `finish_reason` is "error"; then `text` is empty."""
    reasoning: str = ""
    """Reasoning that a server returned separately from the reply's text. No answer is extracted from it."""

    @property
    def has_no_content(self) -> bool:
        """Whether there is reasoning but no text to score, whatever the finish reason."""
        return self.finish_reason != "error" and bool(self.reasoning.strip()) and not self.text.strip()


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a reply. A reply that could not be scored has no value, which is not the same as 0."""

    value: float | None
    answer: str | None
    """The answer extracted from the reply, in the form of the sample's target."""
    status: Status
    parts: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Sub-metrics by name, in [0, 1] (`per_position`, `valid`, ... of an SSL task). Empty without a value."""


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One line of a journal. It omits everything that can be derived from the task."""

    id: str
    repeat: int
    group: str
    key: str
    """Hash of everything that determines the reply (`identity.response_keys`)."""
    text: str
    finish_reason: FinishReason
    n_prompt_tokens: int
    n_completion_tokens: int
    latency_s: float
    error: str | None
    reasoning: str = ""
    """See `Completion.reasoning`. Omitted from the line if empty."""

    @property
    def completion(self) -> Completion:
        """The reply, without what identifies it in the journal."""
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
    """The score of one reply with the sample's group and categories: the input of `aggregate`."""

    id: str
    group: str
    roll: int
    repeat: int
    categories: Categories
    score: Score


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """The properties of a probe: a task with a chance level, reported separately from the abilities."""

    kind: str
    """ "rotation", "jigsaw", ..."""
    difficulty: str
    chance: float
    """Accuracy of a blind guess, in [0, 1)."""
    by_target: bool = True
    """Whether the accuracy is reported for each right answer. False if there are too many of them."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """The origin of data on the Hugging Face hub."""

    asked: str
    """The name that the user or the task file gave: `owner/name[@revision][#configuration/split]`."""
    commit: str
    """The commit that the name resolved to, 40 hex digits."""
    config: str
    split: str


@runtime_checkable
class Task(Protocol):
    """A benchmark or a probe: provides samples and scores replies. All later steps work with any task."""

    @property
    def name(self) -> str:
        """The name of the task, with the `ssl4rl_` prefix."""
        ...

    @property
    def version(self) -> str:
        """The version of the task file; another version asks other questions."""
        ...

    @property
    def prompt(self) -> str:
        """The name of the prompt style that the messages were rendered with."""
        ...

    @property
    def source(self) -> str:
        """The origin of the data, for display: the name of a path, a hub id, or "built in"."""
        ...

    @property
    def samples(self) -> Sequence[Sample]:
        """All samples; the samples of a group stand together."""
        ...

    @property
    def n_groups_skipped(self) -> int:
        """The number of groups left out on request because their rows were bad."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Warnings about the data, one sentence per warning."""
        ...

    @property
    def data_sha256(self) -> str:
        """The hex digest of everything that the samples ask and show."""
        ...

    @property
    def sampling(self) -> Sampling:
        """The sampling that its task file asks for."""
        ...

    @property
    def partial_reasons(self) -> tuple[str, ...]:
        """The reasons why samples are missing, one phrase per reason; empty if the task is complete."""
        ...

    @property
    def image(self) -> str:
        """The images that the samples show: "real", or a blinding (`blinding.BLINDINGS`)."""
        ...

    @property
    def hub(self) -> HubSource | None:
        """The origin of the data on the hub; None for other data."""
        ...

    @property
    def n_groups(self) -> int:
        """The number of groups (questions)."""
        ...

    def counts(self) -> dict[str, dict[str, int]]:
        """Returns the number of groups or samples per category, as {grouping: {category: number}}."""
        ...

    @property
    def probe(self) -> ProbeInfo | None:
        """The properties of a probe; None for a benchmark, whose accuracy is reported by ability."""
        ...

    def content(self, sample: Sample) -> list[Any]:
        """Returns the content of a sample's question as JSON values.

        It does not depend on the prompt style or on what is shown (`image`). Runs are paired by it, so it
        must contain all that distinguishes one question from another.
        """
        ...

    def question(self, sample: Sample) -> tuple[str, str]:
        """Returns a sample's question and hint for display, without options and instructions."""
        ...

    def score(self, sample: Sample, completion: Completion, extractor: str = "default") -> Score:
        """Scores a completion. A pure function; a completion with an error gets no value."""
        ...

    def showing(self, samples: Sequence[Sample], image: str) -> Self:
        """Returns a copy of the task with other images in its samples (`blinding.blind_task`)."""
        ...

    def drawing(self, sampling: Sampling) -> Self:
        """Returns a copy of the task with other sampling."""
        ...

    def replies(self, sample: Sample) -> tuple[Iterable[str], Iterable[str]]:
        """Returns replies that must score 1 and replies that must score 0 (for `validate`)."""
        ...

    def defects(self) -> Iterator[str]:
        """Yields other defects of the samples, one sentence per defect (for `validate`)."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Runs samples on a model."""

    @property
    def name(self) -> str:
        """The name under which users choose the engine."""
        ...

    @property
    def version(self) -> str:
        """The version of the software that generates, e.g. "0.31.0"; part of the identity of a reply."""
        ...

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        """Answers requests and yields each with its completion as soon as it is finished, in any order.

        Requests are pulled lazily, a bounded number ahead. If the stream of requests ends early (a drain),
        requests in flight are still finished and yielded. A failed request is a completion with an error,
        never an exception; an exception (`errors.EngineError`) means that every further request would fail.
        If the iterator continues after its end (`workers.worker`), an engine may go on pulling from it.
        """
        ...

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        """Yields the pieces of one reply as they are generated (for `ask`)."""
        ...

    def close(self) -> None:
        """Frees the model. Safe to call twice."""
        ...
