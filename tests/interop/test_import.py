"""Predictions of other tools as runs: matching, checks, what is unknown, and what the command refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmark_rows import BENCHMARKS, write_table
from commands import invoke
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmbench_data import questions, write_tsv

from ssl4rl_bench.core.errors import BenchError, DataError, UsageError
from ssl4rl_bench.interop.predictions.importing import import_predictions
from ssl4rl_bench.interop.predictions.matching import match
from ssl4rl_bench.interop.predictions.rows import Prediction, Predictions
from ssl4rl_bench.interop.predictions.stated import SETTINGS
from ssl4rl_bench.run.observing import Observer
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.score.runs import Run
from ssl4rl_bench.task.registry import load_task

TASK = "mmbench_dev_en"
FAIL = "Failed to obtain answer via API."
Row = dict[str, Any]


class Lines(Observer):
    """Collects what an import says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def write_predictions(path: Path, rows: list[Row]) -> Path:
    """Writes a prediction file as VLMEvalKit does: all columns but the image."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "image"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, names, delimiter="\t", quoting=csv.QUOTE_ALL, extrasaction="ignore", restval=""
        )
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_lines(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six questions with four copies."""
    return write_tsv(tmp_path_factory.mktemp("data") / "data.tsv", questions(6))


def predicted(reply: Callable[[Row], str] = lambda row: row["answer"]) -> list[Row]:
    return [{**row, "prediction": reply(row)} for row in questions(6)]


def imported(path: Path, data: Path, **options: Any) -> tuple[Run, str]:
    said = Lines()
    run = import_predictions(
        path, options.pop("task", TASK), data=data, out=path.with_suffix(".run"), progress=said, **options
    )
    return run, said.text


def statuses(run: Run) -> dict[str, int]:
    (task,) = run.result["tasks"].values()
    return dict(task["status"])


def test_a_prediction_file_is_a_run_like_any_other(data: Path, tmp_path: Path) -> None:
    wrong = {"0": "The answer is Z", "1000003": "I cannot say."}
    path = write_predictions(
        tmp_path / "Q_MMBench.tsv", predicted(lambda row: wrong.get(str(row["index"]), row["answer"]))
    )
    run, said = imported(path, data, model="Q")
    assert run.model == "Q (imported)" and run.complete
    table = run.table().query("level == 'overall'")
    assert table.value.tolist() == [4 / 6]  # both questions with an unread copy
    samples = run.samples()
    assert samples.set_index("id").score[["0", "1000003", "1"]].tolist() == [0, 0, 1]
    assert "24 questions, 24 options, 24 answers; all are the same" in said
    assert "12 settings are unknown: state those that you know with --set KEY=VALUE" in said
    spec = json.loads((run.path / "spec.json").read_text())
    assert spec["engine"]["name"] == "imported" and spec["engine"]["options"]["imported"]["unknown"] == [
        *SETTINGS
    ]
    assert spec["engine"]["options"]["imported"]["tool"] == "VLMEvalKit"
    (sitting,) = RunDir.open(run.path).sittings()
    assert sitting["engine_options"]["file"] == "Q_MMBench.tsv" and sitting["outcome"] == "imported"
    shown = invoke("show", run.path)
    assert (
        "Q (imported)" in shown and "unknown settings: prompt, image" in shown and "(prompt unknown" in shown
    )
    again = invoke("score", run.path, "--data", data)
    assert "Q (imported)" in again


def test_the_same_import_again_changes_nothing(data: Path, tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "a.tsv", predicted())
    run, _ = imported(path, data)
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    imported(path, data)
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before
    write_predictions(path, predicted(lambda row: "A"))
    with pytest.raises(UsageError, match="exists and holds something else"):
        imported(path, data)
    assert (run.path / "result.json").read_bytes() == before[run.path / "result.json"]


def test_nothing_is_left_of_an_import_that_fails(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_predictions(tmp_path / "a.tsv", predicted())

    def fail(*_: object) -> None:
        raise RuntimeError("no power")

    monkeypatch.setattr("ssl4rl_bench.interop.predictions.importing.score_and_write", fail)
    with pytest.raises(RuntimeError):
        imported(path, data)
    assert [*tmp_path.iterdir()] == [path]


BENCHMARK_NAMES = sorted(BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_the_prediction_file_of_each_benchmark(name: str, tmp_path: Path) -> None:
    """Right replies score 1; rows that the task leaves out are counted, and no others."""
    example = BENCHMARKS[name]
    table = write_table(tmp_path / "data.tsv", example.rows())
    task = load_task(name, data=str(table))
    gold = {sample.id: next(iter(task.replies(sample)[0])) for sample in task.samples}
    rows = [{**row, "prediction": gold.get(str(row["index"]), "?")} for row in example.rows()]
    run, said = imported(write_predictions(tmp_path / f"M_{name}.tsv", rows), table, task=name)
    assert run.table().query("level == 'overall'").value.tolist() == [1.0]
    n_others = len(rows) - example.n_samples
    assert (f"{n_others} rows are of questions that {name} leaves out" in said) is (n_others > 0)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(24)), n_rows=st.integers(1, 24), twice=st.integers(0, 23))
