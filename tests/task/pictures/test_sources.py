"""Image sources: every kind gives the same images, and what cannot be used is named."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmbench_data import write_parquet, write_tsv
from pictures import encoded, write_folder

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.task.pictures import ImageSource, open_source
from ssl4rl_bench.task.pictures.drawn import DrawnSet, shapes_of


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir()
    return path


def hashes(source: ImageSource) -> list[str]:
    return sorted(sha256_hex(located.read()) for located in source.images)


def rows(n: int) -> list[dict[str, object]]:
    return [{"index": seed, "image": encoded(seed), "question": "?", "A": "a", "B": "b"} for seed in range(n)]


def test_a_folder_is_read_with_its_sub_folders(tmp_path: Path, spool: Path) -> None:
    folder = write_folder(tmp_path / "photos", 6)
    (folder / "notes.txt").write_text("not an image")
    source = open_source(str(folder), spool=spool)
    assert source.name == "photos"
    assert [located.name for located in source.images][:2] == ["part0/000.png", "part0/002.webp"]
    assert len(source.images) == 6
    assert not any(spool.iterdir())


def test_tsv_and_parquet_give_the_images_of_their_rows(tmp_path: Path, spool: Path) -> None:
    wanted = sorted(sha256_hex(encoded(seed)) for seed in range(4))
    tsv = write_tsv(tmp_path / "a.tsv", rows(4))
    (tmp_path / "shards").mkdir()
    write_parquet(tmp_path / "shards" / "one.parquet", rows(2))
    write_parquet(tmp_path / "shards" / "two.parquet", rows(4)[2:], base64_images=True)
    for number, path in enumerate((tsv, tmp_path / "shards")):
        (spool / str(number)).mkdir()
        source = open_source(str(path), spool=spool / str(number))
        assert hashes(source) == wanted
        assert {located.name for located in source.images} == {f"index {seed}" for seed in range(4)}


def test_equal_images_are_spooled_once(tmp_path: Path, spool: Path) -> None:
    copies = [row | {"index": row["index"], "image": encoded(0)} for row in rows(5)]
    source = open_source(str(write_tsv(tmp_path / "a.tsv", copies)), spool=spool)
    assert len(source.images) == 5
    assert (spool / "images.spool").stat().st_size == len(encoded(0))


def test_bad_cells_are_named_and_the_others_kept(tmp_path: Path, spool: Path) -> None:
    cells = [base64.b64encode(encoded(0)).decode(), "0", "", "/etc/passwd", "x" * 100]
    path = write_tsv(tmp_path / "a.tsv", [{"index": at, "image": cell} for at, cell in enumerate(cells)])
    source = open_source(str(path), spool=spool)
    assert len(source.images) == 1
    assert [(drop.name, drop.kind) for drop in source.bad] == [
        ("index 2", "unreadable"),
        ("index 3", "unreadable"),
        ("index 4", "unreadable"),
    ]
    assert "missing" in source.bad[0].reason


def test_a_row_without_an_index_is_named_by_what_it_holds(tmp_path: Path, spool: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [encoded(1), encoded(0)]}), tmp_path / "a.parquet")
    names = {located.name for located in open_source(str(tmp_path / "a.parquet"), spool=spool).images}
    assert names == {f"row {sha256_hex(encoded(seed))[:16]}" for seed in (0, 1)}


def test_another_task_s_images_come_through_the_callback(spool: Path) -> None:
    def task_images(name: str) -> Iterator[tuple[str, bytes]]:
        assert name == "mmbench_dev_en"
        yield "7", encoded(7)

    source = open_source("mmbench_dev_en", spool=spool, task_images=task_images)
    assert source.name == "mmbench_dev_en"
    assert [(located.name, located.read()) for located in source.images] == [("7", encoded(7))]


@pytest.mark.slow
def test_scenes_are_the_built_in_ones_even_beside_a_folder_of_that_name(
    tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.task import scenes

    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "scenes", 3)
    assert len(open_source("./scenes", spool=spool).images) == 3
    drawn = open_source("scenes", spool=spool)
    assert drawn.images[0].name == "dev/image_style/0"
    assert len(drawn.images) == sum(leaf.n_dev for leaf in scenes.LEAVES)


@pytest.mark.slow
def test_another_stream_of_scenes_is_as_long_as_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.task import scenes

    monkeypatch.setattr(scenes, "LEAVES", scenes.LEAVES[:2])
    sources = {}
    for spec in ("scenes:train", "scenes:train:3", "scenes:train:40", "scenes:dev"):
        (tmp_path / spec).mkdir()
        sources[spec] = open_source(spec, spool=tmp_path / spec)
        assert sources[spec].name == spec
    assert len(sources["scenes:train"].images) == sum(leaf.n_dev for leaf in scenes.LEAVES)
    assert [located.name for located in sources["scenes:train:3"].images] == [
        f"train/{leaf.name}/{number}" for leaf in scenes.LEAVES for number in range(3)
    ]
    assert len(sources["scenes:train:40"].images) == 80
    assert set(hashes(sources["scenes:train:3"])) < set(hashes(sources["scenes:train"]))
    assert set(hashes(sources["scenes:train"])) < set(hashes(sources["scenes:train:40"]))
    assert not set(hashes(sources["scenes:train:40"])) & set(hashes(sources["scenes:dev"]))


@pytest.mark.parametrize(
    "spec", ["nowhere", "no/such/folder/here", "gone.tsv", "gone.png", "scenes:train:0", "scenes:train:many"]
)
def test_what_is_nothing_is_a_usage_error(spec: str, spool: Path) -> None:
    with pytest.raises(UsageError, match="There are no images"):
        open_source(spec, spool=spool)


def test_an_empty_folder_is_a_data_error(tmp_path: Path, spool: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        open_source(str(tmp_path / "empty"), spool=spool)


def test_a_table_without_images_and_a_single_image_say_what_to_do(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("index\tpicture\n0\tx\n")
    with pytest.raises(DataError, match="no column image"):
        open_source(str(path), spool=spool)
    (tmp_path / "one.png").write_bytes(encoded(0))
    with pytest.raises(UsageError, match="folder"):
        open_source(str(tmp_path / "one.png"), spool=spool)


def test_drawings_of_one_leaf() -> None:
    drawn = DrawnSet.parse("scenes:mine:3:ocr")
    assert drawn == DrawnSet("mine", 3, "ocr") and not drawn.is_benchmark
    pictures = dict(drawn.pictures())
    assert list(pictures) == [f"mine/ocr/{number}" for number in range(3)]
    every = dict(DrawnSet("mine", 3).pictures())
    assert pictures.items() <= every.items() and len(every) == 45
    for spec, meant in (("scenes", DrawnSet("dev", None)), ("scenes:a-b", DrawnSet("a-b", None))):
        assert DrawnSet.parse(spec) == meant
    for other in ("scenes:", "./scenes", "scenes:x:0", "scenes:x::ocr", "scene"):
        assert DrawnSet.parse(other) is None
    with pytest.raises(UsageError, match=r"no questions 'orc'.*'?ocr"):
        DrawnSet.parse("scenes:x:3:orc")


def test_a_drawing_is_known_by_its_name_and_its_bytes() -> None:
    ((name, png),) = DrawnSet("mine", 1, "attribute_recognition").pictures()
    shapes = shapes_of(name, sha256_hex(png))
    assert shapes and len({shape.colour for shape in shapes}) == len(shapes) >= 2
    assert shapes_of(name, sha256_hex(png + b" ")) is None
    for other in ("mine/attribute_recognition/1", "mine/none/0", "photo.png", ""):
        assert shapes_of(other, sha256_hex(png)) is None
    ((name, png),) = DrawnSet("mine", 1, "ocr").pictures()
    assert shapes_of(name, sha256_hex(png)) == ()
