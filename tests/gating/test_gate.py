from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import TASK, run

from ssl4rl_bench.comparison.flips import flips
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.gating import baseline as baseline_file
from ssl4rl_bench.gating.guards import check_guards
from ssl4rl_bench.gating.judge import Gate, apply_policy
from ssl4rl_bench.gating.policy import parse_policy, read_policy

any_speed = settings(deadline=None, max_examples=examples(40))


def rule(**more: Any) -> dict[str, Any]:
    return {"task": TASK, "kind": "no_worse_than", "margin": 5, **more}


def judge(base: np.ndarray, new: np.ndarray, *rules: dict[str, Any], **more: Any) -> Gate:
    return apply_policy(parse_policy({"rule": list(rules), **more}), run("old", base), run("new", new))


def changed(n: int, gained: int, lost: int, share: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """A run and another with so many questions gained and lost."""
    base = (np.arange(n) < share * n).astype(float)
    new = base.copy()
    new[:lost] = 0.0
    new[n - gained :] = 1.0
    return base, new


@pytest.mark.parametrize(
    ("n", "gained", "lost", "verdict"),
    [
        (1000, 20, 20, "pass"),  # the lower bound is above -5 points
        (1000, 20, 120, "fail"),  # 10 points down, beyond chance
        (1000, 60, 95, "inconclusive"),  # 3.5 points down: worse beyond chance, but not by the margin
        (60, 3, 5, "inconclusive"),  # too few questions to tell
        (1000, 200, 20, "pass"),
    ],
)
def test_a_candidate_may_be_no_worse_than_the_margin(n: int, gained: int, lost: int, verdict: str) -> None:
    gate = judge(*changed(n, gained, lost), rule())
    (tested,) = gate.tested
    assert gate.verdict == gate.raw_verdict == tested.verdict == verdict
    assert (tested.lower > -0.05) == (verdict == "pass")
    assert (tested.needed is not None) == (verdict == "inconclusive")
    if tested.needed:
        assert tested.needed > n or tested.difference.value > -0.05


@pytest.mark.parametrize(
    ("kind", "more", "change", "verdict"),
    [
        ("not_significantly_worse", {}, (500, 30, 40), "pass"),
        ("not_significantly_worse", {}, (500, 10, 60), "fail"),
        ("better_than", {}, (500, 60, 10), "pass"),
        ("better_than", {}, (500, 30, 28), "inconclusive"),
        ("better_than", {}, (500, 10, 60), "fail"),
        ("better_than", {"margin": 20}, (500, 60, 10), "fail"),
        ("at_least", {"value": 50}, (500, 0, 0), "pass"),
        ("at_least", {"value": 70}, (500, 0, 0), "fail"),
        ("at_least", {"value": 60.5}, (500, 0, 0), "inconclusive"),
    ],
)
def test_the_other_rules(kind: str, more: dict[str, Any], change: tuple[int, int, int], verdict: str) -> None:
    asked = {"task": TASK, "kind": kind, **more}
    assert judge(*changed(*change), asked).verdict == verdict


def test_what_is_inconclusive_may_be_mapped() -> None:
    data = changed(60, 3, 5)
    assert judge(*data, rule(), on_inconclusive="pass").verdict == "pass"
    assert judge(*data, rule(), on_inconclusive="fail").verdict == "fail"
    assert judge(*data, rule(), on_inconclusive="fail").raw_verdict == "inconclusive"


def test_every_category_of_a_level_is_tested_and_pays_for_the_others() -> None:
    base, new = changed(400, 10, 30)
    alone = judge(base, new, rule(margin=30)).tested[0]
    both = judge(base, new, rule(margin=30, level="l2"), rule(margin=30)).tested
    assert [cell.name for cell in both] == ["logic_reasoning", "coarse_perception", "overall"]
    assert both[-1].p_fail >= alone.p_fail and both[-1].lower < alone.lower
    (one,) = judge(base, new, rule(margin=30, level="l2", category="logic_reasoning")).tested
    assert one.name == "logic_reasoning"
    with pytest.raises(UsageError, match="did you mean logic_reasoning"):
        judge(base, new, rule(level="l2", category="logical_reasoning"))


def test_a_margin_that_the_data_cannot_decide_is_a_warning() -> None:
    gate = judge(*changed(100, 10, 10), rule(margin=0.5))
    assert any("can hardly be decided" in note for note in gate.notes)
    assert not judge(*changed(1000, 5, 5), rule(margin=5)).notes


@pytest.mark.slow
@any_speed
@given(st.integers(20, 400), st.data())
def test_a_gate_never_passes_and_fails_the_same(n: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, n // 3))
    gained = data.draw(st.integers(0, n // 3))
    margin = data.draw(st.floats(0.5, 30.0))
    (tested,) = judge(*changed(n, gained, lost), rule(margin=margin)).tested
    if tested.verdict == "fail":
        assert tested.difference.value <= -margin / 100 and tested.p_fail < 0.05
    if tested.verdict == "pass":
        assert tested.lower > -margin / 100
    more = changed(n, gained, min(n // 3, lost + 5))
    order = {"pass": 0, "inconclusive": 1, "fail": 2}
    (worse,) = judge(*more, rule(margin=margin)).tested
    assert worse.lower <= tested.lower + 1e-9
    if tested.verdict == "fail":
        assert order[worse.verdict] == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": []}, r"there is no \[\[rule\]\]"),
        ({"rule": [rule()], "alhpa": 0.1}, "did you mean alpha"),
        ({"rule": [rule(kind="no_worse")]}, "did you mean no_worse_than"),
        ({"rule": [rule(margin=0)]}, "needs margin above 0"),
        ({"rule": [rule(kind="at_least")]}, "has no margin"),
        ({"rule": [{"task": TASK, "kind": "at_least"}]}, "value, in percent"),
        ({"rule": [{"task": TASK, "kind": "at_least", "value": 0.7, "margn": 1}]}, "did you mean margin"),
        ({"rule": [rule(value=3.0)]}, "value, in percent, is for at_least"),
        ({"rule": [rule(aggregation="micro")]}, "no aggregation micro"),
        ({"rule": [rule(category="x")]}, "a category needs level"),
        ({"rule": [rule()], "alpha": 0.7}, "not between 0 and 0.5"),
        ({"rule": [rule()], "allow": ["partal"]}, "did you mean partial"),
        ({"rule": [rule()], "guards": {"unred": 1.0}}, "did you mean unread"),
        ({"rule": [rule()], "guards": {"reply_length": [2.0]}}, r"must be \[least, most\]"),
    ],
)
def test_a_policy_is_read_strictly(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_policy(values)


def test_a_file_that_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the policy .*no such file"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("alpha = [")
    with pytest.raises(UsageError, match="is not a policy"):
        read_policy(tmp_path / "bad.toml")


def result_of(n: int, tokens: int = 1000) -> dict[str, Any]:
    found = {"status": {"tag": n}, "tokens": {"prompt": 1, "completion": tokens}}
    return {"partial_reasons": [], "tasks": {TASK: found}}


def test_guards_look_at_what_is_no_accuracy() -> None:
    base, new = changed(100, 0, 0)
    read_ = np.arange(100) < 90
    status = np.where(read_, 0, list(Status).index(Status.TRUNCATED)).astype(np.int8)[:, None]
    old = replace(run("old", base), result=result_of(100))
    candidate = replace(run("new", new, status=status, answers=(("B",),) * 100), result=result_of(100, 3500))
    limits = {"unread": 5.0, "truncated": 20.0, "errors": 0.0, "letters": 10.0, "image_overlap": 0}
    limits |= {"reply_length": [0.5, 3.0]}
    policy = parse_policy({"rule": [rule()], "guards": limits})
    found = {each.name: each for each in check_guards(policy, old, candidate, None)}
    assert {name: each.verdict for name, each in found.items()} == {
        "unread replies": "fail",
        "truncated replies": "pass",
        "failed requests": "pass",
        "reply length": "fail",
        "answer shares": "fail",
        "training images in the set": "inconclusive",
    }
    assert found["unread replies"].measured == "10.00%" and found["reply length"].measured.startswith(
        "3.50 times"
    )
    for overlap, transductive, verdict in ((0, False, "pass"), (7, False, "pass"), (7, True, "fail")):
        origin = {"data": {"overlap": [{"set": "simulated", "exact": overlap}], "transductive": transductive}}
        guard = check_guards(policy, old, candidate, origin)[-1]
        assert guard.verdict == verdict, (overlap, transductive)
    assert apply_policy(policy, old, candidate, guarded=tuple(found.values())).verdict == "fail"


def test_a_baseline_without_token_counts_makes_the_reply_length_inconclusive() -> None:
    """As recorded replies from elsewhere; a candidate without tokens beside one that has some is too short."""
    base, new = changed(100, 0, 0)
    policy = parse_policy({"rule": [rule()], "guards": {"reply_length": [0.5, 3.0]}})
    without, counted = (replace(run("old", base), result=result_of(100, n)) for n in (0, 1000))
    (unknown,) = check_guards(policy, without, replace(run("new", new), result=result_of(100, 1000)), None)
    assert unknown.verdict == "inconclusive" and "nan" not in unknown.measured
    assert unknown.measured == "unknown: the baseline has no token counts"
    (short,) = check_guards(policy, counted, replace(run("new", new), result=result_of(100, 0)), None)
    assert (short.verdict, short.measured) == ("fail", "0.00 times the baseline's (0.0 tokens)")


@pytest.mark.parametrize("name", ["base.json", "base.json.gz"])
def test_a_baseline_file_is_the_run(tmp_path: Path, name: str) -> None:
    base, new = changed(200, 5, 40)
    original = run("old", base, copies=2)
    baseline_file.save_baseline_file(original, tmp_path / name)
    kept = baseline_file.load_baseline_file(tmp_path / name)
    candidate = run("new", new, copies=2)
    one, two = (apply_policy(parse_policy({"rule": [rule()]}), each, candidate) for each in (original, kept))
    assert one.tested == two.tested
    assert kept.spec.sha256 == original.spec.sha256
    baseline_file.save_baseline_file(kept, tmp_path / "again.json")
    baseline_file.save_baseline_file(original, tmp_path / "first.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "first.json").read_bytes()


def test_a_damaged_baseline_file_is_refused(tmp_path: Path) -> None:
    base, _ = changed(50, 0, 0)
    place = tmp_path / "base.json"
    baseline_file.save_baseline_file(run("old", base), place)
    good = json.loads(place.read_bytes())
    assert baseline_file.load_baseline_file(place).label == "old"
    for value, message in (
        (good | {"label": "other"}, "checksum differs"),
        (good | {"schema": 0}, "has schema 0, and this version"),
        (good | {"kind": "else"}, "is not a baseline"),
        ([], "is not a baseline"),
    ):
        place.write_text(json.dumps(value))
        with pytest.raises(StoreError, match=message):
            baseline_file.load_baseline_file(place)
    place.write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        baseline_file.load_baseline_file(place)
    packed = tmp_path / "base.json.gz"
    whole = gzip.compress(json.dumps(good).encode())
    for bad in (whole[:-20], b"nothing", whole[:40] + b"\0" + whole[41:]):
        packed.write_bytes(bad)
        with pytest.raises(StoreError, match="is damaged"):
            baseline_file.load_baseline_file(packed)
    with pytest.raises(StoreError, match="cannot be read"):
        baseline_file.load_baseline_file(tmp_path / "none.json")


def test_lost_questions_come_with_both_answers() -> None:
    base, new = changed(40, 2, 3)
    gate = judge(base, new, rule())
    found = flips(gate.comparisons[0])
    assert [flip.group for flip in found] == ["g00000", "g00001", "g00002"]
    assert all(flip.change == -1.0 and (flip.before, flip.after) == ("A", "A") for flip in found)
    assert [flip.group for flip in flips(gate.comparisons[0], lost=False)] == ["g00038", "g00039"]
    assert len(flips(gate.comparisons[0], "logic_reasoning")) == 2
