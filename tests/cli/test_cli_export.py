"""`ssl4rl-bench export --to model-card`."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_cli import bench, refused
from test_model_card import SCENES, benchmark, checkpoint, front, grpo, run_of


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = checkpoint(tmp_path / "checkpoints" / "mine", grpo())
    run_of(tmp_path / "runs" / "first", folder, SCENES)
    return folder


def test_the_card_goes_where_the_run_found_the_checkpoint(tmp_path: Path, model: Path) -> None:
    done = bench("export", "first", "--to", "model-card", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(model / "README.md")
    assert "no .eval_results" in done.stdout
    assert len(front((model / "README.md").read_text())["model-index"][0]["results"]) == 2


def test_several_runs_make_one_card_elsewhere(tmp_path: Path, model: Path) -> None:
    run_of(tmp_path / "second", model, {"ssl4rl_mmbench_dev_en": benchmark("lmms-lab/MMBench")})
    out = tmp_path / "card"
    done = bench("export", tmp_path / "runs/first", tmp_path / "second", "--to", "model-card", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{out}/README.md", f"{out}/.eval_results/mmbench_dev_en.yaml"]
    assert not (model / "README.md").exists()
    text = (out / "README.md").read_text()
    assert text.index("### scenes") < text.index("### mmbench")


def test_a_moved_checkpoint_is_named_with_model(tmp_path: Path, model: Path) -> None:
    moved = model.rename(tmp_path / "elsewhere")
    run = tmp_path / "runs" / "first"
    refused(bench("export", run, "--to", "model-card"), 2, "not a folder here", "--out", "--model")
    refused(bench("export", run, "--to", "model-card", "--out", tmp_path / "x"), 2, "--model")
    done = bench("export", run, "--to", "model-card", "--model", moved)
    assert done.returncode == 0, done.stderr
    assert (moved / "README.md").exists()


def test_a_bundled_checkpoint_needs_a_folder(tmp_path: Path) -> None:
    run_of(tmp_path / "run", checkpoint(tmp_path / "any"), SCENES, model="tiny-base")
    refused(bench("export", tmp_path / "run", "--to", "model-card", cwd=tmp_path), 2, "tiny-base", "--out")
    out = tmp_path / "out"
    done = bench("export", tmp_path / "run", "--to", "model-card", "--out", out, cwd=tmp_path)
    refused(done, 2, "other weights")
    assert not out.exists()


def test_options_of_the_other_target_are_refused(tmp_path: Path, model: Path) -> None:
    run = tmp_path / "runs" / "first"
    refused(bench("export", run, "--to", "model-card", "--data", "a.tsv"), 2, "--data")
    refused(bench("export", "scenes", "mmbench_dev_en", "--to", "tsv", cwd=tmp_path), 2, "one task")
    refused(bench("export", "firts", "--to", "model-card", cwd=tmp_path), 2, "no run firts", "mean first")


def test_the_tsv_of_a_circular_task_has_a_name_that_vlmevalkit_scores_as_circular(tmp_path: Path) -> None:
    done = bench("export", "scenes", "--to", "tsv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (written,) = tmp_path.iterdir()
    assert done.stdout.startswith(f"{written.name}: ") and "mmbench" in written.name


def test_another_name_brings_one_sentence(tmp_path: Path) -> None:
    done = bench("export", "scenes", "--to", "tsv", "--out", "mine.tsv", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "mine.tsv").exists()
    assert done.stderr.count("\n") == 1 and "rename it to mine_mmbench.tsv" in done.stderr
