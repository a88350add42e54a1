"""Reproduces the model card's table in miniature: trains four SSL tasks and a mix from tiny-base on drawn pictures.

    python benchmarks/miniature.py             # trains, evaluates, writes docs/miniature.md; `make miniature`
    python benchmarks/miniature.py --seeds 1 --tasks rotation --no-ship

A learning rate that has an effect in so few steps makes the model forget nearly everything else. The shipped
checkpoints are therefore interpolated between tiny-base and the end of training (`ssl4rl-bench interpolate`);
the tables show both.

All files are stored in --work, and another call resumes. Each training and each evaluation uses one core, so as
many run in parallel as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.comparison.seeds import compare_method, methods_of
from ssl4rl_bench.core import atomic
from ssl4rl_bench.reports.board import board
from ssl4rl_bench.reports.board.export import to_markdown
from ssl4rl_bench.reports.board.probes import probe_rows
from ssl4rl_bench.reports.text.numbers import interval, p_value, points
from ssl4rl_bench.train import checkpoint
from ssl4rl_bench.train.curves import draw_many

ROOT = Path(__file__).parents[1]
BASE = "tiny-base"
PROBES = {
    "rotation": "ssl4rl_ssl_rotation_90",
    "jigsaw": "ssl4rl_ssl_jigsaw_2x2",
    "contrastive": "ssl4rl_ssl_contrastive_weak",
    "position": "ssl4rl_ssl_position",
}
SCENES = "ssl4rl_scenes"
TRAINED = (*PROBES, "mix")
SHARE = 0.4
"""Share of the way from tiny-base to the trained weights. It was chosen from the results of 0.3, 0.5 and 0.7
with rotation's first seed on 120 of the evaluation's questions; the other tasks and seeds were not used."""
PATH = (0.2, 0.4, 0.6, 0.8)
RECIPE_STEPS = 150
KEPT = (
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "processor_config.json",
    "ssl4rl.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


@dataclass(frozen=True)
class Trained:
    """A checkpoint of the miniature."""

    task: str
    seed: int
    work: Path
    steps: int | None
    share: float | None = None
    """Share of the way from tiny-base to the trained weights; None for the trained weights themselves."""

    @property
    def trained(self) -> str:
        return f"tiny-{self.task}" + ("" if self.seed == 1 else f"-seed{self.seed}")

    @property
    def name(self) -> str:
        """The checkpoint's label; the checkpoint that ships has the shortest one."""
        how = {None: " as trained", SHARE: ""}
        return self.trained + how.get(self.share, f" {self.share}")

    @property
    def out(self) -> Path:
        """The folder of the training run."""
        return self.work / "train" / self.trained

    @property
    def place(self) -> Path:
        """The folder of the checkpoint."""
        if self.share is None:
            return checkpoint.complete_checkpoints(self.out)[-1]
        return self.work / "interpolated" / f"{self.trained}-{self.share}"

    @property
    def run(self) -> Path:
        return self.work / "runs" / (self.trained if self.share is None else f"{self.trained}-{self.share}")

    def part(self, share: float) -> Trained:
        """Returns this checkpoint interpolated with tiny-base."""
        return replace(self, share=share)


