"""Model cards: metadata that the Hub's own parsers read, tables of what a run found, and a person's text kept."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import DataError, ModelError, StoreError, UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.reports.model_card.card import load_card, without_path
from ssl4rl_bench.reports.model_card.write import README, RESULTS, write_card
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.task.mmbench.taxonomy import EDITIONS, L2_OF

SAMPLING = Sampling(max_tokens=128)


def cell(value: float, n: int, unread: float = 0.01) -> dict[str, Any]:
    return {"value": value, "n": n, "ci95": [value - 0.05, value + 0.05], "unread": unread}


def benchmark(
    source: str = "built in", leaves: Mapping[str, int] | None = None, n_rows: int = 80
) -> dict[str, Any]:
    counts = leaves or {"image_style": 10, "ocr": 10}
    abilities = {L2_OF[leaf]: 0 for leaf in counts}
    for leaf, n in counts.items():
        abilities[L2_OF[leaf]] += n
    micro = {
        "overall": cell(0.7299, sum(counts.values())),
        "l2": {ability: cell(0.6, n) for ability, n in abilities.items()},
        "l3": {leaf: cell(0.5, n) for leaf, n in counts.items()},
    }
    rows = {
        "overall": cell(0.8123, n_rows),
        "l2": {ability: cell(0.75, n) for ability, n in abilities.items()},
    }
    return {
        "prompt": "ssl4rl",
        "source": source,
        "extractor": "default",
        "n_samples": n_rows,
        "n_groups_excluded": 0,
        "status": {"tag": n_rows - 1, "none": 1},
        "aggregates": {"circular_micro": micro, "row_micro": rows},
    }


def probe() -> dict[str, Any]:
    found = benchmark("scenes")
    found["aggregates"] = {"row_micro": {"overall": cell(0.4, 200)}}
    found["probe"] = {
        "kind": "rotation",
        "chance": 0.25,
        "accuracy": cell(0.4, 200),
        "chance_corrected": {"value": 0.2, "ci95": [0.1, 0.3]},
        "parts": {"closeness": cell(0.55, 200)},
    }
    return found


def checkpoint(folder: Path, origin: Mapping[str, Any] | None = None) -> Path:
    """A folder that passes for one: a configuration and one tensor."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"abcd")
    if origin is not None:
        (folder / "ssl4rl.json").write_text(json.dumps(origin))
    return folder


def run_of(
    place: Path,
    folder: Path,
    tasks: Mapping[str, Any],
    engine: str = "hf",
    partial: bool = False,
    **spec: Any,
) -> RunDir:
    made = RunSpec(
        model=str(folder),
        fingerprint=fingerprint(folder),
        tasks={name: TaskSpec("1", "0" * 64, "ssl4rl", 10, SAMPLING) for name in tasks},
        engine=engine,
        engine_version="5.17.0",
    )
    made = replace(made, **spec)
    with RunDir.create(place, made) as run:
        run.write_result(
            {
                "schema": 1,
                "model": {"name": str(folder), "fingerprint": made.fingerprint},
                "spec_sha256": made.sha256,
                "partial": partial,
                "partial_reasons": ["limited to 20 of 600 questions"] if partial else [],
                "tasks": tasks,
            }
        )
    return RunDir.open(place)


def grpo(**data: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "grpo",
        "name": "ssl4rl-3b-rotation",
        "step": 300,
        "updates": 1200,
        "samples": 153600,
        "epochs": 3.1,
        "seed": 1,
        "recipe": {
            "tasks": {"ssl_rotation_90": 1.0},
            "data": {"images": "/home/me/photos", "prompt": "ssl4rl"},
            "model": {"base": "Qwen/Qwen2.5-VL-3B-Instruct", "dtype": "float32"},
            "reward": {"scheme": "exact"},
            "grpo": {"prompts": 512, "group": 5, "updates": 4, "iterations": 1, "kl": 0.01, "clip": 0.2},
            "optimizer": {"learning_rate": 1e-6, "name": "adamw"},
        },
        "recipe_sha256": "c" * 64,
        "base": {"name": "Qwen/Qwen2.5-VL-3B-Instruct", "fingerprint": "b" * 64, "revision": "4" * 40},
        "data": {
            "source": "photos",
            "images": 1164,
            "manifest_sha256": "d" * 64,
            "unusable": 3,
            "overlap": [],
        }
        | data,
        "processes": 8,
        "versions": {"torch": "2.13.0"},
        "metrics": {"step": 300, "reward/ssl_rotation_90": 0.71, "format": 0.998},
    }


