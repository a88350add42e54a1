"""`ssl4rl-bench report`: the page of real runs, and one line for what cannot be done."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from commands import invoke
from html_runs import Parsed


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("report")
    made = {}
    for name, behaviour, tasks, more in (
        ("base", "random", "scenes,ssl_rotation_90", ()),
        ("gold", "gold", "scenes,ssl_rotation_90", ()),
        ("probe", "gold", "ssl_position", ()),
        ("fewer", "gold", "scenes", ("--limit", 12)),
    ):
        place = root / name
        args = ("--engine", "mock", "--mock", behaviour, "--tasks", tasks, "--limit", 24, "--out", place)
        invoke("run", "--model", name, *args, *more)
        made[name] = place
    return made


@pytest.mark.slow
def test_page_of_a_benchmark_and_a_probe(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    card = json.loads(files("ssl4rl_bench.reports").joinpath("published/ssl4rl_mmbench.json").read_text())
    printed = tmp_path / "card.json"
    printed.write_text(json.dumps(card | {"benchmark": ["scenes"]}))
    both = ("report", runs["base"], runs["gold"], "--allow", "partial", "-o", out)
    assert "only next to the same benchmark" in invoke(*both, "--published", "ssl4rl_mmbench", code=2)
    said = invoke(*both, "--published", printed)
    assert said.startswith(f"wrote {out}") and "2 runs, baseline base (mock)" in said
    page = out.read_text()
    text = " ".join(Parsed(page).text)
    assert "gold (mock) is better than base (mock) on Average" in " ".join(text.split())
    assert "limited to 24 of 600 questions" in text
    assert "rotation_90" in text and "never tested" in text
    assert "part-task-1" in page and "part-run-1-1" in page


@pytest.mark.slow
def test_a_page_without_samples_is_small(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    both = (runs["base"], runs["gold"], "--allow", "partial", "-o", out)
    invoke("report", *both, "--no-samples", "--aggregation", "row_micro", "--title", "Mine & yours")
    page = out.read_text()
    assert len(page) < 250_000 and "<h1>Mine &amp; yours</h1>" in page
    assert 'id="samples"' not in page and 'data-aggregation="circular_micro"' not in page


@pytest.mark.slow
def test_data_that_is_gone_leaves_the_tables(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    both = (runs["base"], runs["gold"], "--allow", "partial", "-o", out)
    said = invoke("report", *both, "--data", f"scenes={tmp_path / 'gone.tsv'}")
    assert "the samples of ssl4rl_scenes are not shown" in said
    page = out.read_text()
    assert "could not be loaded again" in page and "part-task-0" in page


def test_what_cannot_be_done_is_one_line(runs: dict[str, Path], tmp_path: Path) -> None:
    both, out = (runs["base"], runs["gold"], "--allow", "partial"), ("-o", tmp_path / "page.html")
    assert "did you mean gold?" in invoke("report", *both, *out, "--baseline", "golt", code=2)
    assert "no task in common" in invoke("report", runs["base"], runs["probe"], *out, code=2)
    assert "--allow partial" in invoke("report", runs["base"], runs["fewer"], *out, code=2)
    assert "no aggregation" in invoke("report", *both, *out, "-a", "circular", code=2)
    assert "no published table" in invoke("report", *both, *out, "--published", "ssl4rl", code=2)
    assert "has no task" in invoke("report", *both, *out, "--tasks", "scene", code=2)
    assert "no --view" in invoke("report", *both, *out, "--view", "tranfer", code=2)
    assert "there is no run" in invoke("report", runs["base"], tmp_path / "none", *out, code=2)
    assert "there is no directory" in invoke("report", *both, "-o", tmp_path / "no" / "page.html", code=2)
    assert "it is a directory" in invoke("report", *both, "-o", tmp_path, code=2)
    assert not (tmp_path / "page.html").exists()


def test_an_incomplete_run_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(runs["gold"], copy)
    (copy / "result.json").unlink()
    message = invoke("report", runs["base"], copy, "-o", tmp_path / "page.html", code=2)
    assert "is not complete" in message
