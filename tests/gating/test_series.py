"""Alpha for a series: no look is free, none is charged twice, and one series has one name, baseline and policy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.gating import series
from ssl4rl_bench.gating.policy import Policy, parse_policy

RULES: list[dict[str, Any]] = [
    {"task": "scenes", "kind": "no_worse_than", "margin": 3},
    {"task": "scenes", "kind": "not_significantly_worse", "level": "l2"},
]
TERMS: dict[str, Any] = {"rule": RULES, "guards": {"unread": 5, "reply_length": [0.5, 2]}}
POLICY = parse_policy(TERMS)


def spend(
    folder: Path,
    candidate: str,
    *,
    name: str = "run-1",
    baseline: str = "base",
    policy: Policy = POLICY,
) -> series.Turn:
    with series.turn(folder, name, baseline, candidate, policy) as turn:
        return turn


def spent(folder: Path, name: str = "run-1") -> list[str]:
    return series.order(folder, name)[1:]


def test_a_checkpoint_is_charged_once(tmp_path: Path) -> None:
    turns = [spend(tmp_path, f"step-{at}") for at in range(1, 6)]
    assert [turn.number for turn in turns] == [1, 2, 3, 4, 5]
    assert turns[0].alpha == pytest.approx(0.025)
    assert spend(tmp_path, "step-2") == turns[1]
    assert spent(tmp_path) == [f"step-{at}" for at in range(1, 6)]
    assert sum(series.share(0.05, number) for number in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("error", [UsageError("not comparable"), KeyboardInterrupt()])
def test_what_ends_before_a_verdict_costs_nothing(tmp_path: Path, error: BaseException) -> None:
    spend(tmp_path, "step-1")
    with pytest.raises(type(error)), series.turn(tmp_path, "run-1", "base", "step-2", POLICY):
        raise error
    assert spent(tmp_path) == ["step-1"]
    assert spend(tmp_path, "step-3").number == 2


JUDGE = """
import os, sys, time
from pathlib import Path
from ssl4rl_bench.gating import series
from ssl4rl_bench.gating.policy import parse_policy
folder, candidate, ending = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
policy = parse_policy({"rule": [{"task": "scenes", "kind": "not_significantly_worse"}]})
with series.turn(folder, "run-1", "base", candidate, policy) as turn:
    time.sleep(0.05)
    if ending == "crash":
        os.kill(os.getpid(), 9)
