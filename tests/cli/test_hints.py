"""Arguments in the wrong form are refused with the command that was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import bench


def error(*args: str) -> str:
    done = bench(*args)
    assert done.code == 2, done.text
    assert not done.out
    (line,) = done.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        ("run tiny-base scenes", "run --model tiny-base --tasks scenes"),
        ("run tiny-base tiny-rotation scenes mmstar --limit 12",
         "run --limit 12 --model tiny-base --model tiny-rotation --tasks scenes,mmstar"),
        ("run --model tiny-base scenes,ssl_probes", "run --model tiny-base --tasks scenes,ssl_probes"),
        ("gate runs/base runs/new", "gate --baseline runs/base --candidate runs/new --policy gate.toml"),
        ("gate runs/base runs/new mine.toml",
         "gate --baseline runs/base --candidate runs/new --policy mine.toml"),
        ("gate --baseline runs/base runs/new -p x.toml",
         "gate --baseline runs/base -p x.toml --candidate runs/new"),
        ("watch out gate.toml scenes", "watch out --policy gate.toml --tasks scenes"),
        ("explain runs/base 72.99", "explain runs/base --against 72.99"),
        ("validate ssl_position photos", "validate ssl_position --data photos"),
        ("build ssl_rotation_90 photos -o data", "build ssl_rotation_90 -o data --images photos"),
        ("interpolate checkpoints/x 0.5 -o y", "interpolate checkpoints/x -o y --share 0.5"),
        ("compare --runs runs/a runs/b", "compare runs/a runs/b"),
        ("show --run=runs/a", "show runs/a"),
        ("train --recipe tiny_mix --dry-run", "train tiny_mix --dry-run"),
        ("validate --tasks scenes", "validate scenes"),
        ("validate --task scenes", "validate scenes"),
        ("fetch --tasks mmstar", "fetch mmstar"),
        ("merge --shards a b", "merge a b"),
    ],
)  # fmt: skip
def test_the_command_that_was_meant(args: str, meant: str) -> None:
    assert f"`ssl4rl-bench {meant}`" in error(*args.split())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("doctor", "now"), "`doctor` takes no arguments: leave out now"),
        (("score", "a", "b"), "`score` takes 1 argument: leave out b"),
        (("ask", "What", "is", "it?"), "leave out is, it?, or put an argument with spaces in quotes"),
    ],
)
def test_arguments_without_a_meaning(args: tuple[str, ...], words: str) -> None:
    assert words in error(*args)


def test_the_earlier_name_of_an_option_still_works(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    assert bench("run", "--task", "scenes", "--limit", "2", "--engine", "mock", "--out", out).code == 0
    for old in (("--task", "scenes"), ("--task=scenes",), ("-t", "scenes")):
        done = bench("show", out, *old, "--format", "json")
        assert list(json.loads(done.out)["tasks"]) == ["ssl4rl_scenes"], old
    assert "no run has results of task ssl4rl_mmstar" in error("show", out, "--task", "mmstar")


def test_what_follows_two_dashes_is_no_option() -> None:
    assert "there is no run --task" in error("show", "--", "--task")


def test_help_is_shown_whatever_else_is_given() -> None:
    done = bench("run", "tiny-base", "--help")
    assert done.code == 0 and done.out.startswith("Usage: ssl4rl-bench run")


def test_an_unknown_option_is_named_with_the_closest() -> None:
    done = bench("show", "x", "--leafs")
    assert done.code == 2 and "--leaves" in done.err
