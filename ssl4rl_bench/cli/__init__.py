"""The command line, `ssl4rl-bench`. Each command has its own module, which is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

COMMANDS: dict[str, str] = {
    "run": "Evaluate checkpoints on tasks; the same command again resumes.",
    "merge": "Join the shards of a run (`run --shard`) into one run.",
    "show": "Print the tables of runs.",
    "report": "Write the leaderboard of runs as one HTML file, or print views of them.",
    "list": "List tasks, engines, runs, recipes, presets or examples.",
    "compare": "Compare runs with a baseline: differences, intervals, corrected p.",
    "explain": "Explain why a run's number differs from another run's or a published one.",
    "gate": "Judge a checkpoint by a policy: pass, fail or inconclusive.",
    "watch": "Evaluate and judge the checkpoints of a training run as they appear.",
    "score": "Score a run again from its journal, without a model.",
    "validate": "Check a task without a model: gold answers must score 1.0.",
    "import": "Turn predictions of another tool into a run.",
    "export": "Write a task's data in another project's format, or a checkpoint's model card.",
    "fetch": "Download the file of a benchmark and check it.",
    "build": "Write a data set of an SSL task's samples, with a manifest.",
    "train": "Train a checkpoint with GRPO, rewarded by SSL tasks.",
    "advise": "Say before a training whether there is a signal, and whether the model sees.",
    "attend": "Say whether checkpoints look at what they are asked about.",
    "interpolate": "Write a checkpoint interpolated between a base and its trained version.",
    "audit": "Recompute what a model card's tables derive, or re-read a run with each extractor.",
    "ask": "Ask a checkpoint about images, a video, or text.",
    "examples": "Copy recipes, launch files, a policy and task files to start from.",
    "doctor": "Show what is installed, what is missing, and the command that adds it.",
    "demo": "Evaluate the bundled checkpoint on the built-in benchmark.",
}
"""Maps each command to its help line. Command X is the function `X` in cli/X.py (see `_MODULES`)."""


_MODULES = {"import": "import_"}  # reserved
_FUNCTIONS = {"import": "import_", "list": "list_"}
"""Modules and functions of commands whose names are taken in Python."""

HELP_WIDTH = 110
"""The width in columns up to which help uses a wider terminal."""


class LazyGroup(TyperGroup):
    """A command group that imports the module of a command only when the command is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS]  # the module cli.list hides the built-in name once it is imported

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        from ssl4rl_bench.cli.command import BenchCommand, help_text

        module = importlib.import_module(f"ssl4rl_bench.cli.{_MODULES.get(cmd_name, cmd_name)}")
        function = getattr(module, _FUNCTIONS.get(cmd_name, cmd_name))
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=cmd_name, cls=BenchCommand, help=help_text(function))(function)
        return typer.main.get_command(app)

    def invoke(self, ctx: Any) -> Any:
        from ssl4rl_bench.core.exits import Passed

        try:
            return super().invoke(ctx)
        except (EOFError, KeyboardInterrupt, OSError) as error:
            raise Passed from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        from ssl4rl_bench.core.errors import UsageError, did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(
                f"no command {args[0]!r} (known: {', '.join(COMMANDS)}){did_you_mean(args[0], COMMANDS)}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"max_content_width": HELP_WIDTH},
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Evaluate vision-language checkpoints by ability: with n, intervals, unread replies and provenance.

    Exit codes: 0 done; 1 a negative verdict (gate, watch, audit card) or more failed requests than allowed; 2 usage
    or bad input; 3 the gate is inconclusive; 4 an engine or the program failed; 130 interrupted, resumable.
    """
    if version:
        from ssl4rl_bench import __version__

        print(f"ssl4rl-bench {__version__}")
        raise typer.Exit


def main() -> NoReturn:
    """Runs the command line. Any error becomes one line and an exit code (`exits.run_command`)."""
    from ssl4rl_bench.core.exits import run_command

    run_command(lambda: app(prog_name="ssl4rl-bench"))
