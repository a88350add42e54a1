"""The view of what `attend` wrote: what checkpoints lose if parts of a picture are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import reporting
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.reports.text.numbers import NO_DATA, bracketed, p_is, p_value, percent
from ssl4rl_bench.reports.views.attend_figure import draw
from ssl4rl_bench.reports.views.base import View
from ssl4rl_bench.reports.views.runs import ViewRuns

FILE = "attend.json"
SCHEMA = 1
ALPHA = 0.05
HEADERS = {
    "contrast": ("Asked hidden", "Other hidden", "Empty hidden", "Asked minus other"),
    "shuffled": ("Blank", "Shuffled"),
}
"""The columns of effects, by the headline."""
_EFFECTS = {"contrast": ("asked", "other", "empty", "contrast"), "shuffled": ("blank", "shuffled")}


def attend(runs: ViewRuns) -> View:
    """Makes the view from the attend.json of the baseline's folder, of its parent, or of `attend` in the latter.

    Raises:
        UsageError: there is no such file, or it does not have the baseline's weights.
        DataError: the file is damaged.
    """
    near = runs.baseline.path
    places = [folder / FILE for folder in (near, near.parent, near.parent / "attend")]
    path = next((place for place in places if place.is_file()), None)
    name = clean(runs.baseline.label)
    if path is None:
        raise UsageError(
            f"--view attend needs {FILE} next to the run of {name}: `ssl4rl-bench attend --model "
            f"{clean(runs.baseline.spec.model)} --model CHECKPOINT --out "
            f"{clean(near.parent / 'attend', 200)}` writes it"
        )
    values = read_attend(path)
    if all(model["fingerprint"] != runs.baseline.spec.fingerprint for model in values["models"]):
        raise UsageError(f"{path} has no checkpoint with the weights of {name}: run `attend` on it")
    return view_of(values)


def read_attend(path: Path) -> dict[str, Any]:
    """Reads a file that `attend` wrote.

    Raises:
        DataError: the file is damaged or has another schema.
    """
    with reporting(path, "read"):
        data = path.read_bytes()
    try:
        values: dict[str, Any] = parse_json(data)
        if values["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        view_of(values)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"cannot use {path} ({error}): run `ssl4rl-bench attend` again") from None
    return values


def view_of(values: Mapping[str, Any]) -> View:
    """Makes the view of a result in JSON values; effects are changes of the margin in nats."""
    headline = "contrast" if values["has_boxes"] else "shuffled"
    models: Sequence[Mapping[str, Any]] = values["models"]
    by_label = {row["label"]: row for row in values["differences"] if row["effect"] == headline}
    title = (
        "Sight: what hiding the object asked about costs"
        if values["has_boxes"]
        else "Sight: what the picture is worth"
    )
    return View(
        name="attend",
        title=f"{title}, in nats of margin ({clean(values['task'])})",
        sentence=" ".join(
            [_first(models[0], headline), *(_differs(row, values["least"]) for row in by_label.values())]
        ),
        headers=(
            "Checkpoint",
            "n",
            "Right %",
            "Margin",
            *HEADERS[headline],
            "95% interval",
            "p",
            "Minus baseline",
            "95% interval",
            "Holm p",
            "MDE",
        ),
        rows=tuple(_row(model, headline, by_label.get(model["label"])) for model in models),
        sheet=draw(values),
        note=(
            "Effects are changes of the margin: negative numbers mean that hiding hurts. The first interval and p "
            "are of the last effect. Holm p is that of a difference of at most "
            f"{values['least']:g} nats, over {len(values['differences'])} differences; MDE is the difference that is "
            "claimed with 80% power."
        ),
    )


def nats(value: float | None) -> str:
    """Formats a number of nats with its sign."""
    return NO_DATA if value is None else f"{round(value, 2) + 0.0:+.2f}"


def _row(model: Mapping[str, Any], headline: str, difference: Mapping[str, Any] | None) -> tuple[str, ...]:
    effect = model["effects"][headline]
    rest = (NO_DATA,) * 4
    if difference is not None:
        rest = (
            nats(difference["value"]),
            bracketed(_ends(difference), nats),
            p_value(difference["p_corrected"]),
            NO_DATA if difference["detectable"] is None else f"{difference['detectable']:.2f}",
        )
    return (
        clean(model["label"]),
        str(int(model["margin"]["n"])),
        percent(model["right"]),
        nats(model["margin"]["value"]),
        *(nats(model["effects"][name]["value"]) for name in _EFFECTS[headline]),
        bracketed(_ends(effect), nats),
        p_value(effect["p"]),
        *rest,
    )


def _first(model: Mapping[str, Any], headline: str) -> str:
    effect, label = model["effects"][headline], clean(model["label"])
    numbers = f"{nats(effect['value'])} nats {bracketed(_ends(effect), nats)}, {p_is(effect['p'])}"
    if headline == "contrast":
        what = (
            "hiding the object asked about, minus hiding another object of the picture, changes its margin by"
        )
    else:
        what = "another question's picture changes its margin by"
    text = f"{label}: {what} {numbers}."
    if effect["p"] >= ALPHA:
        text += " No dependence is shown."
    return text


def _differs(row: Mapping[str, Any], least: float) -> str:
    label, by = clean(row["label"]), f" by more than {least:g} nats" if least else ""
    numbers = f"{nats(row['value'])} nats {bracketed(_ends(row), nats)}, {p_is(row['p_corrected'])} after correction"
    if least:
        numbers += f" ({p_is(row['p'])} against exactly 0, without correction)"
    if row["p_corrected"] < ALPHA:
        word = "more" if row["value"] < 0 else "less"
        return f"{label} depends {word} on it than the baseline{by}: {numbers}."
    text = f"{label} is not shown to differ from the baseline{by}: {numbers}"
    if row["detectable"] is None:
        return f"{text}."
    return f"{text}; with n = {row['n']} a difference of {row['detectable']:.2f} is claimed with 80% power."


def _ends(mean: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = mean["ci95"]
    return None if ends is None else (float(ends[0]), float(ends[1]))
