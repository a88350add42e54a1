"""Selection: each content once, in an order that only the contents decide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from shutil import rmtree

import pytest
from pictures import encoded, picture, write_folder
from PIL import Image

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.task.pictures import ImageSource, Selection, open_source, select, split_of
from ssl4rl_bench.task.pictures.perceptual import near


def source_of(folder: Path) -> ImageSource:
    return open_source(str(folder), spool=folder)


def kept(selection: Selection) -> list[str]:
    return [picture.sha256 for picture in selection.pictures]


def test_order_is_by_content_and_not_by_name_or_place(tmp_path: Path) -> None:
    source = source_of(write_folder(tmp_path, 20))
    shuffled = list(source.images)
    Random(1).shuffle(shuffled)
    selection = select(source, ratio=0.5)
    assert select(replace(source, images=tuple(shuffled)), ratio=0.5) == selection
    assert kept(selection) == sorted(kept(selection))
    assert selection.counts() == {
        "seen": 20,
        "unreadable": 0,
        "too_small": 0,
        "exact_duplicate": 0,
        "near_duplicate": 0,
        "over_limit": 0,
        "kept": 20,
    }


def test_every_drop_has_a_name_and_a_reason(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    (tmp_path / "z.png").write_bytes(encoded(0))
    picture(1, (192, 144)).save(tmp_path / "larger.png")
    picture(30, (27, 90)).save(tmp_path / "thin.png")
    (tmp_path / "torn.jpg").write_bytes(encoded(31, "JPEG")[:-300])
    (tmp_path / "text.webp").write_text("no image at all")
    scrambled = bytearray(encoded(32))
    scrambled[60:90] = bytes(30)
    (tmp_path / "scrambled.png").write_bytes(scrambled)
    selection = select(source_of(tmp_path))
    drops = {drop.name: (drop.kind, drop.reason) for drop in selection.dropped}
    assert drops["z.png"] == ("exact_duplicate", "it is the same as part0/000.png")
    assert drops["thin.png"] == ("too_small", "it is 27 x 90 pixels, under 28 a side")
    assert {drops[name][0] for name in ("torn.jpg", "text.webp", "scrambled.png")} == {"unreadable"}
    assert [kind for kind, _ in drops.values()].count("near_duplicate") == 1
    counts = selection.counts()
    assert counts["seen"] == sum(counts.values()) - counts["seen"] == 10


def test_the_first_name_stands_for_equal_images(tmp_path: Path) -> None:
    for name in ("c.png", "a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(5))
    source = source_of(tmp_path)
    for images in (source.images, source.images[::-1]):
        selection = select(replace(source, images=images))
        assert [picture.located.name for picture in selection.pictures] == ["a.png"]
        assert [(drop.name, drop.reason) for drop in selection.dropped] == [
            ("b.png", "it is the same as a.png"),
            ("c.png", "it is the same as a.png"),
        ]


@pytest.mark.parametrize("limit", [1, 7, 19, 20, 500])
def test_a_limit_keeps_the_first_ones_of_the_whole(tmp_path: Path, limit: int) -> None:
    source = source_of(write_folder(tmp_path, 20))
    limited, whole = select(source, limit=limit), select(source)
    assert kept(limited) == kept(whole)[:limit]
    assert limited.n_left == max(0, 20 - limit)


@pytest.mark.slow
def test_a_limit_looks_further_where_images_look_alike(tmp_path: Path) -> None:
    write_folder(tmp_path, 10)
    for side in range(100, 190):
        picture(50, (side, side)).save(tmp_path / f"alike{side}.png")
    source = source_of(tmp_path)
    limited, whole = select(source, limit=11), select(source)
    assert len(whole.pictures) == 11
    assert kept(limited) == kept(whole)


def test_a_split_depends_on_the_image_alone(tmp_path: Path) -> None:
    source = source_of(write_folder(tmp_path, 40))
    few = replace(source, images=source.images[:10])
    of = {picture.sha256: picture.split for picture in select(source, ratio=0.7).pictures}
    assert all(of[picture.sha256] == picture.split for picture in select(few, ratio=0.7).pictures)
    assert all(split_of(sha256, 0.7) == split for sha256, split in of.items())
    shares = [split_of(f"{at:064x}", 0.7) for at in range(2000)]
    assert shares.count("train") == pytest.approx(1400, abs=90)
    assert {picture.split for picture in select(few).pictures} == {"data"}


def test_partners_are_other_images_of_the_same_split(tmp_path: Path) -> None:
    selection = select(source_of(write_folder(tmp_path, 30)), ratio=0.6)
    for at, own in enumerate(selection.pictures):
        others = list(selection.partners(at))
        assert own not in others
        assert {other.split for other in others} == {own.split}
        assert len(others) == sum(other.split == own.split for other in selection.pictures) - 1


def test_a_changed_image_changes_only_the_pairs_that_show_it(tmp_path: Path) -> None:
    def partners(selection: Selection) -> dict[str, str]:
        found = {own.sha256: next(selection.partners(at), None) for at, own in enumerate(selection.pictures)}
        return {own: other.sha256 for own, other in found.items() if other}

    old = select(source_of(write_folder(tmp_path, 20)))
    picture(99).save(tmp_path / "part1" / "007.JPG", "PNG")
    new = select(source_of(tmp_path))
    (gone,), (come,) = set(kept(old)) - set(kept(new)), set(kept(new)) - set(kept(old))
    before, after = partners(old), partners(new)
    changed = {own for own in before if before[own] != after.get(own)}
    assert changed
    assert all(gone in (own, before[own]) or after[own] == come for own in changed)


@pytest.mark.parametrize(
    ("ratio", "limit"), [(0.0, None), (1.0, None), (-1, None), (float("nan"), None), (0.5, 0)]
)
def test_ratios_and_limits_out_of_range_are_usage_errors(
    tmp_path: Path, ratio: float, limit: int | None
) -> None:
    with pytest.raises(UsageError):
        select(source_of(write_folder(tmp_path, 2)), ratio=ratio, limit=limit)


def test_nothing_left_is_one_sentence_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"None of the 1 images .* \(bad.png: it is empty\)"):
        select(source_of(tmp_path))


def test_a_file_that_changes_later_is_noticed(tmp_path: Path) -> None:
    selection = select(source_of(write_folder(tmp_path, 1)))
    (tmp_path / "part0" / "000.png").write_bytes(encoded(1))
    with pytest.raises(DataError, match=r"000\.png changed while"):
        selection.pictures[0].read()


def test_a_partner_never_looks_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    with Image.open(next(path for path in sorted(tmp_path.rglob("*")) if path.is_file())) as image:
        for number in range(4):
            (tmp_path / "twins" / str(number)).mkdir(parents=True)
            image.convert("RGB").save(tmp_path / "twins" / str(number) / "twin.jpg", quality=80 + number)
    selections = [select(source_of(tmp_path / "twins" / str(number))) for number in range(4)]
    rmtree(tmp_path / "twins")
    selections.append(select(source_of(tmp_path)))
    kept = sorted(
        (picture for found in selections for picture in found.pictures), key=lambda picture: picture.sha256
    )
    selection = replace(selections[-1], pictures=tuple(kept))
    assert len(selection.pictures) == 8
    for at, own in enumerate(selection.pictures):
        others = list(selection.partners(at))
        assert others and not any(near(own.perceptual, other.perceptual) for other in others)
    assert sum(len(list(selection.partners(at))) == 3 for at in range(8)) == 5
