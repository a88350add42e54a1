"""Runs the command line in this process, which is fast enough for tests of many inputs."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from unittest import mock

from advice import foreign_options
from typer.testing import CliRunner

from ssl4rl_bench import cli
from ssl4rl_bench.core.errors import BenchError


@dataclass(frozen=True)
class Done:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Stream(io.TextIOWrapper):
    """A standard stream that stores its bytes."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.kept = io.BytesIO()
        super().__init__(self.kept, encoding=encoding, write_through=True)

    def text(self) -> str:
        self.flush()
        return self.kept.getvalue().decode(self.encoding)


def bench(*args: str | Path, encoding: str = "utf-8", env: dict[str, str] | None = None) -> Done:
    """Runs `ssl4rl-bench` with the arguments; an uncaught exception ends with code 4, as in a shell."""
    out, err = Stream(encoding), Stream(encoding)
    code = run(args, out, err, env or {})
    if code == 2:
        assert not foreign_options([*map(str, args)], err.text()), err.text()
    return Done(code, out.text(), err.text())


def run(args: Sequence[str | Path], out: TextIO, err: TextIO, env: Mapping[str, str]) -> int:
    """Runs `ssl4rl-bench` with these standard streams and returns the exit code."""
    argv = ["ssl4rl-bench", *map(str, args)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
        mock.patch.dict("os.environ", env),
    ):
        try:
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
    return 0


def invoke(*args: object, code: int = 0, env: Mapping[str, str] | None = None) -> str:
    """Runs a command of `ssl4rl-bench` that ends with this exit code; returns its output, or its error's sentence."""
    plain = {"GITHUB_ACTIONS": "", "COLUMNS": "150"}
    done = CliRunner().invoke(cli.app, [str(arg) for arg in args], env=plain | dict(env or {}))
    if isinstance(done.exception, BenchError):
        assert done.exception.exit_code == code, done.exception
        assert "\n" not in str(done.exception)
        assert not foreign_options([str(arg) for arg in args], str(done.exception)), done.exception
        return str(done.exception)
    assert done.exit_code == code, (done.output, done.exception)
    return done.output
