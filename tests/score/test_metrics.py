from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench import stats
from ssl4rl_bench.core.types import Categories, Score, ScoredSample, Status
from ssl4rl_bench.score.aggregate import AGGREGATIONS
from ssl4rl_bench.score.aggregate import aggregate as aggregate_scores
from ssl4rl_bench.score.cell_values import cell_values
from ssl4rl_bench.score.scores import UNREAD, arrange
from ssl4rl_bench.stats import effective

any_speed = settings(deadline=None)
LEAVES = (
    Categories("perception", "coarse_perception", "image_style"),
    Categories("perception", "coarse_perception", "image_topic"),
    Categories("reasoning", "logic_reasoning", "future_prediction"),
)
DEV_SIZES = [4] * 926 + [3] * 149 + [2] * 89
"""Rows of each question of MMBench dev v1.0."""


def aggregate(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None = None) -> dict[str, Any]:
    return aggregate_scores(arrange(scored, copies))


def excluded_groups(scored: Iterable[ScoredSample], copies: Mapping[str, int] | None = None) -> list[str]:
    return arrange(scored, copies).excluded


def status_counts(scored: Iterable[ScoredSample]) -> dict[str, int]:
    return arrange(scored).status_counts


def reply(
    group: str,
    roll: int,
    value: float | None,
    repeat: int = 0,
    leaf: Categories = LEAVES[0],
    status: str = "",
) -> ScoredSample:
    status = Status(status or ("error" if value is None else "tag"))
    return ScoredSample(f"{group}/{roll}", group, roll, repeat, leaf, Score(value, None, status))


def run(
    table: Mapping[str, Iterable[Iterable[float | None]]], leaf: Categories = LEAVES[0]
) -> list[ScoredSample]:
    """From each group's rows by repeat."""
    return [
        reply(group, roll, value, repeat, leaf)
        for group, repeats in table.items()
        for repeat, rows in enumerate(repeats)
        for roll, value in enumerate(rows)
    ]


@st.composite
def runs(draw: st.DrawFn, max_repeats: int = 3, errors: bool = True) -> list[ScoredSample]:
    """Groups of 1 to 4 rows, some repeats torn off, some replies failed or unread."""
    read: list[tuple[float | None, Status]] = [(1.0, Status.TAG), (0.0, Status.LENIENT), (0.0, Status.NONE)]
    outcomes = st.sampled_from([*(read * 8), *([(None, Status.ERROR)] if errors else [])])
    out: list[ScoredSample] = []
    for group in range(draw(st.integers(0, 8))):
        leaf, size = draw(st.sampled_from(LEAVES)), draw(st.integers(1, 4))
        for repeat in range(draw(st.integers(1, max_repeats))):
            whole = repeat == 0 or draw(st.integers(0, 4)) > 0
            for roll in range(size if whole else size - 1):
                value, status = draw(outcomes)
                out.append(reply(f"g{group}", roll, value, repeat, leaf, status))
    return out


def naive(scored: list[ScoredSample], aggregation: str) -> tuple[float | None, int, float | None]:
    """Value, n and unread share over all of `scored`, one group after the other."""
    groups: dict[str, list[ScoredSample]] = {}
    for sample in scored:
        groups.setdefault(sample.group, []).append(sample)
    values: dict[str, list[list[float]]] = {}
    units, unread = 0, []
    for samples in groups.values():
        if any(sample.score.value is None for sample in samples):
            continue
        rolls = {sample.roll for sample in samples}
        passes: list[list[ScoredSample]] = []
        for repeat in {sample.repeat for sample in samples}:
            one = [sample for sample in samples if sample.repeat == repeat]
            if len(one) == len(rolls):
                passes.append(sorted(one, key=lambda sample: sample.roll))
        if aggregation == "vanilla0_micro":
            passes = [one[:1] for one in passes]
        unread += [sample.score.status in UNREAD for one in passes for sample in one]
        scores = [[sample.score.value or 0.0 for sample in one] for one in passes]
        if aggregation == "circular_micro":
            scores = [[float(all(one))] for one in scores]
        rows = [statistics.fmean(column) for column in zip(*scores, strict=True)]
        units += len(rows)
        leaf = samples[0].categories.l3 if aggregation == "row_l3_macro" else ""
        values.setdefault(leaf, []).append(rows)
    if not values:
        return None, 0, None
    means = [statistics.fmean([value for rows in part for value in rows]) for part in values.values()]
    return statistics.fmean(means), units, statistics.fmean(unread)


