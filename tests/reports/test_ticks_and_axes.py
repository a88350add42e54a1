"""Ticks and axes of figures: what they cover, where they put a value, and ranges of one point or none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from examples import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ssl4rl_bench.reports.figures.axes import PERCENT, Axes, over_steps, reach, slots, ticks
from ssl4rl_bench.reports.figures.palette import INK, MUTED, RULE
from ssl4rl_bench.reports.figures.sheet import PathItem, Sheet, TextItem, width_of

BOX = (10.0, 20.0, 200.0, 100.0)
"""Left, top, width and height in points."""
ENDS = st.floats(-1e6, 1e6)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, or without one."""

    value: float
    ci95: tuple[float, float] | None = None


def texts(sheet: Sheet) -> list[TextItem]:
    return [shape for shape in sheet.shapes if isinstance(shape, TextItem)]


def paths(sheet: Sheet) -> list[PathItem]:
    return [shape for shape in sheet.shapes if isinstance(shape, PathItem)]


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0.0, 100.0, 5, ["0", "20", "40", "60", "80", "100"]),
        (0.0, 1.0, 2, ["0.0", "0.5", "1.0"]),
        (0.0, 1.0, 4, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (-1.0, 1.0, 4, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        (-3.0, -1.0, 2, ["−3", "−2", "−1"]),
        (0.0, 0.03, 3, ["0.00", "0.01", "0.02", "0.03"]),
        (1.0, 9_999.0, 5, ["2000", "4000", "6000", "8000"]),
    ],
)
def test_ticks_are_round_values_with_the_decimals_that_they_need(
    low: float, high: float, most: int, labels: list[str]
) -> None:
    made = ticks(low, high, most)
    assert [label for _, label in made] == labels
    assert [value for value, _ in made] == pytest.approx([float(x.replace("−", "-")) for x in labels])


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (0.1, 0.7), (-0.3, 0.0), (0.6, 0.9)])
def test_an_end_that_is_round_is_a_tick(low: float, high: float) -> None:
    # In floating point, 0.3 / 0.1 is a little less than 3.
    made = [value for value, _ in ticks(low, high, 6)]
    assert made[0] == pytest.approx(low) and made[-1] == pytest.approx(high)


def test_a_tick_in_percent_is_a_fraction_with_a_label_in_percent() -> None:
    made = ticks(0.07, 0.1, 3, PERCENT, "%")
    assert [label for _, label in made] == ["7%", "8%", "9%", "10%"]
    assert [value for value, _ in made] == pytest.approx([0.07, 0.08, 0.09, 0.1])


def test_ticks_of_training_steps_are_integers_however_few_the_steps() -> None:
    assert ticks(0.0, 2.0, 6, integers=True) == [(0.0, "0"), (1.0, "1"), (2.0, "2")]
    assert ticks(0.0, 15.0, 6, integers=True) == [(float(n), str(n)) for n in (0, 3, 6, 9, 12, 15)]
    assert ticks(0.2, 0.8, 6, integers=True) == []


def test_zero_has_no_sign_on_an_axis_that_begins_below_it() -> None:
    assert [label for _, label in ticks(-0.001, 0.001, 2)] == ["−0.001", "0.000", "0.001"]


@settings(max_examples=examples(60), deadline=None)
@given(ENDS, ENDS, st.integers(2, 10), st.sampled_from([1.0, PERCENT]))
def test_ticks_are_few_inside_the_range_and_at_equal_distances(
    one: float, two: float, most: int, unit: float
) -> None:
    low, high = min(one, two), max(one, two)
    assume(high - low > 1e-6 * max(1.0, abs(low), abs(high)))
    made = [value for value, _ in ticks(low, high, most, unit)]
    slack = 1e-6 * (high - low)
    assert len(made) <= most + 1
    assert all(low - slack <= value <= high + slack for value in made)
    steps = [after - before for before, after in pairwise(made)]
    assert steps == pytest.approx([steps[0]] * len(steps) if steps else [], abs=slack)
    if steps:  # no tick is missing at an end
        assert made[0] - low < steps[0] + slack and high - made[-1] < steps[0] + slack


