"""The text of a model card, one function per section. Names from files are escaped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ssl4rl_bench import __version__
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import number
from ssl4rl_bench.reports.board.columns import AVERAGE_COLUMN, columns_of
from ssl4rl_bench.reports.model_card.card import UNSEEN, Card, CardRun, without_path
from ssl4rl_bench.reports.model_card.shown import card_name, footnote, shown_aggregations
from ssl4rl_bench.reports.result.probes import other_convention, probes_to_markdown
from ssl4rl_bench.reports.result.tables import reading_line
from ssl4rl_bench.reports.text.cells import count, dig, escape, markdown_table, short, value_and_interval
from ssl4rl_bench.reports.text.margins import margin_lines
from ssl4rl_bench.reports.text.numbers import NO_DATA, percent
from ssl4rl_bench.score.aggregate import OVERALL

SCENES_NOTE = (
    "`scenes` is drawn by ssl4rl-bench with exact answers. Its numbers are comparable only with those of other "
    "models on `scenes`: they are not MMBench results."
)


def summary(card: Card) -> str:
    """Describes the checkpoint, with the warnings that a reader of its numbers needs."""
    origin = card.origin
    if card.is_grpo:
        tasks = ", ".join(_code(short_name(task)) for task in dig(origin, "recipe", "tasks"))
        text = (
            f"{_base(card)} after {_int(origin.get('step'))} steps of reinforcement learning (GRPO). Rewards are for "
            f"self-supervised tasks, whose answers are known without labels: {tasks}."
        )
        if between := dig(origin, "interpolated"):
            text += f" Its weights are {_way(between)}."
    elif origin:
        start = f" from {_base(card)}" if card.base else ""
        text = f"A checkpoint trained{start} with labelled examples (supervised)."
    else:
        text = "A checkpoint that ssl4rl-bench evaluated."
    lines = [f"{text} Trained with ssl4rl-bench." if origin else text]
    data, reward = dig(origin, "data"), dig(origin, "recipe", "reward")
    if replayed := dig(data, "replay"):
        lines.append(_replay(replayed))
    if data.get("transductive"):
        every = (*card.overlap(), *card.replay_overlap())
        overlaps = [_overlap_text(item) for item in every if item.get("exact") or item.get("near")]
        lines.append(
            "> **Transductive:** it was trained on images of evaluation sets on purpose "
            f"({'; '.join(overlaps)}). Its results on them say nothing about images that it has not seen."
            if overlaps
            else "> **Transductive:** it was allowed to train on images of evaluation sets. "
            + ("None were found in those compared below." if card.overlap() else "No set was compared.")
        )
    if reward.get("shuffled"):
        lines.append(
            "> **A control:** its rewards were given for the answers of other samples. It is not meant for use."
        )
    if reward.get("scheme") == "released":
        lines.append(
            "> **Rewards as released:** trained with the rewards and label convention of the released SSL4RL "
            "data, for comparison only."
        )
    return "\n\n".join(lines)


def use(card: Card) -> str:
    """Shows how to load the checkpoint."""
    prompt = dig(card.origin, "recipe", "data").get("prompt")
    asked = (
        f"\n\nIt was trained with the prompt style {_code(prompt)} of ssl4rl-bench (`tasks/prompts.yaml`)."
        if prompt
        else ""
    )
    return f"""## Use

`FOLDER` is this folder, or its id on the Hub. With transformers:

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("FOLDER", dtype="auto")
processor = AutoProcessor.from_pretrained("FOLDER")
content = [{{"type": "image", "path": "photo.jpg"}}, {{"type": "text", "text": "What is shown?"}}]
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": content}}],
    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
)
reply = model.generate(**inputs.to(model.device), max_new_tokens=512)
print(processor.batch_decode(reply[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0])
```

With vLLM: `vllm serve FOLDER`. Its evaluation: `ssl4rl-bench run --model FOLDER --tasks scenes,ssl_probes`.{asked}"""


def training(card: Card) -> str:
    """Shows the training's data, settings and last metrics; empty if it was not trained with this program."""
    if not card.origin:
        return ""
    parts = ["## Training"]
    if data := dig(card.origin, "data"):
        parts.append(_data(card, data))
    rows = list(_settings(card) if card.is_grpo else _flat(dig(card.origin, "recipe")))
    parts.append(_table(("Setting", "Value"), rows))
    parts.append("`ssl4rl.json` holds the whole recipe.")
    if metrics := _last(card):
        parts.append(metrics)
    return "\n\n".join(parts)


def evaluation(card: Card) -> str:
    """Shows the tables of all runs."""
    if not card.runs:
        return (
            "## Evaluation\n\nNot evaluated yet. This fills the section:\n\n"
            "```sh\nssl4rl-bench run --model FOLDER --tasks scenes,ssl_probes --out runs/this\n"
            "ssl4rl-bench export runs/this --to model-card\n```"
        )
    parts = ["## Evaluation", f"By ssl4rl-bench {__version__}; percent, with 95% intervals."]
    for run in card.runs:
        parts += _run(card, run)
    return "\n\n".join(part.strip("\n") for part in parts)