def cells(aggregates: Mapping[str, Any]) -> Iterable[tuple[str, str, str, dict[str, Any]]]:
    """Aggregation, level, name and cell."""
    for aggregation, levels in aggregates.items():
        for level, names in levels.items():
            for name, cell in ({"": names} if level == "overall" else names).items():
                yield aggregation, level, name, cell


@any_speed
@given(runs())
def test_agrees_with_one_group_after_the_other(scored: list[ScoredSample]) -> None:
    aggregates = aggregate(scored)
    assert list(aggregates) == list(AGGREGATIONS)
    for aggregation, level, name, cell in cells(aggregates):
        part = [s for s in scored if level == "overall" or getattr(s.categories, level) == name]
        value, n, unread = naive(part, aggregation)
        assert (cell["value"], cell["n"], cell["unread"]) == (pytest.approx(value), n, pytest.approx(unread))


@any_speed
@given(runs())
def test_values_without_intervals_are_the_same(scored: list[ScoredSample]) -> None:
    full = {(aggregation, level, name): cell for aggregation, level, name, cell in cells(aggregate(scored))}
    for aggregation, level, values in cell_values(arrange(scored)):
        for name, cell in values.items():
            known = full.pop((aggregation, level, "" if level == "overall" else name))
            assert cell == pytest.approx({key: known[key] for key in cell}, abs=1e-12)
    assert not full


@pytest.mark.slow
@any_speed
@given(runs(), st.integers())
def test_the_order_of_replies_does_not_matter_to_the_last_bit(scored: list[ScoredSample], seed: int) -> None:
    shuffled = random.Random(seed).sample(scored, len(scored))
    assert json.dumps(aggregate(shuffled)) == json.dumps(aggregate(scored))
    assert excluded_groups(shuffled) == excluded_groups(scored)


@any_speed
@given(runs())
def test_bounds_and_json(scored: list[ScoredSample]) -> None:
    aggregates = aggregate(scored)
    json.dumps(aggregates, allow_nan=False)
    for aggregation, _, _, cell in cells(aggregates):
        if cell["value"] is None:
            assert cell == cell | dict.fromkeys(("se", "ci95", "unread")) | {"n": 0, "n_groups": 0}
            continue
        low, high = cell["ci95"]
        assert 0.0 <= low <= cell["value"] <= high <= 1.0 and low < high
        assert cell["n"] >= cell["n_groups"] > 0 and 0.0 <= cell["unread"] <= 1.0
        if aggregation != "row_l3_macro":
            assert (cell["se"] is None) == (cell["n_groups"] == 1)


@any_speed
@given(runs())
def test_a_group_is_never_better_than_its_main_row(scored: list[ScoredSample]) -> None:
    got = aggregate(scored)
    for level in ("l1", "l2", "l3"):
        for name, cell in got["circular_micro"][level].items():
            assert cell["value"] <= got["vanilla0_micro"][level][name]["value"] + 1e-12
            assert cell["n"] == got["vanilla0_micro"][level][name]["n"] == cell["n_groups"]
    assert got["row_l3_macro"]["l3"] == got["row_micro"]["l3"]


@any_speed
@given(runs())
def test_a_failed_request_takes_its_group_out_of_everything(scored: list[ScoredSample]) -> None:
    failed = {s.group for s in scored if s.score.value is None}
    assert failed <= set(excluded_groups(scored))
    assert aggregate(scored) == aggregate([s for s in scored if s.group not in failed])


