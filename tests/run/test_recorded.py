"""Recorded replies belong to a task: SSL tasks of the same images share their sample ids."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ssl4rl_bench.cli import app
from ssl4rl_bench.core.errors import BenchError, DataError, UsageError
from ssl4rl_bench.run.recorded import read_replies

TASKS = ("scenes", "ssl_rotation_90", "ssl_jigsaw_2x2", "ssl_contrastive_strong", "ssl_position")
RUN = CliRunner()


def invoke(*args: object, code: int = 0) -> str:
    done = RUN.invoke(app, [str(arg) for arg in args], env={"COLUMNS": "150"})
    if isinstance(done.exception, BenchError):
        assert done.exception.exit_code == code, done.exception
        return str(done.exception)
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def asked(out: Path, tasks: str = ",".join(TASKS)) -> tuple[object, ...]:
    return ("run", "--tasks", tasks, "--limit", 12, "--out", out)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recorded") / "run"
    invoke(*asked(place), "--engine", "mock", "--mock", "random")
    return place


def numbers(run: Path) -> dict[str, Any]:
    tasks: dict[str, Any] = json.loads((run / "result.json").read_bytes())["tasks"]
    engine = json.loads((run / "spec.json").read_bytes())["engine"]["name"]
    for task in tasks.values():
        margin = task["probe"].pop("margin") if "probe" in task else {"value": None, "reason": engine}
        assert margin["value"] is None and engine in margin["reason"]
    return tasks


def merged(run: Path, with_task: bool) -> str:
    """All replies of a run in one file."""
    out = []
    for path in sorted((run / "journal").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            value = json.loads(line)
            known = {key: value[key] for key in ("id", "text", "n_prompt_tokens", "n_completion_tokens")}
            out.append(json.dumps(known | ({"task": path.stem.removeprefix("ssl4rl_")} if with_task else {})))
    return "\n".join(out)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["run", "journal", "folder", "file"])
def test_a_run_over_several_tasks_is_replayed_as_it_was(recorded: Path, tmp_path: Path, form: str) -> None:
    places = {"run": recorded, "journal": recorded / "journal", "folder": tmp_path / "replies"}
    if form == "folder":
        places[form].mkdir()
        for path in (recorded / "journal").glob("*.jsonl"):
            shutil.copy(path, places[form] / path.name.removeprefix("ssl4rl_"))
    if form == "file":
        places[form] = tmp_path / "all.jsonl"
        places[form].write_text(merged(recorded, with_task=True))
    invoke(*asked(tmp_path / "out"), "--engine", "replay", "--replies", places[form])
    assert numbers(tmp_path / "out") == numbers(recorded)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_one_journal_of_a_run_is_replayed(recorded: Path, tmp_path: Path, task: str) -> None:
    journal = recorded / "journal" / f"ssl4rl_{task}.jsonl"
    invoke(*asked(tmp_path / "out", task), "--engine", "replay", "--replies", journal)
    assert numbers(tmp_path / "out")[f"ssl4rl_{task}"] == numbers(recorded)[f"ssl4rl_{task}"]
    other = next(name for name in TASKS if name != task)
    said = invoke(*asked(tmp_path / "no", other), "--engine", "replay", "--replies", journal, code=2)
    assert f"are of ssl4rl_{task}, and the run's tasks are ssl4rl_{other}" in said


@pytest.mark.slow
def test_a_file_without_tasks_is_refused_where_tasks_share_ids(recorded: Path, tmp_path: Path) -> None:
    text, place = merged(recorded, with_task=False), tmp_path / "all.jsonl"
    place.write_text(text)
    said = invoke(*asked(tmp_path / "out"), "--engine", "replay", "--replies", place, code=2)
    assert f"{place}, line " in said and ('its "task"' in said or 'add "task"' in said)
    assert "\n" not in said
    jigsaw = (recorded / "journal" / "ssl4rl_ssl_jigsaw_2x2.jsonl").read_text()
    place.write_text(jigsaw)
    two = asked(tmp_path / "out", "ssl_jigsaw_2x2,ssl_position")
    said = invoke(*two, "--engine", "replay", "--replies", place, code=2)
    assert "names no task" in said and 'add "task" to each line' in said and re.search(r"line \d+: id", said)
    invoke(*asked(tmp_path / "one", "ssl_jigsaw_2x2"), "--engine", "replay", "--replies", place)
    name = "ssl4rl_ssl_jigsaw_2x2"
    assert numbers(tmp_path / "one")[name] == numbers(recorded)[name]


@pytest.mark.slow
def test_a_torn_or_damaged_journal_is_read_as_its_run_reads_it(recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / "run")
    journal = tmp_path / "run" / "journal" / "ssl4rl_scenes.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0].replace(b"<answer>", b"<answers"), *lines[1:], lines[2][:40]]))
    assert len(read_replies(journal).replies) == len(lines) - 1
    loose = tmp_path / "loose.jsonl"
    loose.write_bytes(lines[0].replace(b"<answer>", b"<answers"))
    with pytest.raises(DataError, match=r"loose\.jsonl, line 1: its checksum differs"):
        read_replies(loose)


texts = st.sampled_from(["a", "b"])
keys = st.tuples(
    st.sampled_from(["x", "ssl4rl_x", "y", None]), st.sampled_from(["1", 1, "2"]), st.integers(0, 1)
)


@settings(deadline=None, max_examples=examples(200))
@given(found=st.lists(st.tuples(keys, texts, st.booleans()), min_size=1, max_size=8))
def test_a_second_text_for_one_key_is_named(tmp_path_factory: pytest.TempPathFactory, found: Any) -> None:
    place = tmp_path_factory.getbasetemp() / "replies.jsonl"
    lines, first, clash = [], {}, None
    for number, ((task, id, repeat), text, failed) in enumerate(found, start=1):
        line: dict[str, Any] = {"id": id, "repeat": repeat, "text": text}
        line |= {} if task is None else {"task": task}
        line |= {"error": "down"} if failed else {}
        lines.append(json.dumps(line))
        key = (task and f"ssl4rl_{task.removeprefix('ssl4rl_')}", str(id), repeat)
        if failed:
            continue
        if key in first and first[key][1] != text and clash is None:
            clash = (first[key][0], number)
        first.setdefault(key, (number, text))
    place.write_text("\n".join(lines))
    if clash is None:
        kept = read_replies(place)
        assert all(kept.replies[key].completion.text == text for key, (_, text) in first.items())
    else:
        with pytest.raises(
            DataError, match=rf"replies\.jsonl, line {clash[1]}: .*another reply at line {clash[0]};"
        ):
            read_replies(place)


def test_a_line_with_a_task_and_one_without_must_agree(tmp_path: Path) -> None:
    place = tmp_path / "replies.jsonl"
    place.write_text('{"id": 1, "text": "a", "task": "x"}\n{"id": 1, "text": "b"}')
    with pytest.raises(DataError, match="line 2: sample 1, repeat 0 has another reply at line 1"):
        read_replies(place).check({"ssl4rl_x": frozenset({"1"})}, {})
    with pytest.raises(UsageError, match=r"have none of the ids|are of ssl4rl_x"):
        read_replies(place).check({"ssl4rl_z": frozenset({"7"})}, {})


def test_a_folder_without_replies_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains no replies"):
        read_replies(tmp_path)
    said = invoke(
        *asked(tmp_path / "out", "scenes"), "--engine", "replay", "--replies", tmp_path / "no", code=2
    )
    assert "do not exist" in said


def loose(run: Path, place: Path) -> Path:
    """A run's replies to scenes as another program would have written them."""
    lines = (run / "journal" / "ssl4rl_scenes.jsonl").read_text().splitlines()
    known = [{key: json.loads(line)[key] for key in ("id", "text")} for line in lines]
    place.write_text("".join(json.dumps(reply) + "\n" for reply in known))
    return place


