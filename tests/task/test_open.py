"""Tasks of others: an SSL task by one task file, a benchmark of another kind by one module, and no edit here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.task.registry import load_benchmark, load_task

ROTATION_60 = """
task: ssl4rl_ssl_rotation_60
include: _ssl.yaml
dataset_kwargs:
  data_files:
    dev: ssl_rotation_60.yaml
metadata:
  version: 1
  title: Rotation by 60 degrees
  images: scenes
  ssl:
    kind: rotation
    step: 60
"""
KIND = '''
"""Short free-text answers, right if they are the target but for case and blanks."""

import json
from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.types import Categories, Message, Sample, Score, Status, TextPart
from ssl4rl_bench.task.base import LoadedTask


@dataclass(frozen=True, kw_only=True)
class ExactMatch(LoadedTask):
    def content(self, sample):
        return [sample.text(), sample.target]

    def score(self, sample, completion, extractor="default"):
        if completion.finish_reason == "error":
            return Score(None, None, Status.ERROR)
        _, tag, rest = completion.text.rpartition("<answer>")
        answer = " ".join(rest.partition("</answer>")[0].split()).casefold() if tag else None
        return Score(float(answer == sample.target.casefold()), answer, Status.TAG if tag else Status.NONE)

    def replies(self, sample):
        return (f"<answer>{sample.target}</answer>",), ("<answer>no such thing</answer>",)


def load(task, asked):
    path = Path(asked.data) if asked.data else task.data_file
    if path is None or not path.exists():
        raise DataError(f"{task.name} reads {path}, which is not there")
    rows = [json.loads(line) for line in path.read_text().splitlines()][: asked.limit]
    samples = tuple(
        Sample(
            id=str(row["id"]),
            group=str(row["id"]),
            messages=(Message("user", (TextPart(row["question"] + task.params["ask"]),)),),
            target=row["answer"],
            choices={},
            categories=Categories("text", row["about"], row["about"]),
        )
        for row in rows
    )
    return ExactMatch(
        name=task.name,
        version=task.version,
        prompt=asked.prompt or task.prompt,
        source=path.name,
        samples=samples,
        sampling=task.sampling,
        data_sha256=sha256_json([[s.id, s.text(), s.target] for s in samples]),
    )
'''
TASK = """
task: ssl4rl_capitals
dataset_path: json
dataset_kwargs:
  data_files:
    test: capitals.jsonl
test_split: test
lmms_eval_specific_kwargs:
  default:
    prompt: ssl4rl
generation_kwargs:
  max_new_tokens: 32
  until: []
reasoning_tags: none
metadata:
  version: 1
  title: Capitals
  kind: exact_match
  params:
    ask: " Answer in <answer></answer>."
"""
ROWS = [
    ("France", "Paris", "europe"),
    ("Spain", "Madrid", "europe"),
    ("Peru", "Lima", "america"),
    ("Chile", "Santiago", "america"),
    ("Japan", "Tokyo", "asia"),
    ("Nepal", "Kathmandu", "asia"),
]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """What another package's wheel puts into site-packages, its task file and its data."""
    site, info = tmp_path / "site", tmp_path / "site" / "capitals-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "capitals_kind.py").write_text(KIND)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: capitals\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ssl4rl_bench.tasks]\nexact_match = capitals_kind:load\n")
    (tmp_path / "capitals.yaml").write_text(TASK)
    lines = (
        json.dumps({"id": at, "question": f"What is the capital of {land}?", "answer": town, "about": about})
        for at, (land, town, about) in enumerate(ROWS)
    )
    (tmp_path / "capitals.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def bench(package: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {
        "PYTHONPATH": f"{package / 'site'}:{os.environ.get('PYTHONPATH', '')}",
        "COLUMNS": "150",
    }
    command = [sys.executable, "-m", "ssl4rl_bench", *args]
    return forked.run(command, cwd=package, env=env, capture_output=True, text=True, timeout=300)


