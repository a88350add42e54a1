from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import SyntheticTask, options, spec_of

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.types import Score, ScoredSample, Status
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import execute
from ssl4rl_bench.score import aggregate as metrics
from ssl4rl_bench.score import outcomes
from ssl4rl_bench.score.aggregate import cells_of, group_sums, unit_counts
from ssl4rl_bench.score.scores import arrange
from ssl4rl_bench.score.scoring import outcomes_of_run, score_and_write, scored_samples

TASK = SyntheticTask(12)


def finished(path: Path, repeats: int = 2, task: SyntheticTask = TASK) -> RunDir:
    engine = MockEngine(None, options(mock="random"))
    spec = spec_of(task, engine, repeats)
    rundir = RunDir.create(path, spec)
    execute([task], engine, rundir, spec)
    score_and_write(rundir, [task])
    return rundir


def test_what_is_kept_is_what_the_journal_says(tmp_path: Path) -> None:
    with finished(tmp_path / "run") as rundir:
        kept = outcomes.read_outcomes(rundir)
        assert kept is not None
        found = outcomes_of_run(rundir, [TASK])
        for name in outcomes.Outcomes.__slots__:
            mine, theirs = getattr(kept[TASK.name], name), getattr(found[TASK.name], name)
            if isinstance(mine, np.ndarray):
                np.testing.assert_array_equal(mine, theirs)
            else:
                assert mine == theirs
        assert kept[TASK.name].values.shape == (48, 2)


@pytest.mark.parametrize("aggregation", metrics.AGGREGATIONS)
def test_group_scores_make_the_numbers_of_result_json(tmp_path: Path, aggregation: str) -> None:
    with finished(tmp_path / "run") as rundir:
        kept = outcomes.read_outcomes(rundir)
        assert kept is not None and rundir.result is not None
        own = kept[TASK.name]
        cells = cells_of(own.places, unit_counts(own, aggregation), aggregation)
        values = cells.weights.T @ group_sums(own, aggregation)
        found = rundir.result["tasks"][TASK.name]["aggregates"][aggregation]
        for (level, name), value in zip(cells.names, values, strict=True):
            cell = found["overall"] if level == "overall" else found[level][name]
            assert value == pytest.approx(cell["value"], abs=1e-12)


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_groups_that_metrics_leaves_out_do_not_count_here_either(data: st.DataObject) -> None:
    """Replies that failed or are missing, in any pattern."""
    task = SyntheticTask(4)
    scored: list[ScoredSample] = []
    for sample in task.samples:
        for repeat in range(2):
            what = data.draw(st.sampled_from(["right", "wrong", "error", "absent"]))
            if what == "absent":
                continue
            score = (
                Score(None, None, Status.ERROR)
                if what == "error"
                else Score(float(what == "right"), "A", Status.TAG)
            )
            scored.append(
                ScoredSample(sample.id, sample.group, sample.roll, repeat, sample.categories, score)
            )
    own = outcomes.outcomes_of(task, scored, "default", 2)
    copies = dict.fromkeys(own.groups, 4)
    alone = arrange(scored, copies)
    out = set(alone.excluded) | (set(own.groups) - {item.group for item in scored})
    counted = {group for group, counts in zip(own.groups, own.passes.any(axis=1), strict=True) if counts}
    assert counted == set(own.groups) - out
    sums = group_sums(own, "circular_micro")
    assert (~np.isnan(sums)).sum() == len(counted)
    if counted:
        cell = metrics.overall(alone, "circular_micro")
        assert cell == metrics.overall(own, "circular_micro")
        assert np.nanmean(sums) == pytest.approx(cell["value"])


def test_kept_outcomes_are_not_trusted_when_something_changed(tmp_path: Path) -> None:
    with finished(tmp_path / "run", repeats=1) as rundir:
        place = rundir.path / outcomes.FILE
        good = place.read_bytes()
        assert outcomes.read_outcomes(rundir, "strict") is None  # another extractor
        for bad in (
            good[: len(good) // 2],
            b"[]",
            json.dumps(json.loads(good) | {"schema": 0}).encode(),
            json.dumps(json.loads(good) | {"spec_sha256": "0"}).encode(),
            json.dumps(json.loads(good) | {"tasks": {}}).encode(),
        ):
            place.write_bytes(bad)
            assert outcomes.read_outcomes(rundir) is None
        newer = json.dumps(json.loads(good) | {"schema": 99}).encode()
        place.write_bytes(newer)
        with pytest.raises(
            StoreError, match=r"outcomes\.json was written by a newer ssl4rl-bench \(schema 99; "
        ):
            outcomes.read_outcomes(rundir)
        assert place.read_bytes() == newer
        place.write_bytes(good)
        assert outcomes.read_outcomes(rundir) is not None
        with rundir.journal_path(TASK.name).open("ab") as journal:
            journal.write(b"one more line\n")
        assert outcomes.read_outcomes(rundir) is None
        place.unlink()
        assert outcomes.read_outcomes(rundir) is None


def test_content_is_that_of_the_question_whatever_its_number(tmp_path: Path) -> None:
    scored: list[ScoredSample] = []
    one = outcomes.outcomes_of(TASK, scored, "default", 1)
    other = outcomes.outcomes_of(replace(TASK, n_groups=15, prompt="direct"), scored, "default", 1)
    shared = set(one.content) & set(other.content)
    assert len(set(one.content)) == 12 and len(shared) == 12


def test_scored_samples_arrive_in_any_order(tmp_path: Path) -> None:
    with finished(tmp_path / "run") as rundir:
        scored = scored_samples(rundir, TASK)
        forward = outcomes.outcomes_of(TASK, scored, "default", 2)
        backward = outcomes.outcomes_of(TASK, scored[::-1], "default", 2)
        np.testing.assert_array_equal(forward.values, backward.values)
        assert forward.answers == backward.answers
