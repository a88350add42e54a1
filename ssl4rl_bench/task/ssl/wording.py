"""Renders the prompts of SSL tasks from the templates in `tasks/ssl_prompts.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.prompts import check_style


def render_prompt(kind: str, style: str, convention: str, **values: object) -> str:
    """Returns the text part of a prompt.

    Args:
        kind: the kind of the task, such as "rotation".
        style: a prompt style (`prompts.prompt_styles`).
        convention: "ours" or "released".
        values: the variables of the question's template.

    Raises:
        UsageError: for an unknown style, or one that SSL tasks do not have.
    """
    question, instruction = _templates(kind, check_style(style), convention)
    return f"{question.render(**values)}\n{instruction.render(**values)}"


@cache
def _templates(kind: str, style: str, convention: str) -> tuple[Any, Any]:
    import yaml
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    wording = yaml.safe_load(files("ssl4rl_bench.tasks").joinpath("ssl_prompts.yaml").read_text("utf-8"))
    if style not in wording["instructions"]:
        known = ", ".join(wording["instructions"])
        raise UsageError(f"SSL tasks have no prompt style {style!r}: use one of {known}.")
    environment = ImmutableSandboxedEnvironment(autoescape=False, undefined=StrictUndefined)
    texts = wording[kind][convention]
    instruction = wording["instructions"][style].replace("{{ form }}", texts["form"])
    return environment.from_string(texts["question"]), environment.from_string(instruction)
