"""The class of all commands: renamed options, hints for arguments given in a wrong way, and help with examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from typer.core import TyperCommand

RENAMED = {"--task": "--tasks"}
"""Earlier names of options, which still work and are not shown."""
_WRONG_WORD = re.compile(r"'(?P<given>.*)' is not one of (?P<known>'.*')")


class BenchCommand(TyperCommand):
    """A command of `ssl4rl-bench`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses arguments; those that the command does not take bring a hint.

        Raises:
            UsageError: an argument too many, an option for what is an argument, or an unknown word of a closed list.
        """
        from ssl4rl_bench.core.errors import UsageError, did_you_mean

        args = _with_present_names(self, args)
        if not ctx.resilient_parsing and "--help" not in args:
            self._check_arguments(ctx, args)
        try:
            return list(super().parse_args(ctx, args))
        except Exception as error:  # the class of this error depends on the version of Typer
            match = _WRONG_WORD.search(getattr(error, "message", ""))
            if match is None:
                raise
            *others, last = re.findall(r"'([^']*)'", match["known"])
            known = f"{', '.join(others)} or {last}" if others else last
            close = did_you_mean(match["given"], [*others, last])
            raise UsageError(f"{self._taker(error)} takes {known}, not {match['given']}{close}") from None

    def _check_arguments(self, ctx: Any, args: Sequence[str]) -> None:
        from ssl4rl_bench.cli.hints import argument_hint, extra_hint
        from ssl4rl_bench.core.errors import UsageError

        arguments = [param.name for param in self.params if param.param_type_name == "argument"]
        options = {flag for param in self.params for flag in (*param.opts, *param.secondary_opts)}
        if hint := argument_hint(self.name or "", args, arguments, options - set(arguments)):
            raise UsageError(hint)
        _, extra, _ = self.make_parser(ctx).parse_args([*args])
        if extra:
            used = {word.partition("=")[0] for word in args}
            given = {flag for param in self.params if used & {*param.opts} for flag in param.opts}
            raise UsageError(extra_hint(self.name or "", args, extra, len(arguments), given))

    def _taker(self, error: Exception) -> str:
        """Returns what an error is about: the option, or for an argument the command."""
        param: Any = getattr(error, "param", None)
        if param is None or param.param_type_name == "argument":
            return f"`{self.name}`"
        return str(max(param.opts, key=len))


def help_text(function: Callable[..., Any]) -> str:
    """Returns a command's docstring as its help, with the examples on separate lines as they are."""
    text = inspect.getdoc(function) or ""
    return re.sub(r"^(?=Examples?:$)", "\b\n", text, flags=re.MULTILINE)


def _with_present_names(command: BenchCommand, args: Sequence[str]) -> list[str]:
    """Replaces earlier names of options before "--"."""
    present = {flag for param in command.params for flag in param.opts}
    end = args.index("--") if "--" in args else len(args)
    renamed = []
    for word in args[:end]:
        name, equals, value = word.partition("=")
        new = RENAMED.get(name)
        renamed.append(f"{new}{equals}{value}" if new in present else word)
    return [*renamed, *args[end:]]
