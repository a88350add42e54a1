"""Building messages from what users name, batch files, the three-line API and the `ask` command."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssl4rl_bench.cli.ask import ask
from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import BenchError, DataError, EngineError, UsageError
from ssl4rl_bench.core.neutral import neutral
from ssl4rl_bench.core.types import (
    Completion,
    EncodedImage,
    ImagePart,
    Message,
    Request,
    Sampling,
    TextPart,
    VideoPart,
)
from ssl4rl_bench.engines import chat as chat_module
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.chat import Chat
from ssl4rl_bench.engines.chat_input import BatchChat, build_messages, load_image, parse_messages, read_batch
from ssl4rl_bench.engines.checkpoints.weights import Model


def png(colour: str = "red") -> EncodedImage:
    return images.from_pil(Image.new("RGB", (28, 28), colour))


def base64_of(image: EncodedImage) -> str:
    return base64.b64encode(image.data).decode()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A directory with red.png and sub/blue.png, and secret.png beside it."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    (root / "red.png").write_bytes(png("red").data)
    (root / "sub" / "blue.png").write_bytes(png("blue").data)
    (tmp_path / "secret.png").write_bytes(png("black").data)
    return root


class EchoEngine:
    """Replies with what it was asked, last request first; "fail" fails."""

    name = "echo"
    version = "1"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.closed = 0

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        self.requests += requests
        for request in reversed(self.requests):
            text = describe(request.sample.messages)
            failed = text.endswith("fail")
            error = "it broke" if failed else None
            yield request, Completion("" if failed else text, "error" if failed else "stop", error=error)

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        yield from (f"{describe(messages)} ", f"(at most {sampling.max_tokens} tokens)")

    def close(self) -> None:
        self.closed += 1


def describe(messages: Sequence[Message]) -> str:
    """Such as "system: be brief | user: <image 1a2b> how many?"."""

    def part(p: TextPart | ImagePart | VideoPart) -> str:
        if isinstance(p, TextPart):
            return p.text
        return f"<image {p.image.sha256[:4]}>" if isinstance(p, ImagePart) else f"<{len(p.frames)} frames>"

    return " | ".join(f"{m.role}: {' '.join(map(part, m.content))}" for m in messages)


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> EchoEngine:
    engine = EchoEngine()
    made: list[tuple[str, Model | None, EngineOptions]] = []

    def create(name: str, model: Model | None, options: EngineOptions) -> EchoEngine:
        made.append((name, model, options))
        return engine

    monkeypatch.setattr(chat_module, "create", create)
    engine.made = made  # type: ignore[attr-defined]  # for the tests that look at how it was made
    return engine


def short(colour: str) -> str:
    return f"<image {png(colour).sha256[:4]}>"


# --- what names an image


def test_an_image_may_be_named_in_every_way(pictures: Path) -> None:
    path, red = pictures / "red.png", png("red")
    text = base64_of(red)
    ways: list[Any] = [
        str(path),
        path,
        path.as_uri(),
        f"file://localhost{path}",
        f"data:image/png;base64,{text}",
        f"data:image;base64,{text}",
        text,
        red.data,
        red,
    ]
    assert {load_image(way).sha256 for way in ways} == {red.sha256}
    assert images.decode(load_image(Image.new("RGB", (28, 28), "red"))).getpixel((0, 0)) == (255, 0, 0)


def test_a_url_is_fetched_because_the_user_named_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return png("blue").data

    monkeypatch.setattr("ssl4rl_bench.engines.fetch.fetch", fetch)
    assert load_image("https://example.com/a.png").sha256 == png("blue").sha256
    assert fetched == ["https://example.com/a.png"]


def test_a_path_with_a_percent_sign_or_space_comes_through_a_file_url(tmp_path: Path) -> None:
    path = tmp_path / "50% of it.png"
    path.write_bytes(png().data)
    assert load_image(path.as_uri()) == load_image(path) == png()


@pytest.mark.parametrize(
    "source",
    [
        "none.png",
        "",
        "\0",
        "~nobody-of-this-name/a.png",
        "x" * 10_000,
        "ftp://h/a.png",
        "file://other-host/a.png",
        "data:,text",
        "data:image/png;base64,!!!",
        "iVBORw0KGgo" + "A" * 50,
        b"text",
        ".",
    ],
)
def test_what_is_no_image_is_one_short_sentence(source: str | bytes) -> None:
    with pytest.raises(BenchError) as error:
        load_image(source)
    assert 0 < len(str(error.value)) < 250


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(DataError, match="larger than 20 MiB"):
        load_image(path)


# --- messages


def test_messages_hold_system_images_video_question_in_this_order(pictures: Path) -> None:
    video = VideoPart((png("red"), png("blue")), 2.0)
    messages = build_messages("what?", [pictures / "red.png", png("blue")], video=video, system="be brief")
    assert describe(messages) == f"system: be brief | user: {short('red')} {short('blue')} <2 frames> what?"
    assert describe(build_messages("hello")) == "user: hello"


def no_video(text: str) -> VideoPart:
    raise AssertionError(text)


def test_the_lists_of_openai_and_of_qwen_mean_the_same() -> None:
    url = images.data_url(png("red"))
    text = {"type": "text", "text": "what?"}
    qwen = [{"role": "user", "content": [{"type": "image", "image": url}, text]}]
    openai = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}, text]}]
    parsed = parse_messages(qwen, load_image, no_video)
    assert parsed == parse_messages(openai, load_image, no_video)
    assert parsed == build_messages("what?", [png("red")])


@pytest.mark.parametrize(
    ("chat", "about"),
    [
        ({}, "must be a list"),
        ([], "must be a list"),
        ([{"role": "tool", "content": "x"}], "role"),
        ([{"role": "user"}], "content"),
        ([{"role": "user", "content": []}], "content"),
        ([{"role": "user", "content": ["x"]}], "content part"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "content part"),
        ([{"role": "user", "content": [{"type": "audio", "audio": "x"}]}], "content part"),
        ([{"role": "user", "content": [{"type": "image", "image": "x", "max_pixels": 9}]}], "max_pixels"),
    ],
)
def test_another_form_is_refused(chat: Any, about: str) -> None:
    with pytest.raises(DataError, match=about):
        parse_messages(chat, load_image, no_video)


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image", "video"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(JSON, max_size=3))
def test_any_json_is_messages_or_a_data_error(chat: list[Any]) -> None:
    def refuse(text: str) -> Any:
        raise DataError("none")

    try:
        messages = parse_messages(chat, refuse, refuse)
    except DataError:
        return
    assert messages and all(message.content for message in messages)


# --- batch files


def write_lines(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_a_batch_mixes_forms_images_and_text(tmp_path: Path, pictures: Path) -> None:
    path = write_lines(
        tmp_path / "batch.jsonl",
        [{"role": "user", "content": [{"type": "image", "image": "red.png"}, {"type": "text", "text": "a"}]}],
        "",
        {
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "who are you?"},
            ]
        },
        {"id": 7, "question": "b", "images": ["sub/blue.png", base64_of(png("red"))], "system": "s"},
        {"id": "x", "question": "c", "image": (pictures / "red.png").as_uri()},
    )
    assert [(c.line, c.id, describe(c.messages)) for c in read_batch(path, pictures)] == [
        (1, None, f"user: {short('red')} a"),
        (3, None, "system: be brief | user: who are you?"),
        (4, "7", f"system: s | user: {short('blue')} {short('red')} b"),
        (5, "x", f"user: {short('red')} c"),
    ]


@pytest.mark.parametrize(
    "image",
    [
        "https://example.com/a.png",
        "http://127.0.0.1/a.png",
        "../secret.png",
        "sub/../../secret.png",
        "link.png",
        "/etc/hostname",
        "file:///etc/hostname",
        "~/a.png",
        "none.png",
        "a\0b",
        ".",
        "",
    ],
)
def test_a_batch_reaches_nothing_outside_of_its_root(
    tmp_path: Path, pictures: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str) -> bytes:
        raise AssertionError(url)

    monkeypatch.setattr("ssl4rl_bench.engines.fetch.fetch", no_network)
    (pictures / "link.png").symlink_to(tmp_path / "secret.png")
    path = write_lines(tmp_path / "batch.jsonl", {"question": "ok"}, {"question": "q", "images": [image]})
    for root in (pictures, None):
        with pytest.raises(DataError, match=r"batch\.jsonl, line 2: "):
            list(read_batch(path, root))


def test_a_video_in_a_batch_must_lie_in_its_root_too(tmp_path: Path, pictures: Path) -> None:
    path = write_lines(tmp_path / "batch.jsonl", {"question": "q", "video": "../a.mp4"})
    with pytest.raises(DataError, match="outside of --image-root"):
        list(read_batch(path, pictures))


@pytest.mark.parametrize(
    "line", ["{", "5", '"text"', "null", "{}", '{"question": 5}', '{"question": "q", "images": 5}']
)
def test_a_line_that_is_no_chat_is_named(tmp_path: Path, line: str) -> None:
    path = write_lines(tmp_path / "batch.jsonl", {"question": "ok"}, line)
    with pytest.raises(DataError, match=r"batch\.jsonl, line 2: "):
        list(read_batch(path))


# --- the three lines


def test_three_lines_are_enough(echo: EchoEngine, pictures: Path) -> None:
    with Chat("some/model", engine="mock") as chat:
        assert chat.ask("How many?", images=[pictures / "red.png"]) == f"user: {short('red')} How many?"
    assert echo.closed == 1


def test_completions_come_in_the_order_of_the_chats(echo: EchoEngine) -> None:
    chats: list[Any] = [build_messages("a"), [{"role": "user", "content": "b"}], build_messages("c")]
    replies = [completion.text for completion in Chat(engine="mock").batch(chats)]
    assert replies == ["user: a", "user: b", "user: c"]
    assert len({request.seed for request in echo.requests}) == 3


def test_a_chat_that_fails_raises(echo: EchoEngine) -> None:
    with pytest.raises(EngineError, match="it broke"):
        Chat(engine="mock").ask("fail")


def test_servers_make_the_engine_openai_and_the_model_their_name_for_it(echo: Any) -> None:
    Chat("rotation", options=EngineOptions(base_urls=("http://h/v1",)))
    ((name, model, options),) = echo.made
    assert (name, model, options.served_model) == ("openai", None, "rotation")


# --- the command


@pytest.fixture
def run(echo: EchoEngine, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    app = typer.Typer()
    app.command()(ask)

    def invoke(*args: object) -> str:
        app([str(arg) for arg in args], standalone_mode=False)
        return capsys.readouterr().out

    return invoke


def test_ask_streams_the_reply(run: Callable[..., str], pictures: Path) -> None:
    out = run("--engine", "mock", "-i", pictures / "red.png", "--system", "s", "--max-tokens", 9, "what?")
    assert out == f"system: s | user: {short('red')} what? (at most 9 tokens)\n"


def test_ask_prints_json(run: Callable[..., str]) -> None:
    out = json.loads(run("--engine", "mock", "--json", "what? \x1b[31m"))
    assert (
        out["text"] == "user: what? \x1b[31m" and out["finish_reason"] == "stop" and out["engine"] == "echo"
    )


def test_ask_takes_settings_and_limits(run: Callable[..., str], echo: Any) -> None:
    run("--engine", "mock", "--min-pixels", 3136, "--max-pixels", 50176, "--set", "dtype=float32", "hi")
    options = echo.made[0][2]
    assert (options.min_pixels, options.max_pixels, options.dtype) == (3136, 50176, "float32")


def test_ask_answers_a_batch_to_a_file_and_overwrites_none(run: Callable[..., str], tmp_path: Path) -> None:
    batch = write_lines(tmp_path / "b.jsonl", {"question": "one", "id": "x"}, "", {"question": "two"})
    out = tmp_path / "out.jsonl"
    assert run("--engine", "mock", "--batch", batch, "--out", out) == ""
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["line"], line.get("id"), line["text"]) for line in lines] == [
        (1, "x", "user: one"),
        (3, None, "user: two"),
    ]
    with pytest.raises(UsageError, match="exists"):
        run("--engine", "mock", "--batch", batch, "--out", out)


def test_ask_answers_what_it_can_and_then_says_what_failed(run: Callable[..., str], tmp_path: Path) -> None:
    batch = write_lines(tmp_path / "b.jsonl", {"question": "fail"}, {"question": "two"})
    out = tmp_path / "out.jsonl"
    with pytest.raises(BenchError, match="1 of 2 chats failed; the first: it broke") as error:
        run("--engine", "mock", "--batch", batch, "--out", out)
    assert error.value.exit_code == 1
    assert [json.loads(line)["error"] for line in out.read_text().splitlines()] == ["it broke", None]


def test_ask_reads_the_whole_batch_before_it_sends_any(
    run: Callable[..., str], echo: Any, tmp_path: Path
) -> None:
    batch = write_lines(tmp_path / "b.jsonl", {"question": "one"}, "{")
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match="line 2"):
        run("--engine", "mock", "--batch", batch, "--out", out)
    assert not echo.made and not out.exists()


def test_ask_leaves_no_empty_file_behind(run: Callable[..., str], echo: Any, tmp_path: Path) -> None:
    batch = write_lines(tmp_path / "b.jsonl", {"question": "one"})
    with pytest.raises(UsageError):
        run("--engine", "none", "--batch", batch, "--out", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--batch", "b.jsonl", "question"),
        ("--batch", "b.jsonl", "--image", "a.png"),
        ("--out", "o.jsonl", "question"),
        ("--engine", "hf", "question"),
        ("question",),
        ("--engine", "mock", "--base-url", "http://h/v1", "question"),
        ("--engine", "mock", "--set", "dtyp=float32", "question"),
        ("--engine", "mock", "--batch", "none.jsonl"),
    ],
)
def test_ask_refuses_what_makes_no_sense(run: Callable[..., str], args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*args)


def test_ask_shows_control_characters_instead_of_obeying_them(
    run: Callable[..., str], echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "a\x1b[2J\x07\r\x9b31m\u202etxt\ud800 [bold]b[/]\n\tc"
    monkeypatch.setattr(echo, "stream", lambda *_: iter([evil]))
    assert (
        run("--engine", "mock", "hi")
        == "a\\u001b[2J\\u0007\\u000d\\u009b31m\\u202etxt\\ud800 [bold]b[/]\n\tc\n"
    )


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_visible_text_can_be_printed_and_is_the_same_when_harmless(text: str) -> None:
    seen = neutral(text)
    seen.encode("utf-8")
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in seen if c not in "\n\t")
    assert neutral(seen) == seen


def test_a_batch_is_read_lazily(tmp_path: Path) -> None:
    first = next(read_batch(write_lines(tmp_path / "b.jsonl", {"question": "one"}, "{")))
    assert isinstance(first, BatchChat) and first.line == 1


def test_importing_the_api_brings_no_heavy_package() -> None:
    import subprocess

    code = "import sys, ssl4rl_bench.chat, ssl4rl_bench.cli.ask; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "vllm", "av", "httpx", "pandas", "PIL.Image"} & set(
        done.stdout.split()
    )
