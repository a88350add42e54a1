"""SSL tasks on the command line: two tables of one run, sheets, and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from ssl_pictures import noise
from test_cli import bench, refused


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        noise(230, 224 + seed, seed).save(folder / f"{seed}.png")
    return folder


@pytest.mark.slow
def test_a_run_prints_both_tables_and_can_be_scored_again(photos: Path, tmp_path: Path) -> None:
    tasks = "scenes,ssl_probes"
    command = ("run", "--engine", "mock", "--tasks", tasks, "--limit", "4", "--out", tmp_path / "run")
    done = bench(*command, "--images", f"ssl_probes={photos}")
    assert done.returncode == 0, done.stderr
    assert "Logical" in done.stdout and "SSL probes" in done.stdout and "Above" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert list(result["tasks"]) == [
        "ssl4rl_scenes",
        "ssl4rl_ssl_rotation_90",
        "ssl4rl_ssl_jigsaw_2x2",
        "ssl4rl_ssl_contrastive_weak",
        "ssl4rl_ssl_position",
    ]
    contrastive = result["tasks"]["ssl4rl_ssl_contrastive_weak"]
    assert (contrastive["n_samples"], contrastive["n_groups"]) == (8, 4)
    assert (
        contrastive["probe"]["accuracy"]["value"] == contrastive["probe"]["chance_corrected"]["value"] == 1.0
    )
    again = bench("score", tmp_path / "run", "--extractor", "strict")
    assert again.returncode == 0, again.stderr
    assert "ssl_jigsaw_2x2" in again.stdout
    resumed = bench(*command, "--images", f"ssl_probes={photos}")
    assert resumed.returncode == 0
    refused(bench(*command), 2, "data_sha256")


@pytest.mark.slow
def test_dry_run_shows_a_prompt_of_each(photos: Path) -> None:
    done = bench("run", "--engine", "mock", "--tasks", "ssl_probes", "--images", photos, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "counter-clockwise" in done.stdout and "$ANSWER" in done.stdout
    assert done.stdout.count("<image ") == 2 + 4 + 2 + 2


@pytest.mark.slow
def test_validate_draws_a_sheet(photos: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = bench("validate", "ssl_rotation_90", "--images", photos, "--sheet", sheet, "--samples", "0")
    assert done.returncode == 0, done.stderr
    assert "valid: every gold answer" in done.stdout
    with Image.open(sheet) as image:
        assert image.format == "PNG" and image.height > 200
    refused(bench("validate", "scenes", "--sheet", sheet), 2, "SSL tasks")


@pytest.mark.slow
def test_validate_prints_the_blind_baselines(photos: Path) -> None:
    pytest.importorskip("sklearn")
    done = bench("validate", "ssl_rotation_90", "--images", photos, "--samples", "30")
    assert done.returncode == 0, done.stderr
    for name in ("constant answer", "sizes", "borders", "traces", "all statistics", "chance 25.00%"):
        assert name in done.stdout


def test_lists_and_names() -> None:
    done = bench("list", "tasks")
    assert "ssl_rotation_45" in done.stdout and "group of 18 tasks" in done.stdout
    refused(
        bench("run", "--engine", "mock", "--tasks", "ssl_rotaton_90"), 2, "did you mean", "ssl_rotation_90"
    )
    refused(bench("export", "ssl_position", "--to", "tsv"), 2, "of the kind ssl")


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command = ("run", "--engine", "mock", "--tasks", "ssl_position", "--images")
    refused(bench(*command, empty), 2, "has no images")
    refused(bench(*command, tmp_path / "nowhere"), 2, "There are no images")
    (empty / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    refused(bench(*command, empty), 2, "broken.jpg")
