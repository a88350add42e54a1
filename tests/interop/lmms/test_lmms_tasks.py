"""The same replies to lmms-eval's own tasks, scored by lmms-eval's evaluator and by a run of this project."""

from __future__ import annotations

import gc
import json
import math
import threading
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import lmms_rows
import pytest
from commands import bench
from pages import all_commands

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.reload import reload_tasks
from ssl4rl_bench.score.scoring import replies
from ssl4rl_bench.task.registry import load_task

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(find_spec("lmms_eval") is None, reason="needs the lmms extra"),
]

CAPTIONS = "coco2014_cap_val"
SCORED = [name for name in lmms_rows.ROWS if name != CAPTIONS]
TAGS = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'


@pytest.fixture(scope="module", autouse=True)
def one_meteor() -> Iterator[None]:
    """Lends one program of METEOR to all who start and end it, as loading its table takes ten seconds of a core."""
    from pycocoevalcap.meteor.meteor import Meteor

    held = Meteor()
    program = held.meteor_p
    counts = Counter[str]()

    def start(self: Any) -> None:
        counts["started"] += 1
        stdin = SimpleNamespace(write=program.stdin.write, flush=program.stdin.flush, close=lambda: None)
        ends = {"kill": lambda: counts.update(["ended"]), "wait": lambda: None, "communicate": lambda: None}
        self.meteor_p = SimpleNamespace(stdin=stdin, stdout=program.stdout, **ends)
        self.lock = threading.RLock()

    with mock.patch.object(Meteor, "__init__", start):
        yield
        gc.collect()
        assert counts["started"] == counts["ended"] > 3


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets of all tasks, and files of replies."""
    folder = tmp_path_factory.mktemp("lmms-tasks")
    for name in lmms_rows.ROWS:
        lmms_rows.write_documents(name, folder / f"{name}.parquet")
    lines = [line for name in lmms_rows.ROWS for line in lmms_rows.replies(name)]
    lmms_rows.write_replies(folder / "mixed.jsonl", lines)
    right = [
        {"task": f"lmms:{name}", "id": str(number), "text": lmms_rows.gold(name, number)}
        for name in lmms_rows.ROWS
        for number in range(lmms_rows.N)
    ]
    lmms_rows.write_replies(folder / "gold.jsonl", right)
    return folder


@pytest.fixture(scope="module")
def place(drawn: Path) -> Path:
    """The folder of `drawn` with a run of each file of replies."""
    for replies_name, names in (("mixed", list(lmms_rows.ROWS)), ("gold", SCORED)):
        done = run(drawn, names, replies_name)
        assert done.code == 0, done.text
    return drawn


def run(place: Path, names: list[str], replies_name: str) -> Any:
    data = [word for name in names for word in ("--data", f"lmms:{name}={place / f'{name}.parquet'}")]
    how = (
        "--engine",
        "replay",
        "--set",
        f"replies={place / f'{replies_name}.jsonl'}",
        "-o",
        place / replies_name,
    )
    return bench("run", "--tasks", ",".join(f"lmms:{name}" for name in names), *data, *how)


def evaluated_by_lmms_eval(place: Path, name: str) -> Any:
    """The results and samples of lmms-eval's evaluator for the same replies."""
    from lmms_eval import evaluator
    from lmms_eval.api.model import lmms
    from lmms_eval.tasks import TaskManager

    from ssl4rl_bench.task.lmms.registry_files import find_registered

    texts = [line["text"] for line in lmms_rows.replies(name)]

    class Replays(lmms):  # type: ignore[misc]  # lmms-eval has no types
        is_simple = False

        def generate_until(self, requests: Any) -> list[str]:
            return [texts[request.args[3]] for request in requests]

        def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
            raise AssertionError("the tasks generate")

        def generate_until_multi_round(self, requests: Any) -> list[str]:
            raise AssertionError("the tasks have one turn")

    folder = find_registered(name).path.parent
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    split = {"mmstar": "val", CAPTIONS: "val", "mmvp": "train"}.get(name, "test")
    kwargs = {"data_files": {split: str(place / f"{name}.parquet")}}
    source = {"task": name, "dataset_path": "parquet", "dataset_name": None, "dataset_kwargs": kwargs}
    return evaluator.simple_evaluate(
        model=Replays(),
        tasks=[source],
        task_manager=manager,
        bootstrap_iters=0,
        cli_args=Namespace(reasoning_tags=TAGS, process_with_media=False, output_path=str(place)),
    )