def replay(replies: Path, out: Path, *more: object, code: int = 0) -> str:
    return invoke(*asked(out, "scenes"), "--engine", "replay", "--replies", replies, *more, code=code)


@pytest.mark.slow
def test_replays_under_one_name_are_of_one_model(recorded: Path, tmp_path: Path) -> None:
    mock = ("--engine", "mock", "--mock")
    behaviours = {"one": ("gold", "constant:A"), "two": ("random", "constant:B")}
    for model, (seeing, blind) in behaviours.items():
        for image, behaviour in (("real", seeing), ("blank", blind)):
            source = tmp_path / f"{model}-{image}-source"
            invoke(*asked(source, "scenes"), *mock, behaviour, "--image", image)
            replies = loose(source, tmp_path / f"{model}-{image}.jsonl")
            replay(replies, tmp_path / f"{model}-{image}", "--model", model, "--image", image)
    runs = [tmp_path / f"{model}-{image}" for model in behaviours for image in ("real", "blank")]
    specs = [json.loads((run / "spec.json").read_text()) for run in runs]
    assert len({spec["engine"]["version"] for spec in specs}) == 4, "other replies are another experiment"
    view = ("--view", "bias", "--allow", "partial")
    text = " ".join(invoke("report", *runs, *view).split())
    assert "With grey images in their place one (replay) scores" in text
    assert "two (replay)" in text and "is left out" not in text
    said = invoke("report", runs[0], runs[3], *view, code=2)
    assert "needs a run of one (replay) on scenes without its images" in said
    assert "run --model one --tasks scenes --image blank --engine replay --replies FILE" in said
    said = replay(tmp_path / "one-blank.jsonl", runs[0], "--model", "one", code=2)
    assert "engine.version" in said, "other replies do not go on in this directory"


def test_without_a_name_each_set_of_replies_is_a_model_of_its_own(recorded: Path, tmp_path: Path) -> None:
    replies = loose(recorded, tmp_path / "a.jsonl")
    other = tmp_path / "b.jsonl"
    other.write_text(replies.read_text().replace("<answer>A", "<answer>B"))
    prints = []
    for number, (place, more) in enumerate(
        [(replies, ()), (other, ()), (replies, ("--model", "m")), (other, ("--model", "m"))]
    ):
        replay(place, tmp_path / f"run-{number}", *more)
        spec = json.loads((tmp_path / f"run-{number}" / "spec.json").read_text())
        prints.append(spec["model"]["fingerprint"])
    assert len(set(prints)) == 3 and prints[2] == prints[3]


@pytest.mark.parametrize(("was", "now"), [("blank", "real"), ("real", "blank"), ("none", "blank")])
@pytest.mark.slow
def test_a_run_is_replayed_with_the_images_that_it_showed(tmp_path: Path, was: str, now: str) -> None:
    source = tmp_path / "source"
    invoke(*asked(source, "scenes"), "--engine", "mock", "--image", was)
    for place in (source, source / "journal", source / "journal" / "ssl4rl_scenes.jsonl"):
        said = replay(place, tmp_path / "out", "--image", now, code=2)
        assert f"were recorded with --image {was}" in said and "\n" not in said
        assert not (tmp_path / "out" / "result.json").exists()
    replay(source, tmp_path / "out", "--image", was)
