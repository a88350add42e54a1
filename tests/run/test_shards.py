"""The split of a run into shards: a partition that depends on content alone, balanced, and part of the spec."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import SyntheticTask

from ssl4rl_bench.core.errors import SpecMismatch, StoreError, UsageError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.types import (
    Categories,
    EncodedImage,
    HubSource,
    ImagePart,
    Message,
    Sample,
    TextPart,
)
from ssl4rl_bench.run.rundir import RunDir, default_place, list_runs
from ssl4rl_bench.run.shards import SPLIT, Shard, part_of, split, tolerance
from ssl4rl_bench.run.spec import RunSpec, TaskSpec

TASK = "ssl4rl_x"
COUNTS = st.integers(1, 12)
GROUPS = st.dictionaries(
    st.integers(0, 500),
    st.tuples(st.integers(1, 6), st.sets(st.sampled_from("abcdef"), max_size=2)),
    max_size=60,
)
"""Name of a group to its number of samples and its images."""


def samples_of(groups: dict[int, tuple[int, set[str]]]) -> list[Sample]:
    return [
        Sample(
            id=f"{name}-{copy}",
            group=str(name),
            messages=(
                Message(
                    "user",
                    (
                        *(ImagePart(EncodedImage(b"", image * 64)) for image in sorted(images)),
                        TextPart("?"),
                    ),
                ),
            ),
            target="A",
            choices={},
            categories=Categories("a", "b", "c"),
            roll=copy,
        )
        for name, (size, images) in groups.items()
        for copy in range(size)
    ]


def loads(groups: dict[int, tuple[int, set[str]]], count: int) -> list[int]:
    """Samples per shard."""
    sizes = Counter(dict.fromkeys(range(1, count + 1), 0))
    for name, index in split(samples_of(groups), count, TASK).items():
        sizes[index] += groups[int(name)][0]
    return [sizes[index] for index in range(1, count + 1)]


@given(GROUPS, COUNTS)
def test_each_group_is_in_one_shard(groups: dict[int, tuple[int, set[str]]], count: int) -> None:
    index_of = split(samples_of(groups), count, TASK)
    assert index_of.keys() == {str(name) for name in groups}
    assert {*index_of.values()} <= {*range(1, count + 1)}


@given(GROUPS, COUNTS, st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order(
    groups: dict[int, tuple[int, set[str]]], count: int, rng: random.Random
) -> None:
    samples = samples_of(groups)
    shuffled = rng.sample(samples, len(samples))
    assert split(shuffled, count, TASK) == split(samples, count, TASK)


@given(GROUPS, COUNTS)
def test_shards_differ_by_at_most_a_tenth_of_a_share_or_the_largest_question(
    groups: dict[int, tuple[int, set[str]]], count: int
) -> None:
    sizes = loads(groups, count)
    total, largest = sum(sizes), max((size for size, _ in groups.values()), default=0)
    bound = tolerance([size for size, _ in groups.values()], count)
    assert max(sizes) - min(sizes) <= bound
    assert bound == max(largest, -(-total // (10 * count)))


@given(GROUPS, COUNTS)
def test_questions_with_the_same_images_stay_together_if_they_are_few(
    groups: dict[int, tuple[int, set[str]]], count: int
) -> None:
    index_of = split(samples_of(groups), count, TASK)
    bound = tolerance([size for size, _ in groups.values()], count)
    for pictures in {frozenset(images) for _, images in groups.values() if images}:
        same = {name: size for name, (size, images) in groups.items() if images == pictures}
        if sum(same.values()) <= bound:
            assert len({index_of[str(name)] for name in same}) == 1


def test_many_questions_about_one_image_are_divided() -> None:
    sizes = loads({name: (1, {"a"}) for name in range(100)}, 4)
    assert sum(sizes) == 100 and max(sizes) - min(sizes) <= 3


def test_the_remainders_of_several_tasks_do_not_add_up() -> None:
    totals: Counter[int] = Counter()
    samples = samples_of({name: (1, {"a"}) for name in range(9)})
    for number in range(40):
        totals += Counter(split(samples, 8, f"ssl4rl_task_{number}").values())
    assert max(totals.values()) - min(totals.values()) < 15, "the same shard first would make it 40"


def test_equal_shards_of_another_version_need_another_number() -> None:
    groups = {name: (1 + name % 5, {"abcdef"[name % 6]}) for name in range(80)}
    digest = sha256_json([split(samples_of(groups), count, TASK) for count in (1, 2, 3, 7, 90)])
    assert (SPLIT, digest[:16]) == (1, "ba4c3e302970b8ec")


@pytest.mark.parametrize(
    "text", ["", "1", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/4/2", " 1/4", "1.0/4", "１/４"]
)
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write I/N with I from 1 to N"):
        Shard.parse(text)


def test_a_shard_reads_back() -> None:
    shard = Shard.parse("02/4")
    assert (str(shard), shard.suffix, Shard.parse(str(shard))) == ("2/4", "shard-2-of-4", shard)


class Movable(SyntheticTask):
    """A synthetic task whose samples can be replaced, as those of all loaded tasks."""

    def showing(self, samples: list[Sample], image: str) -> Movable:
        made = replace(self, image=image)
        made.__dict__["samples"] = samples
        return made


@given(st.integers(1, 9), COUNTS)
def test_the_parts_of_a_task_are_all_of_it_in_its_order(n_groups: int, count: int) -> None:
    task = Movable(n_groups)
    parts: list[Any] = [part_of(task, Shard(index, count)) for index in range(1, count + 1)]
    order = [sample.id for sample in task.samples]
    assert sorted((sample.id for part in parts for sample in part.samples), key=order.index) == order
    for part in parts:
        ids = [sample.id for sample in part.samples]
        assert ids == sorted(ids, key=order.index)
        assert (part.data_sha256, part.partial_reasons) == (task.data_sha256, ())


HUB = HubSource("owner/name", "a" * 40, "default", "dev")
WHOLE = RunSpec(
    model="some/model",
    fingerprint="ab" * 32,
    tasks={
        "ssl4rl_synthetic": replace(TaskSpec.of(SyntheticTask(6)), hub=HUB),
        "ssl4rl_small": replace(TaskSpec.of(SyntheticTask(1)), version="7"),
    },
    engine="mock",
    engine_version="1 gold",
)
PART = Movable(2)
SPEC = WHOLE.for_shard(Shard(2, 4), [PART])


def test_the_spec_of_a_shard_has_its_samples_and_knows_those_of_the_whole_run() -> None:
    assert [*SPEC.tasks] == ["ssl4rl_synthetic"] and SPEC.tasks["ssl4rl_synthetic"].n_samples == 8
    assert RunSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC
    assert SPEC.without_shard() == WHOLE == WHOLE.without_shard()
    assert "shard" not in WHOLE.to_json()


def test_a_shard_is_another_experiment_than_the_whole_run_and_each_other_shard() -> None:
    specs = [
        WHOLE,
        *(WHOLE.for_shard(Shard(*numbers), [PART]) for numbers in [(1, 4), (2, 4), (1, 5)]),
    ]
    assert len({spec.sha256 for spec in specs}) == len(specs)
    assert specs[1].diff(specs[2]) == ["shard.part"]


def test_a_commit_of_the_hub_is_no_part_of_a_shard_s_identity() -> None:
    moved: HubSource = replace(HUB, commit="b" * 40)
    tasks = {name: replace(task, hub=task.hub and moved) for name, task in WHOLE.tasks.items()}
    later = replace(WHOLE, tasks=tasks).for_shard(Shard(2, 4), [PART])
    assert later.sha256 == SPEC.sha256 and later != SPEC
    assert later.recorded_by(SPEC) == SPEC


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((("part", value)) for value in ("5/4", "x", 3, None)),
        *((("split", value)) for value in (2, "1", None)),
        *((("tasks", value)) for value in (3, {"ssl4rl_x": {}}, {"ssl4rl_x": {"version": 1}})),
    ],
)
def test_a_damaged_shard_entry_is_one_sentence(tmp_path: Path, name: str, value: Any) -> None:
    spec = SPEC.to_json()
    spec["shard"][name] = value
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(StoreError, match=r"spec\.json is damaged or of another version"):
        RunDir.open(tmp_path)


def test_a_directory_holds_one_shard(tmp_path: Path) -> None:
    RunDir.create(tmp_path, SPEC).close()
    assert RunDir.open(tmp_path).spec == SPEC
    with pytest.raises(SpecMismatch, match=r"other shard\.part"):
        RunDir.create(tmp_path, WHOLE.for_shard(Shard(3, 4), [PART]))
    with pytest.raises(SpecMismatch, match=r"other shard\.part"):
        RunDir.create(tmp_path, WHOLE)


def test_tables_name_the_shard_after_the_model(tmp_path: Path) -> None:
    assert (SPEC.qualifier, WHOLE.qualifier, replace(SPEC, engine="hf").qualifier) == (
        *("mock, shard 2/4", "mock", "shard 2/4"),
    )
    assert "--shard 2/4 --out" in str(replace(SPEC, engine="hf", scheme=1).not_comparable())


def test_the_default_directory_is_named_by_the_whole_run() -> None:
    place = default_place(SPEC.without_shard())
    assert place == default_place(WHOLE) and place.parent == Path("runs")
    assert place.name == f"some-model-{sha256_json([WHOLE.sha256])[:8]}"


def test_a_merge_in_progress_is_not_listed_as_a_run(tmp_path: Path) -> None:
    RunDir.create(tmp_path / "run", SPEC).close()
    RunDir.create(tmp_path / ".run.0123abcd.tmp", WHOLE).close()
    assert [summary.path.name for summary in list_runs(tmp_path)] == ["run"]


def test_images_of_samples_are_saved_once(tmp_path: Path) -> None:
    with RunDir.create(tmp_path / "run", WHOLE) as run:
        run.save_images([*SyntheticTask(2).samples, *SyntheticTask(3).samples])
        saved = {path.name: path.read_bytes() for path in (run.path / "images").glob("*/*")}
    assert {hashlib.sha256(data).hexdigest(): data for data in saved.values()} == saved and len(saved) == 3