def result_of(place: Path, replies_name: str) -> dict[str, Any]:
    return dict(json.loads((place / replies_name / "result.json").read_text())["tasks"])


@pytest.mark.parametrize("name", sorted(lmms_rows.ROWS))
def test_scores_and_metrics_are_those_of_lmms_eval(place: Path, name: str) -> None:
    theirs = evaluated_by_lmms_eval(place, name)
    printed = {key.partition(",")[0]: value for key, value in theirs["results"][name].items() if "," in key}
    metrics = result_of(place, "mixed")[f"lmms:{name}"]["metrics"]
    assert metrics
    for metric, entry in metrics.items():
        assert entry["value"] == pytest.approx(float(printed[metric]), abs=1e-12), metric
        assert entry["n"] == lmms_rows.N or entry["cell"][1] == "l2"
        assert entry["ci95"] is not None and entry["ci95"][0] <= entry["value"] <= entry["ci95"][1]
    run = RunDir.open(place / "mixed")
    (task,) = reload_tasks(run, {}, [f"lmms:{name}"])
    ours = {int(sample.id): (score.value, record) for sample, record, score in replies(run, task)}
    samples = {one["doc_id"]: one for one in theirs["samples"][name]}
    assert len(samples) == len(ours) == lmms_rows.N
    if name == CAPTIONS:
        assert {value for value, _ in ours.values()} == {None}
        return
    metric = task.layout.metric  # type: ignore[attr-defined]
    for number, (value, _) in ours.items():
        item = samples[number][metric]
        item = item if not isinstance(item, dict) else item.get("score", item.get("is_correct"))
        assert value == float(item), number
    assert 0 < sum(value or 0.0 for value, _ in ours.values()) < lmms_rows.N


def test_right_answers_score_1(place: Path) -> None:
    tasks = result_of(place, "gold")
    assert {metric["value"] for task in tasks.values() for metric in task["metrics"].values()} == {1.0}
    assert {tuple(task["status"].items()) for task in tasks.values()} == {(("external", lmms_rows.N),)}


def test_statuses_do_not_claim_to_know_what_was_read(place: Path) -> None:
    counts = result_of(place, "mixed")["lmms:ai2d"]["status"]
    lines = lmms_rows.replies("ai2d")
    n_empty = sum(not line["text"] for line in lines)
    n_cut = sum("finish_reason" in line for line in lines)
    assert counts == {"none": n_empty, "truncated": n_cut, "external": lmms_rows.N - n_empty - n_cut}


def test_pairs_and_categories_are_those_of_the_aggregation(place: Path) -> None:
    data = {name: str(place / f"{name}.parquet") for name in ("mmvp", "mmstar")}
    pairs = load_task("lmms:mmvp", data=data["mmvp"])
    assert pairs.n_groups == lmms_rows.N // 2
    limited = load_task("lmms:mmvp", data=data["mmvp"], limit=3)
    assert len(limited.samples) == 6 and limited.partial_reasons
    leaves = load_task("lmms:mmstar", data=data["mmstar"]).counts()["l3"]
    assert leaves["geometry"] == 2 and sum(leaves.values()) == lmms_rows.N


def test_the_prompt_and_the_pictures_are_lmms_eval_s(place: Path) -> None:
    import datasets

    path = str(place / "ai2d.parquet")
    task = load_task("lmms:ai2d", data=path)
    raw = datasets.load_dataset("parquet", data_files=path, split="train")
    cells = raw.cast_column("image", datasets.Image(decode=False))
    for sample, cell in zip(task.samples, cells, strict=True):
        (image,) = sample.images
        assert image.data == cell["image"]["bytes"]  # the original encoding
        assert sample.text().endswith("Answer with the option's letter from the given choices directly.")
    assert task.sampling.max_tokens == 16
    assert task.version.startswith("lmms-eval 0.7.3, ai2d.yaml ")


