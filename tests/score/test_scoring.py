from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import SyntheticTask, options, spec_of

from ssl4rl_bench.core.errors import SpecMismatch, UsageError
from ssl4rl_bench.core.types import SampleRecord, Status
from ssl4rl_bench.engines.mock import MockEngine
from ssl4rl_bench.run.journal import Journal, read_journal
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import execute
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.score.scoring import score_run, scored_samples

TASK = SyntheticTask(n_groups=60, n_rolls=4)
N = 240


def run(
    path: Path, mock: str = "gold", *, repeats: int = 1, task: SyntheticTask = TASK, **changes: Any
) -> RunDir:
    engine = MockEngine(None, options(mock=mock, **changes))
    spec = spec_of(task, engine, repeats)
    with RunDir.create(path, spec) as rundir:
        execute([task], engine, rundir, spec, max_error_rate=1.0)
    return RunDir.open(path)


def journal(rundir: RunDir) -> Path:
    return rundir.journal_path(TASK.name)


def overall(result: dict[str, Any], aggregation: str = "circular_micro") -> dict[str, Any]:
    cell: dict[str, Any] = result["tasks"][TASK.name]["aggregates"][aggregation]["overall"]
    return cell


def test_the_result_has_the_public_form(tmp_path: Path) -> None:
    rundir = run(tmp_path)
    result = score_run(rundir, [TASK])
    assert list(result) == ["schema", "model", "spec_sha256", "partial", "partial_reasons", "tasks"]
    assert result["schema"] == 1
    assert result["model"] == {"name": "none", "fingerprint": "f" * 64}
    assert result["spec_sha256"] == rundir.spec.sha256
    assert (result["partial"], result["partial_reasons"]) == (False, [])
    scored = result["tasks"][TASK.name]
    records = [line for line in read_journal(journal(rundir)) if isinstance(line, SampleRecord)]
    assert {key: value for key, value in scored.items() if key != "aggregates"} == {
        "version": "1",
        "prompt": "plain",
        "source": "made up",
        "data_sha256": "0" * 64,
        "extractor": "default",
        "reader": 2,
        "n_samples": N,
        "n_groups": 60,
        "n_missing": 0,
        "n_corrupt": 0,
        "n_groups_excluded": 0,
        "tokens": {
            "prompt": sum(record.n_prompt_tokens for record in records),
            "completion": sum(record.n_completion_tokens for record in records),
        },
        "status": {"tag": N},
    }
    cell = overall(result)
    assert (cell["value"], cell["n"]) == (1.0, 60) and len(cell["ci95"]) == 2 and "se" in cell
    assert set(scored["aggregates"]["circular_micro"]) == {"overall", "l1", "l2", "l3"}
    assert set(scored["aggregates"]) == {"circular_micro", "row_micro", "vanilla0_micro", "row_l3_macro"}


def test_one_letter_for_everything_is_right_in_one_copy_of_four(tmp_path: Path) -> None:
    result = score_run(run(tmp_path, "constant:B"), [TASK])
    assert overall(result)["value"] == 0.0
    assert overall(result, "row_micro")["value"] == 0.25


def test_scoring_is_pure_and_does_not_depend_on_the_order_of_the_journal(tmp_path: Path) -> None:
    rundir = run(tmp_path, "random", repeats=2)
    before = journal(rundir).read_bytes()
    first = json.dumps(score_run(rundir, [TASK]))
    assert json.dumps(score_run(rundir, [TASK])) == first and journal(rundir).read_bytes() == before
    lines = before.splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    journal(rundir).write_bytes(b"".join(lines))
    assert json.dumps(score_run(rundir, [TASK])) == first


def test_faults_are_counted_and_nothing_is_scored_as_wrong(tmp_path: Path) -> None:
    rundir = run(tmp_path, mock_faults=0.1)
    result = score_run(rundir, [TASK])["tasks"][TASK.name]
    scored = scored_samples(rundir, TASK)
    failed = [item for item in scored if item.score.status is Status.ERROR]
    assert 0 < len(failed) < N and len(scored) == N
    assert result["status"] == {"tag": N - len(failed), "error": len(failed)}
    assert all(item.score.value is None and item.score.answer is None for item in failed)
    assert all(item.score.value == 1.0 for item in scored if item not in failed)
    assert result["n_groups_excluded"] == len({item.group for item in failed})
    for aggregation in ("circular_micro", "row_micro", "vanilla0_micro", "row_l3_macro"):
        assert result["aggregates"][aggregation]["overall"]["value"] == 1.0
    assert result["aggregates"]["circular_micro"]["overall"]["n"] == 60 - result["n_groups_excluded"]
    assert result["n_missing"] == 0


