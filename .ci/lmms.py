"""Installs the lmms extra into a new environment and runs the commands of docs/lmms.md there, on a few samples.

What is tested is what the page says, with what the package index resolves today. Run by `make lmms`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "fresh-lmms"
LIMIT = "2"


def documented() -> tuple[list[str], list[str]]:
    """The install command for CPUs and the evaluation command of the page."""
    text = (ROOT / "docs" / "lmms.md").read_text("utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    (install,) = (line for line in lines if line.startswith("uv pip install"))
    (evaluate,) = (line for line in lines if line.startswith("python -m ssl4rl_bench.lmms"))
    return shlex.split(install, comments=True), shlex.split(evaluate, comments=True)


def main() -> None:
    install, evaluate = documented()
    shutil.rmtree(PLACE, ignore_errors=True)
    uv = str(ROOT / ".venv" / "bin" / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(PLACE)], check=True)
    python = str(PLACE / "bin" / "python")
    started = time.monotonic()
    subprocess.run([uv, *install[1:], "--quiet", "--python", python], cwd=ROOT, check=True)
    print(f"lmms: installed {install[-1]} in {time.monotonic() - started:.0f} s", flush=True)

    # Without PYTHONPATH and from another folder, so that the installed package runs and not the clone.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    work = PLACE / "work"
    shutil.copytree(ROOT / "tasks", work / "tasks")
    command = [python, *evaluate[1:], "--limit", LIMIT]
    started = time.monotonic()
    subprocess.run(command, cwd=work, env=environment, check=True)
    (results,) = (work / "out").rglob("*_results.json")
    print(f"lmms: {results.name} after {time.monotonic() - started:.0f} s", flush=True)

    index = command.index("--model_args") + 1
    broken = [*command[:index], "engine=mock,mock_faults=1.0", *command[index + 1 :]]
    broken[broken.index("--tasks") + 1] = "ssl4rl_scenes"
    done = subprocess.run(broken, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 4 or "the evaluation failed" not in done.stderr:
        sys.exit(f"lmms: a failed evaluation ended with {done.returncode}:\n{done.stderr[-3000:]}")
    print("lmms: a failed evaluation ends with 4", flush=True)


if __name__ == "__main__":
    main()