def front(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


SCENES = {"ssl4rl_scenes": benchmark(), "ssl4rl_ssl_rotation_90": probe()}


def test_a_card_without_runs_says_how_it_was_trained(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "step-000300", grpo())
    assert write_card(folder) == [folder / README]
    text = (folder / README).read_text()
    data = front(text)
    assert data["base_model"] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "image-text-to-text")
    assert {"ssl4rl", "grpo", "self-supervised", "qwen2_5_vl", "ssl_rotation_90"} <= set(data["tags"])
    assert "model-index" not in data
    for said in (
        "# ssl4rl-3b-rotation-step-300",
        "after 300 steps of reinforcement learning",
        "512 prompts with 5 replies",
        "learning rate 1e-06",
        "1,164 images of `photos`",
        "3 were left out because no task",
        "not compared with any evaluation set",
        "ssl\\_rotation\\_90 0.71",
        "Not evaluated yet",
        fingerprint(folder),
        "c" * 64,
        "d" * 64,
    ):
        assert said in text
    assert "Transductive" not in text
    assert "/home/me" not in text


def test_the_hub_s_own_parsers_read_what_is_written(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    folder = checkpoint(tmp_path / "m", grpo())
    leaves = EDITIONS["dev_v1.0"].leaves
    tasks = {**SCENES, "ssl4rl_mmbench_dev_en": benchmark("MMBench_DEV_EN.tsv", leaves, 4329)}
    written = write_card(folder, [run_of(tmp_path / "run", folder, tasks)])
    assert written == [folder / README, folder / RESULTS / "mmbench_dev_en.yaml"]
    card = hub.ModelCard((folder / README).read_text())
    assert isinstance(card.data, hub.ModelCardData)
    assert card.data.base_model == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert card.data.model_name == "ssl4rl-3b-rotation-step-300"
    values = {(got.dataset_type, got.metric_name): got for got in card.data.eval_results}
    assert values["ssl4rl_scenes", "CircularEval accuracy"].metric_value == 72.99
    assert values["ssl4rl_scenes", "CircularEval accuracy"].metric_args["ci95"] == [67.99, 77.99]
    assert values["ssl4rl_scenes", "CircularEval accuracy, Coarse"].metric_value == 60.0
    assert ("ssl4rl_scenes", "CircularEval accuracy, Logical") not in values
    assert values["ssl4rl_ssl_rotation_90", "Accuracy"].metric_args["chance"] == 25.0
    mmbench = values["lmms-lab/MMBench", "Accuracy over rows"]
    assert (mmbench.metric_value, mmbench.dataset_config, mmbench.dataset_split) == (81.23, "en", "dev")
    # Written by the library and read again, nothing is lost.
    assert hub.ModelCard(str(card)).data.to_dict() == front((folder / README).read_text())

    listed = yaml.safe_load((folder / RESULTS / "mmbench_dev_en.yaml").read_text())
    (entry,) = hub.parse_eval_result_entries(listed)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("lmms-lab/MMBench", "mmbench_dev_en", 72.99)
    assert "n 1164" in entry.notes and "95% interval 67.99-77.99" in entry.notes
    assert hub.eval_result_entries_to_yaml([entry]) == listed


def test_tables_show_n_intervals_and_unread_shares(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", grpo())
    write_card(folder, [run_of(tmp_path / "run", folder, SCENES)])
    text = (folder / README).read_text()
    assert "| Coarse | 60.00 | [55.00, 65.00] | 10 | 75.00 | [70.00, 80.00] | 10 | 1.00 |" in text
    assert "| Logical | – | – | – | – | – | – | – |" in text
    assert "| Average | 72.99 | [67.99, 77.99] | 20 | 81.23 | [76.23, 86.23] | 80 | 1.00 |" in text
    assert "| 40.00 | [35.00, 45.00] | 25.00 | 20.00 | – | 55.00 closeness | 200 | 1.00 |" in text
    assert "no margin, as the run was scored by a version without margins" in text
    assert "they are not MMBench results" in text
    assert "replies: 79 tag, 1 none" in text
    assert str(tmp_path) not in text


def test_a_data_set_that_is_not_the_task_s_is_not_claimed(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    other = {"ssl4rl_mmbench_dev_en": benchmark("mine.tsv")}
    assert write_card(folder, [run_of(tmp_path / "a", folder, other)]) == [folder / README]
    assert front((folder / README).read_text())["model-index"][0]["results"][0]["dataset"] == {
        "type": "ssl4rl_mmbench_dev_en",
        "name": "MMBench dev, English, v1.0",
    }
    commit = "5" * 40
    hub = {"ssl4rl_mmbench_dev_en": benchmark(f"someone/MMBench@{commit}")}
    write_card(folder, [run_of(tmp_path / "b", folder, hub)])
    (entry,) = yaml.safe_load((folder / RESULTS / "mmbench_dev_en.yaml").read_text())
    assert entry["dataset"] == {"id": "someone/MMBench", "task_id": "mmbench_dev_en", "revision": commit}


def test_a_partial_run_is_shown_as_such_and_not_published(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    hub = {"ssl4rl_mmbench_dev_en": benchmark("lmms-lab/MMBench")}
    write_card(folder, [run_of(tmp_path / "run", folder, hub, partial=True)])
    text = (folder / README).read_text()
    assert "**Partial:** limited to 20 of 600 questions." in text
    assert "model-index" not in front(text)
    assert not (folder / RESULTS).exists()


@pytest.mark.parametrize("asked_for", [True, False])
def test_training_on_evaluation_images_is_said_wherever_their_scores_stand(
    tmp_path: Path, asked_for: bool
) -> None:
    overlap = [{"set": "mmbench_dev_en=/data/a.tsv", "images": 1164, "exact": 1160, "near": 4}]
    folder = checkpoint(
        tmp_path / "m", grpo(transductive=asked_for, overlap=overlap, left_out=0 if asked_for else 1164)
    )
    tasks = {"ssl4rl_mmbench_dev_en": benchmark("lmms-lab/MMBench"), **SCENES}
    write_card(folder, [run_of(tmp_path / "run", folder, tasks)])
    text = (folder / README).read_text()
    results = front(text)["model-index"][0]["results"]
    told = ["trained_on_images_of_it" in result["metrics"][0]["args"] for result in results]
    notes = yaml.safe_load((folder / RESULTS / "mmbench_dev_en.yaml").read_text())[0]["notes"]
    assert "| mmbench\\_dev\\_en=a.tsv | 1,164 | 1,160 | 4 |" in text
    assert told == [asked_for, False, False]
    assert ("trained on 1164 images of this set" in notes) is asked_for
    assert ("**1164 of the training images are in this set.**" in text) is asked_for
    assert ("> **Transductive:**" in text) is asked_for
    assert ("1,164 were left out because they are in evaluation sets." in text) is not asked_for


def test_a_person_s_text_and_metadata_stay(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", grpo())
    write_card(folder)
    text = (folder / README).read_text()
    text = text.replace("# ssl4rl-3b-rotation-step-300", "# Our rotation model\n\nMade on a Tuesday.")
    text = text.replace("## Training\n", "## Training\n\nThis edit is between marks.\n")
    text = text.replace(
        "pipeline_tag: image-text-to-text", "pipeline_tag: visual-question-answering\nlanguage: en"
    )
    text = text.replace("tags:\n", "tags:\n- mine\n", 1) + "\n## Thanks\n\nTo all.\n"
    (folder / README).write_text(text)
    theirs = {"name": "x", "results": [{"task": {"type": "t"}, "dataset": {"type": "d"}, "metrics": []}]}
    data = front(text) | {"model-index": [theirs]}
    (folder / README).write_text(f"---\n{yaml.safe_dump(data)}---\n" + text.split("---\n", 2)[2])

    for place, tasks in (("one", SCENES), ("two", {"ssl4rl_scenes": benchmark()})):
        write_card(folder, [run_of(tmp_path / place, folder, tasks)])
        text = (folder / README).read_text()
        data = front(text)
        assert "# Our rotation model\n\nMade on a Tuesday.\n" in text
        assert text.endswith("\n## Thanks\n\nTo all.\n")
        assert "between marks" not in text
        assert (data["pipeline_tag"], data["language"], data["tags"][0]) == (
            "visual-question-answering",
            "en",
            "mine",
        )
        assert data["model-index"][0] == theirs
        assert len(data["model-index"][1]["results"]) == len(tasks)
        assert text.count("<!-- ssl4rl:evaluation -->") == 1
    assert "Self-supervised probes" not in text
    write_card(folder)  # says nothing of runs: they stay
    assert (folder / README).read_text() == text


def test_a_card_without_marks_only_gets_an_evaluation(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    own = "# By hand\r\n\r\nNo marks here.\r\n"
    (folder / README).write_bytes(own.encode())
    assert write_card(folder) == []
    assert (folder / README).read_bytes() == own.encode()
    write_card(folder, [run_of(tmp_path / "run", folder, SCENES)])
    text = (folder / README).read_bytes().decode()
    assert text.count("\n") == text.count("\r\n")
    body = text.replace("\r\n", "\n").split("---\n", 2)[2]
    assert body.startswith("\n# By hand\n\nNo marks here.\n\n<!-- ssl4rl:evaluation -->\n## Evaluation\n")
    assert front(text.replace("\r\n", "\n"))["model-index"]
    before = (folder / README).read_bytes()
    write_card(folder, [RunDir.open(tmp_path / "run")])
    assert (folder / README).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("---\ntags: [\n---\n<!-- ssl4rl:use -->\n<!-- /ssl4rl:use -->\n", "not a YAML mapping"),
        ("---\njust text\n---\n<!-- ssl4rl:use -->\n<!-- /ssl4rl:use -->\n", "not a YAML mapping"),
        ("<!-- ssl4rl:use -->\n", "section use"),
        ("<!-- /ssl4rl:use -->\n<!-- ssl4rl:use -->\n", "section use"),
        ("<!-- ssl4rl:use -->\n<!-- /ssl4rl:use -->\n" * 2, "section use"),
    ],
)
def test_a_damaged_card_is_left_alone(tmp_path: Path, text: str, says: str) -> None:
    folder = checkpoint(tmp_path / "m", grpo())
    (folder / README).write_text(text)
    with pytest.raises(DataError, match=says):
        write_card(folder)
    assert (folder / README).read_text() == text
    (folder / README).write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        write_card(folder)


def test_only_finished_runs_of_these_weights_count(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", grpo())
    other = run_of(tmp_path / "other", folder, SCENES, fingerprint="e" * 64)
    with pytest.raises(UsageError, match="other weights"):
        write_card(folder, [other])
    mock = run_of(tmp_path / "mock", folder, SCENES, engine="mock", fingerprint="mock:gold")
    with pytest.raises(UsageError, match="mock engine"):
        write_card(folder, [mock])
    unfinished = run_of(tmp_path / "unfinished", folder, SCENES)
    unfinished.remove_result()
    with pytest.raises(StoreError, match="not complete"):
        write_card(folder, [unfinished])
    assert not (folder / README).exists()
    whole = fingerprint(folder, full_digest=True)
    write_card(folder, [run_of(tmp_path / "full", folder, SCENES, fingerprint=whole)])
    served = run_of(tmp_path / "served", folder, SCENES, engine="openai", fingerprint="served as x")
    write_card(folder, [served])
    assert "was not checked" in (folder / README).read_text()


def test_folders_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError):
        write_card(tmp_path / "empty")
    folder = checkpoint(tmp_path / "m")
    (folder / "ssl4rl.json").write_text("[")
    with pytest.raises(ModelError, match="damaged"):
        write_card(folder)


def test_a_supervised_checkpoint_and_a_strange_one_have_cards(tmp_path: Path) -> None:
    origin = {"name": "tiny-base", "recipe": {"seed": 1, "train": {"steps": 480}, "init": "checkpoints/a"}}
    folder = checkpoint(tmp_path / "tiny", origin)
    write_card(folder)
    text = (folder / README).read_text()
    assert "trained from `a` with labelled examples" in text
    assert "| train.steps | 480 |" in text
    assert "base_model" not in front(text)
    strange = checkpoint(tmp_path / "strange")
    write_card(strange, out=tmp_path / "new" / "place")
    assert "# strange" in (tmp_path / "new" / "place" / README).read_text()
    assert not (strange / README).exists()


def test_the_license_is_the_base_s_where_that_is_known(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    (base / README).write_text("---\nlicense: other\nlicense_name: mine\n---\n# Base\n")
    for name, license in ((str(base), "other"), ("tiny-base", "apache-2.0")):
        folder = checkpoint(tmp_path / license, grpo() | {"base": {"name": name}})
        write_card(folder)
        data = front((folder / README).read_text())
        assert data["license"] == license
        assert "base_model" not in data
        assert str(tmp_path) not in (folder / README).read_text()


def test_paths_of_the_trainer_s_machine_are_not_shown() -> None:
    assert without_path("/home/me/photos") == "photos"
    assert without_path("mmbench_dev_en=../data/a.tsv") == "mmbench_dev_en=a.tsv"
    assert without_path("lmms-lab/MMBench") == "lmms-lab/MMBench"
    assert without_path("scenes:train:400") == "scenes:train:400"


@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_hostile_names_break_neither_metadata_nor_marks(tmp_path: Path, name: str, source: str) -> None:
    folder = tmp_path / "m"
    if not folder.exists():
        checkpoint(folder)
    (folder / README).unlink(missing_ok=True)
    name = f"{name}\n---\n<!-- /ssl4rl:summary -->: [{name}"
    (folder / "ssl4rl.json").write_text(json.dumps(grpo(source=source) | {"name": name}))
    write_card(folder)
    first = (folder / README).read_text(encoding="utf-8")
    assert front(first)["pipeline_tag"] == "image-text-to-text"
    assert first.count("<!-- /ssl4rl:summary -->") == 1
    write_card(folder)
    assert (folder / README).read_text(encoding="utf-8") == first
    assert load_card(folder).name.startswith(name)
