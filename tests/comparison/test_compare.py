from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from simulated import ABILITIES, TASK, run

from ssl4rl_bench.comparison.compare import best_of, compare_task
from ssl4rl_bench.comparison.pairing import labels, pair
from ssl4rl_bench.comparison.seeds import compare_method, methods_of
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.score.aggregate import AGGREGATIONS
from ssl4rl_bench.stats.multiple import holm
from ssl4rl_bench.stats.paired import mcnemar, tango

any_speed = settings(deadline=None, max_examples=examples(40))


def table(seed: int, rows: int, share: float = 0.6) -> np.ndarray:
    return (np.random.default_rng(seed).random(rows) < share).astype(float)


def test_differences_of_single_rows_are_mcnemar_s_and_tango_s() -> None:
    one, two = table(1, 200), table(2, 200, 0.75)
    (found,) = compare_task(run("a", one), [run("b", two)], TASK)
    cell = found.overall
    gained, lost = int(((two == 1) & (one == 0)).sum()), int(((two == 0) & (one == 1)).sum())
    assert (cell.n, cell.gained, cell.lost) == (200, gained, lost)
    assert cell.value == pytest.approx((two - one).mean())
    assert (cell.baseline, cell.candidate) == (pytest.approx(one.mean()), pytest.approx(two.mean()))
    assert cell.p == cell.p_corrected == pytest.approx(float(mcnemar(gained, lost)))
    assert cell.ci95 == pytest.approx(tuple(map(float, tango(gained, lost, 200))))
    assert cell.se == pytest.approx(reference.sem(two - one), abs=1e-9)
    assert [c.name for c in found.cells] == ["overall", "logic_reasoning", "coarse_perception"]


def test_the_family_is_all_candidates_cells_of_the_level() -> None:
    base = run("a", table(1, 400))
    others = [run("b", table(2, 400, 0.68)), run("c", table(3, 400, 0.7))]
    found = compare_task(base, others, TASK)
    cells = [cell for each in found for cell in each.cells if cell.level == "l2"]
    assert [cell.family for cell in cells] == [4] * 4
    assert [cell.p_corrected for cell in cells] == pytest.approx(holm([cell.p for cell in cells]))
    assert [each.overall.family for each in found] == [2, 2]
    (alone,) = compare_task(base, others[:1], TASK)
    assert alone.overall.family == 1
    assert alone.overall.mde < found[0].overall.mde  # a family's test has less of alpha
    (free,) = compare_task(base, others[:1], TASK, correction="none")
    assert all(cell.p == cell.p_corrected for cell in free.cells)


@pytest.mark.parametrize("correction", ["holm", "max-t", "bh"])
def test_a_corrected_p_is_never_below_its_own(correction: str) -> None:
    base = run("a", table(1, 300))
    for found in compare_task(
        base, [run("b", table(2, 300)), run("c", table(3, 300))], TASK, correction=correction
    ):
        for cell in found.cells:
            assert cell.p_corrected >= cell.p - 0.02  # max-T is drawn


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_run_against_itself_differs_nowhere_and_says_what_could_be_found(aggregation: str) -> None:
    one = run("a", table(4, 240), copies=3)
    (found,) = compare_task(one, [run("b", table(4, 240), copies=3)], TASK, aggregation=aggregation)
    for cell in found.cells:
        assert (cell.value, cell.p, cell.mark, cell.gained, cell.lost) == (0.0, 1.0, "", 0, 0)
        assert cell.ci95 is not None and cell.ci95[0] < 0.0 < cell.ci95[1]
        assert 0.0 < cell.mde < 0.5 and cell.needed is None


@any_speed
@given(st.integers(0, 10_000), st.sampled_from(AGGREGATIONS), st.integers(1, 3))
def test_exchanging_the_runs_turns_every_difference_around(seed: int, aggregation: str, copies: int) -> None:
    rows = 24 * copies
    a, b = run("a", table(seed, rows), copies=copies), run("b", table(seed + 1, rows), copies=copies)
    (there,) = compare_task(a, [b], TASK, aggregation=aggregation, replicates=200)
    (back,) = compare_task(b, [a], TASK, aggregation=aggregation, replicates=200)
    for one, two in zip(there.cells, back.cells, strict=True):
        assert one.value == pytest.approx(-two.value, abs=1e-12)
        assert one.se == pytest.approx(two.se, abs=1e-12)
        assert (one.gained, one.lost) == (two.lost, two.gained)
        assert one.from_reading.value == pytest.approx(-two.from_reading.value, abs=1e-12)
        assert one.candidate - one.baseline == pytest.approx(one.value, abs=1e-12)