def test_rows_are_found_in_any_order_and_number(
    order: list[int], n_rows: int, twice: int, data: Path
) -> None:
    task = load_task(TASK, data=str(data))
    ids = [sample.id for sample in task.samples]
    chosen = [*order[:n_rows], *([twice] if twice in order[:n_rows] else [])]
    rows = [
        Prediction(where=f"row {n}", id=ids[n], text=ids[n], target=task.samples[n].target) for n in chosen
    ]
    matched = match(task, Predictions(Path("a"), "plain", "", rows), allow_partial=True)
    assert {place: row.text for place, row in matched.predictions.items()} == {
        (ids[n], 0): ids[n] for n in chosen
    }
    assert matched.n_missing == 24 - n_rows and len(matched.notes) == (len(chosen) > n_rows)


def edited(change: Callable[[list[Row]], object]) -> Callable[[], list[Row]]:
    def make() -> list[Row]:
        rows = predicted()
        change(rows)
        return rows

    return make


REFUSED: list[tuple[str, Callable[[], list[Row]], str]] = [
    (
        "another task",
        edited(lambda rows: [row.update(question="Which?") for row in rows]),
        "24 of 24 rows have another question; first: line 2 (id 0) has 'Which?' where the task has 'Question 0?'",
    ),
    (
        "other ids",
        edited(lambda rows: [row.update(index=row["index"] + 10) for row in rows[:6]]),
        "have ids that",
    ),
    (
        "another answer",
        edited(lambda rows: rows[3].update(answer="B")),
        "1 of 24 rows have another answer; first: line 5",
    ),
    (
        "other options",
        edited(lambda rows: rows[3].update(B="mauve")),
        "rows have another option; first: line 5 (id 3) has 'mauve'",
    ),
    (
        "half a file",
        edited(lambda rows: rows.__delitem__(slice(12, None))),
        "has no reply to 12 of 24 requests",
    ),
    (
        "duplicate ids",
        edited(lambda rows: rows.append({**rows[2], "prediction": "other"})),
        "line 26: id 2 has another reply in line 4; remove one of the rows",
    ),
    (
        "failed requests",
        edited(lambda rows: [row.update(prediction=FAIL) for row in rows]),
        "has failed requests only",
    ),
]


