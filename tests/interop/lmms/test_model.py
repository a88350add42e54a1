"""Our engines as a model of the real lmms-eval: engines without weights here, the bundled checkpoint in tests/e2e."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mmbench_data import questions, write_tsv

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import BenchError, EngineError, UsageError
from ssl4rl_bench.core.types import FinishReason, Request, Sampling
from ssl4rl_bench.engines import EngineOptions, create
from ssl4rl_bench.run.recorded import read_replies
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import execute
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score import scoring
from ssl4rl_bench.task.registry import load_task

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the lmms extra"),
]

TASKS = Path(__file__).parents[3] / "tasks"
SCENES = "ssl4rl_scenes"
LOCAL = "ssl4rl_mmbench_dev_en_v11"
PROBES = (
    "ssl4rl_ssl_rotation_90",
    "ssl4rl_ssl_jigsaw_2x2",
    "ssl4rl_ssl_contrastive_weak",
    "ssl4rl_ssl_position",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped task files, probes of 24 images each, and MMBench's TSV beside the file that names it."""
    folder = tmp_path_factory.mktemp("include") / "tasks"
    shutil.copytree(TASKS, folder)
    for path in folder.glob("ssl_*.yaml"):
        path.write_text(path.read_text().replace("n_images: 400", "n_images: 24"))
    write_tsv(folder / "MMBench_DEV_EN_V11.tsv", questions(6))
    return folder


@pytest.fixture(scope="module")
def manager(folder: Path) -> Any:
    from lmms_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder), include_defaults=False)


Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(manager: Any, tmp_path: Path) -> Evaluate:
    """lmms-eval on these tasks with our model, its runs in `tmp_path / "runs"`."""

    from lmms_eval import evaluator

    def run(tasks: str | Iterable[str], args: str, **settings: Any) -> Any:
        return evaluator.simple_evaluate(
            model="ssl4rl_vllm",
            model_args=f"runs={tmp_path / 'runs'},{args}",
            tasks=[tasks] if isinstance(tasks, str) else list(tasks),
            task_manager=manager,
            bootstrap_iters=0,
            **settings,
        )

    return run


def runs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "runs").iterdir())


def lines(run: Path) -> list[dict[str, Any]]:
    (path,) = (run / "journal").iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def metric(done: Any, task: str, name: str) -> float:
    samples = done["n-samples"][task]
    assert samples["effective"] == len(done["samples"][task]) > 0
    return float(done["results"][task][f"{name},none"])


def test_the_entry_point_registers_the_model() -> None:
    from lmms_eval import models

    assert models.get_model("ssl4rl_vllm").__module__ == "ssl4rl_bench.interop.lmms.model"
    assert models.get_model_manifest("ssl4rl_vllm").simple_class_path is None


def test_gold_replies_earn_everything(evaluate: Evaluate, tmp_path: Path) -> None:
    done = evaluate((SCENES, LOCAL, *PROBES), "engine=mock")
    assert metric(done, SCENES, "circular_micro") == metric(done, LOCAL, "circular_micro") == 1.0
    assert done["n-samples"][LOCAL]["effective"] == 24
    for task in PROBES:
        assert metric(done, task, "accuracy") == metric(done, task, "chance_corrected") == 1.0
        assert done["n-samples"][task]["effective"] == (48 if "contrastive" in task else 24)
    assert len(runs(tmp_path)) == 6
    counts = done["samples"][SCENES][0]["token_counts"][0]
    assert counts["input_tokens"] > 0 and counts["output_tokens"] > 0


def test_a_journal_is_that_of_a_run(evaluate: Evaluate, tmp_path: Path) -> None:
    """Same ids, groups and response keys: the run's own command could have written it."""
    evaluate(SCENES, "engine=mock")
    (place,) = runs(tmp_path)
    with RunDir.open(place) as run:
        task = load_task(SCENES)
        mock = create("mock", None, EngineOptions())
        spec = RunSpec("x", "mock:gold", {SCENES: TaskSpec.of(task)}, mock.name, mock.version)
        assert {(line["id"], line["repeat"]): line["key"] for line in lines(place)} == spec.keys(task)
        assert {line["id"]: line["group"] for line in lines(place)} == {
            sample.id: sample.group for sample in task.samples
        }
        assert spec.diff(run.spec) == []
        assert run.sittings()[0]["outcome"] == "complete"


