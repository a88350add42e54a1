"""Overlap of training and evaluation images: copies are found however they are stored, others are not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from random import Random
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench_data import question, write_tsv
from pictures import encoded, picture, write_folder

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.task.pictures import Selection, open_source, select
from ssl4rl_bench.task.pictures.perceptual import Perceptual, near, near_pairs
from ssl4rl_bench.train.overlap import Overlap, enforce, find_overlaps
from ssl4rl_bench.train.recipe import DataPart


def selection_of(folder: Path, n: int, first: int = 0) -> Selection:
    """n pictures as PNG files."""
    folder.mkdir()
    for seed in range(first, first + n):
        (folder / f"{seed:03d}.png").write_bytes(encoded(seed))
    return select(open_source(str(folder), spool=folder))


def jpeg(seed: int, scale: float = 1.0) -> bytes:
    image = picture(seed)
    out = BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale))).save(out, "JPEG", quality=70)
    return out.getvalue()


def put(folder: Path, **files: bytes) -> str:
    folder.mkdir()
    for name, data in files.items():
        suffix = "jpg" if data.startswith(b"\xff\xd8") else "png"
        (folder / f"{name}.{suffix}").write_bytes(data)
    return str(folder)


def test_equal_copies_are_exact_and_reencoded_ones_near(tmp_path: Path) -> None:
    training = selection_of(tmp_path / "train", 20)
    spec = put(
        tmp_path / "eval",
        same=encoded(3),
        again=encoded(3),
        other=encoded(99),
        small=jpeg(5, 0.7),
        big=jpeg(5, 2),
    )
    (found,) = find_overlaps(training.pictures, [spec])
    assert found.images == 4
    assert found.exact == {sha256_hex(encoded(3)): ("again.png", "same.png")}
    assert found.near == {sha256_hex(encoded(5)): ("big.jpg", "small.jpg")}
    assert found.as_json() == {"set": spec, "images": 4, "exact": 1, "near": 1}
    assert found.details()["near"] == {sha256_hex(encoded(5)): ["big.jpg", "small.jpg"]}


@pytest.mark.slow
def test_distinct_images_do_not_overlap(tmp_path: Path) -> None:
    training = selection_of(tmp_path / "train", 60)
    spec = str(write_folder(tmp_path / "eval", 60, first=60))
    (found,) = find_overlaps(training.pictures, [spec])
    assert (found.images, found.exact, found.near) == (60, {}, {})


def test_near_duplicates_within_the_evaluation_set_all_count(tmp_path: Path) -> None:
    # `select` would keep one of the two: equality with the other must not be lost.
    training = selection_of(tmp_path / "train", 4)
    for seed in range(4):
        spec = put(tmp_path / f"eval{seed}", png=encoded(seed), jpg=jpeg(seed))
        (found,) = find_overlaps(training.pictures, [spec])
        assert list(found.exact) == [sha256_hex(encoded(seed))]
        assert not found.near


def test_a_benchmark_with_its_data_is_audited_by_its_rows(tmp_path: Path) -> None:
    training = selection_of(tmp_path / "train", 3)
    rows = [row for group, seed in enumerate((2, 7)) for row in question(group, image=encoded(seed))]
    path = write_tsv(tmp_path / "a.tsv", rows)
    (found,) = find_overlaps(training.pictures, [f"mmbench_dev_en={path}"])
    assert found.as_json() == {"set": f"mmbench_dev_en={path}", "images": 2, "exact": 1, "near": 0}
    assert found.exact == {sha256_hex(encoded(2)): ("0",)}
    names = ("index 0", "index 1000000", "index 2000000", "index 3000000")
    for spec in (str(path), f"ssl_rotation_90={path}"):
        assert find_overlaps(training.pictures, [spec])[0].exact == {sha256_hex(encoded(2)): names}


def test_an_ssl_task_is_audited_by_the_images_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.task import registry, scenes

    monkeypatch.setattr(scenes, "LEAVES", scenes.LEAVES[:1])
    for name in ("_drawn", "_drawn_rows"):  # without the cache of all leaves
        monkeypatch.setattr(registry, name, getattr(registry, name).__wrapped__)
    (tmp_path / "spool").mkdir()
    training = select(open_source("scenes:dev:2", spool=tmp_path / "spool"))
    other = select(open_source(put(tmp_path / "other", a=encoded(1)), spool=tmp_path))
    found = find_overlaps(training.pictures, ["ssl_rotation_90", "scenes", "scenes:dev"])
    n = scenes.LEAVES[0].n_dev
    assert [(item.images, len(item.exact)) for item in found] == [(n, len(training.pictures))] * 3
    assert not find_overlaps(other.pictures, ["scenes"])[0].exact


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("mmbench_dev_enn", UsageError, "did you mean"),
        ("mmbench_dev_enn=a.tsv", UsageError, "did you mean"),
        ("mmbench_dev_en=gone.tsv", UsageError, "neither a file or folder"),
        ("ssl_rotation_90=gone.tsv", UsageError, "There are no images gone.tsv"),
        ("gone/gone/gone", UsageError, "There are no images"),
    ],
)
def test_a_set_that_is_not_there_is_an_error(
    tmp_path: Path, spec: str, error: type[Exception], says: str
) -> None:
    training = selection_of(tmp_path / "train", 1)
    with pytest.raises(error, match=says):
        find_overlaps(training.pictures, [spec])


def test_what_cannot_be_compared_is_an_error_or_named(tmp_path: Path) -> None:
    training = selection_of(tmp_path / "train", 2)
    torn = encoded(0)[:-40]
    (found,) = find_overlaps(training.pictures, [put(tmp_path / "one", torn=torn, whole=encoded(1))])
    assert found.details()["unreadable"] == ["torn.png"]
    assert len(found.exact) == 1
    with pytest.raises(DataError, match="no image that can be read"):
        find_overlaps(training.pictures, [put(tmp_path / "none", torn=torn)])
    rows = [{"index": 0, "image": encoded(0)}, {"index": 1, "image": b""}]
    with pytest.raises(DataError, match="index 1"):
        find_overlaps(training.pictures, [str(write_tsv(tmp_path / "a.tsv", rows))])


def test_progress_names_the_set(tmp_path: Path) -> None:
    training = selection_of(tmp_path / "train", 1)
    spec = put(tmp_path / "eval", a=encoded(1), b=encoded(2))
    calls: list[tuple[str, int, int]] = []
    find_overlaps(training.pictures, [spec], lambda *call: calls.append(call))
    assert calls == [(spec, 1, 2), (spec, 2, 2)]


def part(**keys: object) -> DataPart:
    return DataPart(images="x", **keys)  # type: ignore[arg-type]


def test_overlap_is_refused_dropped_or_asked_for() -> None:
    clean = Overlap("scenes", 600, {}, {})
    found = (
        clean,
        Overlap("mmbench_dev_en", 1164, {"a": ("1",), "b": ("2", "3")}, {"c": ("4",)}),
        Overlap("mine", 5, {}, {"a": ("x",)}),
    )
    with pytest.raises(UsageError) as caught:
        enforce(found, part())
    message = str(caught.value)
    assert "mmbench_dev_en (2 equal, 1 that look alike)" in message
    assert "mine (0 equal, 1 that look alike)" in message
    assert "scenes" not in message
    assert 'overlap = "drop"' in message and "transductive = true" in message
    assert enforce(found, part(overlap="drop")) == {"a", "b", "c"}
    assert (
        enforce(found, part(transductive=True))
        == enforce(found, part(overlap="drop", transductive=True))
        == set()
    )
    assert enforce((clean,), part()) == enforce((), part(overlap="drop")) == set()


BITS = st.integers(0, 2**64 - 1)
HASHES = st.builds(Perceptual, BITS, st.binary(min_size=48, max_size=48))
ROOTS = [Perceptual(Random(seed).getrandbits(64), Random(seed).randbytes(48)) for seed in range(4)]


@st.composite
def around(draw: st.DrawFn) -> Perceptual:
    """A hash that differs from one of a few in about as many bits and shades as near duplicates may."""
    root = draw(st.sampled_from(ROOTS))
    bits = root.bits
    for at in draw(st.lists(st.integers(0, 63), max_size=16)):
        bits ^= 1 << at
    shift = draw(st.integers(-18, 18))
    return Perceptual(bits, bytes(min(255, max(0, value + shift)) for value in root.thumb))


@pytest.mark.slow
@given(st.lists(HASHES | around(), max_size=12), st.lists(HASHES | around(), max_size=12))
def test_near_pairs_are_what_near_says(a: list[Perceptual], b: list[Perceptual]) -> None:
    expected = [(i, j) for i, one in enumerate(a) for j, other in enumerate(b) if near(one, other)]
    assert list(near_pairs(a, b)) == expected


@pytest.mark.slow
def test_many_images_are_compared_in_seconds() -> None:
    rng = Random(1)
    a = [Perceptual(rng.getrandbits(64), rng.randbytes(48)) for _ in range(50_000)]
    b = [Perceptual(rng.getrandbits(64), rng.randbytes(48)) for _ in range(5_000)]
    b[7], b[4_321] = a[49_999], a[0]
    start = perf_counter()
    assert list(near_pairs(a, b)) == [(0, 4321), (49_999, 7)]
    assert perf_counter() - start < 60
