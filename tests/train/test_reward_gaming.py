"""What gaming a reward earns: the table of docs/rewards.md."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest
from rewarded import (
    ANGLES,
    CONTRASTIVE,
    JIGSAW,
    MEGABYTE,
    ORDERS,
    POSITION,
    QUADRANTS,
    ROTATION,
    TARGETS,
    TASKS,
    tag,
)

from ssl4rl_bench.train.rewards import SCHEMES, SSLReward

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A row of the table in docs/rewards.md."""

    what: str
    """The reply, as the table names it."""
    task: str
    targets: tuple[str, ...]
    """What is right; the rewards are the mean over these."""
    reply: str
    why: str
    finish: str = "stop"

    def earns(self, scheme: str) -> str:
        reward = SSLReward(TASKS, scheme)
        values = [reward.one(self.task, self.reply, target, self.finish) for target in self.targets]  # type: ignore[arg-type]
        known = [value for value in values if value is not None]
        return f"{round(fmean(known), 3):g}" if known else "none"

    def row(self) -> str:
        right = f"`{self.targets[0]}`" if len(self.targets) == 1 else "all, mean"
        return f"| {self.what} | {right} | {' | '.join(map(self.earns, SCHEMES))} | {self.why} |"


CASES = [
    Case(
        "`1,2,3,4` always",
        JIGSAW,
        ORDERS,
        tag("1,2,3,4"),
        "one order of 24; every place is right once in four",
    ),
    Case(
        "`1,1,1,1` always",
        JIGSAW,
        ORDERS,
        tag("1,1,1,1"),
        "no permutation; released pays for one place always",
    ),
    Case("`2,3,1,4,1,2`", JIGSAW, ("2,3,1,4",), tag("2,3,1,4,1,2"), "surplus numbers; released ignores them"),
    Case("`2,3`", JIGSAW, ("2,3,1,4",), tag("2,3"), "too few numbers"),
    Case("`2,3,4,1`", JIGSAW, ("2,3,1,4",), tag("2,3,4,1"), "two places of four"),
    Case(
        "`3,1,2,4`",
        JIGSAW,
        ("2,3,1,4",),
        tag("3,1,2,4"),
        "the other convention: `other_exact` in the log is 1",
    ),
    Case("`2 3 1 4`", JIGSAW, ("2,3,1,4",), tag("2 3 1 4"), "released wants commas"),
    Case("`٢,٣,١,٤`", JIGSAW, ("2,3,1,4",), tag("٢,٣,١,٤"), "digits of any script are digits"),
    Case("`２，３，１，４`", JIGSAW, ("2,3,1,4",), tag("２，３，１，４"), "full-width commas too"),
    Case("`2,3,1,4 or 1,2,3,4`", JIGSAW, ("2,3,1,4",), tag("2,3,1,4 or 1,2,3,4"), "two answers are none"),
    Case("`90` always", ROTATION, ANGLES, tag("90"), "chance"),
    Case("`90 degrees`", ROTATION, ("90",), tag("90 degrees"), "units are understood"),
    Case("`-270`", ROTATION, ("90",), tag("-270"), "angles count modulo 360"),
    Case(
        "`90 degrees clockwise`",
        ROTATION,
        ("90",),
        tag("90 degrees clockwise"),
        "that is 270 counter-clockwise",
    ),
    Case("`९०`", ROTATION, ("90",), tag("९०"), "digits of any script are digits"),
    Case("`90 or 180`", ROTATION, ("90",), tag("90 or 180"), "two answers are none"),
    Case("`0, 90, 180, 270`", ROTATION, ANGLES, tag("0, 90, 180, 270"), "all answers are none"),
    Case(
        "a tag for each angle",
        ROTATION,
        ANGLES,
        "".join(map(tag, ANGLES)),
        "answers side by side are none; released reads the first",
    ),
    Case(
        "the template in `<think>`, then `90`",
        ROTATION,
        ("90",),
        f"<think>I shall write {tag('degrees')}.</think> {tag('90')}",
        "tags in the thinking do not count; released reads only the first",
    ),
    Case("`no rotation`", ROTATION, ("0",), tag("no rotation"), "that is 0 degrees"),
    Case(
        "`90` in `<think>`, then `180`",
        ROTATION,
        ("90",),
        f"<think>{tag('90')}</think> {tag('180')}",
        "the answer is what follows the thinking",
    ),
    Case(
        "`90`, then the template",
        ROTATION,
        ("90",),
        f"{tag('90')} in the form {tag('degrees')}",
        "the last tag counts, and holds no answer",
    ),
    Case(
        "the prompt's own form",
        ROTATION,
        ANGLES,
        f"<think>your reasoning</think> {tag('$ANSWER')}",
        "no answer",
    ),
    Case(
        '"The answer is 90.", no tag',
        ROTATION,
        ("90",),
        "The answer is 90.",
        "stated; only `strict` wants a tag",
    ),
    Case('"It may be 90, or not."', ROTATION, ("90",), "It may be 90, or not.", "mentioned, not stated"),
    Case(
        '"The answer is 90", cut off',
        ROTATION,
        ("90",),
        "The answer is 90",
        "the last word may go on",
        "length",
    ),
    Case(
        "`90` in a tag, cut off after it",
        ROTATION,
        ("90",),
        tag("90") + " As",
        "the answer was complete",
        "length",
    ),
    Case("nothing", ROTATION, ANGLES, "", "no answer"),
    Case("a refusal", ROTATION, ANGLES, "I'm sorry, I cannot see the images.", "no answer"),
    Case("a failed request", ROTATION, ANGLES, "", "no reply: TRL leaves the row out", "error"),
    Case("a million nines in a tag", ROTATION, ANGLES, tag("9" * MEGABYTE), "longer than any answer"),
    Case("a million opening tags", ROTATION, ANGLES, "<answer>" * MEGABYTE, "no answer; takes milliseconds"),
    Case(
        "a megabyte of thinking, then `90`",
        ROTATION,
        ("90",),
        f"<think>{'so ' * (MEGABYTE // 3)}</think> {tag('90')}",
        "a reply's end is read, however long it is",
    ),
    Case("`top-left` always", POSITION, QUADRANTS, tag("top-left"), "chance"),
    Case("`Top-Left.`", POSITION, ("top-left",), tag("Top-Left."), "case and full stop do not matter"),
    Case("`the upper left corner`", POSITION, ("top-left",), tag("the upper left corner"), "upper is top"),
    Case("`top`", POSITION, QUADRANTS, tag("top"), "half an answer is none"),
    Case("`top-left, top-right`", POSITION, QUADRANTS, tag("top-left, top-right"), "two answers are none"),
    Case("`positive` always", CONTRASTIVE, TARGETS[CONTRASTIVE], tag("positive"), "chance"),
    Case("`positive.`", CONTRASTIVE, ("positive",), tag("positive."), "a full stop does not matter"),
    Case("`not negative`", CONTRASTIVE, ("positive",), tag("not negative"), "no label"),
    Case(
        "`positive/negative`",
        CONTRASTIVE,
        TARGETS[CONTRASTIVE],
        tag("positive/negative"),
        "two answers are none",
    ),
]
HEAD = f"| reply | right | {' | '.join(f'`{scheme}`' for scheme in SCHEMES)} | why |"


