"""`explain` names what was planted in a simulated run, and its numbers are those of re-scoring.

The simulated runs are those of `planted`: nothing but what is planted differs between two of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from planted import Planted

from ssl4rl_bench import explain, open_run
from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.explaining.explanation import Cause, Effect, Explanation
from ssl4rl_bench.comparison.explaining.kinds import KINDS
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.published import load_published
from ssl4rl_bench.comparison.settings import NAMES
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.core.types import Status
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.aggregate import overall
from ssl4rl_bench.score.scores import STATUSES
from ssl4rl_bench.score.scoring import score_run

TASK = "ssl4rl_mmbench_dev_en"
BASE = Planted(slips=0.03, loose=0.25)
"""A model that makes some mistakes in single copies and often forgets the tag."""
COLUMNS = [
    "logic_reasoning",
    "relation_reasoning",
    "attribute_reasoning",
    "coarse_perception",
    "finegrained_perception (cross-instance)",
    "finegrained_perception (instance-level)",
    "average",
]

SINGLE: dict[str, tuple[Planted, dict[str, Any]]] = {
    "pixels": (BASE.but(max_pixels=50176, prompt_tokens=180, wrong={"pixels": 0.15}), {}),
    "prompt": (BASE.but(prompt="direct", wrong={"prompt": 0.1}, unread=0.08), {}),
    "extractor": (BASE.but(extractor="strict"), {}),
    "aggregation": (BASE, {"against_aggregation": "row_micro"}),
    "split": (BASE.but(limit=70), {}),
    "truncation": (BASE.but(max_tokens=64, cut=0.2), {}),
    "repetition": (BASE.but(loops=0.2), {}),
    "engine": (BASE.but(engine="vllm", version="0.31.0", wrong={"engine": 0.05}), {}),
}
"""The kind of the difference, the run that has it, and arguments of `explain`."""
PAIRS: dict[tuple[str, str], tuple[Planted, dict[str, Any]]] = {
    ("extractor", "aggregation"): (BASE.but(extractor="strict"), {"against_aggregation": "row_micro"}),
    ("prompt", "pixels"): (
        BASE.but(prompt="cot", max_pixels=50176, wrong={"prompt": 0.1, "pixels": 0.1}),
        {},
    ),
    ("truncation", "split"): (BASE.but(max_tokens=64, cut=0.2, limit=70), {}),
    ("repetition", "engine"): (BASE.but(loops=0.2, version="5.18.0", wrong={"engine": 0.05}), {}),
}
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def make(place: Path) -> Make:
    """Makes a run, or returns the same one that was made before."""
    data, made = planted.data_file(place), {}

    def of(plan: Planted = BASE, copy: int = 0, data: Path = data) -> Path:
        key = repr((plan, copy, data))
        if key not in made:
            made[key] = planted.make(place / f"run-{len(made)}", data, plan)
        return made[key]

    return of


@pytest.fixture(scope="module")
def publish(place: Path) -> Callable[..., str]:
    """Writes the numbers of a run as a published table."""

    def of(run: Path, aggregation: str = "circular_micro", **more: Any) -> str:
        cells = open_run(run).result["tasks"][TASK]["aggregates"][aggregation]
        numbers = [cells["overall"] if name == "average" else cells["l2"][name] for name in COLUMNS]
        values = [round(100.0 * cell["value"], 2) for cell in numbers]
        table = {
            **{"title": "A paper", "source": "its table 1", "benchmark": ["mmbench_dev_en"]},
            **{"unit": "percent", "columns": COLUMNS, **more},
            "rows": [{"name": "base", "model": "base", "values": values}],
        }
        path = place / f"table-{len([*place.glob('table-*')])}.json"
        path.write_text(json.dumps(table))
        return str(path)

    return of


def effect_of(explanation: Explanation, kind: str) -> Effect:
    (effect,) = (effect for effect in explanation.effects if effect.kind == kind)
    return effect


def cause_of(explanation: Explanation, kind: str) -> Cause:
    (cause,) = (cause for cause in explanation.causes if cause.kind == kind)
    return cause


@pytest.mark.parametrize("kind", SINGLE)
def test_a_single_planted_difference_is_the_only_one_named(kind: str, make: Make) -> None:
    plan, how = SINGLE[kind]
    explanation = explain(make(plan), make(), **how)
    assert explanation.named == (kind,)
    assert abs(explanation.gap.value) > 0.01
    assert " may come from " in explanation.verdict
    assert explanation.causes[0].command.startswith("ssl4rl-bench ")


@pytest.mark.parametrize("kinds", PAIRS)
def test_two_planted_differences_are_the_two_named(kinds: tuple[str, str], make: Make) -> None:
    plan, how = PAIRS[kinds]
    explanation = explain(make(plan), make(), **how)
    assert set(explanation.named) == set(kinds), explanation.verdict
    standings = [cause.standing for cause in explanation.causes]
    assert standings == sorted(standings)  # what is computed comes before what only differs


@pytest.mark.parametrize("kind", [*SINGLE, *PAIRS])
def test_the_same_is_named_from_the_other_side(kind: Any, make: Make) -> None:
    plan, how = (SINGLE | PAIRS)[kind]
    turned = (
        {"aggregation": how["against_aggregation"], "against_aggregation": "circular_micro"} if how else {}
    )
    explanation = explain(make(), make(plan), **turned)
    assert set(explanation.named) == ({kind} if isinstance(kind, str) else set(kind))


@pytest.mark.slow
def test_nothing_is_named_between_seeds_and_between_equal_runs(make: Make) -> None:
    sampled = BASE.but(temperature=0.7)
    explanation = explain(make(sampled.but(seed=5)), make(sampled))
    assert explanation.named == ()
    assert explanation.gap.value != 0.0
    assert "is within chance" in explanation.verdict
    assert "no recorded setting differs" in explanation.verdict
    assert explanation.differing == {"seed": ("5", "0")}
    equal = explain(make(copy=1), make())
    assert equal.named == ()
    assert equal.verdict == "The numbers are equal: there is nothing to explain."
    assert explain(make(), make()).named == ()


def test_a_gap_beyond_chance_without_a_difference_is_reported_as_such(make: Make) -> None:
    explanation = explain(make(BASE.but(wrong={"unrecorded": 0.2})), make())
    assert explanation.named == ()
    assert "is beyond chance" in explanation.verdict
    assert "look at what the runs do not record" in explanation.verdict


def test_longer_prompts_alone_hint_at_the_pixels(make: Make) -> None:
    explanation = explain(make(BASE.but(prompt_tokens=420, wrong={"unrecorded": 0.2})), make())
    assert explanation.named == ("pixels",)
    assert "420.0 and 300.0 tokens" in explanation.causes[0].what


def test_effects_are_those_of_re_scoring(make: Make) -> None:
    run = make(SINGLE["extractor"][0])
    explanation = explain(run, make(), against_aggregation="row_micro")
    opened = RunDir.open(run)
    rescored = score_run(opened, [planted.loaded("mmbench_dev_en", _data(run), "ssl4rl", None)], "default")
    cells = rescored["tasks"][TASK]["aggregates"]
    extractor = effect_of(explanation, "extractor").gap
    assert extractor.run.value == cells["circular_micro"]["overall"]["value"]
    assert list(extractor.run.ci95 or ()) == cells["circular_micro"]["overall"]["ci95"]
    result = open_run(run).result["tasks"][TASK]["aggregates"]
    assert effect_of(explanation, "aggregation").gap.run.value == result["row_micro"]["overall"]["value"]
    assert cause_of(explanation, explanation.named[1]).remaining == explanation.remaining
    assert explanation.remaining.run.value == cells["row_micro"]["overall"]["value"]
    low, high = effect_of(explanation, "extractor").change_ci95 or (0.0, 0.0)
    assert low < effect_of(explanation, "extractor").change < high


def _data(run: Path) -> Path:
    return Path(RunDir.open(run).loading()[TASK]["data"])


def test_the_effect_of_other_questions_is_that_of_compare(make: Make) -> None:
    run, base = make(SINGLE["split"][0]), make()
    explanation = explain(run, base)
    pair = [load_evaluated([path])[0] for path in (base, run)]
    cell = compare_task(pair[0], pair[1:], TASK, allow=NAMES)[0].overall
    gap = effect_of(explanation, "split").gap
    numbers = (gap.run.value, gap.against.value, gap.run.n)
    assert numbers == pytest.approx((cell.candidate, cell.baseline, cell.n), abs=1e-12)
    assert gap.ci95 == cell.ci95


@pytest.mark.parametrize("kind", ["truncation", "repetition"])
def test_the_effect_of_cut_replies_is_that_of_leaving_out_their_questions(kind: str, make: Make) -> None:
    run, base = make(SINGLE[kind][0]), make()
    outcomes, others = (load_evaluated([path])[0].task(TASK) for path in (run, base))
    cut = (outcomes.status == STATUSES.index(Status.TRUNCATED)).any(axis=1)
    keep = ~np.logical_or.reduceat(cut, outcomes.starts)
    gap = effect_of(explain(run, base), kind).gap
    for side, estimated in ((outcomes, gap.run), (others, gap.against)):
        right = np.minimum.reduceat(side.values[:, 0], side.starts)
        assert estimated.value == pytest.approx(right[keep].mean())
        assert estimated.n == keep.sum()


@pytest.mark.slow
def test_differences_that_offset_each_other_are_both_named(make: Make) -> None:
    """Neither alone narrows the gap."""
    base = BASE.but(slips=0.1)
    strict = make(base.but(extractor="strict"))
    explanation = explain(strict, make(base), aggregation="row_micro", against_aggregation="circular_micro")
    alone = {effect.kind: abs(effect.gap.value) for effect in explanation.effects}
    assert all(gap > abs(explanation.gap.value) for gap in alone.values())
    assert set(explanation.named) == {"extractor", "aggregation"}
    assert explanation.remaining.value == pytest.approx(0.0)


def test_a_limit_that_no_reply_reached_is_no_cause(make: Make) -> None:
    explanation = explain(make(BASE.but(max_tokens=512, wrong={"unrecorded": 0.2})), make())
    assert explanation.named == ()
    assert explanation.differing["max_tokens"] == ("512", "2048")


def test_several_settings_that_differ_are_ranked_in_the_documented_order(make: Make) -> None:
    plan = BASE.but(
        engine="vllm", version="0.31.0", dtype="bfloat16", max_pixels=50176, prompt="cot", temperature=1.0
    )
    explanation = explain(make(plan.but(wrong={"all": 0.2})), make())
    assert explanation.named == ("prompt", "pixels", "decoding", "engine")
    assert [*explanation.named] == [kind for kind in KINDS if kind in explanation.named]
    assert "engine vllm 0.31.0 and hf 5.17.0, dtype bfloat16 and auto" in cause_of(explanation, "engine").what


def test_another_checkpoint_comes_first(make: Make) -> None:
    plan = BASE.but(fingerprint="1" * 64, max_pixels=50176, wrong={"all": 0.2})
    assert explain(make(plan), make()).named == ("weights", "pixels")


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("extractor", BASE), ("truncation", BASE), ("repetition", BASE), ("split", BASE)],
)
@pytest.mark.slow
def test_a_planted_difference_to_a_published_table_is_named_first(
    kind: str, theirs: Planted, make: Make, publish: Callable[..., str]
) -> None:
    plan = SINGLE[kind][0]
    plan = plan.but(**{name: 0.3 for name in ("cut", "loops") if getattr(plan, name)})
    explanation = explain(make(plan), publish(make(theirs)))
    assert explanation.named[0] == kind, explanation.verdict
    standings = {"extractor": "reproduced", "split": "differs"}
    assert explanation.causes[0].standing == standings.get(kind, "possible")


@pytest.mark.slow
def test_the_aggregation_of_a_published_table_is_named(make: Make, publish: Callable[..., str]) -> None:
    for aggregation in ("row_micro", "vanilla0_micro"):
        explanation = explain(make(), publish(make(), aggregation))
        assert explanation.named == ("aggregation",)
        assert explanation.causes[0].command.endswith(f"--aggregation {aggregation}")
        assert effect_of(explanation, "aggregation").gap.run.value == pytest.approx(
            open_run(make()).result["tasks"][TASK]["aggregates"][aggregation]["overall"]["value"]
        )


def test_two_departures_from_a_published_table_are_named(make: Make, publish: Callable[..., str]) -> None:
    explanation = explain(make(BASE.but(extractor="strict")), publish(make(), "row_micro"))
    assert explanation.named == ("extractor", "aggregation")
    assert abs(explanation.remaining.value) < 0.0001
    assert explanation.n_tried > 10


def test_nothing_is_named_against_published_numbers_of_another_seed_or_the_same_run(
    make: Make, publish: Callable[..., str]
) -> None:
    sampled = BASE.but(temperature=0.7)
    explanation = explain(make(sampled.but(seed=5)), publish(make(sampled)))
    assert explanation.named == ()
    assert "within chance" in explanation.verdict
    assert explanation.trials == ()
    stated = {"settings": {"prompt": "direct"}, "settings_source": "its appendix"}
    same = explain(make(), publish(make(), **stated))
    assert same.named == ()
    assert same.verdict.startswith("The run gives the published numbers to their last digit")
    assert same.differing == {"prompt": ("ssl4rl", "direct")}


@pytest.mark.slow
def test_another_edition_is_named_first(make: Make, publish: Callable[..., str], place: Path) -> None:
    data = planted.data_file(place, "v11.tsv", first=70)
    run = make(BASE.but(task="mmbench_dev_en_v11", wrong={"edition": 0.1}), data=data)
    explanation = explain(run, publish(make()))
    assert explanation.named[0] == "split"
    assert "mmbench_dev_en_v11 and mmbench_dev_en" in explanation.causes[0].what
    both = explain(run, make())
    assert both.named == ("split",)
    assert effect_of(both, "split").gap.run.n == 70


def test_editions_without_a_common_question_differ_in_the_split_first(make: Make, place: Path) -> None:
    data = planted.data_file(place, "other.tsv", first=140)
    run = make(BASE.but(task="mmbench_dev_en_v11", wrong={"edition": 0.1}, extractor="strict"), data=data)
    explanation = explain(run, make())
    assert explanation.named == ("split", "extractor")
    assert [cause.standing for cause in explanation.causes] == ["differs", "computed"]
    assert explanation.causes[0].command.startswith("ssl4rl-bench run ")
    assert "--tasks mmbench_dev_en " in explanation.causes[0].command


def test_what_a_table_states_is_known(make: Make, publish: Callable[..., str]) -> None:
    stated = {"prompt": "direct", "aggregation": "row_micro", "extractor": "strict", "top_k": 1}
    table = publish(make(), "row_micro", settings=stated, settings_source="its appendix")
    explanation = explain(make(), table)
    assert explanation.causes[0].kind == "aggregation"
    assert explanation.causes[0].standing == "computed"
    assert effect_of(explanation, "extractor").change < 0.0
    assert explanation.against_aggregation == "row_micro"
    assert "top_k" not in explanation.differing  # greedy on both sides
    assert any("its appendix" in note for note in explanation.notes)


def test_a_published_gap_that_nothing_accounts_for_comes_with_things_to_try(
    make: Make, publish: Callable[..., str]
) -> None:
    explanation = explain(make(BASE.but(wrong={"all": 0.6})), publish(make()))
    assert explanation.named == ()
    assert "beyond chance" in explanation.verdict
    assert [trial.kind for trial in explanation.trials] == ["prompt", "pixels", "decoding", "engine"]
    assert "--prompt direct" in explanation.trials[0].command


def test_a_single_number_is_a_published_one(make: Make) -> None:
    value = open_run(make()).result["tasks"][TASK]["aggregates"]["row_micro"]["overall"]["value"]
    explanation = explain(make(BASE.but(extractor="strict")), f"{100 * value:.2f}%")
    assert explanation.gap.against.value == pytest.approx(value, abs=0.0001)
    assert set(explanation.named) >= {"extractor"}
    assert explain(make(), f"{100 * value:.2f}", against_aggregation="row_micro").named == ("aggregation",)


def test_a_partial_run_is_explained_and_marked(make: Make) -> None:
    explanation = explain(make(BASE.but(unanswered=0.3)), make())
    assert explanation.named == ("split",)
    assert any("is partial" in note and "replies are missing" in note for note in explanation.notes)
    assert "--out" in explanation.causes[0].command


def test_replies_that_cannot_be_read_again_leave_the_difference_without_an_effect(
    place: Path, make: Make
) -> None:
    data = planted.data_file(place, "gone.tsv")
    run = planted.make(place / "gone", data, BASE.but(extractor="strict"))
    data.unlink()
    explanation = explain(run, make())
    assert explanation.named == ("extractor",)
    assert explanation.causes[0].standing == "differs"
    assert any("cannot be read again" in note for note in explanation.notes)
    moved = explain(run, make(), data=_data(make()))
    assert moved.causes[0].standing == "computed"


def test_bad_input_is_one_sentence_each(make: Make, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    cases: list[tuple[Any, str]] = [
        ("ssl4rl_mmbnch", "did you mean ssl4rl_mmbench"),
        ("ssl4rl_mmbench:rotatoin", "did you mean rotation"),
        ("ssl4rl_mmbench:x", "no published row x"),
        ("runs/none", "is neither a run nor a published table"),
        ("173", "not a percentage"),
        ("none.json", "cannot read the published table"),
    ]
    for against, message in cases:
        with pytest.raises(UsageError, match=message) as raised:
            explain(make(), against)
        assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match=r"--against ssl4rl_mmbench:base \(base, rotation"):
        explain(
            planted.make(place / "other", planted.data_file(place), BASE, model="another"), "ssl4rl_mmbench"
        )
    with pytest.raises(StoreError, match="there is no run"):
        explain("none", make())
    with pytest.raises(UsageError, match="did you mean row_micro"):
        explain(make(), make(), against_aggregation="row_mcro")
    with pytest.raises(UsageError, match="has no task"):
        explain(make(), make(), task="scenes")
    with pytest.raises(UsageError, match="has no replies"):
        explain(make(BASE.but(unanswered=1.0)), make())


def test_the_shipped_table_states_what_is_known_of_its_settings() -> None:
    table = load_published("ssl4rl_mmbench")
    assert table.settings["min_pixels"] == 35840
    assert table.settings_source


def test_an_interrupted_copy_of_a_group_does_not_count(make: Make) -> None:
    """The number of a partial run is over complete questions only, as `score` prints it."""
    run = make(BASE.but(unanswered=0.3))
    explanation = explain(run, make())
    outcomes = load_evaluated([make()])[0].task(TASK)
    assert explanation.gap.run.n is not None
    assert explanation.gap.run.n < len(outcomes.groups)
    assert explanation.gap.against.value == overall(outcomes, "circular_micro")["value"]


@pytest.mark.slow
@pytest.mark.parametrize("world", range(4))
def test_other_simulated_models_give_the_same_causes(world: int, make: Make) -> None:
    """Where the numbers happen to be equal, nothing is named."""
    base = make(BASE.but(world=str(world)))
    for kind, (plan, how) in SINGLE.items():
        explanation = explain(make(plan.but(world=str(world))), base, **how)
        assert explanation.named == ((kind,) if explanation.gap.value else ())
    for kinds, (plan, how) in PAIRS.items():
        explanation = explain(make(plan.but(world=str(world))), base, **how)
        assert set(explanation.named) == set(kinds), explanation.verdict
