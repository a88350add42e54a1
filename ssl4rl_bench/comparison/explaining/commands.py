"""The command that tries each cause."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ssl4rl_bench.comparison.explaining import kinds
from ssl4rl_bench.comparison.explaining.explanation import SettingLine
from ssl4rl_bench.comparison.explaining.published_side import PublishedSide
from ssl4rl_bench.comparison.explaining.sides import RunSide
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.run.imported import IMPORTED
from ssl4rl_bench.run.spec import MOCK, REPLAY

_FLAGS = {
    "prompt": "--prompt",
    "image": "--image",
    "temperature": "--temperature",
    "max_tokens": "--max-tokens",
    "repeats": "--repeats",
    "seed": "--seed",
}
"""Settings that an option of `run` sets. The others are engine options, or keys of a task file."""
_DEFAULTS: Mapping[str, Any] = {"image": "real", "repeats": 1, "seed": 0}
_PROMPTS = ("direct", "cot", "ssl4rl")
_VLMEVALKIT = (1280 * 28 * 28, 16384 * 28 * 28)
"""The pixel limits of Qwen2.5-VL in VLMEvalKit's vlmeval/config.py (August 2026)."""


def rerun(side: RunSide, **changes: Any) -> str:
    """Returns the command that repeats a run with other settings, in another directory.

    Args:
        changes: values by setting; None leaves a setting to its default. `model`, `task`, `data`, `engine` and
            `limit` are accepted too.
    """
    spec = side.evaluated.spec
    asked = spec.tasks[side.task]
    try:
        how = side.rundir.loading().get(side.task, {})
    except StoreError:
        how = {}
    options = {key: value for key, value in spec.engine_options.items() if value is not None}
    values: dict[str, Any] = {
        "model": spec.model,
        "task": short_name(side.task),
        "data": side.data.get(side.task, how.get("data")),
        "limit": how.get("limit"),
        "engine": "auto" if spec.engine in (MOCK, REPLAY, IMPORTED) else spec.engine,
        "prompt": asked.prompt,
        "image": asked.image,
        "min_pixels": spec.min_pixels,
        "max_pixels": spec.max_pixels,
        "temperature": asked.sampling.temperature or None,
        "max_tokens": asked.sampling.max_tokens,
        "repeats": spec.repeats,
        "seed": spec.seed,
        **{key: value for key, value in options.items() if key in ("dtype", "attn", "max_model_len")},
        **dict.fromkeys(spec.unknown & {*_FLAGS, "min_pixels", "max_pixels"}),
    } | changes
    words = ["ssl4rl-bench", "run", "--model", values.pop("model"), "--tasks", values.pop("task")]
    words += ["--engine", values.pop("engine")]
    for name, flag in (("data", "--data"), ("limit", "--limit")):
        if (value := values.pop(name)) is not None:
            words += [flag, str(value)]
    for name, value in values.items():
        if value is None or value == _DEFAULTS.get(name):
            continue
        words += [_FLAGS[name], _text(value)] if name in _FLAGS else ["--set", f"{name}={_text(value)}"]
    return shlex.join(map(str, words))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def advice_for(
    kind: str, side: RunSide, other: RunSide | PublishedSide, lines: Sequence[SettingLine], value: str = ""
) -> tuple[str, str]:
    """Returns the advice on a cause in one sentence, and the command.

    Args:
        value: the extractor or the aggregation, for these two kinds.
    """
    path, task = shlex.quote(str(side.evaluated.path)), short_name(side.task)
    changed = {line.name for line in lines if line.differs and line.kind == kind}
    if kind == kinds.EXTRACTOR:
        return (
            "Read the replies of the run by the other extractor, without a model.",
            f"ssl4rl-bench score {path} --extractor {value} --dry-run",
        )
    if kind == kinds.AGGREGATION:
        return (
            "Show the number of the run under the other aggregation.",
            f"ssl4rl-bench show {path} --tasks {task} --aggregation {value}",
        )
    if kind == kinds.UNREAD:
        return (
            "See which replies each extractor reads, and how the model was asked to answer.",
            f"ssl4rl-bench audit reading {path} --tasks {task}",
        )
    if kind == kinds.REPETITION:
        return _repetition(side)
    if kind == kinds.TRUNCATION:
        longer = _other(other, "max_tokens")
        limit = side.evaluated.spec.tasks[side.task].sampling.max_tokens
        longer = longer if isinstance(longer, int) and longer > limit else 2 * limit
        return "Allow longer replies.", rerun(side, max_tokens=longer)
    if kind == kinds.SPLIT:
        return _split(side, other)
    if kind == kinds.WEIGHTS and isinstance(other, RunSide):
        model = other.evaluated.spec.model
        return "Evaluate the other checkpoint with the settings of the run.", rerun(side, model=model)
    if kind == kinds.ENGINE:
        return _engine(side, other, changed)
    return (
        "Repeat the run with the other setting.",
        rerun(side, **{name: _other(other, name) for name in changed if _settable(name)}),
    )


def _settable(name: str) -> bool:
    """Checks whether an option of `run` sets this; the others follow from the checkpoint or the task file."""
    return name not in ("top_p", "top_k", "chat_template", "version", "repetition_penalty", "scheme")