def table() -> list[str]:
    return [HEAD, "|---|---|---|---|---|---|---|", *(case.row() for case in CASES)]


def test_the_table_in_the_docs_is_what_the_code_pays() -> None:
    started = time.process_time()
    expected = table()
    assert time.process_time() - started < 10
    lines = (ROOT / "docs" / "rewards.md").read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD)
    assert lines[start : start + len(expected)] == expected
    assert not lines[start + len(expected)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_gaming_pays_no_more_than_chance(case: Case) -> None:
    """A reply that says the same whatever is right earns at most what a blind guess does."""
    if len(case.targets) > 1 and case.earns("exact") != "none":
        assert float(case.earns("exact")) <= round(TASKS[case.task].chance, 3)
        assert float(case.earns("per_position")) <= 0.25 or case.task == CONTRASTIVE


def test_a_blind_answer_in_each_scheme() -> None:
    """Expected reward of a constant valid answer: 1/(k*k)! exact, 1/k^2 per position, less when scaled."""
    for order in ORDERS:
        earned = {
            s: fmean(SSLReward(TASKS, s).one(JIGSAW, tag(order), t) or 0.0 for t in ORDERS) for s in SCHEMES
        }
        assert earned == pytest.approx(
            {"exact": 1 / 24, "per_position": 1 / 4, "scaled": 1 / 8, "released": 1 / 4}
        )
