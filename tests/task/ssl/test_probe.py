"""Probes: from images to samples, scores and a table; what depends on what."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from mmbench_data import located, questions
from rich.console import Console
from ssl_pictures import noise

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import full_name
from ssl4rl_bench.core.types import Completion, ScoredSample
from ssl4rl_bench.reports.result.probes import is_probe, other_convention, probe_table, probes_to_markdown
from ssl4rl_bench.score.aggregate import aggregate
from ssl4rl_bench.score.outcomes import outcomes_of
from ssl4rl_bench.score.probes import probe_summary
from ssl4rl_bench.task import registry
from ssl4rl_bench.task.mmbench import task as mmbench
from ssl4rl_bench.task.registry import load_benchmark, load_ssl, load_task, per_task
from ssl4rl_bench.task.ssl import probe
from ssl4rl_bench.task.ssl.jigsaw import inverse
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.task.taskfile import expand, group_names, load_taskfile, task_names
from ssl4rl_bench.task.validate import validate_task

PROBES = [name for name in task_names() if "_ssl_" in name]
MAIN = [full_name(name) for name in expand(["ssl_probes"])]
"""The four probes of `ssl_probes`; the others are checked by the slow tests."""
DRAWINGS = "scenes:probe:40:attribute_recognition"
"""Images for the tasks that are about built-in drawings only."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of several sizes, without the saturated colour of the shapes that `ssl_count` draws."""
    path = tmp_path_factory.mktemp("pictures")
    for seed in range(12):
        image = noise(220 + 7 * seed, 230 - 3 * seed, seed).point(lambda value: 60 + value // 2)
        image.save(path / f"{seed}.png")
    return path


def loaded(name: str, data: Path | str, **how: Any) -> ProbeTask:
    task = load_task(name, data=str(data), **how)
    assert isinstance(task, ProbeTask)
    return task


def answered(task: ProbeTask, texts: list[str]) -> list[ScoredSample]:
    """The samples with these replies in turn."""
    return [
        ScoredSample(
            sample.id,
            sample.group,
            sample.roll,
            0,
            sample.categories,
            task.score(sample, Completion(text=texts[at % len(texts)], finish_reason="stop")),
        )
        for at, sample in enumerate(task.samples)
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in MAIN else [pytest.mark.slow]) for name in PROBES]
)
@pytest.mark.slow
def test_every_task_file_is_sound(name: str, folder: Path) -> None:
    mine = load_ssl(name)[1]
    task = loaded(name, DRAWINGS if mine.drawings_only else folder, limit=12)
    report = validate_task(task)
    assert report.ok, report.failures[:3]
    assert report.n_groups == 12
    assert len(task.samples) == (24 if task.ssl.pairs else 12)
    assert all(sample.target for sample in task.samples)
    assert task.ssl == mine and task.probe.chance == mine.chance


def test_groups_name_their_tasks() -> None:
    assert set(group_names()) == {"ssl4rl_ssl_difficulty", "ssl4rl_ssl_probes"}
    assert {load_ssl(name)[1].kind for name in group_names()["ssl4rl_ssl_probes"]} == {
        *("rotation", "jigsaw", "contrastive", "position")
    }
    released = {name for name in PROBES if name.endswith("_released")}
    of_drawings = {name for name in PROBES if load_ssl(name)[1].drawings_only}
    assert of_drawings == {"ssl4rl_ssl_caption_easy", "ssl4rl_ssl_caption_hard"}
    assert set(group_names()["ssl4rl_ssl_difficulty"]) == set(PROBES) - released - of_drawings
    assert expand(["scenes", "ssl_probes", "ssl_position"]) == [
        "ssl4rl_scenes",
        *group_names()["ssl4rl_ssl_probes"],
    ]
    with pytest.raises(UsageError, match="is a group of tasks"):
        load_task("ssl_probes")


