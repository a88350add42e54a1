"""Measures what replay keeps: trains tiny-rotation further with and without it, and evaluates abilities and probe.

    python benchmarks/replay_effect.py --work build/replay

Each seed is trained with every arm on the same prompts. The arm "without" has weight 0, so that the replay's loss
is measured but not trained. Runs and evaluations follow one another on one core; each is kept in --work, and another
call continues where the last one stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import Comparison, Difference
from ssl4rl_bench.core import atomic
from ssl4rl_bench.reports.text.numbers import interval, p_value, percent, points
from ssl4rl_bench.stats.seeds import crossed
from ssl4rl_bench.train import checkpoint

ROOT = Path(__file__).parents[1]
SCENES, PROBE = "ssl4rl_scenes", "ssl4rl_ssl_rotation_90"
MEASURES = {"scenes": (SCENES, "circular_micro"), "probe": (PROBE, "row_micro")}
ARMS: dict[str, dict[str, object]] = {
    "without": {"replay.weight": 0.0},
    "self": {},
    "reward": {"replay.kind": "reward", "grpo.max_reply_tokens": 48},
}
"""Changes of the recipe tiny_rotation_replay by arm; the first arm is the baseline of the others."""
STEP_S, START_S, SAMPLE_S = 4.0, 25.0, 0.05
"""Seconds of a core for a step, the start of a run, and an evaluated sample: for the plan only."""
COPIES = 3.5
"""Average number of circular copies of a question of `scenes`."""


@dataclass(frozen=True)
class Settings:
    """The settings of all runs."""

    work: Path
    base: str
    steps: int
    share: float
    weight: float
    limit: int | None

    def command(self, *args: str, log: Path) -> None:
        """Runs an `ssl4rl-bench` command on one core; its output is appended to a file."""
        log.parent.mkdir(parents=True, exist_ok=True)
        env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with log.open("a") as file:
            done = subprocess.run(
                [sys.executable, "-m", "ssl4rl_bench", *args], stdout=file, stderr=file, env=env, check=False
            )
        if done.returncode:
            raise SystemExit(f"{' '.join(args)}: exit {done.returncode}, see {log}")

    def train(self, arm: str, seed: int) -> Path:
        """Trains an arm, unless it is complete, and returns the checkpoint."""
        out = self.work / "train" / f"{arm}-seed{seed}"
        last = checkpoint.complete_checkpoints(out) if out.is_dir() else []
        if last and last[-1].name == checkpoint.folder_name(self.steps, 1):
            return last[-1]
        keys: dict[str, object] = {
            "seed": seed,
            "model.base": self.base,
            "grpo.steps": self.steps,
            "save.every": self.steps,
            "replay.share": self.share,
            "replay.weight": self.weight,
            **ARMS[arm],
        }
        values = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
        resume = ["--resume"] if last else []
        recipe = str(ROOT / "train" / "recipes" / "tiny_rotation_replay.toml")
        self.command("train", recipe, *values, "--out", str(out), *resume, log=self.work / f"{out.name}.log")
        return checkpoint.complete_checkpoints(out)[-1]

    def evaluate(self, model: str | Path, name: str) -> Evaluated:
        """Evaluates a checkpoint on the abilities and the trained task's probe."""
        run = self.work / "runs" / name
        if not (run / "result.json").exists():
            limit = ["--limit", str(self.limit)] if self.limit else []
            args = ["--model", str(model), "--tasks", "scenes,ssl_rotation_90", "--engine", "hf", *limit]
            self.command("run", *args, "--out", str(run), log=self.work / f"{name}.log")
        return replace(load_evaluated([run])[0], label=name)


