"""A shard is never taken for a whole run: by tables, comparisons, the gate, pages, model cards or lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import bench, invoke

import ssl4rl_bench as sb
from ssl4rl_bench.comparison.load import load_evaluated, loaded_tasks
from ssl4rl_bench.core.errors import UsageError

POLICY = {"rule": [{"kind": "no_worse_than", "task": "scenes", "level": "overall", "margin": 5.0}]}
pytestmark = pytest.mark.slow

SCENES = ("run", "--engine", "mock", "--tasks", "scenes", "--set")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """runs/ with two whole runs, the two shards of one, and an empty shard."""
    place = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        invoke(*SCENES, "mock=gold", "--model", "gold", "-o", "runs/gold")
        invoke(*SCENES, "mock=random", "--model", "luck", "-o", "runs/luck")
        for index in (1, 2):
            invoke(
                *SCENES, "mock=random", "--model", "luck", "--shard", f"{index}/2", "-o", f"runs/part{index}"
            )
        for index in range(1, 9):
            out = f"runs/of-nine-{index}"
            invoke(*SCENES, "mock=random", "--limit", 1, "--shard", f"{index}/9", "-o", out)
        yield place


def empty() -> str:
    """A shard without a question."""
    runs = (path for path in Path("runs").glob("of-nine-*"))
    return next(str(path) for path in runs if not json.loads((path / "spec.json").read_text())["tasks"])


def test_a_result_says_that_it_is_a_shard() -> None:
    result = json.loads(Path("runs/part1/result.json").read_text())
    n = result["tasks"]["ssl4rl_scenes"]["n_samples"]
    assert (result["partial"], result["shard"]) == (True, "1/2")
    assert result["partial_reasons"] == [f"ssl4rl_scenes: shard 1/2 of a run, {n} of 2234 samples"]
    assert "shard" not in json.loads(Path("runs/luck/result.json").read_text())


@pytest.mark.parametrize("command", [("show",), ("score", "--dry-run"), ("show", "--leaves")])
def test_tables_say_that_it_is_a_shard(command: tuple[str, ...]) -> None:
    text = invoke(*command, "runs/part1")
    assert "luck (mock, shard 1/2)" in text
    assert "partial: luck (mock, shard 1/2): ssl4rl_scenes: shard 1/2 of a run" in text


def test_a_run_says_that_it_is_a_shard_and_what_comes_next() -> None:
    done = bench(*SCENES, "mock=random", "--model", "luck", "--shard", "2/2", "-o", "runs/part2")
    assert "luck: engine mock 1 random seed 0, shard 2/2, run runs/part2" in done.err
    assert "shard 2/2: join all 2 with `ssl4rl-bench merge` once they are complete" in done.out


def test_the_list_of_runs_marks_shards() -> None:
    text = invoke("list", "runs")
    assert "shard 1/2, complete" in text and text.count("shard 2/2, complete") == 1
    assert repr(sb.open_run("part1")) == "<Run runs/part1: luck (mock, shard 1/2) on scenes>"


def test_a_shard_is_compared_only_on_request() -> None:
    told = invoke("compare", "luck", "part1", code=2)
    assert "luck (part1) (mock, shard 1/2) is partial (shard 1/2 of a run, " in told
    assert told.endswith("--allow partial")
    with pytest.raises(UsageError, match=r'shard 1/2 of a run.* in the policy: allow = \["partial"\]'):
        sb.gate("gold", "part1", POLICY)
    with pytest.raises(UsageError, match=r"shard 1/2 of a run.*--allow partial"):
        sb.compare(["part1", "gold"])
    assert "is partial (shard 1/2" in invoke("report", "gold", "part1", code=2)
    notes = sb.compare(["luck", "part1"], allow=["partial"]).notes
    assert any("(mock, shard 1/2) is partial (shard 1/2 of a run" in note for note in notes)


def test_two_shards_have_no_question_in_common() -> None:
    told = invoke("compare", "part1", "part2", "--allow", "partial", code=2)
    assert (
        "luck (part2) (mock, shard 2/2) and luck (part1) (mock, shard 1/2) share no answered question" in told
    )


def test_a_baseline_file_of_a_shard_remains_partial() -> None:
    invoke("gate", "--candidate", "part1", "--save-baseline", "part.json.gz")
    with pytest.raises(UsageError, match=r"luck \(mock, shard 1/2\) is partial \(shard 1/2 of a run"):
        sb.gate("part.json.gz", "luck", POLICY)


def test_the_page_names_the_shard() -> None:
    invoke("report", "gold", "part1", "--allow", "partial", "--no-samples", "-o", "page.html")
    page = Path("page.html").read_text()
    assert "luck (mock, shard 1/2)" in page and "shard 1/2 of a run" in page


def test_the_page_names_the_shards_of_a_merged_run() -> None:
    invoke("merge", "part1", "part2", "-o", "merged")
    invoke("report", "gold", "merged", "--no-samples", "-o", "page.html")
    page = Path("page.html").read_text()
    assert "Sitting 1, shard 1/2" in page and "--shard 2/2" in page and "merged (" not in page


def test_each_shard_shows_the_samples_that_it_asked() -> None:
    """Tasks that several runs asked are loaded once; two shards of the same size did not ask the same samples."""
    runs = load_evaluated([Path("part1"), Path("part2")])
    (one, two), notes = loaded_tasks(runs, {})
    ids = [{sample.id for sample in tasks["ssl4rl_scenes"].samples} for tasks in (one, two)]
    assert not notes and not ids[0] & ids[1] and len(ids[0] | ids[1]) == 2234
    for path in ("part1", "part2"):
        (Path("runs") / path / "outcomes.json").unlink()
    again = load_evaluated([Path("part1"), Path("part2")])
    assert [run.outcomes["ssl4rl_scenes"].ids for run in again] == [
        run.outcomes["ssl4rl_scenes"].ids for run in runs
    ]


def test_a_shard_without_a_question_is_complete_and_compared_with_nothing() -> None:
    result = json.loads((Path(empty()) / "result.json").read_text())
    (reason,) = result["partial_reasons"]
    assert result["tasks"] == {} and ": shard " in reason and "of a run, 0 of " in reason
    assert invoke("show", empty()).strip().startswith("partial: ")
    assert "share no task" in invoke("compare", "gold", empty(), code=2)
    assert sb.open_run(empty()).table().empty


def test_a_model_card_marks_a_shard_and_publishes_none_of_its_numbers() -> None:
    lines = (line for line in Path("runs/luck/journal/ssl4rl_scenes.jsonl").read_text().splitlines())
    replies = ({key: json.loads(line)[key] for key in ("id", "text")} for line in lines)
    Path("replies.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    replay = (
        "run",
        "--tasks",
        "scenes",
        "--engine",
        "replay",
        "--replies",
        "replies.jsonl",
        "--model",
        "tiny-base",
    )
    invoke(*replay, "--shard", "1/2", "-o", "runs/replayed")
    assert "no .eval_results: it takes a complete run" in invoke(
        "export", "replayed", "--to", "model-card", "-o", "card"
    )
    card = Path("card/README.md").read_text()
    assert "**Partial:** ssl4rl\\_scenes" in card and "shard 1/2 of a run" in card


def test_a_dry_run_shows_the_shard_s_samples() -> None:
    text = invoke(*SCENES, "mock=gold", "--shard", "1/4", "--dry-run", "--limit", 8)
    assert '"part": "1/4"' in text and "samples of 2 groups" in text
    assert "is not a shard: write I/N" in invoke(*SCENES, "mock=gold", "--shard", "5/4", code=2)
