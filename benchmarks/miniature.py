"""The model card's table in miniature, truly trained: four SSL tasks and a mix, from tiny-base, on drawn pictures.

    python benchmarks/miniature.py             # trains, evaluates, writes docs/miniature.md; `make miniature`
    python benchmarks/miniature.py --seeds 1 --tasks rotation --no-ship

Everything is kept in --work; run again, it goes on where it was. Each training and each evaluation takes one core,
so that as many run side by side as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ssl4rl_bench.cli.evaluated import load_evaluated
from ssl4rl_bench.compare import compare
from ssl4rl_bench.comparison import Difference
from ssl4rl_bench.methods import compare_method, methods_of
from ssl4rl_bench.pairing import Evaluated
from ssl4rl_bench.reports import board, board_export, probe_board
from ssl4rl_bench.reports.numbers import interval, p_value, points
from ssl4rl_bench.store import atomic
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
KEPT = ("README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors")
KEPT += ("processor_config.json", "ssl4rl.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Trained:
    """A checkpoint of the miniature."""

    task: str
    seed: int
    work: Path
    steps: int | None

    @property
    def name(self) -> str:
        return f"tiny-{self.task}" + ("" if self.seed == 1 else f"-seed{self.seed}")

    @property
    def out(self) -> Path:
        return self.work / "train" / self.name

    @property
    def run(self) -> Path:
        return self.work / "runs" / self.name


def command(*args: str | Path, log: Path) -> None:
    """One `ssl4rl-bench` command on one core, its words in a file."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as words:
        done = subprocess.run(
            [sys.executable, "-m", "ssl4rl_bench", *map(str, args)], stdout=words, stderr=words, env=env
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, args))}: exit {done.returncode}, see {log}")


def train(one: Trained) -> float:
    """Trains, or goes on training; returns the seconds that training took in all."""
    resume = ["--resume"] if checkpoint.last_resumable(one.out) else []
    recipe = ROOT / "train" / "recipes" / f"tiny_{one.task}.toml"
    steps = ["--set", f"grpo.steps={one.steps}"] if one.steps else []
    settings = ["--set", f"seed={one.seed}", *steps, "--out", one.out, *resume]
    command("train", recipe, *settings, log=one.work / "logs" / f"train-{one.name}.txt")
    last = (one.out / "metrics.jsonl").read_text().splitlines()[-1]
    return float(json.loads(last)["seconds"])


def evaluate(name: str, model: str | Path, work: Path) -> Path:
    """Scenes and probes of a checkpoint; returns the run's folder."""
    run = work / "runs" / name
    asked = ["--model", model, "--tasks", "scenes,ssl_probes", "--engine", "hf", "--out", run]
    command("run", *asked, log=work / "logs" / f"run-{name}.txt")
    return run


def evaluated(base: Path, done: Sequence[Trained]) -> list[Evaluated]:
    """The runs under the checkpoints' own names, tiny-base first."""
    found = load_evaluated([base, *(one.run for one in done)])
    return [
        replace(run, label=name) for run, name in zip(found, [BASE, *(one.name for one in done)], strict=True)
    ]


def document(done: Sequence[Trained], work: Path, seconds: dict[str, float], spent: float) -> str:
    """The generated part of docs/miniature.md."""
    return "\n".join(_document(done, work, seconds, spent)) + "\n"


