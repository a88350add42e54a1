"""Replay: which questions are asked is determined by the seed, and none of an evaluation set is."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmbench_data import question, write_tsv
from pictures import encoded, write_folder
from rich.console import Console

from ssl4rl_bench.cli.train_plan import print_training_plan
from ssl4rl_bench.core.errors import DataError, StoreError, UsageError
from ssl4rl_bench.core.types import Completion, Request, Sampling
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.task import scenes
from ssl4rl_bench.train.planning.plan import plan_training
from ssl4rl_bench.train.planning.sizes import sizes
from ssl4rl_bench.train.recipe import Recipe, find_recipe, read_recipe
from ssl4rl_bench.train.replay.prepare import plan_replay, prepared_pool, require_same_replay
from ssl4rl_bench.train.replay.prompts import ReplayReward, ReplayRows
from ssl4rl_bench.train.replay.questions import DESCRIBE, ReplayPool, load_pool
from ssl4rl_bench.train.replay.replies import ReplyFile, digest
from ssl4rl_bench.train.replay.schedule import ReplaySchedule, slice_of
from ssl4rl_bench.train.replay.settings import ReplayPart
from ssl4rl_bench.train.reporting import Reporter


def replaying(**changes: Any) -> Recipe:
    values: dict[str, Any] = {"replay.questions": "scenes:train:1", "replay.share": 0.25}
    return read_recipe(
        find_recipe("tiny_rotation"), values | {key.replace("__", "."): v for key, v in changes.items()}
    )


def pool_of(questions: str, transductive: bool = False, **keys: Any) -> ReplayPool:
    return load_pool(ReplayPart(questions, 0.5, **keys), transductive=transductive)


@pytest.fixture(scope="module")
def pool() -> ReplayPool:
    return pool_of("scenes:train:1")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"replay__share": 0}, "replay.share must be above 0"),
        ({"replay__share": 0.01}, r"replay.share = 0.01 of 32 prompts is less than one question"),
        ({"replay__weight": -1.0}, "replay.weight must not be negative"),
        ({"replay__limit": 0}, "replay.limit must be 1 or more"),
        ({"replay__max_reply_tokens": 0}, "replay.max_reply_tokens must be 1 or more"),
        ({"replay__kind": "labels"}, "replay.kind = 'labels' is not one of self, reward"),
        ({"replay__kind": "reward", "replay__share": 1.0}, r"leaves no prompts for \[tasks\]"),
        ({"replay__kind": "reward", "replay__weight": 0.0}, 'must be above 0 for kind = "reward"'),
        ({"replay__kind": "reward", "grpo__dynamic": True}, "does not work with grpo.dynamic"),
        ({"grpo__updates": 16, "grpo__micro_batch": 16}, "8 questions a step, fewer than its 16 updates"),
    ],
)
def test_a_value_out_of_range_is_one_sentence(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        replaying(**changes)
    assert "\n" not in str(caught.value)


def test_recipes_without_replay_keep_their_hash() -> None:
    assert "replay" not in read_recipe(find_recipe("tiny_rotation")).values()


def test_the_questions_of_a_step_depend_on_seed_and_step_only(pool: ReplayPool) -> None:
    one, again = ReplaySchedule(1, pool.groups, 4), ReplaySchedule(1, pool.groups, 4)
    later = [one.of_step(step) for step in (5, 2, 0)]
    assert later == [again.of_step(step) for step in (5, 2, 0)]
    assert later != [ReplaySchedule(2, pool.groups, 4).of_step(step) for step in (5, 2, 0)]


def test_each_question_comes_once_before_any_comes_again(pool: ReplayPool) -> None:
    n = len(pool.groups)
    schedule = ReplaySchedule(1, pool.groups, n)
    for step in range(3):
        assert Counter(sample.group for sample in schedule.of_step(step)) == Counter(
            group[0].group for group in pool.groups
        )
    copies = {sample.id for step in range(12) for sample in schedule.of_step(step)}
    assert len(copies) > n  # other circular copies in later epochs
    assert [sample.id for sample in schedule.first(12)][:n] == [sample.id for sample in schedule.of_step(0)]


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("micro_batches", [1, 2, 5])
def test_any_division_of_an_update_asks_the_same_questions(processes: int, micro_batches: int) -> None:
    items = list(range(7))
    parts = [
        item
        for rank in range(processes)
        for m in range(micro_batches)
        for item in slice_of(items, m, micro_batches)[rank::processes]
    ]
    assert sorted(parts) == items


@pytest.mark.parametrize("share", [1 / 32, 0.25, 0.4, 31 / 32])
def test_rewarded_questions_are_spread_over_a_step_and_take_no_row_of_the_tasks(
    pool: ReplayPool, share: float
) -> None:
    step = sizes(replaying(replay__kind="reward", replay__share=share), 1)
    rows = ReplayRows(None, ReplaySchedule(1, pool.groups, step.replayed), step)  # type: ignore[arg-type]
    for start in (0, 64):
        asked = [rows.question(start + index) for index in range(32)]
        assert sum(q is not None for q in asked) == step.replayed == round(32 * share)
        assert [q for q in asked if q is not None] == rows.schedule.of_step(start // 32)
        halves = [sum(q is not None for q in half) for half in (asked[:16], asked[16:])]
        assert abs(halves[0] - halves[1]) <= 1
    others = [rows.other(row) for row in range(96) if rows.question(row) is None]
    assert others == list(range(len(others)))


def test_rows_of_both_kinds_have_the_same_columns(pool: ReplayPool) -> None:
    class Rows:
        seconds = 1.5

        def __call__(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
            n = batch["row"]
            return {"prompt": n, "images": n, "target": n, "task": ["ssl_x"] * len(n), "row": n}

    step = sizes(replaying(replay__kind="reward", replay__share=0.5), 1)
    rows = ReplayRows(Rows(), ReplaySchedule(1, pool.groups, 16), step)  # type: ignore[arg-type]
    columns = rows({"row": [0, 1, 1, 2]})
    assert columns["task"] == ["ssl_x", "replay", "replay", "ssl_x"]
    assert columns["row"] == [0, 1, 1, 2] and columns["target"][::3] == [0, 1]
    assert columns["prompt"][1][0]["role"] == "user"
    assert len(columns["images"][1]) == 1
    assert rows({"row": [0]})["task"] == ["ssl_x"] and rows({"row": [1]})["task"] == ["replay"]
    rows.seconds = 0.0
    assert rows.rows.seconds == 0.0


def test_right_answers_are_rewarded_and_other_rows_are_left_to_their_tasks(pool: ReplayPool) -> None:
    assert pool.task is not None
    sample = pool.groups[0][0]
    wrong = next(letter for letter in sample.choices if letter != sample.target)
    reward = ReplayReward(pool.task, {sample.id: sample}, "default", (7,))
    said = [[{"role": "assistant", "content": f"<answer>{a}</answer>"}] for a in (sample.target, wrong, "x")]
    shares: dict[str, float] = {}
    given = reward(
        said,
        log_metric=shares.__setitem__,
        task=["replay", "replay", "ssl_rotation_90"],
        target=[sample.id] * 3,
        completion_ids=[[1, 7]] * 3,
    )
    assert given == [1.0, 0.0, None] and shares == {"replay/answered": 1.0}
    assert reward.__name__ == "replay"


@pytest.mark.parametrize(
    "questions",
    [
        *("scenes", "scenes:dev", "scenes:dev:2", "mmbench_dev_en", "ssl_position", "ssl_position=scenes"),
        "mmbench_dev_en=lmms-lab/MMBench#en/dev",
    ],
)
def test_evaluation_questions_are_refused(questions: str) -> None:
    with pytest.raises(UsageError, match=r"are evaluation questions: replay .* or set data.transductive"):
        pool_of(questions)


def test_evaluation_questions_are_allowed_on_purpose() -> None:
    assert len(pool_of("scenes:dev", transductive=True, limit=3).groups) == 3


def test_questions_of_a_file_and_of_an_ssl_task(tmp_path: Path) -> None:
    rows = [row for group in range(3) for row in question(group, image=encoded(group))]
    pool = pool_of(f"mmbench_dev_en={write_tsv(tmp_path / 'a.tsv', rows)}", prompt="direct")
    assert [len(group) for group in pool.groups] == [4] * 3
    assert "nothing else" in pool.groups[0][0].text()
    images = write_folder(tmp_path / "images", 3)
    pool = pool_of(f"ssl_rotation_90={images}")
    assert len(pool.groups) == 3 and pool.task is not None and pool.task.probe is not None


def test_images_without_questions_are_described_and_cannot_be_rewarded(tmp_path: Path) -> None:
    images = str(write_folder(tmp_path / "images", 3))
    pool = pool_of(images)
    assert [group[0].text("[image]") for group in pool.groups] == [f"[image]\n{DESCRIBE}"] * 3
    assert pool_of(images, prompt="What is it?", limit=1).groups[0][0].text() == "What is it?"
    with pytest.raises(UsageError, match="images without right answers"):
        pool_of(images, kind="reward")
    with pytest.raises(UsageError, match="There are no images gone"):
        pool_of("gone.tsv")


def prepared(recipe: Recipe, tokens: int = 10) -> tuple[ReplayPool, dict[str, Any]]:
    assert recipe.replay is not None
    return prepared_pool(recipe, recipe.replay, lambda sample: tokens, Reporter())


def test_the_audit_covers_the_images_of_the_replay(tmp_path: Path) -> None:
    rows = [row for group in range(3) for row in question(group, image=encoded(group))]
    path = write_tsv(tmp_path / "a.tsv", rows)
    (tmp_path / "evaluated").mkdir()
    (tmp_path / "evaluated" / "1.png").write_bytes(encoded(1))
    audited = str(tmp_path / "evaluated")
    of_file = {"replay__questions": f"mmbench_dev_en={path}", "data__audit": [audited]}
    with pytest.raises(UsageError, match=r"images of the replay are also evaluation images of .*\(1 equal"):
        prepared(replaying(**of_file, data__overlap="refuse"))
    pool, facts = prepared(replaying(**of_file, data__overlap="drop"))
    assert (len(pool.groups), facts["available"], facts["left_out"]) == (2, 2, 1)
    assert facts["overlap"] == [{"set": audited, "images": 1, "exact": 1, "near": 0}]
    pool, facts = prepared(replaying(**of_file, data__transductive=True))
    assert (len(pool.groups), facts["left_out"]) == (3, 0)
    everything = str(write_folder(tmp_path / "all", 3))
    with pytest.raises(DataError, match=r"no question .* \(3 with evaluation images, 0 with prompts"):
        prepared(replaying(**of_file | {"data__audit": [everything]}, data__overlap="drop"))


def test_prompts_that_are_too_long_are_refused_or_left_out() -> None:
    recipe = replaying(data__audit=[])
    with pytest.raises(DataError, match="15 of 15 replay questions have prompts of more than 512 tokens"):
        prepared(recipe, tokens=513)
    with pytest.raises(DataError, match=r"no question .* 15 with prompts"):
        prepared(replaying(data__audit=[], data__over_long="drop"), tokens=513)


def test_what_was_replayed_is_recorded() -> None:
    recipe = replaying(data__audit=[])
    pool, facts = prepared(recipe)
    replay = plan_replay(recipe, pool, facts, sizes(recipe, 1), steps=2)
    assert replay.facts["per_step"] == 8
    assert replay.facts["used"] == len({sample.group for sample in replay.used}) == 15
    assert replay.facts["used_ids"] == [sample.id for sample in replay.used]
    longer = plan_replay(recipe, pool, facts, sizes(recipe, 1), steps=9)
    assert longer.facts["manifest_sha256"] == replay.facts["manifest_sha256"]
    assert longer.used[: len(replay.used)] == replay.used
    other = replaying(data__audit=[], seed=2)
    changed = plan_replay(other, pool, facts, sizes(recipe, 1), steps=2)
    assert changed.facts["manifest_sha256"] != replay.facts["manifest_sha256"]


def test_a_run_is_not_resumed_with_other_questions(tmp_path: Path) -> None:
    facts = {"questions": "a.tsv", "available": 3, "manifest_sha256": "a"}
    require_same_replay(tmp_path, facts)  # a checkpoint without a record
    (tmp_path / "ssl4rl.json").write_text(json.dumps({"schema": 1, "data": {"replay": facts}}))
    require_same_replay(tmp_path, facts)
    with pytest.raises(StoreError, match=r"the questions of a.tsv have changed \(3 before, 2 now\)"):
        require_same_replay(tmp_path, facts | {"available": 2, "manifest_sha256": "b"})


class Base:
    """An engine that replies with the id of the question, and counts its requests."""

    name = version = "stub"

    def __init__(self, stop_after: int | None = None, error: str | None = None) -> None:
        self.asked: list[str] = []
        self.stop_after, self.error = stop_after, error
        self.closed = False

    def run(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, Completion]]:
        assert (sampling.temperature, sampling.max_tokens) == (0.0, 9)
        for request in requests:
            if len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(request.sample.id)
            ending = "error" if self.error else "length" if len(self.asked) == 1 else "stop"
            text = "" if self.error else request.sample.id
            yield request, Completion(text, ending, error=self.error)  # type: ignore[arg-type]

    def close(self) -> None:
        self.closed = True


def file_of(path: Path, fingerprint: str = "a" * 64, max_tokens: int = 9) -> ReplyFile:
    return ReplyFile(path / "replay.jsonl", Model("base", path, fingerprint, None), max_tokens, (None, None))


def test_the_base_replies_once_and_what_an_interrupted_run_made_is_kept(
    pool: ReplayPool, tmp_path: Path
) -> None:
    samples = [group[0] for group in pool.groups]
    first, second, third = Base(stop_after=4), Base(), Base()
    progress: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        file_of(tmp_path).complete(samples, lambda: first, lambda *call: progress.append(call))  # type: ignore[arg-type, return-value]
    assert first.closed and progress == [(n, 15) for n in range(1, 5)]
    with (tmp_path / "replay.jsonl").open("a") as file:
        file.write('{"id": "torn", "rep')
    replies = file_of(tmp_path).complete(samples, lambda: second, lambda *call: None)  # type: ignore[arg-type, return-value]
    assert len(second.asked) == 11 and set(first.asked) | set(second.asked) == {s.id for s in samples}
    assert [replies[sample.id].ended for sample in samples].count(False) == 2
    assert file_of(tmp_path).complete(samples, lambda: third, lambda *call: None) == replies  # type: ignore[arg-type, return-value]
    assert not third.asked and file_of(tmp_path).wait(samples) == replies
    assert digest(samples, file_of(tmp_path).read(samples)) == digest(samples, replies)
    header = json.loads((tmp_path / "replay.jsonl").read_text().splitlines()[0])
    assert header["base"]["fingerprint"] == "a" * 64


def test_replies_of_another_base_or_length_do_not_count(pool: ReplayPool, tmp_path: Path) -> None:
    samples = [group[0] for group in pool.groups]
    file_of(tmp_path).complete(samples, Base, lambda *call: None)  # type: ignore[arg-type]
    assert len(file_of(tmp_path).read(samples)) == 15
    assert not file_of(tmp_path, fingerprint="b" * 64).read(samples)
    assert not file_of(tmp_path, max_tokens=10).read(samples)


def test_a_question_that_the_base_cannot_answer_is_named(pool: ReplayPool, tmp_path: Path) -> None:
    samples = [group[0] for group in pool.groups]
    with pytest.raises(
        DataError, match=f"replay question {samples[0].id}: the prompt is too long; leave it out"
    ):
        file_of(tmp_path).complete(samples, lambda: Base(error="the prompt is too long"), lambda *call: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("kind", "said"),
    [("self", "in addition, with the base's replies: at most 5,120 tokens"), ("reward", "among the prompts")],
)
def test_a_dry_run_counts_the_replay(kind: str, said: str) -> None:
    plan = plan_training(replaying(replay__kind=kind))
    out = io.StringIO()
    print_training_plan(Console(file=out, width=140), plan)
    line = next(row for row in out.getvalue().splitlines() if "replay questions per step" in row)
    assert " 8 " in line and said in line
    assert plan.memory is not None
    parts = {part.name: part.bytes for part in plan.memory.parts}
    assert ("replay" in parts) is (kind == "self")
    assert (plan.replay_tokens > 0) is (kind == "self")


@pytest.mark.slow
def test_memory_of_the_replay_falls_with_smaller_micro_batches_and_is_none_if_only_measured() -> None:
    def replayed(**changes: Any) -> int:
        memory = plan_training(replaying(**changes)).memory
        assert memory is not None
        return sum(part.bytes for part in memory.parts if part.name == "replay")

    assert replayed(grpo__micro_batch=64) * 4 == pytest.approx(replayed(), rel=0.01)
    assert replayed(replay__weight=0.0) == 0


def test_rows_of_a_stream_have_as_many_questions_of_a_leaf_as_asked() -> None:
    rows = list(scenes.rows("train", per_leaf=2))
    assert Counter(row["category"] for row in rows if row["index"] < 1_000_000) == dict.fromkeys(
        (leaf.name for leaf in scenes.LEAVES), 2
    )