@settings(max_examples=examples(60), deadline=None)
@given(ENDS, ENDS, st.integers(2, 10))
def test_labels_are_their_values_and_all_differ(one: float, two: float, most: int) -> None:
    low, high = min(one, two), max(one, two)
    assume(high - low > 1e-6 * max(1.0, abs(low), abs(high)))
    made = ticks(low, high, most)
    labels = [label for _, label in made]
    assert len(set(labels)) == len(labels)
    assert len({len(label.partition(".")[2]) for label in labels}) <= 1
    for value, label in made:
        assert float(label.replace("−", "-")) == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_values_increase_upwards_and_the_other_axis_to_the_right() -> None:
    axes = Axes(Sheet(), BOX, (0.0, 4.0), (-1.0, 1.0))
    assert axes.place(0.0, -1.0) == (10.0, 120.0)
    assert axes.place(4.0, 1.0) == (210.0, 20.0)
    assert axes.place(1.0, 0.0) == (60.0, 70.0)


def test_sideways_values_increase_to_the_right_and_the_other_axis_downwards() -> None:
    axes = Axes(Sheet(), BOX, (0.0, 4.0), (-1.0, 1.0), sideways=True)
    assert axes.place(0.0, -1.0) == (10.0, 20.0)
    assert axes.place(4.0, 1.0) == (210.0, 120.0)
    assert axes.place(1.0, 0.0) == (110.0, 45.0)


def test_a_line_needs_as_many_positions_as_values() -> None:
    axes = Axes(Sheet(), BOX, (0.0, 1.0), (0.0, 1.0))
    with pytest.raises(ValueError, match="shorter"):
        axes.line([0.0, 1.0], [0.5], INK)
    assert axes.sheet.shapes == []


def test_a_level_is_as_wide_as_the_axes() -> None:
    axes = Axes(Sheet(), BOX, (3.0, 5.0), (0.0, 1.0))
    axes.level(0.25, MUTED)
    (line,) = paths(axes.sheet)
    assert line.parts == [[(10.0, 95.0), (210.0, 95.0)]]
    assert (line.edge, line.fill, line.closed) == (MUTED, None, False)


def test_a_band_is_a_rectangle_between_its_ends() -> None:
    axes = Axes(Sheet(), BOX, (0.0, 2.0), (0.0, 1.0))
    axes.band((0.5, 1.0), (0.2, 0.4), MUTED, opacity=0.15)
    (area,) = paths(axes.sheet)
    assert area.closed and area.opacity == 0.15
    xs, ys = zip(*area.parts[0], strict=True)
    assert xs == (60.0, 110.0, 110.0, 60.0)
    assert ys == pytest.approx((100.0, 100.0, 80.0, 80.0))


@pytest.mark.parametrize(
    ("cell", "marker", "n_shapes"),
    [
        (Estimate(0.5, (0.4, 0.6)), "o", 2),
        (Estimate(0.5), "o", 1),
        (Estimate(0.5, (0.4, 0.6)), None, 1),
        (Estimate(0.5), None, 0),
    ],
)
def test_a_whisker_has_a_line_if_there_is_an_interval_and_a_mark_if_one_is_asked_for(
    cell: Estimate, marker: str | None, n_shapes: int
) -> None:
    axes = Axes(Sheet(), BOX, (0.0, 1.0), (0.0, 1.0))
    axes.whisker(0.5, cell, INK, marker)
    assert len(axes.sheet.shapes) == n_shapes
    for shape in paths(axes.sheet):
        xs, ys = zip(*shape.parts[0], strict=True)
        assert sum(xs) / len(xs) == pytest.approx(110.0) and sum(ys) / len(ys) == pytest.approx(70.0)


