"""Bad input of each command: options out of range, unknown names, wrong files, and options that exclude others."""

from __future__ import annotations

from pathlib import Path

import pytest
import two_runs
from commands import bench

from ssl4rl_bench.cli import COMMANDS

RUN = ("run", "--engine", "mock", "--limit", "2", "--tasks", "scenes")
BUILD = ("build", "ssl_rotation_90", "--out", "out")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small runs, a file, and nothing else."""
    root = two_runs.make(tmp_path_factory.mktemp("refusals"), 6)
    (root / "file.txt").write_text("nothing\n")
    return root


def refused(place: Path, args: tuple[str, ...], *words: str) -> None:
    """Checks that a command exits with 2, names the cause on standard error, and prints or writes nothing else."""
    before = sorted(place.rglob("*"))
    done = bench(*args)
    assert done.code == 2, done.text
    assert done.out == ""
    assert not [word for word in words if word not in done.err], done.err
    assert "Traceback" not in done.err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("command", [("compare", "gold", "rough"), ("report", "gold", "rough")])
def test_data_of_a_task_that_no_run_has_is_refused(
    place: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, (*command, "--data", "nosuchtask=/data.tsv"), "nosuchtask=/data.tsv", "TASK=PATH")


@pytest.mark.parametrize(
    ("args", "option"),
    [
        ((*RUN, "--limit", "0"), "--limit"),
        ((*RUN, "--limit", "six"), "--limit"),
        ((*RUN, "--repeats", "0"), "--repeats"),
        ((*RUN, "--seed", "-1"), "--seed"),
        ((*RUN, "--temperature", "-0.1"), "--temperature"),
        ((*RUN, "--max-tokens", "0"), "--max-tokens"),
        ((*RUN, "--max-error-rate", "1.01"), "--max-error-rate"),
        ((*RUN, "--max-error-rate", "-0.01"), "--max-error-rate"),
        ((*RUN, "--workers", "0"), "--workers"),
        (("validate", "scenes", "--samples", "-1"), "--samples"),
        (("watch", "runs", "-p", "file.txt", "--interval", "0"), "--interval"),
        (("watch", "runs", "-p", "file.txt", "--limit", "0"), "--limit"),
        (("train", "tiny_mix", "--steps", "0"), "--steps"),
        (("ask", "why?", "--max-tokens", "0"), "--max-tokens"),
        (("ask", "why?", "--temperature", "-1"), "--temperature"),
        (("show", "gold", "--colour"), "--colour"),
    ],
)
def test_an_option_with_a_value_that_it_cannot_have_is_named(
    place: Path, args: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, args, "Usage: ssl4rl-bench", option)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("show", "gold", "--format", "xml"), "--format takes table, markdown or json, not xml"),
        (("compare", "gold", "rough", "--format", "latx"), "not latx; did you mean latex?"),
        (
            ("export", "scenes", "--to", "csv"),
            "--to takes tsv, model-card, vlmevalkit, lm-eval, lmms-eval or parquet, not csv; did you mean tsv?",
        ),
        (("build", "ssl_rotation_90", "--out", "out", "--format", "jsn"), "not jsn; did you mean jsonl?"),
        (
            ("list", "task"),
            "`list` takes tasks, engines, runs, recipes, presets or examples, not task; did you mean tasks?",
        ),
        (("audit", "crad", "x.md"), "`audit` takes card or reading, not crad; did you mean card?"),
        (("explain", "gold", "--against", "1", "--format", "mardown"), "did you mean markdown?"),
    ],
)
def test_a_word_that_is_not_in_a_closed_list_has_the_list_and_the_closest(
    place: Path, args: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, args, words)


@pytest.mark.parametrize(
    "command",
    sorted(set(COMMANDS) - {"demo", "doctor", "examples", "run", "gate", "ask", "fetch", "advise", "attend"}),
)
def test_a_command_without_its_arguments_says_how_it_is_used(command: str, place: Path) -> None:
    refused(place, (command,), f"Usage: ssl4rl-bench {command} ", "Missing ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((*RUN, "--shard", "3/2"), "--shard 3/2 is not a shard: write I/N with I from 1 to N"),
        ((*RUN, "--shard", "0/2"), "--shard 0/2 is not a shard"),
        ((*RUN, "--shard", "half"), "--shard half is not a shard"),
        ((*RUN, "--repeats", "2"), "--repeats 2 asks for greedy replies"),
        ((*RUN, "--seed", "2"), "--seed 2 has no effect on greedy replies"),
        ((*BUILD, "--split", "1"), "--split 1 is not a share strictly between 0 and 1"),
        ((*BUILD, "--split", "0"), "--split 0 is not a share strictly between 0 and 1"),
        ((*BUILD, "--limit", "0"), "--limit 0 leaves no images"),
        ((*BUILD, "--per-image", "0"), "--per-image 0 makes no samples"),
        ((*BUILD, "--workers", "0"), "--workers 0 is less than 1"),
    ],
)
def test_a_number_that_makes_no_sense_is_one_sentence(
    place: Path, args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, args, f"error: {message}")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("shwo", "gold"), "did you mean show?"),
        ((*RUN[:-1], "scnes"), "did you mean ssl4rl_scenes?"),
        ((*RUN, "--image", "blnk"), "did you mean blank?"),
        (("show", "gold", "--tasks", "scene"), "did you mean ssl4rl_scenes?"),
        (("show", "gold", "--tasks", "scene", "--leaves"), "did you mean ssl4rl_scenes?"),
        (("show", "gold", "--tasks", "scene", "--format", "json"), "did you mean ssl4rl_scenes?"),
        (("show", "gold", "--tasks", "scene", "--format", "markdown"), "did you mean ssl4rl_scenes?"),
        (("show", "gold", "--aggregation", "row", "--format", "json"), "did you mean row_micro?"),
        (("show", "gold", "--aggregation", "row", "--tasks", "ssl_rotation_90"), "did you mean row_micro?"),
        (("compare", "gold", "rough", "--allow", "partail"), "did you mean partial?"),
        (("compare", "gold", "rough", "--allow", "partial", "--correction", "hol"), "did you mean holm?"),
        (("report", "gold", "rough", "--allow", "partial", "--baseline", "ruogh"), "did you mean rough?"),
        (("score", "gold", "--extractor", "defualt"), "did you mean default?"),
        (("validate", "scnes"), "did you mean ssl4rl_scenes?"),
        (("build", "ssl_rotatio_90", "--out", "out"), "did you mean ssl4rl_ssl_rotation_90?"),
        (("export", "scnes", "--to", "tsv"), "did you mean ssl4rl_scenes?"),
        (("train", "tiny_rotaton"), "did you mean tiny_rotation?"),
        (("audit", "reading", "gold", "--tasks", "scnes"), "did you mean"),
    ],
)
def test_an_unknown_name_brings_the_closest_one(
    place: Path, args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, args, "error: ", message)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("show", "none"), "there is no run none"),
        (("show", "file.txt"), "file.txt"),
        (("score", "none"), "there is no run none"),
        (("compare", "gold", "none"), "there is no run none"),
        (("compare", "gold", "gold"), "one run cannot be compared"),
        (("merge", "gold"), "is a whole run and not a shard"),
        (("gate", "-c", "gold", "-b", "rough", "-p", "."), "cannot read the policy .: is a directory"),
        (("gate", "-c", "gold", "-b", "rough", "-p", "file.txt"), "file.txt"),
        (("gate", "-c", "gold", "--save-baseline", "none/base.json"), "cannot write none/base.json"),
        ((*BUILD[:-1], "file.txt"), "file.txt is a file: choose a folder for --out"),
        (("build", "scenes", "--out", "out"), "give --format verl or --format trl"),
        (("audit", "card", "runs"), "cannot read the card runs"),
        (("audit", "reading", "none"), "no run none"),
        (("ask", "--batch", "none.jsonl", "--engine", "mock"), "no batch file none.jsonl"),
        (("ask", "--batch", "file.txt", "--engine", "mock"), "file.txt"),
        (("score", "gold", "--data", "zz"), "--data zz does not say which task it is for"),
    ],
)
def test_a_file_or_run_that_is_missing_or_of_another_kind_is_named(
    place: Path, args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, args, "error: ", message)


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "json", "table"])
def test_a_comparison_for_a_file_that_cannot_be_written_is_one_sentence(
    place: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    command = ("compare", "gold", "rough", "--allow", "partial", "--format", form, "--out")
    refused(place, (*command, "none/x"), "error: cannot write none/x: no such file or directory")
    refused(place, (*command, "runs"), "error: cannot write runs: is a directory")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ask",), "give either a question or --batch FILE"),
        (("ask", "why?", "--batch", "file.txt"), "give either a question or --batch FILE"),
        (
            ("ask", "--batch", "file.txt", "--image", "x.png"),
            "--image, --video and --system apply to a question",
        ),
        (
            ("ask", "--batch", "file.txt", "--system", "x"),
            "--image, --video and --system apply to a question",
        ),
        (("ask", "why?", "--out", "x"), "--out and --image-root apply only to --batch"),
        (("ask", "why?", "--image-root", "."), "--out and --image-root apply only to --batch"),
        (
            ("ask", "why?", "--engine", "hf", "--base-url", "http://x"),
            "--base-url applies to --engine openai, not hf",
        ),
        (("ask", "why?"), "--model is missing"),
        (("audit", "card", "file.txt", "--data", "x"), "--tasks and --data are for `audit reading`"),
        (
            ("export", "scenes", "--to", "tsv", "--model", "x"),
            "--to tsv takes one task, one --data, and no --model",
        ),
        (
            ("export", "scenes", "scenes", "--to", "tsv"),
            "--to tsv takes one task, one --data, and no --model",
        ),
        (("export", "gold", "--to", "model-card", "--data", "x"), "--data is for tasks and replies"),
        (("validate", "scenes", "--sheet", "x.png"), "--sheet draws SSL tasks, and ssl4rl_scenes is not one"),
        (
            ("compare", "gold", "rough", "--allow", "partial", "--group-by", "("),
            "is not a regular expression",
        ),
        (
            ("compare", "gold", "rough", "--allow", "partial", "--group-by", "x"),
            "needs a group in parentheses",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(
    place: Path, args: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    refused(place, args, "error: ", message)
