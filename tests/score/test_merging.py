"""Merged shards are the run that one machine would have made; everything that is not that is refused."""

from __future__ import annotations

import doctest
import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
from commands import bench, invoke
from mmbench_data import picture, questions_by_ability, write_tsv

import ssl4rl_bench as sb
from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import BenchError, SpecMismatch, StoreError, UsageError
from ssl4rl_bench.evaluation import plan
from ssl4rl_bench.run import journal, merge
from ssl4rl_bench.run.journal import BadLine, encode_record, read_journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score import merging, reload
from ssl4rl_bench.task import registry

N_QUESTIONS = 9
TASKS = ["mmbench_dev_en", "ssl_rotation_90", "ssl_contrastive_weak"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of `evaluate` for three tasks: nine questions, of which two share an image, and six pictures."""
    folder = tmp_path_factory.mktemp("data")
    rows = questions_by_ability(N_QUESTIONS)
    for row in rows:
        if row["index"] % 1_000_000 == 3:
            row["image"] = picture(2)
    pictures = folder / "pictures"
    shutil.copytree(Path(__file__).parents[1] / "data" / "golden" / "pictures", pictures)
    for path in sorted(pictures.iterdir())[6:]:
        path.unlink()
    images = dict.fromkeys(TASKS[1:], pictures)
    return {
        "tasks": TASKS,
        "data": {TASKS[0]: write_tsv(folder / "mmbench.tsv", rows), **images},
        "engine": "mock",
        "options": {"mock": "random"},
    }


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """Loads each task once for all shards: making its images takes most of the time."""
    load, tasks = registry.load_task, dict[str, Any]()

    def cached(name: str, on_share: Any = None, **how: Any) -> Any:
        key = repr((name, sorted(how.items(), key=str)))
        if key not in tasks:
            tasks[key] = load(name, **how)
        return tasks[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "load_task", cached)
        patch.setattr(reload, "load_task", cached)
        yield


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shards(asked: dict[str, Any], count: int, model: str = "m") -> list[sb.Run]:
    runs = [sb.evaluate(model, **asked, shard=f"{index}/{count}") for index in range(1, count + 1)]
    return [run for run in runs if isinstance(run, sb.Run)]


def alone(asked: dict[str, Any], model: str = "m") -> sb.Run:
    run = sb.evaluate(model, **asked, out="alone")
    assert isinstance(run, sb.Run)
    return run


def records(run: sb.Run) -> Counter[bytes]:
    """The lines of all journals, which the mock makes equal in all runs."""
    return Counter(
        line for path in (run.path / "journal").iterdir() for line in path.read_bytes().splitlines()
    )


def same(merged: sb.Run, single: sb.Run) -> None:
    for name in ("spec.json", "result.json"):
        assert (merged.path / name).read_bytes() == (single.path / name).read_bytes(), name
    assert records(merged) == records(single)
    assert merged.samples().equals(single.samples())
    images = (
        {path.relative_to(run.path) for path in run.path.rglob("images/*/*")} for run in (merged, single)
    )
    assert next(images) == next(images)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "repeats": {"repeats": 3, "temperature": 0.7, "seed": 5},
    "limit": {"limit": 4},
    "faults": {"options": {"mock": "random", "mock_faults": 0.2}, "max_error_rate": 1.0},
    "shuffled": {"image": "shuffled", "tasks": TASKS[:1], "extractor": "strict"},
    "blank": {"image": "blank", "prompt": "direct", "tasks": TASKS[:2]},
}


@pytest.mark.parametrize(
    ("case", "count"),
    [
        *(("plain", count) for count in (1, 3, 20)),
        *(pytest.param("plain", count, marks=pytest.mark.slow) for count in (2, 7)),
        *((case, 3) for case in CASES if case != "plain"),
        *(pytest.param(case, 7, marks=pytest.mark.slow) for case in CASES if case != "plain"),
        pytest.param("limit", 20, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_merged_shards_are_the_run_of_one_machine(data: dict[str, Any], case: str, count: int) -> None:
    asked = data | CASES[case]
    asked["data"] = {task: data["data"][task] for task in asked["tasks"]}
    runs = shards(asked, count)
    merged = sb.merge(runs[::-1])
    assert merged.path.name == runs[0].path.name.removesuffix(f".shard-1-of-{count}")
    same(merged, alone(asked))
    assert merged.complete and merged.model == "m (mock)"
    assert "shard" not in (merged.path / "result.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("form", ["run", "file"])
def test_shards_of_a_replay_merge_too(data: dict[str, Any], form: str, count: int) -> None:
    """Also of a file that has replies to few questions: some shards have no reply at all."""
    data = data | {"limit": 4}
    recorded = alone(data)
    replies = recorded.path
    if form == "file":
        replies = Path("replies.jsonl")
        lines = (recorded.path / "journal" / f"ssl4rl_{TASKS[0]}.jsonl").read_text().splitlines()[:5]
        rows = ({key: json.loads(line)[key] for key in ("id", "text")} for line in lines)
        replies.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = data | {"engine": "replay", "options": {"replies": replies}, "max_error_rate": 1.0}
    merged = sb.merge(shards(asked, count))
    same(merged, sb.evaluate("m", **asked, out="replayed"))  # type: ignore[arg-type]  # one model, one run


def test_a_question_and_those_with_its_image_are_in_one_shard(data: dict[str, Any]) -> None:
    asked = data | {"tasks": TASKS[:1], "data": {TASKS[0]: data["data"][TASKS[0]]}}
    groups = [{*run.samples().group} for run in shards(asked, 3) if run.tasks]
    assert sorted(group for part in groups for group in part) == sorted(map(str, range(N_QUESTIONS)))
    assert all(len(run.samples()) % 4 == 0 for run in shards(asked, 3))


def test_a_merged_run_remembers_who_made_it(data: dict[str, Any]) -> None:
    runs = shards(data, 2)
    sb.evaluate("m", **data, shard="2/2")
    merged = sb.merge(runs, out="deep/merged")
    sittings = RunDir.open(merged.path).sittings()
    assert [(sitting.get("shard"), sitting["outcome"]) for sitting in sittings] == [
        *(("1/2", "complete"), ("2/2", "complete"), ("2/2", "complete"), (None, "merged 2 shards")),
    ]
    assert all(sitting["machine"]["system"] and sitting["packages"] for sitting in sittings)
    log = (merged.path / "log.txt").read_text()
    assert all(f"shard {number}/2: {run.path}" in log for number, run in enumerate(runs, start=1))
    before = (merged.path / "result.json").read_bytes()
    merged.rescore()
    assert (merged.path / "result.json").read_bytes() == before, "the data is found again"


def test_failed_and_damaged_lines_are_no_obstacle(data: dict[str, Any]) -> None:
    faulty = data | {"options": {"mock": "random", "mock_faults": 0.3}, "max_error_rate": 1.0}
    runs = shards(faulty, 2)
    journal = runs[0].path / "journal" / f"ssl4rl_{TASKS[1]}.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"id":"broken","crc":"00000000"}\n{"torn')
    runs[0] = sb.evaluate("m", **faulty, shard="1/2")  # type: ignore[assignment]
    merged = sb.merge(runs)
    lines = [
        line for task in merged.spec.tasks for line in read_journal(merged.path / "journal" / f"{task}.jsonl")
    ]
    assert not any(isinstance(line, BadLine) for line in lines)
    assert merged.table().equals(alone(faulty).table())


@pytest.fixture(scope="module")
def made(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """runs/ with the three shards of a run by command, and others that do not belong to them."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        words = command(data)
        for index in (1, 2, 3):
            assert bench(*words, "--shard", f"{index}/3", "--out", f"runs/s{index}").code == 0
        assert bench(*words, "--shard=1/4", "--out=runs/of-four").code == 0
        assert (
            bench(*words, "--shard", "1/3", "--seed", "3", "--temperature", "1", "-o", "runs/hot").code == 0
        )
        assert bench(*words, "--out", "runs/all").code == 0
        yield place


def command(data: dict[str, Any]) -> list[str]:
    places = [word for task in TASKS for word in ("--data", f"{task}={data['data'][task]}")]
    return ["run", "--engine", "mock", "--set", "mock=random", "--tasks", ",".join(TASKS), *places]


@pytest.fixture
def copied(made: Path, folder: Path) -> Path:
    shutil.copytree(made / "runs", folder / "runs")
    return folder


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["s1", "s3"], "shard 2/3 is missing: run `ssl4rl-bench run --engine mock"),
        (["s2"], "shards 1/3 and 3/3 are missing: run `"),
        (["s1", "s2", "s3", "s2"], "runs/s2 and runs/s2 are both shard 2/3: name one of them"),
        (["s1", "s2", "all"], "runs/all is a whole run and not a shard: `merge` takes the runs of `run --shard I/N`"),
        (["all"], "runs/all is a whole run"),
        (["s1", "of-four"], "runs/of-four is shard 1/4 and runs/s1 is shard 1/3: merge only shards of one split"),
        (["s2", "s3", "hot"], "runs/hot and runs/s2 are shards of different runs, with another `--seed, --temp"),
        (["s1", "s2", "journal"], "runs/journal is not a run: it has no spec.json"),
        (["s1", "s4"], "there is no run s4"),
    ],
)  # fmt: skip
def test_what_is_not_all_of_one_run_is_one_sentence(copied: Path, given: list[str], sentence: str) -> None:
    (copied / "runs" / "journal").mkdir()
    done = bench("merge", *given, "--out", "merged")
    assert done.code == 2 and sentence in done.err and done.err.count("\n") == 1, done.err
    assert not (copied / "merged").exists()


