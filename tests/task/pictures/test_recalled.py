"""The remembered selection of the built-in images: the same samples, few drawings, and nothing from a bad file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import Task
from ssl4rl_bench.task import registry, scenes
from ssl4rl_bench.task.pictures import Selection, open_source, recalled, select
from ssl4rl_bench.task.scenes.question import DrawnQuestion

LEAVES = tuple(replace(leaf, n_dev=4) for leaf in scenes.LEAVES[:5])
N = 20


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """An empty cache folder, five leaves, and a list that receives each picture that is drawn."""
    drawn: list[tuple[str, int]] = []
    draw = scenes.question

    def question(stream: str, leaf: scenes.Leaf, number: int) -> scenes.Question:
        drawn.append((leaf.name, number))
        return draw(stream, leaf, number)

    monkeypatch.setattr(scenes, "question", question)
    monkeypatch.setattr(scenes, "LEAVES", LEAVES)
    monkeypatch.setenv(recalled.CACHE, str(tmp_path / "cache"))
    new_process(monkeypatch)
    return drawn


def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets what this process has drawn."""
    for module, name in ((scenes, "_question_rows"), (registry, "_drawn")):
        monkeypatch.setattr(module, name, cache(getattr(module, name).__wrapped__))


@pytest.fixture
def again(
    drawn: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Task, int]]]:
    """Loads a task as a new process does; returns it and the number of pictures that were drawn."""

    def load(name: str = "ssl_rotation_90", **how: Any) -> tuple[Task, int]:
        new_process(monkeypatch)
        drawn.clear()
        return registry.load_task(name, **how), len(drawn)

    yield load
    new_process(monkeypatch)


@pytest.fixture
def selection(drawn: list[tuple[str, int]], tmp_path: Path) -> Selection:
    """The selection of all built-in images."""
    (tmp_path / "spool").mkdir()
    return select(open_source("scenes", spool=tmp_path / "spool"))


@pytest.mark.parametrize(
    ("name", "n_drawn"),
    [("ssl_rotation_90", 3), ("ssl_contrastive_weak", 6), ("ssl_jigsaw_2x2", None), ("ssl_position", None)],
)
def test_a_limited_probe_draws_few_pictures_and_shows_the_same_ones(
    again: Callable[..., tuple[Task, int]], name: str, n_drawn: int | None
) -> None:
    first, n_first = again(name, limit=3)
    second, n_second = again(name, limit=3)
    assert n_first == N
    assert n_second == n_drawn or (n_drawn is None and n_second < N)  # some tasks pass over unusable images
    assert second == first
    assert [sample.images for sample in second.samples] == [sample.images for sample in first.samples]


def test_a_limit_that_was_remembered_serves_all_others(again: Callable[..., tuple[Task, int]]) -> None:
    again(limit=2)
    everything, n_drawn = again()
    assert n_drawn == N
    for limit in (1, 2, 5):
        task, n_drawn = again(limit=limit)
        assert n_drawn == limit
        assert task.samples == everything.samples[: len(task.samples)]
        assert task.partial_reasons == (f"limited to {limit} of {everything.n_groups} images",)


def test_a_limit_above_the_number_of_images_is_not_partial(again: Callable[..., tuple[Task, int]]) -> None:
    again(limit=2)
    everything, _ = again()
    assert again(limit=100)[0] == everything


def test_a_probe_without_a_limit_leaves_no_file(
    again: Callable[..., tuple[Task, int]], tmp_path: Path
) -> None:
    again()
    assert not (tmp_path / "cache").exists()


