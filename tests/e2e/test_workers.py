"""Several workers give the results of one engine, on real weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.interrupts import Stop
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines import create
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.engines.workers import cluster
from ssl4rl_bench.engines.workers.cluster import Cluster
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.task.registry import load_task

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("ray")]
pytest.importorskip("ray")


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    """One Ray on this machine for all tests; tests/engines/workers/test_ray.py has each way to start and end one."""
    joined = cluster.join("hf", EngineOptions(workers=2))
    yield joined
    joined.close()


@pytest.fixture(autouse=True)
def on_one_ray(started: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    lent = Cluster(started.nodes, started.cpus_per_worker, started.gpus_per_worker)
    monkeypatch.setattr(cluster, "join", lambda *_: lent)


def sitting(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "exec.json").read_text())["sittings"][-1])


def test_two_workers_give_the_result_of_one_engine(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"limit": 12, "engine": "hf", "options": {"batch_size": 8, "margin": False}}
    for n in (1, 2):
        sb.evaluate("tiny-base", ["scenes", "ssl_rotation_90"], workers=n, out=tmp_path / str(n), **settings)
    one, two = (json.loads((tmp_path / n / "result.json").read_text()) for n in "12")
    assert one == two
    specs = [RunSpec.from_json(json.loads((tmp_path / n / "spec.json").read_text())) for n in "12"]
    assert specs[0].sha256 == specs[1].sha256
    texts = [
        {
            (line["id"], line["text"])
            for journal in (tmp_path / n / "journal").iterdir()
            for line in map(json.loads, journal.read_text().splitlines())
        }
        for n in "12"
    ]
    assert texts[0] == texts[1]
    workers = sitting(tmp_path / "2")["measures"]["workers"]
    assert len({worker["pid"] for worker in workers}) == 2
    assert all(worker["n_answered"] > 0 and worker["torch"] for worker in workers)
    assert sitting(tmp_path / "2")["engine_options"]["workers"] == 2
    assert sitting(tmp_path / "1")["engine_options"]["workers"] == 1


def test_workers_load_other_weights_without_a_restart(tmp_path: Path) -> None:
    """As `watch` does: the engine swaps, and replies are those of each checkpoint."""
    models = [resolve_model(name) for name in ("tiny-jigsaw", "tiny-rotation")]
    task = load_task("ssl_rotation_90", data="scenes", limit=12)
    asked = list(RunSpec("", "", {}, "hf", "").requests(task.samples, task.name))
    greedy = Sampling(max_tokens=64)
    several = create("hf", models[0], EngineOptions(workers=2, batch_size=8))
    try:
        replies, pids = [], []
        for model in models:
            assert several.swap(model)  # type: ignore[attr-defined]  # it can
            replies.append({r.sample.id: c.text for r, c in several.run(iter(asked), greedy)})
            pids.append({worker["pid"] for worker in several.measures()["workers"]})  # type: ignore[attr-defined]
    finally:
        several.close()
    assert pids[0] == pids[1] and len(pids[0]) == 2
    for model, texts in zip(models, replies, strict=True):
        one = create("hf", model, EngineOptions(batch_size=8))
        assert {r.sample.id: c.text for r, c in one.run(iter(asked), greedy)} == texts
        one.close()


def test_a_checkpoint_that_no_worker_can_load_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"^no worker can start: transformers cannot load tiny-base: "
    ) as error:
        sb.evaluate(
            "tiny-base",
            "scenes",
            workers=2,
            limit=4,
            engine="hf",
            options={"attn": "flash_attention_2"},
            out=tmp_path / "run",
        )
    assert "\n" not in str(error.value)
    with Stop().handling():
        pass  # Ray left the handlers of signals as they were