@any_speed
@given(runs(errors=False))
def test_twice_the_groups_halve_the_variance(scored: list[ScoredSample]) -> None:
    again = [replace(s, id=f"x{s.id}", group=f"x{s.group}") for s in scored]
    one, two = aggregate(scored), aggregate([*scored, *again])
    for name in ("circular_micro", "row_micro", "vanilla0_micro"):
        old, new = one[name]["overall"], two[name]["overall"]
        assert new["n"] == 2 * old["n"]
        assert new["value"] == pytest.approx(old["value"])
        if old["se"] is not None:
            n = old["n_groups"]
            assert new["se"] ** 2 == pytest.approx(old["se"] ** 2 * (n - 1) / (2 * n - 1))


def test_a_constant_answer_is_right_in_one_copy_of_each_question() -> None:
    rng = random.Random(5)
    scored = []
    for group, size in enumerate(DEV_SIZES):
        right = rng.randrange(size)
        scored += [reply(str(group), roll, float(roll == right)) for roll in range(size)]
    got = aggregate(scored)
    circular, row, main = (got[name]["overall"] for name in AGGREGATIONS[:3])
    assert (circular["value"], circular["ci95"]) == (0.0, list(stats.wilson(0.0, 1164)))
    assert (row["value"], row["n"], row["n_groups"]) == (1164 / 4329, 4329, 1164)
    assert main["value"] == pytest.approx(0.276, abs=0.04)
    # One right row in each question, always: groups differ less than independent rows would make them.
    assert row["se"] < 0.3 * math.sqrt(row["value"] * (1 - row["value"]) / 4329)


@pytest.mark.parametrize(
    ("right", "printed"), [(3160, 72.99), (3480, 80.38), (3369, 77.82), (2999, 69.27), (3467, 80.08)]
)
def test_the_cards_average_is_row_accuracy_cut_off_at_two_decimals(right: int, printed: float) -> None:
    rows = [(group, roll) for group, size in enumerate(DEV_SIZES) for roll in range(size)]
    chosen = set(random.Random(right).sample(rows, right))
    scored = [reply(str(group), roll, float((group, roll) in chosen)) for group, roll in rows]
    cell = aggregate(scored)["row_micro"]["overall"]
    assert cell["value"] == right / 4329
    assert math.floor(1e4 * cell["value"]) / 100 == printed
    # Rows drawn without regard to groups: the interval is that of independent rows.
    assert cell["ci95"] == pytest.approx(stats.wilson(right / 4329, 4329), abs=2e-3)


def test_right_only_if_every_copy_is_right() -> None:
    got = aggregate(run({"a": [[1, 1, 1, 1]], "b": [[1, 1, 1, 0]], "c": [[0, 1, 1]], "d": [[1, 1]]}))
    assert got["circular_micro"]["overall"] == {
        "value": 0.5,
        "n": 4,
        "n_groups": 4,
        "se": pytest.approx(math.sqrt(1 / 12)),
        "ci95": pytest.approx(list(stats.wilson(0.5, 4))),
        "unread": 0.0,
        "n_unread": 0,
    }
    assert (got["row_micro"]["overall"]["value"], got["row_micro"]["overall"]["n"]) == (11 / 13, 13)
    assert got["vanilla0_micro"]["overall"]["value"] == 0.75


def test_the_macro_mean_gives_each_leaf_the_same_weight() -> None:
    big = run({f"a{i}": [[1, 1]] for i in range(50)} | {"b": [[0, 0]]}, LEAVES[0])
    small = run({f"c{i}": [[1, 0]] for i in range(4)} | {f"d{i}": [[0, 0]] for i in range(4)}, LEAVES[2])
    got = aggregate([*big, *small])["row_l3_macro"]
    parts = [got["l3"]["image_style"], got["l3"]["future_prediction"]]
    assert (got["overall"]["value"], got["overall"]["n"]) == (pytest.approx((50 / 51 + 1 / 4) / 2), 118)
    assert got["overall"]["se"] == pytest.approx(math.hypot(parts[0]["se"], parts[1]["se"]) / 2)
    assert got["l1"]["reasoning"] == parts[1]


