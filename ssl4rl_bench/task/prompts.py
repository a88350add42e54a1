"""Renders the text of prompts in the styles that `tasks/prompts.yaml` defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean

Renderer = Callable[[str, str, Mapping[str, str]], str]
OpenRenderer = Callable[[str, str], str]


def prompt_styles() -> list[str]:
    """Returns the names of the styles, in the order of the file."""
    return list(_styles()["instructions"])


def check_style(style: str) -> str:
    """Returns `style` unchanged if it is the name of a prompt style.

    Raises:
        UsageError: for an unknown style.
    """
    known = prompt_styles()
    if style not in known:
        raise UsageError(
            f"No prompt style {style!r}{did_you_mean(style, known)} (there are {', '.join(known)})."
        )
    return style


def render(style: str, *, question: str, hint: str, choices: Mapping[str, str]) -> str:
    """Returns the text part of a multiple-choice prompt; the image part goes before it.

    Args:
        hint: Left out if it is empty.
        choices: Letter to option text, in the order shown.

    Raises:
        UsageError: for an unknown style.
    """
    return renderer(style)(question, hint, choices)


@cache
def renderer(style: str) -> Renderer:
    """Compiles one style: returns a function that renders a prompt from question, hint and choices.

    Raises:
        UsageError: for an unknown style.
    """
    instruction = _styles()["instructions"][check_style(style)]
    template = _template(_styles()["layouts"].get(style, _styles()["layout"]))

    def rendered(question: str, hint: str, choices: Mapping[str, str]) -> str:
        return str(template.render(question=question, hint=hint, choices=choices, instruction=instruction))

    return rendered


@cache
def open_renderer(style: str, kind: str) -> OpenRenderer:
    """Compiles one style for questions without a list of options: renders a prompt from question and hint.

    Args:
        kind: the kind of answer: "choice" if the question itself shows the options, or a kind of
            `task.answers`.

    Raises:
        UsageError: for an unknown style, or one without a wording for this kind of answer.
        KeyError: for an unknown kind.
    """
    styles = _styles()
    by_style = styles["instructions"] if kind == "choice" else styles["open_instructions"][kind]
    if check_style(style) not in by_style or style in styles["layouts"]:
        known = ", ".join(name for name in by_style if name not in styles["layouts"])
        raise UsageError(f"The prompt style {style} has no wording for {kind} answers: use one of {known}.")
    instruction = by_style[style]
    template = _template(styles["open_layout"])

    def rendered(question: str, hint: str) -> str:
        return str(template.render(question=question, hint=hint, instruction=instruction))

    return rendered


def _template(text: str) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(text)


@cache
def _styles() -> dict[str, Any]:
    import yaml

    content = yaml.safe_load(files("ssl4rl_bench.tasks").joinpath("prompts.yaml").read_text("utf-8"))
    return dict(content)