def replies(package: Path, name: str, wrong: set[int]) -> None:
    lines: list[dict[str, Any]] = []
    for at, (_, town, _) in enumerate(ROWS):
        text = f"<answer> {town.upper()} </answer>" if at not in wrong else "I do not know."
        lines.append({"id": str(at), "task": "ssl4rl_capitals", "text": text})
    (package / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.slow
def test_rotation_by_60_degrees_is_one_task_file(tmp_path: Path) -> None:
    from ssl4rl_bench import tasks

    included = Path(next(iter(tasks.__path__))) / "_ssl.yaml"
    (tmp_path / "_ssl.yaml").write_bytes(included.read_bytes())
    (tmp_path / "ssl_rotation_60.yaml").write_text(ROTATION_60)
    task = load_task(str(tmp_path / "ssl_rotation_60.yaml"), limit=6)
    assert isinstance(task, Task) and task.probe is not None and task.probe.chance == pytest.approx(1 / 6)
    assert {int(sample.target) % 60 for sample in task.samples} == {0}
    run = ("run", "--engine", "mock", "--limit", "6", "--out", "run", "--tasks", "ssl_rotation_60.yaml")
    done = forked.run(
        [sys.executable, "-m", "ssl4rl_bench", *run], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "rotation_60" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_benchmark_of_another_kind_goes_all_the_way(package: Path) -> None:
    replies(package, "base", wrong={0, 4})
    replies(package, "new", wrong={0})
    for name in ("base", "new"):
        run = ("run", "--engine", "replay", "--replies", f"{name}.jsonl", "--tasks", "capitals.yaml")
        done = bench(package, *run, "--model", name, "--out", name)
        assert done.returncode == 0, done.stderr
    found = json.loads((package / "base" / "result.json").read_text())["tasks"]["ssl4rl_capitals"]
    row = found["aggregates"]["row_micro"]
    assert row["overall"]["value"] == pytest.approx(4 / 6) and row["l2"]["asia"]["value"] == 0.5
    assert found["status"] == {"tag": 4, "none": 2} and "probe" not in found
    assert bench(package, "score", "base").returncode == 0
    shown = bench(package, "show", "base", "new", "--format", "markdown")
    assert "66.67" in shown.stdout and "83.33" in shown.stdout, shown.stdout
    compared = bench(package, "compare", "base", "new", "--format", "json")
    assert compared.returncode == 0 and "0.1666" in compared.stdout, compared.stderr
    (package / "gate.toml").write_text('[[rule]]\ntask = "capitals"\nkind = "no_worse_than"\nmargin = 90\n')
    gate = ("gate", "--baseline", "base", "--candidate", "new", "--policy", "gate.toml")
    assert bench(package, *gate).returncode == 0
    page = bench(package, "report", "base", "new", "--out", "page.html", "--samples")
    assert page.returncode == 0 and "capitals" in (package / "page.html").read_text(), page.stderr


def test_validate_checks_it(package: Path) -> None:
    done = bench(package, "validate", "capitals.yaml")
    assert "6 samples of 6 questions" in done.stdout and "valid: every gold answer" in done.stdout, (
        done.stdout
    )
    assert done.returncode == 0


def test_a_kind_that_is_not_installed_is_named(package: Path) -> None:
    with pytest.raises(
        UsageError, match=r"of the kind exact_match, which is not installed \(known: mmbench, questions, ssl"
    ):
        load_task(str(package / "capitals.yaml"))
    with pytest.raises(UsageError, match="of the kind exact_match, which has no rows"):
        load_benchmark(str(package / "capitals.yaml"))
    text = (package / "capitals.yaml").read_text()
    (package / "capitals.yaml").write_text(text.replace("kind: exact_match", "kind: mmbenhc"))
    with pytest.raises(UsageError, match="did you mean mmbench"):
        load_task(str(package / "capitals.yaml"))
    (package / "capitals.yaml").write_text(text.replace("kind: exact_match", "kind: os.path"))
    with pytest.raises(UsageError, match="not the name of a kind"):
        load_task(str(package / "capitals.yaml"))


@pytest.mark.parametrize("kind", ["leaks", "scenes", "base", "prompts"])
def test_a_module_that_loads_nothing_is_no_kind(package: Path, kind: str) -> None:
    text = (package / "capitals.yaml").read_text()
    (package / "capitals.yaml").write_text(text.replace("kind: exact_match", f"kind: {kind}"))
    with pytest.raises(UsageError, match=f"of the kind {kind}, which is not installed"):
        load_task(str(package / "capitals.yaml"))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import not_there\n", "cannot be imported"),
        ("def load(:\n", "cannot be imported"),
        ("", "cannot be imported"),
        ("load = 5\n", "is not a function"),
    ],
)
def test_a_kind_that_is_broken_is_one_sentence(package: Path, module: str, reason: str) -> None:
    (package / "site" / "capitals_kind.py").write_text(module)
    done = bench(package, "validate", "capitals.yaml")
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert "capitals_kind:load" in lines[0] and reason in lines[0]