def test_the_command_of_a_missing_shard_makes_it(copied: Path) -> None:
    shutil.rmtree("runs/s2")
    told = invoke("merge", "runs/s1", "runs/s3", code=2)
    words = shlex.split(told.split("`")[1])
    assert words[-2:] == ["--shard", "2/3"] and not {"--out", "-o", "runs/s1"} & {*words}
    assert bench(*words[1:]).code == 0
    (new,) = Path("runs").glob("*.shard-2-of-3")
    assert bench("merge", "s1", str(new), "s3", "-o", "merged").code == 0
    assert Path("merged/result.json").read_bytes() == Path("runs/all/result.json").read_bytes()


@pytest.mark.parametrize("option", [["--out", "x"], ["--out=x"], ["-o", "x"], ["-ox"]])
@pytest.mark.parametrize("part", [["--shard", "1/9"], ["--shard=1/9"]])
def test_the_options_of_another_shard_are_left_out(
    data: dict[str, Any], option: list[str], part: list[str]
) -> None:
    assert bench(*command(data), *option, *part).code == 0
    told = invoke("merge", "x", code=2)
    assert told.count("--shard") == 8 and " x" not in told and "-ox" not in told and "1/9" not in told


@pytest.mark.slow
def test_many_missing_shards_are_counted(data: dict[str, Any]) -> None:
    run = sb.evaluate("m", **data, shard="1/12")
    with pytest.raises(
        UsageError, match=r'the same call of `evaluate` with shard="2/12".*and so on for 3 more'
    ):
        sb.merge([run])  # type: ignore[list-item]