print(turn.number)
"""


def start(folder: Path, candidate: str, ending: str = "done") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", JUDGE, str(folder), candidate, ending]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_at_once_get_different_turns_and_a_crash_blocks_none(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "series"
    started = [start(folder, f"step-{at}", "crash" if at % 3 == 0 else "done") for at in range(7)]
    said = [process.communicate(timeout=300)[0].strip() for process in started]
    assert [process.returncode for process in started] == [-9, 0, 0, -9, 0, 0, -9]
    assert sorted(text for text in said if text) == ["1", "2", "3", "4"]
    assert sorted(spent(folder)) == ["step-1", "step-2", "step-4", "step-5"]
    assert [path.suffix for path in folder.iterdir() if path.name != series.LOCK] == [".json"]


def other(**changes: Any) -> Policy:
    return parse_policy(TERMS | changes)


@pytest.mark.parametrize(
    "policy",
    [
        other(alpha=0.01),
        other(correction="bonferroni"),
        other(on_inconclusive="pass"),
        other(allow=["partial"]),
        other(left_out=5),
        other(guards={"unread": 6, "reply_length": [0.5, 2]}),
        other(guards={"unread": 5}),
        other(guards={}),
        other(rule=RULES[:1]),
        other(rule=[RULES[0] | {"margin": 3.5}, RULES[1]]),
        other(rule=[RULES[0] | {"aggregation": "row_micro"}, RULES[1]]),
        other(rule=[RULES[0], RULES[1] | {"level": "l3"}]),
        other(rule=[RULES[0], RULES[1] | {"category": "coarse_perception"}]),
        other(rule=[*RULES, {"task": "ssl_rotation_90", "kind": "at_least", "value": 30, "level": "probe"}]),
        other(rule=[RULES[0], RULES[0], RULES[1]]),
    ],
    ids=range(15),
)
def test_another_policy_is_refused(tmp_path: Path, policy: Policy) -> None:
    spend(tmp_path, "step-1")
    with pytest.raises(UsageError, match=r"series run-1 in .* has another (policy|alpha)"):
        spend(tmp_path, "step-2", policy=policy)
    assert spent(tmp_path) == ["step-1"]
    assert spend(tmp_path, "step-2", name="run-2", policy=policy).number == 1


@pytest.mark.parametrize(
    "policy",
    [
        other(rule=RULES[::-1]),
        other(alpha=0.05, correction="holm", left_out=1, allow=[]),
        other(rule=[RULES[0] | {"task": "ssl4rl_scenes", "margin": 3.0}, RULES[1]]),
        other(rule=[RULES[0] | {"aggregation": "circular_micro", "level": "overall"}, RULES[1]]),
    ],
    ids=range(4),
)
def test_the_same_policy_in_other_words_goes_on(tmp_path: Path, policy: Policy) -> None:
    spend(tmp_path, "step-1")
    assert spend(tmp_path, "step-2", policy=policy).number == 2


@settings(deadline=None)
@given(st.lists(st.sampled_from(["partial", "prompt", "data"])))
def test_the_order_of_what_is_allowed_does_not_matter(names: list[str]) -> None:
    digests = {series.policy_digest(other(allow=order)) for order in (names, names[::-1], sorted(set(names)))}
    assert len(digests) == 1
    assert (series.policy_digest(POLICY) in digests) == (not names)


def test_another_baseline_is_refused(tmp_path: Path) -> None:
    spend(tmp_path, "step-1")
    with pytest.raises(UsageError, match="another baseline"):
        spend(tmp_path, "step-2", baseline="other")
    assert spend(tmp_path, "step-2", baseline="other", name="run-2").number == 1


def rename(folder: Path) -> None:
    (folder / "run-1.json").rename(folder / "run-2.json")


def copy(folder: Path) -> None:
    shutil.copy(folder / "run-1.json", folder / "run-2.json")


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        (nothing, "run-2", "use --family run-1, so that they share alpha"),
        (rename, "run-2", "run-2.json is the file of series run-1: rename it to run-1.json"),
        (rename, "run-1", "run-2.json is the file of series run-1: rename it to run-1.json"),
        (rename, "run-3", "run-2.json is the file of series run-1: rename it to run-1.json"),
        (copy, "run-2", "run-2.json is the file of series run-1"),
        (copy, "run-3", "use --family run-1, so that they share alpha"),
    ],
)
def test_no_second_budget_for_one_baseline_and_policy(
    tmp_path: Path, what: Callable[[Path], None], name: str, words: str
) -> None:
    spend(tmp_path, "step-1")
    what(tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError) as caught:
        spend(tmp_path, "step-2", name=name)
    assert words in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_other_files_in_the_folder_are_no_series(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "result.json").write_text('{"schema": 1, "baseline": "base"}')
    (tmp_path / "newer.json").write_text('{"schema": 99}')
    assert spend(tmp_path, "step-1").number == 1


def test_a_file_of_version_1_goes_on_and_then_has_a_policy(tmp_path: Path) -> None:
    old = {"schema": 1, "baseline": "base", "alpha": 0.05, "candidates": ["step-1", "step-2"]}
    (tmp_path / "run-1.json").write_text(json.dumps(old))
    assert series.order(tmp_path, "run-1") == ["base", "step-1", "step-2"]
    assert spend(tmp_path, "step-2").number == 2
    with pytest.raises(UsageError, match="another alpha"):
        spend(tmp_path, "step-3", policy=other(alpha=0.01))
    assert spend(tmp_path, "step-3").number == 3
    with pytest.raises(UsageError, match="another policy"):
        spend(tmp_path, "step-4", policy=other(left_out=5))


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "x" * 200])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid name"):
        spend(tmp_path, "step-1", name=name)


@pytest.mark.parametrize(
    "change", [{"candidates": [1]}, {"candidates": ["a", "a"]}, {"policy": 1}, {"alpha": 1}, {"family": None}]
)
def test_a_damaged_file_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    spend(tmp_path, "step-1")
    path = tmp_path / "run-1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match=r"run-1\.json is damaged"):
        spend(tmp_path, "step-1")
    path.write_text("{}")
    with pytest.raises(StoreError, match=r"run-1\.json is damaged"):
        spend(tmp_path, "step-1")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot lock"):
        spend(tmp_path / "file", "step-1")