def _other(other: RunSide | PublishedSide, name: str) -> Any:
    """Returns the other side's value of a setting, None for a default."""
    if isinstance(other, PublishedSide):
        return other.settings.get(name)
    if name in ("min_pixels", "max_pixels"):
        asked = getattr(other.evaluated.spec, name)
        return asked or other.settings[name].value
    return other.settings[name].value if name in other.settings else None


def _repetition(side: RunSide) -> tuple[str, str]:
    penalty = side.evaluated.spec.unused_defaults.get("repetition_penalty")
    hint = (
        f"The checkpoint sets repetition_penalty {penalty}, which no engine here applies and another program may; "
        if penalty is not None
        else "Another program may apply a repetition penalty, which no engine here does; "
    )
    sampled = side.evaluated.spec.tasks[side.task].sampling.temperature > 0
    if sampled:
        limit = side.evaluated.spec.tasks[side.task].sampling.max_tokens
        return f"{hint}longer replies show whether the repetition ends.", rerun(side, max_tokens=2 * limit)
    return (
        f"{hint}a little sampling shows whether the repetition is due to greedy decoding.",
        rerun(side, temperature=0.3),
    )


def _split(side: RunSide, other: RunSide | PublishedSide) -> tuple[str, str]:
    for run in (side, other):
        if isinstance(run, RunSide) and not run.rundir.result_path.exists():
            resume = f"{rerun(run)} --out {shlex.quote(str(run.evaluated.path))}"
            return f"Finish {run.label}: the command that started it resumes it.", resume
    if isinstance(other, PublishedSide):
        name = short_name(other.benchmark[0]) if other.benchmark else short_name(side.task)
        data = {} if name == short_name(side.task) else {"data": None}
        return "Ask all questions of the published benchmark.", rerun(side, task=name, limit=None, **data)
    if side.task == other.task:
        paths = shlex.join([str(side.evaluated.path), str(other.evaluated.path)])
        return (
            "Compare the runs on the questions that both answered.",
            f"ssl4rl-bench compare {paths} --tasks {short_name(side.task)} --allow partial,version,data",
        )
    try:
        data_of_other = other.rundir.loading().get(other.task, {}).get("data")
    except StoreError:
        data_of_other = None
    return (
        "Ask the questions of the other run.",
        rerun(side, task=short_name(other.task), data=data_of_other, limit=None),
    )


def _engine(side: RunSide, other: RunSide | PublishedSide, changed: set[str]) -> tuple[str, str]:
    values = {name: _other(other, name) for name in changed if name != "engine" and _settable(name)}
    if isinstance(other, PublishedSide):
        named = str(other.settings.get("engine", "")).partition(" ")[0]
        return "Repeat the run on the other engine.", rerun(
            side, **values, **({"engine": named} if named else {})
        )
    spec = other.evaluated.spec
    version = spec.engine_version.partition("+")[0]
    again = "Repeat the run with the engine of the other one"
    if spec.engine == side.evaluated.spec.engine and "engine" in changed:
        package = {"hf": "transformers"}.get(spec.engine, spec.engine)
        return f"{again}, in an environment that has {package} {version}.", rerun(side, **values)
    return f"{again}.", rerun(side, **values, engine=spec.engine)


def trials(
    side: RunSide, published: PublishedSide, lines: Sequence[SettingLine]
) -> list[tuple[str, str, str]]:
    """Returns what to try about settings that the source does not state, or the run did not record.

    Returns:
        The kind, the advice and the command of each, in the order of `kinds.KINDS`.
    """
    unknown = {line.name for line in lines if line.differs is None}
    prompt = side.evaluated.spec.tasks[side.task].prompt
    other = next(name for name in _PROMPTS if name != prompt)
    what, pixels = _other_limits(side, published)
    engine = "hf" if side.evaluated.spec.engine != "hf" else "vllm"
    options = {
        "prompt": (kinds.PROMPT, f"Ask with the prompt style {other}.", rerun(side, prompt=other)),
        "max_pixels": (kinds.PIXELS, f"Show the images with {what}.", rerun(side, **pixels)),
        "temperature": (
            kinds.DECODING,
            "Sample the replies at a low temperature.",
            rerun(side, temperature=0.3),
        ),
        "engine": (kinds.ENGINE, f"Repeat the run on {engine}.", rerun(side, engine=engine)),
    }
    return [option for name, option in options.items() if name in unknown]


def _other_limits(side: RunSide, published: PublishedSide) -> tuple[str, dict[str, int | None]]:
    """Returns pixel limits to try: those that the source states, VLMEvalKit's, or the checkpoint's."""
    stated = {name: published.settings.get(name) for name in ("min_pixels", "max_pixels")}
    if any(stated.values()):
        return "the stated limits", stated
    spec = side.evaluated.spec
    if spec.min_pixels is None and spec.max_pixels is None:
        return "VLMEvalKit's limits for Qwen2.5-VL", dict(zip(stated, _VLMEVALKIT, strict=True))
    return "the checkpoint's limits", dict.fromkeys(stated)
