"""How many documents per second do lmms-eval's vLLM model and engine vllm answer, on the same rows?

Both run under lmms-eval, as its models `vllm` and `ssl4rl_vllm`, on the same task: `scenes` (drawings of
112 x 112), or `photos`, made here (JPEGs of 500 x 400, four circular copies of a question). They run in turn, a
process for each run. Prints one JSON line per run, then the median of the ratio (how many times as fast ours is)
with its range. A run's time is that of its `generate_until`, without the start of vLLM.

    python benchmarks/lmms_speed.py tiny-base --batch-size 128 --limit 800 --rounds 3

lmms-eval's model gets the arguments that vLLM needs here (float32 on a CPU, no compilation, a context of 4,096
tokens) and `--batch-size`; ours gets no arguments, so that its defaults are measured. The replies are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from feed import spread
from feed_designs import questions

ROOT = Path(__file__).parents[1]
PHOTOS = """task: photos
include: _mmbench.yaml
dataset_path: parquet
dataset_kwargs:
  data_files:
    dev: {path}
test_split: dev
generation_kwargs:
  max_new_tokens: 128
  temperature: 0
  do_sample: false
  until: []
metadata:
  version: 1
  title: Made photographs
"""


def write_photos(folder: Path, n: int) -> None:
    """Writes `n` questions like those of `feed.py` as a parquet file, and a task file for it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for number, sample in enumerate(questions(n, seed=1)[::4]):
        (image,) = sample.images
        options = [f"option {number}-{k}" for k in range(4)]
        for roll in range(4):
            rows.append(
                {
                    "index": number + roll * 1_000_000,
                    "question": f"Which of these describes picture {number} best?",
                    "hint": "",
                    **{letter: options[(k - roll) % 4] for k, letter in enumerate("ABCD")},
                    "answer": "ABCD"[roll],
                    "category": "object_localization",
                    "l2-category": "finegrained_perception (instance-level)",
                    "image": {"bytes": image.data, "path": f"{number}.jpg"},
                    "split": "dev",
                }
            )
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "photos.parquet")
    (folder / "photos.yaml").write_text(PHOTOS.format(path=folder / "photos.parquet"))


def child(design: str, model: str, task: str, tasks: Path, asked: argparse.Namespace) -> None:
    """Runs lmms-eval in this process and prints the time and the replies of its `generate_until`."""
    started = time.perf_counter()
    if design == "lmms":
        from lmms_eval.models.chat.vllm import VLLM as Model

        arguments = f"model={model},enforce_eager=True,max_model_len=4096,block_size=32"
        if asked.cpu:
            arguments += ",dtype=float32,kv_cache_memory_bytes=1073741824,max_num_batched_tokens=4096"
        name, batch = "vllm", str(asked.batch_size)
    else:
        from ssl4rl_bench.interop.lmms.model import Ssl4rlVllm as Model

        arguments, name, batch = f"pretrained={model},runs={tasks / 'runs'}", "ssl4rl_vllm", "1"
    result: dict[str, Any] = {"starting_s": 0.0}
    _time_start(result)
    inner = Model.generate_until

    def timed(self: Any, requests: Any) -> Any:
        begin = time.perf_counter()
        out = inner(self, requests)
        seconds = time.perf_counter() - begin - result["starting_s"]
        result.update(seconds=seconds, n=len(out), replies=[one.text for one in out])
        return out

    Model.generate_until = timed
    sys.argv = ["lmms-eval", "--model", name, "--model_args", arguments, "--batch_size", batch]
    sys.argv += ["--include_path", str(tasks), "--tasks", task, "--limit", str(asked.limit)]
    sys.argv += ["--output_path", str(tasks / "out")]
    from lmms_eval.__main__ import cli_evaluate

    cli_evaluate()
    result["process_s"] = time.perf_counter() - started
    Path(asked.child).write_text(json.dumps(result))


def _time_start(result: dict[str, Any]) -> None:
    """Lets engine vllm add the time of its start, which lies within `generate_until`, to the result."""
    from ssl4rl_bench.engines.vllm.engine import VllmEngine

    inner = VllmEngine._start

    def timed(self: Any, video: bool) -> Any:
        begin = time.perf_counter()
        server = inner(self, video)
        result["starting_s"] += time.perf_counter() - begin
        return server

    VllmEngine._start = timed  # type: ignore[method-assign]  # a wrapper


def run(design: str, task: str, asked: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """Runs one design in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        tasks = Path(scratch) / "tasks"
        shutil.copytree(ROOT / "tasks", tasks)
        write_photos(tasks, -(-asked.limit // 4))
        out = Path(scratch) / "result.json"
        command = [sys.executable, __file__, *arguments, "--child", str(out), "--design", design]
        done = subprocess.run(
            [*command, "--task", task, "--folder", str(tasks)],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(Path(scratch) / "hf")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode or not out.exists():
            raise SystemExit(f"{design} failed:\n{done.stdout[-3000:]}")
        result: dict[str, Any] = json.loads(out.read_text())
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="folder or bundled checkpoint")
    parser.add_argument("--tasks", nargs="+", default=["ssl4rl_scenes", "photos"], help="what to answer")
    parser.add_argument("--batch-size", type=int, default=128, help="of lmms-eval's model")
    parser.add_argument("--limit", type=int, default=800, help="documents")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--design", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    from ssl4rl_bench.engines.checkpoints.weights import resolve_model

    path = str(resolve_model(asked.model).path)
    if asked.child:
        from vllm.platforms import current_platform

        asked.cpu = current_platform.is_cpu()
        child(asked.design, path, asked.task, asked.folder, asked)
        return
    for task in asked.tasks:
        ratios = []
        for number in range(asked.rounds):
            results = {}
            for design in ("ours", "lmms") if number % 2 == 0 else ("lmms", "ours"):
                result = results[design] = run(design, task, asked, sys.argv[1:])
                speed = {"docs_s": round(result["n"] / result["seconds"], 1)}
                times = {"process_s": round(result["process_s"], 1)}
                print(
                    json.dumps({"task": task, "round": number, "design": design, **speed, **times}),
                    flush=True,
                )
            ours, lmms = results["ours"], results["lmms"]
            ratios.append(lmms["seconds"] / ours["seconds"])
            same = sum(a == b for a, b in zip(ours["replies"], lmms["replies"], strict=True)) / ours["n"]
            print(
                json.dumps({"task": task, "ratio": spread(ratios), "same_replies": round(same, 4)}),
                flush=True,
            )


if __name__ == "__main__":
    main()
