"""Secrets: each form in which one can stand in a text, and ordinary text that looks a little like it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from commands import bench
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import questions, write_tsv

from ssl4rl_bench.core.redaction import REDACTED, redact

FORMS = [
    *(
        "Authorization: Basic {b}",
        "Authorization: Bearer {s}",
        "authorization: bearer {s}",
        "AUTHORIZATION:BEARER {s}",
    ),
    *('{{"Authorization": "Bearer {s}"}}', "'authorization': 'Basic {b}'", "Proxy-Authorization: Basic {b}"),
    *(
        "https://user:{s}@host/v1",
        "https://user:a/{s}@host",
        "https://user:a@{s}@host:80/x",
        "https://u:a@b/{s}@host",
    ),
    *(
        "https://:{s}@host",
        "https://{s}@host",
        "https://h/x?sig={s}&a=b",
        "https://h/x?X-Amz-Signature={s}&a=b",
    ),
    *("https://h?a=1&token={s}", "https://h?X-Amz-Credential={s}/2020", "https://h/p;token={s}"),
    *('{{"api_key": "{s}"}}', "{{'apiKey': '{s}'}}", '{{\\"api_key\\": \\"{s}\\"}}', '"token":"{s}"'),
    *("hf_{s}", "sk-{s}", "ghp_{s}", "OPENAI_API_KEY={s}", "export HF_TOKEN={s}\nnext", "DB_PASSWORD='{s}'"),
    *('password: "{s}"', '"password": "a\\"{s}"', "X-Api-Key: {s}", "api_key: {s}", "client_secret={s}"),
    *("line\nAuthorization:\n  Bearer {s}\nmore", "curl -H 'Authorization: Bearer {s}'", "--api-key {s}"),
    *(
        "Cookie: session={s}; a={s}",
        "b'Bearer {s}'",
        'API key "{s}" invalid',
        "Incorrect API key provided: {s}",
    ),
    *("aws_secret_access_key = {s}", "-----BEGIN PRIVATE KEY-----\n{s}\n{s}\n-----END PRIVATE KEY-----"),
]
ORDINARY = [
    *("token=4 tokens", "sign=", "Basic English", "basic understanding of Physics", "the bearer of bad news"),
    *(
        "https://host:8000/v1/@x",
        "https://host/x@y",
        "key=value",
        "sort by key=name",
        "sig=0.05",
        "a token: the word",
    ),
    *(
        "secret: patience is everything",
        "max_token=16",
        "max_tokens=2048",
        "tokens/s 12345678",
        "The key is B.",
    ),
    *("Basic Authentication failed", "password is required", "monkey=12345678901234567", "--tasks key value"),
    *("hf_hub_download", '"eos_token": "<|im_end|>"', "https://e.org/a?design=abcdefgh1234", "risk-adjusted"),
    *(
        "http://127.0.0.1:8000/v1",
        "accuracy 0.12345678, sha256 " + "ab12" * 16,
        "Bearer token missing",
        "cookie: chocolate",
    ),
]
SECRET = st.text(
    "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789", min_size=20, max_size=40
).filter(lambda text: any(c.isdigit() for c in text) and any(c.isalpha() for c in text))


@pytest.mark.parametrize("form", FORMS)
@given(secret=SECRET)
@settings(max_examples=examples(15), deadline=None)
def test_a_secret_goes_in_every_form(form: str, secret: str) -> None:
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    shown = redact(form.format(s=secret, b=encoded))
    assert secret not in shown and encoded not in shown
    assert REDACTED in shown and redact(shown) == shown


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "part", ["a-", "token=", "://", '"key": "', "x:", "Bearer ", "a_", "--a ", "basic ", " ", "0"]
)
def test_it_takes_linear_time(part: str) -> None:
    assert isinstance(redact(part * (100_000 // len(part))), str)


def test_the_shells_working_directory_is_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/someone/models")
    monkeypatch.setenv("DB_PWD", "/home/someone/else")
    assert redact("--data /home/someone/models/dev.tsv") == "--data /home/someone/models/dev.tsv"
    assert redact("/home/someone/else/dev.tsv") == f"{REDACTED}/dev.tsv"


def test_no_file_of_a_run_and_no_output_holds_a_secret(tmp_path: Path) -> None:
    secret = "q7Rk9vXz2LmT4wYbN8pC"
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    data = write_tsv(tmp_path / "data.tsv", questions(3))
    said = []
    for number in range(0, len(FORMS), 8):
        label = "\n".join(form.format(s=secret, b=encoded) for form in FORMS[number : number + 8])
        asked = ("run", "--tasks", "mmbench_dev_en", "--data", data, "--engine", "mock", f"--model={label}")
        said.append(bench(*asked, "--out", tmp_path / str(number)))
        said.append(bench("show", tmp_path / str(number)))
        said.append(bench("show", tmp_path / str(number), "--tasks", label))
    said.append(
        bench("compare", tmp_path / "0", tmp_path / "8", "--format", "json", "--out", tmp_path / "board.json")
    )
    assert {done.code for done in said} == {0, 2}
    for text in (
        *(done.text for done in said),
        *(p.read_text("utf-8") for p in tmp_path.rglob("*.*") if p.is_file()),
    ):
        assert secret not in text and encoded not in text
