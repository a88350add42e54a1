"""The command as a user calls it: what it prints, and how it exits.

It runs in this process, which draws `scenes` once, but where the test is of the process itself: signals, a full disk,
`python -m`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import forked
import pytest

from ssl4rl_bench.cli import COMMANDS
from ssl4rl_bench.cli.common import split_names
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.task.registry import per_task


def bench(*args: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """The command in this process (`commands.bench`), as the function that runs one in its own gives it."""
    with contextlib.chdir(cwd) if cwd is not None else contextlib.nullcontext():
        done = commands.bench(*args, env={"COLUMNS": "120", **env})
    return subprocess.CompletedProcess(args, done.code, done.out, done.err)


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One line on standard error, no traceback, and the exit code."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the mock over a few questions."""
    run = tmp_path_factory.mktemp("runs") / "gold"
    done = bench("run", "--tasks", "scenes", "--engine", "mock", "--limit", "12", "--out", run)
    assert done.returncode == 0, done.stderr
    return run


def test_help_names_every_command_and_each_command_has_help() -> None:
    text = bench("--help").stdout
    module = [sys.executable, "-m", "ssl4rl_bench", "--help"]
    environment = {**os.environ, "COLUMNS": "120"}
    assert forked.run(module, capture_output=True, text=True, env=environment).stdout == text
    assert all(f"\n  {name} " in text for name in COMMANDS)
    for name in COMMANDS:
        done = bench(name, "--help")
        assert done.returncode == 0
        flags = [line for line in done.stdout.splitlines() if line.startswith("  -")]
        assert len(flags) <= 21, f"{name} has more than 20 flags and --help"


@pytest.mark.parametrize("command", [("run",), ("score",), ("watch",), ("audit",)])
def test_vlmevalkit_is_offered_with_its_date_and_the_newest_by_name(command: tuple[str, ...]) -> None:
    from ssl4rl_bench.task.extract import EXTRACTORS, check_extractor

    newest = max(name for name in EXTRACTORS if name.startswith("vlmevalkit-"))
    text = " ".join(bench(*command, "--help").stdout.split())
    assert check_extractor("vlmevalkit") in text
    assert newest in text and "newest" in text


def test_an_unknown_extractor_is_told_what_vlmevalkit_means(finished: Path) -> None:
    wrong = bench("score", finished, "--extractor", "vlmevalkit-2026")
    refused(wrong, 2, "vlmevalkit-2026-06", "vlmevalkit means vlmevalkit-2025-09")


def test_a_run_prints_the_card_s_table_and_writes_the_directory(finished: Path) -> None:
    shown = bench("show", finished)
    assert shown.returncode == 0
    for word in ("circular_micro", "Logical", "Single-", "Average", "Unread", "100.00", "partial"):
        assert word in shown.stdout
    result = json.loads((finished / "result.json").read_text())
    task = result["tasks"]["ssl4rl_scenes"]
    assert (result["schema"], result["partial"]) == (1, True)
    assert task["aggregates"]["circular_micro"]["overall"]["n"] == task["n_groups"] == 12
    assert {path.name for path in finished.iterdir()} == {
        "spec.json", "journal", "images", "outcomes.json", "result.json", "exec.json", "log.txt",
    }  # fmt: skip


def test_show_has_markdown_json_leaves_and_every_aggregation(finished: Path) -> None:
    assert "| Model |" in bench("show", finished, "--format", "markdown").stdout
    assert json.loads(bench("show", finished, "--format", "json").stdout)["schema"] == 1
    assert "image_style" in bench("show", finished, "--leaves", "-a", "row_l3_macro").stdout
    refused(bench("show", finished, "-a", "row_mikro"), 2, "row_micro")


def test_the_same_command_again_asks_nothing_and_changes_nothing(finished: Path) -> None:
    before = (
        (finished / "result.json").read_bytes(),
        (finished / "journal" / "ssl4rl_scenes.jsonl").read_bytes(),
    )
    done = bench("run", "--tasks", "scenes", "--engine", "mock", "--limit", "12", "--out", finished)
    after = (
        (finished / "result.json").read_bytes(),
        (finished / "journal" / "ssl4rl_scenes.jsonl").read_bytes(),
    )
    assert done.returncode == 0
    assert after == before


