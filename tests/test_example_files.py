"""The files of `ssl4rl-bench examples`: all of them are listed and copied, and the copies work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from commands import invoke

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.examples import copy_examples, list_examples, select_examples
from ssl4rl_bench.gating.policy import read_policy
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.validate import validate_task
from ssl4rl_bench.train.recipe import read_recipe

ROOT = Path(__file__).parents[1]


def test_every_example_file_of_the_repository_is_listed_and_described() -> None:
    command = ["git", "ls-files", "train/recipes", "ssl4rl_bench/examples"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = {ROOT / name for name in tracked if not name.endswith(".py")}
    examples = list_examples()
    assert {example.path.resolve() for example in examples} == files
    assert len({example.name for example in examples}) == len(examples)
    listed = invoke("list", "examples")
    for example in examples:
        assert example.name in listed and re.fullmatch(r"[A-Z].{5,150}", example.title), example


def test_a_name_selects_a_file_or_a_folder() -> None:
    names = [example.name for example in select_examples(["gate.toml", "slurm/", "gpu8_fsdp2", "gate.toml"])]
    assert names == ["gate.toml", "slurm/evaluate.sbatch", "slurm/train.sbatch", "accelerate/gpu8_fsdp2.yaml"]
    with pytest.raises(UsageError, match=r"no example 'gate.yaml'; did you mean gate.toml\?"):
        select_examples(["gate.yaml"])


def test_the_copies_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = invoke("examples").split()
    assert [*map(Path, printed)] == [Path("examples", example.name) for example in list_examples()]
    assert read_policy(Path("examples/gate.toml")).rule
    for path in Path("examples/recipes").glob("*.toml"):
        if "base" not in path.stem:  # recipes of supervised training
            read_recipe(path)
    assert Path("examples/slurm/train.sbatch").stat().st_mode & 0o111
    signs = load_task("examples/tasks/signs.yaml")
    assert validate_task(signs).failures == () and len(signs.samples) == 3
    documented = (ROOT / "docs" / "tasks.md").read_text()
    assert Path("examples/tasks/signs.yaml").read_text().partition("\n")[2] in documented
    assert load_task("examples/tasks/ssl_rotation_60.yaml", limit=2).samples[0].target in (
        *("0", "60", "120", "180", "240", "300"),
    )


def test_a_changed_copy_is_replaced_only_with_force(tmp_path: Path) -> None:
    (path,) = copy_examples(["gate.toml"], tmp_path)
    original = path.read_bytes()
    assert copy_examples(["gate.toml"], tmp_path) == [path]
    path.write_text("# mine")
    with pytest.raises(UsageError, match=r"gate\.toml already exists with other content"):
        copy_examples(["recipes", "gate.toml"], tmp_path)
    assert path.read_text() == "# mine" and not (tmp_path / "recipes").exists()
    copy_examples(["gate.toml"], tmp_path, force=True)
    assert path.read_bytes() == original
