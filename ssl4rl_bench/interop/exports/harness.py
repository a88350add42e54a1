"""The files that lm-evaluation-harness and lmms-eval write: results as JSON, and one line per reply.

lm-evaluation-harness: 4e7e0d4, `lm_eval/result_schema.py`, `evaluator.py` and `loggers/evaluation_tracker.py`.
lmms-eval: 0.7.3, the files of the same names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ssl4rl_bench
from ssl4rl_bench.core.capabilities import HasMetrics
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Sample, SampleRecord, Score
from ssl4rl_bench.interop.exports.replies import ScoredReply, TaskReplies
from ssl4rl_bench.interop.lmms import items
from ssl4rl_bench.interop.lmms.reply import reply_text
from ssl4rl_bench.interop.stored import STORED
from ssl4rl_bench.run.spec import RunSpec

ACC = "acc"
"""The metric of lm-evaluation-harness for the share of right answers; `row_micro` here."""
_ARGUMENTS = {"dtype": "dtype", "attn_implementation": "attn", "max_model_len": "max_model_len"}
"""The tools' arguments of a model, and the engine options of this project that they correspond to."""
LM_EVAL_LIMIT, LMMS_EVAL_LIMIT = "max_gen_toks", "max_new_tokens"
_NOT_IN_NAMES = re.compile(r"[\"<>:/|\\?*\[\]]+")
"""What both tools replace in a model's name (`utils.py`, `sanitize_model_name`)."""


def lm_eval_files(folder: Path, tasks: Sequence[TaskReplies]) -> Iterator[tuple[Path, str]]:
    """Yields the paths and texts of lm-evaluation-harness's files for some tasks of one run.

    A reply without a score (a failed request, or reasoning alone) has no line, since the format cannot mark it:
    `n-samples` counts the lines as `effective`. The metrics in the results are those of complete questions, as
    everywhere in this project.

    Raises:
        UsageError: a task whose replies have no scores of their own.
    """
    for replies in tasks:
        if isinstance(replies.task, HasMetrics) and replies.task.corpus_only:
            raise _refused(replies, "metrics of the corpus only, and no scores of replies")
    place = folder / model_folder(tasks[0])
    date = tasks[0].finished.replace(tzinfo=None).isoformat().replace(":", "-")
    metrics = {replies.task.name: _lm_eval_metrics(replies) for replies in tasks}
    n_lines = {replies.task.name: len(_scored(replies)) for replies in tasks}
    results = _results(tasks, metrics, n_lines, LM_EVAL_LIMIT) | {"date": tasks[0].finished.timestamp()}
    yield place / f"results_{date}.json", _json(results, indent=2)
    for replies in tasks:
        lines = (_lm_eval_line(number, reply, replies) for number, reply in _scored(replies))
        yield place / f"samples_{file_name(replies.task.name)}_{date}.jsonl", _lines(lines)


def lmms_eval_files(folder: Path, tasks: Sequence[TaskReplies]) -> Iterator[tuple[Path, str]]:
    """Yields the paths and texts of lmms-eval's files, as this project's model and tasks make it write them.

    The text of a reply that failed, was cut off, or is reasoning alone carries the mark that they use there
    (`interop.lmms.reply`), and its metrics have no value.

    Raises:
        UsageError: a task of lmms-eval itself.
    """
    for replies in tasks:
        if isinstance(replies.task, HasMetrics):
            raise _refused(replies, "metrics of lmms-eval, whose values for each reply are not in a run")
    place = folder / model_folder(tasks[0])
    date = tasks[0].finished.strftime("%Y%m%d_%H%M%S")
    metrics = {replies.task.name: _lmms_eval_metrics(replies) for replies in tasks}
    n_lines = {replies.task.name: len(replies.replies) for replies in tasks}
    results = _results(tasks, metrics, n_lines, LMMS_EVAL_LIMIT) | {"date": date}
    yield place / f"{date}_results.json", _json(results, indent=2)
    for replies in tasks:
        numbers = {sample.id: number for number, sample in enumerate(replies.task.samples)}
        copies = Counter(sample.group for sample in replies.task.samples)
        lines = (
            _lmms_eval_line(numbers[sample.id], sample, record, score, copies[sample.group], replies)
            for sample, record, score in replies.replies
        )
        yield place / f"{date}_samples_{replies.task.name}.jsonl", _lines(lines)


