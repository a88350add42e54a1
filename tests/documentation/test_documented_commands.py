"""Every command that the README and docs/ show is run, unless its block is tagged as exempt; the counts are printed.

Commands run in this process in a folder that has what they name (`workspace`), each page's in a fresh copy. Where CI
lacks what a command needs (weights of a hub, hours), `SUBSTITUTIONS` says what is run in its place.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import commands
import forked
import pages
import pytest
import workspace
from pages import PAGES, REASONS, ROOT, Command, all_commands, read_blocks

from ssl4rl_bench.examples import copy_examples

MODEL = r"(?:Qwen|PKU-ML)/[\w.-]+|M\b|MODEL\b|CHECKPOINT\b|BASE\b"
SUBSTITUTIONS: tuple[tuple[str, str], ...] = (
    (rf"(--model|-m) (?:{MODEL})", r"\1 tiny-base"),  # weights that are not in the package
    (r"(report) BASE RUN\.\.\.", r"\1 runs/base runs/rotation runs/jigsaw"),
    (
        r"(report) runs/base .*(--view transfer,bias)",
        r"\1 runs/base runs/rotation runs/base-blank runs/rotation-blank \2",
    ),
    (r"report tiny-base tiny-rotation tiny-jigsaw", "report base rotation jigsaw"),
    (r"( --log \S+)+$", ""),  # tests/reports/test_trackers.py runs it with the packages
    (r"runs/MODEL-\*", "runs/tiny-base-*"),
    (r" \.\.\.", " --model tiny-base --tasks scenes"),
    (r"^(ssl4rl-bench (?:run|watch)\b(?!.*--engine replay).*)", r"\1 --engine mock"),  # no engine of a model
    (r"^(ssl4rl-bench ask\b.*)", r"\1 --engine mock"),
    (r"^(ssl4rl-bench advise\b.*)", r"\1 --engine mock --pictures 2 --images scenes"),
    (r"^ssl4rl-bench attend\b.*", r"ssl4rl-bench attend --help"),  # tests/e2e/test_attend_tiny.py measures
    (r"^(ssl4rl-bench (?:run|watch)\b.*--tasks \S*(?:scenes|ssl_).*)", r"\1 --limit 2"),  # a few questions
    (r"^(ssl4rl-bench watch\b(?!.*--once).*)", r"\1 --once"),  # "runs until it is stopped"
    (
        r"^(ssl4rl-bench train tiny_rotation) --max-steps 5",
        r"\1 --dry-run",
    ),  # tests/e2e/test_train.py trains it
    (
        r"^(ssl4rl-bench train ssl4rl_3b_rotation)",
        r"\1 --set model.base=tiny-base --set model.attention=eager",
    ),
    (r"accelerate launch --config_file \S+ -m ssl4rl_bench (train \w+).*", r"ssl4rl-bench \1 --dry-run"),
    (r"train RECIPE", "train tiny_rotation"),
    (r"--policy ci/gate\.toml", "--policy gate.toml"),  # allows runs of a few questions
    (r"((?:compare|report) runs/(?:tiny-base|real).*)", r"\1 --allow partial"),
    (r"^ssl4rl-bench build(.*) --limit 500", r"ssl4rl-bench build\1 --limit 5"),
    (
        r"runs/\* --average \S+",
        "many/base many/rotation --average All=mmstar,mmvp",
    ),  # benchmarks without data
    (r"(validate ssl_\S+ --images .*)", r"\1 --samples 30"),  # of 2,000
    (r"data:image/png;base64,iVBORw0\.\.\.", "data:image/png;base64,$PICTURE"),
    (
        r"validate signs\.yaml|--tasks signs\.yaml",
        lambda match: match[0].replace("signs", "examples/tasks/signs"),
    ),
)
"""Patterns and what is run in place of their matches, in this order."""
ELSEWHERE: tuple[tuple[str, str], ...] = (
    (r"make (test|lint|docs-check|slow|e2e|oldest|lmms|demo)|bash \.ci/run", ".ci/run"),
    (r"make (lowest|newest)", ".github/workflows/versions.yml"),
    (r"make docs", ".ci/run"),  # docs-check builds what it serves
    (r"(pip install|uv pip install) '\.\[(hf|train|cpu,lmms|tensorboard,trackio,wandb)\]'", ".ci/run"),
    (r"python -m ssl4rl_bench\.lmms .*|ssl4rl-bench score runs/tiny-base-scenes-dfc71c56", ".ci/lmms.py"),
    (r"ssl4rl-bench export \S+ --to model-card", "tests/cli/test_cli_export.py"),  # refuses the mock engine
    (r"ssl4rl-bench interpolate .*", "tests/e2e/test_interpolate.py"),  # needs torch
    (r"sbatch examples/slurm/train\.sbatch .*", "tests/train/test_cluster_files.py"),
    (r"bash examples/verl/grpo_3b\.sh .*", "tests/train/test_cluster_files.py"),
    (r".*bash examples/slurm/evaluate\.sbatch .*", "tests/cli/test_slurm.py"),
    (r"ssl4rl-bench .*(lmms:|runs/registry-).*", "tests/interop/lmms/test_lmms_tasks.py"),  # needs lmms-eval
)
"""Commands that other parts of CI run, Slurm and verl being replaced by stand-ins."""
TUTORIAL = "docs/tutorial-train.md"
"""tests/e2e/test_tutorial.py runs this page with a real engine."""
VERDICTS = {"gate": (0, 1, 3), "watch": (0, 1, 3), "audit": (0, 1, 3)}
"""Exit codes of commands that judge."""
MOST_EXEMPT = 0.15


def elsewhere(command: Command) -> str:
    """What else runs the command in CI; empty if nothing does."""
    if command.page == TUTORIAL:
        return "tests/e2e/test_tutorial.py"
    return next((place for pattern, place in ELSEWHERE if re.fullmatch(pattern, command.text)), "")


def substituted(text: str) -> str:
    for pattern, replacement in SUBSTITUTIONS:
        text = re.sub(pattern, replacement, text)
    return text


def kind(command: Command) -> str:
    """How CI treats the command."""
    if command.reason:
        return f"exempt ({command.reason})"
    if elsewhere(command):
        return "run elsewhere in CI"
    return "run" if substituted(command.text) == command.text else "run with a substitution"


def test_few_commands_are_exempt(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counter(map(kind, all_commands()))
    exempt = sum(number for name, number in counts.items() if name.startswith("exempt"))
    with capsys.disabled():
        print(
            "\ndocumented commands:", ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
        )
    assert exempt / counts.total() <= MOST_EXEMPT
    assert {command.reason for command in all_commands()} <= {"", *REASONS}
    for _, place in ELSEWHERE:
        assert (ROOT / place).is_file()


def test_every_rule_is_needed() -> None:
    for pattern, _ in ELSEWHERE:
        assert any(re.fullmatch(pattern, command.text) for command in all_commands()), pattern
    texts = [command.text for command in all_commands() if kind(command) == "run with a substitution"]
    for pattern, replacement in SUBSTITUTIONS:
        applied = [re.sub(pattern, replacement, text) != text for text in texts]
        texts = [re.sub(pattern, replacement, text) for text in texts]
        assert any(applied), pattern


def words(text: str) -> list[str]:
    """Splits a command as a shell does, with its variables, arithmetic and patterns of file names."""
    text = re.sub(r"\$\(\(([\d*]+)\)\)", lambda match: str(eval(match[1], {})), text)  # noqa: S307
    out: list[str] = []
    for word in shlex.split(os.path.expandvars(text)):
        out += sorted(map(str, Path().glob(word))) if "*" in word and not word.startswith("-") else [word]
    return out


def run(text: str) -> None:
    """Runs a command of a page and expects it to succeed."""
    text = substituted(text)
    first, second = (re.findall(r" --model \S+", text) + [""] * 2)[:2]
    if second:  # the mock engine has one name at a time
        run(text.replace(first, ""))
        text = text.replace(second, "")
    program, *rest = words(text)
    if program == "ssl4rl-bench":
        done = commands.bench(*rest)
        expected = VERDICTS.get(rest[0], (0,))
        assert done.code in expected, f"{text}\n{' '.join(rest)}\n{done.text[-2000:]}"
        return
    assert program in ("python", "bash"), f"no rule for {text!r}: tag its block, or add one"
    process = forked.run if program == "python" else subprocess.run
    ran = process([sys.executable if program == "python" else program, *rest], capture_output=True, text=True)
    assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    workspace.make(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != TUTORIAL])
def test_the_commands_of(page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [
        command.text for command in all_commands() if command.page == page and kind(command).startswith("run")
    ]
    texts = [text for text in mine if not elsewhere(Command(page, text))]
    if not texts:
        return
    folder = tmp_path / "place"
    shutil.copytree(prepared, folder, copy_function=workspace.link)
    monkeypatch.setenv("SSL4RL_DATA", str(folder / "fetched"))
    monkeypatch.setenv("PICTURE", workspace.encoded_picture())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with contextlib.chdir(folder):
        copy_examples()
        workspace.prepare_page(page)
        for text in texts:
            run(text)


def test_blocks_are_read() -> None:
    text = (
        "# A page\n\n    ssl4rl-bench run --model M \\\n        --tasks scenes   # comment\n\n"
        "<!-- exempt: hub -->\n```sh\n"
        "cat > a <<'END'\nmake nothing\nEND\nssl4rl-bench fetch mmstar && pip install x\n```\n\n    runs/a/\n\n"
        "```bash\n$ make test\n```\n\n```python\nx = 1\n```\n\na paragraph\n    make tea\n"
    )
    blocks = [*read_blocks("p", text)]
    assert [(block.language, block.line, block.reason) for block in blocks] == [
        *(("sh", 3, ""), ("sh", 8, "hub"), ("sh", 17, ""), ("python", 21, "")),
    ]
    assert [command.text for block in blocks for command in block.commands()] == [
        "ssl4rl-bench run --model M --tasks scenes",
        *("ssl4rl-bench fetch mmstar", "pip install x", "make test"),
    ]
    assert all(pages.blocks(page) is pages.blocks(page) for page in PAGES)
