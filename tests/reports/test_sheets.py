"""Sheets and heat maps: names of any kind in SVG and PNG, legends that wrap, and maps with cells missing."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_words import difference

from ssl4rl_bench.comparison.result import Difference
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.figures.heat import HeatMap, median_mde, strongest
from ssl4rl_bench.reports.figures.palette import BETTER, HEX, INK, MUTED, SIGN, WORSE
from ssl4rl_bench.reports.figures.sheet import (
    MARKERS,
    MODELS,
    PathItem,
    Sheet,
    TextItem,
    fit,
    minus,
    width_of,
    wrapped,
)

MARKUP = '<script>alert("1 & 2")</script>'


def texts(sheet: Sheet) -> list[TextItem]:
    return [shape for shape in sheet.shapes if isinstance(shape, TextItem)]


def words(sheet: Sheet) -> list[str]:
    return [item.text for item in texts(sheet)]


def tiles(sheet: Sheet) -> list[PathItem]:
    return [shape for shape in sheet.shapes if isinstance(shape, PathItem)]


def parsed(sheet: Sheet, label: str = "a figure") -> ElementTree.Element:
    return ElementTree.fromstring(sheet.svg(label))


def test_markup_in_texts_and_in_the_description_stays_text() -> None:
    sheet = Sheet(100.0, 50.0)
    sheet.text(10.0, 10.0, MARKUP)
    svg = sheet.svg(MARKUP)
    assert "<script" not in svg
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == MARKUP
    assert [element.text for element in root] == [MARKUP]


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_no_name_breaks_an_svg(name: str, label: str) -> None:
    sheet = Sheet(100.0, 50.0)
    sheet.text(1.0, 2.0, f"x{name}")
    root = parsed(sheet, label)
    assert [element.text for element in root] == [clean(f"x{name}", 300)]
    assert root.get("aria-label") == clean(label, 600)


def test_an_empty_text_writes_nothing() -> None:
    sheet = Sheet(100.0, 50.0)
    sheet.text(1.0, 2.0, "")
    assert sheet.shapes == [] and list(parsed(sheet)) == []


def test_a_very_long_text_is_cut_and_says_so() -> None:
    sheet = Sheet()
    sheet.text(0.0, 0.0, "x" * 1000)
    assert words(sheet) == ["x" * 299 + "…"]


@pytest.mark.parametrize(
    ("side", "anchor"), [("left", None), ("center", "middle"), ("right", "end")], ids=lambda x: str(x)
)
def test_the_side_of_a_text_is_its_anchor(side: str, anchor: str | None) -> None:
    sheet = Sheet(100.0, 50.0)
    sheet.text(30.0, 20.0, "name", MUTED, side=side, size=10.0, bold=True)  # type: ignore[arg-type]
    (element,) = parsed(sheet)
    assert element.get("text-anchor") == anchor
    # The baseline is 0.36 of the font size below the middle.
    assert (element.get("x"), element.get("y"), element.get("font-size")) == ("30", "23.6", "10")
    assert (element.get("font-weight"), element.get("fill"), element.get("class")) == (
        "700",
        HEX[MUTED],
        "f-muted",
    )


def test_a_line_has_no_area_and_an_area_is_closed() -> None:
    sheet = Sheet(100.0, 50.0)
    sheet.line([(0.0, 0.0), (10.004, -0.001)], INK, 1.5, opacity=0.5, dashes=(3.0, 2.0))
    sheet.box(1.0, 2.0, 3.0, 4.0, BETTER, edge=INK)
    line, box = parsed(sheet)
    assert line.get("d") == "M0 0L10 0"
    assert (line.get("fill"), line.get("stroke"), line.get("stroke-width")) == ("none", HEX[INK], "1.5")
    assert (line.get("opacity"), line.get("stroke-dasharray")) == ("0.5", "3 2")
    assert box.get("d") == "M1 2L4 2L4 6L1 6Z"
    assert (box.get("fill"), box.get("class"), box.get("opacity")) == (HEX[BETTER], "f-better s-ink", None)


def test_the_size_of_a_sheet_is_in_points_and_on_a_page_in_pixels() -> None:
    root = parsed(Sheet(540.0, 100.5))
    assert (root.get("viewBox"), root.get("width"), root.get("height")) == ("0 0 540 100.5", "720", "134")


@pytest.mark.parametrize("marker", MARKERS)
def test_every_marker_is_drawn_around_its_place_at_about_its_size(marker: str) -> None:
    sheet = Sheet()
    sheet.marks([(50.0, 40.0), (80.0, 40.0)], marker, INK, size=10.0)
    (shape,) = tiles(sheet)
    assert len(shape.parts) == 2
    xs, ys = zip(*shape.parts[0], strict=True)
    assert 7.0 <= max(xs) - min(xs) <= 17.0 and 7.0 <= max(ys) - min(ys) <= 17.0
    assert min(xs) < 50.0 < max(xs) and min(ys) < 40.0 < max(ys)


def test_markers_for_models_are_not_those_for_better_and_worse() -> None:
    assert len(set(MODELS)) == len(MODELS)
    assert set(MODELS) == set(MARKERS) - {"^", "v"}
    top, bottom = (min(MARKERS[marker], key=lambda corner: corner.imag) for marker in "^v")
    assert top.real == pytest.approx(0.0) and bottom.real != pytest.approx(0.0)


def test_marks_of_no_places_are_an_empty_path() -> None:
    sheet = Sheet(10.0, 10.0)
    sheet.marks([], "o", INK)
    assert [element.get("d") for element in parsed(sheet)] == [""]


def test_a_legend_wraps_into_lines_between_its_ends() -> None:
    sheet = Sheet(200.0, 100.0)
    entries = [(f"model {number}", INK, "o") for number in range(6)]
    end = sheet.legend(10.0, entries, left=20.0, right=150.0)
    places = [(item.x, item.y) for item in texts(sheet)]
    lines = sorted({y for _, y in places})
    assert lines == [10.0 + 13.0 * number for number in range(len(lines))] and len(lines) > 1
    assert end == lines[-1] + 13.0
    assert [min(x for x, at in places if at == y) for y in lines] == [32.0] * len(lines)
    assert all(item.x + width_of(item.text) <= 150.0 for item in texts(sheet))


def test_a_legend_of_nothing_takes_one_line() -> None:
    sheet = Sheet()
    assert sheet.legend(10.0, []) == 23.0
    assert sheet.shapes == []


def test_a_legend_breaks_a_name_that_is_too_long_into_lines() -> None:
    sheet = Sheet(100.0, 20.0)
    name = " ".join(["a very long name of a model"] * 3)
    end = sheet.legend(10.0, [(name, INK, "line"), ("b", INK, "line")])
    *lines, other = texts(sheet)
    assert " ".join(line.text for line in lines) == name and len(lines) > 2
    assert all(line.x + width_of(line.text) <= 100.0 for line in lines)
    assert lines[0].y == 10.0 and lines[-1].y < other.y < end


@settings(max_examples=examples(60), deadline=None)
@given(st.text("ab-_/. ", max_size=60), st.floats(20.0, 200.0))
def test_wrapped_lines_fit_and_hold_the_whole_name(name: str, width: float) -> None:
    lines = wrapped(name, width)
    assert all(width_of(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(clean(name, 200).split())


def test_names_break_at_separators() -> None:
    assert wrapped("PKU-ML/SSL4RL-MMBench-Rotation-3B", 90.0) == ["PKU-ML/SSL4RL-", "MMBench-Rotation-3B"]


def test_each_kind_of_entry_has_its_shape() -> None:
    sheet = Sheet()
    sheet.legend(
        10.0, [("a", BETTER, "bar"), ("b", BETTER, "empty"), ("c", BETTER, "line"), ("d", BETTER, "s")]
    )
    bar, empty, line, square = tiles(sheet)
    assert (bar.fill, bar.edge) == (BETTER, None)
    assert (empty.fill, empty.edge) == (None, BETTER)
    assert (line.closed, square.closed, square.fill) == (False, True, BETTER)
    assert words(sheet) == ["a", "b", "c", "d"]


def test_a_png_has_the_size_of_the_sheet_and_is_the_same_again() -> None:
    from PIL import Image

    sheet = Sheet(72.0, 36.0)
    sheet.box(0.0, 0.0, 36.0, 36.0, BETTER)
    sheet.text(50.0, 18.0, "$x_1$ 模型")
    sheet.line([(0.0, 0.0), (72.0, 36.0)], dashes=(2.0, 1.0))
    png = sheet.png(dpi=50)
    assert png == sheet.png(dpi=50)
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (50, 25)
        colour = "#{:02x}{:02x}{:02x}".format(*image.convert("RGB").getpixel((3, 20)))  # type: ignore[misc]
    assert colour == HEX[BETTER]


@settings(max_examples=examples(30), deadline=None)
@given(st.text(max_size=60), st.floats(10.0, 200.0))
def test_a_fitted_name_is_no_wider_than_its_place_and_keeps_both_ends(name: str, width: float) -> None:
    shown, whole = fit(name, width), clean(name, 200)
    assert shown == whole or (width_of(shown) <= width and "…" in shown)
    if shown != whole:
        assert width_of(whole) > width
        head, _, tail = shown.rpartition("…")
        assert whole.endswith(tail) and (whole.startswith(head) or "…" in whole)


def test_every_hyphen_of_a_number_becomes_a_minus_sign() -> None:
    assert minus("-1.5") == "−1.5" and minus("[-2, -1]") == "[−2, −1]" and minus("3") == "3"


def heat(cells: list[list[Difference | None]], **changes: object) -> HeatMap:
    labels = [(f"run {number}", "") for number in range(len(cells))]
    plain = HeatMap(
        [f"c{number}" for number in range(len(cells[0]))],
        labels,
        cells,
        strongest(cell for row in cells for cell in row),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


GAIN = difference(0.10, mde=0.04)
LOSS = difference(-0.05, mde=0.06)
TINY = difference(-0.00001, ci95=(-0.02, 0.02), p=0.9, p_corrected=0.9)


def test_a_tile_says_its_difference_with_a_sign_and_a_mark_if_it_is_significant() -> None:
    made = heat([[GAIN, LOSS, TINY]])
    assert [made.texts(cell)[0] for cell in (GAIN, LOSS, TINY)] == ["+10.00 ▲", "−5.00 ▼", "+0.00"]
    assert [made.texts(cell)[1] for cell in (GAIN, LOSS, TINY)] == ["", "", ""]


def test_a_tile_with_its_interval_has_one_decimal() -> None:
    made = heat([[GAIN]], intervals=True)
    assert made.texts(GAIN) == ("+10.0 ▲", "[+6.0, +14.0]")
    assert made.texts(replace(LOSS, ci95=None))[1] == "–"


def test_a_cell_that_was_not_compared_is_a_dash_and_has_no_colour() -> None:
    sheet = Sheet()
    heat([[None, None]]).draw(sheet, 100.0, 0.0, 50.0, 20.0)
    assert tiles(sheet) == []
    assert words(sheet) == ["c0", "c1", "run 0", "–", "–", "MDE", "–", "–"]


def test_a_gain_is_blue_a_loss_vermilion_and_the_strongest_has_the_strongest_colour() -> None:
    sheet = Sheet()
    end = heat([[GAIN, LOSS]]).draw(sheet, 100.0, 10.0, 50.0, 20.0)
    gain, loss = tiles(sheet)
    assert (gain.fill, loss.fill) == (BETTER, WORSE) == (SIGN["better"], SIGN["worse"])
    assert gain.opacity == pytest.approx(2 * loss.opacity) and gain.opacity == pytest.approx(0.55)
    assert end == 10.0 + 18.0 + 20.0 + 18.0


def test_a_frame_stands_around_the_tiles_that_are_named() -> None:
    sheet = Sheet()
    heat([[GAIN, LOSS], [GAIN, None]], framed={(0, 1), (1, 1)}).draw(sheet, 100.0, 0.0, 50.0, 20.0)
    (frame,) = [shape for shape in tiles(sheet) if shape.edge == INK]
    assert frame.parts[0][0] == (151.5, 19.5)


def test_the_line_below_a_map_has_the_median_of_what_each_column_can_detect() -> None:
    sheet = Sheet()
    made = heat([[GAIN, None], [LOSS, None], [replace(GAIN, mde=0.05), None]])
    made.draw(sheet, 100.0, 0.0, 50.0, 20.0)
    assert words(sheet)[-3:] == ["MDE", "±5.00", "–"]
    assert median_mde([GAIN, LOSS]) == pytest.approx(0.05)
    assert median_mde([None]) is None and median_mde([]) is None


def test_a_map_without_differences_has_a_scale_of_one_point() -> None:
    assert strongest([]) == strongest([None, TINY]) == 0.01
    assert strongest([GAIN, LOSS]) == 0.10 and strongest([LOSS]) == 0.05


def test_the_scale_goes_from_the_strongest_loss_to_the_strongest_gain() -> None:
    sheet = Sheet()
    heat([[LOSS]]).scale(sheet, 10.0, 5.0, 100.0, steps=5)
    assert words(sheet) == ["−5.00", "0", "+5.00"]
    shares = [(shape.fill, round(shape.opacity / 0.55, 6)) for shape in tiles(sheet)]
    assert shares == [(WORSE, 1.0), (WORSE, 0.5), (WORSE, 0.0), (BETTER, 0.5), (BETTER, 1.0)]


def test_names_beside_a_map_are_cut_to_its_margin_and_stay_text() -> None:
    sheet = Sheet(300.0, 100.0)
    name = f"{MARKUP} and then a very long rest of the name"
    heat([[GAIN]], labels=[(name, "trained on rotation with a long description")]).draw(
        sheet, 120.0, 0.0, 50.0, 30.0
    )
    shown = [item for item in texts(sheet) if item.side == "right"]
    assert all(item.x - width_of(item.text, item.size, item.bold) >= 0.0 for item in shown)
    assert "<script" not in sheet.svg("map") and re.search("&lt;scr", sheet.svg("map"))


def test_a_map_needs_a_label_and_a_header_for_each_row_and_column() -> None:
    with pytest.raises(ValueError, match="longer"):
        heat([[GAIN]], labels=[]).draw(Sheet(), 100.0, 0.0, 50.0, 20.0)
    with pytest.raises(ValueError, match="longer"):
        heat([[GAIN] * 3], headers=["a"]).draw(Sheet(), 100.0, 0.0, 50.0, 20.0)