def provenance(card: Card) -> str:
    """Lists hashes and versions."""
    origin = card.origin
    base = dig(origin, "base") or dig(origin, "init")
    known = {
        "Weights": card.fingerprint,
        "Base": base.get("fingerprint"),
        "Base, revision": base.get("revision"),
        "Recipe": origin.get("recipe_sha256"),
        "Training images": dig(origin, "data").get("manifest_sha256"),
    }
    hashes = [(what, _code(digest)) for what, digest in known.items() if digest]
    versions = ", ".join(f"{escape(clean(k))} {escape(clean(v))}" for k, v in dig(origin, "versions").items())
    parts = [
        "## Provenance",
        "SHA-256; that of weights is over configuration, tokenizer, processor and a part of each tensor.",
        markdown_table(("What", "Hash"), hashes, "l").rstrip(),
    ]
    if versions:
        parts.append(f"Trained with {versions}.")
    return "\n\n".join(parts)


SECTIONS = {
    "summary": summary,
    "use": use,
    "training": training,
    "evaluation": evaluation,
    "provenance": provenance,
}
"""The sections by name, in their order on the card."""


def _run(card: Card, run: CardRun) -> Iterator[str]:
    named: dict[str, Any] = {**run.result, "model": {"name": card.name}}
    tasks = dict(run.tasks())
    probes = [name for name, task_result in tasks.items() if dig(task_result, "probe")]
    engine = f"engine {run.spec.engine} {escape(clean(run.spec.engine_version))}"
    when = f", {clean(run.date)[:10]}" if run.date else ""
    if run.spec.engine in UNSEEN:
        yield f"Replies came from engine {run.spec.engine}: it was not checked that they are from this checkpoint."
    for reason in run.result.get("partial_reasons") or ():
        yield f"**Partial:** {escape(clean(reason, 200))}."
    for name, task_result in tasks.items():
        if name not in probes:
            yield f"### {escape(short(name))}\n\n{_asked(run, name, task_result)}; {engine}{when}."
            yield _abilities(run, name, task_result)
            yield from _read(card, name, task_result)
    if any(short_name(name) == "scenes" for name in tasks):
        yield SCENES_NOTE
    if probes:
        yield f"### Self-supervised probes\n\n{_asked(run, probes[0], tasks[probes[0]])}; {engine}{when}."
        yield probes_to_markdown([named], probes)
        yield (
            "A blind guess gets the chance column; 0 above chance is a blind guess, 100 is perfect. n counts samples."
        )
        for line in margin_lines([named], probes):
            yield escape(line)
        for name in probes:
            yield from _read(card, name, tasks[name], label=True)
        for line in other_convention(named, probes):
            yield f"Note: {escape(line)}."
    yield f"Run specification: `{run.spec.sha256}`; weights: {_code(run.spec.fingerprint)}."


def _abilities(run: CardRun, task: str, task_result: Mapping[str, Any]) -> str:
    aggregations = shown_aggregations(run.result, task)
    body = []
    for column in columns_of([run.result], task):
        is_all = column.level == OVERALL
        keys = (OVERALL,) if is_all else (column.level, column.name)
        cells = [dig(task_result, "aggregates", how, *keys) for how in aggregations]
        numbers = (text for cell in cells for text in (*value_and_interval(cell), count(cell)))
        header = AVERAGE_COLUMN.header if is_all else escape(clean(column.header, 200)) or NO_DATA
        body.append((header, *numbers, percent(cells[-1].get("unread"))))
    names = (card_name(how, task_result)[1] for how in aggregations)
    headers = ("Ability", *(text for name in names for text in (name, "95%", "n")), "Unread")
    return f"{markdown_table(headers, body).rstrip()}\n\n{footnote(task_result)}"


