"""The folders of other trainers: what is found in them, in which order, and when it counts as complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trainer_folders as made
from checkpoint_folders import TINY
from fake_checkpoints import files, make

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.watch import find, layouts
from ssl4rl_bench.watch.find import Finder, Look
from ssl4rl_bench.watch.layouts import list_candidates
from ssl4rl_bench.watch.nothing import describe_nothing

LAYOUTS = (
    "step-000100",
    "checkpoint-100",
    "checkpoint-100-merged",
    "global_step_100/actor/huggingface",
    "global_step_100/huggingface",
    "v0-20250619-234421/checkpoint-100",
)
"""Where the weights of step 100 are. In the third, they belong to the adapter in checkpoint-100."""


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass for `find`."""
    now = [0.0]
    monkeypatch.setattr(find.time, "monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def look_twice(finder: Finder, later: Callable[[float], None]) -> Look:
    finder.look()
    later(100.0)
    return finder.look()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_weights_of_each_layout_are_found(
    layout: str, tmp_path: Path, later: Callable[[float], None]
) -> None:
    weights = tmp_path / layout
    shutil.copytree(TINY, weights)
    if layout.endswith("-merged"):
        made.adapter(tmp_path, 100)
    (checkpoint,) = look_twice(Finder(tmp_path, 5.0), later).ready
    assert (checkpoint.step, checkpoint.path) == (100, weights)
    assert checkpoint.fingerprint == fingerprint(TINY)
    assert checkpoint.name == next(
        part for part in layout.removesuffix("-merged").split("/") if "100" in part
    )


def test_steps_are_numbers_in_all_layouts(tmp_path: Path, later: Callable[[float], None]) -> None:
    for step in (1000, 90, 200):
        made.verl(tmp_path, step, merged=True)
    assert [one.step for one in look_twice(Finder(tmp_path, 5.0), later).ready] == [90, 200, 1000]


@pytest.mark.parametrize("trainer", [made.verl, made.easy_r1])
def test_what_the_trainer_noted_as_saved_counts_at_once(trainer: Callable[..., Path], tmp_path: Path) -> None:
    trainer(tmp_path, 50, merged=True)
    assert [one.name for one in Finder(tmp_path, 5.0).look().ready] == ["global_step_50"]
    made.write(tmp_path / "global_step_60" / "actor" / "huggingface", files(60))
    look = Finder(tmp_path, 5.0).look()
    assert ([one.name for one in look.ready], look.changing) == (["global_step_50"], ("global_step_60",))


def test_a_step_that_is_written_again_after_the_note_waits(tmp_path: Path) -> None:
    folder = made.verl(tmp_path, 50, merged=True)
    (folder / "actor" / "huggingface" / "config.json").write_bytes(b'{"model_type": "qwen2_5_vl", "x": 1}')
    made.age(tmp_path)  # the note too, whose time is before the change of any file
    assert Finder(tmp_path, 5.0).look().changing == ("global_step_50",)


def test_shards_are_named_with_the_command(tmp_path: Path, later: Callable[[float], None]) -> None:
    for step in (50, 100, 150):
        made.verl(tmp_path, step)
    look = look_twice(Finder(tmp_path, 5.0), later)
    assert not look.ready and not look.broken
    text = describe_nothing(tmp_path, look)
    assert "3 folders (global_step_50, global_step_100, global_step_150) hold FSDP shards of verl" in text
    command = f"--local_dir {tmp_path}/global_step_150/actor --target_dir NEW"
    assert f"python -m verl.model_merger merge --backend fsdp {command}" in text and "--merge" in text


def test_shards_without_a_note_wait_for_a_minute(tmp_path: Path, later: Callable[[float], None]) -> None:
    """verl writes whole weights, if it is told to, long after the shards."""
    made.verl(tmp_path, 50)
    (tmp_path / "latest_checkpointed_iteration.txt").unlink()
    finder = Finder(tmp_path, 5.0, merges=True)
    finder.look()
    later(30.0)
    assert finder.look().changing == ("global_step_50",)
    later(31.0)
    (checkpoint,) = finder.look().ready
    assert checkpoint.unmerged == Unmerged("fsdp", tmp_path / "global_step_50" / "actor", "verl")


def test_incomplete_shards_are_never_merged(tmp_path: Path, later: Callable[[float], None]) -> None:
    folder = made.verl(tmp_path, 50)
    made.verl(tmp_path, 100)
    path = folder / "actor" / "model_world_size_2_rank_1.pt"
    path.write_bytes(path.read_bytes()[:-10])
    look = look_twice(Finder(tmp_path, 5.0, merges=True), later)
    assert [one.name for one in look.ready] == ["global_step_100"]
    assert "is cut off" in look.broken["global_step_50"]


def test_adapters_are_named_with_the_command(tmp_path: Path, later: Callable[[float], None]) -> None:
    folder = made.adapter(tmp_path, 50)
    look = look_twice(Finder(tmp_path, 5.0), later)
    text = describe_nothing(tmp_path, look)
    assert "1 folder (checkpoint-50) holds a LoRA adapter (PEFT) without its base" in text
    assert f"python -m ssl4rl_bench.merge_adapter {folder} NEW" in text


def test_a_folder_with_several_runs_of_ms_swift_is_refused(tmp_path: Path) -> None:
    made.trl(tmp_path / "v2-20250619-234421", 50)
    made.write(tmp_path / "v2-20250619-234421", {"args.json": b"{}"})
    finder = Finder(tmp_path, 5.0)
    finder.look()
    assert finder.folder == tmp_path / "v2-20250619-234421"
    made.trl(tmp_path / "v10-20250701-101010", 50)
    finder.look()  # it stays with its run
    with pytest.raises(DataError, match=r"has 2 runs of ms-swift; name one, such as .*v10-20250701-101010"):
        Finder(tmp_path, 5.0).look()


def test_nothing_is_explained_by_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    text = describe_nothing(tmp_path, Finder(tmp_path, 5.0).look())
    assert "has no complete checkpoint among its 2 entries (looked for step-N, checkpoint-N," in text
    assert "global_step_N/actor/huggingface" in text and "\n" not in text
    make(tmp_path, 50)
    text = describe_nothing(tmp_path, Finder(tmp_path, 5.0).look())
    assert "3 entries" in text and "1 being written (step-000050)" in text


def test_the_folder_below_is_named(tmp_path: Path) -> None:
    made.verl(tmp_path / "project" / "experiment", 50, merged=True)
    text = describe_nothing(tmp_path, Finder(tmp_path, 5.0).look())
    assert f"{tmp_path}/project/experiment has checkpoints: name that folder" in text


def test_a_broken_checkpoint_is_counted_with_its_reason(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    path = made.trl(tmp_path, 50) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    text = describe_nothing(tmp_path, look_twice(Finder(tmp_path, 5.0), later))
    assert "1 left out (first checkpoint-50: " in text and "truncated" in text


def test_lines_of_a_spool_file_are_checkpoints(tmp_path: Path, later: Callable[[float], None]) -> None:
    spool = tmp_path / "eval" / "spool.tsv"
    spool.parent.mkdir()
    made.verl(tmp_path / "run", 100, merged=True)
    absolute = made.write(tmp_path / "weights of step 50", files(50))
    line = "100\t../run/global_step_100\n"
    spool.write_text(f"# steps\n{line}\n50\t{absolute}\n9\t../gone\nstep 3\n{line}7\t")
    look = look_twice(Finder(spool, 5.0), later)
    assert [(one.name, one.step, one.path.name) for one in look.ready] == [
        ("step-000050", 50, "weights of step 50"),
        ("step-000100", 100, "huggingface"),
    ]
    assert look.broken == {"line 6 of spool.tsv": "it is not a step, a tab and a folder"}
    assert list(look.listed.absent) == ["step-000009"]
    assert "does not exist" in look.listed.absent["step-000009"]


def test_a_folder_belongs_to_the_last_line_that_names_it(tmp_path: Path) -> None:
    """A trainer that overwrites its last checkpoint has no weights of the earlier steps any more."""
    made.write(tmp_path / "last", files(1))
    made.write(tmp_path / "other", files(2))
    (tmp_path / "spool").write_text("50\tlast\n100\tlast\n100\tother\n")
    candidates = list_candidates(tmp_path / "spool").candidates
    assert [(one.step, one.folder.name) for one in candidates] == [(100, "last"), (100, "other")]


def test_a_spool_file_without_a_checkpoint_is_explained(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("50\tgone\n")
    text = describe_nothing(tmp_path / "spool", Finder(tmp_path / "spool", 5.0).look())
    assert "names no complete checkpoint in its 1 line STEP<TAB>FOLDER; 1 absent (first step-000050: " in text


def test_a_spool_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be watched: .*STEP<TAB>FOLDER"):
        Finder(tmp_path / "spool", 5.0).look()


def test_a_folder_that_is_being_deleted_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = layouts.locate

    def deleted(folder: Path) -> object:
        if folder.name == "global_step_50":
            shutil.rmtree(folder)
            raise FileNotFoundError(2, "gone")
        return real(folder)

    for step in (50, 100):
        made.verl(tmp_path, step, merged=True)
    monkeypatch.setattr(layouts, "locate", deleted)
    assert [one.name for one in Finder(tmp_path, 5.0).look().ready] == ["global_step_100"]


def test_a_line_that_has_no_line_feed_yet_is_explained(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("50\tgone")
    text = describe_nothing(tmp_path / "spool", Finder(tmp_path / "spool", 5.0).look())
    assert (
        "in its 0 lines STEP<TAB>FOLDER; its last line has no line feed, so that it counts as not yet" in text
    )
