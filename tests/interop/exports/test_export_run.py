"""What the exports of a run hold: columns, lines and metrics of the other tools, and what they say about failures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from commands import bench
from exported_runs import MIXED, run_of

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import DataError, StoreError, UsageError
from ssl4rl_bench.interop.lmms.reply import completion
from ssl4rl_bench.score.runs import Run

MMBENCH = "mmbench_dev_en"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of MMBench's schema with a reply of every state."""
    return run_of(tmp_path_factory.mktemp("mixed"), MMBENCH, MIXED)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_the_columns_are_those_of_vlmevalkits_inference(mixed: Run, tmp_path: Path) -> None:
    written = sb.export_run(mixed, "vlmevalkit", tmp_path / "a.tsv")
    rows = rows_of(tmp_path / "a.tsv")
    assert written.paths == (tmp_path / "a.tsv",)
    assert " ".join(rows[0]) == (
        "index question A B C D answer category l2-category split prediction thinking finish_reason"
    )
    by_id = {row["index"]: row for row in rows}
    assert len(rows) == 28 and by_id["3"]["prediction"] == MIXED["3"]["text"]
    assert by_id["0"]["prediction"] == "Failed to obtain answer via API."
    assert by_id["1"]["finish_reason"] == "length" and by_id["4"]["finish_reason"] == "stop"
    assert (by_id["2"]["prediction"], by_id["2"]["thinking"]) == ("", "I think it is A")
    assert [note.split(":")[1].split()[0] for note in written.notes] == ["1", "1"]
    assert "asks them again" in written.notes[0] and "reasoning alone" in written.notes[1]


