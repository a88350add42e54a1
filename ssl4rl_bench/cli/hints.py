"""Hints for arguments that a command does not take: the command that was probably meant."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

Meaning = Callable[[str], bool]


def _is_task(word: str) -> bool:
    from ssl4rl_bench.core.names import full_name
    from ssl4rl_bench.task.taskfile import group_names, task_names

    known = {*map(full_name, task_names()), *map(full_name, group_names())}
    return all(full_name(name) in known or name.endswith(".yaml") for name in word.split(","))


def _is_policy(word: str) -> bool:
    return word.endswith(".toml")


def _is_file(word: str) -> bool:
    return Path(word).is_file()


def _is_share(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def _is_anything(_: str) -> bool:
    return True


MEANINGS: dict[str, tuple[tuple[Meaning, str], ...]] = {
    "run": ((_is_task, "--tasks"), (_is_anything, "--model")),
    "gate": ((_is_policy, "--policy"), (_is_anything, "--baseline"), (_is_anything, "--candidate")),
    "watch": ((_is_policy, "--policy"), (_is_task, "--tasks")),
    "explain": ((_is_anything, "--against"),),
    "validate": ((_is_anything, "--data"),),
    "build": ((_is_anything, "--images"),),
    "interpolate": ((_is_share, "--share"),),
    "ask": ((_is_file, "--image"),),
}
"""Maps a command to what its further arguments may be: a check, and the option that takes it."""
_REPEATED = ("--tasks", "--model", "--image")
_OTHER_NAMES = {"checkpoints": ("dir",), "target": ("card", "run"), "runs": ("models",)}
"""Other words for an argument that someone may write as an option."""


def extra_hint(
    command: str, args: Sequence[str], extra: Sequence[str], n_arguments: int, given: Collection[str]
) -> str:
    """Returns the error for arguments after the last one that a command takes.

    Args:
        args: all arguments of the command.
        extra: those that it does not take.
        n_arguments: the number of arguments that it takes.
        given: the options among `args`, by all their names.
    """
    listed = ", ".join(extra)
    options = _as_options(command, extra, given)
    if options is None:
        takes = f"{n_arguments} argument{'s' if n_arguments > 1 else ''}" if n_arguments else "no arguments"
        return (
            f"`{command}` takes {takes}: leave out {listed}, or put an argument with spaces in quotes "
            f"(`ssl4rl-bench {command} --help`)"
        )
    kind = "options" if len(extra) > 1 else "an option"
    return f"`{command}` takes {listed} as {kind}: `{_line(command, [*_without(args, extra), *options])}`"


def argument_hint(
    command: str, args: Sequence[str], arguments: Sequence[str], options: Collection[str]
) -> str | None:
    """Returns the error for an option that the command takes as an argument; None if there is none.

    Args:
        arguments: the names of the command's arguments.
        options: its options.
    """
    names = {f"--{form}": name for name in arguments for form in _forms(name)}
    for index, word in enumerate(args):
        flag, equals, value = word.partition("=")
        if word == "--":
            return None
        if flag in names and flag not in options:
            meant = [*args[:index], *([value] if equals else []), *args[index + 1 :]]
            return f"`{command}` takes no {flag}: write `{_line(command, meant)}`"
    return None


def _forms(name: str) -> set[str]:
    return {name, f"{name}s", name.removesuffix("s"), *_OTHER_NAMES.get(name, ())}


def _as_options(command: str, extra: Sequence[str], given: Collection[str]) -> list[str] | None:
    """Returns the words as options of the command; None if one has no meaning there."""
    values: dict[str, list[str]] = {}
    for word in extra:
        for is_meant, option in MEANINGS.get(command, ()):
            is_free = option in _REPEATED or (option not in given and option not in values)
            if is_free and is_meant(word):
                values.setdefault(option, []).append(word)
                break
        else:
            return None
    if command == "gate" and "--policy" not in given:
        values.setdefault("--policy", ["gate.toml"])
    tasks = values.pop("--tasks", [])
    words = [word for option, chosen in values.items() for value in chosen for word in (option, value)]
    return [*words, "--tasks", ",".join(tasks)] if tasks else words


def _without(args: Sequence[str], extra: Sequence[str]) -> list[str]:
    left = [*args]
    for word in reversed(extra):
        del left[len(left) - 1 - left[::-1].index(word)]
    return left


def _line(command: str, args: Sequence[str]) -> str:
    return shlex.join(["ssl4rl-bench", command, *args])