@any_speed
@given(st.data(), st.sampled_from(AGGREGATIONS), st.integers(1, 3), st.integers(1, 2))
def test_reading_and_answers_add_up(data: st.DataObject, aggregation: str, copies: int, repeats: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    runs = []
    for name in "ab":
        read = rng.random((24, repeats)) < 0.7
        runs.append(run(name, (rng.random((24, repeats)) < 0.6) & read, copies=copies, read=read))
    (found,) = compare_task(runs[0], [runs[1]], TASK, aggregation=aggregation, replicates=100)
    for cell in found.cells:
        assert cell.from_reading.value + cell.from_answers.value == pytest.approx(cell.value, abs=1e-12)


def test_a_drop_in_format_is_all_reading_and_a_drop_in_ability_all_answers() -> None:
    right = np.ones(100)
    half = np.repeat([1.0, 0.0], 50)
    (silent,) = compare_task(run("a", right), [run("b", half, read=half == 1.0)], TASK)
    assert (silent.overall.from_reading.value, silent.overall.from_answers.value) == (-0.5, 0.0)
    (wrong,) = compare_task(run("a", right), [run("b", half)], TASK)
    assert (wrong.overall.from_reading.value, wrong.overall.from_answers.value) == (0.0, -0.5)


def test_row_differences_have_bootstrap_intervals_near_the_cluster_robust_ones() -> None:
    one, two = table(5, 1200), table(6, 1200, 0.66)
    (found,) = compare_task(run("a", one, copies=3), [run("b", two, copies=3)], TASK, aggregation="row_micro")
    cell = found.overall
    assert cell.se is not None and cell.ci95 is not None
    assert (cell.ci95[1] - cell.ci95[0]) / (2 * 1.96 * cell.se) == pytest.approx(1.0, abs=0.05)
    assert cell.value == pytest.approx((two - one).mean())


def test_groups_are_matched_by_content_not_by_place() -> None:
    one = table(7, 50)
    order = np.random.default_rng(8).permutation(50)
    shuffled = run("b", one[order], content=[str(at) for at in order])
    found = pair(run("a", one), shuffled, TASK)
    assert len(found.left) == 50
    (same,) = compare_task(run("a", one), [shuffled], TASK)
    assert (same.overall.gained, same.overall.lost) == (0, 0)


def test_questions_with_the_same_content_are_matched_once_each() -> None:
    content = ["twice", "twice", "once"]
    found = pair(
        run("a", [1, 0, 1], content=content), run("b", [1, 1], content=["twice", "once"]), TASK, {"data"}
    )
    assert found.left.tolist() == [0, 2] and found.right.tolist() == [0, 1]
    assert any("2 questions were answered by both" in note for note in found.notes)


def test_only_what_both_answered_counts_and_the_coverage_is_told() -> None:
    one, two = np.ones(20), np.ones(20)
    two[3] = np.nan
    (found,) = compare_task(run("a", one), [run("b", two)], TASK)
    assert found.overall.n == 19
    assert "19 questions were answered by both a (20 of 20) and b (19 of 20)" in found.pairing.notes[0]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("partial", run("b", table(2, 20), partial=True)),
        ("version", run("b", table(2, 20), version="2")),
        ("prompt", run("b", table(2, 20), prompt="direct")),
        ("extractor", run("b", table(2, 20), extractor="strict")),
        ("image", run("b", table(2, 20), image="blank")),
        ("data", run("b", table(2, 20), data_sha256="1" * 64, content=[str(at) for at in range(5, 25)])),
        ("sampling", run("b", table(2, 20), sampling=Sampling(temperature=1.0))),
    ],
)
def test_runs_that_must_not_be_compared_are_refused_by_name(name: str, other: object) -> None:
    base = run("a", table(1, 20))
    said = {"sampling": "temperature"}.get(name, name)  # "sampling" is an older name of several settings
    with pytest.raises(UsageError, match=f"b and a cannot be compared on simulated: .*--allow {said}$"):
        compare_task(base, [other], TASK)  # type: ignore[list-item]
    (found,) = compare_task(base, [other], TASK, allow=[name])  # type: ignore[list-item]
    assert any("differ" in note for note in found.notes)


def test_what_is_unknown_is_named() -> None:
    one, two = run("a", table(1, 20)), run("b", table(2, 20))
    with pytest.raises(UsageError, match="did you mean partial"):
        compare_task(one, [two], TASK, allow=["partal"])
    with pytest.raises(UsageError, match="did you mean row_micro"):
        compare_task(one, [two], TASK, aggregation="rows_micro")
    with pytest.raises(UsageError, match="--by l4 is unknown"):
        compare_task(one, [two], TASK, by="l4")
    with pytest.raises(UsageError, match="did you mean holm"):
        compare_task(one, [two], TASK, correction="holmes")
    with pytest.raises(UsageError, match=f"has no task {TASK}s .*did you mean {TASK}"):
        compare_task(one, [two], f"{TASK}s")
    with pytest.raises(UsageError, match="share no answered question"):
        compare_task(
            one, [run("b", table(2, 20), content=[f"x{at}" for at in range(20)])], TASK, allow=["data"]
        )


