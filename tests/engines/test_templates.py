"""Chat templates that loop, multiply or call themselves end in one sentence, in bounded time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import training_process
from checkpoint_folders import TINY
from commands import bench
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines import template_child, templates
from ssl4rl_bench.engines.checkpoints.weights import resolve_model

pytestmark = pytest.mark.slow

USUAL = (TINY / "chat_template.jinja").read_text()
LOOPS = {
    "nested ranges": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "a power of a variable": "{% set n = 9 %}{{ n ** (n ** n) }}",
    "a list of lists": "{% set l = range(9999)|list %}{% for a in l %}{% for b in l %}{% for c in l %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "filters": "{% set l = range(99999)|list %}{% for a in l %}{{ l|sort|reverse|list|length }}{% endfor %}",
    "a recursive loop": "{% for a in [1] recursive %}{% for b in range(9999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{{ loop([1]) }}{% endfor %}",
}
MULTIPLIES = {
    "a product": '{{ "x" * 10**9 }}',
    "a product of what fits": '{{ "x" * 10**8 }}',
    "a product of a variable": "{% set s = messages[0].role %}{{ s * 10**9 }}",
    "a product that is not printed": '{% set s = "x" * 10**10 %}{{ s|length }}',
    "a list": "{% set l = [0] * 10**9 %}",
    "doubling": '{% set n = namespace(t="x") %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}{% endfor %}',
    "adding": '{% set n = namespace(t="x") %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}',
    "center": '{{ "x".center(10**9) }}',
    "the filter center": '{{ "x"|center(10**9) }}',
    "ljust": '{{ "x".ljust(10**9) }}',
    "zfill": '{{ "x".zfill(10**9) }}',
    "expandtabs": '{{ "\\t".expandtabs(10**9) }}',
    "a format": '{{ "%1000000000d"|format(1) }}',
    "the method format": '{{ "{:>1000000000}".format(1) }}',
    "indent": '{{ "a\\nb"|indent(10**9) }}',
    "join": '{{ range(99999)|join("x" * 99999) }}',
    "replace": '{{ ("x" * 99999)|replace("x", "y" * 99999) }}',
    "tojson": "{{ messages|tojson(indent=10**9) }}",
    "output": "{% for a in range(99999) %}{% for b in range(99) %}{{ 'xxxxxxxxxx' }}{% endfor %}{% endfor %}",
    "lipsum": "{{ lipsum(99999) }}",
    "batch": "{{ [1]|batch(10**8, 0)|list|length }}",
    "a block": '{% set t %}{% for i in range(9999) %}{{ "x" * 99999 }}{% endfor %}{% endset %}',
}
RECURSES = {
    "a macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "two macros": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "brackets": "{{" + "(" * 9999 + "1" + ")" * 9999 + "}}",
    "lists": "{{" + "[" * 9999 + "]" * 9999 + "}}",
    "conditions": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
}
NO_JINJA = {
    "unclosed": "{% if",
    "an unknown filter": "{{ 1|no_such_filter }}",
    "an unknown tag": "{% no_such_tag %}",
}
HOSTILE = LOOPS | MULTIPLIES | RECURSES | NO_JINJA

_FOLDED = {name for name, source in HOSTILE.items() if "messages" not in source}
"""What jinja2 may compute while it compiles, whether it is reached or not."""


LASTING = {*LOOPS, "lipsum"}
"""What ends by its time limit alone."""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shorten(monkeypatch, name)


def shorten(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(templates, "SECONDS", 0.3 if name in LASTING else 1.5)


def checkpoint(place: Path, template: str) -> Path:
    folder = place / "model"
    folder.mkdir()
    for path in TINY.iterdir():
        if path.name != "chat_template.jinja":
            (folder / path.name).symlink_to(path)
    (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_one_sentence(tmp_path: Path, soon: None, name: str) -> None:
    folder = checkpoint(tmp_path, HOSTILE[name])
    began = time.monotonic()
    with pytest.raises(
        ModelError, match=r"the chat template of .*; copy chat_template\.jinja from the base"
    ) as error:
        resolve_model(str(folder), chat=True)
    assert time.monotonic() - began < 60
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    assert resolve_model(str(folder)), "without a chat, nothing of it is rendered"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in _FOLDED and name != "nested ranges" else name
        for name in LOOPS | MULTIPLIES | RECURSES
    ],
)
def test_it_is_refused_where_it_is_hostile_to_some_prompts_only(soon: None, name: str) -> None:
    condition = '{% if messages[0].content[0].text == "now" %}' + HOSTILE[name] + "{% endif %}"
    guard = templates.guard(condition, "CHECKPOINT")
    if name not in _FOLDED:
        guard.check_usual()
        guard.check({"messages": [{"role": "user", "content": [{"type": "text", "text": "then"}]}]})
    with pytest.raises(ModelError):
        guard.check({"messages": [{"role": "user", "content": [{"type": "text", "text": "now"}]}]})


def test_usual_templates_pass_and_cost_little() -> None:
    guard = templates.guard(USUAL, "tiny-base")
    guard.check_usual()
    began = time.monotonic()
    for _ in range(200):
        guard.check_usual()
    assert time.monotonic() - began < 20, "400 prompts; measured: 0.1 s"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('only user and assistant roles') }}",
        "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m|tojson }}{% endfor %}",
        "{{ strftime_now('%Y') }}{{ bos_token }}{{ messages[0]['content'][0]['text'] }}",
        "{{ messages[7].content }}",
    ],
)
def test_what_a_template_refuses_of_itself_is_left_to_the_request(template: str) -> None:
    templates.guard(template, "x").check_usual()


def test_long_prompts_are_no_multiplication() -> None:
    text = "a word of it. " * 200_000
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    templates.guard(USUAL, "tiny-base").check({"messages": messages, "add_generation_prompt": True})


@settings(deadline=None, max_examples=examples(60))
@given(st.text(max_size=40), st.lists(st.sampled_from(["image", "video"]), max_size=3))
def test_any_text_passes_a_usual_template(text: str, media: list[str]) -> None:
    content: list[dict[str, Any]] = [{"type": kind} for kind in media] + [{"type": "text", "text": text}]
    templates.guard(USUAL, "tiny-base").check({"messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize(
    "place", ["tokenizer_config.json", "chat_template.json", "additional_chat_templates"]
)
def test_a_template_is_tried_wherever_it_stands(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "chat_template.jinja").unlink()
    hostile = MULTIPLIES["a product"]
    if place == "additional_chat_templates":
        (folder / place).mkdir()
        (folder / place / "default.jinja").write_text(hostile)
    else:
        kept = json.loads((folder / place).read_text()) if (folder / place).exists() else {}
        (folder / place).write_text(json.dumps(kept | {"chat_template": hostile}))
    with pytest.raises(ModelError, match="memory"):
        resolve_model(str(folder), chat=True)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "--tasks", "scenes", "--engine", "hf"],
        ["run", "--tasks", "scenes", "--engine", "vllm"],
        ["run", "--tasks", "scenes", "--dry-run"],
        ["ask", "Why?"],
        ["ask", "--engine", "hf", "Why?"],
    ],
    ids=["hf", "vllm", "dry run", "ask", "ask hf"],
)
@pytest.mark.parametrize("name", [pytest.param("nested ranges", marks=pytest.mark.slow), "a product"])
def test_every_command_that_would_render_it_exits_2(
    tmp_path: Path, command: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--dry-run" not in command:  # which has the time limit as it is
        shorten(monkeypatch, name)
    folder = checkpoint(tmp_path, HOSTILE[name])
    with contextlib.chdir(tmp_path):
        done = bench(*command, "--model", folder)
    assert done.code == 2, done.err
    (line,) = done.err.splitlines()
    assert line.startswith(f"error: the chat template of {folder} takes more than")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", [["run", "--tasks", "scenes"], ["ask", "Why?"]], ids=["run", "ask"])
@pytest.mark.engine
def test_the_engine_refuses_what_shows_with_a_prompt(tmp_path: Path, command: list[str]) -> None:
    """The usual prompts pass; the tasks' and the question, which are longer or other ones, multiply."""
    met = 'messages|tojson|length > 400 or "Why" in messages|tojson'
    hidden = "{% if " + met + " %}{{ messages[0].role * 10**9 }}{% endif %}"
    folder = checkpoint(tmp_path, hidden + USUAL)
    resolve_model(str(folder), chat=True)
    done = training_process.run(
        [sys.executable, "-m", "ssl4rl_bench", *command, "--engine", "hf", "--model", folder],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stderr
    assert "takes more than 512 MiB" in done.stderr and "Traceback" not in done.stderr


def test_the_child_sees_nothing_of_the_environment_and_ends_with_its_guard() -> None:
    guard = templates.TemplateGuard("{{ 1 }}", "x")
    guard.check_usual()
    child = guard._child
    assert child is not None
    if Path(f"/proc/{child.pid}/environ").exists():
        assert not Path(f"/proc/{child.pid}/environ").read_bytes().strip(b"\0")
    guard.close()
    assert child.returncode is not None
    guard.check_usual()
    guard.close()


def test_a_forked_process_starts_a_child_of_its_own() -> None:
    guard = templates.guard(USUAL, "tiny-base")
    guard.check_usual()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            guard.check_usual()
            guard.close()
            code = 0
        finally:
            os._exit(code)
    guard.check_usual()
    assert os.waitpid(pid, 0)[1] == 0
    guard.check_usual()


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ name }}", {"chars": 2}),
        ("{% for i in range(9) %}{{ name }}{% endfor %}", {"error": "length"}),
        ("{% generation %}{{ name }}{% endgeneration %}", {"chars": 2}),
        ("{{ {'a': 'é'} | tojson }}", {"chars": 10}),
        ("{% for i in range(9) %}{% break %}{% endfor %}", {"chars": 0}),
        ("{{ strftime_now('%Y') }}", {"chars": 4}),
    ],
)
def test_a_template_is_rendered_as_transformers_does_and_measured(template: str, result: Any) -> None:
    made = template_child.make_environment().from_string(template)
    assert template_child.rendered(made, {"name": "ab"}, most=12) == result


def test_a_template_may_refuse_and_may_not_reach_out() -> None:
    environment = template_child.make_environment()
    with pytest.raises(ValueError, match="no roles"):
        environment.from_string("{{ raise_exception('no roles') }}").render()
    for attack in ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ items.append(1) }}"):
        with pytest.raises(Exception, match=r"unsafe|not safely callable"):
            environment.from_string(attack).render(items=[])
