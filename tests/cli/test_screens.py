"""What a user sees on a terminal of 60, 80, 110 and 200 columns.

Each file in `tests/data/screens` shows one command at all widths; `recorded` says how to write them anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import overview_runs
import pytest
import recorded
import screen_runs
import simulated
from numbers_shown import broken_numbers
from terminals import WIDTHS, shown, terminals
from test_doctor import H100, HF, with_packages

from ssl4rl_bench.cli import watching
from ssl4rl_bench.core.installing import Installer
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.task.leaks import LeakBaseline
from ssl4rl_bench.watch.judging import Terms, judge_checkpoint

MODELS = [f"runs/{model}" for model in screen_runs.SKILLS]
BASE, BETTER, WORSE = MODELS
MANY = [f"many/{model}" for model in overview_runs.MODELS]
HUB = [f"hub/{index}" for index in range(len(screen_runs.HUB_NAMES))]
MMBENCH = ("--tasks", "mmbench_dev_en")
COMMANDS: dict[str, tuple[str, ...]] = {
    "list_runs": ("list", "runs"),
    "list_tasks": ("list", "tasks"),
    "list_engines": ("list", "engines"),
    "list_recipes": ("list", "recipes"),
    "list_presets": ("list", "presets"),
    "fetch_list": ("fetch", "--list"),
    "show_hub_names": ("show", *HUB),
    "compare_hub_names": ("compare", *HUB, *MMBENCH),
    "wrong_word": ("list", "task"),
    "wrong_arguments": ("run", "tiny-base", "scenes"),
    "doctor": ("doctor",),
    "validate": ("validate", "mmbench_dev_en", "--data", "mmbench.tsv"),
    "validate_probe": ("validate", "ssl_rotation_90", "--images", "pictures"),
    "build": (
        "build",
        "ssl_rotation_90",
        "--images",
        "pictures",
        "--split",
        "0.5",
        "--workers",
        "1",
        "-o",
        "data",
    ),
    "train_dry_run": ("train", "ssl4rl_3b_mix", "--dry-run"),
    "run_dry_run": ("run", "--engine", "mock", *screen_runs.asked(screen_runs.TASKS[:1]), "--dry-run"),
    "run": ("run", "--engine", "mock", *screen_runs.asked(), "--limit", "7", "-o", "runs/new"),
    "run_shard": (
        *("run", "--engine", "mock", *screen_runs.asked(screen_runs.TASKS[:2])),
        *("--shard", "2/3", "-o", "parts/new"),
    ),
    "merge": ("merge", "parts/1", "parts/2", "-o", "parts/merged"),
    "merge_missing": ("merge", "parts/2"),
    "import": ("import", "predictions.csv", *MMBENCH, "--data", "mmbench.tsv", "-o", "runs/imported"),
    "import_refused": ("import", "predictions.csv", "--tasks", "scenes"),
    "ask": ("ask", "What is shown?", "--engine", "mock"),
    "show": ("show", *MODELS),
    "show_leaves": ("show", BASE, "--leaves", *MMBENCH),
    "show_blank_and_partial": ("show", "runs/random", "runs/blank", "runs/half"),
    "score": ("score", WORSE, "--dry-run", "--extractor", "strict"),
    "compare": ("compare", *MODELS),
    "compare_intervals": ("compare", BASE, BETTER, *MMBENCH, "--intervals"),
    "compare_published": ("compare", BASE, BETTER, *MMBENCH, "--published", "ssl4rl_mmbench"),
    "compare_methods": ("compare", *MODELS, *MMBENCH, "--by", "l1", "--group-by", "(base|Qwen|rotation)"),
    "compare_benchmarks": ("compare", *MANY, "--by", "overall", "--average", "mmstar,mmvp,hrbench_4k"),
    "compare_benchmarks_intervals": (
        "compare",
        *MANY,
        "-t",
        "mmstar,hrbench_4k",
        "--by",
        "overall",
        "--intervals",
    ),
    "show_benchmarks": ("show", *MANY),
    "gate_benchmarks": ("gate", "-b", MANY[0], "-c", MANY[1], "-p", "many.toml"),
    "gate_without_a_benchmark": ("gate", "-b", MANY[0], "-c", MANY[2], "-p", "many.toml"),
    "explain": ("explain", WORSE, "--against", BASE, *MMBENCH),
    "explain_published": ("explain", BETTER, "--against", "ssl4rl_mmbench:rotation", *MMBENCH),
    "explain_unknown": ("explain", BASE, "--against", "ssl4rl_mbench", *MMBENCH),
    "gate_pass": ("gate", "-b", BASE, "-c", BETTER, "-p", "gate.toml"),
    "gate_fail": ("gate", "-b", BASE, "-c", WORSE, "-p", "gate.toml"),
    "report_transfer": ("report", *MODELS, "--view", "transfer"),
    "report_bias": ("report", "runs/random", "runs/blank", "--view", "bias", "-a", "row_micro"),
    "audit_card": ("audit", "card", "card.md"),
    "audit_reading": ("audit", "reading", WORSE, *MMBENCH),
    "unknown_command": ("reprot", BASE),
    "unknown_task": ("validate", "scene"),
    "unknown_option": ("show", BASE, "--leafs"),
    "a_run_that_is_not_there": ("show", "runs/bsae"),
    "runs_that_differ": ("compare", "runs/random", "runs/half"),
}
"""The name of a screen, and the command that shows it."""
ONE_LINE = (
    "error: ",
    "Error: ",
    "ssl4rl-bench ",
    "pip install ",
    '"data_sha256": ',
    "<think>The mock engine ",
)
"""The beginnings of lines that the terminal breaks: errors, commands to copy, JSON, replies."""
BASELINES = [
    LeakBaseline("constant answer", 0.2604, (0.2310, 0.2921), 0.25, 2000, 12, differs=False),
    LeakBaseline("sizes", 0.9912, (0.9850, 0.9948), 0.25, 2000, 12, differs=True),
    LeakBaseline("borders", 0.2417, (0.2135, 0.2722), 0.25, 2000, 12, differs=False),
    LeakBaseline(
        "traces", 0.8542, (0.8211, 0.8820), 0.25, 2000, 12, differs=False, control=0.7708, unclear=True
    ),
    LeakBaseline("all statistics", 0.8750, (0.8436, 0.9008), 0.25, 2000, 12, differs=True),
]
"""Made-up baselines of `validate`, one of each kind."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screens")
    screen_runs.make(folder)
    return folder


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces what depends on the machine, and the only computation that takes seconds."""
    inventory = replace(with_packages(HF, vllm="0.31.0", torch="2.13.0+cpu"), gpus=(H100,))
    monkeypatch.setattr("ssl4rl_bench.run.machine.take_inventory", lambda runs: inventory)
    monkeypatch.setattr("ssl4rl_bench.run.doctor.installer", Installer)
    monkeypatch.setattr("ssl4rl_bench.task.leaks.baselines", lambda *_: BASELINES)
    monkeypatch.setattr("ssl4rl_bench.train.planning.plan._cached", lambda *_: None)
    monkeypatch.setenv("SSL4RL_DATA", "no-such-folder")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_screen_is_as_recorded(name: str, place: Path) -> None:
    with contextlib.chdir(place):
        code, screens = shown(*COMMANDS[name])
    ending = f"\n[exit code {code}]" if code else ""
    check(name, f"$ ssl4rl-bench {' '.join(COMMANDS[name])}{ending}", screens)


def test_a_watch_is_as_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of three checkpoints: the baseline, one that passes, and one that forgets what it knew."""
    rng = np.random.default_rng(3)
    abilities = {"step-000050": 0.5, "step-000100": 0.7, "step-000150": 0.2}
    runs = {name: simulated.run(name, rng.random(400) < share) for name, share in abilities.items()}
    for name in ("step-000100", "step-000150"):
        runs[name] = replace(runs[name], spec=replace(runs[name].spec, fingerprint=name * 6))
    policy = parse_policy({"rule": [{"task": simulated.TASK, "kind": "no_worse_than", "margin": 8}]})
    terms = Terms(policy, None, "run", tmp_path)

    def loop(plan: Any, asked: Any, data: Any, show: Any, say: Any, observer: Any) -> SimpleNamespace:
        base, best, new = None, None, []
        for name, run in runs.items():
            judged = judge_checkpoint(terms, base, best, run, name, f"runs/{name}")
            base, best = base or run, run if judged.entry.best else best
            hint = (
                "negative transfer, think of stopping: a probe rose"
                if judged.entry.verdict == "fail"
                else None
            )
            show(replace(judged, entry=replace(judged.entry, hint=hint)))
            new.append(judged.entry)
        say("the training has ended: no new checkpoint in 10 minutes")
        return SimpleNamespace(new=new, failed=False)

    monkeypatch.setattr("ssl4rl_bench.watch.loop.watch", loop)
    with terminals() as screens:
        code = watching.watch_and_print(None, None, ())  # type: ignore[arg-type]  # only the loop would read them
    assert code == 1
    check(
        "watch",
        "$ ssl4rl-bench watch out --policy gate.toml --tasks simulated",
        [s.getvalue() for s in screens],
    )


def check(name: str, heading: str, screens: Sequence[str]) -> None:
    """Compares screens of all widths with the file of this name."""
    parts, last = [heading], ""
    for width, screen in zip(WIDTHS, screens, strict=True):
        text = "\n".join(line.rstrip() for line in screen.strip("\n").splitlines())
        too_long = [line for line in text.splitlines() if len(line) > width]
        assert all(line.lstrip().startswith(ONE_LINE) for line in too_long), (width, too_long)
        assert not (broken := broken_numbers(text, screens[-1])), (width, broken)
        title = f"-- {width} columns"
        parts.append(f"{title}: the same" if text == last else f"{title + ' ':-<{width}}\n{text}")
        last = text
    recorded.check(f"screens/{name}", "\n\n".join(parts) + "\n")