@pytest.mark.parametrize("name", [SCENES, "ssl4rl_ssl_rotation_90"])
def test_a_whole_run_can_be_scored_here(evaluate: Evaluate, tmp_path: Path, folder: Path, name: str) -> None:
    task = load_task(str(folder / f"{name.removeprefix('ssl4rl_')}.yaml"))
    evaluate(name, "engine=mock,mock=constant:90")
    with RunDir.open(runs(tmp_path)[0]) as run:
        result = scoring.score_run(run, [task])
    assert result["partial"] is False
    assert result["tasks"][name]["n_missing"] == 0


def test_nothing_answered_is_asked_again(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.engines.mock import MockEngine

    asked: list[str] = []
    answer = MockEngine.run

    def counting(self: MockEngine, requests: Iterable[Request], sampling: Sampling) -> Iterator[Any]:
        for request, completion in answer(self, requests, sampling):
            asked.append(request.sample.id)
            yield request, completion

    monkeypatch.setattr(MockEngine, "run", counting)
    first = evaluate(SCENES, "engine=mock,mock=random", limit=40)
    assert len(asked) == 40
    again = evaluate(SCENES, "engine=mock,mock=random", limit=40)
    assert len(asked) == 40
    assert metric(first, SCENES, "row_micro") == metric(again, SCENES, "row_micro")
    evaluate(SCENES, "engine=mock,mock=random", limit=60)
    assert len(asked) == len(set(asked)) == 60
    assert len(runs(tmp_path)) == 1


def test_failed_requests_raise_and_the_rest_is_kept(evaluate: Evaluate, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"\d+ of 100 requests of ssl4rl_scenes failed \(first: .+\)"):
        evaluate(SCENES, "engine=mock,mock_faults=0.3", limit=100)
    (run,) = runs(tmp_path)
    n_kept = sum(line["error"] is None for line in lines(run))
    assert 0 < n_kept < 100
    done = evaluate(SCENES, "engine=mock", limit=100)
    assert metric(done, SCENES, "row_micro") == 1.0
    assert len(lines(run)) == 100 + 100 - n_kept


def test_the_task_s_cap_and_temperature_are_asked_for(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate(SCENES, "engine=mock", limit=4)
    (run,) = runs(tmp_path)
    asked = json.loads((run / "spec.json").read_text())["tasks"][SCENES]
    assert asked["sampling"] == {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_tokens": 128}
    evaluate(SCENES, "engine=mock", limit=4, gen_kwargs="max_new_tokens=7,temperature=0.5")
    (other,) = set(runs(tmp_path)) - {run}
    asked = json.loads((other / "spec.json").read_text())["tasks"][SCENES]
    assert asked["sampling"] == {"temperature": 0.5, "top_p": 1.0, "top_k": 0, "max_tokens": 7}


def test_repeats_are_asked_with_their_own_seeds(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate(SCENES, "engine=mock,mock=random", limit=5, repeats=3, gen_kwargs="temperature=1")
    (run,) = runs(tmp_path)
    found = [(line["id"], line["repeat"]) for line in lines(run)]
    assert len(found) == len(set(found)) == 15
    assert len({line["key"] for line in lines(run)}) == 15


@pytest.mark.parametrize("name", [SCENES, *PROBES])
def test_recorded_replies_score_as_in_a_run(
    evaluate: Evaluate, tmp_path: Path, folder: Path, name: str
) -> None:
    """The same replies through lmms-eval and through `execute` and `score_run`: equal sample by sample."""
    task = load_task(str(folder / f"{name.removeprefix('ssl4rl_')}.yaml"))
    replies = tmp_path / "replies.jsonl"
    with replies.open("w") as file:
        for number, sample in enumerate(task.samples):
            text, reason = recorded(number, sample.target)
            line = {"id": sample.id, "text": text, "finish_reason": reason}
            if number % 9 == 8:
                line |= {"text": "", "reasoning": f"The answer is {sample.target}."}
            file.write(json.dumps(line) + "\n")
    done = evaluate(name, f"engine=replay,replies={replies}")
    engine = create("replay", None, EngineOptions(), read_replies(replies))
    spec = RunSpec("x", "x", {name: TaskSpec.of(task)}, engine.name, engine.version)
    with RunDir.create(tmp_path / "run", spec) as run:
        execute([task], engine, run, spec)
        expected = {item.id: item.score for item in scoring.scored_samples(run, task)}
        result = scoring.score_run(run, [task])["tasks"][name]
    key = "row_micro" if name == SCENES else "accuracy"
    items = [sample[key] for sample in done["samples"][name]]
    got = {str(item["id"]): item for item in items}
    assert got.keys() == expected.keys()
    for id, score in expected.items():
        item = got[id]
        assert (item["value"], item["answer"], item["status"]) == (
            score.value,
            score.answer,
            str(score.status),
        )
        assert item.get("parts", dict(score.parts)) == dict(score.parts)
    assert {item["status"] for item in items} >= {"tag", "lenient", "none", "no_content", "truncated"}
    assert metric(done, name, key) == result["aggregates"]["row_micro"]["overall"]["value"]


def test_exported_samples_are_those_that_lmms_eval_logs(evaluate: Evaluate, tmp_path: Path) -> None:
    """Except `doc_hash`, which here is that of the question's content."""
    from lmms_eval.loggers import EvaluationTracker

    run = sb.evaluate("random", "scenes", engine="mock", options={"mock": "random"}, out=tmp_path / "run")
    assert isinstance(run, sb.Run)
    done = evaluate(SCENES, f"engine=replay,replies={run.path / 'journal'}")
    tracker = EvaluationTracker(output_path=str(tmp_path / "logged"))
    tracker.general_config_tracker.model_name_sanitized, tracker.date_id = "model", "date"
    tracker.save_results_samples(SCENES, done["samples"][SCENES])
    (logged,) = (tmp_path / "logged").rglob("*.jsonl")
    results, exported = sb.export_run(run, "lmms-eval", tmp_path / "exported").paths
    assert exported.name.endswith(f"_samples_{SCENES}.jsonl") and logged.name.endswith(
        f"_samples_{SCENES}.jsonl"
    )
    ours, theirs = (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in (exported, logged)
    )
    for line in (*ours, *theirs):
        assert len(line.pop("doc_hash")) == 64
        line.pop("input_media", None)  # lmms-eval's command leaves it out by default
    assert len(ours) == 2234 and ours == theirs
    entry = json.loads(results.read_text())["results"][SCENES]
    for name in ("circular_micro", "row_micro"):
        assert entry[f"{name},none"] == metric(done, SCENES, name)


def recorded(number: int, target: str) -> tuple[str, FinishReason]:
    kinds: list[tuple[str, FinishReason]] = [
        (f"<think>a\n\nb</think> <answer>{target}</answer>", "stop"),
        (f"The answer is {target}.", "stop"),
        ("I do not know.", "stop"),
        ("<think>the picture shows", "length"),
        (f"<think>it was turned, so the answer is {target}", "length"),
        (f"<think>I would say <answer>{target}</answer>", "length"),
        ("", "length"),
    ]
    return kinds[number % len(kinds)]


@pytest.mark.parametrize(
    ("args", "settings", "message"),
    [
        ("engine=vllm", {}, "pretrained=X"),
        ("engine=openai,base_urls=http://127.0.0.1:1/v1", {}, "openai models"),
        ("engine=replay", {}, "replies=FILE"),
        ("engine=mok", {}, "did you mean mock"),
        ("engine=mock,max_pixel=100", {}, "did you mean max_pixels"),
        ("engine=mock", {"device": "cpu"}, "chooses its device itself"),
        ("engine=mock", {"gen_kwargs": "num_beams=4"}, "sets num_beams to 4"),
    ],
)
def test_what_cannot_be_done_is_said(
    evaluate: Evaluate, args: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchError, match=message):
        evaluate(SCENES, args, limit=1, **settings)


def test_several_processes_are_refused(evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl4rl_bench.interop.lmms.model import Ssl4rlVllm

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="tensor_parallel_size"):
        Ssl4rlVllm(engine="mock")


@pytest.mark.parametrize(
    ("given", "expected"), [(None, None), (1, None), ("auto", None), ("1", 1), (8, 8), ("8", 8)]
)
def test_lmms_eval_s_default_batch_size_is_no_wish(given: Any, expected: int | None) -> None:
    from ssl4rl_bench.interop.lmms.model import Ssl4rlVllm

    assert Ssl4rlVllm(engine="mock", batch_size=given)._plan.options.batch_size == expected