def test_a_changed_image_changes_only_its_own_samples(folder: Path, tmp_path: Path) -> None:
    before = {sample.id: sample for sample in loaded("ssl_rotation_90", folder).samples}
    for file in folder.iterdir():
        (tmp_path / f"renamed-{file.name}").write_bytes(file.read_bytes())
    noise(220, 230, 99).save(tmp_path / "renamed-0.png")
    after = {sample.id: sample for sample in loaded("ssl_rotation_90", tmp_path).samples}
    assert len(before.keys() & after.keys()) == 11
    assert all(before[id] == after[id] for id in before.keys() & after.keys())


@pytest.mark.slow
def test_samples_do_not_depend_on_other_parameters_data(folder: Path) -> None:
    """The digest is of the samples: another step is other data, another prompt is not."""
    quarter, cot = loaded("ssl_rotation_90", folder), loaded("ssl_rotation_90", folder, prompt="cot")
    assert quarter.data_sha256 == cot.data_sha256 != loaded("ssl_rotation_45", folder).data_sha256
    assert quarter.samples[0].messages != cot.samples[0].messages
    few = loaded("ssl_rotation_90", folder, limit=5)
    assert few.samples == quarter.samples[:5]
    assert few.partial_reasons == ("limited to 5 of 12 images",) and not quarter.partial_reasons


def test_another_index_is_another_corruption_of_the_same_images(folder: Path) -> None:
    from ssl4rl_bench.task.registry import select_images

    task = load_taskfile("ssl_jigsaw_2x2")
    with select_images(str(folder)) as pictures:
        first, again, fresh = (probe.load(task, pictures, index=index) for index in (0, 0, 1))
    assert first == again
    assert {sample.group for sample in first.samples} == {sample.group for sample in fresh.samples}
    assert [sample.target for sample in first.samples] != [sample.target for sample in fresh.samples]


def test_summary_is_chance_corrected(folder: Path) -> None:
    task = loaded("ssl_rotation_90", folder)
    scored = answered(task, ["<answer>90</answer>"])
    said = probe_summary(task, task.probe, outcomes_of(task, scored, "default", 1), scored)
    right = sum(sample.target == "90" for sample in task.samples) / 12
    assert said["chance"] == 0.25 and said["kind"] == "rotation" and said["difficulty"] == "step 90"
    assert said["accuracy"]["value"] == pytest.approx(right)
    assert said["chance_corrected"]["value"] == pytest.approx((right - 0.25) / 0.75)
    low, high = said["chance_corrected"]["ci95"]
    assert low < (right - 0.25) / 0.75 < high
    assert said["by_target"]["90"]["value"] == 1.0
    assert sum(cell["n"] for cell in said["by_target"].values()) == 12
    assert set(said["parts"]) == {"exact", "closeness"}


def result_of(task: ProbeTask, texts: list[str], name: str = "m") -> dict[str, Any]:
    scored = answered(task, texts)
    own = outcomes_of(task, scored, "default", 1)
    found = {
        "aggregates": aggregate(own),
        "probe": probe_summary(task, task.probe, own, scored),
        "status": own.status_counts,
        "n_groups_excluded": 0,
    }
    return {"model": {"name": name}, "tasks": {task.name: found}, "partial": False, "partial_reasons": []}


def test_the_table_has_chance_and_what_is_above_it(folder: Path) -> None:
    task = loaded("ssl_position", folder)
    result = result_of(task, [f"<answer>{sample.target}</answer>" for sample in task.samples])
    assert is_probe([result], task.name) and not is_probe([result], "ssl4rl_scenes")
    out = io.StringIO()
    Console(file=out, width=100).print(probe_table([result], [task.name]))
    text = out.getvalue()
    assert "100.00" in text and "25.00" in text and "100.00 row" in text and "ssl_position" in text
    markdown = probes_to_markdown([result, {**result, "model": {"name": "a|b"}}], [task.name])
    assert markdown.count("\n") == 4 and "a\\|b" in markdown


