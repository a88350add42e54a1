"""Data sets on disk: the same bytes however they are made, whole or not there, and with a true manifest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pictures import encoded, picture, write_folder

from ssl4rl_bench.core.errors import DataError, StoreError, UsageError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.datasets import FORMATS, Manifest, build_dataset
from ssl4rl_bench.datasets import building as building_module
from ssl4rl_bench.task import ssl

N = 8
ROTATION = ssl.make_task("rotation", {})
CONTRASTIVE = ssl.make_task("contrastive", {})


def make(images: Path, out: Path, task: Any = ROTATION, **options: Any) -> Manifest:
    options = {"workers": 1, **options}
    return build_dataset(task, "ssl4rl_test", str(images), out, **options)


def contents(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): sha256_hex(path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def rows(out: Path, split: str = "data") -> dict[str, dict[str, Any]]:
    import pyarrow.parquet as pq

    return {row["id"]: row for row in pq.read_table(out / f"{split}.parquet").to_pylist()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images") / "photos", N)


@pytest.mark.slow
@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("task", [ROTATION, CONTRASTIVE], ids=["rotation", "contrastive"])
def test_the_same_bytes_for_any_order_of_the_files(
    folder: Path, tmp_path: Path, task: Any, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(folder, tmp_path / "a", task, format=format, split=0.5)
    real = building_module.open_source

    def backwards(*args: Any, **options: Any) -> Any:
        source = real(*args, **options)
        return type(source)(source.name, source.images[::-1], source.bad)

    monkeypatch.setattr(building_module, "open_source", backwards)
    make(folder, tmp_path / "b", task, format=format, split=0.5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize("task", [ROTATION, CONTRASTIVE], ids=["rotation", "contrastive"])
def test_the_same_bytes_for_any_number_of_workers(folder: Path, tmp_path: Path, task: Any) -> None:
    for workers in (1, 2):
        make(folder, tmp_path / str(workers), task, workers=workers, split=0.5, per_image=2)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_renamed_files_change_the_lists_and_no_sample(folder: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "photos"
    renamed.mkdir()
    for number, path in enumerate(sorted(folder.rglob("*.*"), reverse=True)):
        shutil.copy(path, renamed / f"{number}{path.suffix}")
    make(folder, tmp_path / "a")
    make(renamed, tmp_path / "b")
    before, after = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {name for name in before if before[name] != after[name]} == {"images.jsonl", "manifest.json"}


@pytest.mark.parametrize("task", [ROTATION, CONTRASTIVE], ids=["rotation", "contrastive"])
@pytest.mark.slow
def test_a_changed_image_changes_only_samples_that_show_it(folder: Path, tmp_path: Path, task: Any) -> None:
    changed = tmp_path / "photos"
    shutil.copytree(folder, changed)
    (old,) = changed.rglob("005.*")
    gone, come = sha256_hex(old.read_bytes()), sha256_hex(encoded(77))
    old.write_bytes(encoded(77))
    make(folder, tmp_path / "a", task)
    make(changed, tmp_path / "b", task)
    before, after = rows(tmp_path / "a"), rows(tmp_path / "b")
    touched = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    per_image = 2 if task.pairs else 1
    assert 2 * per_image <= len(touched) <= 2 * per_image + 2 * task.pairs
    for name in touched:
        shown = {*before.get(name, {}).get("sources", ()), *after.get(name, {}).get("sources", ())}
        assert shown & {gone, come}


def test_samples_of_a_pair_task_are_balanced(folder: Path, tmp_path: Path) -> None:
    manifest = make(folder, tmp_path / "out", CONTRASTIVE)
    assert manifest.counts["targets"]["data"] == {"negative": N, "positive": N}
    assert all(
        len(row["sources"]) == 1 + (row["target"] == "negative") for row in rows(tmp_path / "out").values()
    )


def test_more_samples_of_an_image_add_to_the_first_ones(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "one")
    make(folder, tmp_path / "three", per_image=3)
    one, three = rows(tmp_path / "one"), rows(tmp_path / "three")
    assert len(three) == 3 * len(one) == 3 * N
    assert one.items() <= three.items()


def test_the_manifest_counts_and_names_everything(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 12)
    (folder / "z.png").write_bytes(encoded(0))
    (folder / "torn.jpg").write_bytes(encoded(31, "JPEG")[:-300])
    picture(30, (27, 90)).save(folder / "thin.png")
    picture(32, (90, 90)).resize((1, 1)).resize((90, 90)).save(folder / "flat.png")
    out = tmp_path / "out"
    manifest = make(folder, out, split=0.6, format="verl").data
    images = manifest["counts"]["images"]
    assert images["seen"] == 16
    assert (images["unreadable"], images["too_small"], images["exact_duplicate"], images["kept"]) == (
        1,
        1,
        1,
        13,
    )
    assert sum(manifest["counts"]["unusable"].values()) == 1
    assert sum(manifest["counts"]["samples"].values()) == 12
    assert json.loads((out / "manifest.json").read_text()) == manifest
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert {(drop["name"], drop["kind"]) for drop in dropped} == {
        ("z.png", "exact_duplicate"),
        ("torn.jpg", "unreadable"),
        ("thin.png", "too_small"),
        ("flat.png", "unusable"),
    }
    kept = [json.loads(line) for line in (out / "images.jsonl").read_text().splitlines()]
    assert len(kept) == 13
    for part in ("files", "lists"):
        for name, told in manifest[part].items():
            data = (out / name).read_bytes()
            assert (told["sha256"], told["bytes"]) == (sha256_hex(data), len(data))
    assert str(tmp_path) not in "".join(path.read_text("latin-1") for path in out.iterdir())


def test_an_image_whose_pixels_are_damaged_is_a_counted_drop(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(folder, photos)
    scrambled = bytearray(encoded(60))
    scrambled[60:90] = bytes(30)
    (photos / "scrambled.png").write_bytes(scrambled)
    assert make(photos, tmp_path / "out").counts["images"]["unreadable"] == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "parket"}, UsageError),
        ({"workers": 0}, UsageError),
        ({"split": 1.5}, UsageError),
        ({"limit": 0}, UsageError),
        ({"per_image": 0}, UsageError),
        ({"style": "no such style"}, UsageError),
        ({"limit": 1, "split": 0.5}, DataError),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    folder: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(folder, tmp_path / "deep" / "out", **options)
    assert not any(tmp_path.iterdir())


def test_images_of_which_the_task_can_make_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    picture(1, (90, 90)).resize((1, 1)).resize((90, 90)).save(folder / "flat.png")
    with pytest.raises(DataError, match="looks the same when it is rotated"):
        make(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_image_has_no_other_to_show_beside_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "one", 1)
    with pytest.raises(DataError, match="no other image"):
        make(folder, tmp_path / "out", CONTRASTIVE)


def test_a_destination_with_something_in_it_is_left_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make(folder, out)  # an empty folder will do
    before = contents(out)
    with pytest.raises(StoreError, match="--force"):
        make(folder, out, limit=3)
    assert contents(out) == before
    make(folder, out, limit=3, force=True)
    assert len(rows(out)) == 3
    other = tmp_path / "home"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    for force in (False, True):
        with pytest.raises(StoreError, match=r"other than a data set|already contains a data set"):
            make(folder, other, force=force)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


def test_a_failure_in_the_middle_leaves_the_old_data_set(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make(folder, out)
    before = contents(out)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building_module, "write_manifest", full)
    with pytest.raises(StoreError, match="disk is full"):
        make(folder, out, force=True)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="permission denied"):
        make(folder, tmp_path / "out")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from ssl4rl_bench.task import ssl\nfrom ssl4rl_bench.datasets import build_dataset\n"
        "build_dataset(ssl.make_task('rotation', {}), 'ssl4rl_test', sys.argv[1], Path(sys.argv[2]), workers=1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    peaks = []
    for n in (200, 2000):
        folder = write_folder(tmp_path / f"photos{n}", n)
        command = [sys.executable, "-c", code, str(folder), str(tmp_path / f"out{n}")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < peaks[0] + 40, peaks
