"""`ssl4rl-bench explain` as a user calls it: formats, files, options and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import planted
import pytest
from commands import Done, bench, invoke
from planted import Planted

LOOSE = Planted(slips=0.03, loose=0.25)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("explain")
    data = planted.data_file(folder, n=56)
    plans = {
        "base": LOOSE,
        "strict": LOOSE.but(extractor="strict"),
        "cut": LOOSE.but(cut=0.1, max_tokens=64, extractor="strict"),
        "empty": LOOSE.but(unanswered=1.0),
    }
    return {name: planted.make(folder / name, data, plan) for name, plan in plans.items()}


@pytest.mark.slow
def test_the_table_names_the_causes_with_their_commands(runs: dict[str, Path]) -> None:
    text = invoke("explain", runs["cut"], "--against", runs["base"])
    assert "may come from extractor (replies read by another extractor), which leaves" in text
    assert f"  ssl4rl-bench score {runs['cut']} --extractor default --dry-run\n" in text
    assert "--max-tokens 2048" in text
    settings = text[text.index("\nSettings") :].splitlines()
    (line,) = (line for line in settings if line.startswith("max_tokens"))
    assert line.split() == ["max_tokens", "64", "2048", "differs"]


def test_json_has_what_the_table_has(runs: dict[str, Path]) -> None:
    args = ("explain", runs["cut"], "--against", runs["base"])
    value = json.loads(invoke(*args, "--json"))
    assert json.loads(invoke(*args, "--format", "json")) == value
    assert [cause["kind"] for cause in value["causes"]] == ["extractor", "truncation"]
    assert value["schema"] == 1
    assert value["remaining"] == value["causes"][-1]["remaining"]
    rescored = json.loads(invoke("explain", runs["strict"], "--against", runs["base"], "--json"))
    assert rescored["remaining"]["value"] == pytest.approx(0.0)
    assert {line["name"] for line in value["settings"]} >= {"prompt", "max_pixels", "engine", "visual tokens"}


def test_markdown_goes_to_a_file(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "explain.md"
    args = ("explain", runs["strict"], "--against", runs["base"], "--out", out)
    assert invoke(*args, "--format", "markdown") == ""
    text = out.read_text()
    assert text.startswith("## base \\(strict\\) against base \\(base\\)")
    assert f"```sh\nssl4rl-bench score {runs['strict']} --extractor default --dry-run\n```" in text
    assert invoke(*args) == ""
    assert "Causes, the first one first" in out.read_text()


def test_a_number_and_its_aggregation(runs: dict[str, Path]) -> None:
    args = ("explain", runs["base"], "--against", "71.5", "--against-aggregation", "row_micro", "--json")
    value = json.loads(invoke(*args))
    assert value["against_aggregation"] == "row_micro"
    assert value["gap"]["against"]["value"] == pytest.approx(0.715)


def test_hostile_names_are_shown_with_escapes(runs: dict[str, Path], tmp_path: Path) -> None:
    table = {
        **{
            "title": "A\x1b[31m|paper\u202e",
            "source": "x",
            "benchmark": ["mmbench_dev_en"],
            "unit": "percent",
        },
        **{"columns": ["average"], "rows": [{"name": "b`\x07", "model": "base", "values": [80.0]}]},
    }
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table))
    for form in ("table", "markdown"):
        text = invoke("explain", runs["base"], "--against", path, "--format", form)
        assert not {"\x1b", "\x07", "\u202e"} & {*text}
        assert "\\u001b" in text.replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("base", "--against", "ssl4rl_mmbnch"), "did you mean ssl4rl_mmbench?"),
        (("base", "--against", "ssl4rl_mmbench:bse"), "did you mean base?"),
        (("base", "--against", "120"), "not a percentage from 0 to 100"),
        (("base",), "Missing option '--against'"),
        (("none", "--against", "base"), "there is no run none"),
        (("empty", "--against", "base"), "has no replies to mmbench_dev_en"),
        (("base", "--against", "base", "--tasks", "scene"), "has no task ssl4rl_scene"),
        (("base", "--against", "base", "-a", "row"), "did you mean row_micro?"),
        (("base", "--against", "base", "--format", "html"), "--format"),
        (("scenes", "--against", "base"), "share no task and no question"),
        (("scenes", "--against", "ssl4rl_mmbench:base"), "evaluate the model on the same benchmark"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    args: tuple[str, ...], words: str, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs["base"].parent)
    if args[0] == "scenes" and not Path("scenes").exists():
        made = ("--engine", "mock", "--tasks", "scenes", "--limit", "6", "--out", "scenes")
        assert bench("run", "--model", "m", *made).code == 0
    done: Done = bench("explain", *args)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.text
    if words != "Missing option '--against'" and "--format" not in words:
        assert done.err.count("\n") == 1