@pytest.mark.parametrize(("name", "rows", "message"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_what_an_import_refuses(
    name: str, rows: Callable[[], list[Row]], message: str, data: Path, tmp_path: Path
) -> None:
    path = write_predictions(tmp_path / "a.tsv", rows())
    assert message in invoke(
        "import", path, "--tasks", TASK, "--data", data, "--out", tmp_path / "run", code=2
    )
    assert [*tmp_path.iterdir()] == [path]


def test_failed_requests_are_left_out_and_equal_rows_count_once(data: Path, tmp_path: Path) -> None:
    rows = predicted(lambda row: FAIL if row["index"] == 2 else "" if row["index"] == 3 else row["answer"])
    run, said = imported(write_predictions(tmp_path / "a.tsv", [*rows, rows[0]]), data)
    assert statuses(run)["error"] == 1
    assert run.table().query("level == 'overall'").value.tolist() == [4 / 5]  # 2 is left out, 3 is wrong
    assert "1 requests failed (first: Failed to obtain answer via API.) and are left out" in said
    assert "1 replies are empty" in said and "1 rows repeat the reply of another row" in said


def test_half_a_file_is_partial_if_asked_for(data: Path, tmp_path: Path) -> None:
    rows = [row for row in predicted() if row["index"] % 10**6 < 3]
    run, said = imported(write_predictions(tmp_path / "a.tsv", rows), data, allow_partial=True)
    assert "partial: 12 replies are missing" in said
    assert run.result["partial"] and run.table().query("level == 'overall'").n_groups.tolist() == [3]
    whole, _ = imported(write_predictions(tmp_path / "b.tsv", predicted()), data)
    refused = invoke("compare", whole.path, run.path, "--data", data, code=2)
    assert "is partial" in refused and "--allow partial," in refused
    assert "strict" in invoke("score", run.path, "--data", data, "--extractor", "strict")
    assert RunDir.open(run.path).result is not None


def samples(data: Path, **more: Any) -> list[Row]:
    """Samples as lmms-eval logs them for our own task file: positions count the documents."""
    task = load_task(TASK, data=str(data))
    return [
        {
            "doc_id": number,
            "target": sample.target,
            "input": sample.text(),
            "filtered_resps": sample.target,
            **more,
        }
        for number, sample in enumerate(task.samples)
    ]


def test_positions_of_samples_are_checked_by_questions(data: Path, tmp_path: Path) -> None:
    run, said = imported(write_lines(tmp_path / "d_samples_x.jsonl", samples(data)), data)
    assert run.table().query("level == 'overall'").value.tolist() == [1.0]
    assert (
        "prompt" not in run.spec.unknown and "compared with mmbench_dev_en: 24 questions, 24 answers" in said
    )
    _, contradicted = imported(
        write_lines(tmp_path / "p_samples_x.jsonl", samples(data)), data, settings={"prompt": "cot"}
    )
    assert "the prompts in the file are not those of the style cot" in contradicted
    swapped = samples(data)
    for row, number in zip(swapped, [1, 0, *range(2, 24)], strict=True):
        row["doc_id"] = number
    with pytest.raises(DataError, match=r"2 of 24 rows have another (question|answer)"):
        imported(write_lines(tmp_path / "s_samples_x.jsonl", swapped), data)


def test_row_numbers_that_could_be_ids_need_questions(tmp_path: Path) -> None:
    """MMVP's ids begin at 1, and the example's rows are in the reverse order."""
    table = write_table(tmp_path / "data.tsv", BENCHMARKS["mmstar"].rows()[::-1])
    bare = [{"doc_id": number, "filtered_resps": "A"} for number in range(3)]
    with pytest.raises(
        DataError, match=r"does not say whether its row numbers are ids of mmstar or count its rows"
    ):
        imported(write_lines(tmp_path / "d_samples_x.jsonl", bare), table, task="mmstar")


RESULTS = {
    "config": {
        "model": "qwen2_5_vl",
        "model_args": "pretrained=org/model,max_pixels=1003520,min_pixels=x,attn_implementation=sdpa,dtype=bfloat16",
    },
    "configs": {
        "mmbench_en": {"generation_kwargs": {"max_new_tokens": 16}},
        "mmbench_en_dev": {
            "generation_kwargs": {"max_new_tokens": 1024, "temperature": 0, "do_sample": False}
        },
    },
    "lmms_eval_version": "0.7.3",
    "model_name": "org/model",
}


def test_settings_come_from_the_results_file_next_to_the_samples(data: Path, tmp_path: Path) -> None:
    (tmp_path / "2026_results.json").write_text(json.dumps(RESULTS))
    path = write_lines(tmp_path / "2026_samples_mmbench_en_dev.jsonl", samples(data))
    run, said = imported(path, data, settings={"image": "real", "max_pixels": 2000})
    assert run.model == "org/model (imported)"
    (task,) = run.spec.tasks.values()
    assert (task.sampling.max_tokens, task.sampling.temperature) == (1024, 0.0)
    assert run.spec.max_pixels == 2000  # the user's word counts
    assert run.spec.engine_options["dtype"] == "bfloat16" and run.spec.engine_options["attn"] == "sdpa"
    assert run.spec.unknown == {"chat_template", "min_pixels", "max_model_len"}
    assert run.spec.imported is not None and run.spec.imported.stated["max_pixels"] == "user"
    assert run.spec.imported.origin == "lmms-eval 0.7.3"
    assert "settings taken from 2026_results.json: " in said
    (sitting,) = RunDir.open(run.path).sittings()
    assert sitting["engine_options"]["results"] == "2026_results.json"
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DataError, match="has no key config"):
        imported(path, data, results=tmp_path / "other.json")
    unnamed = write_lines(tmp_path / "x.jsonl", samples(data))
    with pytest.raises(
        DataError, match=r"has the settings of mmbench_en, mmbench_en_dev, and the name of x\.jsonl"
    ):
        imported(unnamed, data, results=tmp_path / "2026_results.json")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("temprature=0", "did you mean temperature"),
        ("temperature=-1", "is not a number that temperature can have"),
        ("top_p=2", "is not a number that top_p can have"),
        ("max_tokens=0", "is not a whole number of 1 or more"),
        ("dtype=int8", "is not a number format"),
        ("prompt=mine", "mine"),
        ("image=grey", "grey"),
        ("max_tokens", "write KEY=VALUE"),
    ],
)
def test_settings_that_a_run_cannot_have(pair: str, message: str, data: Path, tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "a.tsv", predicted())
    assert message in invoke("import", path, "--tasks", TASK, "--data", data, "--set", pair, code=2)