def test_another_experiment_in_the_same_directory_is_refused(finished: Path) -> None:
    done = bench("run", "--tasks", "scenes", "--engine", "mock", "--limit", "6", "--out", finished)
    refused(done, 2, "--limit", "n_samples")


def test_score_derives_the_same_result_and_other_extractors_another(finished: Path) -> None:
    before = (finished / "result.json").read_bytes()
    assert bench("score", finished).returncode == 0
    assert (finished / "result.json").read_bytes() == before
    strange = bench("score", finished, "--extractor", "vlmevalkit", "--dry-run")
    assert "vlmevalkit-2025-09" in strange.stdout
    assert (finished / "result.json").read_bytes() == before
    refused(bench("score", finished, "--extractor", "strickt"), 2, "did you mean strict")


@pytest.mark.slow
def test_recorded_replies_are_replayed_and_a_missing_one_is_an_error(finished: Path, tmp_path: Path) -> None:
    lines = (finished / "journal" / "ssl4rl_scenes.jsonl").read_text().splitlines()
    replies = tmp_path / "replies.jsonl"
    keep = [{key: json.loads(line)[key] for key in ("id", "text", "finish_reason")} for line in lines]
    replies.write_text("".join(json.dumps(reply) + "\n" for reply in keep[:-1]))
    command = ("run", "--tasks", "scenes", "--engine", "replay", "--limit", "12", "--replies", replies)
    done = bench(*command, "--out", tmp_path / "run")
    refused(done, 1, "--max-error-rate")
    assert not (tmp_path / "run" / "result.json").exists()
    done = bench(*command, "--out", tmp_path / "run", "--max-error-rate", "0.5")
    task = json.loads((tmp_path / "run" / "result.json").read_text())["tasks"]["ssl4rl_scenes"]
    assert done.returncode == 0
    assert task["status"]["error"] == 1
    assert task["n_groups_excluded"] == 1
    assert task["aggregates"]["circular_micro"]["overall"]["value"] == 1.0