def test_columns_that_no_reply_needs_are_left_out(tmp_path: Path) -> None:
    run = run_of(tmp_path, "hrbench_4k", {})
    (path,) = sb.export_run(run, "vlmevalkit", tmp_path / "b.tsv").paths
    rows = rows_of(path)
    assert " ".join(rows[0]) == "index question A B C D answer category cycle_category prediction"
    assert {row["cycle_category"] for row in rows} == {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    ("task", "name", "columns"),
    [
        ("cvbench_2d", "my-model-replay_CV-Bench-2D.xlsx", ("source", "split")),
        ("hallusionbench", "my-model-replay_HallusionBench.xlsx", ("category", "l2-category")),
        ("mmstar", "my-model-replay_MMStar.xlsx", ("category", "l2_category")),
    ],
)
def test_the_name_and_the_columns_are_those_of_the_data_set(
    task: str, name: str, columns: tuple[str, ...], tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    run = run_of(tmp_path, task, {})
    (path,) = sb.export_run(run, "vlmevalkit", tmp_path / "out").paths
    assert path.name == name
    sheet = openpyxl.load_workbook(path).active
    header, *rows = sheet.iter_rows(values_only=True)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert set(columns) <= set(header)
    assert "image" not in header and all(isinstance(row["prediction"], str) for row in table)
    if task == "hallusionbench":
        assert {row["answer"] for row in table} == {"Yes", "No"}
        assert all(str(row["index"]).startswith("hallusion_V") for row in table)
    else:
        assert [row["index"] for row in table] == sorted(int(row["index"]) for row in table)
    if task == "cvbench_2d":
        assert {row["split"] for row in table} == {"2D"}


def test_lm_eval_has_a_line_for_each_reply_with_a_score(mixed: Run, tmp_path: Path) -> None:
    written = sb.export_run(mixed, "lm-eval", tmp_path)
    results_path, samples_path = written.paths
    assert results_path.parent == tmp_path / "my-model-replay"
    assert results_path.name.startswith("results_") and samples_path.name.startswith(
        f"samples_ssl4rl_{MMBENCH}_"
    )
    results, lines = json.loads(results_path.read_text("ascii")), lines_of(samples_path)
    samples = mixed.samples()
    scored = samples[samples.score.notna()]
    assert [line["doc"]["id"] for line in lines] == list(scored.id) and len(lines) == 26
    assert [line["acc"] for line in lines] == list(scored.score)
    assert all(line["resps"] == [[line["filtered_resps"][0]]] for line in lines)
    assert [line["doc_id"] for line in lines] == [int(n) for n in scored.index]
    assert sum(line.get("finish_reason") == "length" for line in lines) == 2
    entry = results["results"][f"ssl4rl_{MMBENCH}"]
    overall = {
        name: mixed.result["tasks"][f"ssl4rl_{MMBENCH}"]["aggregates"][name]["overall"]
        for name in ("row_micro", "circular_micro")
    }
    assert entry["acc,none"] == overall["row_micro"]["value"]
    assert entry["acc_stderr,none"] == overall["row_micro"]["se"]
    assert entry["circular_micro,none"] == overall["circular_micro"]["value"]
    assert results["n-samples"] == {f"ssl4rl_{MMBENCH}": {"original": 28, "effective": 26}}
    assert results["ssl4rl_bench"]["n_groups_excluded"] == {f"ssl4rl_{MMBENCH}": 2}
    assert [note.split(":")[1].strip() for note in written.notes] == [
        "1 failed requests are left out, since lm-eval's files cannot mark them",
        "1 replies that are reasoning alone are left out, since they have no score",
    ]


def test_lmms_eval_has_a_line_for_each_reply_in_the_words_of_our_model(mixed: Run, tmp_path: Path) -> None:
    written = sb.export_run(mixed, "lmms-eval", tmp_path)
    results_path, samples_path = written.paths
    assert results_path.name.endswith("_results.json") and f"_samples_ssl4rl_{MMBENCH}" in samples_path.name
    lines, samples = lines_of(samples_path), mixed.samples()
    assert [line["row_micro"]["id"] for line in lines] == list(samples.id)
    decoded = {line["row_micro"]["id"]: completion(line["filtered_resps"]) for line in lines}
    assert decoded["0"].finish_reason == "error" and "the server is gone" in (decoded["0"].error or "")
    assert (decoded["1"].finish_reason, decoded["1"].text) == ("length", MIXED["1"]["text"])
    assert decoded["2"].has_no_content and decoded["3"].text == MIXED["3"]["text"]
    assert {line["row_micro"]["copies"] for line in lines} == {4}
    assert written.notes == ()


def test_a_parquet_file_has_every_reply_and_repeat(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run = run_of(tmp_path, MMBENCH, MIXED, repeats=2)
    (path,) = sb.export_run(run, "parquet", tmp_path / "out").paths
    assert path.name == f"my-model-replay_{MMBENCH}.parquet"
    table = pq.read_table(path)
    rows, samples = table.to_pylist(), run.samples()
    assert [(row["id"], row["repeat"], row["reply"]) for row in rows] == list(
        zip(samples.id, samples.repeat, samples.reply, strict=True)
    )
    assert [row["status"] for row in rows] == list(samples.status) and len(rows) == 56
    assert [row["score"] for row in rows if row["status"] in ("error", "no_content")] == [None] * 4
    assert dict(rows[0]["choices"]) == {"A": "red", "B": "green", "C": "blue", "D": "none of these"}
    assert all(len(row["images"]) == 1 and len(row["images"][0]) == 64 for row in rows)
    said = json.loads(table.schema.metadata[b"ssl4rl_bench"])
    assert said["spec"] == run.spec.to_json() and said["extractor"] == "default"


def test_one_of_several_repeats_is_chosen(tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmstar", {}, repeats=2)
    with pytest.raises(
        UsageError, match=r"2 replies to each question.*--repeat 0 to 1, or write all with --to parquet"
    ):
        sb.export_run(run, "lm-eval", tmp_path)
    with pytest.raises(UsageError, match="no repeat 2: its repeats are 0 to 1"):
        sb.export_run(run, "lm-eval", tmp_path, repeat=2)
    with pytest.raises(UsageError, match="has all repeats"):
        sb.export_run(run, "parquet", tmp_path, repeat=0)
    _, samples = sb.export_run(run, "lm-eval", tmp_path, repeat=1).paths
    assert len(lines_of(samples)) == 3


def test_surrogates_come_back_from_json_and_are_refused_elsewhere(tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmstar", {"1": {"text": "A\ud800\0"}})
    _, samples = sb.export_run(run, "lm-eval", tmp_path).paths
    assert lines_of(samples)[1]["filtered_resps"] == ["A\ud800\0"]
    for to, out in (("vlmevalkit", "a.tsv"), ("parquet", "a.parquet")):
        with pytest.raises(DataError, match=r"row 1: its (prediction|reply) has the character U\+D800"):
            sb.export_run(run, to, tmp_path / out)
        assert not (tmp_path / out).exists()


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("ssl_rotation_90", "ssl_rotation_90 is a probe, which is not written for VLMEvalKit"),
        (
            "mathvista_mini",
            "VLMEvalKit evaluates mathvista_mini with columns of its file that a run does not have",
        ),
    ],
)
def test_what_vlmevalkit_cannot_express_is_refused(task: str, words: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, task, {}, limit=2 if task.startswith("ssl") else None)
    with pytest.raises(UsageError, match=words):
        sb.export_run(run, "vlmevalkit", tmp_path / "a.tsv")
    assert not (tmp_path / "a.tsv").exists()
    _, samples = sb.export_run(run, "lmms-eval", tmp_path).paths
    metric = "accuracy" if task.startswith("ssl") else "circular_micro"
    assert all(metric in line for line in lines_of(samples))


def test_questions_without_options_are_counted(tmp_path: Path) -> None:
    run = run_of(tmp_path, "realworldqa", {"2": {"text": "3"}})
    written = sb.export_run(run, "vlmevalkit", tmp_path / "a.tsv")
    assert [row["prediction"] for row in rows_of(tmp_path / "a.tsv")] == ["A", "A", "3", "A", "A"]
    assert "realworldqa: 3 questions have no options" in written.notes[0] and len(written.notes) == 1


def test_a_made_up_and_a_partial_run_say_so(tmp_path: Path) -> None:
    run = sb.evaluate("gold", "scenes", engine="mock", limit=2, out=tmp_path / "run")
    written = sb.export_run(run, "vlmevalkit", tmp_path / "out")
    assert written.paths[0].name == "gold-mock_scenes_mmbench.xlsx"
    assert written.notes[0].startswith("the replies are those of the engine mock")
    assert written.notes[1].startswith("partial: scenes: limited to 2 of 600 questions")


def test_nothing_is_replaced_and_an_unfinished_run_is_refused(mixed: Run, tmp_path: Path) -> None:
    sb.export_run(mixed, "vlmevalkit", tmp_path / "a.tsv")
    before = (tmp_path / "a.tsv").read_bytes()
    with pytest.raises(StoreError, match=r"a\.tsv exists: delete it"):
        sb.export_run(mixed, "vlmevalkit", tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_bytes() == before
    run = run_of(tmp_path, "mmstar", {})
    (run.path / "result.json").unlink()
    with pytest.raises(StoreError, match="is not complete"):
        sb.export_run(run, "parquet", tmp_path)


def test_the_command_prints_files_and_notes(mixed: Run, tmp_path: Path) -> None:
    done = bench("export", mixed.path, "--to", "vlmevalkit", "--out", tmp_path / "a.tsv")
    assert done.code == 0 and done.out == f"{tmp_path / 'a.tsv'}\n"
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["note", "note"]
    assert bench("export", mixed.path, "--to", "lm-eval", "--tasks", MMBENCH, "--out", tmp_path).code == 0
    for args, words in (
        (
            ("--to", "vlmevalkit", "--out", "a.json"),
            ".xlsx or .tsv files, or into a folder: a.json is neither",
        ),
        (("--to", "vlmevalkit", "--tasks", "mmstar"), "has no task mmstar: choose from mmbench_dev_en"),
        (
            ("--to", "lm-eval", "--out", "a.json"),
            "several files into a folder, and a.json is the name of a file",
        ),
        (("--to", "lm-eval", "--model", "x"), "takes one run, and no --model"),
        (("--to", "tsv", "--repeat", "1"), "--tasks and --repeat are for the replies of a run"),
    ):
        refused = bench("export", mixed.path, *args)
        assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1, refused.err
