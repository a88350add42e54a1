"""The sentence of each view, in `tests/data/words/views.txt`: each way in which it can come out.

`recorded` says how to write the file anew.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import recorded
from view_runs import TASK, asked, with_probes

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.gating.judge import apply
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.gate.view import gate_views
from ssl4rl_bench.reports.views import VIEWS, View, by_sight, gather
from ssl4rl_bench.reports.views.curves import CurvePoint, curves


def right(n: int, k: int) -> np.ndarray:
    """The first k of n are right."""
    return (np.arange(n) < k).astype(float)


def view(name: str, *runs: Evaluated, trained: tuple[str, ...] = ()) -> str:
    real, blind = by_sight(runs)
    try:
        return VIEWS[name](gather(real[0], real[1:], blind, trained=trained)).sentence
    except UsageError as error:
        return f"UsageError: {error}"


PROBES = {
    "ssl4rl_ssl_rotation_90": ("rotation", "step 90", 0.25, 0.75),
    "ssl4rl_ssl_rotation_45": ("rotation", "step 45", 0.125, 0.125),
    "ssl4rl_ssl_jigsaw_2x2": ("jigsaw", "2x2", 1 / 24, 1 / 24),
    "ssl4rl_ssl_jigsaw_3x3": ("jigsaw", "3x3", 1 / 362_880, 0.0),
    "ssl4rl_ssl_position": ("position", "quadrants", 0.25, 0.5),
    "ssl4rl_ssl_position_3x3": ("position", "3x3 grid", 1 / 9, 0.4),
}


def test_sentences_of_views() -> None:
    n = 120
    base, same = asked("base", right(n, 80)), asked("same", right(n, 80))
    up, down = asked("up", np.ones(n)), asked("down", np.zeros(n))
    unread = asked("unread", np.zeros(n), read=np.zeros(n))
    others = [asked(f"down {number}", np.zeros(n)) for number in range(5)]
    measured = with_probes(base, PROBES)
    mixed = [
        asked("tiny-mix", right(n, 110)),
        asked("tiny-rotation", right(n, 100)),
        asked("tiny-jigsaw", right(n, 90)),
    ]
    seeds = [asked("tiny-mix", right(n, 110)), asked("tiny-mix-seed2", right(n, 112)), *mixed[1:]]

    def blind(run: Evaluated, k: int, image: str = "blank") -> Evaluated:
        return asked(run.label, right(n, k), run.label, image=image)

    mix = "tiny-mix=ssl_rotation_90+ssl_jigsaw_2x2"
    found = {
        "transfer, nothing is shown": view("transfer", base, same),
        "transfer, nothing is shown of several": view("transfer", base, same, asked("equal", right(n, 80))),
        "transfer, better": view("transfer", base, up),
        "transfer, worse": view("transfer", base, down),
        "transfer, better and worse": view("transfer", base, up, down, same),
        "transfer, worse as it cannot be read": view("transfer", base, unread),
        "transfer, worse in many": view("transfer", base, *others),
        "transfer, alone": view("transfer", base),
        "goldilocks, nothing was trained": view("goldilocks", measured),
        "goldilocks, trained at one": view("goldilocks", measured, up, trained=("up=ssl_rotation_90",)),
        "goldilocks, trained at two": view(
            "goldilocks", measured, up, down, trained=("up=ssl_rotation_90", "down=ssl_rotation_45")
        ),
        "goldilocks, trained at two, not told apart": view(
            "goldilocks",
            measured,
            up,
            asked("top", np.ones(n)),
            trained=("up=ssl_rotation_90", "top=ssl_rotation_45"),
        ),
        "goldilocks, difficulty not known": view(
            "goldilocks", measured, asked("tiny-rotation", np.ones(n)), same
        ),
        "goldilocks, one difficulty": view("goldilocks", base),
        "additivity": view("additivity", base, *mixed, trained=(mix,)),
        "additivity, seeds": view("additivity", base, *seeds, trained=(mix, mix.replace("=", "-seed2=", 1))),
        "additivity, one task is missing": view("additivity", base, *mixed, trained=(f"{mix}+ssl_position",)),
        "additivity, no mix": view("additivity", base, *mixed[1:]),
        "additivity, one single": view("additivity", base, *mixed[:2], trained=(mix,)),
        "bias, nothing": view("bias", base, blind(base, 80)),
        "bias, of the baseline": view("bias", base, blind(base, 30)),
        "bias, more and less": view("bias", base, blind(base, 40), up, blind(up, 20), down, blind(down, 0)),
        "bias, the same": view("bias", base, blind(base, 40), same, blind(same, 40)),
        "bias, one has no such run": view(
            "bias", base, blind(base, 40, "shuffled"), same, blind(base, 40, "none")
        ),
        "bias, no run without images": view("bias", base, same),
    }
    recorded.check_cases("words/views", found)


def test_labels_of_figures() -> None:
    """Every text that stands in a figure, but for its numbers."""
    base, up, down = (asked(name, right(60, k)) for name, k in (("base", 40), ("up", 60), ("down", 0)))
    measured = with_probes(base, PROBES, n=60)
    mix, *singles = (
        asked(f"tiny-{name}", right(60, k)) for name, k in (("mix", 55), ("rotation", 50), ("jigsaw", 45))
    )
    blind = [asked(run.label, right(60, k), run.label, image="blank") for run, k in ((base, 20), (up, 10))]
    points = [
        CurvePoint(50.0 * at, f"step-{at}", verdict, {"tasks": {"ssl4rl_scenes": {"aggregates": ABILITIES}}})
        for at, verdict in enumerate(("baseline", "pass", "fail", "inconclusive"))
    ]
    policy = parse_policy({"rule": [{"task": TASK, "kind": "no_worse_than", "margin": 8}]})
    rules, *_ = gate_views(apply(policy, base, down))
    views = [
        VIEWS["transfer"](gather(measured, [with_probes(up, PROBES, n=60), with_probes(down, PROBES, n=60)])),
        VIEWS["goldilocks"](gather(measured, [up], trained=("up=ssl_rotation_90",))),
        VIEWS["additivity"](
            gather(base, [mix, *singles], trained=("tiny-mix=ssl_rotation_90+ssl_jigsaw_2x2",))
        ),
        VIEWS["bias"](gather(base, [up], by_sight([base, up, *blind])[1])),
        curves(points),
        rules,
    ]
    recorded.check_cases("words/figures", {view.name: labels(view) for view in views})


ABILITIES = {
    "circular_micro": {
        "overall": {"value": 0.5, "ci95": [0.4, 0.6]},
        "l2": {"logic_reasoning": {"value": 0.2}},
    }
}


def labels(view: View) -> str:
    assert view.sheet is not None
    texts = ElementTree.fromstring(str(view.sheet.svg(view.title))).iter("text")
    found = ("".join(text.itertext()) for text in texts)
    return "\n".join([view.title, *dict.fromkeys(text for text in found if re.search("[A-Za-z]{2}", text))])
