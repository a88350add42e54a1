"""Each view against numbers worked out by hand, on runs made of arrays."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from view_runs import TASK, asked, drawn, with_probes

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.reports.board.columns import AVERAGE_COLUMN as AVERAGE
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.views import VIEWS, View, allowed, by_sight, gather_runs
from ssl4rl_bench.reports.views.additivity import sums
from ssl4rl_bench.reports.views.contrasts import scores
from ssl4rl_bench.stats.paired import mcnemar, t_interval, tango

PROBES = {
    "ssl4rl_ssl_rotation_90": ("rotation", "step 90", 0.25, 0.75),
    "ssl4rl_ssl_rotation_30": ("rotation", "step 30", 1 / 12, 1 / 12),
    "ssl4rl_ssl_rotation_45": ("rotation", "step 45", 0.125, 0.3),
    "ssl4rl_ssl_position": ("position", "quadrants", 0.25, 0.5),
}


def right(n: int, k: int) -> np.ndarray:
    """The first k of n are right."""
    return (np.arange(n) < k).astype(float)


def rows(view: View) -> list[dict[str, str]]:
    """A header that comes twice keeps its first value."""
    out = []
    for row in view.rows:
        found: dict[str, str] = {}
        for header, text in zip(view.headers, row, strict=True):
            found.setdefault(header, text)
        out.append(found)
    return out


def test_transfer_has_the_differences_of_compare_and_says_where_they_come_from() -> None:
    base = asked("base", np.ones(120))
    bad = asked("tiny-rotation", right(120, 30), read=right(120, 60) == 1)
    same = asked("tiny-jigsaw", np.ones(120))
    view = VIEWS["transfer"](gather_runs(base, [bad, same]))
    first, second, mde = rows(view)
    assert first["Trained on"] == "rotation"
    assert first["Average"].startswith("-75.00▼\n[-8")
    assert second["Average"].startswith("+0.00\n")
    assert mde["Checkpoint"] == "MDE" and mde["Average"].startswith("±")
    assert (
        "Of 2 checkpoints, none is shown to be better than base on some ability, and 1 is worse"
        in view.sentence
    )
    assert "tiny-rotation on" in view.sentence and "tiny-jigsaw on" not in view.sentence
    assert "On Average tiny-rotation (-75.00) is worse." in view.sentence
    # Half of the replies are unread, a quarter is read and wrong.
    assert (
        "-50.00 points come from replies that could be read in one of the two runs only, -25.00"
        in view.sentence
    )


def test_transfer_never_says_that_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    view = VIEWS["transfer"](gather_runs(asked("base", drawn(rng, 0.5)), [asked("other", drawn(rng, 0.5))]))
    assert "is not shown to be better or worse than base" in view.sentence
    assert "would rarely be found" in view.sentence
    good = asked("good", np.ones(240))
    view = VIEWS["transfer"](gather_runs(asked("base", np.zeros(240)), [good]))
    assert "no negative transfer is shown, which does not mean that there is none" in view.sentence


def test_goldilocks_orders_by_difficulty_and_needs_two() -> None:
    base = with_probes(asked("base", right(120, 60)), PROBES)
    view = VIEWS["goldilocks"](gather_runs(base, []))
    assert [(row["SSL task"], row["Difficulty"]) for row in rows(view)] == [
        ("rotation", "step 90"),
        ("rotation", "step 45"),
        ("rotation", "step 30"),
    ]
    assert rows(view)[0]["Above chance"] == "66.67"
    assert "base is above chance at step 90 and step 45, not shown to be at step 30" in view.sentence
    assert "No checkpoint here was trained at one of these difficulties" in view.sentence
    one = with_probes(asked("base", right(120, 60)), {"ssl4rl_ssl_position": PROBES["ssl4rl_ssl_position"]})
    with pytest.raises(UsageError, match="--tasks ssl_difficulty"):
        VIEWS["goldilocks"](gather_runs(one, []))


def test_goldilocks_compares_difficulties_downstream() -> None:
    base = with_probes(asked("base", right(120, 60)), PROBES)
    easy, hard = asked("easy", right(120, 100)), asked("hard", right(120, 20))
    lost = asked("tiny-rotation", right(120, 60))
    said = ["easy=ssl_rotation_90", "hard=ssl_rotation_30"]
    view = VIEWS["goldilocks"](gather_runs(base, [easy, hard, lost], trained=said))
    found = rows(view)
    assert (found[0]["Trained at it"], found[0]["Average"]) == ("easy", "+33.33▲")
    assert found[1]["Trained at it"] == "–"
    assert (found[2]["Trained at it"], found[2]["Average"]) == ("hard", "-33.33▼")
    assert "Between difficulties, hard -66.67 points from easy (p < 0.001)" in view.sentence
    assert "tiny-rotation is not in the figure: at which difficulty of rotation" in view.sentence


def test_probes_of_the_baseline_may_stand_in_a_run_of_their_own() -> None:
    base = asked("base", right(120, 60))
    probes = with_probes(asked("base", np.ones(6), task="other"), PROBES)
    del probes.outcomes["other"]  # type: ignore[attr-defined]  # a dict
    runs = gather_runs(base, [probes, asked("c", right(120, 50))])
    assert [run.label for run in runs.candidates] == ["c"]
    assert runs.more == (probes,)
    assert "base is above chance" in VIEWS["goldilocks"](runs).sentence


def test_additivity_by_hand() -> None:
    n = 120
    base, mix = right(n, 60), right(n, 84)
    one, two = right(n, 78), right(n, 72)
    runs = [
        asked("base", base),
        asked("tiny-mix", mix),
        asked("tiny-rotation", one),
        asked("tiny-jigsaw", two),
    ]
    view = VIEWS["additivity"](gather_runs(runs[0], runs[1:]))
    last = rows(view)[-1]
    assert last["Ability"] == "Average"
    assert (last["rotation"], last["jigsaw"], last["Mix"]) == ("+15.00", "+10.00", "+20.00")
    assert (last["Best single"], last["Mix − best"], last["Sum"]) == ("rotation", "+5.00▲", "+25.00")
    # Mix minus sum: -1 for questions 60 to 71, 0 to 77, 1 to 83, 0 for the others.
    assert last["Mix − sum"] == "-5.00"
    low, high = (float(end) for end in tango(6, 12, n))
    texts = view.rows[-1]
    assert texts[-2] == f"[{100 * low:+.2f}, {100 * high:+.2f}]"
    low, high = (float(end) for end in tango(6, 0, n))
    wide = float(tango(12, 0, n, 2.2414027)[1]), float(tango(6, 0, n, 2.2414027)[1])
    assert texts[7] == f"[{100 * low:+.2f}, {100 * min(wide):+.2f}]"
    assert float(texts[8]) == pytest.approx(float(mcnemar(6, 0)), abs=5e-4)


def test_additivity_averages_seeds_and_names_what_is_missing() -> None:
    n = 120
    runs = [
        asked("base", right(n, 0)),
        asked("tiny-rotation", right(n, 40)),
        asked("tiny-rotation-seed2", right(n, 20)),
    ]
    runs += [asked("tiny-jigsaw", right(n, 10)), asked("m", right(n, 60))]
    view = VIEWS["additivity"](gather_runs(runs[0], runs[1:], trained=["m=rotation+jigsaw+position"]))
    last = rows(view)[-1]
    assert last["rotation"] == "+25.00"
    assert (last["Sum"], last["Mix − sum"]) == ("–", "–")
    assert (
        "position of the mix has no checkpoint among the runs that was trained on it alone" in view.sentence
    )
    assert "Seeds are averaged" in view.sentence


def test_a_sum_beyond_the_scale_is_said_to_be() -> None:
    runs = [asked("base", right(120, 30)), asked("tiny-mix", np.zeros(120))]
    runs += [asked(f"tiny-{kind}", np.zeros(120)) for kind in ("rotation", "jigsaw")]
    view = VIEWS["additivity"](gather_runs(runs[0], runs[1:]))
    assert rows(view)[-1]["Sum"] == "-50.00 (out of reach)"
    assert "no model could reach the sum, as it lies at -25.00%" in view.sentence


# An ability and the average: the other abilities are computed alike.
two_columns = mock.patch("ssl4rl_bench.reports.board.columns.COLUMNS", COLUMNS[-2:])


@pytest.mark.slow
@two_columns
@settings(deadline=None, max_examples=examples(40))
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_of_identical_runs_the_mix_is_k_minus_one_gains_below_the_sum(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    base, other = drawn(rng, 0.4, 60), drawn(rng, 0.6, 60)
    found = scores([asked("base", base), asked("other", other)], TASK, "circular_micro")
    for each in sums(found, base, other, [other] * k):
        assert each.mix_minus_best.value == 0.0
        assert each.mix_minus_best.p_corrected == 1.0
        assert each.total is not None and each.mix_minus_sum is not None
        assert each.total.value == pytest.approx(k * each.mix.value)
        assert each.mix_minus_sum.value == pytest.approx((1 - k) * each.mix.value)


@pytest.mark.slow
@two_columns
@settings(deadline=None, max_examples=examples(40))
@given(st.integers(0, 2**32 - 1))
def test_the_interval_of_mix_minus_best_holds_its_value_and_agrees_with_its_p(seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = [drawn(rng, p, 90) for p in rng.uniform(0.2, 0.8, 5)]
    found = scores([asked("base", runs[0])], TASK, "circular_micro")
    for each in sums(found, runs[0], runs[1], runs[2:]):
        low, high = each.mix_minus_best.ci95 or (0.0, 0.0)
        assert low <= each.mix_minus_best.value <= high
        best = max(single.value for single in each.singles)
        assert each.mix_minus_best.value == pytest.approx(each.mix.value - best)


def blind(run: Evaluated, values: np.ndarray, image: str = "blank") -> Evaluated:
    return asked(run.label, values, run.label, image=image)


def test_bias_by_hand() -> None:
    n = 120
    base, other = asked("base", right(n, 80)), asked("other", right(n, 110))
    runs = [
        base,
        blind(base, right(n, 30)),
        other,
        blind(other, right(n, 20)),
        blind(base, right(n, 40), "shuffled"),
    ]
    real, hidden = by_sight(runs)
    assert [run.label for run in real] == ["base", "other"]
    assert [run.label for run in hidden] == [
        "base, image blank",
        "other, image blank",
        "base, image shuffled",
    ]
    view = VIEWS["bias"](gather_runs(real[0], real[1:], hidden))
    averages = [row for row in rows(view) if row["Ability"] == "Average"]
    assert [(row["Checkpoint"], row["Instead"]) for row in averages] == [
        ("base", "blank"),
        ("other", "blank"),
        ("base", "shuffled"),
    ]
    assert averages[0]["Gain from sight"] == "+41.67"
    assert (averages[1]["Gain from sight"], averages[1]["More than baseline's"]) == ("+75.00", "+33.33▲")
    assert "other gains more from sight, +33.33 points" in view.sentence
    assert "+25.00 with its images and -8.33 without" in view.sentence
    assert "other has no run with --image shuffled" in view.sentence


@settings(deadline=None, max_examples=examples(25))
@given(st.integers(0, 2**32 - 1), st.sampled_from(["circular_micro", "row_micro", "row_l3_macro"]))
@pytest.mark.slow
def test_what_ignores_images_as_the_baseline_does_has_no_difference(seed: int, aggregation: str) -> None:
    rng = np.random.default_rng(seed)
    answers, language = drawn(rng, 0.5, 48), drawn(rng, 0.5, 48)
    base, other = asked("base", answers, copies=2), asked("other", language, copies=2)
    hidden = [asked("base", answers, "base", image="blank", copies=2)]
    hidden += [asked("other", language, "other", image="blank", copies=2)]
    view = VIEWS["bias"](gather_runs(base, [other], hidden, aggregation=aggregation))
    for row in rows(view):
        assert row["Gain from sight"] == "+0.00"
        assert row["More than baseline's"] in ("–", "+0.00")
    assert "not shown to rely on the images more or less than base does" in view.sentence


def test_contrasts_are_compare_s_for_two_runs() -> None:
    rng = np.random.default_rng(4)
    one, two = asked("one", drawn(rng, 0.5)), asked("two", drawn(rng, 0.6))
    from ssl4rl_bench.comparison.compare import compare_task

    found = scores([one, two], TASK, "circular_micro")
    (wanted,) = compare_task(one, [two], TASK)
    for column in found.columns:
        mine, theirs = (
            found.contrast(found.table[:, 1] - found.table[:, 0], column),
            wanted.find(column.level, column.name),
        )
        assert theirs is not None
        assert (mine.value, mine.p, mine.n) == pytest.approx((theirs.value, theirs.p, theirs.n))
        assert mine.ci95 == pytest.approx(theirs.ci95)


def test_other_contrasts_agree_with_student_s_interval_where_much_changes() -> None:
    rng = np.random.default_rng(5)
    one = asked("one", drawn(rng, 0.5))
    found = scores([one], TASK, "circular_micro")
    d = rng.integers(-2, 3, 240).astype(float)
    mine = found.contrast(d, AVERAGE)
    se = float(d.std(ddof=1)) / np.sqrt(240)
    assert mine.value == pytest.approx(d.mean())
    assert mine.ci95 == pytest.approx(t_interval(float(d.mean()), se, 239), abs=0.02 * se)
    assert mine.p == pytest.approx(float(ttest_1samp(d, 0.0).pvalue), abs=0.01)
    rare = found.contrast(np.where(np.arange(240) == 7, 0.25, 0.0), AVERAGE)
    assert rare.ci95 is not None and rare.ci95[0] < 0.0 < rare.ci95[1]
    assert rare.ci95[1] - rare.ci95[0] > 0.01


@pytest.mark.parametrize(
    ("view", "labels", "said"),
    [
        (
            "transfer",
            ["base"],
            "needs a second checkpoint in addition to base: `ssl4rl-bench run --model CHECKPOINT",
        ),
        (
            "goldilocks",
            ["base"],
            "needs an SSL task of base at two difficulties: `ssl4rl-bench run --model base",
        ),
        ("additivity", ["base", "tiny-rotation"], "needs a checkpoint that was trained on several tasks"),
        (
            "additivity",
            ["base", "tiny-mix"],
            "needs two checkpoints or more, each trained on one task of tiny-mix",
        ),
        (
            "additivity",
            ["base", "tiny-mix", "tiny-rotation", "my-rotation", "tiny-jigsaw"],
            "tiny-rotation and my-rotation were both trained on rotation alone",
        ),
        (
            "bias",
            ["base", "other"],
            "needs a run of base on simulated without its images: `ssl4rl-bench run --model",
        ),
    ],
)
def test_runs_that_do_not_allow_a_view_are_one_sentence(view: str, labels: list[str], said: str) -> None:
    runs = [asked(label, right(24, 12)) for label in labels]
    chosen = gather_runs(runs[0], runs[1:])
    with pytest.raises(UsageError) as caught:
        VIEWS[view](chosen)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert view not in [made.name for made in allowed(chosen)]


def test_a_probe_is_no_benchmark() -> None:
    base = with_probes(asked("base", right(24, 12)), PROBES)
    with pytest.raises(UsageError, match="ssl_position is an SSL task"):
        gather_runs(base, [], task="ssl4rl_ssl_position")
    probes = asked("base", right(24, 12), probe={"kind": "rotation", "difficulty": "step 90", "chance": 0.25})
    with pytest.raises(UsageError, match="needs a benchmark, and base has none"):
        VIEWS["transfer"](gather_runs(probes, []))