def _read(card: Card, name: str, task_result: Mapping[str, Any], label: bool = False) -> Iterator[str]:
    """Yields how replies were read, and whether images of the task were trained on.

    With `label`, lines start with the task's name, and the first is omitted if all replies were read by tags.
    """
    status = dict(dig(task_result, "status"))
    start = f"{escape(short(name))}: " if label else ""
    if not label or set(status) - {"tag"}:
        yield f"{start}{reading_line(task_result)}."
    if n_seen := card.seen(name, task_result):
        yield f"**{start}{n_seen} of the training images are in this set.**"


def _asked(run: CardRun, name: str, task_result: Mapping[str, Any]) -> str:
    sampling = run.spec.tasks[name].sampling
    known = run.spec.known
    how = "greedy" if sampling.temperature == 0 else f"temperature {sampling.temperature:g}"
    how = "decoding unknown" if "temperature" in run.spec.unknown else how
    repeats = f", {run.spec.repeats} replies each" if run.spec.repeats > 1 else ""
    limits = f", at least {run.spec.min_pixels} pixels" if run.spec.min_pixels else ""
    limits += f", at most {run.spec.max_pixels} pixels" if run.spec.max_pixels else ""
    unknown = [name for name in ("min_pixels", "max_pixels", "image") if name in run.spec.unknown]
    limits += f", unknown: {', '.join(unknown)}" if unknown else ""
    source = escape(clean(without_path(str(task_result.get("source", "")))))
    return (
        f"Data: {source}; prompt style {known('prompt', escape(clean(task_result.get('prompt'))))}, extractor "
        f"{escape(clean(task_result.get('extractor')))}, {how}{repeats}, "
        f"up to {known('max_tokens', str(sampling.max_tokens))} "
        f"tokens{limits}"
    )


def _data(card: Card, data: Mapping[str, Any]) -> str:
    recipe = dig(card.origin, "recipe", "data")
    how = (
        "with the same corruptions in every epoch"
        if recipe.get("frozen")
        else "corrupted differently in every epoch"
    )
    left = [
        f"1 was left out because {of_one}"
        if data[key] == 1
        else f"{_int(data[key])} were left out because {of_more}"
        for key, of_one, of_more in (
            ("over_long", "its prompt is too long", "their prompts are too long"),
            ("left_out", "it is in an evaluation set", "they are in evaluation sets"),
            ("unusable", "no task can use it", "no task can use them"),
        )
        if data.get(key)
    ]
    source = _code(without_path(str(data.get("source", ""))))
    lines = [f"{_int(data.get('images'))} images of {source}, {how}." + "".join(f" {why}." for why in left)]
    if card.overlap():
        lines.append("Training images that are in evaluation sets, at the start of training:")
        keys = ("images", "exact", "near")
        sets = [(_set(item), item) for item in card.overlap()]
        sets += [(f"{_set(item)} (of the replay)", item) for item in card.replay_overlap()]
        rows = [(name, *(_int(item.get(key)) for key in keys)) for name, item in sets]
        lines.append(_table(("Set", "Images of it", "Equal", "Look alike"), rows))
    else:
        lines.append("The images were not compared with any evaluation set.")
    return "\n\n".join(lines)


def _replay(replayed: Mapping[str, Any]) -> str:
    """Describes the questions of other abilities that were part of the training."""
    questions = (
        f"{_int(replayed.get('per_step'))} questions of "
        f"{_code(without_path(str(replayed.get('questions', ''))))} per step"
    )
    if replayed.get("kind") == "reward":
        return (
            f"> **Replay with labels:** {questions} were prompts too, rewarded if the answer was right. Its "
            "abilities were thus trained with labelled questions."
        )
    return (
        f"> **Replay:** to keep other abilities, the base's own replies to {questions} were part of the loss, with "
        f"weight {float(replayed.get('weight') or 0):g}. No labels were used for them."
    )