@pytest.mark.parametrize("sideways", [False, True])
def test_labels_of_ticks_stand_outside_of_the_axes(sideways: bool) -> None:
    axes = Axes(Sheet(), BOX, (0.0, 1.0), (0.0, 1.0), sideways=sideways)
    axes.ticks([(0.0, "none"), (1.0, "all")])
    none, every = texts(axes.sheet)
    assert [line.edge for line in paths(axes.sheet)] == [RULE, RULE]
    if sideways:
        assert (none.x, none.y, every.x, every.y) == (10.0, 129.0, 210.0, 129.0)
    else:
        assert (none.x, none.y, every.x, every.y) == (5.0, 120.0, 5.0, 20.0)
        assert none.side == "right"


@pytest.mark.parametrize("values", [(), (0.3,), (-0.2,), (-0.2, 0.9), (0.0,), (2.0, 2.0)])
def test_a_scale_in_percent_includes_zero_and_all_values_with_some_air(values: tuple[float, ...]) -> None:
    axes = slots(Sheet(), BOX, 3, values)
    low, high = axes.values
    assert low < min(0.0, *values, 0.0) and high > max(0.0, *values, 0.0)
    assert "0" in {text.text for text in texts(axes.sheet)}
    (zero,) = [line for line in paths(axes.sheet) if line.edge == INK]
    assert {y for _, y in zero.parts[0]} == {axes.place(0.0, 0.0)[1]}


def test_a_scale_without_values_shows_no_less_than_five_points() -> None:
    axes = slots(Sheet(), BOX, 1, ())
    # From -1 to 5 points, and 6% of these 6 points more at both ends.
    assert axes.values == pytest.approx((-0.0136, 0.0536))
    assert [text.text for text in texts(axes.sheet)] == ["0", "2", "4"]


@pytest.mark.parametrize(
    ("steps", "across", "labels"),
    [
        ([], (-0.04, 1.04), ["0", "1"]),
        ([0.0], (-1.0, 1.0), ["−1", "0", "1"]),
        ([300.0], (299.0, 301.0), ["299", "300", "301"]),
        ([50.0, 50.0], (49.0, 51.0), ["49", "50", "51"]),
        ([300.0, 100.0, 200.0], (92.0, 308.0), ["100", "150", "200", "250", "300"]),
    ],
)
def test_an_axis_of_steps_has_a_width_even_for_one_step_or_none(
    steps: list[float], across: tuple[float, float], labels: list[str]
) -> None:
    axes = over_steps(Sheet(), BOX, steps, (0.0, 1.0), [(0.5, "half")])
    assert axes.across == pytest.approx(across)
    assert [text.text for text in texts(axes.sheet)] == [*labels, "half"]
    assert all(math.isfinite(x) for line in paths(axes.sheet) for point in line.parts[0] for x in point)


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=40))
def test_ticks_at_steps_are_steps_whose_labels_do_not_meet(steps: list[int]) -> None:
    axes = over_steps(Sheet(), BOX, steps, (0.0, 1.0), [], only_steps=True)
    labels = sorted(texts(axes.sheet), key=lambda text: text.x)
    assert {float(label.text) for label in labels} <= set(map(float, steps))
    assert bool(labels) == bool(steps)
    assert all(
        right.x - left.x >= (width_of(left.text) + width_of(right.text)) / 2
        for left, right in pairwise(labels)
    )


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_every_step_is_inside_of_its_axis(steps: list[int]) -> None:
    axes = over_steps(Sheet(), BOX, steps, (0.0, 1.0), [])
    left, _, width, _ = BOX
    for step in steps:
        assert left < axes.place(step, 0.0)[0] < left + width


def test_axes_must_include_values_and_the_ends_of_their_intervals() -> None:
    assert reach([Estimate(0.5, (0.4, 0.6)), None, Estimate(0.9)]) == [0.5, 0.4, 0.6, 0.9]
    assert reach([]) == []
