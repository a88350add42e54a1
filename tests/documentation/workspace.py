"""Makes the folder in which the documented commands run: data, pictures, checkpoints and runs of the names in use."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import mmbench_data
import overview_runs
import pandas as pd
import pictures
from benchmark_rows import write_table
from commands import bench
from screen_runs import CARD
from test_video import make_video

CHECKPOINTS = Path(__file__).parents[2] / "ssl4rl_bench" / "checkpoints"
N_QUESTIONS = 14
"""Two questions of each of seven categories, with four copies."""
RUNS = {"base": "random", "rotation": "gold", "jigsaw": "random", "theirs": "constant:B", "new": "gold"}
"""A run's name, and how the mock engine answers in it."""
FOLDERS = ("step-300", "tiny-rotation/step-000050", "tiny-rotation/step-000150", "tiny-rotation/step-000300")
POLICY = """
allow = ["partial"]
[[rule]]
task = "*"
kind = "no_worse_than"
margin = 5
"""


def make(folder: Path) -> None:
    """Writes the files and runs of all pages."""
    with contextlib.chdir(folder):
        _write_data()
        for name in FOLDERS:
            _copy_checkpoint("tiny-rotation", Path("checkpoints", name))
        _copy_checkpoint("tiny-base", Path("out", "step-000050"))
        _write_broken(Path("checkpoints/broken"))
        for name, mock in RUNS.items():
            data = ("--data", "mmbench_dev_en=MMBench_DEV_EN.tsv", "--data", "ssl_rotation_90=photos")
            _run(name, f"runs/{name}", "mmbench_dev_en,ssl_rotation_90", *data, mock=mock)
        shutil.copytree("runs/new", "runs/accepted")
        Path("gate.toml").write_text(POLICY)
        command = ("gate", "--candidate", "runs/accepted", "--save-baseline", "baseline.json.gz")
        assert bench(*command).code == 0
        overview_runs.make(Path("many"))


