"""The example policy: it is valid with and without its optional lines, and passes a good checkpoint of any origin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from commands import bench

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.parsing import parse_toml
from ssl4rl_bench.gating.of_runs import judge
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.gate.text import headline

pytestmark = pytest.mark.slow

TEXT = (Path(__file__).parents[2] / "ssl4rl_bench" / "examples" / "gate.toml").read_text()
AUDITED = {"data": {"overlap": [{"set": "scenes", "exact": 3, "near": 1}], "transductive": True}}


def values(text: str = TEXT, **guards: Any) -> dict[str, Any]:
    """Returns the policy's content for runs of a part of the questions, with more guards."""
    content = parse_toml(text.encode())
    return content | {"allow": ["partial"], "guards": content["guards"] | guards}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluated]:
    """Runs of checkpoints without an ssl4rl.json."""
    root = tmp_path_factory.mktemp("runs")
    for name, behaviour in (("base", "gold"), ("good", "gold"), ("bad", "constant:B")):
        asked = ("--engine", "mock", "--mock", behaviour, "--tasks", "scenes", "--limit", "120")
        assert bench("run", "--model", f"org/{name}", *asked, "--out", root / name).code == 0
    return {path.name: load_evaluated([path], [])[0] for path in root.iterdir()}


def test_the_lines_that_are_commented_out_are_valid() -> None:
    plain = parse_policy(values())
    full = parse_policy(values(re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", TEXT)))
    assert len(plain.rule) == 2 and plain.guards.image_overlap is None
    assert len(full.rule) == 5 and full.guards.image_overlap == 0


def test_a_good_checkpoint_passes_and_unknown_origins_are_noted(runs: dict[str, Evaluated]) -> None:
    gate, _ = judge(parse_policy(values()), runs["base"], runs["good"], None)
    assert gate.verdict == "pass", headline(gate)
    assert {guarded.verdict for guarded in gate.guarded} == {"pass"}
    (note,) = [note for note in gate.notes if "trained" in note]
    assert note == (
        "Whether org/good (mock) was trained on images of scenes is unknown (the checkpoint has no ssl4rl.json): the "
        "guard image_overlap would be inconclusive."
    )


def test_a_bad_checkpoint_fails(runs: dict[str, Evaluated]) -> None:
    gate, _ = judge(parse_policy(values()), runs["base"], runs["bad"], None)
    assert headline(gate).startswith("FAIL: rule 1, no_worse_than on Average of scenes, decided")


def test_a_guard_that_is_asked_for_is_never_passed_by_an_unknown_origin(runs: dict[str, Evaluated]) -> None:
    strict = parse_policy(values(image_overlap=0))
    gate, _ = judge(strict, runs["base"], runs["good"], None)
    assert headline(gate).startswith(
        "INCONCLUSIVE: guard training images in the set on scenes, is undecided (unknown: the checkpoint has no "
        "ssl4rl.json, limit: at most 0); 1 inconclusive, "
    )
    assert not [note for note in gate.notes if "trained" in note]
    failed, _ = judge(strict, runs["base"], runs["good"], AUDITED)
    assert headline(failed).startswith(
        "FAIL: guard training images in the set on scenes, decided (4, limit: at most 0)"
    )


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (AUDITED, "is certain (4): the guard image_overlap = 0 would fail."),
        (
            {"data": {}},
            "is unknown (not compared when it was trained): the guard image_overlap would be inconclusive.",
        ),
        ({"data": {"overlap": [{"set": "scenes", "exact": 3}]}}, ""),
        ({"data": {"overlap": [{"set": "scenes", "exact": 0}]}}, ""),
    ],
)
def test_what_is_known_of_training_images_is_noted(
    runs: dict[str, Evaluated], origin: dict[str, Any], expected: str
) -> None:
    gate, _ = judge(parse_policy(values()), runs["base"], runs["good"], origin)
    assert gate.verdict == "pass"
    notes = [note for note in gate.notes if "trained" in note]
    assert [note.endswith(expected) for note in notes] == ([True] if expected else [])


def test_runs_that_differ_are_refused_with_the_key_of_the_policy(
    runs: dict[str, Evaluated], tmp_path: Path
) -> None:
    out = tmp_path / "long"
    asked = (
        "--engine",
        "mock",
        "--mock",
        "gold",
        "--tasks",
        "scenes",
        "--limit",
        "120",
        "--max-tokens",
        "64",
    )
    assert bench("run", "--model", "org/long", *asked, "--out", out).code == 0
    policy = tmp_path / "gate.toml"
    policy.write_text(TEXT.replace("allow = []", 'allow = ["partial"]'))
    done = bench("gate", "-b", runs["base"].path, "-c", out, "-p", policy)
    assert done.code == 2
    assert 'or allow it by name in the policy: allow = ["partial", "max_tokens"]' in done.err
    policy.write_text(TEXT.replace("allow = []", 'allow = ["partial", "max_tokens"]'))
    assert bench("gate", "-b", runs["base"].path, "-c", out, "-p", policy).code == 0
