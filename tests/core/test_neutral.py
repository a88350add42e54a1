"""Text from outside: nothing in it acts on a terminal or a CI system, whatever command prints it."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TextIO, cast

import forked
import pytest
from commands import bench
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import question, write_tsv

from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.core.neutral import neutral, one_line
from ssl4rl_bench.core.output import GuardedStream, guarded, say

ROOT = Path(__file__).parents[2]
EVIL = "".join(
    (
        "x\x1b[31m\x1b]0;title\x07\x1b]8;;http://e\x1b\\",  # SGR, OSC
        "\r\b\x00\x7f\x85\x9b31m\x9d",  # C0, DEL, C1
        "\u061c\u200b\u200e\u200f\u202a\u202e\u2066\u2069\u2060\ufeff\u2028\u2029\U000e0041",
        "[red]y[/] [/x] \n::error::forged\n  ##[group]z ##vso[task.x]w",
    )
)
RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
COMMAND = re.compile(r"(?m)^\s*::|##\w*\[")
READABLE = "模型 نموذج मॉडल é 🙂 👨‍👩‍👧 می‌خواهم\u3000日本語\ttab"


def check(text: str) -> None:
    assert not RAW.search(text), repr(RAW.search(text))
    assert not COMMAND.search(text), repr(text)


@given(
    st.text(st.characters(exclude_categories=[]))
    | st.text(st.sampled_from("a\u00e9\n\u00ad\u200c\u200d\u202e\ud800"))
)
@settings(deadline=None)
def test_neutral_text_holds_nothing_that_acts_and_stays_the_same(text: str) -> None:
    shown = neutral(text)
    assert not RAW.search(shown)
    assert neutral(shown) == shown
    assert "\n" not in one_line(text) and not RAW.search(one_line(text))


def test_every_script_stays_readable() -> None:
    assert neutral(READABLE) == READABLE
    assert neutral("pass\u200d") == "pass\\u200d", "a joiner behind ASCII only makes two words differ"


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
@settings(deadline=None)
def test_json_stays_the_same_json(text: str) -> None:
    for ascii_ in (False, True):
        written = json.dumps({text: [text]}, ensure_ascii=ascii_)
        assert json.loads(neutral(written)) == json.loads(written)


def through(parts: list[str]) -> str:
    stream = io.StringIO()
    guard = GuardedStream(cast(TextIO, stream))
    for part in parts:
        guard.write(part)
    return stream.getvalue()


@given(
    st.lists(
        st.sampled_from(
            [":", "::", "#", "##", "[", "vso", " ", "\n", "a", "\r", "\x1b[A", "\u202e", "\ud800"]
        )
    )
)
@settings(max_examples=examples(300), deadline=None)
def test_no_command_comes_together_from_several_writes(parts: list[str]) -> None:
    check(through(parts))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(deadline=None)
def test_rich_prints_nothing_that_acts(text: str) -> None:
    from rich.table import Table

    stream = io.StringIO()
    screen = Screen(file=stream, width=80)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    screen.print(table)
    screen.print(text)
    screen.rule(text)
    screen.print_json(data=text)
    check(stream.getvalue())


def test_secrets_leave_standard_error_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with guarded():
        say("reply: correct-horse-battery")
        say("error: correct-horse-battery, Authorization: Basic dXNlcjpwYXNz", stderr=True)
    assert "battery" in out.getvalue(), "a reply is data"
    assert err.getvalue() == "error: [redacted], Authorization: Basic [redacted]\n"


def test_no_module_prints_around_the_guard() -> None:
    """rich's own console and the real streams are for the modules that make them harmless."""
    allowed = {"cli/screen.py"}
    bad = []
    for path in (ROOT / "ssl4rl_bench" / "cli").glob("*.py"):
        if f"cli/{path.name}" in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            if name in ("__stdout__", "__stderr__", "unguarded", "buffer"):
                bad.append((path.name, node.lineno, name))  # type: ignore[attr-defined]
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Console":
                bad.append((path.name, node.lineno, "Console"))
            if any(
                word.arg == "markup" and getattr(word.value, "value", 0) is True
                for word in getattr(node, "keywords", ())
            ):
                bad.append((path.name, node.lineno, "markup"))  # type: ignore[attr-defined]
    assert not bad


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile text wherever it can come from outside."""
    root = tmp_path_factory.mktemp("planted")
    name = "e\x1b[31m\u202e[red]"
    columns = {"category": f"leaf {EVIL}", "l2-category": f"ability {EVIL}"}
    rows = [
        row
        for at in range(1, 5)
        for row in question(at, (f"one {EVIL}", "two"), **columns, question=f"question {at} {EVIL}")
    ]
    write_tsv(root / f"{name}.tsv", rows)
    for mock, folder in (("gold", f"one{name}"), ("constant:B", "two")):
        done = bench(
            *(
                "run",
                "--tasks",
                "mmbench_dev_en",
                "--data",
                root / f"{name}.tsv",
                "--engine",
                "mock",
                "--mock",
                mock,
            ),
            *("--model", f"{mock} {EVIL}", "--out", root / "runs" / folder),
        )
        assert done.code == 0, done.err
        check(done.text)
    (root / "gate.toml").write_text(
        '[[rule]]\ntask = "mmbench_dev_en"\nkind = "no_worse_than"\nlevel = "l2"\nmargin = 5\n'
        "[guards]\nletters = 1.0\n"
    )
    (root / "bad.toml").write_text(f"[[rule]]\ntask = {json.dumps(EVIL)}\nkind = {json.dumps(EVIL)}\n")
    (root / "recipe.toml").write_text(f"name = {json.dumps(EVIL)}\n[{json.dumps(EVIL)}]\n")
    (root / "task.yaml").write_text(f"task: ssl4rl_x\n? {json.dumps(EVIL)}\n: 1\n")
    (root / "card.md").write_text(
        f"# {EVIL}\n\n| Model | Average |\n| --- | --- |\n| a {EVIL} | 50.00 |\n| b | 40.00 |\n"
    )
    (root / "replies.jsonl").write_text(json.dumps({"id": EVIL, "text": EVIL}) + "\n")
    (root / "batch.jsonl").write_text(json.dumps({"id": EVIL, "question": EVIL}) + "\n")
    (root / "published.json").write_text(json.dumps({"schema": 1, "benchmark": [EVIL], EVIL: 1}))
    return root


def commands(root: Path) -> dict[str, list[str | Path]]:
    one = next(path for path in (root / "runs").iterdir() if path.name != "two")
    two = root / "runs" / "two"
    gate = ["gate", "--baseline", one, "--candidate", two, "--policy"]
    tsv = next(root.glob("*.tsv"))
    out: dict[str, list[str | Path]] = {
        "list runs": ["list", "runs", "--root", root / "runs"],
        "show leaves": ["show", one, "--leaves"],
        "report": ["report", one, two, "--out", root / "page.html", "--no-samples"],
        "report view": ["report", one, two, "--view", "transfer"],
        "gate": [*gate, root / "gate.toml"],
        "gate, bad policy": [*gate, root / "bad.toml"],
        "audit reading": ["audit", "reading", one],
        "audit card": ["audit", "card", root / "card.md"],
        "audit card json": ["audit", "card", root / "card.md", "--format", "json"],
        "score": ["score", two, "--dry-run"],
        "validate": ["validate", "mmbench_dev_en", "--data", tsv],
        "validate, bad task": ["validate", root / "task.yaml"],
        "dry run": [
            "run",
            "--tasks",
            "mmbench_dev_en",
            "--data",
            tsv,
            "--engine",
            "mock",
            "--model",
            EVIL,
            "--dry-run",
        ],
        "replay": [
            *("run", "--tasks", "mmbench_dev_en", "--data", tsv, "--engine", "replay"),
            *("--replies", root / "replies.jsonl"),
        ],
        "train, bad recipe": ["train", root / "recipe.toml", "--dry-run"],
        "ask": ["ask", EVIL, "--engine", "mock", "--set", f"mock=constant:{EVIL}"],
        "ask batch": ["ask", "--engine", "mock", "--batch", root / "batch.jsonl"],
        "published": ["compare", one, two, "--published", root / "published.json"],
        "no such run": ["show", root / f"no {EVIL.replace(chr(0), '')}"],
        "no such task": ["run", "--tasks", EVIL, "--engine", "mock"],
        "no such command": [EVIL],
        "no such option": ["show", f"--{EVIL}"],
    }
    for form in ("table", "markdown", "json"):
        out[f"show {form}"] = ["show", one, two, "--format", form]
    for form in ("table", "markdown", "latex", "csv", "json"):
        out[f"compare {form}"] = ["compare", one, two, "--format", form, "--intervals"]
    return out


@pytest.mark.slow
def test_no_command_prints_what_acts(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(planted)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    for name, argv in commands(planted).items():
        for encoding in (
            ("utf-8", "ascii") if name in ("list runs", "show table", "compare json") else ("utf-8",)
        ):
            done = bench(*argv, encoding=encoding)
            assert done.code in (0, 1, 2, 3), (name, done)
            assert "Traceback" not in done.text
            try:
                check(done.text)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from None
            if done.code == 2 and "Usage:" not in done.err:
                assert done.err.partition("error:")[2].strip().count("\n") == 0, (name, done.err)
            if name.endswith("json") and done.code == 0:
                json.loads(done.out)


def test_annotations_are_the_only_commands(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(planted / "summary.md"))
    done = bench(*commands(planted)["gate"])
    lines = [line for line in done.out.splitlines() if COMMAND.search(line)]
    assert lines and all(re.match(r"::(error|warning|notice) title=[^:]*::", line) for line in lines)
    assert not RAW.search(done.out) and not any("::" in line.split("::", 2)[2] for line in lines)
    assert not RAW.search((planted / "summary.md").read_text())


def test_a_terminal_gets_only_the_escape_sequences_of_tables(planted: Path) -> None:
    for name in ("list runs", "show leaves", "validate"):
        text = on_a_terminal([str(word) for word in commands(planted)[name]], planted)
        text = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n")
        check(text)
        assert "\\u" in text, name


def on_a_terminal(argv: list[str], folder: Path) -> str:
    parent, child = pty.openpty()
    process = forked.Popen(
        [sys.executable, "-m", "ssl4rl_bench", *argv],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(child)
    out = b""
    while True:
        try:
            data = os.read(parent, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    process.wait()
    os.close(parent)
    return out.decode()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_stream_of_another_encoding_ends_no_command(planted: Path, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}
    code = (
        "import json, sys\n"
        "from ssl4rl_bench.cli import main\n"
        "codes = []\n"
        "for argv in json.loads(sys.argv[1]):\n"
        "    sys.argv[1:] = argv\n"
        "    try: main()\n"
        "    except SystemExit as end: codes.append(end.code)\n"
        "sys.exit(max(codes) if len(codes) == 3 else 99)\n"
    )
    names = ("list runs", "compare table", "dry run")
    argvs = [[os.fspath(word).replace("\0", "") for word in commands(planted)[name]] for name in names]
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(argvs)], cwd=planted, capture_output=True, env=environment
    )
    assert b"Traceback" not in done.stderr and done.returncode in (0, 1, 2), done.stderr[-500:]
    done.stdout.decode(encoding)


def test_latex_markdown_and_the_page_hold_names_as_text(planted: Path) -> None:
    latex = bench(*commands(planted)["compare latex"]).out
    assert latex.count(r"\begin{table*}") == 1 and "\\textbackslash{}u001b" in latex
    assert all(
        line.count("{") - line.count("\\{") == line.count("}") - line.count("\\}")
        for line in latex.splitlines()
        if "caption" in line
    )
    bench(*commands(planted)["report"])
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", (planted / "page.html").read_text()
    )