def model_folder(replies: TaskReplies) -> str:
    """Returns the name of the folder for a model's files; a mark in the name stays, such as that of a mock run."""
    return file_name(replies.label)


def file_name(text: str) -> str:
    """Returns a name as both tools write it into the names of files."""
    return _NOT_IN_NAMES.sub("__", text)


def _refused(replies: TaskReplies, what: str) -> UsageError:
    name = short_name(replies.task.name)
    return UsageError(f"{name} has {what}: choose other tasks with --tasks, or --to parquet")


def left_out(replies: TaskReplies) -> Iterator[str]:
    """Yields a sentence about the replies that lm-evaluation-harness's files do not have."""
    records = [record for _, record, score in replies.replies if score.value is None]
    n_failed = sum(record.finish_reason == "error" for record in records)
    if n_failed:
        yield f"{n_failed} failed requests are left out, since lm-eval's files cannot mark them"
    if n := len(records) - n_failed:
        yield f"{n} replies that are reasoning alone are left out, since they have no score"


def _scored(replies: TaskReplies) -> list[tuple[int, ScoredReply]]:
    """Returns the replies that have a score, each with the position of its sample in the task."""
    numbers = {sample.id: number for number, sample in enumerate(replies.task.samples)}
    return [(numbers[reply[0].id], reply) for reply in replies.replies if reply[2].value is not None]


def _lm_eval_line(number: int, reply: ScoredReply, replies: TaskReplies) -> dict[str, Any]:
    sample, record, score = reply
    question, hint = replies.task.question(sample)
    doc = {
        "id": sample.id,
        "group": sample.group,
        "question": question,
        "hint": hint,
        "letters": list(sample.choices),
        "options": list(sample.choices.values()),
        "target": sample.target,
        **asdict(sample.categories),
    }
    prompt = sample.text("<image>", "<video>")
    return {
        "doc_id": number,
        "doc": doc,
        "target": sample.target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": _generation(replies, LM_EVAL_LIMIT)}},
        "resps": [[record.text]],
        "filtered_resps": [record.text],
        "filter": "none",
        "metrics": [ACC],
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(sample.target),
        ACC: score.value,
        **({"finish_reason": "length"} if record.finish_reason == "length" else {}),
    }


def _lmms_eval_line(
    number: int, sample: Sample, record: SampleRecord, score: Score, copies: int, replies: TaskReplies
) -> dict[str, Any]:
    place = {"id": sample.id, "group": sample.group, "roll": sample.roll, "copies": copies}
    item = items.score_item({**place, **asdict(sample.categories)}, score)
    probe = replies.task.probe
    if probe is not None:
        item |= {"parts": dict(score.parts), "chance": probe.chance}
    counts = {"input_tokens": record.n_prompt_tokens, "output_tokens": record.n_completion_tokens}
    return {
        "doc_id": number,
        "target": sample.target,
        "filtered_resps": reply_text(record),
        "token_counts": [counts],
        "doc_hash": _hash(json.dumps(replies.task.content(sample), ensure_ascii=False)),
        "input": sample.text(),
        **dict.fromkeys(_lmms_names(replies), item),
    }


def _lmms_names(replies: TaskReplies) -> tuple[str, str]:
    """Returns the metrics of the task's file for lmms-eval."""
    return ("circular_micro", "row_micro") if replies.task.probe is None else ("accuracy", "chance_corrected")


def _lm_eval_metrics(replies: TaskReplies) -> dict[str, Any]:
    cells = {ACC: replies.aggregate("row_micro")}
    headline = replies.result.get("headline", "circular_micro" if replies.task.probe is None else "row_micro")
    if headline != "row_micro":
        cells[headline] = replies.aggregate(headline)
    others = {
        name: {"value": metric["value"], "se": None}
        for name, metric in replies.result.get("metrics", {}).items()
    }
    return _cells(others | cells)


def _lmms_eval_metrics(replies: TaskReplies) -> dict[str, Any]:
    probe, rows = replies.task.probe, replies.aggregate("row_micro")
    if probe is None:
        return _cells({"circular_micro": replies.aggregate("circular_micro"), "row_micro": rows})
    scale = 1 - probe.chance
    corrected = {
        "value": None if rows["value"] is None else (rows["value"] - probe.chance) / scale,
        "se": None if rows["se"] is None else rows["se"] / scale,
    }
    return _cells({"accuracy": rows, "chance_corrected": corrected})


