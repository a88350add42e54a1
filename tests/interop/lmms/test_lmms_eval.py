"""The task files under the real lmms-eval, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.task.taskfile import group_names, task_names

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