def command(*args: str | Path, log: Path) -> None:
    """Runs an `ssl4rl-bench` command on one core and appends its output to a file."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as words:
        done = subprocess.run(
            [sys.executable, "-m", "ssl4rl_bench", *map(str, args)],
            stdout=words,
            stderr=words,
            env=env,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, args))}: exit {done.returncode}, see {log}")


def train(one: Trained) -> float:
    """Starts or resumes a training run; returns its total duration in seconds."""
    if one.steps is None and (one.out / f"step-{RECIPE_STEPS:06d}").is_dir():
        return seconds_of(one)
    resume = ["--resume"] if checkpoint.last_resumable(one.out) else []
    recipe = ROOT / "train" / "recipes" / f"tiny_{one.task}.toml"
    steps = ["--set", f"grpo.steps={one.steps}"] if one.steps else []
    settings = ["--set", f"seed={one.seed}", *steps, "--out", str(one.out), *resume]
    command("train", recipe, *settings, log=one.work / "logs" / f"train-{one.trained}.txt")
    return seconds_of(one)


def seconds_of(one: Trained) -> float:
    last = (one.out / "metrics.jsonl").read_text().splitlines()[-1]
    return float(json.loads(last)["seconds"])


def evaluate(one: Trained) -> None:
    """Evaluates a checkpoint on the scenes and probes, after writing it if it is interpolated."""
    log = one.work / "logs" / f"run-{one.run.name}.txt"
    if one.share is not None and not one.place.exists():
        source = replace(one, share=None).place
        command("interpolate", source, "--share", str(one.share), "--out", one.place, log=log)
    ask(one.place, one.run, log)


def asking(run: Evaluated) -> float:
    """Returns the duration of a run in seconds, from its exec.json."""
    sittings = json.loads((run.path / "exec.json").read_text())["sittings"]
    finished = [sitting for sitting in sittings if sitting["finished"]]  # a killed sitting has no end
    times = [
        [datetime.fromisoformat(sitting[key]) for key in ("started", "finished")] for sitting in finished
    ]
    return sum((ended - started).total_seconds() for started, ended in times)


def ask(model: str | Path, run: Path, log: Path) -> None:
    if (run / "result.json").exists():
        return
    command("run", "--model", model, "--tasks", "scenes,ssl_probes", "--engine", "hf", "--out", run, log=log)


def evaluated(done: Sequence[Trained]) -> list[Evaluated]:
    """Loads the runs of checkpoints, labelled with the checkpoints' names."""
    runs = load_evaluated([one.run for one in done])
    return [replace(run, label=one.name) for run, one in zip(runs, done, strict=True)]


def document(done: Sequence[Trained], work: Path) -> str:
    """Returns the generated part of docs/miniature.md."""
    base = replace(load_evaluated([work / "runs" / BASE])[0], label=BASE)
    return "\n".join(_document(base, done)) + "\n"


def _document(base: Evaluated, done: Sequence[Trained]) -> Iterator[str]:
    trained_runs, shipped = evaluated(done), evaluated([one.part(SHARE) for one in done])
    first = [run for run, one in zip(shipped, done, strict=True) if one.seed == done[0].seed]
    yield "### The table"
    yield ""
    yield f"Seed {done[0].seed} of each, {100 * SHARE:g}% of the way from tiny-base to where training ended."
    yield ""
    yield to_markdown([board.build_board(base, first, SCENES)], intervals=True)
    yield "### Their probes"
    yield ""
    yield to_markdown([], probe_rows(base, first, list(PROBES.values())))
    for title, runs in (("What ships", shipped), ("As training left them", trained_runs)):
        yield f"### {title}, against tiny-base"
        yield ""
        yield "Points with 95% intervals. By reading: from replies that could be read in one of the two only."
        yield ""
        yield "| checkpoint | own probe | p | scenes | p | of it by reading | by answers | training, minutes |"
        yield "| --- |" + " ---: |" * 7
        for one, run in zip(done, runs, strict=True):
            (scenes,) = compare_task(base, [run], SCENES)
            cell, probe = scenes.overall, probe_difference(base, run, one.task)
            row = [
                run.label,
                *((_cell(probe), p_value(probe.p)) if probe else ("–", "–")),
                _cell(cell),
                p_value(cell.p),
                points(cell.from_reading.value),
                points(cell.from_answers.value),
                f"{seconds_of(one) / 60:.0f}",
            ]
            yield f"| {' | '.join(row)} |"
        yield ""
    if len({one.seed for one in done}) > 1:
        yield "### Over seeds"
        yield ""
        yield "Intervals are of the task's mean over seeds and questions (two-way random effects)."
        yield ""
        yield "| task | seeds | own probe | scenes | own probe as trained | scenes as trained |"
        yield "| --- | ---: |" + " ---: |" * 4
        for task in dict.fromkeys(one.task for one in done):
            methods = [
                methods_of(
                    [
                        replace(run, label=one.trained)
                        for run, one in zip(runs, done, strict=True)
                        if one.task == task
                    ],
                    "seed",
                )[0]
                for runs in (shipped, trained_runs)
            ]
            if len(methods[0].runs) < 2:
                continue
            cells = [
                compare_method(base, method, name, by="overall", aggregation=how)[0].mean
                for method in methods
                for name, how in ((PROBES[task], "row_micro"), (SCENES, "circular_micro"))
            ]
            yield f"| {task} | {len(methods[0].runs)} | {' | '.join(map(_cell, cells))} |"
        yield ""
    trained, asked = sum(map(seconds_of, done)) / 60, sum(map(asking, [*trained_runs, *shipped])) / 60
    yield (
        f"Training took {trained:.0f} minutes of a core, and these evaluations {asked:.0f}: on "
        f"{os.cpu_count()} cores some {(trained + asked) / 60 / (os.cpu_count() or 1):.1f} hours together."
    )