def document(base: Evaluated, runs: dict[str, list[Evaluated]], settings: Settings) -> Iterator[str]:
    """Yields the lines of the tables."""
    yield "| run | scenes | against the base | p | unread % | probe | against the base | p | replay loss |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    yield f"| {base.label} | {_value(base, 'scenes')} | | | {_unread(base)} | {_value(base, 'probe')} | | | |"
    for run in (run for of_arm in runs.values() for run in of_arm):
        scenes, probe = (_compared(base, run, name).overall for name in MEASURES)
        columns = [run.label, _value(run, "scenes"), *_difference(scenes), _unread(run)]
        columns += [_value(run, "probe"), *_difference(probe), _losses(settings.work, run.label)]
        yield f"| {' | '.join(columns)} |"
    yield ""
    yield "| against without | n | scenes | p | probe | p |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    without, *others = runs
    for arm in others:
        tables: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}
        for before, after in zip(runs[without], runs[arm], strict=True):
            columns = [after.label]
            for name in MEASURES:
                compared = _compared(before, after, name)
                cell = compared.overall
                tables[name].append(compared.groups)
                columns += [str(cell.n)] if name == "scenes" else []
                columns += _difference(cell)
            yield f"| {' | '.join(columns)} |"
        if len(runs[arm]) > 1:
            means = [crossed(np.stack(tables[name], axis=1)) for name in MEASURES]
            cells = [f"{points(mean.value)} {interval(mean.ci95, signed=True)}" for mean in means]
            yield f"| {arm}, mean over seeds | {means[0].n_groups} | {cells[0]} | | {cells[1]} | |"


def _compared(before: Evaluated, after: Evaluated, name: str) -> Comparison:
    task, how = MEASURES[name]
    allow = ("partial",)  # with --limit
    return compare_task(before, [after], task, by="overall", aggregation=how, allow=allow)[0]


def _difference(cell: Difference) -> list[str]:
    return [f"{points(cell.value)} {interval(cell.ci95, signed=True)}", p_value(cell.p)]


def _value(run: Evaluated, name: str) -> str:
    task, how = MEASURES[name]
    cell = run.result["tasks"][task]["aggregates"][how]["overall"]
    return f"{percent(cell['value'])} {interval(tuple(cell['ci95']))}"


def _unread(run: Evaluated) -> str:
    return percent(run.result["tasks"][SCENES]["aggregates"]["row_micro"]["overall"]["unread"])


def _losses(work: Path, name: str) -> str:
    """Returns the mean replay loss of the first and the last five steps."""
    rows = (work / "train" / name / "metrics.jsonl").read_text().splitlines()
    losses = [line["replay_loss"] for line in map(json.loads, rows) if "replay_loss" in line]
    return f"{np.mean(losses[:5]):.3f}, {np.mean(losses[-5:]):.3f}" if losses else ""


def plan(settings: Settings, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """Returns a sentence on the planned time."""
    runs = len(arms) * len(seeds)
    questions, samples = settings.limit or 600, settings.limit or 400
    training = runs * (START_S + settings.steps * STEP_S) / 60
    asking = (runs + 1) * (min(questions, 600) * COPIES + min(samples, 400)) * SAMPLE_S / 60
    return (
        f"planned: {runs} trainings of {settings.steps} steps, {training:.0f} min, and {runs + 1} evaluations, "
        f"{asking:.0f} min, on one core that nothing else uses"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "replay")
    parser.add_argument("--base", default="tiny-rotation")
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=["without", "self"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--share", type=float, default=0.5, help="replay.share")
    parser.add_argument("--weight", type=float, default=1.0, help="replay.weight")
    parser.add_argument("--limit", type=int, help="evaluated questions per task (default: all)")
    args = parser.parse_args()
    work = args.work.resolve()
    settings = Settings(work, args.base, args.steps, args.share, args.weight, args.limit)
    print(plan(settings, args.arms, args.seeds), flush=True)
    runs: dict[str, list[Evaluated]] = {arm: [] for arm in args.arms}
    for seed in args.seeds:
        for arm in args.arms:
            start = time.monotonic()
            made = settings.train(arm, seed)
            trained = time.monotonic()
            runs[arm].append(settings.evaluate(made, f"{arm}-seed{seed}"))
            minutes = (trained - start) / 60, (time.monotonic() - trained) / 60
            print(
                f"{arm}-seed{seed}: training {minutes[0]:.1f} min, evaluation {minutes[1]:.1f} min",
                flush=True,
            )
    base = settings.evaluate(args.base, "base")
    text = "\n".join(document(base, runs, settings)) + "\n"
    atomic.write_text(work / "tables.md", text)
    print(text)


if __name__ == "__main__":
    main()
