"""Validation files: each row as `run` asks it, and rewards that are the scores of `run`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from benchmark_rows import BENCHMARKS, choice, write_table
from commands import bench
from hypothesis import given
from hypothesis import strategies as st

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.types import Completion, ImagePart, Task
from ssl4rl_bench.datasets.validation import build_validation, refuse_validation
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.scoring import replies
from ssl4rl_bench.task.answer_key import AnswerKey
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.train.recipe import ReplayPart
from ssl4rl_bench.train.replay.questions import load_pool
from ssl4rl_bench.train.rewards import compute_score, make_reward
from ssl4rl_bench.train.validation import ValidationReward, aggregate_replies, main, read_keys

AWKWARD = (
    "The answer is {right}.",
    "<answer>{right}</answer>",
    "<think>It may be {right}</think>",
    "",
    "I cannot see it.<|im_end|>\n",
    "{right}<|im_end|>",
    "<answer>{right}",
    "<think>no</think> So it is {right}",
)
"""Replies in many forms, by row; truncated after every third."""


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / "val.parquet").to_pylist())


@pytest.fixture(scope="module")
def mmbench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few questions with copies, its replies awkward and some truncated, and both files."""
    place = tmp_path_factory.mktemp("validation")
    task = load_task("scenes", limit=12)
    lines = []
    for number, sample in enumerate(task.samples):
        right = sample.target if number % 5 else "A"
        reason = "length" if number % 3 == 0 else "stop"
        text = AWKWARD[number % len(AWKWARD)].format(right=right)
        lines.append(json.dumps({"id": sample.id, "text": text, "finish_reason": reason}))
    (place / "replies.jsonl").write_text("\n".join(lines))
    sb.evaluate(
        (),
        "scenes",
        limit=12,
        engine="replay",
        options={"replies": place / "replies.jsonl"},
        out=place / "run",
    )
    for format in ("verl", "trl"):
        build_validation(task, place / format, format=format)
    return place


def recorded(place: Path, task: Task) -> dict[str, Completion]:
    run = RunDir.open(place / "run")
    return {sample.id: record.completion for sample, record, _ in replies(run, task)}


def overall(place: Path, aggregation: str) -> Mapping[str, Any]:
    result = json.loads((place / "run" / "result.json").read_text())
    cell: Mapping[str, Any] = result["tasks"]["ssl4rl_scenes"]["aggregates"][aggregation]["overall"]
    return cell


def test_the_mean_reward_is_the_row_accuracy_of_the_run(mmbench: Path) -> None:
    run = recorded(mmbench, load_task("scenes", limit=12))
    rewards = []
    for row in rows_of(mmbench / "verl"):
        completion = run[row["extra_info"]["id"]]
        extra = row["extra_info"] | {"finish_reason": completion.finish_reason}
        truth = row["reward_model"]["ground_truth"]
        rewards.append(compute_score(row["data_source"], completion.text, truth, extra, scheme="released"))
    cell = overall(mmbench, "row_micro")
    assert sum(rewards) / len(rewards) == cell["value"]
    assert 0.2 < cell["value"] < 0.8 and cell["n"] == len(rewards) and cell["n_unread"] > 5

    rows = rows_of(mmbench / "trl")
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["finish_reason"] = [run[row["id"]].finish_reason for row in rows]
    chats = [[{"role": "assistant", "content": run[row["id"]].text}] for row in rows]
    assert ValidationReward()(chats, **columns) == rewards
    ended = [[7] if reason == "stop" else [8] for reason in columns.pop("finish_reason")]
    assert ValidationReward(end_ids=(7,))(chats, completion_ids=ended, **columns) == rewards


def test_a_truncated_reply_is_read_as_a_complete_one_if_the_trainer_does_not_say(mmbench: Path) -> None:
    key = read_keys(mmbench / "verl" / "val.parquet")[0]
    text = f"The answer is {key.target}"
    assert key.score(Completion(text, "length")).value == 0.0
    assert compute_score(key.task, text, key.target, {"answer_key": key.to_json()}) == 1.0


