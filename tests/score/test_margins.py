"""The margin of a run's probes: as `advise` measures it, resumed, merged, compared, and missing with a reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from guesser import Guesser

import ssl4rl_bench as sb
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.core.errors import EngineError, Interrupted, StoreError
from ssl4rl_bench.core.types import Request
from ssl4rl_bench.engines import EngineOptions
from ssl4rl_bench.evaluation import EvaluationPlan, evaluate_plan, running
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.board.probes import probe_notes, probe_rows
from ssl4rl_bench.reports.dashboards.records import record_of_result
from ssl4rl_bench.run.likelihoods import decode_likelihoods, encode_likelihoods, likelihoods_path
from ssl4rl_bench.run.observing import Observer
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.shards import Shard
from ssl4rl_bench.score import merging, reload
from ssl4rl_bench.score.forced_choice import forced_choice
from ssl4rl_bench.score.scoring import score_run, scored_samples
from ssl4rl_bench.task.registry import load_probe
from ssl4rl_bench.task.ssl.probe import ProbeTask
from ssl4rl_bench.watch.history import decode_entry, encode_entry
from ssl4rl_bench.watch.judging import Terms, judge_checkpoint

TASK, N = "ssl4rl_ssl_rotation_90", 48


@cache
def probe() -> ProbeTask:
    """Rotation with a few samples."""
    return load_probe("ssl_rotation_90", limit=N)


class Broken(Guesser):
    """Fails, or asks the run to stop, after some samples."""

    after: int = 0
    stop: threading.Event | None = None
    error: type[Exception] = EngineError

    def score_answers(
        self, asked: Iterable[tuple[Request, Sequence[str]]]
    ) -> Iterator[tuple[Request, list[float] | str]]:
        """Gives the likelihoods of the first samples only."""
        for number, result in enumerate(super().score_answers(asked)):
            if number == self.after and self.stop is None:
                raise self.error("out of memory")
            yield result
            if number + 1 == self.after and self.stop is not None:
                self.stop.set()


class Told(Observer):
    """Collects what an evaluation says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Collects a line."""
        self.lines.append(text)

    warn = say


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that evaluates a guesser into a folder and returns the probe's entry of the result."""

    def evaluated(
        name: str = "run",
        engine: Guesser | None = None,
        stop: Any = None,
        shard: str | None = None,
        **planted: Any,
    ) -> dict[str, Any]:
        options = EngineOptions(margin=planted.pop("margin", True))
        made = engine or Guesser(probe(), **planted)
        monkeypatch.setattr(running, "load_tasks", lambda *_: [probe()])
        monkeypatch.setattr(reload, "load_task", lambda *_, **__: probe())
        monkeypatch.setattr(running, "engine_for", lambda *_: made)
        part = None if shard is None else Shard.parse(shard)
        plan = EvaluationPlan.of(
            ["m"],
            ["ssl_rotation_90"],
            limit=N,
            engine="mock",
            options=options,
            out=tmp_path / name,
            shard=part,
        )
        (done,) = evaluate_plan(plan, told, stop)
        return dict(done.result["tasks"][TASK]["probe"])

    told = Told()
    evaluated.told = told  # type: ignore[attr-defined]
    return evaluated