def test_the_scores_of_the_other_tool_are_compared(tmp_path: Path) -> None:
    table = write_table(tmp_path / "data.tsv", BENCHMARKS["mmstar"].rows())
    rows = [
        {**row, "prediction": reply, "hit": hit}
        for row, reply, hit in zip(
            BENCHMARKS["mmstar"].rows(), ("B", "Answer: C", "I see D"), (1, 1, 1), strict=True
        )
    ]
    _, said = imported(write_predictions(tmp_path / "M_result.tsv", rows), table, task="mmstar")
    assert "scored as by VLMEvalKit in 2 of 3 rows; the first others: 2 (1 there, 0 here: none)" in said


def test_unknown_settings_count_as_differences(data: Path, tmp_path: Path) -> None:
    one, _ = imported(write_predictions(tmp_path / "one.tsv", predicted()), data)
    two, _ = imported(write_predictions(tmp_path / "two.tsv", predicted(lambda row: "A")), data)
    refused = invoke("compare", one.path, two.path, "--data", data, code=2)
    assert "unknown settings of two (imported) and of one (imported): " in refused
    names = refused.rpartition("--allow ")[2]
    assert {*names.split(",")} == {*SETTINGS}
    allowed = invoke("compare", one.path, two.path, "--data", data, "--allow", names)
    assert "differ, as allowed: unknown settings of" in allowed.replace("\n", " ")
    assert "an engine that is not known (imported from VLMEvalKit)" in allowed.replace("\n", " ")
    explained = invoke("explain", one.path, "--against", two.path, "--data", data)
    assert "an engine that is not known" in explained and "--prompt" not in explained
    some = names.replace("prompt,", "").replace(",prompt", "")
    left = invoke("compare", one.path, two.path, "--data", data, "--allow", some, code=2)
    assert left.endswith(
        "one (imported): prompt; repeat one of the runs, or allow it by name: --allow prompt"
    )


def test_stated_settings_are_compared_like_those_of_any_run(data: Path, tmp_path: Path) -> None:
    mock = tmp_path / "mock"
    invoke("run", "--engine", "mock", "--tasks", TASK, "--data", data, "--out", mock)
    known = {"prompt": "direct", "image": "real", "temperature": 0, "max_tokens": 64, "dtype": "auto"}
    known |= {
        "min_pixels": None,
        "max_pixels": None,
        "chat_template": "a",
        "attn": "sdpa",
        "max_model_len": 4096,
    }
    path = write_predictions(tmp_path / "a.tsv", predicted())
    run, said = imported(path, data, settings=known)
    assert run.spec.unknown == frozenset() and "are unknown" not in said
    (task,) = run.spec.tasks.values()
    assert (task.prompt, task.sampling.top_p, task.sampling.max_tokens) == ("direct", 1.0, 64)
    other, _ = imported(
        write_predictions(tmp_path / "b.tsv", predicted()), data, settings=known | {"max_tokens": 16}
    )
    refused = invoke("compare", run.path, other.path, "--data", data, code=2)
    assert refused.endswith(
        "another max_tokens (16 and 64); repeat one of the runs, or allow it by name: --allow max_tokens"
    )
    assert "generated by the mock engine" in invoke("compare", run.path, mock, "--data", data, code=2)


def test_repeats_and_states_of_a_plain_table(data: Path, tmp_path: Path) -> None:
    rows = [
        {"id": row["index"], "repeat": repeat, "text": "so it is", "finish_reason": "length", "task": task}
        for task in (TASK, "scenes")
        for row in questions(6)
        for repeat in (0, 1)
    ]
    run, said = imported(write_lines(tmp_path / "a.jsonl", rows), data)
    assert run.spec.repeats == 2 and statuses(run) == {"truncated": 48}
    assert "only its ids say that it is of mmbench_dev_en" in said and "cut at the token limit" not in said
    with pytest.raises(DataError, match="has rows of scenes, and none of ssl4rl_mmbench_dev_en"):
        imported(write_lines(tmp_path / "b.jsonl", [row for row in rows if row["task"] == "scenes"]), data)


def test_a_file_is_of_one_task(data: Path, tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "a.tsv", predicted())
    assert "--tasks takes one task" in invoke("import", path, "--tasks", "scenes,mmvp", code=2)
    assert "names 4 tasks" in invoke("import", path, "--tasks", "ssl_probes", code=2)
    with pytest.raises(BenchError, match="extractor"):
        imported(path, data, extractor="mine")


def test_a_damaged_spec_of_an_imported_run_is_refused(data: Path, tmp_path: Path) -> None:
    run, _ = imported(write_predictions(tmp_path / "a.tsv", predicted()), data)
    spec = json.loads((run.path / "spec.json").read_text())
    for damage in ({}, {"unknown": "prompt"}, {"unknown": [1]}, {"unknown": [], "tool": 3}):
        spec["engine"]["options"]["imported"] = damage
        (run.path / "spec.json").write_text(json.dumps(spec))
        assert "spec.json is damaged" in invoke("show", run.path, code=2)