@pytest.mark.slow
def test_repeats_split_the_variance(tmp_path: Path) -> None:
    command = (
        "run",
        "--tasks",
        "scenes",
        "--engine",
        "mock",
        "--mock",
        "random",
        "--limit",
        "20",
        "--repeats",
        "3",
    )
    refused(bench(*command, "--out", tmp_path / "greedy"), 2, "--temperature")
    refused(bench(*command[:-2], "--seed", "1", "--out", tmp_path / "greedy"), 2, "--temperature")
    done = bench(*command, "--temperature", "1", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    overall = result["tasks"]["ssl4rl_scenes"]["aggregates"]["row_micro"]["overall"]
    assert overall["variance"]["repeats"] == 3
    assert overall["variance"]["within"] > 0


@pytest.mark.slow
def test_several_models_share_a_table(tmp_path: Path) -> None:
    for kind in ("gold", "constant:B"):
        name = kind.replace(":", "-")
        args = (
            "run",
            "--tasks",
            "scenes",
            "--engine",
            "mock",
            "--mock",
            kind,
            "--limit",
            "12",
            "--out",
            tmp_path / name,
        )
        assert bench(*args).returncode == 0
    shown = bench("show", tmp_path / "gold", tmp_path / "constant-B").stdout
    assert "mock:gold" in shown and "mock:constant:B" in shown
    listed = bench("list", "runs", "--root", tmp_path).stdout
    assert listed.count("complete") == 2


def test_dry_run_prints_spec_counts_and_a_prompt_and_writes_nothing(tmp_path: Path) -> None:
    done = bench("run", "--tasks", "scenes", "--engine", "mock", "--limit", "6", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("fingerprint", "l2: ", "Question:", "<image "):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_export_is_read_back_as_the_same_data(tmp_path: Path) -> None:
    tsv = tmp_path / "scenes.tsv"
    assert bench("export", "scenes", "--to", "tsv", "--out", tsv).returncode == 0
    assert "valid: every gold answer" in bench("validate", "mmbench_dev_en", "--data", tsv).stdout
    header = tsv.open().readline().replace('"', "").split()
    assert header[:3] == ["index", "question", "hint"] and "l2-category" in header


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["rnu"], ["did you mean run"]),
        (["run"], ["--tasks"]),
        (["run", "--tasks", "scenes", "--engine", "hf"], ["--model"]),
        (["run", "--tasks", "sceens", "--engine", "mock"], ["did you mean", "scenes"]),
        (["run", "--tasks", "scenes", "--engine", "vlm"], ["did you mean vllm"]),
        (["run", "--tasks", "scenes", "--engine", "mock", "--set", "dtyp=float32"], ["did you mean dtype"]),
        (["run", "--tasks", "scenes", "--engine", "mock", "--mock", "golden"], ["golden"]),
        (["run", "--tasks", "scenes", "--engine", "mock", "--prompt", "ssl4lr"], ["did you mean ssl4rl"]),
        (["run", "--tasks", "scenes", "--engine", "replay"], ["--replies"]),
        (["run", "--tasks", "mmbench_dev_en", "--engine", "mock", "--data", "nowhere.tsv"], ["nowhere.tsv"]),
        (["run", "--model", "no/such/folder", "--tasks", "scenes", "--engine", "hf"], ["no/such/folder"]),
        (["run", "--model", "tiny-bas", "--tasks", "scenes", "--engine", "hf"], ["did you mean tiny-base"]),
        (["show", "nowhere"], ["nowhere"]),
        (["list", "runs", "--root", "/dev/null/x"], ["/dev/null/x"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(args: list[str], words: list[str], tmp_path: Path) -> None:
    if args[0] == "list":
        assert "no runs" in bench(*args).stdout
        return
    refused(bench(*args, cwd=tmp_path), 2, *words)
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (folder / "pytorch_model.bin").write_bytes(b"\0" * 64)
    run = ("run", "--model", folder, "--tasks", "scenes", "--engine", "hf", "--out", tmp_path / "run")
    refused(bench(*run), 2, "safetensors")
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").write_bytes((10**6).to_bytes(8, "little") + b"{}")
    refused(bench(*run), 2, "model.safetensors")


def test_a_tsv_without_answers_is_named(tmp_path: Path) -> None:
    tsv = tmp_path / "test.tsv"
    tsv.write_text("index\tquestion\tA\tB\tcategory\timage\n1\tq\ta\tb\tocr\tAAAA\n")
    done = bench("run", "--tasks", "mmbench_dev_en", "--data", tsv, "--engine", "mock", cwd=tmp_path)
    refused(done, 2, "answer", "test.tsv")


def test_a_dead_server_scores_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = bench(
        "run", "--tasks", "scenes", "--limit", "6", "--base-url", "http://127.0.0.1:9/v1", "--out", run
    )
    refused(done, 4)
    assert not (run / "result.json").exists()


def test_a_full_disk_is_one_line_and_keeps_what_was_written(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000));"
        "from ssl4rl_bench.cli import main; sys.argv = ['ssl4rl-bench', *sys.argv[1:]]; main()"
    )
    run = tmp_path / "run"
    args = ["run", "--tasks", "scenes", "--engine", "mock", "--limit", "60", "--out", str(run)]
    done = forked.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    refused(done, 2)
    assert not (run / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_saves_and_exits_130_and_the_command_resumes(
    tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    args = [
        "run",
        "--tasks",
        "scenes",
        "--engine",
        "mock",
        "--set",
        "mock_latency=0.2",
        "--limit",
        "60",
        "--out",
        str(run),
    ]
    journal = run / "journal" / "ssl4rl_scenes.jsonl"
    child = forked.Popen(
        [sys.executable, "-m", "ssl4rl_bench", *args, "--set", "concurrency=4"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (journal.exists() and journal.stat().st_size):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert "resume" in errors and "Traceback" not in errors
    answered = len(journal.read_text().splitlines())
    assert 0 < answered < 240
    assert not (run / "result.json").exists()
    resumed = bench(*args, "--set", "mock_latency=0")
    assert resumed.returncode == 0, resumed.stderr
    ids = [json.loads(line)["id"] for line in journal.read_text().splitlines()]
    assert len(ids) == len(set(ids)) > answered


def test_lists_of_names_and_data_by_task() -> None:
    assert split_names(["a,b", " b ", "c,,"]) == ["a", "b", "c"]
    assert per_task(["x=y.tsv"], ["scenes"]) == {"ssl4rl_scenes": "x=y.tsv"}
    assert per_task(["scenes=y.tsv"], ["scenes", "mmbench_dev_en"]) == {"ssl4rl_scenes": "y.tsv"}
    with pytest.raises(UsageError, match="TASK=PATH"):
        per_task(["y.tsv"], ["scenes", "mmbench_dev_en"])