def test_the_best_is_the_greatest_and_pays_for_having_been_chosen() -> None:
    base = run("base", table(9, 300))
    others = [run(f"c{at}", table(10 + at, 300, 0.63)) for at in range(6)]
    found = compare_task(base, others, TASK)
    best = {each.name: each for each in best_of(found, 4000)}
    assert set(best) == {"overall", *ABILITIES}
    top = max(found, key=lambda each: each.overall.value)
    overall = best["overall"]
    assert (overall.candidate, overall.value, overall.n_candidates) == (top.candidate, top.overall.value, 6)
    assert overall.p > top.overall.p / 2 + 0.01
    assert best_of([]) == []


def test_seeds_of_a_method_count_as_one() -> None:
    base = run("base", table(20, 200, 0.5))
    runs = [run(f"rot-seed{at}", table(30 + at, 200, 0.6)) for at in (1, 2, 3)] + [run("jig", table(40, 200))]
    methods = methods_of(runs, "seed")
    assert [(method.name, len(method.runs)) for method in methods] == [("rot", 3), ("jig", 1)]
    cells = compare_method(base, methods[0], TASK)
    singles = [compare_task(base, [each], TASK)[0] for each in runs[:3]]
    assert cells[0].by_run == pytest.approx([each.overall.value for each in singles])
    assert cells[0].mean.value == pytest.approx(np.mean(cells[0].by_run))
    assert cells[0].mean.ci95 is not None
    assert compare_method(base, methods[1], TASK)[0].mean.ci95 is None
    assert [method.name for method in methods_of(runs, r"([a-z]+)")] == ["rot", "jig"]
    assert len(methods_of(runs, "model")) == 1
    with pytest.raises(UsageError, match="not a regular expression"):
        methods_of(runs, "(")
    with pytest.raises(UsageError, match="needs a group in parentheses"):
        methods_of(runs, "rot")
    with pytest.raises(UsageError, match="does not match the name rot-seed1"):
        methods_of(runs, "(jig)")


def test_labels_tell_runs_apart() -> None:
    from pathlib import Path

    names = ["tiny-base", "owner/model", "/data/out/rotation/step-000150", "/data/out/model", "tiny-base"]
    paths = [Path("runs") / str(at) for at in range(5)]
    assert labels(names, paths) == [
        "tiny-base (0)",
        "owner/model",
        "rotation/step-000150",
        "model",
        "tiny-base (4)",
    ]


def test_ranks_tie_unless_beyond_chance() -> None:
    from ssl4rl_bench.reports.board.board import _ranked

    rng = np.random.default_rng(11)
    easy = rng.random(500)
    scores = np.stack([(easy < share).astype(float) for share in (0.9, 0.899, 0.5, 0.1)])
    ones = np.ones(500)
    assert _ranked(scores, ones / 500, ones) == [1, 1, 3, 4]
    # The same with scores that are not 0 or 1, and with a run that answered half.
    assert _ranked(scores * 0.5, ones / 500, ones) == [1, 1, 3, 4]
    scores[1, ::2] = np.nan
    assert _ranked(scores, ones / 500, ones) == [1, 1, 3, 4]
    for i, j in itertools.combinations(range(2), 2):
        gained = ((scores[i] == 1) & (scores[j] == 0)).sum()
        assert mcnemar(gained, 0) > 0.05 / 6


def test_seeds_that_change_one_question_do_not_exclude_0() -> None:
    base = run("base", table(20, 60, 0.5))
    once = [run(f"rot-seed{at}", table(20, 60, 0.5)) for at in (1, 2, 3)]
    cell = compare_method(base, methods_of(once, "seed")[0], TASK)[0]
    assert cell.mean.value == 0.0 and cell.mean.ci95 is not None
    assert cell.mean.ci95[0] < -0.02 and cell.mean.ci95[1] > 0.02


def test_cells_are_in_the_order_of_the_benchmark_s_tables() -> None:
    """Each column of `weighted` sums to the difference of its cell."""
    runs = [run("a", table(1, 200)), run("b", table(2, 200, 0.75))]
    for declared, names in (
        (None, ["logic_reasoning", "coarse_perception"]),
        ([["coarse_perception", "Coarse"]], ["coarse_perception", "logic_reasoning"]),
        ("coarse_perception", ["logic_reasoning", "coarse_perception"]),
    ):
        result = {**runs[0].result, "tasks": {TASK: {"columns": declared}}}
        (found,) = compare_task(replace(runs[0], result=result), runs[1:], TASK)
        assert [cell.name for cell in found.cells] == ["overall", *names]
        assert found.weighted.sum(axis=0) == pytest.approx([cell.value for cell in found.cells])
