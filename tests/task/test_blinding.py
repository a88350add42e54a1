"""Runs without the pictures: what is shown instead, what stays, and that such a run is an experiment of its own."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import located, picture, question, questions, write_tsv
from ssl_pictures import noise
from synthetic import SyntheticTask
from test_cli import bench, refused
from test_model_card import SCENES, checkpoint, run_of
from test_tables import result, show

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, SpecMismatch, UsageError
from ssl4rl_bench.core.types import TextPart
from ssl4rl_bench.reports.model_card.card import load_card
from ssl4rl_bench.reports.result.tables import card_table
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec, TaskSpec
from ssl4rl_bench.score.scoring import score_run
from ssl4rl_bench.task.blinding import BLINDINGS, blind_task
from ssl4rl_bench.task.mmbench import task as mmbench
from ssl4rl_bench.task.mmbench.task import MMBenchTask
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile

OTHERS = [how for how in BLINDINGS if how != "real"]


def loaded(rows: list[dict[str, Any]]) -> MMBenchTask:
    return mmbench.load_mmbench(
        load_taskfile("mmbench_dev_en"), located(rows), source="made up", where="made up"
    )


TASK = loaded(questions(12))


def shown(task: Any) -> dict[str, list[str]]:
    return {sample.id: [image.sha256 for image in sample.images] for sample in task.samples}


@pytest.mark.parametrize("how", OTHERS)
def test_everything_but_the_images_stays(how: str) -> None:
    blind = blind_task(TASK, how)
    assert blind.image == how
    assert replace(blind, samples=TASK.samples, image="real") == TASK
    for before, after in zip(TASK.samples, blind.samples, strict=True):
        assert replace(after, messages=before.messages) == before
        texts = [[part for part in m.content if isinstance(part, TextPart)] for m in after.messages]
        assert texts == [[part for part in m.content if isinstance(part, TextPart)] for m in before.messages]
    assert all(shown(TASK)[id] != found for id, found in shown(blind).items())


def test_real_changes_nothing_and_a_blind_task_is_not_blinded_anew() -> None:
    assert blind_task(TASK, "real") is TASK
    blind = blind_task(TASK, "blank")
    assert blind_task(blind, "blank") is blind
    with pytest.raises(UsageError, match="load it again"):
        blind_task(blind, "none")
    with pytest.raises(UsageError, match="did you mean shuffled"):
        blind_task(TASK, "shufled")


def test_none_leaves_the_text_alone() -> None:
    for sample in blind_task(TASK, "none").samples:
        assert [type(part) for message in sample.messages for part in message.content] == [TextPart]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_blank_image_is_grey_and_of_the_same_size(format: str) -> None:
    task = loaded(question(0, image=picture(0, format)))
    for before, after in zip(task.samples, blind_task(task, "blank").samples, strict=True):
        ((old,), (new,)) = before.images, after.images
        assert images.size(old) == images.size(new) == (8, 6)
        assert images.mime(new) == "image/png"
        assert images.decode(new).getcolors() == [(48, (128, 128, 128))]


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=30))
def test_shuffled_is_a_derangement_by_content_or_impossible(which: list[int]) -> None:
    task = loaded(
        [row for group, at in enumerate(which) for row in question(group, ("a", "b"), image=picture(at))]
    )
    if 2 * max(Counter(which).values()) > len(which):
        with pytest.raises(DataError, match="use --image blank"):
            blind_task(task, "shuffled")
        return
    before, blind = shown(task), blind_task(task, "shuffled")
    after = shown(blind)
    assert all(before[id] != after[id] for id in before)
    assert Counter(map(tuple, before.values())) == Counter(map(tuple, after.values()))
    by_group: dict[str, set[str]] = {}
    for sample in blind.samples:
        by_group.setdefault(sample.group, set()).update(after[sample.id])
    assert all(len(found) == 1 for found in by_group.values())
    backwards = replace(task, samples=task.samples[::-1], rows=task.rows[::-1])
    assert shown(blind_task(backwards, "shuffled")) == after


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for seed in range(24):
        noise(220 + 7 * seed, 330 - 3 * seed, seed).save(path / f"{seed}.png")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ssl_jigsaw_2x2", "ssl_contrastive_weak", "ssl_rotation_90", "ssl_position"]
)
def test_probes_get_as_many_images_of_another_picture(name: str, folder: Path) -> None:
    task = load_task(name, data=str(folder))
    before = shown(task)
    owner = {sha256: s.group for s in task.samples for sha256 in before[s.id]}
    blind = load_task(name, data=str(folder), image="shuffled")
    targets = {s.id: s.target for s in task.samples}
    came_from = {tuple(found): id for id, found in before.items()}
    for sample in blind.samples:
        found = shown(blind)[sample.id]
        assert len(found) == len(before[sample.id])
        assert not {owner[sha256] for sha256 in found} & {sample.group}
    kept = [targets[came_from[tuple(found)]] == targets[id] for id, found in shown(blind).items()]
    assert 0 < kept.count(True) < len(kept)
    assert blind.data_sha256 == task.data_sha256
    blank = blind_task(task, "blank")
    for sample, other in zip(task.samples, blank.samples, strict=True):
        assert [images.size(i) for i in sample.images] == [images.size(i) for i in other.images]


def test_a_run_with_real_images_has_the_hash_it_always_had() -> None:
    task = SyntheticTask(2)
    spec = RunSpec(
        model="some/model",
        fingerprint="ab" * 32,
        tasks={task.name: TaskSpec.of(task)},
        engine="hf",
        engine_version="5.17.0",
        min_pixels=35840,
        engine_options={"dtype": "float32"},
    )
    assert spec.sha256 == "6f6fa7a2f7b9825fbb60134bde139f8eab92b3ed256f5f816a7051471227dfeb"
    blind = replace(spec, tasks={task.name: TaskSpec.of(replace(task, image="blank"))})
    assert spec.diff(blind) == [f"tasks.{task.name}.image"] and blind.sha256 != spec.sha256
    assert RunSpec.from_json(json.loads(json.dumps(blind.to_json()))) == blind


def test_tables_say_what_was_shown() -> None:
    real, blind = result("m"), result("m")
    (name,) = blind["tasks"]
    blind["tasks"][name]["image"] = "blank"
    assert "· circular_micro · image blank" in " ".join(show(card_table([blind, blind], name)))
    mixed = show(card_table([real, blind], name))
    assert "image" not in mixed[0]
    assert sum(line.startswith("m (image") for line in mixed) == 1


def test_a_blind_run_keeps_what_it_sent_resumes_as_such_and_is_scored_as_such(tmp_path: Path) -> None:
    tsv = write_tsv(tmp_path / "data.tsv", questions(8))
    command = ("run", "--tasks", "mmbench_dev_en", "--data", tsv, "--engine", "mock", "--mock", "constant:B")
    run = tmp_path / "blind"
    done = bench(*command, "--out", run, "--image", "shuffled")
    assert done.returncode == 0, done.stderr
    assert "image shuffled" in done.stdout
    name = "ssl4rl_mmbench_dev_en"
    task = load_task("mmbench_dev_en", data=str(tsv), image="shuffled")
    opened = RunDir.open(run)
    result = opened.result
    assert result is not None and result["tasks"][name]["image"] == "shuffled"
    assert result["tasks"][name]["data_sha256"] == task.data_sha256
    assert opened.spec.tasks[name].image == "shuffled"
    assert {path.name for path in run.glob("images/*/*")} == {
        i.sha256 for s in task.samples for i in s.images
    }

    before = (run / "result.json").read_bytes()
    (run / "result.json").unlink()
    scored = bench("score", run)
    assert scored.returncode == 0, scored.stderr
    assert (run / "result.json").read_bytes() == before

    again = bench(*command, "--out", run, "--image", "shuffled")
    assert again.returncode == 0 and (run / "result.json").read_bytes() == before
    refused(bench(*command, "--out", run), 2, f"tasks.{name}.image")
    refused(bench(*command, "--out", run, "--image", "blnak"), 2, "did you mean blank")
    listed = bench("list", "runs", "--root", tmp_path, COLUMNS="300")
    assert "(image shuffled)" in listed.stdout

    with pytest.raises(SpecMismatch, match="image changed"):
        score_run(opened, [load_task("mmbench_dev_en", data=str(tsv))])


def test_without_images_nothing_is_kept(tmp_path: Path) -> None:
    args = ("run", "--tasks", "scenes", "--engine", "mock", "--limit", "6", "--image", "none")
    done = bench(*args, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run").glob("images/*/*")) == []
    prompt = bench(*args, "--dry-run").stdout
    assert "<image " not in prompt and "Question:" in prompt and '"image": "none"' in prompt


def test_a_model_card_takes_no_blind_run(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    run = run_of(tmp_path / "run", folder, SCENES)
    spec = run.spec.to_json()
    for task in spec["tasks"].values():
        task["image"] = "blank"
    (run.path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(UsageError, match="--image blank"):
        load_card(folder, [RunDir.open(run.path)])
