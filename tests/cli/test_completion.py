"""What shells complete, asked as bash does."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import bench

from ssl4rl_bench.cli import COMMANDS


def completed(line: str) -> list[str]:
    """Returns the completions of the last word of a line, as the function in bash gets them."""
    words = line.split(" ")
    asked = {"_SSL4RL_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return bench(env=asked).out.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ssl4rl-bench val", ["validate"]),
        ("ssl4rl-bench run --tasks sce", ["scenes"]),
        ("ssl4rl-bench run --tasks mmstar,sce", ["mmstar,scenes"]),
        ("ssl4rl-bench compare -t ssl_prob", ["ssl_probes"]),
        ("ssl4rl-bench run --model tiny-r", ["tiny-rotation"]),
        ("ssl4rl-bench run --preset vlm", ["vlmevalkit"]),
        ("ssl4rl-bench run --engine v", ["vllm"]),
        ("ssl4rl-bench show x -a vanilla", ["vanilla0_micro"]),
        ("ssl4rl-bench show x --format ma", ["markdown"]),
        ("ssl4rl-bench train tiny_rotation_r", ["tiny_rotation_replay"]),
        ("ssl4rl-bench list pre", ["presets"]),
        ("ssl4rl-bench validate ssl_jigsaw_3", ["ssl_jigsaw_3x3"]),
        ("ssl4rl-bench show --lea", ["--leaves"]),
    ],
)
def test_words_are_completed(line: str, words: list[str]) -> None:
    assert completed(line) == words


def test_all_commands_are_completed() -> None:
    assert completed("ssl4rl-bench ") == [*COMMANDS]


def test_runs_below_the_folder_of_runs_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("base", "better"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.json").write_text("{}")
    (tmp_path / "runs" / "best").mkdir()
    monkeypatch.chdir(tmp_path)
    assert completed("ssl4rl-bench compare be") == ["better"]
    assert completed("ssl4rl-bench compare base runs/b") == ["runs/base", "runs/better"]
    assert completed("ssl4rl-bench compare /") == []


def test_the_script_for_bash_is_shown_and_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = bench("--show-completion", "bash")
    assert shown.code == 0 and "_SSL4RL_BENCH_COMPLETE=complete_bash" in shown.out
    assert bench("--install-completion", "bash").code == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert "_ssl4rl_bench_completion" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