def test_probes_of_other_images_neither_read_nor_write_the_file(
    again: Callable[..., tuple[Task, int]], tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(scenes.png(scenes.question("train", LEAVES[0], number).drawn))
    again(data=str(folder), limit=2)
    assert not (tmp_path / "cache").exists()


def test_what_is_recalled_equals_what_was_selected(selection: Selection) -> None:
    assert recalled.recall() is None
    recalled.remember(selection)
    known = recalled.recall()
    assert known is not None
    assert known.counts() == selection.counts()
    assert (known.source, known.dropped, known.n_seen, known.hub) == (
        selection.source,
        selection.dropped,
        selection.n_seen,
        selection.hub,
    )
    for ours, theirs in zip(known.pictures, selection.pictures, strict=True):
        assert replace(ours, located=theirs.located) == theirs
        assert (ours.located.name, ours.located.length) == (theirs.located.name, theirs.located.length)
        assert ours.read() == theirs.read()
    partners = [[other.sha256 for other in each.partners(0)] for each in (known, selection)]
    assert partners[0] == partners[1]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _other_digit(path: Path) -> None:
    saved = json.loads(path.read_bytes())
    saved["content"]["pictures"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(saved))


def _other_shape(path: Path) -> None:
    path.write_text("[]")


def _not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize("damage", [_cut, _other_digit, _other_shape, _not_text, Path.unlink])
def test_a_damaged_file_counts_as_none_and_is_replaced(
    again: Callable[..., tuple[Task, int]], damage: Callable[[Path], None]
) -> None:
    first, _ = again(limit=2)
    damage(recalled.cache_file())
    assert recalled.recall() is None
    assert again(limit=2) == (first, N)
    assert again(limit=2) == (first, 2)


def test_pictures_that_are_drawn_in_another_way_are_selected_again(
    again: Callable[..., tuple[Task, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = again(limit=2)
    png = scenes.png
    monkeypatch.setattr(scenes, "png", lambda drawn: png(drawn).replace(b"IEND", b"IEND"))
    assert again(limit=2) == (before, 2)

    def mirrored(drawn: DrawnQuestion) -> bytes:
        return png(replace(drawn, image=drawn.image.rotate(180)))

    monkeypatch.setattr(scenes, "png", mirrored)
    after, n_drawn = again(limit=2)
    assert n_drawn > N
    assert after.samples != before.samples
    assert again(limit=2) == (after, 2)


def test_a_drawing_of_other_bytes_is_an_error(selection: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    recalled.remember(selection)
    known = recalled.recall()
    assert known is not None
    monkeypatch.setattr(scenes, "png", lambda drawn: b"other")
    with pytest.raises(DataError, match="changed while it was used"):
        known.pictures[0].read()


@pytest.mark.parametrize("change", ["version", "leaves", "library", "machine", "near"])
def test_the_file_of_another_version_is_another_file(
    drawn: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = recalled.cache_file()
    if change == "version":
        monkeypatch.setattr(scenes, "VERSION", "0")
    elif change == "leaves":
        monkeypatch.setattr(scenes, "LEAVES", LEAVES[:2])
    elif change == "library":
        monkeypatch.setattr("PIL.features.version", lambda name: "0")
    elif change == "machine":
        monkeypatch.setattr("platform.machine", lambda: "pdp11")
    else:
        monkeypatch.setattr(recalled, "T_BITS", 3)
    assert recalled.cache_file() != before
    assert recalled.cache_file().parent == before.parent


def test_the_folder_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(recalled.CACHE, str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert recalled.cache_file().parent == tmp_path / "a"
    monkeypatch.delenv(recalled.CACHE)
    assert recalled.cache_file().parent == tmp_path / "b" / "ssl4rl-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert recalled.cache_file().parent == tmp_path / "c" / ".cache" / "ssl4rl-bench"


@pytest.mark.parametrize("where", ["a file", "no home"])
def test_a_folder_that_cannot_be_written_changes_nothing(
    again: Callable[..., tuple[Task, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    if where == "a file":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(recalled.CACHE, str(tmp_path / "file" / "cache"))
    else:
        monkeypatch.setattr(recalled, "cache_file", _no_home)
    before = sorted(tmp_path.iterdir())
    first, n_first = again(limit=2)
    assert again(limit=2) == (first, n_first) == (first, N)
    assert sorted(tmp_path.iterdir()) == before


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