def test_a_missing_reply_takes_its_group_out_and_makes_the_result_partial(tmp_path: Path) -> None:
    rundir = run(tmp_path)
    lines = journal(rundir).read_bytes().splitlines(keepends=True)
    whole_group = {str(roll * 1_000_000) for roll in range(4)}
    gone = {*whole_group, "7", "3000009", "2000009"}  # also a first copy, and the last two of one question
    journal(rundir).write_bytes(b"".join(line for line in lines if json.loads(line)["id"] not in gone))
    result = score_run(rundir, [TASK])
    scored = result["tasks"][TASK.name]
    assert (scored["n_missing"], scored["n_groups_excluded"], overall(result)["n"]) == (7, 3, 57)
    assert scored["status"] == {"tag": N - 7}
    assert (result["partial"], result["partial_reasons"]) == (True, [f"{TASK.name}: 7 replies are missing"])


def test_a_run_without_replies_has_no_values(tmp_path: Path) -> None:
    rundir = run(tmp_path)
    journal(rundir).unlink()
    result = score_run(rundir, [TASK])
    scored = result["tasks"][TASK.name]
    assert (scored["n_missing"], scored["n_groups_excluded"], scored["status"]) == (N, 60, {})
    assert overall(result)["value"] is None
    json.dumps(result, allow_nan=False)


def test_damaged_and_stale_lines_are_never_scored(tmp_path: Path) -> None:
    rundir = run(tmp_path)
    records = [line for line in read_journal(journal(rundir)) if isinstance(line, SampleRecord)]
    wrong = "<answer>Z</answer>"
    with Journal(journal(rundir)) as writer:
        for record in records[:9]:
            writer.append(replace(record, text=wrong, key="of another checkpoint"))
    data = journal(rundir).read_bytes()
    journal(rundir).write_bytes(data.replace(b"</think>", b"</thinj>", 1))
    result = score_run(rundir, [TASK])
    scored = result["tasks"][TASK.name]
    assert (scored["n_corrupt"], scored["n_missing"], scored["n_groups_excluded"]) == (1, 1, 1)
    assert overall(result, "row_micro")["value"] == 1.0


def test_each_repeat_is_scored(tmp_path: Path) -> None:
    rundir = run(tmp_path, "random", repeats=3)
    scored = scored_samples(rundir, TASK)
    assert [(item.id, item.repeat) for item in scored[:4]] == [("0", 0), ("0", 1), ("0", 2), ("1", 0)]
    assert len(scored) == 3 * N
    result = score_run(rundir, [TASK])
    assert sum(result["tasks"][TASK.name]["status"].values()) == 3 * N
    assert overall(result, "row_micro")["n"] == N


def test_why_a_task_is_partial_is_told(tmp_path: Path) -> None:
    limited = replace(TASK, partial_reasons=("limited to 60 groups",))
    result = score_run(run(tmp_path, task=limited), [limited])
    assert result["partial"] and result["partial_reasons"] == [f"{TASK.name}: limited to 60 groups"]


def test_a_task_of_the_run_that_is_not_scored_makes_the_result_partial(tmp_path: Path) -> None:
    rundir = run(tmp_path)
    other = {"ssl4rl_other": rundir.spec.tasks[TASK.name]}
    two = RunDir(rundir.path, replace(rundir.spec, tasks={**rundir.spec.tasks, **other}))
    assert score_run(two, [TASK])["partial_reasons"] == ["ssl4rl_other: not scored"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data_sha256": "1" * 64}, "data_sha256"),
        ({"prompt": "other", "version": "2"}, "version, prompt"),
        ({"n_groups": 61}, "n_samples"),
    ],
)
def test_a_task_that_changed_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    rundir = run(tmp_path)
    with pytest.raises(SpecMismatch, match=f": {named} changed"):
        score_run(rundir, [replace(TASK, **changes)])


def test_names_that_are_not_there(tmp_path: Path) -> None:
    rundir = run(tmp_path)
    with pytest.raises(UsageError, match=f"did you mean {TASK.name}"):
        score_run(rundir, [replace(TASK, name="ssl4rl_syntetic")])
    with pytest.raises(UsageError, match="defualt"):
        score_run(rundir, [TASK], "defualt")


def test_the_full_name_of_the_extractor_is_recorded(tmp_path: Path) -> None:
    result = score_run(run(tmp_path), [TASK], "vlmevalkit")
    assert result["tasks"][TASK.name]["extractor"] == "vlmevalkit-2025-09"


def test_a_spec_alone_finds_the_keys_again(tmp_path: Path) -> None:
    rundir = run(tmp_path, "random")
    again = RunSpec.from_json(json.loads((tmp_path / "spec.json").read_text()))
    assert again.keys(TASK) == rundir.spec.keys(TASK)