def test_resume_score_and_validate(place: Path) -> None:
    before = (place / "gold" / "result.json").read_bytes()
    journal = (place / "gold" / "journal" / "lmms.mmvp.jsonl").read_bytes()
    (place / "gold" / "result.json").unlink()
    done = run(place, SCORED, "gold")
    assert done.code == 0 and "answered before" in done.text
    assert (place / "gold" / "journal" / "lmms.mmvp.jsonl").read_bytes() == journal
    assert (place / "gold" / "result.json").read_bytes() == before
    assert bench("score", place / "gold").code == 0
    for name in ("mmvp", CAPTIONS):
        done = bench("validate", f"lmms:{name}", "--data", place / f"{name}.parquet")
        assert done.code == 0, done.text


def test_code_that_fails_is_one_sentence(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task: Any = load_task("lmms:ai2d", data=str(place / "ai2d.parquet"))

    def fails(doc: Any, results: Any) -> Any:
        raise KeyError("answers")

    monkeypatch.setattr(task.configured._task.config, "process_results", fails)
    with pytest.raises(
        DataError, match=r"lmms:ai2d: process_results fails on document 0 \(KeyError: 'answers'\)"
    ):
        task.score(task.samples[0], Completion("A", "stop"))


def test_data_of_another_task_are_refused(place: Path) -> None:
    done = bench("validate", "lmms:mmstar", "--data", place / "mmvp.parquet")
    assert done.code == 2
    assert "does not have the columns that lmms:mmstar expects (KeyError" in done.text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("coco_karpathy_val", "downloads from addresses in the data"),
        ("hallusion_bench_image", "calls a judge over the network"),
    ],
)
def test_functions_that_use_the_network_are_refused(name: str, reason: str, place: Path) -> None:
    done = bench("validate", f"lmms:{name}", "--data", place / "mmvp.parquet")
    assert done.code == 2 and reason in done.text, done.text


def test_corpus_metrics_are_compared_and_not_gated(place: Path, tmp_path: Path) -> None:
    lines = [{**line, "text": line["text"].replace("on grey", "")} for line in lmms_rows.replies(CAPTIONS)]
    lmms_rows.write_replies(place / "other.jsonl", lines)
    assert run(place, [CAPTIONS], "other").code == 0
    done = bench("compare", place / "mixed", place / "other", "--format", "json")
    differences = {one["metric"]: one for one in json.loads(done.out)["metrics"]}
    assert len(differences) == 7
    cider = differences["coco_CIDEr"]
    assert math.isclose(cider["value"], cider["candidate_value"] - cider["baseline_value"])
    assert cider["ci95"][0] <= cider["value"] <= cider["ci95"][1] and cider["value"] < 0
    policy = tmp_path / "gate.toml"
    policy.write_text(f'[[rule]]\ntask = "lmms:{CAPTIONS}"\nkind = "no_worse_than"\nmargin = 0.5\n')
    done = bench("gate", "--baseline", place / "mixed", "--candidate", place / "other", "--policy", policy)
    assert done.code == 2 and "no score per question" in done.text and "coco_CIDEr" in done.text


def test_the_documented_commands(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's commands, with replayed replies instead of a model, and with drawn documents."""
    monkeypatch.chdir(tmp_path)
    for path in drawn.glob("*.parquet"):
        (tmp_path / path.name).symlink_to(path)
    texts = [command.text for command in all_commands() if command.page == "docs/other-tools.md"]
    texts = [text for text in texts if "lmms:" in text or "runs/registry-" in text]
    assert len(texts) == 5
    for text in texts:
        words = text.split()[1:]
        if words[0] == "run":
            words[1:3] = ["--engine", "replay", "--set", f"replies={drawn / 'mixed.jsonl'}"]
            if "--data" not in words:
                words += [
                    word for name in ("mmstar", "ai2d") for word in ("--data", f"lmms:{name}={name}.parquet")
                ]
        done = bench(*words)
        assert done.code == 0, done.text
