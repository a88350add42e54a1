"""Each shipped benchmark reads a small file of its schema: samples, units, levels, gold and wrong replies."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_rows import BENCHMARKS, encoded, write_table

from ssl4rl_bench.core.types import Completion, ImagePart, Status, TextPart
from ssl4rl_bench.score.aggregate import AGGREGATIONS
from ssl4rl_bench.task.questions.schema import HEADLINES, read_schema
from ssl4rl_bench.task.questions.task import QuestionsTask
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.taskfile import load_taskfile, task_names
from ssl4rl_bench.task.validate import validate_task


def loaded(name: str, folder: Path, **how: object) -> QuestionsTask:
    path = write_table(folder / f"{name}.tsv", BENCHMARKS[name].rows())
    task = load_task(name, data=str(path), **how)  # type: ignore[arg-type]
    assert isinstance(task, QuestionsTask)
    return task


def reply(text: str) -> Completion:
    return Completion(text=text, finish_reason="stop")


def test_there_is_an_example_of_every_task_of_the_kind() -> None:
    files = [load_taskfile(name) for name in task_names()]
    assert set(BENCHMARKS) == {f.name.removeprefix("ssl4rl_") for f in files if f.kind == "questions"}
    assert HEADLINES == AGGREGATIONS


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_small_file(name: str, tmp_path: Path) -> None:
    example, task = BENCHMARKS[name], loaded(name, tmp_path)
    assert (len(task.samples), task.n_groups) == (example.n_samples, example.n_groups)
    assert task.counts()["l2"] == example.abilities
    assert task.n_groups_skipped == example.n_left_out
    assert not task.partial_reasons
    assert sum("left out" in warning for warning in task.warnings) == bool(example.n_left_out)
    assert not any("no column" in warning for warning in task.warnings)
    report = validate_task(task)
    assert report.failures == ()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_right_wrong_and_unread_replies(name: str, tmp_path: Path) -> None:
    task = loaded(name, tmp_path)
    for sample in task.samples:
        right, wrong = map(list, task.replies(sample))
        assert right and wrong
        assert {task.score(sample, reply(text)).value for text in right} == {1.0}
        assert {task.score(sample, reply(text)).value for text in wrong} == {0.0}
        unread = task.score(
            sample, reply("The pictures are unusual. Several readings are possible, and " * 3)
        )
        assert (unread.value, unread.status) == (0.0, Status.NONE)
        failed = task.score(sample, Completion(text="", finish_reason="error", error="x"))
        assert (failed.value, failed.status) == (None, Status.ERROR)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_its_task_file(name: str) -> None:
    file = load_taskfile(name)
    schema = read_schema(file.name, file.params)
    assert file.source is not None and file.source.md5 and file.source.url and file.source.file
    assert file.data_file is not None and file.data_file.name == file.source.file
    for key in ("questions", "licence"):
        assert (getattr(file.source, key) is None) <= (key in file.source.unverified), key
    may_miss = "left_out" in str(file.params) or {"number", "text"} & set(schema.answer.all_kinds())
    assert not may_miss or name == "realworldqa" or file.source.left_out


def test_images_stand_at_their_places(tmp_path: Path) -> None:
    task = loaded("mmmu_val", tmp_path)
    first, second = (sample.messages[0].content for sample in task.samples[:2])
    assert [type(part) for part in first] == [TextPart, ImagePart, TextPart, ImagePart, TextPart]
    text, shown, *_ = first
    assert isinstance(text, TextPart) and text.text == "Question: Compare "
    assert isinstance(shown, ImagePart) and shown.image == task.rows[0].images[1]
    assert [type(part) for part in second[:4]] == [ImagePart, TextPart, ImagePart, TextPart]
    assert isinstance(second[0], ImagePart) and second[0].image == task.rows[1].images[0]
    assert task.samples[2].choices.keys() == set("ABCDEFGHI")


def test_a_gap_among_the_options_keeps_the_letters(tmp_path: Path) -> None:
    sample = loaded("blink", tmp_path).samples[2]
    assert (list(sample.choices), sample.target) == (["A", "C", "D"], "C")
    assert "\nC. option C of 2\n" in sample.text() and "B. " not in sample.text()


def test_pairs_follow_the_index(tmp_path: Path) -> None:
    task = loaded("mmvp", tmp_path)
    assert {sample.id: sample.group for sample in task.samples} == dict(zip("123456", "113355", strict=True))
    assert {sample.roll for sample in task.samples} == {0}


def test_cycles_are_copies_of_one_question(tmp_path: Path) -> None:
    task = loaded("hrbench_4k", tmp_path)
    assert [sample.roll for sample in task.samples] == [0, 1, 2, 3] * 2
    assert task.headline == "row_micro"


def test_the_question_in_the_picture_and_a_number_with_decimals(tmp_path: Path) -> None:
    verse = loaded("mathverse_mini_vision_only", tmp_path)
    assert "Question: The question is in the image." in verse.samples[0].text()
    assert "60°" not in verse.samples[0].text() and verse.samples[0].choices["C"] == "60°"
    vista = loaded("mathvista_mini", tmp_path)
    price = vista.samples[2]
    assert vista.score(price, reply("<answer>$1.449</answer>")).value == 1.0
    assert vista.score(price, reply("<answer>1.46</answer>")).value == 0.0


def test_a_limit_keeps_whole_groups(tmp_path: Path) -> None:
    task = loaded("hallusionbench", tmp_path, limit=3)
    assert (task.n_groups, len(task.samples)) == (3, 6)
    assert task.partial_reasons == ("limited to 3 of 4 questions",)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_limit_covers_as_many_abilities_as_it_can(name: str, tmp_path: Path) -> None:
    everything = loaded(name, tmp_path)
    n_abilities = len(everything.counts()["l2"])
    for limit in range(1, everything.n_groups):
        task = loaded(name, tmp_path, limit=limit)
        assert len(task.counts()["l2"]) == min(limit, n_abilities)
        (reason,) = (reason for reason in task.partial_reasons if reason.startswith("limited"))
        assert ("covers all" in reason) == (limit < n_abilities)


def test_parquet_with_several_image_columns_is_the_same_data(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from mmbench_data import picture

    rows = BENCHMARKS["blink"].rows()
    seeds = [(0, 50, 100), (1, 51, 101), None, (7, 7)]
    nested = [
        row
        | {
            "index": int(row["index"]),
            "image": [{"bytes": picture(seed), "path": None} for seed in (numbers or (50,))],
        }
        for row, numbers in zip(rows, seeds, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(nested), tmp_path / "blink.parquet")
    assert rows[2]["image"] == encoded(50)
    listed = load_task("blink", data=str(tmp_path / "blink.parquet"))
    assert listed.data_sha256 == loaded("blink", tmp_path).data_sha256
