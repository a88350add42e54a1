"""Questions without a value: a run that fails on the hard ones must not look better, and no pass may rest on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from simulated import TASK, run
from typer.testing import CliRunner

from ssl4rl_bench.cli import app
from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.result import LeftOut
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.gating.judge import Gate, apply_policy
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.gate.text import describe_test

N = 1164
KINDS = {
    "no_worse_than": {"margin": 3},
    "not_significantly_worse": {},
    "better_than": {"margin": 0},
    "at_least": {"value": 45},
}


def rule(kind: str, **more: Any) -> dict[str, Any]:
    return {"task": TASK, "kind": kind, **(KINDS[kind] | more)}


def failing(label: str, values: np.ndarray, failed: np.ndarray, how: Status = Status.ERROR) -> Evaluated:
    """A run whose requests failed at some questions."""
    lost = np.where(failed, np.nan, values.astype(float))
    status = np.where(failed, list(Status).index(how), 0).astype(np.int8)
    return run(label, lost, status=status[:, None])


def judge(old: Evaluated, new: Evaluated, *rules: dict[str, Any], **more: Any) -> Gate:
    return apply_policy(parse_policy({"rule": list(rules), **more}), old, new)


def skilled(share: float, n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n) < share * n


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.16, 0.4])
def test_failing_on_what_the_baseline_got_wrong_is_no_pass(kind: str, share: float) -> None:
    base = skilled(0.5)
    wrong = np.flatnonzero(~base)
    failed = np.isin(np.arange(N), wrong[: round(share * N)])
    better = base | skilled(0.1, seed=1) if kind == "better_than" else base
    old, new = run("old", base), failing("new", better, failed)
    gate = judge(old, new, rule(kind))
    (tested,) = gate.tested
    assert gate.verdict == "inconclusive" and "questions are left out" in describe_test(tested)
    out = tested.left_out
    assert out is not None and (out.n, out.n_asked, out.candidate.missing) == (failed.sum(), N, failed.sum())
    assert out.baseline.left_out == 0.0 and out.baseline.p is not None and out.baseline.p < 0.001
    assert any(
        "old answered" in note and "0.00% of them right" in note and "p of no difference <0.0001" in note
        for note in gate.notes
    )
    assert judge(old, run("new", better), rule(kind)).verdict == "pass" or kind == "no_worse_than"
    # A user may set the share, but what is left out then still counts against the candidate.
    lenient = judge(old, new, rule(kind), left_out=100)
    assert lenient.tested[0].verdict == (
        "pass" if kind != "at_least" or share < 0.1 else lenient.tested[0].verdict
    )


def test_a_floor_holds_only_if_it_holds_with_what_is_left_out_wrong() -> None:
    """53.52% of what was answered, 28.50% of what was asked."""
    right = np.arange(1000) < 285
    failed = np.arange(1000) >= 285 + 247
    old, new = run("old", right), failing("new", right, failed)
    gate = judge(old, new, rule("at_least"), left_out=100)
    (tested,) = gate.tested
    assert tested.difference.candidate == pytest.approx(285 / 532)
    assert tested.left_out and tested.left_out.worst.candidate == pytest.approx(0.285)
    assert gate.verdict == "inconclusive" and "28.50%, which does not pass" in tested.why


def test_a_few_failures_do_not_spoil_a_clear_pass_and_a_fail_stays_one() -> None:
    base = skilled(0.6)
    few = np.arange(N) < 5
    assert judge(run("old", base), failing("new", base, few), rule("no_worse_than")).verdict == "pass"
    assert judge(run("old", base), failing("new", base, few), rule("no_worse_than"), left_out=0).verdict == (
        "inconclusive"
    )
    bad = base & skilled(0.7, seed=3)
    many = np.arange(N) < 300
    assert judge(run("old", base), failing("new", bad, many), rule("no_worse_than")).verdict == "fail"


def test_a_baseline_that_failed_is_counted_too() -> None:
    base = skilled(0.6)
    failed = np.isin(np.arange(N), np.flatnonzero(base)[:100])
    old, new = failing("old", base, failed), run("new", base)
    (tested,) = judge(old, new, rule("no_worse_than")).tested
    assert tested.verdict == "inconclusive" and tested.left_out is not None
    assert (tested.left_out.baseline.missing, tested.left_out.candidate.left_out) == (100, 1.0)
    # The floor is the candidate's own: what the baseline lacks says nothing of it.
    assert judge(old, new, rule("at_least")).verdict == "pass"


def test_a_category_without_any_answer_is_inconclusive() -> None:
    base = skilled(0.9, 200)
    odd = np.arange(200) % 2 == 1
    gate = judge(run("old", base), failing("new", base, odd), rule("no_worse_than", level="l2", margin=40))
    assert gate.verdict == "inconclusive"
    assert [guard.measured for guard in gate.guarded] == ["coarse_perception: 0 of 100"]
    one = rule("no_worse_than", level="l2", margin=40, category="coarse_perception")
    assert judge(run("old", base), failing("new", base, odd), one, rule("at_least")).verdict == "inconclusive"


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_no_pass_turns_into_less_when_what_failed_was_wrong_all_along(data: st.DataObject) -> None:
    """Whatever the replies that failed would have been worth, a pass is no pass of theirs only."""
    n = data.draw(st.integers(30, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    base, new = rng.random(n) < 0.6, rng.random(n) < data.draw(st.floats(0.3, 0.9))
    failed = rng.random(n) < data.draw(st.floats(0.0, 0.3))
    kind = data.draw(st.sampled_from(list(KINDS)))
    made = rule(kind) | ({"margin": 20} if kind == "no_worse_than" else {})
    if failed.all():
        return
    gate = judge(run("old", base), failing("new", new, failed), made, left_out=100)
    counted = judge(run("old", base), run("new", new & ~failed), made)
    if gate.verdict == "pass":
        assert counted.verdict == "pass"
    if not failed.any():
        assert gate.verdict == counted.verdict


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_how_the_left_out_differ_is_fisher_s_exact_test(data: st.DataObject) -> None:
    n = data.draw(st.integers(4, 120))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    base, failed = rng.random(n) < 0.5, rng.random(n) < 0.3
    if failed.all() or not failed.any():
        return
    (found,) = compare_task(run("old", base), [failing("new", base, failed)], TASK, by="overall")
    (out,) = found.left_out.values()
    assert isinstance(out, LeftOut)
    table = [[int((base & at).sum()), int((~base & at).sum())] for at in (failed, ~failed)]
    assert out.baseline.p == pytest.approx(fisher_exact(table)[1])
    assert out.baseline.left_out == pytest.approx(base[failed].mean())
    assert out.baseline.counted == pytest.approx(base[~failed].mean())
    assert (out.n, out.n_asked) == (failed.sum(), n)


@pytest.mark.parametrize("aggregation", ["row_micro", "vanilla0_micro", "row_l3_macro"])
def test_other_aggregations_say_it_too(aggregation: str) -> None:
    rng = np.random.default_rng(5)
    values = (rng.random(400) < 0.6).astype(float)
    lost = values.copy()
    lost[:40] = np.nan
    status = np.where(np.isnan(lost), list(Status).index(Status.ERROR), 0).astype(np.int8)[:, None]
    old, new = run("old", values, copies=4), run("new", lost, copies=4, status=status)
    (found,) = compare_task(old, [new], TASK, aggregation=aggregation, replicates=200)
    overall = found.left_out_of(found.overall)
    assert overall is not None and (overall.n, overall.n_asked) == (10, 100)
    assert overall.worst.value < found.overall.value
    assert any(
        "10 of 100 questions (10.00%) are left out, as new has no value for 10" in n for n in found.notes
    )


RUN = CliRunner()


def invoke(*args: object, code: int) -> str:
    done = RUN.invoke(app, [str(arg) for arg in args], env={"COLUMNS": "150", "GITHUB_ACTIONS": ""})
    assert getattr(done.exception, "exit_code", done.exit_code) == code, (done.output, done.exception)
    return done.output


@pytest.mark.slow
def test_on_the_command_line_every_output_says_it(tmp_path: Path) -> None:
    """The same replies, but for failed requests where the first run was wrong."""
    scenes = ("run", "--tasks", "scenes", "--limit", 120, "--engine")
    invoke(*scenes, "mock", "--mock", "random", "--out", tmp_path / "mock", code=0)
    shutil.copy(tmp_path / "mock" / "journal" / "ssl4rl_scenes.jsonl", tmp_path / "all.jsonl")
    kept = json.loads((tmp_path / "mock" / "outcomes.json").read_bytes())["tasks"]["ssl4rl_scenes"]
    wrong = [id for id, value in zip(kept["ids"], kept["values"][0], strict=True) if not value][:60]
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    lines = [
        {"id": line["id"], "text": line["text"], **({"error": "down"} if line["id"] in wrong else {})}
        for line in lines
    ]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("all", "some"):
        more = ("--replies", tmp_path / f"{name}.jsonl", "--out", tmp_path / name, "--max-error-rate", 1)
        invoke(*scenes, "replay", *more, code=0)
    rule = 'allow = ["partial"]\n[[rule]]\ntask = "scenes"\nkind = "no_worse_than"\nmargin = 20\n'
    (tmp_path / "gate.toml").write_text(rule)
    files = {name: tmp_path / f"out.{name}" for name in ("junit", "summary", "json", "html")}
    flags = [item for name, path in files.items() for item in (f"--{name}", path)]
    both = ("-b", tmp_path / "all", "-c", tmp_path / "some", "-p", tmp_path / "gate.toml")
    said = invoke("gate", *both, *flags, code=3)
    texts = {"terminal": said} | {name: path.read_text() for name, path in files.items()}
    for form in ("table", "markdown", "latex", "csv", "json"):
        both = ("compare", tmp_path / "all", tmp_path / "some", "--allow", "partial")
        texts[form] = invoke(*both, "--format", form, code=0)
    for name, text in texts.items():
        plain = text.replace("\\", "").replace("\n", " ")
        assert "questions" in plain and "are left out" in plain, name
        assert "some (replay)" in plain, name