def _document(done: Sequence[Trained], work: Path, seconds: dict[str, float], spent: float) -> Iterator[str]:
    base, *others = evaluated(work / "runs" / BASE, done)
    first = [run for run, one in zip(others, done, strict=True) if one.seed == done[0].seed]
    yield "### The table"
    yield ""
    yield "Seed 1 of each. " + board_export.to_markdown([board.build(base, first, SCENES)], intervals=True)
    yield "### The probes"
    yield ""
    yield board_export.to_markdown([], probe_board.probe_rows(base, first, list(PROBES.values())))
    yield "### Each checkpoint against tiny-base"
    yield ""
    yield "Points with 95% intervals. By reading: what comes from replies that could be read in one of the two only."
    yield ""
    yield "| checkpoint | own probe | p | scenes | of it by reading | by answers | training, minutes |"
    yield "|" + " --- |" * 7
    for one, run in zip(done, others, strict=True):
        (scenes,) = compare(base, [run], SCENES)
        cell = scenes.overall
        own = probe_difference(base, run, one.task)
        row = [
            one.name,
            f"{points(own.value)} {interval(own.ci95, signed=True)}" if own else "",
            p_value(own.p) if own else "",
            f"{points(cell.value)} {interval(cell.ci95, signed=True)}",
            points(cell.from_reading.value),
            points(cell.from_answers.value),
            f"{seconds[one.name] / 60:.0f}",
        ]
        yield f"| {' | '.join(row)} |"
    yield ""
    if len({one.seed for one in done}) > 1:
        yield "### Over seeds"
        yield ""
        yield "Intervals hold for another seed on other questions (two-way random effects)."
        yield ""
        yield "| task | seeds | own probe | scenes |"
        yield "|" + " --- |" * 4
        for method in methods_of(others, "seed"):
            task = method.name.removeprefix("tiny-")
            if len(method.runs) < 2:
                continue
            probe = compare_method(base, method, PROBES[task], by="overall", aggregation="row_micro")[0].mean
            scene = compare_method(base, method, SCENES, by="overall")[0].mean
            shown = [f"{points(each.value)} {interval(each.ci95, signed=True)}" for each in (probe, scene)]
            yield f"| {task} | {len(method.runs)} | {' | '.join(shown)} |"
        yield ""
    yield f"All of it took {spent / 3600:.1f} hours on {os.cpu_count()} cores."


def probe_difference(base: Evaluated, run: Evaluated, task: str) -> Difference | None:
    """A checkpoint's own probe; None for the mix."""
    if task not in PROBES:
        return None
    return compare(base, [run], PROBES[task], by="overall", aggregation="row_micro")[0].overall


def ship(one: Trained) -> None:
    """Copies a checkpoint to those that come with the package."""
    source = checkpoint.whole(one.out)[-1]
    place = ROOT / "ssl4rl_bench" / "checkpoints" / one.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(source / name, place / name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "miniature")
    parser.add_argument("--tasks", nargs="+", choices=TRAINED, default=list(TRAINED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, help="instead of the recipes', for a trial")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--no-ship", action="store_true", help="leave the bundled checkpoints and docs alone")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    spent_before = work / "seconds.json"
    before = json.loads(spent_before.read_text()) if spent_before.is_file() else 0.0
    todo = [
        Trained(task, seed, work, args.steps)
        for seed in args.seeds
        for task in args.tasks
        if task != "mix" or seed == args.seeds[0]
    ]

    def whole(one: Trained) -> float:
        seconds = train(one)
        evaluate(one.name, checkpoint.whole(one.out)[-1], work)
        print(f"{one.name}: {seconds / 60:.1f} min of training", flush=True)
        return seconds

    with ThreadPoolExecutor(args.jobs) as pool:
        base = pool.submit(evaluate, BASE, BASE, work)
        seconds = dict(zip((one.name for one in todo), pool.map(whole, todo), strict=True))
        base.result()
    spent = before + time.monotonic() - start
    spent_before.write_text(json.dumps(spent))
    text = document(todo, work, seconds, spent)
    (work / "tables.md").write_text(text)
    print(text)
    runs = {one.name: one.out / "metrics.jsonl" for one in todo}
    draw_many(runs, work / "miniature.png")
    if args.no_ship:
        return
    for one in todo:
        if one.seed == 1 and one.task in PROBES:
            ship(one)
            command(
                "export",
                one.run,
                "--to",
                "model-card",
                "--out",
                ROOT / "ssl4rl_bench" / "checkpoints" / one.name,
                log=work / "logs" / "cards.txt",
            )
    page = ROOT / "docs" / "miniature.md"
    mark, end = "<!-- tables -->", "<!-- end of tables -->"
    old = page.read_text() if page.is_file() else f"# The card's table in miniature\n\n{mark}\n{end}\n"
    head, _, rest = old.partition(mark)
    atomic.write_text(page, f"{head}{mark}\n{text}{end}{rest.partition(end)[2]}")
    shutil.copyfile(work / "miniature.png", ROOT / "docs" / "miniature.png")


if __name__ == "__main__":
    main()