def test_replies_in_the_other_convention_are_reported(folder: Path) -> None:
    task = loaded("ssl_jigsaw_2x2", folder)
    texts = []
    for sample in task.samples:
        right = [int(number) - 1 for number in sample.target.split(",")]
        texts.append("<answer>" + ",".join(str(n + 1) for n in inverse(right)) + "</answer>")
    (line,) = other_convention(result_of(task, texts), [task.name])
    assert "other convention" in line and "100.00%" in line
    right = [f"<answer>{sample.target}</answer>" for sample in task.samples]
    assert other_convention(result_of(task, right), [task.name]) == []


def test_what_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images"):
        load_task("ssl_position", data=str(tmp_path))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    noise(20, 200).save(tmp_path / "small.png")
    with pytest.raises(DataError, match="None of the 2 images"):
        load_task("ssl_position", data=str(tmp_path))
    noise(40, 200).save(tmp_path / "thin.png")
    with pytest.raises(DataError, match=r"can make no sample.*under 28 pixels"):
        load_task("ssl_position", data=str(tmp_path))
    noise(200, 200, 7).save(tmp_path / "good.png")
    task = loaded("ssl_position", tmp_path)
    assert len(task.samples) == 1
    assert any("broken.png" in warning for warning in task.warnings)
    assert any("1 of 2 images were left out" in warning for warning in task.warnings)


def test_a_probe_is_no_benchmark_and_the_reverse() -> None:
    with pytest.raises(UsageError, match="no rows of MMBench's schema"):
        load_benchmark("ssl_rotation_90", limit=2)
    with pytest.raises(UsageError, match="not an SSL task"):
        load_ssl("scenes")


@pytest.mark.parametrize(
    ("ssl", "message"),
    [
        ("{kind: rotation, step: 77}", "77 does not divide 360"),
        ("{kind: jigsaw, k: 7}", "not one of 2, 3, 4, 5 and 6"),
        ("{kind: rotatoin}", "did you mean rotation"),
        ("{step: 90}", "needs a kind"),
        ("{kind: jigsaw, size: 3}", "unknown key size"),
        ("{kind: position, convention: relased}", "did you mean released"),
    ],
)
def test_a_task_file_with_bad_parameters(ssl: str, message: str, tmp_path: Path) -> None:
    source = Path(str(load_taskfile("ssl_position").data_file))
    text = source.read_text().replace("{kind: position}", ssl).replace("ssl_position", "ssl_mine")
    (tmp_path / "ssl_mine.yaml").write_text(text)
    (tmp_path / "_ssl.yaml").write_text((source.parent / "_ssl.yaml").read_text())
    with pytest.raises(UsageError, match=message):
        load_ssl(str(tmp_path / "ssl_mine.yaml"))


def test_images_for_several_tasks() -> None:
    probes = list(group_names()["ssl4rl_ssl_probes"])
    assert per_task(["pictures"], probes) == dict.fromkeys(probes, "pictures")
    mixed = ["ssl4rl_scenes", *probes]
    assert per_task(["ssl_probes=pictures"], mixed) == dict.fromkeys(probes, "pictures")
    with pytest.raises(UsageError, match="does not say which task"):
        per_task(["pictures"], mixed)
    assert full_name("a/mine.yaml") == "a/mine.yaml"


def test_the_images_of_another_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = noise(60, 50)
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    rows = located([row | {"image": buffer.getvalue()} for row in questions(6)])
    benchmark = mmbench.load_mmbench(load_taskfile("scenes"), rows, source="a.tsv", where="a.tsv")
    monkeypatch.setattr(registry, "load_benchmark", lambda name, data=None: benchmark)
    shown = list(registry.task_images("mmbench_dev_en"))
    assert len(shown) == 1
    with registry.select_images("mmbench_dev_en") as pictures:
        assert pictures.source == "mmbench_dev_en" and len(pictures.pictures) == 1
