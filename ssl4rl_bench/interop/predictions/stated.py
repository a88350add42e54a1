"""The settings of an imported run that somebody states: a results file beside the samples, or the user.

lmms-eval and lm-evaluation-harness write a results file with the model's arguments and the generation settings of
each task (`save_results_aggregated` in loggers/evaluation_tracker.py, `simple_evaluate` in evaluator.py of both):
lmms-eval as `DATE_results.json` beside `DATE_samples_TASK.jsonl`, lm-evaluation-harness as `results_DATE.json` beside
`samples_TASK_DATE.jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.engines.base import DTYPES
from ssl4rl_bench.interop.predictions.rows import refuse
from ssl4rl_bench.interop.predictions.tables import json_file
from ssl4rl_bench.task import prompts
from ssl4rl_bench.task.blinding import BLINDINGS

SETTINGS = (
    *("prompt", "image", "chat_template", "temperature", "top_p", "top_k", "max_tokens"),
    *("min_pixels", "max_pixels", "dtype", "attn", "max_model_len"),
)
"""The settings that can change replies and that a file of replies does not state by itself."""
_WHOLE = {"top_k": 0, "max_tokens": 1, "min_pixels": 1, "max_pixels": 1, "max_model_len": 1}
"""Settings that are whole numbers, with their smallest values."""
_PIXELS = ("min_pixels", "max_pixels")
_MAX_WHOLE = 1 << 40
_GREEDY: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "top_k": 0}
"""Greedy decoding, on which the limits of sampling have no effect."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What somebody states about the run that made the predictions."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Values by name (`SETTINGS`). None for pixel limits means the checkpoint's own."""
    model: str = ""
    """The name of the model; empty if it is not stated."""
    tool_version: str = ""


def from_user(pairs: Iterable[str]) -> Stated:
    """Parses values of the option `--set`, as KEY=VALUE. `none` stands for the checkpoint's own pixel limits.

    Raises:
        UsageError: an unknown name or a value that the setting cannot have.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in SETTINGS:
            raise UsageError(
                f"--set {clean(pair)} states no setting of an imported run: write KEY=VALUE with one of "
                f"{', '.join(SETTINGS)}{did_you_mean(name, SETTINGS)}"
            )
        values[name] = _parsed(name, text.strip())
    if values.get("temperature") == 0:
        values = _GREEDY | values
    return Stated(values)


def beside(path: Path) -> Path | None:
    """Returns the results file of a file of samples, by the names that the tools give; None without one."""
    date, mark, _ = path.name.partition("_samples_")
    if mark and (results := path.with_name(f"{date}_results.json")).is_file():
        return results
    match = re.fullmatch(r"samples_.+_(\d{4}-\d\d-\d\dT[\w.-]+)", path.stem)
    results = path.with_name(f"results_{match[1]}.json") if match else path
    return results if match and results.is_file() else None


def from_results(path: Path, samples: Path) -> Stated:
    """Reads what a results file states about the samples in another file.

    Raises:
        DataError: the file is not a results file, or does not say which task's settings are meant.
    """
    value = json_file(path)
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        refuse(
            path,
            "has no key config, as the results files of lmms-eval and lm-evaluation-harness do: name such a file",
        )
    config, arguments = value["config"], _arguments(value["config"].get("model_args"))
    values = dict(_sampling(_of_task(path, value.get("configs"), samples)))
    for name in _PIXELS:
        values |= _whole(name, arguments.get(name))
    values |= _whole("max_model_len", arguments.get("max_model_len"))
    dtype = str(arguments.get("dtype") or config.get("model_dtype") or "").removeprefix("torch.")
    values |= {"dtype": dtype} if dtype in DTYPES else {}
    attn = arguments.get("attn_implementation")
    values |= {"attn": clean(attn, 40)} if isinstance(attn, str) and attn else {}
    model = value.get("model_name") or arguments.get("pretrained") or arguments.get("model") or ""
    version = value.get("lmms_eval_version") or value.get("lm_eval_version") or ""
    return Stated(values, clean(model, 200), clean(version, 60))


def _of_task(path: Path, configs: Any, samples: Path) -> Mapping[str, Any]:
    """Returns the generation settings of the task that the samples are of."""
    known = (
        {name: config for name, config in configs.items() if isinstance(config, dict)}
        if isinstance(configs, dict)
        else {}
    )
    if len(known) > 1:
        named = [name for name in known if name in samples.stem]
        longest = max(named, key=len, default=None)
        if longest is None:
            names = ", ".join(clean(name, 40) for name in list(known)[:8])
            refuse(
                path, f"has the settings of {names}, and the name of {samples.name} has none of these tasks"
            )
        known = {longest: known[longest]}
    settings = next(iter(known.values()), {}).get("generation_kwargs")
    return settings if isinstance(settings, dict) else {}


def _sampling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sampling that generation settings state. Beams are not sampling, so only the length counts."""
    lengths = [settings.get(name) for name in ("max_new_tokens", "max_gen_toks", "max_tokens")]
    values = _whole("max_tokens", next((length for length in lengths if length is not None), None))
    temperature = number(settings.get("temperature"))
    if (number(settings.get("num_beams")) or 1) > 1:
        return values
    if settings.get("do_sample") is False or temperature == 0:
        return values | _GREEDY
    if temperature is not None and temperature > 0:
        values |= {"temperature": temperature}
    top_p = number(settings.get("top_p"))
    if top_p is not None and 0 < top_p <= 1:
        values |= {"top_p": top_p}
    return values | _whole("top_k", settings.get("top_k"))


def _arguments(value: Any) -> dict[str, Any]:
    """Parses the arguments of a model, which are an object or a text like "pretrained=NAME,max_pixels=1000"."""
    if isinstance(value, dict):
        return value
    pairs = (part.partition("=") for part in str(value or "").split(","))
    return {name.strip(): text.strip() for name, equals, text in pairs if equals}


def _whole(name: str, value: Any) -> dict[str, Any]:
    """Returns a whole number under its name; nothing for anything else."""
    text = str(value)
    is_whole = re.fullmatch(r"\d{1,12}", text) is not None
    return {name: int(text)} if is_whole and _WHOLE[name] <= int(text) <= _MAX_WHOLE else {}


def _parsed(name: str, text: str) -> Any:
    """Parses the value that a user states. Raises UsageError."""
    if name == "prompt":
        return prompts.check_style(text)
    if name == "image":
        if text not in BLINDINGS:
            raise UsageError(f"--set image={clean(text)} is unknown (known: {', '.join(BLINDINGS)})")
        return text
    if name == "dtype" and text not in DTYPES:
        raise UsageError(f"--set dtype={clean(text)} is not a number format (known: {', '.join(DTYPES)})")
    if name in _PIXELS and text == "none":
        return None
    if name in _WHOLE:
        if not (parsed_number := _whole(name, text)):
            raise UsageError(f"--set {name}={clean(text)} is not a whole number of {_WHOLE[name]} or more")
        return parsed_number[name]
    if name in ("temperature", "top_p"):
        try:
            parsed = number(float(text))
        except ValueError:
            parsed = None
        if parsed is None or parsed < 0 or (name == "top_p" and not 0 < parsed <= 1):
            raise UsageError(f"--set {name}={clean(text)} is not a number that {name} can have")
        return parsed
    if not text:
        raise UsageError(f"--set {name}= is empty: give its value")
    return clean(text, 80)