@pytest.mark.slow
def test_an_unfinished_shard_is_named_with_the_command_that_resumes_it(
    copied: Path, data: dict[str, Any]
) -> None:
    for name in ("s1", "s3"):
        (copied / "runs" / name / "result.json").unlink()
    told = invoke("merge", "s1", "s2", "s3", code=2)
    assert told.startswith("shards 1/3 and 3/3 are not complete: resume with `ssl4rl-bench run ")
    assert "--shard 1/3 --out runs/s1`" in told and "--shard 3/3 --out runs/s3`" in told


@pytest.mark.parametrize("inside", [None, "notes.txt", "file"])
def test_a_place_that_is_taken_is_left_alone(copied: Path, inside: str | None) -> None:
    place = copied / "merged"
    place.write_text("mine") if inside == "file" else place.mkdir()
    if inside == "notes.txt":
        (place / inside).write_text("mine")
    done = bench("merge", "s1", "s2", "s3", "-o", "merged")
    if inside is None:
        assert done.code == 0, "an empty folder is free"
        return
    assert done.code == 2 and "merged exists: choose another directory with --out" in done.err
    assert sorted(path.name for path in copied.iterdir()) == ["merged", "runs"]
    assert (place if inside == "file" else place / inside).read_text() == "mine"


@pytest.mark.slow
def test_the_shards_of_two_extractors_are_not_mixed(copied: Path) -> None:
    invoke("score", "s2", "--extractor", "strict")
    told = invoke("merge", "s1", "s2", "s3", code=2)
    assert "runs/s1 was read by extractor default and runs/s2 by strict" in told
    assert "`ssl4rl-bench score runs/s2 --extractor default`" in told
    for name in ("s1", "s3"):
        invoke("score", name, "--extractor", "strict")
    invoke("merge", "s1", "s2", "s3", "-o", "merged")
    invoke("score", "all", "--extractor", "strict")
    assert Path("merged/result.json").read_bytes() == Path("runs/all/result.json").read_bytes()


