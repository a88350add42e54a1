"""A model card's machine-readable parts: the YAML metadata with `model-index`, and `.eval_results/*.yaml`.

Formats: Hugging Face's modelcard.md and eval_results.yaml in github.com/huggingface/hub-docs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ssl4rl_bench import __version__
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number, parse_yaml
from ssl4rl_bench.engines.checkpoints.weights import bundled_names
from ssl4rl_bench.reports.board.columns import columns_of
from ssl4rl_bench.reports.model_card.card import Card, CardRun, hub_data
from ssl4rl_bench.reports.model_card.shown import card_name, shown_aggregations
from ssl4rl_bench.reports.text.cells import ci95, dig, short
from ssl4rl_bench.reports.text.numbers import percent
from ssl4rl_bench.score.aggregate import OVERALL
from ssl4rl_bench.score.headline import headline_of
from ssl4rl_bench.task.taskfile import load_taskfile

OWN = "ssl4rl_spec_sha256"
"""The argument of a metric that holds the run's spec; it marks a `model-index` result as written here."""
_LICENSE = ("license", "license_name", "license_link")


class _Dumper(yaml.SafeDumper):
    """Quotes a string with a Unicode line break, which PyYAML otherwise writes so that it is read back as another."""


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent)


def metadata(card: Card, old: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the card's metadata: existing entries are kept, tags added, and results written here replaced.

    Args:
        old: the metadata of the existing card, or empty.
    """
    out = dict(old)
    ours: dict[str, Any] = _license(card)
    if card.base_on_hub:
        ours |= {"base_model": card.base_on_hub, "base_model_relation": "finetune"}
    ours |= {"library_name": "transformers", "pipeline_tag": "image-text-to-text"}
    for key, value in ours.items():
        out.setdefault(key, value)
    tags = out.get("tags") or []
    out["tags"] = list(dict.fromkeys([*([tags] if isinstance(tags, str) else tags), *_tags(card)]))
    if card.runs:
        index = [{"name": clean(card.name), "results": results}] if (results := model_results(card)) else []
        out["model-index"] = [*_of_others(old.get("model-index")), *index]
    if not out.get("model-index"):
        out.pop("model-index", None)
    return out


def model_results(card: Card) -> list[dict[str, Any]]:
    """Builds `results` of `model-index`: one per task and complete run, in percent with two decimals."""
    kinds = {True: "Self-supervised probe", False: "Multiple-choice visual question answering"}
    return [
        {
            "task": {"type": "image-text-to-text", "name": kinds[bool(dig(task_result, "probe"))]},
            "dataset": _dataset(name, task_result),
            "metrics": _metrics(card, run, name, task_result),
        }
        for run, name, task_result in card.results()
    ]


def eval_results(card: Card) -> dict[str, list[dict[str, Any]]]:
    """Builds file contents by file name, for each task of a complete run whose data set is on the hub.

    The value is the number that the benchmark publishes (`score.headline`), in percent.
    """
    out = {}
    for run, name, task_result in card.results():
        data = hub_data(name, task_result)
        published = headline_of([run.result], name)
        overall = dig(task_result, "aggregates", published, "overall")
        value = number(overall.get("value"))
        if data is None or value is None:
            continue
        repo, config, split, revision = data
        dataset = {"id": repo, "task_id": short(name)} | ({"revision": revision} if revision else {})
        interval = "-".join(map(percent, overall.get("ci95") or ())) or "unknown"
        notes = (
            f"{card_name(published, task_result)[0]} in percent, {config or 'default'}/{split}; "
            f"n {overall.get('n')}; 95% interval {interval}; "
            f"unread {percent(number(overall.get('unread')) or 0.0)}%; "
            f"prompt {run.spec.known('prompt', str(task_result.get('prompt')))}; "
            f"extractor {task_result.get('extractor')}; engine {run.spec.engine} "
            f"{run.spec.engine_version}; ssl4rl-bench {__version__}"
        )
        if n_seen := card.seen(name, task_result):
            notes += f"; trained on {n_seen} images of this set"
        entry = {"dataset": dataset, "value": round(100 * value, 2)}
        entry |= {"date": run.date} if run.date else {}
        out[f"{short(name)}.yaml"] = [entry | {"notes": clean(notes, 500)}]
    return out


def dump(value: Any) -> str:
    """Dumps a value as YAML without sorting keys; any string is read back as the same string."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


def parse_metadata(text: str, path: Path) -> dict[str, Any]:
    """Parses the metadata of a card.

    Raises:
        DataError: the text is not a YAML mapping.
    """
    reason = ""
    try:
        value = parse_yaml(text.encode("utf-8", "replace"))
    except ValueError as error:
        value, reason = error, f" ({error})"
    if value is not None and not isinstance(value, dict):
        raise DataError(
            f"{path}: the text between the lines --- is not a YAML mapping{reason}: correct or delete it."
        )
    return value or {}


def _tags(card: Card) -> list[str]:
    model_type = card.config.get("model_type")
    tags = [str(model_type)] if model_type else []
    if card.is_grpo:
        tags += ["ssl4rl", "grpo", "reinforcement-learning", "self-supervised"]
        tags += [short(str(task)) for task in dig(card.origin, "recipe", "tasks")]
    return [clean(tag) for tag in [*tags, "ssl4rl-bench"]]


def _license(card: Card) -> dict[str, Any]:
    """Returns the license of the base from its card, if the base is bundled or in a local folder."""
    base = str(dig(card.origin, "base").get("name") or "")
    folder = Path(base).expanduser()
    if base in bundled_names():
        from ssl4rl_bench.engines.checkpoints.weights import resolve_model

        folder = resolve_model(base).path
    readme = folder / "README.md"
    if not base or not readme.is_file():
        return {}
    start, _, rest = readme.read_text("utf-8-sig", "replace").partition("---\n")
    header = parse_metadata(rest.partition("\n---\n")[0], readme) if not start else {}
    return {key: header[key] for key in _LICENSE if key in header}


def _of_others(index: object) -> list[dict[str, Any]]:
    """Returns the results of an existing `model-index` that were not written here."""
    models = []
    for model in index if isinstance(index, list) else []:
        results = model.get("results") if isinstance(model, Mapping) else None
        if (
            others := [result for result in results if not _is_own(result)]
            if isinstance(results, list)
            else []
        ):
            models.append({**model, "results": others})
    return models


def _is_own(result: object) -> bool:
    metrics = result.get("metrics") if isinstance(result, Mapping) else None
    return any(OWN in dig(metric, "args") for metric in metrics) if isinstance(metrics, list) else False


def _dataset(name: str, task_result: Mapping[str, Any]) -> dict[str, Any]:
    data = hub_data(name, task_result)
    if data is None:
        return {"type": clean(name), "name": _title(name)}
    repo, config, split, revision = data
    more = {"config": config, "split": split, "revision": revision}
    return {"type": repo, "name": _title(name)} | {key: value for key, value in more.items() if value}


def _metrics(card: Card, run: CardRun, name: str, task_result: Mapping[str, Any]) -> list[dict[str, Any]]:
    cells: list[tuple[str, Mapping[str, Any], dict[str, Any]]] = []
    if probe := dig(task_result, "probe"):
        more = {"chance": round(100 * float(probe["chance"]), 2)}
        unread = dig(task_result, "aggregates", "row_micro", "overall").get("unread")
        cells.append(("Accuracy", {**dig(probe, "accuracy"), "unread": unread}, more))
    else:
        aggregations = shown_aggregations(run.result, name)
        titles = {how: card_name(how, task_result)[0] for how in aggregations}
        cells += [
            (title, dig(task_result, "aggregates", how, "overall"), {"aggregation": how})
            for how, title in titles.items()
        ]
        published = aggregations[0]
        cells += [
            (
                f"{titles[published]}, {column.header}",
                dig(task_result, "aggregates", published, column.level, column.name),
                {"aggregation": published},
            )
            for column in columns_of([run.result], name)
            if column.level != OVERALL
        ]
    out = []
    for title, cell, more in cells:
        if (value := number(cell.get("value"))) is None:
            continue
        args = {**more, "n": cell.get("n"), "ci95": [round(100 * end, 2) for end in ci95(cell) or ()]}
        args |= {
            "unread": round(100 * (number(cell.get("unread")) or 0.0), 2),
            "prompt": task_result.get("prompt"),
        }
        args |= {"trained_on_images_of_it": n_seen} if (n_seen := card.seen(name, task_result)) else {}
        args[OWN] = str(run.result.get("spec_sha256") or run.spec.sha256)
        out.append({"type": "accuracy", "value": round(100 * value, 2), "name": title, "args": args})
    return out


def _title(name: str) -> str:
    try:
        return clean(load_taskfile(name).title)
    except UsageError:
        return short(name)