def test_leaves_with_few_groups_share_a_variance_in_the_macro_mean() -> None:
    scored = [*run({"a": [[1, 1, 1, 1]], "b": [[0, 0]]}, LEAVES[0]), *run({"c": [[1]]}, LEAVES[2])]
    cell = aggregate(scored)["row_l3_macro"]["overall"]
    # Residuals of sums 4, 0, 1 of 4, 2, 1 rows around 5/7; weights 1/12, 1/12 and 1/2 per row.
    residuals = [4 - 20 / 7, -10 / 7, 1 - 5 / 7]
    square = 3 / 2 * sum(each**2 for each in residuals) / (16 + 4 + 1)
    assert cell["value"] == pytest.approx(5 / 6)
    assert cell["se"] == pytest.approx(math.sqrt(square * ((4 / 12) ** 2 + (2 / 12) ** 2 + 1 / 4)))
    low, high = cell["ci95"]
    assert 0.0 <= low < 0.3 and 0.95 < high <= 1.0


def test_repeats_are_averaged_per_group_and_their_variance_is_split() -> None:
    table = {"a": [[1, 1], [1, 0]], "b": [[0, 1], [0, 1]], "c": [[1, 1], [1, 1]]}
    got = aggregate(run(table))
    circular, row = got["circular_micro"]["overall"], got["row_micro"]["overall"]
    assert (circular["value"], circular["n"]) == (0.5, 3)
    assert circular["se"] == pytest.approx(statistics.stdev([0.5, 0.0, 1.0]) / math.sqrt(3))
    right, _, n_effective = effective.accuracy([1 / 3] * 3, [0.5, 0.0, 1.0], [1, 1, 1]).counts(0.975)
    assert circular["ci95"] == pytest.approx(list(stats.wilson(right / n_effective, n_effective)))
    assert (row["value"], row["n"]) == (0.75, 6)
    owners = [0, 0, 1, 1, 2, 2]
    assert circular["variance"] == asdict(stats.variance_components([1, 0, 0, 0, 1, 1], owners))
    assert row["variance"] == asdict(stats.variance_components([1, 0.5, 0.5, 0.5, 1, 1], owners))


@any_speed
@given(runs(max_repeats=1), st.integers(2, 4))
def test_repeating_a_greedy_run_tells_nothing_new(scored: list[ScoredSample], repeats: int) -> None:
    again = [replace(sample, repeat=repeat) for sample in scored for repeat in range(repeats)]
    one, many = aggregate(scored), aggregate(again)
    for (*at, old), (*_, new) in zip(cells(one), cells(many), strict=True):
        assert (new["n"], new["unread"]) == (old["n"], old["unread"]), at
        assert (new["value"], new["se"]) == (pytest.approx(old["value"]), pytest.approx(old["se"])), at
        assert "variance" not in old
        if new["n_groups"]:
            assert new["variance"]["within"] == pytest.approx(0.0, abs=1e-12)
            assert new["variance"]["repeats"] == repeats


def test_unequal_repeats_do_not_shift_weight_between_groups() -> None:
    got = aggregate(run({"a": [[1], [1], [1], [0]], "b": [[0]]}))["circular_micro"]["overall"]
    assert got["value"] == (0.75 + 0.0) / 2
    assert got["variance"] == pytest.approx({"between": 0.125, "within": 0.25, "repeats": 4})