def test_data_that_moved_is_given_and_other_data_is_refused(
    copied: Path, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s1", "s2", "s3"):
        path = copied / "runs" / name / "exec.json"
        path.write_text(path.read_text().replace("mmbench.tsv", "gone.tsv"))
    assert "gone.tsv" in invoke("merge", "s1", "s2", "s3", code=2)
    write_tsv(Path("other.tsv"), questions_by_ability(N_QUESTIONS - 1))
    told = invoke("merge", "s1", "s2", "s3", "--data", f"{TASKS[0]}=other.tsv", code=2)
    assert (
        f"task ssl4rl_{TASKS[0]} differs from what run runs/s1 asked: data_sha256, n_samples changed" in told
    )
    assert not list(Path().glob(".*")) and not list(Path("runs").glob(".*"))
    moved = shutil.copy(data["data"][TASKS[0]], "moved.tsv")
    invoke("merge", "s1", "s2", "s3", "--data", f"{TASKS[0]}={moved}", "-o", "merged")
    loading = RunDir.open(Path("merged")).loading()[f"ssl4rl_{TASKS[0]}"]
    assert loading["data"] == moved and invoke("score", "merged")


def rewritten(path: Path, change: Any) -> None:
    lines = [line for line in read_journal(path) if not isinstance(line, BadLine)]
    path.write_bytes(b"".join(map(encode_record, change(lines))))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda mine, others: mine[1:], "no shard has a record of 1 of 36 requests"),
        (lambda mine, others: [*mine, others[0]], "that another shard answers too (sample"),
    ],
    ids=["lost", "twice"],
)
def test_journals_that_were_edited_afterwards_are_refused(copied: Path, changed: Any, words: str) -> None:
    place = f"journal/ssl4rl_{TASKS[0]}.jsonl"
    others = [*read_journal(Path("runs/s1") / place)]
    rewritten(Path("runs/s2") / place, lambda mine: changed(mine, others))
    Path("runs/s2/outcomes.json").unlink()
    assert words in invoke("merge", "s1", "s2", "s3", "-o", "deep/merged", code=2)
    assert sorted(path.name for path in copied.iterdir()) == ["runs"], "nothing is left"


def test_a_result_that_contradicts_its_run_is_refused(copied: Path) -> None:
    path = copied / "runs" / "s3" / "result.json"
    path.write_text(path.read_text().replace('"n_samples": ', '"n_samples": 1'))
    assert "runs/s3 contradicts itself" in invoke("merge", "s1", "s2", "s3", code=2)


class Killed(BaseException):
    """Ends a process at once, as SIGKILL does: nothing is tidied up."""