def test_all_aggregations_follow_from_the_replies(
    mmbench: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = recorded(mmbench, load_task("scenes", limit=12))
    keys = read_keys(mmbench / "trl" / "val.parquet")
    assert read_keys(mmbench / "verl" / "val.parquet") == keys
    result = json.loads((mmbench / "run" / "result.json").read_text())
    assert aggregate_replies(keys, run) == result["tasks"]["ssl4rl_scenes"]["aggregates"]
    incomplete = {id: reply for id, reply in run.items() if id != keys[0].id}
    assert aggregate_replies(keys, incomplete)["row_micro"]["overall"]["n_groups"] == 11
    with pytest.raises(DataError, match="row nine, which the validation file does not have"):
        aggregate_replies(keys, {"nine": "A"})

    dump = tmp_path / "0.jsonl"
    dump.write_text("".join(json.dumps({"id": key.id, "output": key.target}) + "\n" for key in keys))
    main([str(mmbench / "verl" / "val.parquet"), str(dump)])
    shown = capsys.readouterr().out
    assert f"scenes: {len(keys)} of {len(keys)} rows have a reply" in shown
    assert "circular_micro: 100.00%" in shown and "n 12, 0 unread" in shown
    dump.write_text('{"output": "A", "score": 1.0}\n')
    with pytest.raises(SystemExit, match="line 1 has no id and output"):
        main([str(mmbench / "verl" / "val.parquet"), str(dump)])


@pytest.mark.parametrize("format", ["verl", "trl"])
@pytest.mark.parametrize("name", ["scenes", "mmmu_val", "blink", "mathvista_mini", "realworldqa"])
def test_each_row_asks_what_a_run_asks(name: str, format: str, tmp_path: Path) -> None:
    data = None
    if name != "scenes":
        data = str(write_table(tmp_path / "data.tsv", BENCHMARKS[name].rows()))
    task = load_task(name, data=data, limit=4, prompt="cot")
    build_validation(task, tmp_path / "out", format=format)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len(task.samples)
    for sample, row in zip(task.samples, rows, strict=True):
        (message,) = sample.messages
        asked = joined(["<image>" if isinstance(part, ImagePart) else part.text for part in message.content])
        (written,) = row["prompt"]
        assert written["role"] == "user"
        assert parts_that_a_trainer_shows(written["content"], len(row["images"])) == asked
        assert [image["bytes"] for image in row["images"]] == [image.data for image in sample.images]
        key = AnswerKey.from_json((row if format == "trl" else row["extra_info"])["answer_key"])
        right, wrong = task.replies(sample)
        for text in (*right, *wrong, "no idea", ""):
            for reason in ("stop", "length"):
                completion = Completion(text, reason)
                assert key.score(completion) == task.score(sample, completion)


def joined(parts: list[str]) -> list[str]:
    """Joins adjacent texts, as chat templates do."""
    out: list[str] = []
    for part in parts:
        if out and "<image>" not in (part, out[-1]):
            out[-1] += part
        elif part:
            out.append(part)
    return out


def parts_that_a_trainer_shows(content: Any, n_images: int) -> list[str]:
    """Returns the parts of a message as verl splits it and as TRL fills it."""
    if isinstance(content, list):
        return joined(["<image>" if part["type"] == "image" else part["text"] for part in content])
    if "<image>" in content:
        return joined(re.split("(<image>)", content))
    return joined(["<image>"] * n_images + [content])


def test_a_text_that_verl_would_take_for_an_image_is_refused(tmp_path: Path) -> None:
    rows = [choice(n, question="What is <video> in HTML?", category="a", l2_category="b") for n in range(2)]
    task = load_task("mmstar", data=str(write_table(tmp_path / "data.tsv", rows)))
    with pytest.raises(DataError, match="sample 0 of ssl4rl_mmstar has <video> in its text"):
        build_validation(task, tmp_path / "out", format="verl")
    assert not (tmp_path / "out").exists()
    build_validation(task, tmp_path / "out", format="trl")


def test_a_row_with_the_key_of_another_is_refused(mmbench: Path) -> None:
    row = rows_of(mmbench / "verl")[0]
    with pytest.raises(DataError, match="a row of ssl4rl_mmstar has the answer key of ssl4rl_scenes"):
        compute_score("ssl4rl_mmstar", "A", row["reward_model"]["ground_truth"], row["extra_info"])


def test_details_have_the_row_and_whether_it_was_read(mmbench: Path) -> None:
    row = rows_of(mmbench / "verl")[0]
    truth, extra = row["reward_model"]["ground_truth"], row["extra_info"]
    assert compute_score("ssl4rl_scenes", "no idea", truth, extra, details=True) == {
        "score": 0.0,
        "id": extra["id"],
        "unread": 1.0,
    }


def test_rows_of_other_files_have_no_value() -> None:
    assert (
        ValidationReward()(["A", "B"], task=["ssl4rl_ssl_rotation_90"] * 2, target=["0", "90"]) == [None] * 2
    )
    training = make_reward(["ssl_rotation_90"])
    assert training(["A"], task=["ssl4rl_scenes"], target=["A"]) == [None]
    assert compute_score("ssl4rl_ssl_rotation_90", "<answer>90</answer>", "90", {"id": "x"}) == 1.0


def test_training_refuses_a_validation_file(mmbench: Path) -> None:
    for images in (mmbench / "trl", mmbench / "trl" / "val.parquet"):
        with pytest.raises(UsageError, match="is the benchmark scenes as a validation file"):
            refuse_validation(str(images))
        done = bench("train", "tiny_rotation", "--set", f"data.images={images}", "--dry-run")
        assert done.code == 2 and "as a validation file" in done.text, done.text
        with pytest.raises(UsageError, match="as a validation file"):
            load_pool(ReplayPart(share=0.1, questions=f"mmbench_dev_en={images}"), transductive=True)
    refuse_validation("scenes:train:400")


def test_the_command_says_what_the_mean_is(tmp_path: Path) -> None:
    done = bench("build", "scenes", "--format", "verl", "--limit", "2", "--out", tmp_path / "out")
    assert done.code == 0 and "the mean reward over the rows is the benchmark's row_micro" in done.text
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["purpose"], manifest["mean_of_rows"], manifest["reader"]) == (
        "validation",
        "row_micro",
        2,
    )
    assert "circular_micro" in (tmp_path / "out" / "reward.py").read_text()
    again = bench("build", "scenes", "--format", "verl", "--limit", "2", "--out", tmp_path / "out")
    assert again.code == 2 and "--force" in again.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scenes",), "give --format verl or --format trl"),
        (("scenes", "--format", "trl", "--split", "0.5"), "--split does not apply to a benchmark"),
        (("scenes", "--format", "trl", "--extractor", "strct"), "did you mean strict?"),
        (("ssl_rotation_90", "--extractor", "strict"), "--extractor does not apply to an SSL task"),
        (("mmstar", "--format", "verl"), "mmstar"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = bench("build", *arguments, "--limit", "2", "--out", tmp_path / "out")
    assert done.code == 2 and message in done.text and done.text.count("\n") == 1, done.text
    assert not (tmp_path / "out").exists()


texts = st.text(max_size=20)


@given(
    st.builds(
        AnswerKey,
        *[texts] * 3,
        st.integers(0, 9),
        *[texts] * 4,
        target=texts,
        choices=st.dictionaries(texts, texts, max_size=4),
        decimals=st.none() | st.integers(0, 5),
        tolerance=st.none() | st.floats(0, 1),
    )
)
def test_a_key_survives_its_text(key: AnswerKey) -> None:
    read = AnswerKey.from_json(key.to_json())
    assert read == key and list(read.choices) == list(key.choices)


@given(texts | st.recursive(st.none() | st.integers() | texts, st.lists).map(json.dumps))
def test_other_texts_are_no_keys(text: str) -> None:
    with pytest.raises(DataError, match="build the validation file again"):
        AnswerKey.from_json(text)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["verl", "trl"])
def test_datasets_reads_the_folder(mmbench: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (name, table), *others = datasets.load_dataset(str(mmbench / format)).items()
    assert (name, others) == ("val", [])
    assert table[0]["images"][0].size[0] > 28
    assert len(table) == len(rows_of(mmbench / format))


@pytest.mark.engine
@pytest.mark.parametrize("name", ["scenes", "mmmu_val"])
def test_trl_shows_what_a_run_shows(name: str, tmp_path: Path) -> None:
    data_utils = pytest.importorskip("trl.data_utils")
    data = None
    if name != "scenes":
        data = str(write_table(tmp_path / "data.tsv", BENCHMARKS[name].rows()))
    task = load_task(name, data=data, limit=4)
    build_validation(task, tmp_path / "out", format="trl")
    for sample, row in zip(task.samples, rows_of(tmp_path / "out"), strict=True):
        images = [image["bytes"] for image in row["images"]]
        (message,) = data_utils.prepare_multimodal_messages(row["prompt"], images=images)
        shown = [part["image"] if part["type"] == "image" else part["text"] for part in message["content"]]
        asked = [
            part.image.data if isinstance(part, ImagePart) else part.text
            for part in sample.messages[0].content
        ]
        assert [part for part in shown if part] == [part for part in asked if part]
