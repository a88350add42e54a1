"""`ssl4rl-bench ask`: sends one question or a file of chats to a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ssl4rl_bench.cli.options import BaseUrl, EngineSettings, OptionValues

if TYPE_CHECKING:
    from ssl4rl_bench.core.types import Completion
    from ssl4rl_bench.engines.chat import Chat
    from ssl4rl_bench.engines.chat_input import BatchChat


def ask(
    question: Annotated[str | None, Argument(help="The question.", show_default=False)] = None,
    model: Annotated[
        str | None,
        Option("--model", "-m", help="Folder, bundled checkpoint, hub id, or the name at a server."),
    ] = None,
    image: Annotated[
        OptionValues,
        Option("--image", "-i", help="File, https URL or base64. Repeat for several.", metavar="IMAGE"),
    ] = None,
    video: Annotated[Path | None, Option(help="Local video file.", show_default=False)] = None,
    video_frames: Annotated[int, Option(help="Maximum number of frames to take from a video.")] = 16,
    video_fps: Annotated[float, Option(help="Frames to take per second of video.")] = 2.0,
    system: Annotated[str | None, Option(help="System message.", show_default=False)] = None,
    batch: Annotated[Path | None, Option(help="JSONL file of chats to answer.", show_default=False)] = None,
    image_root: Annotated[
        Path | None, Option(help="Directory that must contain the paths in --batch.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, Option(help="File for the answers to --batch; it must not exist yet.")
    ] = None,
    min_pixels: Annotated[int | None, Option(help="Enlarge images to this many pixels.")] = None,
    max_pixels: Annotated[int | None, Option(help="Shrink images to this many pixels.")] = None,
    engine: Annotated[str, Option(help="auto, vllm, hf, openai, replay or mock.")] = "auto",
    base_url: BaseUrl = None,
    max_tokens: Annotated[int, Option(help="Maximum number of tokens in a reply.", min=1)] = 512,
    temperature: Annotated[float, Option(help="0 is greedy.", min=0.0)] = 0.0,
    settings: EngineSettings = None,
    as_json: Annotated[bool, Option("--json", help="Print the reply as one line of JSON.")] = False,
) -> None:
    """Ask a checkpoint about images, a video, or text.

    Example:
      ssl4rl-bench ask --model tiny-base --image scene.png "How many circles are there?"

    Exit codes: 0 answered; 1 a chat failed; 2 bad input; 4 the engine failed; 130 interrupted.
    """
    from ssl4rl_bench.core.errors import BenchError, UsageError

    if (question is None) == (batch is None):
        raise UsageError("give either a question or --batch FILE")
    if batch and (image or video or system):
        raise UsageError("--image, --video and --system apply to a question; a batch file contains its own")
    if not batch and (out or image_root):
        raise UsageError("--out and --image-root apply only to --batch")
    if base_url and engine not in ("auto", "openai"):
        raise UsageError(f"--base-url applies to --engine openai, not {engine}")
    if engine in ("auto", "vllm", "hf") and not model and not base_url:
        raise UsageError("--model is missing: name a folder, a bundled checkpoint (tiny-base) or a hub id")
    from ssl4rl_bench.core.neutral import neutral
    from ssl4rl_bench.core.types import Sampling
    from ssl4rl_bench.engines.base import EngineOptions
    from ssl4rl_bench.engines.chat import Chat
    from ssl4rl_bench.engines.chat_input import build_messages, load_video, read_batch

    limits = EngineOptions(min_pixels=min_pixels, max_pixels=max_pixels, base_urls=tuple(base_url or ()))
    options = EngineOptions.from_pairs(settings or [], limits)
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)

    if batch:
        chats = partial(read_batch, batch, image_root, video_frames=video_frames, video_fps=video_fps)
        if not sum(1 for _ in chats()):
            raise UsageError(f"{batch} contains no chats")
        with _writer(out) as write, Chat(model, engine=engine, options=options, sampling=sampling) as chat:
            _answer_all(chat, chats(), write)
        return
    frames = load_video(video, video_frames, video_fps) if video else None
    messages = build_messages(question or "", image or [], video=frames, system=system)
    with Chat(model, engine=engine, options=options, sampling=sampling) as chat:
        if as_json:
            (completion,) = chat.batch([messages])
            _line(sys.stdout.write, completion, model=model, engine=chat.engine.name)
            _raise_if_failed([completion])
            return
        written = ""
        try:
            for piece in chat.stream(messages):
                written = neutral(piece)
                sys.stdout.write(written)
                sys.stdout.flush()
        except BenchError:
            sys.stdout.write("\n" if written else "")  # so that the error is on a separate line
            raise
        sys.stdout.write("\n")


def _answer_all(chat: Chat, chats: Iterable[BatchChat], write: Callable[[str], object]) -> None:
    lines: list[tuple[int, str | None]] = []

    def messages() -> Iterator[Any]:
        for item in chats:
            lines.append((item.line, item.id))
            yield item.messages

    done: list[Completion] = []
    for completion in chat.batch(messages()):
        line, name = lines[len(done)]
        _line(write, completion, line=line, **({} if name is None else {"id": name}))
        done.append(completion)
    _raise_if_failed(done)


def _line(write: Callable[[str], object], completion: Completion, **about: Any) -> None:
    """Writes one line of ASCII JSON, which is safe on a terminal."""
    fields = dataclasses.asdict(completion)
    if not completion.reasoning:
        del fields["reasoning"]
    write(json.dumps(about | fields) + "\n")


def _raise_if_failed(completions: list[Completion]) -> None:
    from ssl4rl_bench.core.errors import TooManyErrors
    from ssl4rl_bench.engines.base import no_reply

    failed = [
        no_reply(c.reasoning, c.finish_reason == "length") if c.has_no_content else c.error
        for c in completions
        if c.has_no_content or c.error is not None
    ]
    if failed:
        raise TooManyErrors(f"{len(failed)} of {len(completions)} chats failed; the first: {failed[0]}")


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[[str], object]]:
    """Yields a function that writes a line immediately. Never overwrites a file or leaves an empty one."""
    if out is None:
        yield sys.stdout.write
        return
    from ssl4rl_bench.core.atomic import reporting
    from ssl4rl_bench.core.errors import UsageError

    if out.exists():
        raise UsageError(f"{out} exists; name another file or remove it")
    with reporting(out):
        file = out.open("x", encoding="utf-8", buffering=1)

    def write(line: str) -> None:
        with reporting(out):
            file.write(line)

    try:
        yield write
    finally:
        file.close()
        if not out.stat().st_size:
            out.unlink()