def _cells(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns values and standard errors under the keys of both tools; "N/A" is their standard error of nothing."""
    entry: dict[str, Any] = {}
    for name, cell in cells.items():
        entry[f"{name},none"] = cell["value"]
        entry[f"{name}_stderr,none"] = "N/A" if cell["se"] is None else cell["se"]
    return entry


def _results(
    tasks: Sequence[TaskReplies],
    metrics: Mapping[str, Mapping[str, Any]],
    n_lines: Mapping[str, int],
    limit: str,
) -> dict[str, Any]:
    """Returns the results of both tools. What a run does not know (a git hash, an environment) is left out."""
    run = tasks[0].run
    spec = run.spec
    by_name = {replies.task.name: replies for replies in tasks}
    names = {
        name: [key.removesuffix(",none") for key in entry if "_stderr" not in key]
        for name, entry in metrics.items()
    }
    return {
        "results": {
            name: {"name": name, "alias": name, "sample_len": n_lines[name], **metrics[name]}
            for name in by_name
        },
        "group_subtasks": {name: [] for name in by_name},
        "configs": {name: _config(replies, names[name], limit) for name, replies in by_name.items()},
        "versions": {name: replies.task.version for name, replies in by_name.items()},
        "n-shot": dict.fromkeys(by_name, 0),
        "higher_is_better": {name: dict.fromkeys(names[name], True) for name in by_name},
        "n-samples": {
            name: {"original": len(replies.task.samples), "effective": n_lines[name]}
            for name, replies in by_name.items()
        },
        "config": {
            "model": spec.engine,
            "model_args": _model_arguments(spec),
            "gen_kwargs": None,
            "random_seed": spec.seed,
        },
        "model_source": spec.engine,
        "model_name": spec.model,
        "model_name_sanitized": model_folder(tasks[0]),
        STORED: {
            "version": ssl4rl_bench.__version__,
            "mark": spec.qualifier,
            "partial_reasons": [reason for replies in tasks for reason in replies.partial_reasons],
            "extractors": {name: replies.result["extractor"] for name, replies in by_name.items()},
            "n_groups_excluded": {
                name: replies.result["n_groups_excluded"] for name, replies in by_name.items()
            },
            "spec": spec.to_json(),
            "loading": {name: replies.loading for name, replies in by_name.items()},
            "replies_sha256": {name: replies.digest for name, replies in by_name.items()},
        },
    }


def _model_arguments(spec: RunSpec) -> dict[str, Any]:
    """Returns the model and its settings under the names of the tools' arguments; a default is left out."""
    known = {"min_pixels": spec.min_pixels, "max_pixels": spec.max_pixels}
    known |= {name: spec.engine_options.get(option) for name, option in _ARGUMENTS.items()}
    return {"pretrained": spec.model, **{name: value for name, value in known.items() if value is not None}}


def _config(replies: TaskReplies, metrics: Iterable[str], limit: str) -> dict[str, Any]:
    task = replies.task
    return {
        "task": task.name,
        "output_type": "generate_until",
        "num_fewshot": 0,
        "metric_list": [{"metric": name, "higher_is_better": True} for name in metrics],
        "generation_kwargs": _generation(replies, limit),
        "repeats": 1,
        "metadata": {"version": task.version, "prompt": task.prompt, "image": task.image},
    }


def _generation(replies: TaskReplies, limit: str) -> dict[str, Any]:
    """Returns the sampling of the run; `limit` is the tool's name of the token limit."""
    sampling = replies.run.spec.tasks[replies.task.name].sampling
    return {
        "until": [],
        limit: sampling.max_tokens,
        "do_sample": sampling.temperature > 0,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
    }


def _hash(text: str) -> str:
    """Returns the digest that both tools take of a text (`utils.py`, `hash_string`)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(values: Iterable[Mapping[str, Any]]) -> str:
    return "".join(f"{_json(value)}\n" for value in values)


def _json(value: Any, indent: int | None = None) -> str:
    """Returns JSON in ASCII, in which every text, also with lone surrogates, comes back unchanged."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        raise UsageError(
            "a metric is not a number, which these files cannot hold: no question is complete"
        ) from None