def _write_data() -> None:
    rows = [
        row | {"image": pictures.encoded(int(row["index"]) % 10**6)}
        for row in mmbench_data.questions_by_ability(N_QUESTIONS)
    ]
    mmbench_data.write_tsv(Path("MMBench_DEV_EN.tsv"), rows)
    Path("snapshot").mkdir()
    mmbench_data.write_parquet(Path("snapshot/dev-00000.parquet"), rows)
    write_table(Path("MMStar.tsv"), overview_runs.mmstar_rows(8))
    write_table(Path("MMVP.tsv"), overview_runs.mmvp_rows(8))
    Path("fetched").mkdir()
    for name in ("MMBench_DEV_EN.tsv", "MMStar.tsv"):
        shutil.copy(name, "fetched")
    pictures.write_folder(Path("photos"), 12, size=(176, 132))  # `ssl_flip` needs 128
    for name in ("scene.png", "before.jpg", "after.png", "a.jpg", "pictures/a.jpg", "pictures/sub/b.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        kind = "JPEG" if name.endswith("jpg") else "PNG"
        Path(name).write_bytes(pictures.encoded(len(name), kind))


def _copy_checkpoint(name: str, target: Path) -> None:
    shutil.copytree(CHECKPOINTS / name, target, copy_function=link)


def link(source: str, target: str) -> None:
    """Links weights and copies everything else, which commands may change."""
    if source.endswith(".safetensors"):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def encoded_picture() -> str:
    """Returns a picture as base64."""
    return base64.b64encode(pictures.encoded(1)).decode()


def prepare_page(page: str) -> None:
    """Makes what only the commands of this page need, in the current folder."""
    if page == "docs/runs.md":
        _run("mine", "runs/mine", "scenes,ssl_probes", "--limit", "2", mock="random")
        shutil.copytree("runs/mine/journal", "FOLDER")
        for name in ("replies", "real", "blank"):
            shutil.copy("runs/mine/journal/ssl4rl_scenes.jsonl", f"{name}.jsonl")
    if page == "docs/views.md":
        for name in ("base", "rotation"):
            data = ("--data", "mmbench_dev_en=MMBench_DEV_EN.tsv", "--image", "blank")
            _run(name, f"runs/{name}-blank", "mmbench_dev_en", *data, mock="random")
    if page == "docs/gate.md":
        data = ("--tasks", "mmbench_dev_en", "--data", "MMBench_DEV_EN.tsv", "--out", "runs/watch-out")
        done = bench("watch", "out", "--policy", "gate.toml", *data, "--engine", "mock", "--once")
        assert done.code in (0, 1, 3), done.text
    if page == "docs/ci.md":
        shutil.rmtree("runs")
        Path("ci").mkdir()  # the page's command for it is not one of this package
    if page == "docs/cards.md":
        Path("README.md").write_text(CARD)
    if page == "docs/other-tools.md":
        _write_trainers(Path())
        replies = (
            {"id": row["index"], "output": "A"} for row in mmbench_data.questions_by_ability(N_QUESTIONS)
        )
        _write_predictions()
        Path("validation").mkdir()
        Path("validation/0.jsonl").write_text("\n".join(map(json.dumps, replies)))
    if page == "docs/ask.md":
        make_video(Path("clip.mp4"))
        chat = {"question": "What do they have in common?", "images": ["a.jpg", "sub/b.png"]}
        Path("chats.jsonl").write_text(json.dumps(chat) + "\n")


def _write_predictions() -> None:
    """Writes predictions of three tools."""
    rows = mmbench_data.questions_by_ability(N_QUESTIONS)
    table = pd.DataFrame(rows).drop(columns="image").assign(prediction="A")
    table.to_excel("mine_MMBench_DEV_EN.xlsx", index=False)
    table[["index", "prediction"]].to_csv("predictions.csv", index=False)
    Path("logs").mkdir()
    samples = (
        {
            "doc_id": number,
            "input": row["question"],
            "target": row["answer"],
            "filtered_resps": "B",
            "doc": row_id,
        }
        for number, (row, row_id) in enumerate((row, {"index": row["index"]}) for row in rows)
    )
    Path("logs/20261127_samples_mmbench_en_dev.jsonl").write_text("\n".join(map(json.dumps, samples)))


VERL = """
import shutil, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
shutil.copytree({base!r}, arguments["--target_dir"])
"""
"""Stands in for `python -m verl.model_merger merge --backend fsdp --local_dir SOURCE --target_dir TARGET`."""


def _write_trainers(folder: Path) -> None:
    """Writes checkpoints as other trainers do, a spool file, and a stand-in for verl's merger."""
    for step in (50, 100):
        _copy_checkpoint("tiny-rotation", folder / f"checkpoints/verl/global_step_{step}/actor/huggingface")
    shards = folder / "checkpoints/verl-shards/global_step_50/actor"
    _copy_checkpoint("tiny-base", shards / "huggingface")
    (shards / "huggingface/model.safetensors").unlink()
    with zipfile.ZipFile(shards / "model_world_size_1_rank_0.pt", "w") as archive:
        archive.writestr("data.pkl", b"never read")
    _copy_checkpoint("tiny-rotation", folder / "output/v0-20250619-234421/checkpoint-50")
    for name, step in (("verl", 100), ("verl-shards", 50)):
        (folder / "checkpoints" / name / "latest_checkpointed_iteration.txt").write_text(str(step))
    (folder / "spool.tsv").write_text("50\tcheckpoints/verl/global_step_50\n")
    merger = folder / "verl/model_merger/__main__.py"
    merger.parent.mkdir(parents=True)
    merger.write_text(VERL.format(base=str(CHECKPOINTS / "tiny-base")))


def _write_broken(folder: Path) -> None:
    """Writes the bundled checkpoint with the prefix that a data-parallel wrapper adds to the names."""
    _copy_checkpoint("tiny-base", folder)
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    renamed = {name if name == "__metadata__" else f"module.{name}": entry for name, entry in header.items()}
    text = json.dumps(renamed).encode()
    path.unlink()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def _run(name: str, out: str, tasks: str, *more: str, mock: str) -> None:
    done = bench(
        "run",
        "--model",
        name,
        "--tasks",
        tasks,
        *more,
        "--engine",
        "mock",
        "--set",
        f"mock={mock}",
        "-o",
        out,
    )
    assert done.code == 0, done.text
