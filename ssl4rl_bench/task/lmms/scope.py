"""Refuses the tasks of lmms-eval that cannot be asked and scored here, by name and with the reason.

Supported are single-turn tasks with images whose replies lmms-eval scores by itself. `check_config` looks at
the parsed file before anything is downloaded or imported, `check_functions` at the imported functions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.lmms.registry_files import Registered

_TURNS = {
    "generate_until_multi_round": "it has several turns",
    "generate_until_agentic": "it has several turns",
    "generate_visual_cot": "it asks the model to draw",
    "loglikelihood": "it needs likelihoods, and the engines only generate",
    "multiple_choice": "it needs likelihoods, and the engines only generate",
}
"""Why other output types than `generate_until` are refused."""
_VIDEO = ("video", "From_YouTube")
_NETWORK = frozenset({"openai", "anthropic", "requests", "httpx", "aiohttp", "litellm", "dashscope"})
"""Packages whose use in scoring means a judge, and in a document an image that is downloaded."""
_JUDGE = "lmms_eval.llm_judge"
_JUDGED = ("gpt", "judge")
"""Parts of the names of metrics that a judge gives."""
_SCORED_ELSEWHERE = ("passthrough", "submission")
"""Parts of the names of metrics for which lmms-eval only writes a file for the benchmark's server."""


def check_config(task: Registered) -> None:
    """Checks what the file of a task says.

    Raises:
        UsageError: the task is not supported; names the reason.
    """
    reason = next(_reasons(task.config), None)
    if reason is not None:
        raise refusal(task.name, reason)


def refusal(name: str, reason: str) -> UsageError:
    """Returns the error for a task that is not supported."""
    return UsageError(
        f"lmms:{name} is not supported: {reason} (supported: single-turn tasks with images that lmms-eval scores "
        "without a judge)"
    )


def _reasons(config: Mapping[str, Any]) -> Iterator[str]:
    if "class" in config:
        yield "its code replaces lmms-eval's evaluation"
    output_type = config.get("output_type", "generate_until")
    if output_type != "generate_until":
        yield _TURNS.get(str(output_type), f"its output_type is {output_type}")
    kwargs = config.get("dataset_kwargs") or {}
    if any(kwargs.get(key) for key in _VIDEO):
        yield "it asks about videos"
    if kwargs.get("load_from_disk") or "builder_script" in kwargs:
        yield "its documents come from code or a folder of datasets.save_to_disk"
    if config.get("num_fewshot"):
        yield "it shows examples before the question"
    if not config.get("doc_to_visual") and not config.get("doc_to_messages"):
        yield "it asks about no image"
    if len(config.get("filter_list") or ()) > 1:
        yield "it scores each reply in several ways (filter_list)"
    names = [str(metric.get("metric")) for metric in config.get("metric_list") or ()]
    if names and all(map(is_submission, names)):
        yield f"{names[0]} is not a number but a file for the benchmark's server"
    for name in names:
        if any(word in name.lower() for word in _JUDGED):
            yield f"{name} is the score of a judge"
        if "SPICE" in name:
            yield f"{name} needs SPICE, which downloads 300 MB of Java packages and is left out"


def check_functions(name: str, functions: Mapping[str, Any]) -> None:
    """Checks the functions of a task, with those of the same package that they call.

    Args:
        functions: the functions by what they do: `process_results`, `doc_to_visual`, ...

    Raises:
        UsageError: one of them calls a judge or opens an address.
    """
    for role, function in functions.items():
        if (package := next(_network(function), None)) is None:
            continue
        if role.startswith("doc_to"):
            raise refusal(name, f"its {role} downloads from addresses in the data ({package})")
        raise refusal(name, f"its {role} calls a judge over the network ({package})")


def is_submission(metric: str) -> bool:
    """Checks whether a metric only writes a file for the benchmark's server."""
    return any(word in metric for word in _SCORED_ELSEWHERE)


def _network(function: Any) -> Iterator[str]:
    for code, scope in _reached(function):
        for word in _names(code):
            module = word if word not in scope else _module_of(scope[word])
            if module.startswith((_JUDGE, "urllib.request")) or _NETWORK & set(module.split(".")):
                yield module


def _reached(function: Any) -> Iterator[tuple[CodeType, Mapping[str, Any]]]:
    """Yields the code and the globals of a function and of the functions and methods of tasks that it may call."""
    waiting: list[Any] = [function]
    seen: set[CodeType] = set()
    while waiting:
        current = waiting.pop()
        current = getattr(current, "__wrapped__", current)
        if not isinstance(current, FunctionType) or current.__code__ in seen:
            continue
        seen.add(current.__code__)
        scope = current.__globals__
        yield current.__code__, scope
        for value in (scope[word] for word in _names(current.__code__) if word in scope):
            owner = value if isinstance(value, type) else type(value)
            functions = [value] if isinstance(value, FunctionType) else vars(owner).values()
            waiting += [one for one in functions if isinstance(one, FunctionType) and _is_of_tasks(one)]


def _is_of_tasks(function: FunctionType) -> bool:
    return "/lmms_eval/" in function.__code__.co_filename


def _names(code: CodeType) -> Iterator[str]:
    """Yields the global names, attributes and modules that some code uses, with its inner functions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _module_of(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    module = getattr(value, "__module__", None) or type(value).__module__
    return str(module) if module in sys.modules else ""