def margin(run: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The entry "margin" of a run's result."""
    return dict(run(*args, **kwargs)["margin"])


def test_a_run_has_the_margin_that_advise_measures_on_the_same_samples(run: Any, tmp_path: Path) -> None:
    measured = margin(run, sight=0.4)
    rundir = RunDir.open(tmp_path / "run")
    engine = Guesser(probe(), sight=0.4)
    requests = rundir.spec.requests(probe().samples, TASK)
    replies = {request.sample.id: [reply] for request, reply in engine.run(requests, probe().sampling)}
    choice = forced_choice(probe(), engine, replies)
    assert choice is not None
    sight = choice.sight
    assert (measured["value"], measured["p"], measured["z"]) == (sight.value, sight.p, sight.z)
    assert tuple(measured["ci95"]) == sight.ci95
    assert (measured["n"], measured["n_pictures"], measured["n_left_out"]) == (N, N, 0)
    assert measured["form"] == choice.form == "<think>…</think> <answer>…</answer>"
    assert measured["p"] < 0.001
    assert f"ssl_rotation_90: scoring the answers to {N} samples" in run.told.lines


def test_a_guesser_has_no_margin_and_replies_do_not_depend_on_it(run: Any, tmp_path: Path) -> None:
    with_margin, without = run("one", bias=1.0), run("two", bias=1.0, margin=False)
    assert with_margin["margin"]["p"] > 0.05
    low, high = with_margin["margin"]["ci95"]
    assert low < 0 < high
    assert without["margin"]["value"] is None and "margin=false" in without["margin"]["reason"]
    assert with_margin["accuracy"] == without["accuracy"]
    one, two = (RunDir.open(tmp_path / name) for name in ("one", "two"))
    assert one.spec.sha256 == two.spec.sha256
    assert [s.score for s in scored_samples(one, probe())] == [s.score for s in scored_samples(two, probe())]


@pytest.mark.parametrize("error", [EngineError, ValueError])
def test_a_failed_engine_leaves_a_margin_of_fewer_samples_and_the_same_command_adds_it(
    run: Any, error: type[Exception]
) -> None:
    broken = Broken(probe(), sight=0.4)
    broken.after, broken.error = 10, error
    lost = margin(run, engine=broken)
    assert (lost["n"], lost["n_left_out"]) == (10, N - 10)
    assert any("out of memory" in line for line in run.told.lines)
    again = margin(run, sight=0.4)
    assert again == margin(run, "other", sight=0.4)
    assert f"ssl_rotation_90: scoring the answers to {N - 10} samples" in run.told.lines
    n_lines = len(run.told.lines)
    assert margin(run, sight=0.4) == again
    assert not any("scoring" in line for line in run.told.lines[n_lines:])


def test_an_interrupted_measurement_resumes(run: Any) -> None:
    stop = threading.Event()
    engine = Broken(probe(), sight=0.4)
    engine.after, engine.stop = 7, stop
    with pytest.raises(Interrupted, match=f"7 of {N} samples"):
        run(engine=engine, stop=stop)
    assert margin(run, sight=0.4) == margin(run, "other", sight=0.4)
    assert f"ssl_rotation_90: scoring the answers to {N - 7} samples" in run.told.lines


def test_merged_shards_have_the_margin_of_the_whole_run(run: Any, tmp_path: Path) -> None:
    expected = margin(run, sight=0.4)
    shards = [run(f"shard{index}", shard=f"{index}/2", sight=0.4)["margin"] for index in (1, 2)]
    assert sum(shard["n"] for shard in shards) == N
    merged = merging.merge([tmp_path / "shard1", tmp_path / "shard2"], out=tmp_path / "merged")
    assert merged.result["tasks"][TASK]["probe"]["margin"] == expected


def test_a_run_is_scored_again_without_its_engine(run: Any, tmp_path: Path) -> None:
    expected = margin(run, sight=0.4)
    rundir = RunDir.open(tmp_path / "run")
    strict = score_run(rundir, [probe()], "strict")
    assert strict["tasks"][TASK]["probe"]["margin"] == expected
    shutil.rmtree(tmp_path / "run" / "likelihoods")
    assert score_run(rundir, [probe()])["tasks"][TASK]["probe"]["margin"]["n"] == 0


def test_margins_in_different_forms_are_not_joined(run: Any, tmp_path: Path) -> None:
    margin(run)
    path = likelihoods_path(RunDir.open(tmp_path / "run"), TASK)
    lines = path.read_bytes().splitlines()
    first = decode_likelihoods(lines[0])
    assert first is not None
    lines[0] = encode_likelihoods(dataclasses.replace(first, form="<answer>…</answer>"))[:-1]
    path.write_bytes(b"\n".join(lines) + b"\n")
    summary = score_run(RunDir.open(tmp_path / "run"), [probe()])["tasks"][TASK]["probe"]["margin"]
    assert summary["value"] is None and "different forms" in summary["reason"]


def test_two_runs_are_compared_sample_by_sample(run: Any, tmp_path: Path) -> None:
    blind, sees = margin(run, "blind"), margin(run, "sees", sight=0.5)
    paths = [tmp_path / "blind", tmp_path / "sees"]
    base, new = load_evaluated(paths)
    first, second = probe_rows(base, [new], [TASK], allow=["partial"])
    change = second.margin_difference
    assert first.margin_difference is None and change is not None
    assert change.value == pytest.approx(sees["value"] - blind["value"])
    assert change.ci95 is not None and change.ci95[0] > 0 and change.p < 0.01 and change.n == N
    table = sb.compare(paths, allow=["partial"]).margins()
    assert table.difference.item() == pytest.approx(change.value)
    shown = sb.open_run(paths[1]).margins()
    assert (shown.margin.item(), shown.form.item()) == (sees["value"], sees["form"])
    scalars = record_of_result(new.spec, new.result).scalars
    assert scalars["ssl_rotation_90/margin/value"] == sees["value"]
    assert scalars["ssl_rotation_90/margin/low"] == sees["ci95"][0]


def test_margins_in_different_forms_are_not_compared(run: Any, tmp_path: Path) -> None:
    margin(run, "base"), margin(run, "new")
    base, new = load_evaluated([tmp_path / "base", tmp_path / "new"])
    other = dataclasses.replace(new.outcomes[TASK], margin_form="<answer>…</answer>")
    result = json.loads(json.dumps(new.result))
    result["tasks"][TASK]["probe"]["margin"]["form"] = "<answer>…</answer>"
    changed = dataclasses.replace(new, outcomes={TASK: other}, result=result)
    rows = probe_rows(base, [changed], [TASK], allow=["partial"])
    assert rows[1].margin_difference is None
    assert any("different forms" in note for note in probe_notes(rows))


def test_a_run_without_margins_is_compared_with_one_that_has_them(run: Any, tmp_path: Path) -> None:
    run("old", margin=False), run("new", sight=0.5)
    old, new = load_evaluated([tmp_path / "old", tmp_path / "new"])
    rows = probe_rows(old, [new], [TASK], allow=["partial"])
    assert rows[1].difference is not None and rows[1].margin_difference is None
    assert rows[0].margin.cells() == ["–", "–", "–"]
    assert rows[1].margin_difference_cells() == ["–", "–", "–"]
    assert any("without a margin: no likelihoods" in note for note in probe_notes(rows))


def test_an_edited_margin_is_refused(run: Any, tmp_path: Path) -> None:
    run()
    path = tmp_path / "run" / "result.json"
    result = json.loads(path.read_text())
    result["tasks"][TASK]["probe"]["margin"]["value"] += 0.01
    path.write_text(json.dumps(result))
    with pytest.raises(StoreError, match="the probe's margin"):
        load_evaluated([tmp_path / "run"])


def test_a_checkpoint_s_line_has_its_margins(run: Any, tmp_path: Path) -> None:
    run("one", sight=0.5)
    (candidate,) = load_evaluated([tmp_path / "one"])
    rule = {"task": "ssl_rotation_90", "kind": "better_than", "level": "probe"}
    terms = Terms(parse_policy({"rule": [rule]}), None, "f", tmp_path)
    entry = judge_checkpoint(terms, None, None, candidate, "step-000050", "runs/one").entry
    (sight,) = entry.margins
    assert (sight.task, sight.chance, sight.n, sight.reason) == (TASK, 0.25, N, "")
    assert sight.value is not None and sight.ci95 is not None
    assert decode_entry(encode_entry(entry)[:-1].encode()) == entry


@pytest.mark.slow
def test_the_paired_difference_of_equal_models_is_significant_as_often_as_its_level() -> None:
    # Differences of two guessers whose tendencies vary by picture and have heavy tails.
    from ssl4rl_bench.stats.alignment import choices, clustered_interval, target_margins
    from ssl4rl_bench.stats.resampling import sign_flip

    rng = np.random.default_rng(0)
    n, low, covered = 600, 0, 0
    for _ in range(n):
        targets = rng.integers(0, 4, 100)
        one, two = (
            target_margins(choices(rng.standard_t(4, (100, 4)) * scale, targets, np.arange(100)))
            for scale in (0.3, 0.6)
        )
        low += float(sign_flip((two - one)[:, None], replicates=400)[0]) < 0.05
        ends = clustered_interval(two - one, np.arange(100))
        assert ends is not None
        covered += ends[0] <= 0 <= ends[1]
    assert abs(low / n - 0.05) < 3 * (0.05 * 0.95 / n) ** 0.5
    assert abs(covered / n - 0.95) < 3 * (0.05 * 0.95 / n) ** 0.5