@pytest.mark.parametrize("place", ["merge_journals", "score_and_write"])
@pytest.mark.parametrize("end", [Killed, KeyboardInterrupt])
def test_a_merge_that_is_killed_leaves_nothing_half_written(
    copied: Path, monkeypatch: pytest.MonkeyPatch, place: str, end: type[BaseException]
) -> None:
    def die(*_: object) -> None:
        raise end

    with monkeypatch.context() as patch:
        patch.setattr(merging, place, die)
        if end is Killed:
            patch.setattr(atomic.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(end):
            sb.merge(["s1", "s2", "s3"], out="merged")
    assert not Path("merged").exists()
    left = [path.name for path in copied.iterdir() if path.name != "runs"]
    assert len(left) == (end is Killed) and all(name.startswith(".merged.") for name in left)
    sb.merge(["s1", "s2", "s3"], out="merged")
    assert sorted(path.name for path in copied.iterdir()) == ["merged", "runs"], "and sweeps what was left"
    assert Path("merged/result.json").read_bytes() == Path("runs/all/result.json").read_bytes()


SLEEPS = """
import sys, time
import forked
def sleeping(*args, **kwargs):
    print("here", flush=True)
    time.sleep(300)
forked.stand_in("ssl4rl_bench.score.scoring", sys.argv.pop(1), sleeping)
from ssl4rl_bench.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 130)])
def test_the_process_of_a_merge_may_be_killed_at_its_end(
    copied: Path, number: signal.Signals, code: int
) -> None:
    child = forked.Popen(
        [sys.executable, "-c", SLEEPS, "_result", "merge", "s1", "s2", "s3", "--out", "merged"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=copied,
    )
    assert child.stdout is not None and child.stdout.readline() == "here\n"
    assert not Path("merged").exists() and len(list(Path().glob(".merged.*"))) == 1
    invoke("merge", "s1", "s2", "s3", "--out", "meanwhile")
    assert len(list(Path().glob(".merged.*"))) == 1, "what a living process writes is left alone"
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == code and not Path("merged").exists()
    invoke("merge", "s1", "s2", "s3", "--out", "merged")
    assert sorted(path.name for path in copied.iterdir()) == ["meanwhile", "merged", "runs"]
    assert Path("merged/result.json").read_bytes() == Path("runs/all/result.json").read_bytes()


def test_of_two_merges_at_once_one_wins(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = merging.score_and_write

    def slower(*args: Any) -> Any:
        monkeypatch.setattr(merging, "score_and_write", score)
        sb.merge(["s1", "s2", "s3"], out="merged")
        return score(*args)

    monkeypatch.setattr(merging, "score_and_write", slower)
    with pytest.raises(StoreError, match="a folder of that name is in the way"):
        sb.merge(["s1", "s2", "s3"], out="merged")
    assert sorted(path.name for path in copied.iterdir()) == ["merged", "runs"]
    assert Path("merged/result.json").read_bytes() == Path("runs/all/result.json").read_bytes()


def test_only_one_record_is_in_memory(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts of a journal are not collected: the file grows with each record that is read."""
    sizes: list[int] = []
    run = RunDir.open(Path("runs/s1"))
    task = f"ssl4rl_{TASKS[0]}"
    lines = [line for line in read_journal(run.journal_path(task)) if not isinstance(line, BadLine)]
    keys = {(line.id, line.repeat): line.key for line in lines}
    with (copied / "out.jsonl").open("w+b") as out:
        decode = journal.decode_record
        monkeypatch.setattr(
            journal, "decode_record", lambda line: (sizes.append(out.tell()), decode(line))[1]
        )
        assert journal.copy_records(run.journal_path(task), keys, out) == {*keys}
    lengths = [len(encode_record(line)) for line in lines]
    assert sizes == [sum(lengths[:n]) for n in range(len(lengths))]
    assert (copied / "out.jsonl").read_bytes() == run.journal_path(task).read_bytes()
    monkeypatch.setattr(journal, "decode_record", decode)
    with pytest.raises(StoreError, match="no shard has a record of 3 of"):
        merge.merge_journals(
            [run], task, keys | dict.fromkeys((("x", n) for n in range(3)), "k"), Path("new")
        )


def test_the_example_of_the_docstring_holds() -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(
        sb.merge, "merge", globs={"evaluate": sb.evaluate, "merge": sb.merge}
    )
    result = doctest.DocTestRunner().run(test)
    assert result.attempted == 3 and not result.failed


def test_no_shards_are_no_run() -> None:
    with pytest.raises(UsageError, match="no shard is given"):
        sb.merge([])
    assert issubclass(SpecMismatch, BenchError)