def test_a_torn_repeat_is_left_out_and_a_group_without_a_whole_one_too() -> None:
    scored = run({"a": [[1, 1], [0]], "b": [[1, 1]]})
    assert aggregate(scored)["circular_micro"]["overall"]["value"] == 1.0
    assert excluded_groups(scored) == []
    half = [reply("c", 0, 1.0), reply("c", 2, 1.0)]
    assert excluded_groups([*scored, *half]) == ["c"]
    assert aggregate([*scored, *half]) == aggregate(scored)


def test_a_half_answered_question_is_not_right_because_its_other_copies_are_missing() -> None:
    stopped = run({"a": [[1, 1, 1, 1]], "b": [[1]]})
    assert aggregate(stopped)["circular_micro"]["overall"]["n"] == 2
    copies = {"a": 4, "b": 4, "never asked": 4}
    assert aggregate(stopped, copies)["circular_micro"]["overall"]["n"] == 1
    assert excluded_groups(stopped, copies) == ["b"]


def test_unread_replies_are_counted_among_the_replies_of_the_cell() -> None:
    scored = [
        reply("a", 0, 0.0, status=Status.NONE),
        reply("a", 1, 1.0),
        reply("b", 0, 0.0, status=Status.TRUNCATED, leaf=LEAVES[2]),
        reply("b", 1, 0.0, status=Status.REFUSAL, leaf=LEAVES[2]),
        reply("c", 0, None),
        reply("c", 1, 0.0, status=Status.NONE),
    ]
    got = aggregate(scored)
    assert (got["circular_micro"]["overall"]["unread"], got["row_micro"]["overall"]["n_unread"]) == (0.75, 3)
    assert got["row_micro"]["l1"]["reasoning"]["unread"] == 1.0
    main = got["vanilla0_micro"]["overall"]
    assert (main["unread"], main["n_unread"]) == (1.0, 2)


def test_scores_between_0_and_1_make_a_group_worth_its_worst_copy() -> None:
    cell = aggregate(run({"a": [[0.5, 0.75]], "b": [[1.0, 0.25]]}))["circular_micro"]["overall"]
    low, high = cell["ci95"]
    assert (
        cell["value"] == 0.375 and 0.0 <= low < 0.1 and 0.9 < high <= 1.0
    )  # of two groups almost nothing is known
    single = run({"a": [[0.1, 0.2, 0.3]]})
    assert aggregate(single)["row_micro"]["overall"]["ci95"] is None
    assert aggregate(single) == aggregate(single[::-1])


def test_nothing_to_aggregate() -> None:
    none = {"value": None, "n": 0, "n_groups": 0, "se": None, "ci95": None, "unread": None, "n_unread": 0}
    for scored in ([], [reply("a", 0, None)]):
        for cell in aggregate(scored).values():
            assert cell == {"overall": none, "l1": {}, "l2": {}, "l3": {}}
    assert (excluded_groups([]), status_counts([])) == ([], {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5, 1.5])
def test_a_score_that_is_no_share_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a/0"):
        aggregate([reply("a", 0, value)])


def test_a_sample_scored_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        aggregate([reply("a", 0, 1.0), reply("a", 0, 0.0)])


def test_samples_of_a_group_need_not_be_circular_copies() -> None:
    pair = [reply("image", 0, 1.0), replace(reply("image", 0, 0.0), id="second")]
    got = aggregate(pair)
    assert got["circular_micro"]["overall"]["value"] == 0.0
    assert (got["vanilla0_micro"]["overall"]["value"], got["vanilla0_micro"]["overall"]["n"]) == (0.5, 1)


def test_statuses_are_counted_in_their_own_order() -> None:
    scored = [*run({"a": [[None]], "b": [[1]], "c": [[1]]}), reply("d", 0, 0.0, status=Status.NONE)]
    assert list(status_counts(scored).items()) == [("tag", 2), ("none", 1), ("error", 1)]


def test_importing_the_metrics_loads_nothing_heavy() -> None:
    code = "import ssl4rl_bench.score.aggregate, sys; print({'torch', 'pandas', 'scipy'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
