"""Advice in messages and help names options, settings and commands that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from advice import OPTION, foreign_options, options

from ssl4rl_bench.cli import COMMANDS
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.gating.policy import Guards, Policy, Rule
from ssl4rl_bench.interop.predictions.stated import SETTINGS
from ssl4rl_bench.train.recipe import Recipe

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("ssl4rl_bench", "reports", "train")
    for path in (ROOT / folder).rglob("*.py")
    if path.is_file()
)
CALL = re.compile(r"`(?:ssl4rl-bench )?([a-z]+)((?: [^`]*)?)`|ssl4rl-bench ([a-z]+)([^:;,`]*)")
SETTING = re.compile(r"--set ([a-z_.]+)(?==)")
OTHERS = {
    "ssl4rl_bench/core/installing.py": {"--force-reinstall", "--python", "--override"},
    "ssl4rl_bench/engines/checkpoints/foreign.py": {"--tag", "--safe"},
    "ssl4rl_bench/engines/checkpoints/unmerged.py": {"--backend", "--local", "--target"},
    "ssl4rl_bench/engines/checkpoints/completeness.py": {"--drop", "--only-known", "--safe"},
    "ssl4rl_bench/engines/checkpoints/repair.py": {"--drop", "--only-known"},
    "ssl4rl_bench/engines/openai_wire.py": {"--trust-request-mm-kwargs"},
    "ssl4rl_bench/interop/lmms/model.py": {"--device"},
    "ssl4rl_bench/interop/lmms/__main__.py": {"--output"},
    "ssl4rl_bench/run/machine.py": {"--query-gpu"},
    "ssl4rl_bench/task/lmms/configured.py": {"--reasoning"},
    "ssl4rl_bench/watch/merging.py": {"--local"},
    "reports/dashboards/tensorboard_log.py": {"--logdir"},
    "reports/dashboards/trackio_log.py": {"--project"},
    "reports/dashboards/wandb_log.py": {"--append"},
}
"""Options of other programs (converters of verl and DeepSpeed, vllm, pip, nvidia-smi) and of `python -m` parts."""


def texts(source: str) -> Iterator[str]:
    """Yields the strings of a module that are no docstrings; the values in f-strings become "…"."""
    tree = ast.parse(source)
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and isinstance(
            node.body[0], ast.Expr
        ):
            parts.add(id(node.body[0].value))
        if isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
    for node in ast.walk(tree):
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(value.value) if isinstance(value, ast.Constant) else "…" for value in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def faults(text: str, others: set[str]) -> Iterator[str]:
    """Yields what a text names and no command has."""
    known = {option for of_command in options().values() for option in of_command} | others | {"--version"}
    yield from (option for option in OPTION.findall(text) if option not in known)
    for match in CALL.finditer(text):
        command, words = match[1] or match[3], match[2] if match[1] else match[4]
        if command in COMMANDS:
            asked = OPTION.findall(words)
            yield from (
                f"{command} {option}" for option in asked if option not in options()[command] | others
            )
    yield from (f"--set {name}" for name in SETTING.findall(text) if not is_setting(name))


def is_setting(name: str) -> bool:
    """Whether `run --set`, `import --set` or `train --set` takes a name."""
    head, _, tail = name.partition(".")
    if not tail:
        return name in {*(field.name for field in fields(EngineOptions)), *SETTINGS}
    if head == "vllm":
        return True
    return head in {field.name for field in fields(Recipe)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("use --limit 5 or --no-such", ["--no-such"]),
        ("`run --policy x` does", ["run --policy"]),
        ("ssl4rl-bench fetch mmstar --limit 3", ["fetch --limit"]),
        ("write --set batch_sise=3", ["--set batch_sise"]),
        ("`ssl4rl-bench gate --save-baseline` and --set batch_size=3, --set rollout.engine=hf", []),
        ("a -- b, x--y, https://a/--b", []),
    ],
)
def test_the_check_finds_what_is_wrong(text: str, expected: list[str]) -> None:
    assert list(faults(text, set())) == expected


def test_an_error_of_a_command_names_its_options_or_the_command() -> None:
    message = "error: `run --skip-bad` leaves them out; --allow data, --data PATH, --nothing"
    assert foreign_options(["gate", "--nothing", "x"], message) == ["--allow"]
    assert foreign_options(["compare", "--nothing=x"], message) == []


@pytest.mark.slow
def test_every_option_in_a_message_exists() -> None:
    assert len(SOURCES) > 300
    wrong = [
        f"{name}: {fault}"
        for path in SOURCES
        for name in [path.relative_to(ROOT).as_posix()]
        for text in texts(path.read_text())
        if not OPTION.fullmatch(text)  # the option itself, in code
        for fault in faults(text, OTHERS.get(name, set()))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_exception_is_left_over() -> None:
    for name, names in OTHERS.items():
        text = "\n".join(texts((ROOT / name).read_text()))
        assert names <= set(OPTION.findall(text)), name


def test_the_example_policy_names_every_key() -> None:
    text = (ROOT / "ssl4rl_bench" / "examples" / "gate.toml").read_text()
    keys = set(re.findall(r"(?m)^#? ?([a-z_]+) = ", text))
    assert "aggregation" in text and "category" in text
    expected = {field.name for of in (Policy, Rule, Guards) for field in fields(of)} - {"rule", "guards"}
    assert keys == expected