def _cell(of: Any) -> str:
    return f"{points(of.value)} {interval(of.ci95, signed=True)}"


def draw_path(one: Trained, out: Path) -> None:
    """Plots the trained task's probe and the abilities on the way from tiny-base to a trained checkpoint."""
    from matplotlib.figure import Figure

    ways = [one.part(share) for share in sorted({*PATH, SHARE})]
    runs = [load_evaluated([one.work / "runs" / BASE])[0], *evaluated([*ways, one])]
    shares = [0.0, *(way.share or 0.0 for way in ways), 1.0]
    figure = Figure((6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for task, how, colour in (
        (SCENES, "circular_micro", "#0a6ebd"),
        (PROBES[one.task], "row_micro", "#d1495b"),
    ):
        cells = [run.result["tasks"][task]["aggregates"][how]["overall"] for run in runs]
        value = [100 * cell["value"] for cell in cells]
        low, high = ([100 * cell["ci95"][end] for cell in cells] for end in (0, 1))
        axes.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0)
        label = "abilities (scenes, Average)" if task == SCENES else f"own probe ({one.task})"
        axes.plot(shares, value, color=colour, marker="o", label=label)
    axes.axvline(SHARE, color="#6b7078", linestyle=(0, (4, 3)), linewidth=1)
    axes.set(xlabel="share of the way from tiny-base to the trained weights", ylabel="%", ylim=(0, 100))
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(out, dpi=150)


def probe_difference(base: Evaluated, run: Evaluated, task: str) -> Difference | None:
    """Returns the difference on the probe of the trained task; None for the mix."""
    if task not in PROBES:
        return None
    return compare_task(base, [run], PROBES[task], by="overall", aggregation="row_micro")[0].overall


def ship(one: Trained) -> None:
    """Copies a checkpoint to the bundled ones and adds its results to its model card."""
    place = ROOT / "ssl4rl_bench" / "checkpoints" / one.trained
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(one.place / name, place / name)
    command("export", one.run, "--to", "model-card", "--out", place, log=one.work / "logs" / "cards.txt")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "miniature")
    parser.add_argument("--tasks", nargs="+", choices=TRAINED, default=list(TRAINED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, help="number of steps, instead of the recipes' (for a trial)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--no-ship", action="store_true", help="do not change the bundled checkpoints and docs"
    )
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    todo = [
        Trained(task, seed, work, args.steps)
        for seed in args.seeds
        for task in args.tasks
        if task != "mix" or seed == args.seeds[0]
    ]

    def train_and_evaluate(one: Trained) -> None:
        seconds = train(one)
        shares = PATH if one is todo[0] else ()
        for checkpoint_run in (one, *(one.part(share) for share in sorted({*shares, SHARE}))):
            evaluate(checkpoint_run)
        print(f"{one.trained}: {seconds / 60:.1f} min of training", flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        base = pool.submit(ask, BASE, work / "runs" / BASE, work / "logs" / f"run-{BASE}.txt")
        list(pool.map(train_and_evaluate, todo))
        base.result()
    text = document(todo, work)
    (work / "tables.md").write_text(text)
    print(text)
    draw_many({one.trained: one.out / "metrics.jsonl" for one in todo}, work / "miniature.png")
    draw_path(todo[0], work / "miniature-path.png")
    if args.no_ship:
        return
    for one in todo:
        if one.seed == 1 and one.task in PROBES:
            ship(one.part(SHARE))
    page = ROOT / "docs" / "miniature.md"
    mark, end = "<!-- tables -->", "<!-- end of tables -->"
    old = page.read_text() if page.is_file() else f"# The card's table in miniature\n\n{mark}\n{end}\n"
    head, _, rest = old.partition(mark)
    atomic.write_text(page, f"{head}{mark}\n{text}{end}{rest.partition(end)[2]}")
    for name in ("miniature.png", "miniature-path.png"):
        shutil.copyfile(work / name, ROOT / "docs" / name)


if __name__ == "__main__":
    main()
