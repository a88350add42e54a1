"""Measures the time and memory to load a data set of the size of MMBench test until it is ready to send.

Makes 6,666 rows over 1,784 photo-like 500x400 JPEG images (every row carries its image, as in the published
files), writes them as VLMEvalKit's TSV and as lmms-lab's parquet, and loads each in a new process: with this
project's `load_task`, with a limit, and in the plain way (pandas, and every row's image decoded with Pillow).
Prints the wall time, the CPU time (which depends less on other load) and the peak resident memory of each, and
the ratios of the plain way to this project.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

OURS = """
import json, re, sys, time
start = time.perf_counter()
from ssl4rl_bench.task.registry import load_task
task = load_task("mmbench_test_en", data=sys.argv[1], limit=int(sys.argv[2]) if len(sys.argv) > 2 else None)
assert all(sample.messages for sample in task.samples)
seconds, cpu = time.perf_counter() - start, time.process_time()
# ru_maxrss would start at what this script itself had in memory when it started the process.
mib = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([seconds, cpu, mib, len(task.samples)]))
"""

PLAIN = """
import base64, io, json, re, sys, time
start = time.perf_counter()
import pandas
from PIL import Image
path = sys.argv[1]
table = pandas.read_parquet(path) if path.endswith("parquet") else pandas.read_csv(path, sep="\\t")
samples = []
for row in table.to_dict("records"):
    data = row["image"]
    data = data["bytes"] if isinstance(data, dict) else base64.b64decode(data)
    samples.append((row, Image.open(io.BytesIO(data)).convert("RGB")))
seconds, cpu = time.perf_counter() - start, time.process_time()
# ru_maxrss would start at what this script itself had in memory when it started the process.
mib = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([seconds, cpu, mib, len(samples)]))
"""


def make_rows(n_rows: int, n_groups: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yields rows in groups of 4 copies, some of 3 so that the total is `n_rows`."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(seed)
    n_four = n_rows - 3 * n_groups
    for group in range(n_groups):
        coarse = Image.fromarray(random.integers(0, 256, (25, 32, 3), dtype=np.uint8)).resize((500, 400))
        noise = random.normal(0, 6, (400, 500, 3))
        picture = Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))
        out = BytesIO()
        picture.save(out, format="JPEG", quality=85)
        options = [f"option {letter} of question {group}" for letter in "wxyz"[: 4 if group < n_four else 3]]
        for roll in range(len(options)):
            rolled = [options[(j - roll) % len(options)] for j in range(len(options))]
            yield {
                "index": group + roll * 1_000_000,
                "question": f"What is shown in picture {group}?",
                "hint": "",
                **{letter: rolled[j] if j < len(rolled) else "" for j, letter in enumerate("ABCD")},
                "answer": "ABCD"[roll],
                "category": "image_scene",
                "l2-category": "coarse_perception",
                "image": out.getvalue(),
            }


def write(folder: Path, n_rows: int, n_groups: int) -> tuple[Path, Path]:
    """Writes the same rows in both layouts, with at most a few hundred of them in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tsv, parquet = folder / "rows.tsv", folder / "rows.parquet"
    writer: pq.ParquetWriter | None = None
    batch: list[dict[str, Any]] = []
    with tsv.open("w", encoding="utf-8", newline="") as file:
        lines: Any = None
        for number, row in enumerate(make_rows(n_rows, n_groups), start=1):
            lines = lines or csv.DictWriter(file, row, delimiter="\t")
            if number == 1:
                lines.writeheader()
            lines.writerow({**row, "image": base64.b64encode(row["image"]).decode()})
            batch.append({**row, "image": {"bytes": row["image"], "path": None}})
            if len(batch) == 500 or number == n_rows:
                table = pa.Table.from_pylist(batch)
                writer = writer or pq.ParquetWriter(parquet, table.schema)
                writer.write_table(table)
                batch.clear()
    if writer is not None:
        writer.close()
    return tsv, parquet


class Load(NamedTuple):
    """The cost of one load."""

    seconds: float
    cpu: float
    """CPU seconds of all threads."""
    mib: float
    """Peak resident memory in MiB."""
    n_samples: int


def measure(code: str, path: Path, *arguments: str) -> Load:
    """Loads the data once in a fresh process."""
    command = [sys.executable, "-c", code, str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Load(*json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6666)
    parser.add_argument(
        "--questions", type=int, default=1784, help="between a quarter and a third of the rows"
    )
    parser.add_argument("--limit", type=int, default=50, help="questions of the limited load")
    parser.add_argument("--runs", type=int, default=3, help="number of runs, of which the fastest counts")
    parser.add_argument(
        "--no-baseline", action="store_true", help="leave out the plain way (needs about 5 GB)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in write(Path(folder), args.rows, args.questions):
            print(f"{path.suffix[1:]}: {args.rows} rows, {path.stat().st_size / 2**20:.0f} MiB")
            ours = min(measure(OURS, path) for _ in range(args.runs))
            show("ssl4rl-bench", ours, f"{ours.n_samples} samples")
            few = min(measure(OURS, path, str(args.limit)) for _ in range(args.runs))
            show(f"--limit {args.limit}", few, f"{few.n_samples} samples")
            if not args.no_baseline:
                plain = min(measure(PLAIN, path) for _ in range(args.runs))
                show("pandas+Pillow", plain, "")
                ratios = (
                    f"{theirs / ours_s:.1f} times" for ours_s, theirs in zip(ours[:3], plain[:3], strict=True)
                )
                print(f"  {'ratio':14}", *(f"{ratio:>18}" for ratio in ratios))


def show(name: str, load: Load, more: str) -> None:
    """Prints the numbers of a load in one line."""
    figures = (f"{load.seconds:.2f} s", f"{load.cpu:.2f} s processor", f"{load.mib:.0f} MiB peak")
    print(f"  {name:14}", *(f"{figure:>18}" for figure in figures), f" {more}")


if __name__ == "__main__":
    main()
