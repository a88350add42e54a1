"""The task files under the real lmms-eval, where it is installed."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmark_rows import BENCHMARKS, write_table

from ssl4rl_bench.core.types import TextPart
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import group_names, load_taskfile, task_names

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the lmms extra"),
]

TASKS = Path(__file__).parents[3] / "tasks"


@pytest.fixture
def manager() -> Any:
    from lmms_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS), include_defaults=False)


def test_every_task_is_found(manager: Any) -> None:
    assert {"ssl4rl", "ssl4rl_ssl", *task_names(), *group_names()} == set(manager.all_tasks)


@pytest.mark.parametrize(("reply", "circular", "row"), [("gold", 1.0, 1.0), ("A", 0.0, 0.2498)])
def test_scenes_are_scored_as_here(manager: Any, reply: str, circular: float, row: float) -> None:
    from lmms_eval import evaluator
    from lmms_eval.api.model import lmms

    class Scripted(lmms):  # type: ignore[misc]  # lmms-eval has no types
        """Thinks with a blank line in it, which lmms-eval would stop at by default."""

        is_simple = True

        def generate_until(self, requests: Any) -> list[str]:
            texts = []
            for request in requests:
                _, _, doc_to_visual, number, task, split = request.args
                doc = self.task_dict[task][split][number]
                assert [picture.mode for picture in doc_to_visual(doc)] == ["RGB"]
                letter = doc["answer"] if reply == "gold" else reply
                texts.append(f"<think>one\n\ntwo</think> <answer>{letter}</answer>")
            return texts

        def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
            raise AssertionError("the tasks generate")

        def generate_until_multi_round(self, requests: Any) -> list[str]:
            raise AssertionError("the tasks have one turn")

    done = evaluator.simple_evaluate(
        model=Scripted(), tasks=["ssl4rl_scenes"], task_manager=manager, bootstrap_iters=0, force_simple=True
    )
    assert done["n-samples"]["ssl4rl_scenes"]["effective"] == done["n-samples"]["ssl4rl_scenes"]["original"]
    results = done["results"]["ssl4rl_scenes"]
    assert results["circular_micro,none"] == circular
    assert results["row_micro,none"] == pytest.approx(row, abs=0.02)


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_the_file_of_a_benchmark_loads(name: str, tmp_path: Path) -> None:
    from lmms_eval.tasks import TaskManager, get_task_dict

    shutil.copytree(TASKS, tmp_path / "tasks")
    rows = BENCHMARKS[name].rows()
    file = load_taskfile(name).data_file
    assert file is not None
    write_table(tmp_path / "tasks" / file.name, rows)
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    full = f"ssl4rl_{name}"
    task = get_task_dict([full], manager, "chat")[full]
    docs = list(task.test_docs())
    here = load_task(name, data=str(tmp_path / "tasks" / file.name))
    assert [doc["id"] for doc in docs] == [sample.id for sample in here.samples]
    assert {doc["data_sha256"] for doc in docs} == {here.data_sha256}
    kinds = [part["type"] for part in task.doc_to_messages(docs[0])[0]["content"]]
    assert kinds == [
        "text" if isinstance(part, TextPart) else "image" for part in here.samples[0].messages[0].content
    ]
