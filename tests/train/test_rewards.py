"""Rewards: the scorer's on any reply, and errors that name the thing."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pickle import loads
from statistics import fmean
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from rewarded import CONTRASTIVE, JIGSAW, MEGABYTE, POSITION, ROTATION, TARGETS, TASKS, tag

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.task.registry import load_ssl
from ssl4rl_bench.task.ssl import make_task
from ssl4rl_bench.train.rewards import SCHEMES, SSLReward, compute_score, well_formed

# Random and adversarial replies: pieces of answers, tags and noise.
MARKS = (
    "<think>|</think>|<answer>|</answer>|< answer >|<ANSWER>|</ANSWER>|\\boxed{|}|The answer is |Answer: |**"
)
PIECES = (
    "90|180|-270|90.0|450|°| degrees|clockwise| or |, |. |\n|;|/|-|９０|९०|1|2|3|4|,|2,3,1,4|1,1,1,1|2314|[|]"
)
NAMES = "positive|negative|Positive.|same|top-left|Top Left|upper|left|bottom|right|sorry, I can't |not |\ud800|\0"
FRAGMENTS = [*MARKS.split("|"), *PIECES.split("|"), *NAMES.split("|"), "assistant\n"]


def reply(rng: random.Random, target: str) -> str:
    other = rng.choice(rng.choice(list(TARGETS.values())))
    answer = rng.choice((target, target, other, target.upper(), f"{target}.", target.replace(",", " ")))
    noise = "".join(rng.choices(FRAGMENTS, k=rng.randrange(12)))
    shape = rng.randrange(8)
    if shape == 0:
        return f"<think>{noise}</think> <answer>{answer}</answer>"
    if shape == 1:
        return f"{noise}<answer>{answer}</answer>{''.join(rng.choices(FRAGMENTS, k=rng.randrange(4)))}"
    if shape == 2:
        return f"{noise}\nThe answer is {answer}{rng.choice(['', '.', ', because', ' or '])}{noise}"
    if shape == 3:
        return f"{noise}\n{answer}"
    if shape == 4:
        return "".join(map(chr, rng.choices(range(0x3000), k=rng.randrange(40)))) + answer
    if shape == 5:
        return (noise + answer) * rng.choice((2, 30))
    return noise


@pytest.mark.slow
def test_reward_is_the_scorer_on_random_replies() -> None:
    rng = random.Random(3)
    rows = []
    n = examples(10_000)
    for _ in range(n):
        name = rng.choice(list(TASKS))
        target = rng.choice(TARGETS[name])
        rows.append(
            (reply(rng, target), name, target, rng.choice(("stop", "stop", "stop", "length", "error")))
        )
    texts, names, targets, finishes = (list(column) for column in zip(*rows, strict=True))
    rewards = SSLReward(TASKS)(texts, task=names, target=targets, finish_reason=finishes)
    scores = [TASKS[name].score(Completion(text, finish), target) for text, name, target, finish in rows]
    assert rewards == [score.value for score in scores]
    assert 0.2 * n < sum(value == 1 for value in rewards) < 0.5 * n
    assert sum(value is None for value in rewards) == finishes.count("error")

    some = slice(0, 400)
    columns = {"task": names[some], "target": targets[some], "finish_reason": finishes[some]}
    for scheme in SCHEMES:
        whole = SSLReward(TASKS, scheme, {JIGSAW: 2.0}, format_weight=0.5)
        values = whole(texts[some], **columns)
        assert all(value is None or 0 <= value <= 2.5 for value in values)
        apart = zip(*(one(texts[some], **columns) for one in whole.by_task()), strict=True)
        assert [next((v for v in row if v is not None), None) for row in apart] == values


@settings(max_examples=examples(200), deadline=None)
@given(
    st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join)),
    st.sampled_from(list(TASKS)),
)
def test_any_text_has_a_reward(text: str, name: str) -> None:
    for scheme, extractor in itertools.product(SCHEMES, ("default", "strict")):
        value = SSLReward(TASKS, scheme, extractor=extractor).one(name, text, TARGETS[name][0])
        assert value is not None
        assert 0 <= value <= 1


def test_gold_earns_one_and_wrong_earns_less() -> None:
    for name, task in TASKS.items():
        for target in TARGETS[name]:
            for scheme in SCHEMES:
                reward = SSLReward(TASKS, scheme)
                assert reward.one(name, tag(target), target) == 1
                assert (reward.one(name, tag(task.wrong(target)), target) or 0.0) < 1
            for gold in task.gold(target):
                assert SSLReward(TASKS).one(name, tag(gold), target) == 1


def test_count_pays_for_each_number() -> None:
    """A constant answer earns 1/27 exact, 1/3 per position, and as for Jigsaw less when scaled."""
    task = make_task("count")
    earned = {}
    for scheme in ("exact", "per_position", "scaled"):
        reward = SSLReward({"count": task}, scheme)
        earned[scheme] = fmean(reward.one("count", tag("2,2,2"), target) or 0.0 for target in task.labels)
        assert reward.one("count", tag("3,1,2"), "3,1,2") == 1.0
        assert reward.one("count", tag("3,1"), "3,1,2") == 0.0
    # 1, 2/3, 1/3 and 0 of the numbers are right in 1, 6, 12 and 8 of 27 cases; scaled, 1, 1/2, 0 and 0.
    assert earned == pytest.approx({"exact": 1 / 27, "per_position": 1 / 3, "scaled": 4 / 27})


@pytest.mark.parametrize("kind", ["pair", "patch", "mirror"])
def test_schemes_are_alike_for_tasks_with_one_label(kind: str) -> None:
    task = make_task(kind)
    for scheme in ("exact", "per_position", "scaled"):
        reward = SSLReward({kind: task}, scheme)
        values = [reward.one(kind, tag(task.labels[0]), target) or 0.0 for target in task.labels]
        assert fmean(values) == pytest.approx(task.chance)


@pytest.mark.parametrize(
    ("k", "said", "per_position", "scaled"),
    [
        (2, "2,1,3,4", 0.5, 1 / 3),
        (2, "2,1,4,3", 0.0, 0.0),
        (2, "1,3,4,2", 0.25, 0.0),
        (2, "1,2,3", 0.0, 0.0),
        (2, "1,2,3,3", 0.0, 0.0),
        (3, "2,1,3,4,5,6,7,8,9", 7 / 9, 0.75),
        (3, "2,3,1,5,4,7,6,9,8", 0.0, 0.0),
    ],
)
def test_jigsaw_shares(k: int, said: str, per_position: float, scaled: float) -> None:
    right = ",".join(str(i + 1) for i in range(k * k))
    for scheme, value in (("exact", 0.0), ("per_position", per_position), ("scaled", scaled)):
        reward = SSLReward({"jigsaw": make_task("jigsaw", {"k": k})}, scheme)
        assert reward([tag(said), tag(right)], target=[right, right]) == pytest.approx([value, 1.0])


def test_released_faults_are_kept() -> None:
    """Each of these is a fault of the released reward, kept so that its runs can be repeated."""
    pays = SSLReward(TASKS, "released").one
    assert pays(ROTATION, "<answer>\n 90 </answer>", "90") == 1
    assert pays(ROTATION, "<Answer>90</Answer>", "90") == 0
    assert pays(ROTATION, "<answer>180</answer> assistant\n <answer>90</answer>", "90") == 1
    assert pays(JIGSAW, tag("1, 2 ,+3,04"), "1,2,3,4") == 1
    assert pays(JIGSAW, tag("1,x,3,4"), "1,2,3,4") == 0.75
    assert pays(JIGSAW, tag("x,1,2,3,4"), "1,2,3,4") == 0
    assert pays(JIGSAW, tag("9" * 10_000), "1,2,3,4") == 0
    assert pays(JIGSAW, tag("1,2,3,4"), "1,2,3,4", "length") == 1
    started = time.process_time()
    pays(ROTATION, "<answer>" * MEGABYTE, "90")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a</think><answer>90</answer>", True),
        ("\n<think>a\nb</think>\n\n<answer> 90 </answer> \n", True),
        ("<think></think> <answer>x</answer>", True),
        ("<think>a</think> <answer> </answer>", False),
        ("<think>a</think> so <answer>90</answer>", False),
        ("<think>a</think> <answer>90</answer>.", False),
        ("Well. <think>a</think> <answer>90</answer>", False),
        ("<think>a <answer>90</answer></think>", False),
        ("<answer>90</answer> <think>a</think>", False),
        ("<think>a</think> <answer>90</answer> <answer>90</answer>", False),
        ("<think>a <answer></think> <answer>90</answer>", False),
        ("</think>a<think> <answer>90</answer>", False),
        ("<think>a</think> </answer>90<answer>", False),
        ("<answer>90</answer>", False),
        ("", False),
    ],
)
def test_format_term(text: str, expected: bool) -> None:
    assert well_formed(text) is expected
    plain = SSLReward(TASKS).one(ROTATION, text, "90") or 0.0
    assert SSLReward(TASKS, format_weight=0.1).one(ROTATION, text, "90") == pytest.approx(
        plain + 0.1 * expected
    )
    assert SSLReward(TASKS, weights={ROTATION: 3.0}).one(ROTATION, text, "90") == pytest.approx(3 * plain)


def test_completions_as_trl_has_them() -> None:
    reward = SSLReward({ROTATION: TASKS[ROTATION]})
    text = "<think>a</think> <answer>90</answer>"
    chats: list[Any] = [
        text,
        [{"role": "assistant", "content": text}],
        [{"content": text}],
        [{"role": "assistant", "content": [{"type": "text", "text": text}]}],
        [{"role": "assistant", "content": "90"}, {"role": "tool", "content": "180"}],
        [{"role": "assistant", "content": None}],
        [],
    ]
    assert reward(chats, target=["90"] * 7, prompts=["?"] * 7, trainer_state=None) == [1, 1, 1, 1, 1, 0, 0]
    assert reward([], target=[]) == []


def test_rows_of_other_tasks_get_none() -> None:
    reward = SSLReward({ROTATION: TASKS[ROTATION]})
    assert reward(["90", "90"], task=[ROTATION, "mmbench"], target=["90", None]) == [1.0, None]


@pytest.mark.parametrize("name", [ROTATION, ROTATION.removeprefix("ssl4rl_")])
@pytest.mark.parametrize("key", [ROTATION, ROTATION.removeprefix("ssl4rl_")])
def test_a_task_s_name_counts_with_and_without_its_prefix(name: str, key: str) -> None:
    reward = SSLReward({key: TASKS[ROTATION]})
    assert reward(["90"], task=[name], target=["90"]) == [1.0]
    assert reward.one(name, "90", "90") == 1.0
    assert compute_score(name, "90", "90") == 1.0


@pytest.mark.parametrize(
    "column",
    [
        ["banana"],
        ["banana", "apple"],
        [["ssl_rotation_90"]],
        [None],
        [3, 4],
        [""],
        ["ssl_rotation_9O"],
        [ROTATION, "ssl_rotation_9O"],
        [ROTATION, "ssl4rl_ssl_rotaton_90"],
        [ROTATION, "rotation_90"],
        [ROTATION, "SSL_ROTATION_90"],
        [ROTATION, "ssl4rl_ssl_rotation_90 "],
        [ROTATION, "mmbench", "ssl-jigsaw-2x2"],
    ],
)
def test_a_column_of_names_that_are_no_tasks_raises(column: list[Any]) -> None:
    n = len(column)
    for reward in (SSLReward(TASKS), *SSLReward(TASKS).by_task()):
        with pytest.raises(DataError, match=r"the column 'task' has .*, which is not a task") as caught:
            reward(["90"] * n, task=column, target=["90"] * n)
        assert "\n" not in str(caught.value) and "ssl4rl_ssl_" in str(caught.value)
    with pytest.raises(DataError, match="did you mean ssl4rl_ssl_rotation_90"):
        SSLReward({ROTATION: TASKS[ROTATION]})(["90"], task=["ssl4rl_ssl_rotation_9O"], target=["90"])


def test_rows_that_another_reward_answers_for_are_none() -> None:
    reward = SSLReward({ROTATION: TASKS[ROTATION]})
    for other in (JIGSAW, "ssl_jigsaw_3x3", "mmbench_dev_en"):  # this project's: a whole batch may be of them
        assert reward(["90"], task=[other], target=[None]) == [None]
    assert reward(["90"] * 3, task=[ROTATION, "math", None], target=["90", 1, None]) == [1.0, None, None]
    told = SSLReward({ROTATION: TASKS[ROTATION]}, other_tasks=("math",))
    assert told(["90"], task=["math"], target=["3"]) == [None]
    assert [one(["90"], task=["math"], target=["3"]) for one in told.by_task()] == [[None]]
    both = SSLReward({"a": TASKS[ROTATION], "ssl4rl_a": TASKS[POSITION]})
    assert both(["90", "top-left"], task=["a", "ssl4rl_a"], target=["90", "top-left"]) == [1.0, 1.0]
    own = SSLReward({"a": TASKS[ROTATION], "b": TASKS[POSITION]}).by_task()
    assert [one(["90"], task=["a"], target=["90"]) for one in own] == [[1.0], [None]]


def test_what_was_cut_off() -> None:
    reward = SSLReward({ROTATION: TASKS[ROTATION]}, end_ids=(7,))
    text = ["The answer is 90"] * 3
    target = ["90"] * 3
    assert reward(text, target=target, completion_ids=[[1, 7], [1, 2], []]) == [1, 0, 0]
    assert reward(text, target=target, truncated=[False, True, False]) == [1, 0, 1]
    assert reward(text, target=target, finish_reason=["stop", "length", "error"]) == [1, 0, None]
    assert reward(text, target=target, finish_reason=[None] * 3, truncated=[True] * 3) == [0, 0, 0]
    assert SSLReward({ROTATION: TASKS[ROTATION]})(text, target=target, completion_ids=[[1]] * 3) == [1, 1, 1]


def test_sub_metrics_are_logged() -> None:
    logged: dict[str, float] = {}
    reward = SSLReward(TASKS, "released")
    reward(
        [tag("2,3,1,4"), tag("3,1,2,4"), "?", "90"],
        task=[JIGSAW, JIGSAW, JIGSAW, ROTATION],
        target=["2,3,1,4", "2,3,1,4", "2,3,1,4", "90"],
        log_metric=logged.__setitem__,
    )
    assert logged["ssl_jigsaw_2x2/answered"] == pytest.approx(2 / 3)
    assert logged["ssl_jigsaw_2x2/exact"] == logged["ssl_jigsaw_2x2/other_exact"] == pytest.approx(1 / 3)
    assert logged["ssl_rotation_90/closeness"] == 1
    reward(["90"], task=[ROTATION], target=["90"], finish_reason=["error"], log_metric=logged.__setitem__)


def test_names_for_the_log() -> None:
    reward = SSLReward(TASKS, weights={JIGSAW: 2.0})
    assert reward.__name__ == "ssl"
    assert [one.__name__ for one in reward.by_task()] == [name.removeprefix("ssl4rl_") for name in TASKS]
    assert [dict(one.weights) for one in reward.by_task()] == [{}, {JIGSAW: 2.0}, {}, {}]


def test_a_reward_survives_pickling() -> None:
    for reward in (SSLReward(TASKS, "scaled", {JIGSAW: 2.0}, 0.5), *SSLReward(TASKS).by_task()):
        copy = loads(bytes(ForkingPickler.dumps(reward)))  # noqa: S301
        assert copy == reward
        assert copy.__name__ == reward.__name__
        name = next(iter(reward.tasks))
        target = TARGETS[name][1]
        assert copy([tag(target)], task=[name], target=[target]) == [1.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SSLReward(TASKS, "exakt"), "no reward scheme 'exakt'.*did you mean exact"),
        (lambda: SSLReward({}), "at least one SSL task"),
        (lambda: SSLReward(TASKS, weights={"ssl4rl_ssl_jigsaw": 1.0}), "did you mean ssl4rl_ssl_jigsaw_2x2"),
        (lambda: SSLReward(TASKS, extractor="strikt"), "did you mean strict"),
        (lambda: SSLReward(TASKS)(["90"], target=["90"]), "no column 'task'"),
        (lambda: SSLReward(TASKS)(["90"], task=[ROTATION]), "no column 'target'"),
        (lambda: SSLReward(TASKS)(["90"], task=[ROTATION], target=["90", "90"]), "do not have 1 rows"),
        (lambda: compute_score("ssl4rl_ssl_rotatoin_90", "90", "90"), "rotation_90"),
        (lambda: compute_score(ROTATION, "90", "90", scheme="x"), "no reward scheme"),
    ],
)
def test_errors_name_the_thing(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wrong()


WRONG_TARGETS: dict[str, list[Any]] = {
    POSITION: ["90", "center", "top left"],
    ROTATION: ["top-left", "45", "-90", "360", "090", "90.0", "nan", "1e2"],
    JIGSAW: ["a,b,c,d", "1,2,3", "1,2,3,3", "0,1,2,3", "1,2,3,4,5", "2, 3, 1, 4"],
    CONTRASTIVE: ["90", "same", "Positive"],
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("name", "target"),
    [(name, t) for name, wrong in WRONG_TARGETS.items() for t in (*wrong, None, 90, 90.0, True, "", ["90"])],
)
def test_a_target_that_the_task_has_not(name: str, target: Any, scheme: str) -> None:
    """Whatever the reply says."""
    reward = SSLReward(TASKS, scheme)
    ways: list[Callable[[str], object]] = [
        lambda text: reward([text], task=[name], target=[target]),
        lambda text: reward([text], task=[name], target=[target], finish_reason=["error"]),
        lambda text: reward.one(name, text, target),
        lambda text: compute_score(name, text, target, scheme=scheme),
    ]
    for text in (tag(TARGETS[name][0]), "?", ""):
        for way in ways:
            with pytest.raises(DataError, match=r"has no answer .*give each row the target"):
                way(text)


@pytest.mark.parametrize("name", TASKS)
def test_every_target_that_a_task_makes_is_one_it_has(name: str) -> None:
    assert all(TASKS[name].has_answer(target) for target in TARGETS[name])


def test_one_of_another_reward_s_task() -> None:
    reward = SSLReward({ROTATION: TASKS[ROTATION]})
    for name in (JIGSAW, "ssl4rl_ssl_rotation_9O", "banana"):
        with pytest.raises(DataError, match=r"is not one of this reward|not a task of this reward"):
            reward.one(name, "90", "90")


def released(text: str, target: str) -> float:
    """What the released reward does with a reply of one answer, written after its description."""
    at = text.rfind("assistant\n")
    text = text[at + len("assistant\n") :] if at >= 0 else text
    if "<answer>" not in text or "</answer>" not in text.split("<answer>", 1)[1]:
        return 0.0
    return float(text.split("<answer>", 1)[1].split("</answer>", 1)[0].strip() == target)


@pytest.mark.parametrize("end", ["", "\n", " \n\n", "<|im_end|>", "<|im_end|>\n", "<|im_end|><|endoftext|>"])
@pytest.mark.parametrize(
    "text", ["{}assistant\n", "{}assistant\n\n", "{}\nassistant", "assistant\n{}", "{} assistant\n {}", "{}"]
)
def test_released_sees_the_last_line_that_ends_in_assistant(text: str, end: str) -> None:
    reply = text.format(*[tag("90")] * 2) + end
    assert compute_score(ROTATION, reply, "90", scheme="released") == released(reply, "90")
    assert SSLReward(TASKS, "released").one(ROTATION, reply, "90") == released(reply, "90")


def test_verl_function() -> None:
    assert (
        compute_score(ROTATION, "<think>a</think> <answer>90</answer><|im_end|>", "90", {"index": 3}) == 1.0
    )
    assert compute_score(data_source=ROTATION, solution_str="x", ground_truth="90", extra_info=None) == 0.0
    text = "<think>a</think> <answer>2,3,4,1</answer><|im_end|>\n"
    assert compute_score(JIGSAW, text, "2,3,1,4", scheme="per_position", format_weight=0.25) == 0.75
    assert compute_score(JIGSAW, text, "2,3,1,4", scheme="released") == 0.5


@pytest.mark.parametrize("name", TASKS)
def test_the_task_files_give_the_same_reward(name: str) -> None:
    assert load_ssl(name)[1] == TASKS[name]
