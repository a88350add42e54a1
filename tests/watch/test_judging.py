"""What a checkpoint's line says: verdicts, alpha's shares, the best so far, and the hint to stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simulated

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.gating import series
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.watch.hint import find_changes, hint
from ssl4rl_bench.watch.judging import Judged, Terms, family_of, judge_checkpoint

N = 1000
PROBE = "ssl4rl_ssl_rotation_90"
POLICY = parse_policy(
    {"alpha": 0.05, "rule": [{"task": simulated.TASK, "kind": "no_worse_than", "margin": 8}]}
)


def scores(share: float, seed: int = 0) -> np.ndarray:
    """The same questions are easy for every run, so differences are paired ones."""
    ease = np.random.default_rng(7).permutation(N) / N
    return (ease + np.random.default_rng(seed).normal(0, 0.002, N) < share).astype(float)


def made(label: str, ability: float, probe: float) -> Evaluated:
    one = simulated.run(label, scores(ability))
    about = {"kind": "rotation", "difficulty": "step 90", "chance": 0.25}
    two = simulated.run(label, scores(probe), task=PROBE, probe=about)
    tasks = {**one.spec.tasks, **two.spec.tasks}
    spec = replace(one.spec, tasks=tasks, fingerprint=label * 8)
    return replace(one, spec=spec, outcomes={**one.outcomes, **two.outcomes})


def terms(folder: Path, baseline: Evaluated | None = None) -> Terms:
    return Terms(POLICY, baseline, "run", folder)


def test_the_first_checkpoint_is_the_baseline_if_there_is_no_other(tmp_path: Path) -> None:
    judged = judge_checkpoint(
        terms(tmp_path), None, None, made("a", 0.5, 0.5), "step-000050", "runs/step-000050"
    )
    assert (judged.entry.verdict, judged.entry.best, judged.entry.number) == ("baseline", True, 0)
    assert judged.gate is None and not list(tmp_path.iterdir())


def take(folder: Path, base: Evaluated, best: Evaluated | None, new: Evaluated, name: str) -> Judged:
    return judge_checkpoint(terms(folder, base), base, best, new, name, f"runs/{name}")


@pytest.mark.slow
def test_the_best_must_pass_twice_and_be_better(tmp_path: Path) -> None:
    base, first, worse, better, bad = (
        made("o", 0.50, 0.5), made("a", 0.52, 0.5), made("b", 0.50, 0.5), made("c", 0.55, 0.5), made("d", 0.30, 0.5),
    )  # fmt: skip
    one = take(tmp_path, base, None, first, "step-000050").entry
    assert (one.verdict, one.verdict_best, one.best, one.number) == ("pass", None, True, 1)
    two = take(tmp_path, base, first, worse, "step-000100").entry
    assert (two.verdict, two.verdict_best, two.best, two.number) == ("pass", "pass", False, 2)
    three = take(tmp_path, base, first, better, "step-000150").entry
    assert (three.verdict, three.verdict_best, three.best) == ("pass", "pass", True)
    four = take(tmp_path, base, better, bad, "step-000200").entry
    assert (four.verdict, four.verdict_best, four.best) == ("fail", "fail", False)
    assert "fail: simulated, Average: -2" in four.reasons[0]
    assert [each.alpha for each in (one, two, three, four)] == pytest.approx(
        [series.share(0.05, k) for k in (1, 2, 3, 4)]
    )
    assert sum(each.alpha for each in (one, two, three, four)) < 0.05


def test_a_checkpoint_judged_again_costs_no_alpha(tmp_path: Path) -> None:
    base, first, second = made("o", 0.50, 0.5), made("a", 0.52, 0.5), made("b", 0.51, 0.5)
    before = [take(tmp_path, base, None, first, "a").entry, take(tmp_path, base, first, second, "b").entry]
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = [take(tmp_path, base, None, first, "a").entry, take(tmp_path, base, first, second, "b").entry]
    assert again == before
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert series.order(tmp_path, "run") == [base.spec.sha256, first.spec.sha256, second.spec.sha256]


def test_another_baseline_in_the_same_series_is_refused(tmp_path: Path) -> None:
    take(tmp_path, made("o", 0.5, 0.5), None, made("a", 0.5, 0.5), "a")
    with pytest.raises(UsageError, match="another baseline"):
        take(tmp_path, made("p", 0.5, 0.5), None, made("b", 0.5, 0.5), "b")


@pytest.mark.parametrize(
    ("ability", "probe", "hinted"),
    [
        (0.40, 0.70, True),
        (0.60, 0.70, False),  # both rise
        (0.40, 0.30, False),  # both fall
        (0.50, 0.70, False),  # nothing falls
        (0.40, 0.50, False),  # nothing rises
    ],
)
def test_the_hint_needs_a_probe_that_rises_and_an_ability_that_falls(
    tmp_path: Path, ability: float, probe: float, hinted: bool
) -> None:
    entry = take(tmp_path, made("o", 0.5, 0.5), None, made("a", ability, probe), "a").entry
    assert (entry.hint is not None) == hinted
    assert {(each.task, each.name) for each in entry.changes} == {
        (simulated.TASK, "logic_reasoning"),
        (simulated.TASK, "coarse_perception"),
        (PROBE, "overall"),
    }
    if entry.hint:
        for words in (
            "ssl_rotation_90 +20",
            "coarse_perception -",
            "p <0.001",
            "n 1000",
            "consider stopping",
        ):
            assert words in entry.hint
        up = next(each for each in entry.changes if each.probe)
        assert up.value == pytest.approx(up.candidate - up.baseline, abs=1e-12)
        assert up.ci95 is not None and up.ci95[0] < up.value < up.ci95[1]


@pytest.mark.slow
def test_chance_is_no_hint() -> None:
    """Equal models whose every question is a coin: of 40 hints to come, none at this seed, some at none."""
    rng = np.random.default_rng(11)
    hints = 0
    for _ in range(40):
        runs = []
        for label in "oa":
            values = {"one": rng.integers(0, 2, 300), "two": rng.integers(0, 2, 300)}
            one = simulated.run(label, values["one"])
            two = simulated.run(label, values["two"], task=PROBE, probe={"kind": "rotation", "chance": 0.25})
            spec = replace(one.spec, tasks={**one.spec.tasks, **two.spec.tasks})
            runs.append(replace(one, spec=spec, outcomes={**one.outcomes, **two.outcomes}))
        hints += hint(find_changes(*runs)) is not None
    assert hints == 0


@pytest.mark.parametrize(
    ("folder", "name"), [("out/run-7", "run-7"), ("my run (2)", "my-run-2"), ("ümlaut", "mlaut"), ("...", "")]
)
def test_a_folder_s_series_has_a_name_that_series_take(tmp_path: Path, folder: str, name: str) -> None:
    found = family_of(tmp_path / folder)
    assert found == name or not name
    with series.turn(tmp_path / "series", found, "a", "b", POLICY) as turn:
        assert turn.number == 1
