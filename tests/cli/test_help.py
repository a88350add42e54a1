"""The help of every command: its width, its examples, which are valid, and its exit codes."""

from __future__ import annotations

import re
import shlex

import pytest
from commands import bench
from typer.main import get_command

from ssl4rl_bench.cli import COMMANDS, HELP_WIDTH, app


def help_of(command: str, columns: int = 200) -> str:
    done = bench(command, "--help", env={"COLUMNS": str(columns)})
    assert done.code == 0
    return done.out


def examples_of(command: str) -> list[str]:
    return re.findall(r"^    (ssl4rl-bench .*)$", help_of(command), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_examples_that_parse_and_exit_codes(command: str) -> None:
    assert re.search(r"Exit\s+codes: 0 ", help_of(command))
    examples = examples_of(command)
    assert examples and all(line.startswith(f"ssl4rl-bench {command}") for line in examples)
    group = get_command(app)
    for line in examples:
        _, name, *args = shlex.split(line)
        made = group.get_command(None, name)  # type: ignore[attr-defined]  # it is a group
        made.make_context(name, args)


@pytest.mark.parametrize("columns", [60, 80, 110, 200])
def test_help_uses_the_width_of_the_terminal_up_to_a_limit(columns: int) -> None:
    lines = [line for line in help_of("run", columns).splitlines() if "ssl4rl-bench run" not in line]
    limit = min(columns, HELP_WIDTH)
    assert limit - 12 < max(map(len, lines)) <= limit


def test_no_example_is_broken_over_lines() -> None:
    assert [
        line.strip() for line in help_of("build", 60).splitlines() if "ssl4rl-bench build ssl" in line
    ] == ["ssl4rl-bench build ssl_rotation_90 --images photos --split 0.9 --format verl --out data/rotation"]


@pytest.mark.parametrize("command", COMMANDS)
def test_one_option_names_tasks(command: str) -> None:
    text = help_of(command)
    assert "--task " not in text and "--task\n" not in text