def _settings(card: Card) -> Iterator[tuple[str, str]]:
    origin, recipe = card.origin, dig(card.origin, "recipe")
    grpo, tasks = dig(recipe, "grpo"), dig(recipe, "tasks")

    def show(part: str, keys: str) -> str:
        table = dig(recipe, part)
        shown = [key for key in keys.split() if table.get(key) is not None]
        return ", ".join(f"{key.replace('_', ' ')} {table[key]}" for key in shown)

    weights = f"LoRA ({show('lora', 'rank alpha dropout')})" if dig(recipe, "lora") else "all"
    if adapters := dig(origin, "adapters"):
        weights += (
            f", adapters on {_int(adapters.get('language_model'))} matrices of the language model and "
            f"{_int(adapters.get('vision_tower'))} of the vision tower"
        )
    frozen = ", vision tower frozen" if dig(recipe, "model").get("freeze_vision") else ""
    replies = f"each of {grpo.get('prompts')} prompts with {grpo.get('group')} replies"
    times = "once" if grpo.get("iterations") == 1 else f"{grpo.get('iterations')} times"
    updates = f"in {grpo.get('updates')} parts, gone through {times}"
    yield "Tasks", ", ".join(f"{short_name(k)}, weight {v:g}" for k, v in tasks.items())
    yield "Reward", show("reward", "scheme format_weight extractor")
    if dig(recipe, "replay"):
        yield "Replay", show("replay", "kind share weight prompt max_reply_tokens")
    yield "Steps", f"{_int(origin.get('step'))}, {replies}"
    yield "Optimizer updates", f"{_int(origin.get('updates'))}; a step's replies {updates}"
    yield "Epochs", f"{float(origin.get('epochs') or 0):.2f} ({_int(origin.get('samples'))} prompts)"
    optimizer = "name learning_rate schedule warmup weight_decay clip_norm beta1 beta2"
    yield "Optimizer", show("optimizer", optimizer)
    yield "Objective", show("grpo", "loss scale clip clip_high kl entropy")
    yield "Tokens", show("grpo", "max_prompt_tokens max_reply_tokens mask_truncated")
    yield "Sampling", show("grpo", "temperature top_p top_k")
    yield "Trained weights", f"{weights}{frozen}; {show('model', 'dtype compute')}"
    if between := dig(origin, "interpolated"):
        yield "Interpolated", _way(between)
    yield "Pixels", show("model", "min_pixels max_pixels")
    yield "Rollouts", show("rollout", "engine")
    yield "Processes, seed", f"{_int(origin.get('processes'))}, {_int(origin.get('seed'))}"


def _way(between: Mapping[str, Any]) -> str:
    return f"{100 * float(between['share']):g}% of the way from the base's to those that training reached"


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yields every key and value of a recipe without a fixed form, with dotted keys."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{before}{key}.")
        elif isinstance(inner, list):
            counts = Counter(inner) if all(isinstance(item, str) for item in inner) else {}
            text = ", ".join(f"{item} (x{n})" if n > 1 else item for item, n in counts.items())
            yield f"{before}{key}", text or ", ".join(map(str, inner))
        else:
            yield f"{before}{key}", without_path(str(inner))


def _last(card: Card) -> str:
    """Formats some metrics of the last step."""
    metrics = dig(card.origin, "metrics")
    rewards = sorted(key for key in metrics if key.startswith("reward/"))
    values = {key: number(metrics.get(key)) for key in ("reward", *rewards, "kl", "entropy", "reply_tokens")}
    shares = {key: number(metrics.get(key)) for key in ("format", "cut_off")}
    shown = [
        f"{key.removeprefix('reward/')} {value:.4g}" for key, value in values.items() if value is not None
    ]
    shown += [
        f"{key.replace('_', ' ')} {100 * value:.1f}%" for key, value in shares.items() if value is not None
    ]
    return f"Metrics of the last step: {escape(', '.join(shown))}." if shown else ""


def _overlap_text(item: Mapping[str, Any]) -> str:
    near = f" and {_int(item.get('near'))} that look alike" if item.get("near") else ""
    return f"{escape(clean(_set(item)))}: {_int(item.get('exact'))} equal{near}"


def _set(item: Mapping[str, Any]) -> str:
    return without_path(str(item.get("set", "")))


def _table(headers: tuple[str, ...], rows: list[Any]) -> str:
    """Formats a Markdown table; from three columns on, all but the first are aligned to the right."""
    cells = [[escape(clean(cell, 200)) or NO_DATA for cell in row] for row in rows]
    return markdown_table(headers, cells, "lr" if len(headers) > 2 else "l").rstrip()


def _base(card: Card) -> str:
    if card.base_on_hub:
        return f"[{escape(card.base_on_hub)}](https://huggingface.co/{card.base_on_hub})"
    return _code(card.base) if card.base else "A model"


def _code(text: object) -> str:
    """Formats text as code; characters that names do not usually have become "?"."""
    return "`" + re.sub(r"[^\w .,:/@=+-]", "?", clean(text, 120)) + "`"


def _int(value: object) -> str:
    parsed = number(value)
    return NO_DATA if parsed is None else f"{parsed:,.0f}"
