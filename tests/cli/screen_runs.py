"""The runs and files that the screens in `tests/data/screens` show; all are made in a folder from scratch."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import overview_runs
from commands import bench
from mmbench_data import questions_by_ability, write_tsv

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
N_QUESTIONS = 28
"""Four questions of each of seven categories, with four copies."""
TASKS = ("mmbench_dev_en=mmbench.tsv", "ssl_rotation_90=pictures", "ssl_jigsaw_2x2=pictures")
"""The tasks of the runs, with their data."""
SKILLS = {"base": (0.55, 0.05), "rotation-step-150": (0.92, 0.0), "Qwen2.5-VL-3B-Instruct": (0.3, 0.2)}
"""The share of questions that each model knows, and of its replies that cannot be read."""
HUB_NAMES = (
    "Qwen/Qwen2.5-VL-3B-Instruct",
    "PKU-ML/SSL4RL-MMBench-Rotation-3B",
    "PKU-ML/SSL4RL-MMBench-Contrastive-3B",
)
"""Names of models on the hub, for copies of the runs of `SKILLS`."""
POLICY = """
allow = ["partial"]
[[rule]]
task = "mmbench_dev_en"
kind = "no_worse_than"
margin = 3
[[rule]]
task = "mmbench_dev_en"
kind = "not_significantly_worse"
level = "l2"
[[rule]]
task = "mmbench_dev_en"
kind = "at_least"
value = 60
[[rule]]
task = "ssl_rotation_90"
kind = "better_than"
level = "probe"
[guards]
unread = 2
truncated = 1
errors = 0
reply_length = [0.5, 2.0]
letters = 10
"""
MANY_POLICY = """
[[rule]]
task = "*"
kind = "not_significantly_worse"
[[rule]]
task = "*"
kind = "no_worse_than"
margin = 10
"""
CARD = """# A model

## MMBench by ability

| Category | Model | Logical | Relation | Attribute | Average |
|---|---|---|---|---|---|
| Base | Qwen2.5-VL-3B | 61.77 | 41.54 | 76.62 | 72.99 |
| SSL4RL | Rotation | 65.84 | 80.54 | **83.89** | **80.38** |
| ~ | Jigsaw | 62.86 | 74.51 | 80.35 | 77.82 |
| Maximal Improvement | | ↑ 4.07 | ↑ 39.00 | ↑ 6.77 | ↑ 7.39 |

<table><tr><td>1</td></tr></table>
"""


def make(folder: Path) -> None:
    """Writes data, pictures, a policy and a model card to the folder, and runs all models there."""
    with contextlib.chdir(folder):
        shutil.copytree(GOLDEN / "pictures", "pictures")
        write_tsv(Path("mmbench.tsv"), questions_by_ability(N_QUESTIONS))
        rows = questions_by_ability(N_QUESTIONS)
        replies = [row["answer"] if int(row["index"]) % 10**6 % 3 else "It is hard to tell." for row in rows]
        lines = [f"{row['index']},{reply},{row['answer']}" for row, reply in zip(rows, replies, strict=True)]
        Path("predictions.csv").write_text("\n".join(("index,prediction,answer", *lines)))
        Path("gate.toml").write_text(POLICY)
        Path("many.toml").write_text(MANY_POLICY)
        Path("card.md").write_text(CARD)
        _run("gold", "runs/gold", "--engine", "mock")
        for model in SKILLS:
            lines = [json.dumps(reply) + "\n" for reply in _replies(Path("runs/gold/journal"), model)]
            Path(f"{model}.jsonl").write_text("".join(lines))
            _run(model, f"runs/{model}", "--engine", "replay", "--replies", f"{model}.jsonl")
        mock = ("--engine", "mock", "--mock", "random")
        for name, how in (("random", ()), ("blank", ("--image", "blank")), ("half", ("--limit", "14"))):
            _run("random", f"runs/{name}", *mock, *how, tasks=("mmbench_dev_en=mmbench.tsv",))
        for index in (1, 2):
            _run("random", f"parts/{index}", *mock, "--shard", f"{index}/2", tasks=TASKS[:1])
        overview_runs.make(Path("many"))
        for index, (model, name) in enumerate(zip(SKILLS, HUB_NAMES, strict=True)):
            _renamed(Path("runs") / model, Path("hub") / str(index), name)


def asked(tasks: Sequence[str] = TASKS) -> tuple[str, ...]:
    """Returns the options of `run` for these tasks and their data."""
    return tuple(word for task in tasks for word in ("--tasks", task.partition("=")[0], "--data", task))


def _run(model: str, out: str, *how: str, tasks: Sequence[str] = TASKS) -> None:
    done = bench("run", "--model", model, *asked(tasks), *how, "--out", out, "--max-error-rate", "0.1")
    assert done.code == 0, done.text


def _renamed(run: Path, copy: Path, name: str) -> None:
    """Copies a run and gives its model another name."""
    shutil.copytree(run, copy)
    for file in ("spec.json", "result.json"):
        content = json.loads((copy / file).read_text())
        content["model"]["name"] = name
        (copy / file).write_text(json.dumps(content))


def _replies(right: Path, model: str) -> Iterator[dict[str, Any]]:
    """Yields a reply to each sample: right, that of another sample, unreadable, cut off, or failed.

    Args:
        right: the journal of a run whose replies are all right.
    """
    skill, unread = SKILLS[model]
    for path in sorted(right.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for number, row in enumerate(rows):
            knows = Random(f"{model} {row['group']}").random() < skill
            luck = Random(f"{model} {row['id']}").random()
            reply = {"task": path.stem, "id": row["id"], "n_completion_tokens": 6}
            if luck < unread:
                cut = luck < unread / 3
                reply |= {"text": "It is hard to tell.", "finish_reason": "length" if cut else "stop"}
            elif luck > 1 - unread / 20:
                reply |= {"error": "HTTP 500: the server broke the reply off"}
            else:
                others = (other["text"] for other in rows[number:] + rows if other["text"] != row["text"])
                reply |= {"text": row["text"] if knows else next(others)}
            yield reply
